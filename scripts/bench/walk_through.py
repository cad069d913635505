"""The multi-zone walk-through, step by step, against what the operations on its critical path take.

The critical path of a step is the longest chain of operations of which each needs the one before.  Durations of cloud
operations come from the region's event log, those of the machines' first boots from the sandbox's sources; both are
times of a real region and pass `speed` times faster.
"""

import os
import re
import shutil
from datetime import datetime

from workspace import Region, Workspace, fresh

ZONES = ["us-central1-a", "us-central1-b", "us-central1-f"]
GUESTS = "provider/sandbox/guests/src"
POD_NETWORK = "examples/multi-zone/pod-network.yaml"
DELETE_RUNNING = "instances.delete, of one that runs"


class Walk:
    """One walk through the example."""

    def __init__(self, root, binary, directory, speed):
        fresh(directory)
        self.region = Region(binary, os.path.join(directory, "region"), speed)
        example = os.path.join(root, "examples/multi-zone")
        files = {}
        for name in sorted(os.listdir(example)):
            if name.endswith((".tf", ".yaml")):
                with open(os.path.join(example, name)) as file:
                    files[name] = file.read()
        self.workspace = Workspace(os.path.join(directory, "example"), files, self.region)
        self.directory, self.speed = directory, speed

    def run(self):
        """Seconds of each step."""
        took = {}
        for name, zones in [
            ("one zone", ZONES[:1]),
            ("second zone", ZONES[:2]),
            ("third zone", ZONES),
            ("third zone removed", ZONES[:2]),
            ("second zone removed", ZONES[:1]),
        ]:
            listed = ",".join(f'"{zone}"' for zone in zones)
            took[name] = self.workspace.apply("-var", f"zones=[{listed}]")
        took["destroy"] = self.workspace.run("destroy", "-auto-approve", "-var", f'zones=["{ZONES[0]}"]')
        return took

    def paths(self, root):
        """Seconds of each step's critical path at this speed."""
        cloud, boot = self.cloud_durations(), boot_durations(root)
        worker = cloud["instances.insert"] + boot["worker"]
        network = cloud["networks.insert"] + max(cloud["subnetworks.insert"], cloud["firewalls.insert"])
        leaving = cloud[DELETE_RUNNING]
        # A master is stopped before it is deleted, so that its API server and etcd end in order.
        last = cloud["instances.stop"] + cloud["instances.delete"]
        around = [cloud[f"{kind}.delete"] for kind in ("firewalls", "addresses", "subnetworks")]
        real = {
            "one zone": network + cloud["instances.insert"] + boot["master"] + worker,
            "second zone": worker,
            "third zone": worker,
            "third zone removed": leaving,
            "second zone removed": leaving,
            "destroy": leaving + last + max(around) + cloud["networks.delete"],
        }
        return {step: seconds / self.speed for step, seconds in real.items()}

    def cloud_durations(self):
        """Seconds that each kind of operation takes in a real region: the shortest one in the log."""
        began, durations, stopped = {}, {}, set()
        for event in self.events():
            operation, at, verb = event.get("operation"), instant(event["at"]), event["verb"]
            if verb == "instances.stop":
                stopped.add(event["object"])
            if verb == "instances.delete" and event["object"] not in stopped:
                verb = DELETE_RUNNING
            if verb != "operation.done" and operation:
                began[operation] = (verb, at)
            elif operation in began:
                verb, start = began[operation]
                took = (at - start).total_seconds() * self.speed
                durations[verb] = min(durations.get(verb, took), took)
        return durations

    def events(self):
        events = []
        while page := self.region.get(f"events?after={len(events)}&limit=1000")["events"]:
            events.extend(page)
        return events

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.region.remove()
        shutil.rmtree(self.directory)


def instant(text):
    """The log has nanoseconds; Python has microseconds."""
    head, _, fraction = text.rstrip("Z").partition(".")
    return datetime.fromisoformat(f"{head}.{fraction[:6].ljust(6, '0')}+00:00")


def constant(root, file, name):
    """Seconds of a constant of the sandbox's guests."""
    with open(os.path.join(root, GUESTS, file)) as source:
        found = re.search(rf"const {name}: Duration = Duration::from_secs\((\d+)\)", source.read())
    if not found:
        raise SystemExit(f"{GUESTS}/{file} has no constant {name}: the critical path is described in {__file__}")
    return int(found.group(1))


def ready_duration(root):
    """Seconds from a Node to a ready one: once the pod network's pod runs on it.  Images are pulled one after the other."""
    with open(os.path.join(root, POD_NETWORK)) as manifest:
        images = set(re.findall(r"^\s*image: (\S+)$", manifest.read(), re.MULTILINE))
    return len(images) * constant(root, "kubelet/pods.rs", "PULL") + constant(root, "kubelet/pods.rs", "START")


def boot_durations(root):
    """Seconds of a real machine from power-on to a ready node, without what the programs themselves compute."""

    def of(file, name):
        return constant(root, file, name)

    machine = of("guests.rs", "KERNEL_BOOT") + of("system/commands.rs", "INSTALL")
    ready = ready_duration(root)
    init = of("kubeadm/init.rs", "PULL_IMAGES") + 3 * of("kubeadm/init.rs", "WRITE_FILES")
    serving = of("system/commands.rs", "FETCH") + init + of("kubelet/control_plane.rs", "START")
    join = of("kubeadm/join.rs", "PREPARE") + of("kubeadm/join.rs", "START_KUBELET")
    return {"master": machine + serving + ready, "worker": machine + join + ready}
