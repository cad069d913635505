#!/bin/bash
# Fetches the cluster's certificate authorities from Secret Manager by the machine's identity.
# Usage: multizone-fetch-pki SECRET [PROJECT [SECRET_MANAGER_URL [METADATA_URL [DIRECTORY]]]]
set -euo pipefail
umask 077

secret=$1
project=${2:-@PROJECT@}
secret_manager=${3:-@SECRET_MANAGER@}
metadata=${4:-http://metadata.google.internal}
directory=${5:-/etc/kubernetes/pki}
pause=${MULTIZONE_RETRY_SECONDS:-5}

# kubeadm makes authorities of its own when it finds none: it refuses to while this is there.
mkdir -p "$directory"
echo "multizone: the certificate authorities have not been fetched" >"$directory/ca.crt"

token() {
  curl -fsS --max-time 20 -H 'Metadata-Flavor: Google' \
    "$metadata/computeMetadata/v1/instance/service-accounts/default/token" |
    python3 -c 'import json, sys; print(json.load(sys.stdin)["access_token"])'
}

# The token goes to curl by standard input, so that no process list shows it. ca.crt is written last.
fetch() {
  local token
  token=$(token) || return 1
  curl -fsS --max-time 20 --config - \
    "$secret_manager/v1/projects/$project/secrets/$secret/versions/latest:access" \
    <<<"header = \"Authorization: Bearer $token\"" |
    python3 -c '
import base64, json, os, sys
secret = json.loads(base64.b64decode(json.load(sys.stdin)["payload"]["data"]))
if secret["format"] != 1:
    sys.exit("multizone: the secret has an unknown format")
for name in sorted(secret["files"], key=lambda name: name == "ca.crt"):
    path = os.path.join(sys.argv[1], name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as file:
        file.write(secret["files"][name])
' "$directory"
}

# A new machine identity may read the secret only after its grant has spread, which takes minutes.
for attempt in {1..120}; do
  if fetch; then exit 0; fi
  echo "multizone: attempt $attempt of 120 to fetch secret $secret failed" >&2
  sleep "$pause"
done
exit 1
