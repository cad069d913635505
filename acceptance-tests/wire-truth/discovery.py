"""Google's discovery documents: which method a request calls, and what the method takes."""

import importlib.util
import json
import pathlib
import re
from dataclasses import dataclass, field
from urllib.parse import unquote


def document(name):
    """The discovery document `NAME.v1.json` of the installed google-api-python-client, without importing the package."""
    spec = importlib.util.find_spec("googleapiclient")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("missing: google-api-python-client (scripts/python-environment.sh installs it)")
    documents = pathlib.Path(spec.submodule_search_locations[0]) / "discovery_cache" / "documents"
    return json.loads((documents / f"{name}.v1.json").read_text(encoding="utf-8"))


@dataclass
class Method:
    """A method of an API."""

    id: str
    verb: str
    path: re.Pattern
    parameters: dict
    request: str | None
    response: str | None
    # The variables of the flat path, in its order, with the parameters that describe them where names agree.
    variables: list = field(default_factory=list)

    def query_parameters(self):
        return {name: it for name, it in self.parameters.items() if it["location"] == "query"}


class Api:
    """An API as its discovery document describes it."""

    def __init__(self, document):
        self.name = document["name"]
        self.revision = document["revision"]
        self.schemas = document["schemas"]
        # The parameters of every method: alt, fields, key, ...
        self.common_parameters = document["parameters"]
        self._base = "/" + document["servicePath"].strip("/")
        self.methods = list(self._methods(document))

    def _methods(self, node):
        for it in node.get("methods", {}).values():
            pattern, variables = path_pattern(self._base.rstrip("/") + "/" + it.get("flatPath", it["path"]))
            yield Method(
                id=it["id"],
                verb=it["httpMethod"],
                path=pattern,
                parameters=it.get("parameters", {}),
                request=it.get("request", {}).get("$ref"),
                response=it.get("response", {}).get("$ref"),
                variables=variables,
            )
        for resource in node.get("resources", {}).values():
            yield from self._methods(resource)

    def find(self, verb, path):
        """The method that answers, and the values of its path's variables; None when there is none.

        A path may fit several methods (`images/family` is an image called "family" or the collection of families): the
        one with the fewest variables is meant.
        """
        fitting = [(len(it.variables), it, match) for it in self.methods if it.verb == verb and (match := it.path.fullmatch(path))]
        if not fitting:
            return None
        _, method, match = min(fitting, key=lambda it: it[0])
        values = [unquote(value) for value in match.groups()]
        return method, dict(zip(method.variables, values))

    def verbs(self, path):
        """The verbs that the path takes."""
        return sorted({it.verb for it in self.methods if it.path.fullmatch(path)})


def path_pattern(flat_path):
    """A flat path as a regular expression with one group for each variable, and the variables' names."""
    variables = re.findall(r"\{\+?(\w+)\}", flat_path)
    literals = re.split(r"\{\+?\w+\}", flat_path)
    # A variable ends at a slash, and at the colon of a custom verb (`secrets/NAME:addVersion`) where one follows.
    return re.compile("([^/:]+)".join(re.escape(it) for it in literals)), variables
