"""The actions in moto's recording (the first argument), as IAM names them, but for those of boto3: one a line."""

import base64
import json
import re
import sys
import urllib.parse

actions = set()
for line in open(sys.argv[1], encoding="utf-8"):
    request = json.loads(line)
    headers = {name.lower(): value for name, value in request["headers"].items()}
    if headers.get("user-agent", "").startswith("Boto3/"):
        continue
    service = re.search(r"Credential=[^/]+/\d+/[^/]+/([^/]+)/aws4_request", headers.get("authorization", ""))
    if service is None:
        continue
    body = request["body"]
    body = base64.b64decode(body).decode() if request.get("body_encoded") else body
    if "x-amz-target" in headers:
        action = headers["x-amz-target"].rsplit(".", 1)[1]
    else:
        action = urllib.parse.parse_qs(body)["Action"][0]
    actions.add(f"{service[1]}:{action}")
print("\n".join(sorted(actions)))
