//! A node as plain facts.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Node;

use crate::labels::{self, Taint};

/// What the Kubernetes API says about a node.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
#[allow(clippy::struct_excessive_bools, reason = "independent facts")]
pub struct NodeFacts {
    /// The node's name.
    pub name: String,
    /// The object's identity: it changes when a node is deleted and registers again.
    pub uid: String,
    /// Whether its kubelet reports it ready.
    pub ready: bool,
    /// Why it is not ready, in the kubelet's or the node controller's words.
    pub not_ready_reason: Option<String>,
    /// Since when it is not ready, RFC 3339, as far as the API says.
    pub not_ready_since: Option<String>,
    /// All its labels.
    pub labels: BTreeMap<String, String>,
    /// All its annotations.
    pub annotations: BTreeMap<String, String>,
    /// All its taints.
    pub taints: Vec<Taint>,
    /// The kubelet's version as it reports it, such as `v1.34.1`.
    pub kubelet_version: String,
    /// The cloud's name for its machine.
    pub provider_id: Option<String>,
    /// Whether it is cordoned.
    pub unschedulable: bool,
    /// Its addresses.
    pub addresses: Vec<NodeAddress>,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// Whether volumes are attached to its machine, as the attach-detach controller records it.
    pub volumes_attached: bool,
}

/// An address of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeAddress {
    /// `InternalIP`, `ExternalIP`, `Hostname`, ...
    pub kind: String,
    /// The address.
    pub address: String,
}

impl NodeFacts {
    /// Whether it is a master's: kubeadm says so at the very end of a join.
    pub fn is_masters(&self) -> bool {
        self.labels.contains_key(labels::CONTROL_PLANE_ROLE)
    }

    /// Its zone label, or the legacy one.
    pub fn zone(&self) -> Option<&str> {
        self.label(labels::ZONE, labels::LEGACY_ZONE)
    }

    /// Its region label, or the legacy one.
    pub fn region(&self) -> Option<&str> {
        self.label(labels::REGION, labels::LEGACY_REGION)
    }

    fn label(&self, key: &str, legacy: &str) -> Option<&str> {
        self.labels
            .get(key)
            .or_else(|| self.labels.get(legacy))
            .map(String::as_str)
    }

    pub(super) fn new(node: &Node) -> Self {
        let spec = node.spec.clone().unwrap_or_default();
        let status = node.status.clone().unwrap_or_default();
        let condition = status
            .conditions
            .iter()
            .flatten()
            .find(|condition| condition.type_ == "Ready");
        let ready = condition.is_some_and(|condition| condition.status == "True");
        let since = condition.filter(|_| !ready).and_then(|condition| {
            serde_json::to_value(&condition.last_transition_time)
                .ok()?
                .as_str()
                .map(str::to_owned)
        });
        let reason = match condition {
            _ if ready => None,
            None => Some("its kubelet has not reported yet".to_owned()),
            Some(condition) => {
                let parts = [condition.reason.as_deref(), condition.message.as_deref()];
                let parts: Vec<_> = parts.into_iter().flatten().filter(|part| !part.is_empty()).collect();
                Some(if parts.is_empty() {
                    format!("Ready is {}", condition.status)
                } else {
                    parts.join(": ")
                })
            }
        };
        Self {
            name: node.metadata.name.clone().unwrap_or_default(),
            uid: node.metadata.uid.clone().unwrap_or_default(),
            ready,
            not_ready_reason: reason,
            not_ready_since: since,
            labels: node.metadata.labels.clone().unwrap_or_default(),
            annotations: node.metadata.annotations.clone().unwrap_or_default(),
            taints: spec
                .taints
                .iter()
                .flatten()
                .filter_map(super::ownership::known_taint)
                .collect(),
            kubelet_version: status.node_info.map(|info| info.kubelet_version).unwrap_or_default(),
            provider_id: spec.provider_id.filter(|id| !id.is_empty()),
            unschedulable: spec.unschedulable.unwrap_or_default(),
            volumes_attached: status
                .volumes_attached
                .as_ref()
                .is_some_and(|volumes| !volumes.is_empty()),
            addresses: status
                .addresses
                .into_iter()
                .flatten()
                .map(|address| NodeAddress {
                    kind: address.type_,
                    address: address.address,
                })
                .collect(),
            deleting: node.metadata.deletion_timestamp.is_some(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn facts_of_a_node_that_is_not_ready() {
        let node: Node = serde_json::from_value(json!({
            "metadata": { "name": "n", "uid": "u", "labels": {
                "failure-domain.beta.kubernetes.io/zone": "us-central1-a",
                "topology.kubernetes.io/region": "us-central1",
            } },
            "spec": {
                "providerID": "gce://p/us-central1-a/n", "unschedulable": true,
                "taints": [{ "key": "gpu", "effect": "NoSchedule" }],
            },
            "status": { "conditions": [
                { "type": "Ready", "status": "False", "reason": "KubeletNotReady", "message": "no network" },
            ] },
        }))
        .unwrap();
        let facts = NodeFacts::new(&node);
        assert!(!facts.ready && facts.unschedulable && !facts.deleting);
        assert_eq!(facts.not_ready_reason.as_deref(), Some("KubeletNotReady: no network"));
        assert_eq!(
            (facts.zone(), facts.region()),
            (Some("us-central1-a"), Some("us-central1")),
            "both are read"
        );
        assert_eq!(facts.taints[0].to_string(), "gpu:NoSchedule");
        assert_eq!(facts.provider_id.as_deref(), Some("gce://p/us-central1-a/n"));
    }
}
