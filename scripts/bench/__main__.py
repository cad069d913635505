"""What the release build weighs, how fast it is and what it asks of the cloud, as a table.

Usage: python3 scripts/bench BINARY DIRECTORY [--quick]

Compared commands are run in turns, so that both meet the same machine.  Shown are minima, with medians where single
runs vary; the aims are judged by the minima.
"""

import os
import subprocess
import sys
from statistics import median

from start import Client, measure
from walk_through import Walk
from workspace import Region, Workspace, data, disks, fresh

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
# Far above what the machine can keep up with: what is left is the programs' own time.
FULL_SPEED = 3600
WALK_SPEEDS = (60, 10)
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


def creates(table, directory, region):
    ours = Workspace(os.path.join(directory, "create-disks"), {"main.tf": disks(100, "create")}, region)
    theirs = Workspace(os.path.join(directory, "create-data"), {"main.tf": data(100, "create")})
    before = region.requests()
    created = ours.apply()
    requests = region.requests() - before
    table.add("create of 100 disks", f"{created:.2f} s, {requests} cloud calls")
    table.add("  100 terraform_data", f"{theirs.apply():.2f} s")


def plans(table, directory, region, runs):
    for count, pairs in runs.items():
        cluster = f"bench-{count}"
        ours = Workspace(os.path.join(directory, f"disks-{count}"), {"main.tf": disks(1, cluster)}, region)
        theirs = Workspace(os.path.join(directory, f"data-{count}"), {"main.tf": data(1, cluster)})
        ours.apply()
        ours.plan()  # the first read after a create takes its mark away
        theirs.apply()
        region.copy_disk("us-central1-a", f"{cluster}-data-0", count)
        ours.multiply(count, disks(count, cluster))
        theirs.multiply(count, data(count, cluster))
        before = region.requests()
        ours.plan()
        requests = region.requests() - before
        if count == max(runs):
            table.add(f"cloud calls of a refresh of {count} disks", str(requests), "under 10", requests < 10)
        samples = [(ours.plan(), theirs.plan()) for _ in range(pairs)]
        mine, built_in = ([sample[column] for sample in samples] for column in (0, 1))
        ratio = min(mine) / min(built_in)
        name = f"plan of {count} unchanged disk{'s' if count > 1 else ''}"
        table.add(name, seconds(mine))
        table.add(
            f"  {count} terraform_data", seconds(built_in), f"disks within 10 %: {(ratio - 1) * 100:+.0f} %", ratio <= 1.1
        )
        peaks = [ours.peak_memory_of_plan() for _ in range(3)]
        peak, own = max(peaks)
        table.add(
            f"  peak resident memory of the provider, {count}",
            f"{peak * 1024 / 1e6:.1f} MB ({own * 1024 / 1e6:.1f} MB without the binary's pages)",
            "under 25 MB",
            peak * 1024 < 25e6,
        )


def walks(table, binary, directory, speeds, runs):
    for speed in speeds:
        walked = []
        for _ in range(runs if speed == max(speeds) else 1):
            walk = Walk(ROOT, binary, os.path.join(directory, f"walk-{speed}"), speed)
            walked.append((walk.run(), walk.paths(ROOT)))
            walk.close()
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
    starts(table, binary, directory)
    region = Region(binary, os.path.join(directory, "region"), FULL_SPEED)
    try:
        creates(table, directory, region)
        plans(table, directory, region, QUICK_PLANS if quick else PLANS)
    finally:
        region.remove()
    walks(table, binary, directory, WALK_SPEEDS[:1] if quick else WALK_SPEEDS, 1 if quick else 2)
    print(f"\n{os.cpu_count()} cores, {version}; load {os.getloadavg()[0]:.1f} at the end")
    table.print()


if __name__ == "__main__":
    main()
