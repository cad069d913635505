"""On AWS's code: cloud calls and time of a network over three zones with its load balancer, and the calls of a refresh with
few machines and with many.  The counterpart is moto, an independent implementation of AWS's APIs; it runs no machines."""

import json
import os
import subprocess
import sys

from workspace import Workspace, fresh

REGION, ZONES = "us-west-2", ["us-west-2a", "us-west-2b", "us-west-2c"]
MACHINES = (10, 300)
# What AWS lets somebody describe at once, and moto's own pages: more machines than that are another call.
PAGE = 1000
# hashicorp/aws on moto, for a network, three instances, addresses, a load balancer and a target group.
THEIRS = 94

CLUSTER = f"""terraform {{
  required_providers {{
    multizone = {{ source = "multizone/multizone" }}
  }}
}}

provider "multizone" {{
  aws = {{ region = "{REGION}" }}
}}

resource "multizone_cluster" "it" {{
  name  = "bench"
  zones = {{ for index, zone in {json.dumps(ZONES)} : zone => {{ subnet_cidr = cidrsubnet("10.0.0.0/16", 8, index) }} }}
}}

resource "multizone_api_load_balancer" "it" {{
  cluster = multizone_cluster.it.name
  zones   = keys(multizone_cluster.it.zones)
}}
"""

# Workers as the provider makes them, as far as its tags go.
ADD = f"""
subnets = ec2.describe_subnets(Filters=[{{"Name": "tag:multizone-cluster", "Values": ["bench"]}}])["Subnets"]
subnets = {{subnet["AvailabilityZone"]: subnet["SubnetId"] for subnet in subnets}}
image = ec2.describe_images()["Images"][0]["ImageId"]
for number in range(FIRST, LAST):
    zone = {ZONES}[number % 3]
    name = f"bench-pool-{{number}}"
    tags = {{"multizone-cluster": "bench", "multizone-name": name, "Name": name, "multizone-role": "worker"}}
    tags = [{{"Key": key, "Value": value}} for key, value in tags.items()]
    kinds = [{{"ResourceType": kind, "Tags": tags + extra}} for kind, extra in
             (("instance", []), ("volume", [{{"Key": "multizone-boot", "Value": "true"}}]))]
    ec2.run_instances(ImageId=image, MinCount=1, MaxCount=1, InstanceType="t3.medium", SubnetId=subnets[zone],
                      TagSpecifications=kinds)
"""
REMOVE = """
pages = list(ec2.get_paginator("describe_instances").paginate())
reservations = [reservation for page in pages for reservation in page["Reservations"]]
ec2.terminate_instances(InstanceIds=[one["InstanceId"] for reservation in reservations for one in reservation["Instances"]])
"""


def environment(endpoint):
    """What leads the provider to moto, and nobody to anybody's account."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_REGION": REGION,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }


class Moto:
    """moto's server, which counts what it is asked by others than boto3."""

    def __init__(self, root, directory):
        self.python, self.programs = os.path.join(root, ".work/venv/bin/python"), os.path.join(root, "acceptance-tests/moto")
        made = subprocess.run([os.path.join(root, "scripts/python-environment.sh"), "moto"], capture_output=True, text=True)
        if made.returncode != 0:
            raise SystemExit(f"moto cannot be installed: {made.stderr}")
        self.recording = os.path.join(directory, "requests.jsonl")
        recorded = dict(os.environ, MOTO_ENABLE_RECORDING="true", MOTO_RECORDER_FILEPATH=self.recording)
        self.process = subprocess.Popen(
            [self.python, "-B", os.path.join(self.programs, "server.py")],
            env=recorded, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        port = self.process.stdout.readline().strip()
        self.environment = environment(f"http://127.0.0.1:{port}")

    def boto3(self, program):
        look = [self.python, "-B", os.path.join(self.programs, "look.py"), program]
        subprocess.run(look, env=dict(os.environ, **self.environment), check=True, stdout=subprocess.DEVNULL)

    def requests(self):
        """Requests so far."""
        with open(self.recording, encoding="utf-8") as file:
            headers = [json.loads(line)["headers"] for line in file]
        agents = [value for each in headers for name, value in each.items() if name.lower() == "user-agent"]
        return sum(not agent.startswith("Boto3/") for agent in agents)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait()


def rows(table, root, directory):
    directory = fresh(os.path.join(directory, "aws"))
    with Moto(root, directory) as moto:
        workspace = Workspace(os.path.join(directory, "cluster"), {"main.tf": CLUSTER}, environment=moto.environment)

        def counted(run):
            before = moto.requests() if os.path.exists(moto.recording) else 0
            took = run()
            return took, moto.requests() - before

        took, calls = counted(workspace.apply)
        table.add("AWS on moto: create of a network over 3 zones with its balancer", f"{took:.2f} s, {calls} cloud calls",
                  f"under {THEIRS} s", took < THEIRS)
        workspace.plan()  # the first read after a create takes its mark away
        took, calls = counted(workspace.plan)
        table.add("  refresh", f"{took:.2f} s, {calls} cloud calls")
        seen = []
        for first, last in zip((0, *MACHINES), MACHINES):
            moto.boto3(ADD.replace("FIRST", str(first)).replace("LAST", str(last)))
            took, calls = counted(workspace.plan)
            seen.append(calls)
            table.add(f"  refresh with {last} machines", f"{took:.2f} s, {calls} cloud calls")
        pages = -(-MACHINES[-1] // PAGE) - 1
        # Instances and their volumes come in pages.
        table.add("  calls for more machines", str(seen[-1] - seen[0]), f"pages only: at most {2 * pages}",
                  seen[-1] - seen[0] <= 2 * pages)
        moto.boto3(REMOVE)
        took, calls = counted(lambda: workspace.run("destroy", "-auto-approve"))
        table.add("  destroy", f"{took:.2f} s, {calls} cloud calls")
