#!/bin/bash
# Holds the API's address on the loopback device while this master's own API server serves, and only then: with the
# address this machine reaches itself, without it the balancer or the master that holds the address.
# Usage: multizone-api-route ADDRESS/PREFIX [READYZ_URL]
set -uo pipefail

address=$1
readyz=${2:-https://127.0.0.1:6443/readyz}
pause=${MULTIZONE_RETRY_SECONDS:-1}

# The cloud's agent adds the balancer's address to the machine for good, serving or not.
agent=/etc/default/instance_configs.cfg
if [ -d /etc/default ] && systemctl cat google-guest-agent >/dev/null 2>&1 && ! grep -qs '^ip_forwarding = false' "$agent"; then
  printf '[NetworkInterfaces]\nip_forwarding = false\n' >>"$agent"
  systemctl restart google-guest-agent
fi

failures=0
while true; do
  # Whoever answers on the loopback device is this machine: there is no certificate to check.
  if curl -fsSk --max-time 2 -o /dev/null "$readyz" 2>/dev/null; then
    failures=0
    ip address replace "$address" dev lo
  else
    failures=$((failures + 1))
    # One slow answer is not the end: the address goes at the third.
    if [ "$failures" -ge 3 ]; then ip address delete "$address" dev lo 2>/dev/null; fi
  fi
  sleep "$pause"
done
