"""Masters: how long the API is away while its address moves, how many requests fail while masters come and go, and how
long one to three masters take against what the operations on the critical path take.

The prober asks the API's address for /readyz over a new connection each time, without credentials, from several threads:
what it counts is whether the API answers.  Durations of cloud operations come from the region's event log, those of first
boots from the sandbox's sources; both are times of a real region and pass `speed` times faster.
"""

import http.client
import json
import os
import ssl
import threading
import time

from walk_through import Walk, constant, ready_duration
from workspace import TERRAFORM, Region, Workspace, fresh

ZONES = ["us-central1-a", "us-central1-b", "us-central1-f"]
# Longer than the pause between two requests of all threads together, shorter than any handover.
THREADS, TIMEOUT = 4, 1.0

MASTERS = TERRAFORM + """
variable "masters" { type = list(string) }
variable "balanced" { type = bool }
variable "machine_type" { default = "n1-standard-2" }
variable "kubernetes_version" { default = "1.32.9" }

resource "multizone_cluster" "it" {
  name  = "bench"
  zones = { for zone in ["us-central1-a", "us-central1-b", "us-central1-f"] : zone => {} }
}

resource "multizone_api_load_balancer" "it" {
  count   = var.balanced ? 1 : 0
  cluster = multizone_cluster.it.name
  zones   = keys(multizone_cluster.it.zones)
}

resource "multizone_control_plane" "it" {
  cluster              = multizone_cluster.it.name
  load_balancer        = var.balanced ? multizone_api_load_balancer.it[0].name : null
  kubernetes_version   = var.kubernetes_version
  machine_type         = var.machine_type
  pod_network_manifest = file("${path.module}/pod-network.yaml")
  replicas             = { for zone in var.masters : regex("[a-z]$", zone) => { zone = zone } }
  # What does not end is a row that says so.
  timeouts = { create = "10m", update = "10m", delete = "10m" }
}
"""


class Prober:
    """Requests to the API's address from now on, until it is stopped."""

    def __init__(self, address):
        self.address, self.stopped = address, threading.Event()
        self.lock, self.answered, self.failed = threading.Lock(), [], 0
        self.context = ssl.create_default_context()
        self.context.check_hostname, self.context.verify_mode = False, ssl.CERT_NONE
        self.threads = [threading.Thread(target=self.run, daemon=True) for _ in range(THREADS)]
        for thread in self.threads:
            thread.start()

    def run(self):
        while not self.stopped.is_set():
            answered = self.ask()
            with self.lock:
                if answered:
                    self.answered.append(time.perf_counter())
                else:
                    self.failed += 1
            time.sleep(0.005)

    def ask(self):
        connection = http.client.HTTPSConnection(self.address, 6443, timeout=TIMEOUT, context=self.context)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
        except OSError:
            return False
        except http.client.HTTPException:
            return False
        finally:
            connection.close()

    def stop(self):
        """How many requests were answered, how many failed, and the longest time without an answer."""
        self.stopped.set()
        for thread in self.threads:
            thread.join()
        moments = sorted(self.answered)
        if len(moments) < 2:
            raise SystemExit(f"the API at {self.address} does not answer")
        return len(moments), self.failed, max(later - one for one, later in zip(moments, moments[1:]))


class Masters(Walk):
    """One control plane that grows, is replaced and shrinks, with or without a balancer."""

    def __init__(self, root, binary, directory, speed):
        fresh(directory)
        self.root, self.directory, self.speed = root, directory, speed
        self.region = Region(binary, os.path.join(directory, "region"), speed)
        with open(os.path.join(root, "examples/highly-available/pod-network.yaml")) as file:
            files = {"main.tf": MASTERS, "pod-network.yaml": file.read()}
        self.workspace = Workspace(os.path.join(directory, "masters"), files, self.region)

    def apply(self, masters, balanced, **variables):
        given = [f"{name}={value}" for name, value in variables.items()]
        given += [f"masters={json.dumps(masters)}", f"balanced={json.dumps(balanced)}"]
        return self.workspace.apply(*(argument for one in given for argument in ("-var", one)))

    def address(self):
        [address] = self.region.get("status")["addresses"]
        return address["address"]

    def watched(self, *arguments, **variables):
        """Seconds of an apply, and what a prober saw of it."""
        prober = Prober(self.address())
        time.sleep(0.5)
        try:
            took = self.apply(*arguments, **variables)
            time.sleep(0.5)
        finally:
            seen = prober.stop()
        return took, *seen

    def path(self):
        """Seconds of the critical path of two masters that join one after the other, at this speed."""
        cloud, guest = self.cloud_durations(), lambda file, name: constant(self.root, file, name)
        machine = guest("guests.rs", "KERNEL_BOOT") + guest("system/commands.rs", "INSTALL")
        files = guest("system/commands.rs", "FETCH") + guest("kubeadm/join_master.rs", "PULL_IMAGES")
        files += guest("kubeadm/join.rs", "PREPARE") + 3 * guest("kubeadm/join_master.rs", "WRITE_FILES")
        # Its member of etcd, then its API server: only then is there a Node that the pod network's pod can be bound to.
        serving = guest("kubeadm/join.rs", "START_KUBELET") + guest("kubelet/etcd.rs", "START")
        serving += guest("kubelet/control_plane.rs", "START")
        join = cloud["instances.insert"] + machine + files + serving + ready_duration(self.root)
        return 2 * (join + cloud["instanceGroups.addInstances"]) / self.speed


def rows(table, root, binary, directory, speed):
    """Adds them to the table."""
    fast = f"region {speed} times as fast"
    one, three = ZONES[:1], ZONES
    with Masters(root, binary, os.path.join(directory, "handover"), speed) as masters:
        masters.apply(one, False)
        there = masters.watched(one, True)
        back = masters.watched(one, False)
        cloud = masters.cloud_durations()
        ways = [
            ("to the balancer", there, "instances.deleteAccessConfig", "forwardingRules.insert"),
            ("back to the master", back, "forwardingRules.delete", "instances.addAccessConfig"),
        ]
        for name, (_, answered, failed, gap), detach, attach in ways:
            # The sandbox takes the address away when the first operation ends, and gives it when the second one does.
            table.add(
                f"handover gap {name}, {fast}",
                f"{gap:.2f} s; the cloud attaches for {cloud[attach] / speed:.2f} s of it (in a real region it detaches "
                f"for {cloud[detach]:.0f} s and attaches for {cloud[attach]:.0f} s); {failed} of {answered + failed} "
                "requests failed",
                "kube-up: about 15 minutes",
            )
    with Masters(root, binary, os.path.join(directory, "masters"), speed) as masters:
        masters.apply(one, True)
        other = {"machine_type": "n1-standard-4"}
        newer = other | {"kubernetes_version": "1.33.5"}
        for name, zones, variables in [
            ("1 to 3 masters", three, {}),
            ("3 masters replaced", three, other),
            ("3 masters upgraded", three, newer),
            ("3 to 1 masters", one, newer),
            ("1 master replaced", one, {"kubernetes_version": "1.33.5"}),
        ]:
            took, answered, failed, gap = masters.watched(zones, True, **variables)
            table.add(
                f"requests that fail, {name}, {fast}",
                f"{failed} of {answered + failed}; longest without an answer {gap:.2f} s",
                "none",
                failed == 0,
            )
            if name == "1 to 3 masters":
                path = masters.path()
                table.add(
                    f"{name}, {fast}",
                    f"{took:.1f} s; critical path {path:.1f} s",
                    f"within 10 %: {(took / path - 1) * 100:+.0f} %",
                    took <= 1.1 * path,
                )
