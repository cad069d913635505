# Sourced by the other scripts: where the built provider is, and a terraform that finds it without touching the
# user's own configuration.  Sets $binary, $mirror and TF_CLI_CONFIG_FILE.
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
profile=${PROFILE:-dev}
case $profile in dev) profile_directory=debug ;; *) profile_directory=$profile ;; esac
binary=${CARGO_TARGET_DIR:-$root/target}/$profile_directory/terraform-provider-multizone
work=$root/.work
mirror=$work/plugins

need() { # need COMMAND WHY
  command -v "$1" >/dev/null 2>&1 && return
  echo "missing: $1 ($2)" >&2
  exit 1
}

# Copies the binary into DIRECTORY in the layout of a filesystem mirror.  The host part of the path is what terraform
# itself makes of the source address "multizone/multizone".
lay_out_mirror() { # lay_out_mirror DIRECTORY
  local probe address version platform target
  probe=$(mktemp -d)
  printf 'terraform {\n  required_providers {\n    multizone = { source = "multizone/multizone" }\n  }\n}\n' >"$probe/main.tf"
  address=$(TF_CLI_CONFIG_FILE=/dev/null terraform -chdir="$probe" providers | sed -n 's/.*provider\[\(.*\)\].*/\1/p' | head -n 1)
  rm -r "$probe"
  [ -n "$address" ] || { echo "terraform providers did not print the provider's address" >&2; return 1; }
  version=$(sed -n 's/^version = "\(.*\)"/\1/p' "$root/Cargo.toml" | head -n 1)
  platform=$(TF_CLI_CONFIG_FILE=/dev/null terraform version | sed -n 's/^on //p')
  target=$1/$address/$version/$platform
  mkdir -p "$target"
  # A new file, not an overwrite: a provider or sandbox that still runs keeps the old one.
  cp "$binary" "$target/.new"
  mv -f "$target/.new" "$target/terraform-provider-multizone_v$version"
}

write_terraform_configuration() {
  mkdir -p "$work"
  cat >"$work/terraform.rc" <<RC
provider_installation {
  filesystem_mirror {
    path = "$mirror"
  }
}
disable_checkpoint = true
RC
  export TF_CLI_CONFIG_FILE=$work/terraform.rc
}
