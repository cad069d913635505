"""Looks at moto's cloud with boto3, an independent client: evaluates the program given as the first argument, in which
`ec2`, `elbv2`, `secretsmanager` and `iam` are clients, and prints what it left in `answer` as JSON.  AWS_ENDPOINT_URL and
AWS_REGION say where."""

import json
import os
import sys

import boto3

clients = {
    name: boto3.client(
        name,
        endpoint_url=os.environ["AWS_ENDPOINT_URL"],
        region_name=os.environ["AWS_REGION"],
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    for name in ("ec2", "elbv2", "secretsmanager", "iam")
}
names = dict(clients, answer=None)
exec(compile(sys.argv[1], "the test's program", "exec"), names)
json.dump(names["answer"], sys.stdout, default=str)
