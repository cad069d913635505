"""Validates recorded exchanges against Google's discovery documents.

    validate.py [--at-least N] RECORDING...

Prints what was validated and every violation; fails when there is a violation, or fewer than N exchanges.
"""

import argparse
import collections
import json
import re
import sys
from urllib.parse import parse_qsl, urlsplit

import batch
import tolerated
from discovery import Api, document
from schemas import Validators, convert, read_only_fields, validator

# Where Compute Engine takes batches; no discovery document has it as a method.
BATCH = "/batch/compute/v1"

# The sandbox's own API is none of Google's.
NOT_GOOGLES = "/sandbox/"

# Where Compute Engine's links point, whatever host was asked.
LINK_BASE = urlsplit("https://www.googleapis.com/compute/v1/")

CANONICAL_CODES = (
    "CANCELLED UNKNOWN INVALID_ARGUMENT DEADLINE_EXCEEDED NOT_FOUND ALREADY_EXISTS PERMISSION_DENIED UNAUTHENTICATED "
    "RESOURCE_EXHAUSTED FAILED_PRECONDITION ABORTED OUT_OF_RANGE UNIMPLEMENTED INTERNAL UNAVAILABLE DATA_LOSS"
).split()


def error_schema(code, *, reasons):
    """The body of a refusal, which no discovery document describes; Compute Engine's has a list of reasons as well."""
    reason = {
        "type": "object",
        "properties": {name: {"type": "string"} for name in ("message", "domain", "reason", "location", "locationType")},
        "required": ["message", "domain", "reason"],
        "additionalProperties": False,
    }
    error = {
        "type": "object",
        "properties": {
            "code": {"const": code},
            "message": {"type": "string", "minLength": 1},
            "status": {"enum": CANONICAL_CODES},
            "details": {"type": "array"},
        },
        "required": ["code", "message"],
        "additionalProperties": False,
    }
    if reasons:
        error["properties"]["errors"] = {"type": "array", "items": reason, "minItems": 1}
        error["required"].append("errors")
    else:
        error["required"].append("status")
    return {
        "type": "object",
        "properties": {"error": error},
        "required": ["error"],
        "additionalProperties": False,
    }


class Validation:
    """Validates exchanges one by one and remembers what it saw."""

    def __init__(self, apis):
        self._apis = [(api, Validators(api.schemas)) for api in apis]
        self._small = {}
        self.methods = collections.Counter()
        self.refusals = collections.Counter()
        self.batches = 0
        self.unanswered = 0
        # Requests that the schema forbids and that were refused as such.
        self.rightly_refused = 0
        self.tolerated = collections.Counter()
        # What is wrong, and how often.
        self.violations = collections.Counter()

    @property
    def exchanges(self):
        return sum(self.methods.values())

    def exchange(self, exchange):
        """Validates one exchange and returns what is wrong with it."""
        request, response = exchange["request"], exchange["response"]
        target = urlsplit(request["target"])
        if target.path.startswith(NOT_GOOGLES):
            return []
        if target.path == BATCH:
            return self._batch(exchange)
        found = self._find(request["method"], target.path)
        if found is None:
            self.methods["(none)"] += 1
            wrong = [f"{request['method']} {target.path}: no such method{self._other_verbs(target.path)}"]
        else:
            api, validators, method, variables = found
            self.methods[method.id] += 1
            wrong = [f"{method.id} request: {it}" for it in self._request(api, validators, method, variables, request)]
            if wrong and response["status"] == 400:
                # A client may try what the API forbids: the region's part is to refuse it.
                self.rightly_refused += 1
                wrong = []
            wrong += [
                f"{method.id} {response['status']}: {it}"
                for it in self._response(api, validators, method, target.path, response)
            ]
        self.violations.update(wrong)
        return wrong

    def _batch(self, exchange):
        try:
            exchanges = batch.unpack(exchange)
        except ValueError as error:
            self.violations[f"batch: {short(str(error))}"] += 1
            return [f"batch: {error}"]
        self.batches += 1
        return [it for inner in exchanges for it in self.exchange(inner)]

    def _find(self, verb, path):
        for api, validators in self._apis:
            if found := api.find(verb, path):
                return api, validators, *found
        return None

    def _other_verbs(self, path):
        verbs = sorted({verb for api, _ in self._apis for verb in api.verbs(path)})
        return f" (the path takes {', '.join(verbs)})" if verbs else ""

    def _request(self, api, validators, method, variables, request):
        for name, value in variables.items():
            if name in method.parameters:
                yield from self._parameter(name, value, method.parameters[name])
        yield from self._query(api, method, urlsplit(request["target"]).query)
        if method.request is None:
            if request["body"] == "{}":
                self.tolerated["{} where no body is taken", tolerated.EMPTY_BODY_WHY] += 1
            elif request["body"]:
                yield f"has a body: {short(request['body'])}"
            return
        yield from content_type(request["headers"])
        try:
            body = json.loads(request["body"])
        except ValueError as error:
            yield f"is not JSON ({error}): {short(request['body'])}"
            return
        yield from errors(validators.request(method.request, method.id), body)
        for path in read_only_fields(api.schemas, {"$ref": method.request}, body):
            path = re.sub(r"/\d+(?=/|$)", "", path)
            if (method.id, path) in tolerated.READ_ONLY_FIELDS:
                self.tolerated[f"{method.id}: field {path}", tolerated.READ_ONLY_FIELDS[method.id, path]] += 1
            else:
                yield f"{path} is set by the server only"

    def _query(self, api, method, query):
        known = {**api.common_parameters, **method.query_parameters()}
        given = parse_qsl(query, keep_blank_values=True)
        for name, value in given:
            if name in known:
                spelling = tolerated.BOOLEANS.get(value) if known[name]["type"] == "boolean" else None
                if spelling:
                    self.tolerated[f"{value} for {spelling}", tolerated.BOOLEANS_WHY] += 1
                yield from self._parameter(name, spelling or value, known[name])
            elif name in tolerated.QUERY_PARAMETERS:
                self.tolerated[f"query parameter {name}", tolerated.QUERY_PARAMETERS[name]] += 1
            else:
                yield f"unknown query parameter {name}={short(value)}"
        names = collections.Counter(name for name, _ in given)
        for name, count in names.items():
            if count > 1 and not known.get(name, {}).get("repeated"):
                yield f"query parameter {name} is given {count} times"
        for name, it in known.items():
            if it.get("required") and name not in names:
                yield f"query parameter {name} is missing"

    def _parameter(self, name, text, parameter):
        """A parameter is text; what it stands for has the parameter's type."""
        value = text
        if parameter["type"] == "boolean":
            value = {"true": True, "false": False}.get(text, text)
        elif parameter["type"] in ("integer", "number"):
            try:
                value = json.loads(text)
            except ValueError:
                pass
        schema = convert({key: value for key, value in parameter.items() if key != "repeated"})
        for it in errors(self._validator(schema), value):
            yield f"parameter {name}: {it}"

    def _response(self, api, validators, method, path, response):
        if response["status"] == 0:
            # The connection ended: a test killed the region, or the client.
            self.unanswered += 1
            return
        yield from content_type(response["headers"])
        try:
            body = json.loads(response["body"])
        except ValueError as error:
            yield f"is not JSON ({error}): {short(response['body'])}"
            return
        if response["status"] >= 300:
            self.refusals[response["status"]] += 1
            yield from errors(self._validator(error_schema(response["status"], reasons=api.name == "compute")), body)
        else:
            yield from errors(validators.answer(method.response), body)
            yield from self._links(api, method, path, body)

    def _links(self, api, method, path, body):
        """Every link leads to something that can be got, and an object's link to itself is where it was got."""
        for link in links(body):
            if not api.find("GET", LINK_BASE.path + link):
                yield f"a link leads nowhere: {link}"
        if method.id.endswith(".get") and isinstance(body, dict) and "selfLink" in body:
            if urlsplit(body["selfLink"]).path != path:
                yield f"selfLink of {path} is {body['selfLink']}"

    def _validator(self, schema):
        key = json.dumps(schema, sort_keys=True)
        if key not in self._small:
            self._small[key] = validator(schema)
        return self._small[key]


def links(value):
    """The links in an answer, without their common beginning."""
    if isinstance(value, str):
        if value.startswith(LINK_BASE.geturl()):
            yield value.removeprefix(LINK_BASE.geturl())
    elif isinstance(value, (list, dict)):
        for it in value.values() if isinstance(value, dict) else value:
            yield from links(it)


def errors(of, instance):
    for error in of.iter_errors(instance):
        path = "".join(f"/{it}" for it in error.instance_path if not isinstance(it, int))
        yield f"{path or '(body)'}: {short(error.message)}"


def content_type(headers):
    given = next((value for name, value in headers.items() if name.lower() == "content-type"), None)
    if given is None or given.split(";")[0].strip().lower() != "application/json":
        yield f"content type {given}"


def short(text, length=300):
    return text if len(text) <= length else text[: length // 2] + " ... " + text[-length // 2 :]


def report(validation, apis):
    revisions = ", ".join(f"{api.name} v1 revision {api.revision}" for api in apis)
    print(f"against {revisions}")
    for method, count in sorted(validation.methods.items()):
        print(f"  {count:6} {method}")
    for status, count in sorted(validation.refusals.items()):
        print(f"  {count:6} refusals with {status}")
    if validation.batches:
        print(f"  {validation.batches:6} batches, whose requests are counted above")
    if validation.rightly_refused:
        print(f"  {validation.rightly_refused:6} requests that the schema forbids, and that were refused with 400")
    if validation.unanswered:
        print(f"  {validation.unanswered:6} requests without an answer")
    for (what, why), count in sorted(validation.tolerated.items()):
        print(f"tolerated {count:6} times: {what}: {why}")
    for what, count in validation.violations.most_common():
        print(f"VIOLATION {count:6} times: {what}")
    print(
        f"wire truth: {validation.exchanges} exchanges of {len(validation.methods)} methods validated, "
        f"{sum(validation.violations.values())} violations"
    )


def main():
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("--at-least", type=int, default=1, help="fail when fewer exchanges were recorded")
    arguments.add_argument("recordings", nargs="+")
    arguments = arguments.parse_args()
    apis = [Api(document(name)) for name in ("compute", "secretmanager", "iam")]
    validation = Validation(apis)
    for path in arguments.recordings:
        with open(path, encoding="utf-8") as recording:
            for line in recording:
                validation.exchange(json.loads(line))
    report(validation, apis)
    if validation.exchanges < arguments.at_least:
        print(f"TOO FEW: {arguments.at_least} exchanges were expected at least")
        sys.exit(1)
    sys.exit(1 if validation.violations else 0)


if __name__ == "__main__":
    main()
