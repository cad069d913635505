#!/bin/bash
# Fetches the cluster's certificate authorities from Secrets Manager by the machine's identity.
# Usage: multizone-fetch-pki SECRET [REGION [SECRETS_MANAGER_URL [METADATA_URL [DIRECTORY]]]]
set -euo pipefail
umask 077

secret=$1
region=${2:-@REGION@}
secrets_manager=${3:-@SECRETS_MANAGER@}
metadata=${4:-http://169.254.169.254}
directory=${5:-/etc/kubernetes/pki}
pause=${MULTIZONE_RETRY_SECONDS:-5}

# kubeadm makes authorities of its own when it finds none: it refuses to while this is there.
mkdir -p "$directory"
echo "multizone: the certificate authorities have not been fetched" >"$directory/ca.crt"

# What curl signs requests with, as lines of its configuration.
signer() {
  local token role
  token=$(curl -fsS --max-time 20 -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 300' "$metadata/latest/api/token")
  local header="X-aws-ec2-metadata-token: $token" base=$metadata/latest/meta-data/iam/security-credentials/
  role=$(curl -fsS --max-time 20 -H "$header" "$base") || return 1
  curl -fsS --max-time 20 -H "$header" "$base$role" | python3 -c '
import json, sys
key = json.load(sys.stdin)
print("user = \"%s:%s\"" % (key["AccessKeyId"], key["SecretAccessKey"]))
print("header = \"X-Amz-Security-Token: %s\"" % key["Token"])
'
}

# The keys go to curl by standard input, so that no process list shows them. ca.crt is written last.
fetch() {
  local signer
  signer=$(signer) || return 1
  curl -fsS --max-time 20 --aws-sigv4 "aws:amz:$region:secretsmanager" --config - \
    -H 'Content-Type: application/x-amz-json-1.1' -H 'X-Amz-Target: secretsmanager.GetSecretValue' \
    --data "{\"SecretId\": \"$secret\"}" "$secrets_manager/" <<<"$signer" |
    python3 -c '
import base64, json, os, sys
secret = json.loads(base64.b64decode(json.load(sys.stdin)["SecretBinary"]))
if secret["format"] != 1:
    sys.exit("multizone: the secret has an unknown format")
for name in sorted(secret["files"], key=lambda name: name == "ca.crt"):
    path = os.path.join(sys.argv[1], name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as file:
        file.write(secret["files"][name])
' "$directory"
}

# A new machine identity may read the secret only after its grant has spread, which takes a while.
for attempt in {1..120}; do
  if fetch; then exit 0; fi
  echo "multizone: attempt $attempt of 120 to fetch secret $secret failed" >&2
  sleep "$pause"
done
exit 1
