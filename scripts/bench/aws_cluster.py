"""On AWS's code: cloud calls and time of a whole cluster, examples/highly-available with three masters and nine workers, on
moto with machines that come up, 600 times as fast as real ones."""

import json
import os
import re
import subprocess

from on_aws import THEIRS, ZONES, Moto, environment
from workspace import Workspace, fresh

PROGRAM = "multizone-moto"


class MotoWithMachines(Moto):
    """An account whose instances do what their user data says."""

    def __init__(self, root):
        command = ["cargo", "build", "--locked", "-p", "multizone-acceptance-tests", "--bin", PROGRAM]
        built = subprocess.run([*command, "--message-format=json"], cwd=root, check=True, capture_output=True, text=True)
        artifacts = (json.loads(line) for line in built.stdout.splitlines())
        program = [it["executable"] for it in artifacts if it.get("executable") and it["target"]["name"] == PROGRAM][0]
        self.process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        said = self.process.stdout.readline()
        if not said.startswith("{"):
            raise SystemExit(f"{program} does not say where it answers: {said}")
        said = json.loads(said)
        self.recording, self.network = said["recording"], said["network_cidr"]
        self.environment = environment(said["endpoint"])


def rows(table, root, directory):
    directory = fresh(os.path.join(directory, "aws-cluster"))
    example = os.path.join(root, "examples/highly-available")
    files = {}
    for name in sorted(os.listdir(example)):
        if name.endswith((".tf", ".tfvars", ".yaml")):
            with open(os.path.join(example, name)) as file:
                files[name] = file.read()
    files["main.tf"] = re.sub(r"  sandbox = .*", '  aws = { region = "us-west-2" }', files["main.tf"])
    with MotoWithMachines(root) as moto:
        # 127.N.64.0/18 has 127.N.64.0/24 and so on.
        begin = moto.network.removesuffix(".64.0/18")
        subnets = {zone: f"{begin}.{64 + number}.0/24" for number, zone in enumerate(ZONES)}
        variables = ["-var-file=aws.tfvars", "-var", f"network_cidr={moto.network}", "-var",
                     f"subnet_cidrs={json.dumps(subnets)}", "-var", "nodes_per_zone=3"]
        workspace = Workspace(os.path.join(directory, "cluster"), files, environment=moto.environment)

        def counted(*arguments):
            before = moto.requests() if os.path.exists(moto.recording) else 0
            took = workspace.run(*arguments, *variables)
            return took, moto.requests() - before

        took, calls = counted("apply", "-auto-approve")
        table.add("AWS on moto: create of a network over 3 zones, 3 masters, their balancer, 9 workers",
                  f"{took:.1f} s, {calls} cloud calls", f"under {THEIRS} s", took < THEIRS)
        counted("plan")  # the first read after a create takes its mark away
        took, calls = counted("plan", "-detailed-exitcode")
        table.add("  refresh", f"{took:.2f} s, {calls} cloud calls")
        took, calls = counted("destroy", "-auto-approve")
        table.add("  destroy", f"{took:.1f} s, {calls} cloud calls")
