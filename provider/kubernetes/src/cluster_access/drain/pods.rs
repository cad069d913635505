//! Which pods of a node a drain evicts, leaves or must not touch.

use std::fmt;

use k8s_openapi::api::core::v1::Pod;
use kube::core::Status;

use super::super::api_servers::{NAMESPACE, hold_name, release_name};
use super::{DrainOptions, Obstacle, PodInTheWay};

/// Marks the API server's image of a pod that the kubelet runs from a file.
const MIRROR_ANNOTATION: &str = "kubernetes.io/config.mirror";

/// A pod to be evicted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PodOnNode {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) uid: String,
    /// Whether it is being deleted already.
    pub(super) stopping: bool,
}

impl fmt::Display for PodOnNode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.namespace, self.name)
    }
}

impl PodOnNode {
    fn new(pod: &Pod) -> Self {
        Self {
            namespace: pod.metadata.namespace.clone().unwrap_or_default(),
            name: pod.metadata.name.clone().unwrap_or_default(),
            uid: pod.metadata.uid.clone().unwrap_or_default(),
            stopping: pod.metadata.deletion_timestamp.is_some(),
        }
    }

    pub(super) fn in_the_way(&self, obstacle: Obstacle) -> PodInTheWay {
        PodInTheWay {
            namespace: self.namespace.clone(),
            name: self.name.clone(),
            obstacle,
        }
    }
}

/// The pods of a node by what a drain does with them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Sorted {
    /// Stay with the node.
    pub(super) left: Vec<String>,
    /// May not go with these options.
    pub(super) blocked: Vec<PodInTheWay>,
    /// Are evicted.
    pub(super) to_evict: Vec<PodOnNode>,
}

pub(super) fn sort(pods: &[Pod], options: &DrainOptions) -> Sorted {
    let mut sorted = Sorted::default();
    for pod in pods {
        let facts = PodOnNode::new(pod);
        if is_mirror(pod) || is_of_a_hold(pod) || controller(pod) == Some("DaemonSet") && !is_finished(pod) {
            sorted.left.push(facts.to_string());
            continue;
        }
        if facts.stopping && options.machine_is_off {
            continue;
        }
        match obstacle(pod, options) {
            // What is going already is not for the options to keep.
            Some(obstacle) if !facts.stopping => sorted.blocked.push(facts.in_the_way(obstacle)),
            _ => sorted.to_evict.push(facts),
        }
    }
    sorted
}

fn obstacle(pod: &Pod, options: &DrainOptions) -> Option<Obstacle> {
    if is_finished(pod) {
        return None;
    }
    if controller(pod).is_none() && !options.force {
        return Some(Obstacle::Unmanaged);
    }
    let volumes = pod.spec.as_ref().and_then(|spec| spec.volumes.as_ref());
    let has_local_data = volumes.into_iter().flatten().any(|volume| volume.empty_dir.is_some());
    (has_local_data && !options.delete_empty_dir_data).then_some(Obstacle::LocalData)
}

/// The provider's own pods that hold the API server of a master which leaves: an earlier run may have left them.  They go
/// with the machine.
fn is_of_a_hold(pod: &Pod) -> bool {
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref());
    let of = |node: &str| name == hold_name(node) || name == release_name(node);
    pod.metadata.namespace.as_deref() == Some(NAMESPACE) && node.is_some_and(of)
}

fn is_mirror(pod: &Pod) -> bool {
    pod.metadata
        .annotations
        .as_ref()
        .is_some_and(|annotations| annotations.contains_key(MIRROR_ANNOTATION))
}

fn is_finished(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}

/// The kind of the controller that owns the pod.
fn controller(pod: &Pod) -> Option<&str> {
    let owners = pod.metadata.owner_references.as_deref().unwrap_or_default();
    owners
        .iter()
        .find(|owner| owner.controller == Some(true))
        .map(|owner| owner.kind.as_str())
}

/// What a refused eviction says about the budget: its details, or its message.
pub(super) fn budget_message(status: &Status) -> String {
    let causes = status.details.iter().flat_map(|details| &details.causes);
    let details: Vec<_> = causes
        .map(|cause| cause.message.as_str())
        .filter(|message| !message.is_empty())
        .collect();
    if details.is_empty() {
        status.message.clone()
    } else {
        details.join("; ")
    }
}

pub(super) fn namespace_is_terminating(status: &Status) -> bool {
    let mut causes = status.details.iter().flat_map(|details| &details.causes);
    causes.any(|cause| cause.reason == "NamespaceTerminating")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn pod(name: &str, change: impl FnOnce(&mut Value)) -> Pod {
        let mut pod = json!({
            "metadata": {
                "namespace": "default", "name": name, "uid": format!("uid-{name}"),
                "ownerReferences": [
                    { "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "r", "uid": "r", "controller": true },
                ],
            },
            "spec": { "containers": [] },
            "status": { "phase": "Running" },
        });
        change(&mut pod);
        serde_json::from_value(pod).unwrap()
    }

    fn options() -> DrainOptions {
        DrainOptions::default()
    }

    #[test]
    fn daemon_set_and_mirror_pods_stay() {
        let pods = [
            pod("web", |_| {}),
            pod("proxy", |pod| {
                pod["metadata"]["ownerReferences"][0]["kind"] = "DaemonSet".into();
            }),
            pod("etcd", |pod| {
                pod["metadata"]["annotations"] = json!({ MIRROR_ANNOTATION: "hash" });
            }),
        ];
        let sorted = sort(&pods, &options());
        assert_eq!(sorted.left, ["default/proxy", "default/etcd"]);
        assert_eq!(
            sorted.to_evict.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["default/web"]
        );
        assert!(sorted.blocked.is_empty());
    }

    #[test]
    fn pods_that_would_lose_something_need_permission() {
        let bare = |pod: &mut Value| pod["metadata"]["ownerReferences"] = json!([]);
        let scratch = |pod: &mut Value| pod["spec"]["volumes"] = json!([{ "name": "tmp", "emptyDir": {} }]);
        let pods = [pod("bare", bare), pod("scratch", scratch)];
        let obstacles: Vec<_> = sort(&pods, &options())
            .blocked
            .into_iter()
            .map(|pod| pod.obstacle)
            .collect();
        assert_eq!(obstacles, [Obstacle::Unmanaged, Obstacle::LocalData]);
        let allowed = DrainOptions {
            force: true,
            delete_empty_dir_data: true,
            ..options()
        };
        assert_eq!(sort(&pods, &allowed).to_evict.len(), 2);
    }

    #[test]
    fn finished_and_stopping_pods_need_no_permission() {
        let pods = [
            pod("done", |pod| {
                pod["metadata"]["ownerReferences"] = json!([]);
                pod["status"]["phase"] = "Succeeded".into();
            }),
            pod("going", |pod| {
                pod["metadata"]["ownerReferences"] = json!([]);
                pod["metadata"]["deletionTimestamp"] = "2026-01-02T03:04:05Z".into();
            }),
        ];
        let sorted = sort(&pods, &options());
        assert_eq!((sorted.blocked.len(), sorted.to_evict.len()), (0, 2));
        assert!(sorted.to_evict[1].stopping);
        let off = DrainOptions {
            machine_is_off: true,
            ..options()
        };
        assert_eq!(sort(&pods, &off).to_evict.len(), 1, "nobody is there to stop it");
    }

    #[test]
    fn the_budgets_own_words_are_kept() {
        let status: Status = serde_json::from_value(json!({
            "status": "Failure", "code": 429, "reason": "TooManyRequests",
            "message": "Cannot evict pod as it would violate the pod's disruption budget.",
            "details": { "causes": [{
                "reason": "DisruptionBudget",
                "message": "The disruption budget web needs 2 healthy pods and has 2 currently",
            }] },
        }))
        .unwrap();
        assert_eq!(
            budget_message(&status),
            "The disruption budget web needs 2 healthy pods and has 2 currently"
        );
    }

    #[test]
    fn what_holds_an_api_server_goes_with_the_machine() {
        let held = |namespace: &str, name: &str| {
            pod(name, |pod| {
                pod["metadata"]["namespace"] = json!(namespace);
                pod["metadata"]["ownerReferences"] = json!([]);
                pod["spec"]["nodeName"] = json!("master-b");
            })
        };
        let options = DrainOptions::default();
        let left = |namespace, name| !sort(&[held(namespace, name)], &options).left.is_empty();
        assert!(left("kube-system", "multizone-hold-master-b"));
        assert!(left("kube-system", "multizone-release-master-b"));
        assert!(!left("kube-system", "multizone-hold-master-c"), "of another master");
        assert!(!left("default", "multizone-hold-master-b"), "somebody else's");
    }
}
