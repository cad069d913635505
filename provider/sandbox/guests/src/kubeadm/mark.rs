//! The mark-control-plane phase, for the first master and those that join.

use std::time::Duration;

use serde_json::json;

use super::documents::{NodeRegistration, Taint};
use super::{Attempts, preflight, say};
use crate::api::{Api, Patch};
use crate::machine::Machine;

/// The taint of a master that is given none.
pub(super) fn default_taint() -> Taint {
    Taint {
        key: "node-role.kubernetes.io/control-plane".to_owned(),
        value: String::new(),
        effect: "NoSchedule".to_owned(),
    }
}

/// Marks the node as a master's; registered without taints it gets kubeadm's own.
pub(super) async fn mark_control_plane(
    machine: &Machine,
    node: &str,
    registration: &NodeRegistration,
    api: &Api,
) -> Result<(), String> {
    let default = [default_taint()];
    let taints = registration.taints.as_deref().unwrap_or(&default);
    say(
        machine,
        format!("[mark-control-plane] Marking the node {node} as control-plane"),
    );
    let path = format!("/api/v1/nodes/{node}");
    let attempts = Attempts::within(machine, Duration::from_mins(2));
    loop {
        let marked = async {
            let node = api.get(&path).await?;
            let mut all = node["spec"]["taints"].as_array().cloned().unwrap_or_default();
            for taint in taints {
                let present = all
                    .iter()
                    .any(|one| one["key"] == taint.key.as_str() && one["effect"] == taint.effect.as_str());
                if !present {
                    let mut object = json!({"key": taint.key, "effect": taint.effect});
                    if !taint.value.is_empty() {
                        object["value"] = taint.value.clone().into();
                    }
                    all.push(object);
                }
            }
            let change = json!({
                "metadata": {
                    "resourceVersion": node["metadata"]["resourceVersion"],
                    "labels": {
                        "node-role.kubernetes.io/control-plane": "",
                        "node.kubernetes.io/exclude-from-external-load-balancers": "",
                    },
                    "annotations": {"kubeadm.alpha.kubernetes.io/cri-socket": preflight::socket(registration)},
                },
                "spec": {"taints": all},
            });
            api.patch(&path, Patch::Merge, &change).await
        };
        match marked.await {
            Ok(_) => return Ok(()),
            Err(error) if !attempts.are_over() && (error.is_not_found() || error.is_transient()) => {}
            Err(error) => return Err(error.to_string()),
        }
        attempts.pause().await;
    }
}
