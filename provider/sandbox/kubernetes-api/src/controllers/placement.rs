//! Which node a pod may run on: labels, taints, volumes, resources.  Pure.

use serde_json::{Value, json};

use crate::object::{ObjectExt as _, condition_is};
use crate::validation::bytes_of;

/// Whether one of the tolerations tolerates the taint.
pub(super) fn tolerated(tolerations: &[Value], taint: &Value) -> bool {
    toleration(tolerations, taint).is_some()
}

/// The toleration that tolerates the taint.
pub(super) fn toleration<'a>(tolerations: &'a [Value], taint: &Value) -> Option<&'a Value> {
    tolerations.iter().find(|one| {
        let effect = one.text("/effect");
        let key = one.text("/key");
        let exists = one.text("/operator") == "Exists";
        (effect.is_empty() || effect == taint.text("/effect"))
            && (key == taint.text("/key") || (key.is_empty() && exists))
            && (exists || one.text("/value") == taint.text("/value"))
    })
}

/// The first taint that keeps the pod off the node.
pub(super) fn untolerated<'a>(spec: &Value, node: &'a Value) -> Option<&'a Value> {
    let tolerations = spec.items("/tolerations");
    node.items("/spec/taints")
        .iter()
        .find(|taint| matches!(taint.text("/effect"), "NoSchedule" | "NoExecute") && !tolerated(tolerations, taint))
}

/// Whether the node's labels suit the pod's node selector and required node affinity.
pub(super) fn suits_labels(spec: &Value, node: &Value) -> bool {
    let labels = node.labels();
    let selected = spec
        .entries("/nodeSelector")
        .iter()
        .all(|(key, value)| labels.get(key) == Some(value));
    let required =
        spec.pointer("/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/nodeSelectorTerms");
    selected
        && required
            .and_then(Value::as_array)
            .is_none_or(|terms| any_term(terms, node))
}

/// Whether the node is one that the volume can be used on.
pub(super) fn volume_reaches(volume: &Value, node: &Value) -> bool {
    match volume.pointer("/spec/nodeAffinity/required/nodeSelectorTerms") {
        Some(Value::Array(terms)) => any_term(terms, node),
        _ => true,
    }
}

fn any_term(terms: &[Value], node: &Value) -> bool {
    terms.iter().any(|term| {
        let labels = node.labels();
        let (expressions, fields) = (term.items("/matchExpressions"), term.items("/matchFields"));
        // A term that asks for nothing matches nothing.
        !(expressions.is_empty() && fields.is_empty())
            && expressions
                .iter()
                .all(|one| matches(one, labels.get(one.text("/key")).copied()))
            && fields
                .iter()
                .all(|one| one.text("/key") == "metadata.name" && matches(one, Some(node.name())))
    })
}

fn matches(expression: &Value, found: Option<&str>) -> bool {
    let values = expression.items("/values");
    let among = |found: &str| values.iter().any(|value| value.as_str() == Some(found));
    let number = |text: &str| text.parse::<i64>().ok();
    let bound = || values.first().and_then(Value::as_str).and_then(number);
    match expression.text("/operator") {
        "In" => found.is_some_and(among),
        "NotIn" => !found.is_some_and(among),
        "Exists" => found.is_some(),
        "DoesNotExist" => found.is_none(),
        "Gt" => found
            .and_then(number)
            .zip(bound())
            .is_some_and(|(found, bound)| found > bound),
        "Lt" => found
            .and_then(number)
            .zip(bound())
            .is_some_and(|(found, bound)| found < bound),
        _ => false,
    }
}

/// What a pod asks for, in cores, bytes and pods.
pub(super) fn requests(spec: &Value) -> [f64; 3] {
    let sum = |what: &str| -> f64 {
        spec.items("/containers")
            .iter()
            .filter_map(|one| {
                let requested = one.entries("/resources/requests").get(what).copied();
                bytes_of(requested.or_else(|| one.entries("/resources/limits").get(what).copied())?)
            })
            .sum()
    };
    [sum("cpu"), sum("memory"), 1.0]
}

/// What a node has for pods, in cores, bytes and pods; no limit where it does not say.
pub(super) fn allocatable(node: &Value) -> [f64; 3] {
    let found = node.entries("/status/allocatable");
    ["cpu", "memory", "pods"].map(|what| found.get(what).and_then(|text| bytes_of(text)).unwrap_or(f64::INFINITY))
}

/// Whether the pod takes room on its node.
pub(super) fn is_active(pod: &Value) -> bool {
    !matches!(pod.text("/status/phase"), "Succeeded" | "Failed")
}

/// Whether the pod serves.
pub(super) fn is_ready(pod: &Value) -> bool {
    !pod.is_deleting() && is_active(pod) && condition_is(pod, "Ready", "True")
}

/// The tolerations that every pod of a `DaemonSet` gets.
pub(super) fn daemon_tolerations(spec: &Value) -> Vec<Value> {
    let mut all = spec.items("/tolerations").to_vec();
    let mut add = |key: &str, effect: &str| {
        let one = json!({"key": key, "operator": "Exists", "effect": effect});
        if !all.contains(&one) {
            all.push(one);
        }
    };
    add("node.kubernetes.io/not-ready", "NoExecute");
    add("node.kubernetes.io/unreachable", "NoExecute");
    for key in ["disk-pressure", "memory-pressure", "pid-pressure", "unschedulable"] {
        add(&format!("node.kubernetes.io/{key}"), "NoSchedule");
    }
    if spec.flag("/hostNetwork") {
        add("node.kubernetes.io/network-unavailable", "NoSchedule");
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(zone: &str, taints: &Value) -> Value {
        json!({"metadata": {"name": "n", "labels": {"zone": zone, "cores": "4"}}, "spec": {"taints": taints}})
    }

    #[test]
    fn taints_need_tolerations() {
        let tainted = node("a", &json!([{"key": "k", "value": "v", "effect": "NoSchedule"}]));
        assert!(untolerated(&json!({}), &tainted).is_some());
        for toleration in [
            json!({"operator": "Exists"}),
            json!({"key": "k", "operator": "Exists", "effect": "NoSchedule"}),
            json!({"key": "k", "value": "v"}),
        ] {
            assert!(
                untolerated(&json!({"tolerations": [toleration]}), &tainted).is_none(),
                "{toleration}"
            );
        }
        assert!(untolerated(&json!({"tolerations": [{"key": "k", "value": "w"}]}), &tainted).is_some());
        let preferring = node("a", &json!([{"key": "k", "effect": "PreferNoSchedule"}]));
        assert!(untolerated(&json!({}), &preferring).is_none());
    }

    #[test]
    fn selectors_and_affinity_choose_by_labels() {
        let here = node("a", &json!([]));
        assert!(suits_labels(&json!({"nodeSelector": {"zone": "a"}}), &here));
        assert!(!suits_labels(&json!({"nodeSelector": {"zone": "b"}}), &here));
        let affinity = |key: &str, operator: &str, values: &[&str]| {
            json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
                {"matchExpressions": [{"key": key, "operator": operator, "values": values}]}
            ]}}}})
        };
        assert!(suits_labels(&affinity("zone", "In", &["a", "b"]), &here));
        assert!(!suits_labels(&affinity("zone", "NotIn", &["a"]), &here));
        assert!(suits_labels(&affinity("cores", "Gt", &["3"]), &here));
        assert!(!suits_labels(&affinity("absent", "Exists", &[]), &here));
    }

    #[test]
    fn a_zonal_volume_keeps_to_its_zone() {
        let volume = json!({"spec": {"nodeAffinity": {"required": {"nodeSelectorTerms": [
            {"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a"]}]}
        ]}}}});
        assert!(volume_reaches(&volume, &node("a", &json!([]))));
        assert!(!volume_reaches(&volume, &node("b", &json!([]))));
    }
}
