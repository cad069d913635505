//! How lists are merged: by keys, as sets, or not at all.

use serde_json::Value;

/// How a list is merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ListKind {
    /// The new list replaces the old one.
    Atomic,
    /// Elements are told apart by these fields.
    Keyed(&'static [&'static str]),
    /// Elements are told apart by their value.
    Set,
}

impl ListKind {
    /// The kind of the list that a field holds, with the elements at hand where names are ambiguous.
    ///
    /// From the patch strategies and list types in Kubernetes' own types.  Taints and tolerations are atomic.
    pub(super) fn of(field: &str, elements: &[Value]) -> Self {
        let have = |key: &str| elements.iter().all(|one| one.get(key).is_some());
        let keyed = |keys: &'static [&'static str]| if have(keys[0]) { Self::Keyed(keys) } else { Self::Atomic };
        match field {
            "containers"
            | "initContainers"
            | "ephemeralContainers"
            | "env"
            | "volumes"
            | "imagePullSecrets"
            | "resourceClaims"
            | "secrets" => keyed(&["name"]),
            "volumeMounts" => keyed(&["mountPath"]),
            "volumeDevices" => keyed(&["devicePath"]),
            "hostAliases" | "podIPs" | "hostIPs" => keyed(&["ip"]),
            "conditions" | "addresses" => keyed(&["type"]),
            "ownerReferences" => keyed(&["uid"]),
            "topologySpreadConstraints" => keyed(&["topologyKey", "whenUnsatisfiable"]),
            "ports" if have("containerPort") => Self::Keyed(&["containerPort", "protocol"]),
            "ports" => keyed(&["port", "protocol"]),
            "finalizers" | "podCIDRs" => Self::Set,
            _ => Self::Atomic,
        }
    }
}

/// The value of a key field; a port without protocol is TCP.
pub(super) fn key_value(element: &Value, key: &str) -> Value {
    match element.get(key) {
        Some(value) => value.clone(),
        None if key == "protocol" => Value::String("TCP".to_owned()),
        None => Value::Null,
    }
}

/// Whether two elements are the same one.
pub(super) fn same(left: &Value, right: &Value, keys: &[&str]) -> bool {
    keys.iter().all(|key| key_value(left, key) == key_value(right, key))
}
