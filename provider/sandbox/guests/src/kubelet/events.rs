//! Events: what `kubectl describe` shows of a kubelet's doings.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::node::{Node, seconds};

/// Records that something happened to a pod.
pub(super) async fn of_pod(node: &Node<'_>, pod: &Value, reason: &str, message: &str) {
    record(node, &reference(pod), "Normal", reason, message).await;
}

/// Records what keeps a pod from running.
pub(super) async fn warn_of_pod(node: &Node<'_>, pod: &Value, reason: &str, message: &str) {
    record(node, &reference(pod), "Warning", reason, message).await;
}

fn reference(pod: &Value) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "name": pod["metadata"]["name"],
        "namespace": pod["metadata"]["namespace"],
        "uid": pod["metadata"]["uid"],
    })
}

/// Records that something happened to the node. Like a real kubelet's, the event takes the name for the UID.
pub(super) async fn of_node(node: &Node<'_>, reason: &str, message: &str) {
    let name = &node.settings.node_name;
    let involved = json!({"apiVersion": "v1", "kind": "Node", "name": name, "uid": name});
    record(node, &involved, "Normal", reason, message).await;
}

/// Nothing depends on an event: one that the API does not take is dropped.
async fn record(node: &Node<'_>, involved: &Value, kind: &str, reason: &str, message: &str) {
    let now = Timestamp::now();
    let namespace = involved["namespace"].as_str().unwrap_or("default");
    let name = involved["name"].as_str().unwrap_or_default();
    let time = seconds(now);
    let event = json!({
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": format!("{name}.{:x}", now.as_nanosecond()), "namespace": namespace},
        "involvedObject": involved,
        "type": kind,
        "reason": reason,
        "message": message,
        "count": 1,
        "firstTimestamp": time,
        "lastTimestamp": time,
        "source": {"component": "kubelet", "host": node.settings.node_name},
        "reportingComponent": "kubelet",
        "reportingInstance": node.settings.node_name,
    });
    if let Err(error) = node
        .api
        .create(&format!("/api/v1/namespaces/{namespace}/events"), &event)
        .await
    {
        tracing::debug!(node = node.settings.node_name, %error, "an event is lost");
    }
}
