"""What the release build weighs, how fast it is and what it asks of the cloud, as a table.

Usage: python3 scripts/bench BINARY DIRECTORY [--quick]

Compared commands are run in turns, so that both meet the same machine.  Shown are minima, with medians where single
runs vary; the aims are judged by the minima.
"""

import os
import re
import subprocess
import sys
import time
from statistics import median

import aws_cluster
import masters
import on_aws
from start import Client, measure
from walk_through import Walk
from workspace import Region, Workspace, cluster, data, disks, fresh

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
# Far above what the machine can keep up with: what is left is the programs' own time.
FULL_SPEED = 3600
WALK_SPEEDS = (60, 10)
# What does not scale with the region (real work, the shortest pauses) is a tenth of what it would be at full speed.
MASTERS_SPEED = 10
STARTS = 30
# Disks: pairs of plans.
PLANS = {1: 12, 100: 8, 1000: 5}
QUICK_PLANS = {1: 5, 100: 5, 1000: 2}


class Table:
    """Rows of a measurement, its value, and its aim."""

    def __init__(self):
        self.rows = []

    def add(self, name, value, aim="", met=None):
        judged = "" if met is None else ("met" if met else "MISSED")
        self.rows.append((name, value, aim, judged))
        print(f"  {name}: {value}  {judged}", file=sys.stderr, flush=True)

    def skip(self, name, why, details=""):
        """Says loudly what could not be measured."""
        self.rows.append((name, f"not measured: {why}", "", "SKIPPED"))
        print(f"  {name}: NOT MEASURED: {why}\n{details}", file=sys.stderr, flush=True)

    def try_to(self, name, measure, *arguments):
        """Measures; what goes wrong is a row of the table, and no reason to lose the others."""
        began = time.perf_counter()
        try:
            measure(self, *arguments)
        except (Exception, SystemExit) as error:
            self.skip(name, f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}", str(error))
        print(f"  ({name}: {time.perf_counter() - began:.0f} s)", file=sys.stderr, flush=True)

    def print(self):
        widths = [max(len(row[column]) for row in self.rows) for column in range(4)]
        for row in self.rows:
            print("  ".join(text.ljust(width) for text, width in zip(row, widths)).rstrip())


def milliseconds(samples):
    return f"{min(samples) * 1000:.1f} ms (median {median(samples) * 1000:.1f})"


def seconds(samples):
    return f"{min(samples):.2f} s (median {median(samples):.2f})"


def binary_size(table, binary):
    size = os.path.getsize(binary)
    table.add("release binary", f"{size / 1e6:.1f} MB", "under 40 MB", size < 40e6)


def starts(table, binary, directory):
    client = Client(directory)
    samples = [measure(binary, client) for _ in range(STARTS)]
    handshake, schema = ([sample[column] for sample in samples] for column in (0, 1))
    table.add("spawn to handshake", milliseconds(handshake), "under 10 ms", min(handshake) < 0.010)
    name = f"spawn to schema reply ({samples[0][2] / 1000:.0f} kB, mutual TLS)"
    table.add(name, milliseconds(schema), "under 10 ms", min(schema) < 0.010)


def planning(table):
    """The planner's own benchmarks; their limits are those of issue-sized clusters: a step, and a whole preview."""
    command = ["cargo", "bench", "--locked", "-p", "multizone-planner", "--bench", "planning", "--"]
    ran = subprocess.run([*command, "--output-format", "bencher"], cwd=ROOT, capture_output=True, text=True)
    found = re.findall(r"^test (.+?) \.\.\. bench:\s+([\d,]+) ns/iter", ran.stdout, re.MULTILINE)
    if not found:
        table.skip("the planner's benchmarks", f"{' '.join(command)} ended with {ran.returncode}", ran.stderr)
    for name, nanoseconds in found:
        took = int(nanoseconds.replace(",", "")) / 1e9
        limit, aim = (5e-3, "under 5 ms") if name.startswith("preview") else (50e-6, "under 50 µs")
        text = f"{took * 1e6:.1f} µs" if took < 1e-3 else f"{took * 1e3:.2f} ms"
        table.add(f"planner: {name}", text, aim, took < limit)


def creates(table, directory, region):
    Workspace(os.path.join(directory, "create-cluster"), {"main.tf": cluster("create")}, region).apply()
    ours = Workspace(os.path.join(directory, "create-disks"), {"main.tf": disks(100, "create")}, region)
    theirs = Workspace(os.path.join(directory, "create-data"), {"main.tf": data(100, "create")})
    before = region.requests()
    created = ours.apply()
    requests = region.requests() - before
    table.add("create of 100 disks", f"{created:.2f} s, {requests} cloud calls")
    table.add("  100 terraform_data", f"{theirs.apply():.2f} s")


def plans(table, directory, region, runs):
    for count, pairs in runs.items():
        name = f"bench-{count}"
        Workspace(os.path.join(directory, f"cluster-{count}"), {"main.tf": cluster(name)}, region).apply()
        ours = Workspace(os.path.join(directory, f"disks-{count}"), {"main.tf": disks(1, name)}, region)
        theirs = Workspace(os.path.join(directory, f"data-{count}"), {"main.tf": data(1, name)})
        ours.apply()
        ours.plan()  # the first read after a create takes its mark away
        theirs.apply()
        region.copy_disk("us-central1-a", f"{name}-data-0", count)
        ours.multiply(count, disks(count, name))
        theirs.multiply(count, data(count, name))
        before = region.requests()
        ours.plan()
        requests = region.requests() - before
        if count == max(runs):
            table.add(f"cloud calls of a refresh of {count} disks", str(requests), "under 10", requests < 10)
        samples = [(ours.plan(), theirs.plan()) for _ in range(pairs)]
        mine, built_in = ([sample[column] for sample in samples] for column in (0, 1))
        ratio = min(mine) / min(built_in)
        table.add(f"plan of {count} unchanged disk{'s' if count > 1 else ''}", seconds(mine))
        table.add(
            f"  {count} terraform_data", seconds(built_in), f"disks within 10 %: {(ratio - 1) * 100:+.0f} %", ratio <= 1.1
        )
        watched = [ours.watched_plan() for _ in range(3)]
        peak, own, _ = max(watched)
        table.add(
            f"  peak resident memory of the provider, {count}",
            f"{peak * 1024 / 1e6:.1f} MB ({own * 1024 / 1e6:.1f} MB without the binary's pages)",
            "under 25 MB",
            peak * 1024 < 25e6,
        )
        table.add(f"  processor time of the provider's processes, {count}", f"{min(run[2] for run in watched):.3f} s")


def walks(table, binary, directory, speeds, runs):
    for speed in speeds:
        walked = []
        for _ in range(runs if speed == max(speeds) else 1):
            with Walk(ROOT, binary, os.path.join(directory, f"walk-{speed}"), speed) as walk:
                walked.append((walk.run(), walk.paths(ROOT)))
        took, paths = min(walked, key=lambda it: sum(it[0].values()))
        total, path = sum(took.values()), sum(paths.values())
        table.add(
            f"walk-through, region {speed} times as fast",
            f"{total:.1f} s; critical path {path:.1f} s",
            f"within 10 %: {(total / path - 1) * 100:+.0f} %",
            total <= 1.1 * path,
        )
        for step, one in took.items():
            table.add(f"  {step}", f"{one:.1f} s; critical path {paths[step]:.1f} s")


def main():
    binary, directory = (os.path.abspath(argument) for argument in sys.argv[1:3])
    quick = "--quick" in sys.argv
    fresh(directory)
    table = Table()
    version = subprocess.run(["terraform", "version"], check=True, capture_output=True, text=True).stdout.split("\n")[0]
    binary_size(table, binary)
    table.try_to("starts", starts, binary, directory)
    table.try_to("planner", planning)
    with Region(binary, os.path.join(directory, "region"), FULL_SPEED) as region:
        table.try_to("create", creates, directory, region)
        table.try_to("plans", plans, directory, region, QUICK_PLANS if quick else PLANS)
    speeds, runs = (WALK_SPEEDS[:1], 1) if quick else (WALK_SPEEDS, 2)
    table.try_to("walk-through", walks, binary, directory, speeds, runs)
    table.try_to("AWS on moto", on_aws.rows, ROOT, directory)
    table.try_to("a cluster on moto", aws_cluster.rows, ROOT, directory)
    table.try_to("masters", masters.rows, ROOT, binary, directory, MASTERS_SPEED)
    print(f"\n{os.cpu_count()} cores, {version}; load {os.getloadavg()[0]:.1f} at the end")
    table.print()


if __name__ == "__main__":
    main()
