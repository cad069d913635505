#!/usr/bin/env bash
# Builds the provider and lays it out in the user's plugin directory, where a plain `terraform init` looks.
set -euo pipefail
. "$(dirname "$0")/terraform-environment.sh"
need cargo "builds the provider: install Rust"
need terraform "1.11 or later"
(cd "$root" && cargo build --locked --profile "$profile" -p multizone-provider)
directory=${PLUGIN_DIRECTORY:-$HOME/.terraform.d/plugins}
lay_out_mirror "$directory"
echo "installed into $directory: required_providers { multizone = { source = \"multizone/multizone\" } }, then terraform init"
