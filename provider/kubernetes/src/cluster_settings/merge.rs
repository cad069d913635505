//! Merging a document of three: what is there, what was applied last, what is wanted.

use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::{Map, Value, json};

use crate::kubeadm::duration;

/// What is there without what is no longer wanted, and with what is.  A field that is no longer wanted and that kubeadm
/// sets by itself gets kubeadm's value back.
pub(super) fn merge(
    present: &Value,
    last: &Map<String, Value>,
    wanted: &Map<String, Value>,
    defaults: &Map<String, Value>,
) -> Value {
    let mut merged = present.as_object().cloned().unwrap_or_default();
    for name in last.keys().filter(|name| !wanted.contains_key(*name)) {
        match defaults.get(name) {
            Some(default) => merged.insert(name.clone(), default.clone()),
            None => merged.remove(name),
        };
    }
    let nothing = Map::new();
    for (name, value) in wanted {
        let Value::Object(fields) = value else {
            if !is(merged.get(name), value) {
                merged.insert(name.clone(), value.clone());
            }
            continue;
        };
        let of = |from: &Map<String, Value>| from.get(name).and_then(Value::as_object).cloned();
        let present = merged.get(name).cloned().unwrap_or_else(|| json!({}));
        let (last, defaults) = (of(last), of(defaults));
        let (last, defaults) = (last.as_ref().unwrap_or(&nothing), defaults.as_ref().unwrap_or(&nothing));
        merged.insert(name.clone(), merge(&present, last, fields, defaults));
    }
    Value::from(merged)
}

/// Whether a field says what is wanted, whatever kubeadm made of it when it stored it: it writes durations in its own way
/// and leaves out what is nothing.
fn is(present: Option<&Value>, wanted: &Value) -> bool {
    match (present, wanted) {
        (None | Some(Value::Null), Value::Null | Value::Bool(false)) => true,
        (None, Value::Number(number)) => number.as_f64() == Some(0.0),
        (None, Value::String(text)) => text.is_empty(),
        (None, Value::Array(list)) => list.is_empty(),
        (Some(Value::String(present)), Value::String(wanted)) => {
            present == wanted
                || matches!((duration::parse(present), duration::parse(wanted)), (Some(one), Some(other)) if one == other)
        }
        (Some(Value::Number(present)), Value::Number(wanted)) => present.as_f64() == wanted.as_f64(),
        (Some(present), wanted) => present == wanted,
        _ => false,
    }
}

/// What kubeadm sets in the `KubeletConfiguration` of a cluster.
pub(super) fn kubelet_defaults(cluster: &Value) -> Map<String, Value> {
    let mut defaults = Map::from_iter([
        (
            "authentication".to_owned(),
            json!({
                "anonymous": { "enabled": false },
                "webhook": { "enabled": true },
                "x509": { "clientCAFile": "/etc/kubernetes/pki/ca.crt" },
            }),
        ),
        ("authorization".to_owned(), json!({ "mode": "Webhook" })),
        ("healthzBindAddress".to_owned(), json!("127.0.0.1")),
        ("healthzPort".to_owned(), json!(10248)),
        ("rotateCertificates".to_owned(), json!(true)),
    ]);
    let services = cluster["networking"]["serviceSubnet"].as_str().unwrap_or_default();
    let addresses: Vec<Value> = services.split(',').filter_map(dns_address).collect();
    if !addresses.is_empty() {
        defaults.insert("clusterDNS".to_owned(), Value::from(addresses));
    }
    defaults
}

/// The tenth address of a range of services: where kubeadm puts the cluster's DNS.
fn dns_address(services: &str) -> Option<Value> {
    let address = match services.trim().parse::<IpNet>().ok()?.network() {
        IpAddr::V4(first) => IpAddr::from(u32::from(first).checked_add(10)?.to_be_bytes()),
        IpAddr::V6(first) => IpAddr::from(u128::from(first).checked_add(10)?.to_be_bytes()),
    };
    Some(Value::from(address.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(value: Value) -> Map<String, Value> {
        match value {
            Value::Object(fields) => fields,
            _ => Map::new(),
        }
    }

    #[test]
    fn what_others_have_written_stays_and_what_is_no_longer_wanted_goes() {
        let merged = merge(
            &json!({ "theirs": 1, "ours": 2, "deep": { "theirs": 3, "ours": 4 } }),
            &fields(json!({ "ours": 2, "deep": { "ours": 4 } })),
            &fields(json!({ "new": 5, "deep": { "new": 6 } })),
            &Map::new(),
        );
        assert_eq!(
            merged,
            json!({ "theirs": 1, "new": 5, "deep": { "theirs": 3, "new": 6 } })
        );
    }

    #[test]
    fn kubeadms_own_values_come_back() {
        let defaults = kubelet_defaults(&json!({ "networking": { "serviceSubnet": "10.96.0.0/12" } }));
        let merged = merge(
            &json!({ "clusterDNS": ["169.254.20.10"], "rotateCertificates": false, "maxPods": 5 }),
            &fields(json!({ "clusterDNS": ["169.254.20.10"], "rotateCertificates": false, "maxPods": 5 })),
            &Map::new(),
            &defaults,
        );
        assert_eq!(
            merged,
            json!({ "clusterDNS": ["10.96.0.10"], "rotateCertificates": true })
        );
    }

    #[test]
    fn kubeadms_way_of_writing_the_same_is_no_difference() {
        let present = json!({ "shutdownGracePeriod": "5m0s", "maxPods": 200 });
        let wanted = json!({ "shutdownGracePeriod": "300s", "maxPods": 200.0, "protectKernelDefaults": false });
        assert_eq!(merge(&present, &Map::new(), &fields(wanted), &Map::new()), present);
    }

    #[test]
    fn merging_again_changes_nothing() {
        let wanted = fields(json!({ "a": { "b": [1, 2] }, "c": "d" }));
        let once = merge(&json!({ "e": 1 }), &Map::new(), &wanted, &Map::new());
        assert_eq!(merge(&once, &wanted, &wanted, &Map::new()), once);
    }
}
