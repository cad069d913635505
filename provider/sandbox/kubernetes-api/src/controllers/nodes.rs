//! The life of nodes: silence becomes Ready=Unknown, conditions become taints, and each gets a block for its pods.

use std::collections::HashMap;
use std::time::Duration;

use ipnet::Ipv4Net;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::Controller;
use crate::object::ObjectExt as _;
use crate::objects::{Api, Part, set_condition};
use crate::status::ApiError;
use crate::store::Event;
use crate::time;

/// The node controllers.  What was heard of a node is remembered by this process only: after a restart every node
/// has its whole grace again.
#[derive(Default)]
pub(super) struct Nodes {
    heard: HashMap<String, Heard>,
}

struct Heard {
    sign: String,
    at: Instant,
}

/// How long a node may be silent.
const GRACE: Duration = Duration::from_secs(40);

/// What no pace shortens the grace below: the region shares its host, and a busy host is no dead node.  When a
/// master goes, etcd alone needs up to two seconds to elect another leader, at any pace, and renews nobody's lease meanwhile.
const SHORTEST_GRACE: Duration = Duration::from_secs(6);

const NOT_READY: &str = "node.kubernetes.io/not-ready";
const UNREACHABLE: &str = "node.kubernetes.io/unreachable";

#[async_trait::async_trait]
impl Controller for Nodes {
    fn name(&self) -> &'static str {
        "nodes"
    }

    fn cares(&self, event: &Event) -> bool {
        event.key.resource == "nodes"
            || (event.key.resource == "leases.coordination.k8s.io" && event.key.namespace == "kube-node-lease")
    }

    async fn reconcile(&mut self, api: &Api) -> Result<Option<Duration>, ApiError> {
        let grace = time::paced(GRACE, api.settings.pace).max(SHORTEST_GRACE);
        let nodes = api.store.all("nodes");
        self.heard.retain(|uid, _| nodes.iter().any(|node| node.uid() == uid));
        let mut next: Option<Duration> = None;
        for node in &nodes {
            let silent = self.silence(api, node);
            let lost = silent >= grace;
            if !lost {
                let left = grace.saturating_sub(silent);
                next = Some(next.map_or(left, |next| next.min(left)));
            } else if !is_unknown(node) {
                mark_unknown(api, node).await?;
                let message = format!("Node {} status is now: NodeNotReady", node.name());
                api.record(
                    node,
                    "v1",
                    "Node",
                    "Normal",
                    "NodeNotReady",
                    &message,
                    "node-controller",
                )
                .await;
            }
            self.settle_spec(api, node.name()).await?;
        }
        Ok(next)
    }
}

impl Nodes {
    /// How long nothing has been heard of the node: neither its Lease nor its status was renewed.
    fn silence(&mut self, api: &Api, node: &Value) -> Duration {
        let lease = api
            .store
            .get("leases.coordination.k8s.io", "kube-node-lease", node.name());
        let renewed = lease
            .map(|lease| lease.text("/spec/renewTime").to_owned())
            .unwrap_or_default();
        let ready = node
            .items("/status/conditions")
            .iter()
            .find(|one| one.text("/type") == "Ready");
        let beat = ready.map(|one| one.text("/lastHeartbeatTime")).unwrap_or_default();
        let sign = format!("{renewed} {beat}");
        let now = Instant::now();
        let heard = self.heard.entry(node.uid().to_owned()).or_insert_with(|| Heard {
            sign: sign.clone(),
            at: now,
        });
        if heard.sign != sign {
            *heard = Heard { sign, at: now };
        }
        now.duration_since(heard.at)
    }

    async fn settle_spec(&self, api: &Api, name: &str) -> Result<(), ApiError> {
        let Some(node) = api.store.get("nodes", "", name) else {
            return Ok(());
        };
        let taints = wanted_taints(&node);
        let needs_block = node.text("/spec/podCIDR").is_empty();
        if taints.is_none() && !needs_block {
            return Ok(());
        }
        let block = if needs_block { free_block(api) } else { None };
        let changed = api
            .adjust("nodes", "", name, Part::Object, move |node| {
                if let Some(block) = block
                    && node.text("/spec/podCIDR").is_empty()
                {
                    node.put(&["spec", "podCIDR"], json!(block.to_string()));
                    node.put(&["spec", "podCIDRs"], json!([block.to_string()]));
                }
                // Computed again: the node may have changed.
                if let Some(taints) = wanted_taints(node) {
                    if taints.is_empty() {
                        node.take_out(&["spec", "taints"]);
                    } else {
                        node.put(&["spec", "taints"], Value::Array(taints));
                    }
                }
            })
            .await;
        match changed {
            Err(error) if !error.is_not_found() => Err(error),
            _ => Ok(()),
        }
    }
}

fn is_unknown(node: &Value) -> bool {
    node.items("/status/conditions")
        .iter()
        .any(|one| one.text("/type") == "Ready" && one.text("/status") == "Unknown")
}

async fn mark_unknown(api: &Api, node: &Value) -> Result<(), ApiError> {
    let changed = api
        .adjust("nodes", "", node.name(), Part::Status, |node| {
            let now = time::seconds(Timestamp::now());
            for kind in ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"] {
                let there = node
                    .items("/status/conditions")
                    .iter()
                    .any(|one| one.text("/type") == kind);
                let (reason, message) = if there {
                    ("NodeStatusUnknown", "Kubelet stopped posting node status.")
                } else {
                    ("NodeStatusNeverUpdated", "Kubelet never posted node status.")
                };
                set_condition(node, kind, "Unknown", reason, message, &now);
            }
        })
        .await;
    match changed {
        Err(error) if !error.is_not_found() => Err(error),
        _ => {
            // Its pods serve nobody any more, and their controllers and budgets must know.
            for pod in api
                .store
                .all("pods")
                .iter()
                .filter(|pod| pod.text("/spec/nodeName") == node.name())
            {
                let now = time::seconds(Timestamp::now());
                let marked = api
                    .adjust("pods", pod.namespace(), pod.name(), Part::Status, move |pod| {
                        set_condition(pod, "Ready", "False", "NodeNotReady", "", &now);
                    })
                    .await;
                match marked {
                    Err(error) if !error.is_not_found() => return Err(error),
                    _ => {}
                }
            }
            Ok(())
        }
    }
}

/// The taints that the node's conditions ask for, if they differ from those it has.
fn wanted_taints(node: &Value) -> Option<Vec<Value>> {
    let status = |kind: &str| {
        let found = node
            .items("/status/conditions")
            .iter()
            .find(|one| one.text("/type") == kind);
        found.map_or("", |one| one.text("/status"))
    };
    let mut wanted: Vec<(&str, &str)> = Vec::new();
    match status("Ready") {
        "True" => {}
        "Unknown" => wanted.extend([(UNREACHABLE, "NoSchedule"), (UNREACHABLE, "NoExecute")]),
        "" => wanted.push((NOT_READY, "NoSchedule")),
        _ => wanted.extend([(NOT_READY, "NoSchedule"), (NOT_READY, "NoExecute")]),
    }
    for (condition, key) in [
        ("MemoryPressure", "node.kubernetes.io/memory-pressure"),
        ("DiskPressure", "node.kubernetes.io/disk-pressure"),
        ("PIDPressure", "node.kubernetes.io/pid-pressure"),
        ("NetworkUnavailable", "node.kubernetes.io/network-unavailable"),
    ] {
        if status(condition) == "True" {
            wanted.push((key, "NoSchedule"));
        }
    }
    if node.flag("/spec/unschedulable") {
        wanted.push(("node.kubernetes.io/unschedulable", "NoSchedule"));
    }
    let managed = |key: &str| {
        matches!(
            key.strip_prefix("node.kubernetes.io/"),
            Some(
                "not-ready"
                    | "unreachable"
                    | "memory-pressure"
                    | "disk-pressure"
                    | "pid-pressure"
                    | "network-unavailable"
                    | "unschedulable"
            )
        )
    };
    let old = node.items("/spec/taints");
    let mut new: Vec<Value> = old
        .iter()
        .filter(|taint| !managed(taint.text("/key")))
        .cloned()
        .collect();
    for (key, effect) in wanted {
        let there = old
            .iter()
            .find(|taint| taint.text("/key") == key && taint.text("/effect") == effect);
        new.push(there.cloned().unwrap_or_else(|| {
            let mut taint = json!({"key": key, "effect": effect});
            taint["timeAdded"] = json!(time::seconds(Timestamp::now()));
            taint
        }));
    }
    let same = new.len() == old.len() && new.iter().all(|taint| old.contains(taint));
    (!same).then_some(new)
}

/// The first /24 of the pods' range that no node has.
fn free_block(api: &Api) -> Option<Ipv4Net> {
    let used: Vec<Ipv4Net> = api
        .store
        .all("nodes")
        .iter()
        .filter_map(|node| node.text("/spec/podCIDR").parse().ok())
        .collect();
    let range = api.settings.pod_cidr;
    let length = range.prefix_len().max(24);
    range.subnets(length).ok()?.find(|block| !used.contains(block))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(ready: &str, taints: &Value) -> Value {
        json!({"spec": {"taints": taints}, "status": {"conditions": [{"type": "Ready", "status": ready}]}})
    }

    fn keys(taints: Option<Vec<Value>>) -> Vec<String> {
        let taints = taints.unwrap_or_default();
        taints
            .iter()
            .map(|one| format!("{}:{}", one.text("/key"), one.text("/effect")))
            .collect()
    }

    #[test]
    fn conditions_become_taints_and_go_again() {
        let own = json!({"key": "dedicated", "effect": "NoSchedule"});
        let lost = keys(wanted_taints(&node("Unknown", &json!([own]))));
        assert_eq!(
            lost,
            [
                "dedicated:NoSchedule",
                "node.kubernetes.io/unreachable:NoSchedule",
                "node.kubernetes.io/unreachable:NoExecute"
            ]
        );
        let back = node("True", &json!([own, {"key": UNREACHABLE, "effect": "NoSchedule"}]));
        assert_eq!(keys(wanted_taints(&back)), ["dedicated:NoSchedule"]);
        assert!(wanted_taints(&node("True", &json!([own]))).is_none());
    }
}
