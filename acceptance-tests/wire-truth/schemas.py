"""Discovery schemas as JSON Schema.

Discovery says less than JSON Schema can and means more than it says: unknown fields are errors, patterns are whole
matches, 64-bit numbers are strings, `annotations.required` names the methods whose request must have the field.
"""

import base64
import binascii
import re

import jsonschema_rs

# Keywords that mean the same in both.
SAME = ("minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems")


def whole_number(low, high):
    """A check of a whole number in a string, in the one way to write it."""

    def check(text):
        return bool(re.fullmatch(r"0|-?[1-9][0-9]*", text)) and low <= int(text) <= high

    return check


def is_base64(text):
    try:
        base64.b64decode(text.replace("-", "+").replace("_", "/"), validate=True)
    except (binascii.Error, ValueError):
        return False
    return True


FORMATS = {
    "int64": whole_number(-(2**63), 2**63 - 1),
    "uint64": whole_number(0, 2**64 - 1),
    "byte": is_base64,
    "google-datetime": lambda it: bool(
        re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)", it)
    ),
    "google-duration": lambda it: bool(re.fullmatch(r"-?\d+(\.\d{1,9})?s", it)),
    "google-fieldmask": lambda it: bool(re.fullmatch(r"[\w.]+(,[\w.]+)*", it)),
}

# Numbers that JSON writes as numbers have bounds, not formats.
BOUNDS = {
    "int32": (-(2**31), 2**31 - 1),
    "uint32": (0, 2**32 - 1),
    "float": (-3.4028235e38, 3.4028235e38),
    "double": (-1.7976931348623157e308, 1.7976931348623157e308),
}


def convert(schema, *, method=None, answer=False):
    """A discovery schema as JSON Schema.

    For a request of `method` its required fields are required and what only the server sets is refused; for an answer
    `kind`, where the schema has a constant one, is required and must be it.
    """
    result = {}
    if "$ref" in schema:
        result["$ref"] = f"#/$defs/{schema['$ref']}"
    kind = schema.get("type")
    if kind and kind != "any":
        result["type"] = kind
    for keyword in SAME:
        if keyword in schema:
            number = schema[keyword]
            result[keyword] = float(number) if isinstance(number, str) else number
    if "pattern" in schema:
        result["pattern"] = f"^(?:{schema['pattern']})$"
    if "enum" in schema:
        result["enum"] = schema["enum"]
    if "format" in schema:
        if schema["format"] in BOUNDS:
            result["minimum"], result["maximum"] = BOUNDS[schema["format"]]
        else:
            result["format"] = schema["format"]
    if "items" in schema:
        result["items"] = convert(schema["items"], method=method, answer=answer)
    if kind == "object":
        result.update(convert_object(schema, method=method, answer=answer))
    return result


def convert_object(schema, *, method, answer):
    properties = schema.get("properties", {})
    result = {"properties": {}, "additionalProperties": False}
    required = []
    for name, it in properties.items():
        result["properties"][name] = convert(it, method=method, answer=answer)
        if answer and is_time(name, it):
            result["properties"][name]["format"] = "google-datetime"
        if method in it.get("annotations", {}).get("required", []):
            required.append(name)
    kind = properties.get("kind", {})
    if answer and "default" in kind and kind.get("type") == "string":
        result["properties"]["kind"]["const"] = kind["default"]
        required.append("kind")
    if "additionalProperties" in schema:
        result["additionalProperties"] = convert(schema["additionalProperties"], method=method, answer=answer)
    if required:
        result["required"] = required
    return result


def is_time(name, schema):
    """Whether a field of Compute Engine is a point in time: RFC 3339, which its document says in words only."""
    return (
        schema.get("type") == "string"
        and "format" not in schema
        and (name.endswith("Timestamp") or name in ("insertTime", "startTime", "endTime"))
        and "RFC3339" in schema.get("description", "")
    )


def references(schema):
    """The names of the schemas that a discovery schema refers to."""
    if isinstance(schema, dict):
        for key, value in schema.items():
            if key == "$ref" and isinstance(value, str):
                yield value
            else:
                yield from references(value)
    elif isinstance(schema, list):
        for it in schema:
            yield from references(it)


class Validators:
    """Validators of an API's schemas, each made when it is first needed."""

    def __init__(self, schemas):
        self._schemas = schemas
        self._made = {}

    def request(self, name, method):
        return self._validator(name, method=method, answer=False)

    def answer(self, name):
        return self._validator(name, method=None, answer=True)

    def _validator(self, name, *, method, answer):
        key = (name, method, answer)
        if key not in self._made:
            definitions = {
                it: convert(self._schemas[it], method=method, answer=answer) for it in self._reachable(name)
            }
            self._made[key] = validator({"$ref": f"#/$defs/{name}", "$defs": definitions})
        return self._made[key]

    def _reachable(self, name):
        found, open_ = set(), [name]
        while open_:
            it = open_.pop()
            if it not in found:
                found.add(it)
                open_.extend(references(self._schemas[it]))
        return sorted(found)


def validator(schema):
    """A JSON Schema validator that knows discovery's formats."""
    return jsonschema_rs.Draft202012Validator(schema, formats=FORMATS, validate_formats=True)


def read_only_fields(schemas, schema, body, path=""):
    """The fields of a request that only the server sets, as paths."""
    if "$ref" in schema:
        schema = schemas[schema["$ref"]]
    if isinstance(body, list):
        for index, it in enumerate(body):
            yield from read_only_fields(schemas, schema.get("items", {}), it, f"{path}/{index}")
    elif isinstance(body, dict):
        for name, value in body.items():
            it = schema.get("properties", {}).get(name, {})
            if it.get("readOnly"):
                yield f"{path}/{name}"
            else:
                yield from read_only_fields(schemas, it, value, f"{path}/{name}")
