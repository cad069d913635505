#!/usr/bin/env bash
# What the release build weighs and how fast it starts, on this machine.
set -euo pipefail
. "$(dirname "$0")/terraform-environment.sh"
cd "$root"
need cargo "builds the provider"
need python3 "measures"
cargo build --locked --release -p multizone-provider
exec python3 scripts/bench.py "${CARGO_TARGET_DIR:-target}/release/terraform-provider-multizone"
