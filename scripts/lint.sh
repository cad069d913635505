#!/usr/bin/env bash
# Format, lints, dependency rules.
set -euo pipefail
. "$(dirname "$0")/terraform-environment.sh"
cd "$root"
cargo fmt --all --check
cargo clippy --locked --workspace --all-targets -- -D warnings
scripts/dependencies.sh
