"""A directory in which terraform runs, timed and watched."""

import json
import os
import shutil
import subprocess
import threading
import time
import urllib.request

TERRAFORM = """terraform {
  required_providers {
    multizone = { source = "multizone/multizone" }
  }
}

provider "multizone" {
  sandbox = { region = "us-central1" }
}
"""


class Region:
    """A sandbox region.  `base` is where the provider looks for regions."""

    def __init__(self, binary, base, speed):
        self.binary, self.base, self.directory = binary, base, os.path.join(base, "us-central1")
        self.sandbox("start", "--region", "us-central1", "--directory", self.directory, "--speed", str(speed))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.remove()

    def sandbox(self, *arguments):
        subprocess.run([self.binary, "sandbox", *arguments], check=True, stdout=subprocess.DEVNULL)

    def get(self, path):
        with open(os.path.join(self.directory, "process.json")) as file:
            endpoint = json.load(file)["endpoint"]
        with urllib.request.urlopen(f"{endpoint}/sandbox/v1/{path}") as reply:
            return json.load(reply)

    def copy_disk(self, zone, name, count):
        """Makes disks like the disk `...data-0`, up to `...data-COUNT`."""
        with open(os.path.join(self.directory, "process.json")) as file:
            endpoint = json.load(file)["endpoint"]
        url = f"{endpoint}/compute/v1/projects/sandbox/zones/{zone}/disks"
        with urllib.request.urlopen(f"{url}/{name}") as reply:
            disk = json.load(reply)
        kept = {key: disk[key] for key in ("name", "labels", "sizeGb", "type")}
        for index in range(1, count):
            body = json.dumps(kept).replace("data-0", f"data-{index}").encode()
            request = urllib.request.Request(url, body, {"content-type": "application/json"})
            urllib.request.urlopen(request).close()

    def requests(self):
        """Requests to the cloud's APIs so far."""
        return self.get("status")["requests"]

    def remove(self):
        self.sandbox("stop", "--delete", "--directory", self.directory)


class Workspace:
    """A terraform configuration, initialised."""

    def __init__(self, directory, files, region=None, environment=None):
        self.directory = directory
        os.makedirs(directory)
        for name, content in files.items():
            with open(os.path.join(directory, name), "w") as file:
                file.write(content)
        self.environment = dict(os.environ, TF_IN_AUTOMATION="1", TF_INPUT="0", **(environment or {}))
        if region:
            self.environment["MULTIZONE_SANDBOX_DIRECTORY"] = region.base
        self.run("init")

    def run(self, *arguments, accept=(0,)):
        """Runs terraform; answers the seconds it took."""
        began = time.perf_counter()
        process = self.start(*arguments)
        return self.finish(process, began, accept)

    def start(self, *arguments):
        return subprocess.Popen(
            ["terraform", *arguments, "-no-color"],
            cwd=self.directory,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def finish(self, process, began, accept=(0,)):
        output = process.communicate()[0]
        took = time.perf_counter() - began
        if process.returncode not in accept:
            raise SystemExit(f"terraform {process.args[1:]} in {self.directory} ended with {process.returncode}:\n{output}")
        return took

    def plan(self):
        """Seconds of a plan that changes nothing."""
        return self.run("plan", "-detailed-exitcode")

    def apply(self, *arguments):
        return self.run("apply", "-auto-approve", *arguments)

    def multiply(self, count, configuration):
        """Turns a state with the one instance `data-0` into one with `count` of them.  Terraform itself writes its whole
        state after every resource, which takes minutes for a thousand; the next plan proves the result right."""
        path = os.path.join(self.directory, "terraform.tfstate")
        with open(path) as file:
            state = json.load(file)
        for resource in state["resources"]:
            one = json.dumps(resource["instances"][0])
            resource["instances"] = [
                dict(json.loads(one.replace("data-0", f"data-{index}")), index_key=index) for index in range(count)
            ]
        with open(path, "w") as file:
            json.dump(state, file)
        with open(os.path.join(self.directory, "main.tf"), "w") as file:
            file.write(configuration)

    def watched_plan(self):
        """A plan whose provider processes are watched: the peak resident KiB of the largest of them, how much of that is
        its own (not of the binary's file), and the seconds of processor time that all of them took."""
        began = time.perf_counter()
        process = self.start("plan", "-detailed-exitcode")
        seen = {}
        watcher = threading.Thread(target=watch, args=(process, seen))
        watcher.start()
        self.finish(process, began)
        watcher.join()
        if not seen:
            raise SystemExit("no provider process was seen")
        peak, own, _ = max(seen.values())
        return peak, own, sum(took for _, _, took in seen.values())


def watch(process, seen):
    """Notes the peak resident memory and the processor time of terraform's children, until it ends."""
    while process.poll() is None:
        for child in children(process.pid):
            try:
                with open(f"/proc/{child}/status") as status:
                    fields = dict(line.split(":", 1) for line in status)
                took = processor_time(child)
            except OSError:
                continue
            if fields["Name"].strip().startswith("terraform-provi") and "VmHWM" in fields:
                now = (*(int(fields[name].split()[0]) for name in ("VmHWM", "RssAnon")), took)
                earlier = seen.get(child, now)
                seen[child] = tuple(map(max, earlier, now))
        time.sleep(0.002)


def processor_time(pid):
    """Seconds that the threads of a process have run."""
    nanoseconds = 0
    for thread in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{thread}/schedstat") as file:
            nanoseconds += int(file.read().split()[0])
    return nanoseconds / 1e9


def children(pid):
    found = []
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/children") as file:
                found.extend(file.read().split())
    except OSError:
        pass
    return found


def cluster(name):
    """A cluster for disks to belong to."""
    return TERRAFORM + f"""
resource "multizone_cluster" "it" {{
  name  = "{name}"
  zones = {{ "us-central1-a" = {{}} }}
}}
"""


def disks(count, cluster):
    """That many disks of a cluster that exists."""
    return TERRAFORM + f"""
resource "multizone_disk" "it" {{
  count   = {count}
  cluster = "{cluster}"
  name    = "data-${{count.index}}"
  zone    = "us-central1-a"
  size_gb = 5
}}
"""


def data(count, cluster):
    """That many resources that terraform has built in, holding the same arguments."""
    return f"""
resource "terraform_data" "it" {{
  count = {count}
  input = {{
    cluster = "{cluster}"
    name    = "data-${{count.index}}"
    zone    = "us-central1-a"
    size_gb = 5
  }}
}}
"""


def fresh(directory):
    shutil.rmtree(directory, ignore_errors=True)
    os.makedirs(directory)
    return directory
