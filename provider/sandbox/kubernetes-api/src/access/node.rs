//! The node authorizer: what a kubelet may do, and only for itself.

use serde_json::json;

use super::rbac::rule_allows;
use super::{Attributes, Identity};
use crate::object::ObjectExt as _;
use crate::store::Store;

/// Whether the node rules allow the request.  Anyone but a kubelet is left to RBAC.
pub(super) fn allows(store: &Store, who: &Identity, wanted: &Attributes) -> bool {
    let Some(node) = who.node() else { return false };
    if wanted.path.is_some() {
        return false;
    }
    match (wanted.group.as_str(), wanted.resource.as_str()) {
        ("coordination.k8s.io", "leases") => {
            wanted.namespace == "kube-node-lease"
                && (wanted.name == node || wanted.verb == "create")
                && matches!(wanted.verb.as_str(), "get" | "create" | "update" | "patch" | "delete")
        }
        ("storage.k8s.io", "csinodes") => wanted.name == node || wanted.verb == "create",
        ("", "pods") if matches!(wanted.verb.as_str(), "delete" | "update" | "patch") => {
            // Creating is for mirror pods, which admission looks at.
            let pod = store.get("pods", &wanted.namespace, &wanted.name);
            pod.is_some_and(|pod| pod.text("/spec/nodeName") == node)
                && (wanted.verb == "delete" || wanted.subresource == "status")
        }
        ("", "nodes") if matches!(wanted.verb.as_str(), "update" | "patch" | "delete") => {
            wanted.name == node && wanted.verb != "delete" && matches!(wanted.subresource.as_str(), "" | "status")
        }
        _ => rules().iter().any(|rule| rule_allows(rule, wanted)),
    }
}

fn rules() -> Vec<serde_json::Value> {
    let read = ["get", "list", "watch"];
    vec![
        json!({"verbs": read, "apiGroups": [""], "resources": ["services", "pods", "nodes", "secrets", "configmaps", "persistentvolumes", "persistentvolumeclaims"]}),
        json!({"verbs": ["create"], "apiGroups": [""], "resources": ["nodes", "pods", "events", "pods/eviction", "serviceaccounts/token"]}),
        json!({"verbs": ["patch", "update"], "apiGroups": [""], "resources": ["events"]}),
        json!({"verbs": ["create", "patch", "update"], "apiGroups": ["events.k8s.io"], "resources": ["events"]}),
        json!({"verbs": ["get", "list", "watch", "create"], "apiGroups": ["certificates.k8s.io"], "resources": ["certificatesigningrequests"]}),
        json!({"verbs": ["get"], "apiGroups": [""], "resources": ["serviceaccounts"]}),
        json!({"verbs": read, "apiGroups": ["storage.k8s.io"], "resources": ["csidrivers", "volumeattachments", "storageclasses"]}),
        json!({"verbs": read, "apiGroups": ["node.k8s.io"], "resources": ["runtimeclasses"]}),
        json!({"verbs": ["create"], "apiGroups": ["authentication.k8s.io"], "resources": ["tokenreviews"]}),
        json!({"verbs": ["create"], "apiGroups": ["authorization.k8s.io"], "resources": ["subjectaccessreviews", "localsubjectaccessreviews"]}),
    ]
}
