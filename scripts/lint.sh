#!/usr/bin/env bash
# Format, lints, dependency rules.  --except-clippy: without the lints that the build of make test finds as it compiles.
set -euo pipefail
. "$(dirname "$0")/terraform-environment.sh"
cd "$root"
cargo fmt --all --check
[ "${1-}" = --except-clippy ] || cargo clippy --locked --workspace --all-targets -- -D warnings
scripts/dependencies.sh
