"""Start-up time, memory and size of a provider binary, as a table.  Minima over several runs."""

import os
import subprocess
import sys
import time

COOKIE = "d602bf8f470bc67ca7faa0386276bbdd4330efaf76d1a219cb4d6991ca9872b2"
RUNS = 20


def start(binary):
    """Starts the provider as terraform does and returns seconds to the handshake line and peak resident KiB."""
    environment = dict(os.environ, TF_PLUGIN_MAGIC_COOKIE=COOKIE, PLUGIN_PROTOCOL_VERSIONS="6")
    began = time.perf_counter()
    process = subprocess.Popen(
        [binary], env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL
    )
    line = process.stdout.readline()
    took = time.perf_counter() - began
    with open(f"/proc/{process.pid}/status") as status:
        peak = next(int(l.split()[1]) for l in status if l.startswith("VmHWM"))
    process.kill()
    process.wait()
    if not line.startswith(b"1|6|unix|"):
        raise SystemExit(f"not a handshake: {line!r}")
    return took, peak


def main():
    binary = sys.argv[1]
    samples = [start(binary) for _ in range(RUNS)]
    rows = [
        ("binary size", f"{os.path.getsize(binary) / 2**20:.1f} MiB", "under 40 MB"),
        ("spawn to handshake", f"{min(s[0] for s in samples) * 1000:.1f} ms", "under 10 ms"),
        ("peak resident memory at handshake", f"{min(s[1] for s in samples) / 1024:.1f} MiB", "under 25 MB"),
    ]
    print(f"{os.cpu_count()} cores, minimum of {RUNS} runs")
    for name, value, aim in rows:
        print(f"  {name:<36}{value:>12}   aim: {aim}")


if __name__ == "__main__":
    main()
