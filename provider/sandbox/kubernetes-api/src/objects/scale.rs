//! The `scale` subresource of workloads.

use serde_json::{Value, json};

use crate::object::ObjectExt as _;

/// A workload's `Scale`.
pub(crate) fn to_scale(workload: &Value) -> Value {
    let labels: Vec<String> = workload
        .entries("/spec/selector/matchLabels")
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    json!({
        "kind": "Scale", "apiVersion": "autoscaling/v1",
        "metadata": {
            "name": workload.name(), "namespace": workload.namespace(), "uid": workload.uid(),
            "resourceVersion": workload.text("/metadata/resourceVersion"),
            "creationTimestamp": workload.text("/metadata/creationTimestamp"),
        },
        "spec": {"replicas": workload.number("/spec/replicas").unwrap_or(0)},
        "status": {"replicas": workload.number("/status/replicas").unwrap_or(0), "selector": labels.join(",")},
    })
}

/// The workload with the size that a `Scale` wants.
pub(crate) fn of_scale(workload: &Value, scale: &Value) -> Value {
    let mut new = workload.clone();
    new.put(
        &["spec", "replicas"],
        json!(scale.number("/spec/replicas").unwrap_or(0)),
    );
    if let Some(revision) = scale.pointer("/metadata/resourceVersion") {
        new.put(&["metadata", "resourceVersion"], revision.clone());
    }
    new
}
