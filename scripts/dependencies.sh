#!/usr/bin/env bash
# Licences, banned crates, sources and (where the advisory database can be fetched) advisories, by cargo-deny.
# cargo-deny is built into .work/tools unless one is installed.
set -euo pipefail
. "$(dirname "$0")/terraform-environment.sh"
cd "$root"
deny=$(command -v cargo-deny || true)
if [ -z "$deny" ]; then
  deny=$work/tools/bin/cargo-deny
  [ -x "$deny" ] || CARGO_TARGET_DIR=$work/tools/target cargo install cargo-deny --version 0.20.2 --locked --debug --quiet --root "$work/tools"
fi
"$deny" --all-features check licenses bans sources
if ! output=$(GIT_TERMINAL_PROMPT=0 "$deny" check advisories 2>&1); then
  case $output in
    *"failed to fetch advisory database"*) echo "SKIPPED: advisories: the advisory database cannot be fetched from here" >&2 ;;
    *) echo "$output"; exit 1 ;;
  esac
fi
