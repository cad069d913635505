//! The status of a pod, as its kubelet sees it.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::containers::RunningPod;
use super::node::{Node, condition, seconds};

/// The status of a pod whose containers are being made.
pub(super) fn waiting(node: &Node<'_>, pod: &Value) -> Value {
    let waiting = json!({"waiting": {"reason": "ContainerCreating"}});
    let network = *node.network.borrow() || pod["spec"]["hostNetwork"] == true;
    let reason = if network {
        "ContainersNotReady"
    } else {
        "NetworkNotReady"
    };
    json!({
        "phase": "Pending",
        "hostIP": node.settings.address.to_string(),
        "startTime": seconds(Timestamp::now()),
        "conditions": conditions(pod, false, reason),
        "containerStatuses": statuses(pod, "containers", &waiting, false),
    })
}

/// The status of a pod whose containers run.
pub(super) fn running(node: &Node<'_>, pod: &Value, running: &RunningPod) -> Value {
    let state = json!({"running": {"startedAt": running.started}});
    let mut status = json!({
        "phase": "Running",
        "hostIP": node.settings.address.to_string(),
        "podIP": running.address.to_string(),
        "podIPs": [{"ip": running.address.to_string()}],
        "startTime": pod["status"]["startTime"].as_str().unwrap_or(&running.started),
        "conditions": conditions(pod, true, ""),
        "containerStatuses": statuses(pod, "containers", &state, true),
    });
    if pod["spec"]["initContainers"]
        .as_array()
        .is_some_and(|list| !list.is_empty())
    {
        let done = json!({"terminated": {
            "exitCode": 0, "reason": "Completed", "startedAt": running.started, "finishedAt": running.started,
        }});
        status["initContainerStatuses"] = statuses(pod, "initContainers", &done, true);
    }
    status
}

/// The status of a pod whose containers have done their work.
pub(super) fn succeeded(node: &Node<'_>, pod: &Value, running: &RunningPod) -> Value {
    let state = json!({"terminated": {
        "exitCode": 0, "reason": "Completed", "startedAt": running.started, "finishedAt": seconds(Timestamp::now()),
    }});
    json!({
        "phase": "Succeeded",
        "hostIP": node.settings.address.to_string(),
        "podIP": running.address.to_string(),
        "startTime": running.started,
        "conditions": conditions(pod, false, "PodCompleted"),
        "containerStatuses": statuses(pod, "containers", &state, false),
    })
}

fn conditions(pod: &Value, ready: bool, reason: &str) -> Value {
    let now = seconds(Timestamp::now());
    let state = |good: bool| if good { "True" } else { "False" };
    let list = [
        "PodReadyToStartContainers",
        "Initialized",
        "Ready",
        "ContainersReady",
        "PodScheduled",
    ]
    .map(|kind| {
        let good = ready || matches!(kind, "Initialized" | "PodScheduled");
        let before = condition(pod, kind).filter(|before| before["status"] == state(good));
        let since = before.map_or_else(|| json!(now), |before| before["lastTransitionTime"].clone());
        let mut object = json!({
            "type": kind, "status": state(good), "lastProbeTime": null, "lastTransitionTime": since,
        });
        if !good {
            object["reason"] = reason.into();
        }
        object
    });
    json!(list)
}

fn statuses(pod: &Value, field: &str, state: &Value, ready: bool) -> Value {
    let earlier = |name: &Value| {
        let list = pod["status"]["containerStatuses"].as_array().into_iter().flatten();
        let status = list.into_iter().find(|status| status["name"] == *name)?;
        // Running according to the API but not here: the machine was halted in between.
        let died = ready && status["containerID"].is_string();
        Some(status["restartCount"].as_u64().unwrap_or(0) + u64::from(died))
    };
    let uid = pod["metadata"]["uid"].as_str().unwrap_or_default().replace('-', "");
    pod["spec"][field]
        .as_array()
        .into_iter()
        .flatten()
        .map(|container| {
            let name = &container["name"];
            let image = container["image"].as_str().unwrap_or_default();
            let mut status = json!({
                "name": name,
                "image": image,
                "imageID": if ready { image } else { "" },
                "ready": ready,
                "restartCount": earlier(name).unwrap_or(0),
                "started": ready,
                "state": state,
            });
            if ready {
                status["containerID"] = format!("containerd://{uid}-{}", name.as_str().unwrap_or_default()).into();
            }
            status
        })
        .collect()
}
