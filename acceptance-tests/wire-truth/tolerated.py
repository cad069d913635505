"""What a client or the region may do although the discovery document does not say so, and why.

Everything else that the document does not know is a violation.
"""

# Query parameters that Google's API front end understands for every API ("system parameters", in their `$` spelling),
# which discovery documents leave out.
QUERY_PARAMETERS = {
    "$alt": "the front end's spelling of `alt`; Google's Rust client sends it with every call",
    "$apiVersion": "the revision that Google's Rust client was generated from",
    "$prettyPrint": "the front end's spelling of `prettyPrint`",
    "$fields": "the front end's spelling of `fields`",
    "returnPartialSuccess": "a parameter of lists and aggregated lists, in some revisions of compute v1 and not in others",
}

# Spellings of true and false in query parameters.
BOOLEANS = {"True": "true", "False": "false"}
BOOLEANS_WHY = "gcloud writes booleans as Python does; Google's front end takes them"

# A body where the method takes none.
EMPTY_BODY_WHY = "Google's Rust client sends an empty message with every POST; the front end takes it"

# Fields that only the server sets and that clients send all the same: (method, path without indices).  The server
# ignores them.
READ_ONLY_FIELDS = {
    (f"compute.regionBackendServices.{method}", f"/{field}"): "gcloud sends a backend service back as it read it"
    for method in ("patch", "update")
    for field in ("creationTimestamp", "kind", "region")
}
