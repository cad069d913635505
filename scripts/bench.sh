#!/usr/bin/env bash
# What the release build weighs, how fast it is and what it asks of the cloud, on this machine.  --quick: fewer
# runs.  Everything it writes is under .work/bench.
set -euo pipefail
. "$(dirname "$0")/terraform-environment.sh"
cd "$root"
need cargo "builds the provider"
need python3 "measures"
need terraform "1.11 or later"
need openssl "makes the client certificate that terraform would make"
profile=release
binary=${CARGO_TARGET_DIR:-$root/target}/release/terraform-provider-multizone
work=$root/.work/bench
mirror=$work/plugins
cargo build --locked --release -p multizone-provider
rm -rf "$mirror"
lay_out_mirror "$mirror"
write_terraform_configuration
exec python3 -B scripts/bench "$binary" "$work/run" "$@"
