//! The API refuses fields and parameters that it does not know, at any depth.

use crate::core::Refusal;
use crate::face::Call;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// What a field may hold.
enum Field {
    /// A word, a number, or a list of them.
    Plain,
    /// A message, or a list of them.
    Message(&'static str),
    /// Anything, such as labels.
    Free,
}

/// The fields of every message that clients send.
static MESSAGES: LazyLock<BTreeMap<&'static str, BTreeMap<&'static str, Field>>> = LazyLock::new(|| {
    let mut messages: BTreeMap<&str, BTreeMap<&str, Field>> = BTreeMap::new();
    let mut current = "";
    for line in include_str!("messages.txt")
        .lines()
        .filter(|line| !line.starts_with('#'))
    {
        let mut words = line.split_whitespace();
        if !line.starts_with(' ') {
            current = words.next().unwrap_or_default();
        }
        let fields = messages.entry(current).or_default();
        for word in words {
            let (name, field) = match word.split_once(':') {
                None => (word, Field::Plain),
                Some((name, "*")) => (name, Field::Free),
                Some((name, message)) => (name, Field::Message(message)),
            };
            fields.insert(name, field);
        }
    }
    messages
});

/// Parameters of every method.
const EVERYWHERE: &[&str] = &[
    "$.xgafv",
    "$alt",
    "$apiVersion",
    "$fields",
    "$prettyPrint",
    "access_token",
    "alt",
    "callback",
    "fields",
    "key",
    "oauth_token",
    "prettyPrint",
    "quotaUser",
    "uploadType",
    "upload_protocol",
    "userIp",
];

/// Parameters of every list.
const LIST: &[&str] = &["filter", "maxResults", "orderBy", "pageToken", "returnPartialSuccess"];

/// Refuses what the method that `call` means does not know. `path` is below `projects/PROJECT`.
pub(super) fn check(call: &Call, path: &[&str]) -> Result<(), Refusal> {
    check_parameters(call, path)?;
    match (message(&call.method, path), &call.body) {
        (Some(message), body) => check_fields(message, body, ""),
        (None, _) => Ok(()),
    }
}

fn check_parameters(call: &Call, path: &[&str]) -> Result<(), Refusal> {
    let known = |name: &str| {
        EVERYWHERE.contains(&name) || parameters(&call.method, path).iter().any(|names| names.contains(&name))
    };
    match call.query.keys().find(|name| !known(name)) {
        None => Ok(()),
        Some(name) => Err(Refusal::bad_request(format!(
            "Invalid JSON payload received. Unknown name \"{name}\": Cannot bind query parameter. Field '{name}' could \
             not be found in request message."
        ))),
    }
}

/// The parameters that a method has of its own.
fn parameters(method: &str, path: &[&str]) -> Vec<&'static [&'static str]> {
    match (method, path) {
        ("GET", ["aggregated", _]) => vec![LIST, &["includeAllScopes", "serviceProjectNumber"]],
        ("GET", ["zones" | "regions"] | ["global", _] | ["zones" | "regions", _, _])
        | ("POST", [.., "listInstances"]) => vec![LIST],
        ("GET", [.., "serialPort"]) => vec![&["port", "start"]],
        ("GET", ["zones", _, "imageFamilyViews", _]) => vec![&["zone"]],
        ("GET", _) | ("POST", [.., "getHealth" | "wait"]) => Vec::new(),
        ("POST", ["zones", _, "instances"]) => {
            vec![&["requestId", "sourceInstanceTemplate", "sourceMachineImage"]]
        }
        ("POST", ["zones", _, "disks"]) => vec![&["requestId", "sourceImage"]],
        ("POST", [.., verb]) => vec![
            &["requestId"],
            match *verb {
                "addAccessConfig" => &["networkInterface"],
                "deleteAccessConfig" => &["networkInterface", "accessConfig"],
                "attachDisk" => &["forceAttach"],
                "detachDisk" => &["deviceName"],
                "setDiskAutoDelete" => &["autoDelete", "deviceName"],
                "setDeletionProtection" => &["deletionProtection"],
                "stop" => &["discardLocalSsd"],
                "createSnapshot" => &["guestFlush"],
                _ => &[],
            },
        ],
        ("PATCH", ["regions", _, "subnetworks", _]) => vec![&["requestId", "drainTimeoutSeconds"]],
        _ => vec![&["requestId"]],
    }
}

/// The message that a method takes.
fn message(method: &str, path: &[&str]) -> Option<&'static str> {
    let of_collection = |collection: &str| match collection {
        "networks" => Some("Network"),
        "subnetworks" => Some("Subnetwork"),
        "firewalls" => Some("Firewall"),
        "addresses" => Some("Address"),
        "disks" => Some("Disk"),
        "snapshots" => Some("Snapshot"),
        "instances" => Some("Instance"),
        "healthChecks" => Some("HealthCheck"),
        "instanceGroups" => Some("InstanceGroup"),
        "backendServices" => Some("BackendService"),
        "forwardingRules" => Some("ForwardingRule"),
        _ => None,
    };
    match (method, path) {
        ("POST", ["global", collection] | ["zones" | "regions", _, collection])
        | ("PATCH" | "PUT", ["global", collection, _] | ["zones" | "regions", _, collection, _]) => {
            of_collection(collection)
        }
        ("POST", ["zones", _, "instances", _, verb]) => match *verb {
            "setLabels" => Some("InstancesSetLabelsRequest"),
            "setMetadata" => Some("Metadata"),
            "setTags" => Some("Tags"),
            "setMachineType" => Some("InstancesSetMachineTypeRequest"),
            "addAccessConfig" => Some("AccessConfig"),
            "attachDisk" => Some("AttachedDisk"),
            _ => None,
        },
        ("POST", ["zones", _, "disks", _, verb]) => match *verb {
            "setLabels" => Some("ZoneSetLabelsRequest"),
            "resize" => Some("DisksResizeRequest"),
            "createSnapshot" => Some("Snapshot"),
            _ => None,
        },
        ("POST", ["zones", _, "instanceGroups", _, verb]) => match *verb {
            "addInstances" => Some("InstanceGroupsAddInstancesRequest"),
            "removeInstances" => Some("InstanceGroupsRemoveInstancesRequest"),
            "listInstances" => Some("InstanceGroupsListInstancesRequest"),
            _ => None,
        },
        ("POST", ["regions", _, _, _, "setLabels"]) => Some("RegionSetLabelsRequest"),
        ("POST", ["regions", _, "backendServices", _, "getHealth"]) => Some("ResourceGroupReference"),
        ("POST", ["regions", _, "subnetworks", _, "setPrivateIpGoogleAccess"]) => {
            Some("SubnetworksSetPrivateIpGoogleAccessRequest")
        }
        ("POST", ["global", "snapshots", _, "setLabels"]) => Some("GlobalSetLabelsRequest"),
        _ => None,
    }
}

/// Refuses a field that `message` does not have; `at` is where it is in the request.
fn check_fields(message: &str, value: &Value, at: &str) -> Result<(), Refusal> {
    let Some(known) = MESSAGES.get(message) else {
        return Ok(());
    };
    match value {
        Value::Array(elements) => elements
            .iter()
            .enumerate()
            .try_for_each(|(index, element)| check_fields(message, element, &format!("{at}[{index}]"))),
        Value::Object(fields) => fields
            .iter()
            .try_for_each(|(name, value)| match known.get(name.as_str()) {
                Some(Field::Plain | Field::Free) => Ok(()),
                Some(Field::Message(message)) => {
                    let at = if at.is_empty() {
                        name.clone()
                    } else {
                        format!("{at}.{name}")
                    };
                    check_fields(message, value, &at)
                }
                None => {
                    let place = if at.is_empty() {
                        String::new()
                    } else {
                        format!(" at '{at}'")
                    };
                    Err(Refusal::bad_request(format!(
                        "Invalid JSON payload received. Unknown name \"{name}\"{place}: Cannot find field."
                    )))
                }
            }),
        _ => Ok(()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn unknown_fields_are_found_at_any_depth() {
        let good = json!({
            "name": "m", "labels": { "any": "thing" },
            "disks": [{ "boot": true, "initializeParams": { "diskSizeGb": "10", "labels": { "x": "y" } } }],
            "networkInterfaces": [{ "accessConfigs": [{ "natIP": "127.0.0.1" }] }],
        });
        check_fields("Instance", &good, "").unwrap();
        let bad = json!({ "disks": [{}, { "initializeParams": { "sizeGb": "10" } }] });
        assert_eq!(
            check_fields("Instance", &bad, "").unwrap_err().message,
            "Invalid JSON payload received. Unknown name \"sizeGb\" at 'disks[1].initializeParams': Cannot find field."
        );
        let bad = json!({ "backends": [{ "group": "g", "mode": "CONNECTION" }] });
        let refusal = check_fields("BackendService", &bad, "").unwrap_err();
        assert!(refusal.message.contains("\"mode\" at 'backends[0]'"), "{refusal}");
        assert!(check_fields("Network", &json!({ "nonsense": 1 }), "").is_err());
    }

    #[test]
    fn every_message_that_is_named_is_described() {
        for (message, fields) in MESSAGES.iter() {
            assert!(!fields.is_empty(), "{message}");
            for (name, field) in fields {
                if let Field::Message(inner) = field {
                    assert!(MESSAGES.contains_key(inner), "{message}.{name}: {inner}");
                }
            }
        }
    }

    #[test]
    fn methods_know_their_parameters() {
        let knows = |method, path: &[&str], name| parameters(method, path).iter().any(|it| it.contains(&name));
        assert!(knows("GET", &["zones", "z", "instances"], "filter"));
        assert!(!knows("GET", &["zones", "z", "instances", "m"], "filter"));
        assert!(knows("GET", &["aggregated", "instances"], "includeAllScopes"));
        assert!(knows(
            "POST",
            &["zones", "z", "instances", "m", "deleteAccessConfig"],
            "accessConfig"
        ));
        assert!(!knows(
            "POST",
            &["zones", "z", "instances", "m", "start"],
            "accessConfig"
        ));
        assert!(knows("DELETE", &["regions", "r", "forwardingRules", "f"], "requestId"));
    }
}
