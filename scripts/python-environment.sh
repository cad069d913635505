#!/usr/bin/env bash
# The virtual environment of the tests' Python programs, in .work/venv: made once, made anew when the requirements
# change.  Fails, saying what is missing, when it cannot be made; the tests that need it then skip.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
venv=$root/.work/venv
requirements=$root/acceptance-tests/wire-truth/requirements.txt

missing() { # missing WHAT WHY
  echo "missing: $1 ($2); the wire-truth tests will be skipped" >&2
  exit 1
}

works() { "$venv/bin/python" -c 'import googleapiclient, jsonschema_rs' >/dev/null 2>&1; }

cmp -s "$requirements" "$venv/requirements.txt" && works && exit

command -v python3 >/dev/null 2>&1 || missing python3 "validates the wire format"
python3 -c 'import sys; sys.exit(sys.version_info < (3, 10))' || missing "python3 3.10 or later" "validates the wire format"
python3 -c 'import ensurepip, venv' >/dev/null 2>&1 || missing "python3's venv module" "on Debian the package python3-venv"

rm -rf "$venv"
mkdir -p "$root/.work"
python3 -m venv "$venv"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps -r "$requirements" ||
  missing "the packages of acceptance-tests/wire-truth/requirements.txt" "pip could not install them: see above"
works || missing "a working googleapiclient or jsonschema_rs" "installed into .work/venv, but it cannot be imported"
cp "$requirements" "$venv/requirements.txt"
