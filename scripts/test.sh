#!/usr/bin/env bash
# Everything: lints, unit, property and acceptance tests, docs check.  Missing optional counterparts are said loudly.
set -euo pipefail
. "$(dirname "$0")/terraform-environment.sh"
cd "$root"
need cargo "builds everything: install Rust"
need terraform "the acceptance tests drive it: 1.11 or later"
need python3 "some counterparts are Python programs"

has() { command -v "$1" >/dev/null 2>&1; }

# Debian's cloud-init and etcd, only where that is possible without asking.  etcd is unpacked into the checkout: as an
# installed package it would start a service of its own.
etcd=${MULTIZONE_ETCD-$work/etcd/usr/bin/etcd}
if [ "$(id -u)" = 0 ] && has apt-get && ! { has cloud-init && { has etcd || has "$etcd"; }; }; then
  apt-get update -qq >/dev/null 2>&1 || true
  has cloud-init || DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends cloud-init >/dev/null 2>&1 || true
  if ! has etcd && ! has "$etcd"; then
    mkdir -p "$work/etcd"
    (cd "$work/etcd" && apt-get download -qq etcd-server && dpkg-deb -x etcd-server_*.deb .) >/dev/null 2>&1 || true
  fi
fi
if ! has etcd && has "$etcd"; then export MULTIZONE_ETCD=$etcd; fi
# And etcd's program for snapshots, which the test of restoring one runs.
etcdctl=${MULTIZONE_ETCDCTL-$work/etcd/usr/bin/etcdctl}
if [ "$(id -u)" = 0 ] && has apt-get && ! has etcdctl && ! has "$etcdctl"; then
  mkdir -p "$work/etcd"
  (cd "$work/etcd" && apt-get download -qq etcd-client && dpkg-deb -x etcd-client_*.deb .) >/dev/null 2>&1 || true
fi
if ! has etcdctl && has "$etcdctl"; then export MULTIZONE_ETCDCTL=$etcdctl; fi
scripts/python-environment.sh || echo "SKIPPED: the tests that need Python packages: .work/venv could not be made" >&2
for counterpart in kubectl gcloud cloud-init "${MULTIZONE_ETCD:-etcd}" "${MULTIZONE_ETCDCTL:-etcdctl}"; do
  has "$counterpart" || echo "SKIPPED: the tests against $counterpart: it is not installed" >&2
done

scripts/lint.sh --except-clippy
export RUST_BACKTRACE=1 CARGO_TERM_COLOR=never
export MULTIZONE_PROVIDER=$binary
# One build for all that follows, which lints as it compiles: every other selection of packages and targets, and a check of
# its own, would compile the third-party crates once more.
need clippy-driver "lints what is built: rustup component add clippy"
export RUSTC_WORKSPACE_WRAPPER=$root/scripts/linting-rustc.sh
cargo build --locked --workspace --all-targets
TF_CLI_CONFIG_FILE=/dev/null terraform fmt -check -recursive examples modules
"$binary" docs --directory docs --check
cargo test --locked --workspace --doc
rm -rf .work/interruption .work/prober
status=0
# Half of their time tests wait: for processes to start, for the region's clocks, for a poll.
cores=$(getconf _NPROCESSORS_ONLN)
export NEXTEST_TEST_THREADS=${NEXTEST_TEST_THREADS:-$((2 * cores))} RUST_TEST_THREADS=${RUST_TEST_THREADS:-$((2 * cores))}
if has cargo-nextest; then
  cargo nextest run --locked --workspace --no-fail-fast || status=$?
else
  cargo test --locked --workspace --no-fail-fast --bins --lib --tests || status=$?
fi
scripts/terraform-versions.sh || status=$?
cat .work/interruption/*.txt 2>/dev/null | awk '{ print; points += $(NF - 1) } END { print "interruption points in all: " points + 0 }' || true
cat .work/prober/*.txt 2>/dev/null || true
grep -h '^wire truth' .work/wire-truth/*.txt 2>/dev/null || true
exit "$status"
