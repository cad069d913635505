#!/usr/bin/env bash
# Runs the built provider binary with the given arguments.
set -euo pipefail
. "$(dirname "$0")/terraform-environment.sh"
exec "$binary" "$@"
