//! What a URL is about.

use http::Method;

use crate::access::Attributes;

/// The resource, object or subresource that a path names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) group: String,
    pub(super) version: String,
    pub(super) plural: String,
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) subresource: String,
}

impl Target {
    /// Reads `/api/v1/...` and `/apis/<group>/<version>/...`; other paths name no resource.
    pub(super) fn parse(path: &str) -> Option<Self> {
        let parts: Vec<String> = path.split('/').filter(|part| !part.is_empty()).map(decode).collect();
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        let (group, version, rest) = match parts.as_slice() {
            ["api", version, rest @ ..] => ("", *version, rest),
            ["apis", group, version, rest @ ..] => (*group, *version, rest),
            _ => return None,
        };
        let mut target = Self {
            group: group.to_owned(),
            version: version.to_owned(),
            ..Self::default()
        };
        let rest = match rest {
            [] => return None,
            ["namespaces", name, "status" | "finalize"] if group.is_empty() => {
                (*name).clone_into(&mut target.namespace);
                rest
            }
            ["namespaces", namespace, inner @ ..] if !inner.is_empty() => {
                (*namespace).clone_into(&mut target.namespace);
                inner
            }
            ["namespaces", name] if group.is_empty() => {
                (*name).clone_into(&mut target.namespace);
                rest
            }
            _ => rest,
        };
        rest[0].clone_into(&mut target.plural);
        target.name = rest.get(1).map(|&one| one.to_owned()).unwrap_or_default();
        target.subresource = rest.get(2..).map(|more| more.join("/")).unwrap_or_default();
        Some(target)
    }

    /// The namespace that the object is stored under.
    pub(super) fn storage_namespace(&self) -> &str {
        if self.group.is_empty() && self.plural == "namespaces" {
            ""
        } else {
            &self.namespace
        }
    }

    /// Kubernetes' verb for a method on this target.
    pub(super) fn verb(&self, method: &Method, query: &Query) -> Option<&'static str> {
        let named = !self.name.is_empty();
        Some(match *method {
            Method::GET | Method::HEAD if named => "get",
            Method::GET | Method::HEAD if query.is_true("watch") => "watch",
            Method::GET | Method::HEAD => "list",
            Method::POST => "create",
            Method::PUT if named => "update",
            Method::PATCH if named => "patch",
            Method::DELETE if named => "delete",
            Method::DELETE => "deletecollection",
            _ => return None,
        })
    }

    pub(super) fn attributes(&self, verb: &str) -> Attributes {
        Attributes {
            verb: verb.to_owned(),
            group: self.group.clone(),
            resource: self.plural.clone(),
            subresource: self.subresource.clone(),
            namespace: self.namespace.clone(),
            name: self.name.clone(),
            path: None,
        }
    }
}

/// A URL's query.
#[derive(Clone, Debug, Default)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    pub(super) fn parse(text: &str) -> Self {
        let pairs = text.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(&key.replace('+', " ")), decode(&value.replace('+', " ")))
        });
        Self(pairs.collect())
    }

    pub(super) fn get(&self, key: &str) -> &str {
        self.0.iter().find(|(one, _)| one == key).map_or("", |(_, value)| value)
    }

    /// Every value of a key that may come several times.
    pub(super) fn all(&self, key: &str) -> impl Iterator<Item = &str> {
        self.0
            .iter()
            .filter(move |(one, _)| one == key)
            .map(|(_, value)| value.as_str())
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.0.iter().any(|(one, _)| one == key)
    }

    pub(super) fn is_true(&self, key: &str) -> bool {
        self.has(key) && !matches!(self.get(key), "false" | "0")
    }
}

/// Undoes percent-encoding.
fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escaped = (bytes[at] == b'%').then(|| text.get(at + 1..at + 3)).flatten();
        if let Some(byte) = escaped.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            out.push(byte);
            at += 3;
        } else {
            out.push(bytes[at]);
            at += 1;
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(path: &str) -> (String, String, String, String, String) {
        let target = Target::parse(path).unwrap();
        (
            target.group,
            target.plural,
            target.namespace,
            target.name,
            target.subresource,
        )
    }

    fn expected(parts: [&str; 5]) -> (String, String, String, String, String) {
        let [group, plural, namespace, name, subresource] = parts.map(str::to_owned);
        (group, plural, namespace, name, subresource)
    }

    #[test]
    fn paths_name_resources() {
        assert_eq!(target("/api/v1/nodes"), expected(["", "nodes", "", "", ""]));
        assert_eq!(
            target("/api/v1/nodes/n1/status"),
            expected(["", "nodes", "", "n1", "status"])
        );
        assert_eq!(target("/api/v1/namespaces"), expected(["", "namespaces", "", "", ""]));
        assert_eq!(
            target("/api/v1/namespaces/x"),
            expected(["", "namespaces", "x", "x", ""])
        );
        assert_eq!(
            target("/api/v1/namespaces/x/finalize"),
            expected(["", "namespaces", "x", "x", "finalize"])
        );
        assert_eq!(
            target("/api/v1/namespaces/x/pods/p/eviction"),
            expected(["", "pods", "x", "p", "eviction"])
        );
        assert_eq!(
            target("/apis/apps/v1/namespaces/x/deployments"),
            expected(["apps", "deployments", "x", "", ""])
        );
        assert_eq!(
            target("/apis/a/v1/clusterroles/system%3Anode"),
            expected(["a", "clusterroles", "", "system:node", ""])
        );
        assert_eq!(Target::parse("/apis/apps/v1"), None);
        assert_eq!(Target::parse("/readyz"), None);
    }

    #[test]
    fn queries_are_decoded() {
        let query = Query::parse("labelSelector=a%3Db%2Cc&watch=true&x=1+2&limit");
        assert_eq!(query.get("labelSelector"), "a=b,c");
        assert!(query.is_true("watch") && query.has("limit") && !query.has("y"));
        assert_eq!(query.get("x"), "1 2");
    }
}
