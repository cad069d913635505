#!/bin/bash
# Makes this machine a master: kubeadm join.
# Usage: multizone-join-control-plane CONFIGURATION [ETCD_MANIFEST [ETCD_METRICS_URL]]
#
# Nobody tries a join again that has failed: the machine switches itself off, so that the cloud shows at once that there
# is nothing to wait for, and another machine is made in its place.  One that votes in etcd stays on: without it etcd
# might have no quorum.
set -uo pipefail

configuration=$1
manifest=${2:-/etc/kubernetes/manifests/etcd.yaml}
metrics=${3:-http://127.0.0.1:2381/metrics}

votes() {
  [ -e "$manifest" ] || return 1
  ! curl -fsS --max-time 10 "$metrics" | grep -q '^etcd_server_is_learner 1$'
}

kubeadm join --config "$configuration" && exit 0
if votes; then
  echo "multizone: kubeadm join has failed after the machine had become a voter of etcd: it stays on" >&2
else
  echo "multizone: kubeadm join has failed: the machine switches itself off" >&2
  systemctl poweroff
fi
exit 1
