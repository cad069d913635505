#!/bin/bash
# Installs the container runtime and Kubernetes' node packages of one version, and holds them.
# Usage: multizone-install-kubernetes MINOR VERSION [KUBEADM_MINOR KUBEADM_VERSION], for example 1.34 1.34.1
set -euo pipefail

minor=$1
version=$2
kubeadm_minor=${3:-$minor}
kubeadm_version=${4:-$version}
export DEBIAN_FRONTEND=noninteractive

# Package hosts fail now and then, and a fresh machine's own updates hold the lock.
retry() {
  local attempt
  for attempt in {1..30}; do
    if "$@"; then return 0; fi
    echo "multizone: attempt $attempt of 30 failed: $*" >&2
    sleep 10
  done
  return 1
}
apt() { apt-get -o DPkg::Lock::Timeout=600 -q "$@"; }

retry apt update
retry apt install -y --no-install-recommends apt-transport-https ca-certificates curl containerd iproute2

install -d -m 0755 /etc/apt/keyrings
: >/etc/apt/sources.list.d/kubernetes.list
for line in $(printf '%s\n' "$minor" "$kubeadm_minor" | sort -u); do
  repository="https://pkgs.k8s.io/core:/stable:/v$line/deb"
  keyring="/etc/apt/keyrings/kubernetes-$line.asc"
  retry curl -fsSL --max-time 60 -o "$keyring" "$repository/Release.key"
  chmod 0644 "$keyring"
  echo "deb [signed-by=$keyring] $repository/ /" >>/etc/apt/sources.list.d/kubernetes.list
done
retry apt update
retry apt install -y "kubelet=$version-*" "kubeadm=$kubeadm_version-*" "kubectl=$version-*"
apt-mark hold kubelet kubeadm kubectl

# The kubelet and the container runtime must agree on the cgroup driver: systemd.
install -d -m 0755 /etc/containerd
containerd config default | sed 's/SystemdCgroup = false/SystemdCgroup = true/' >/etc/containerd/config.toml
grep -q 'SystemdCgroup = true' /etc/containerd/config.toml
systemctl enable containerd
systemctl restart containerd
