//! `ReplicaSets`: as many pods as wanted.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::Controller;
use super::placement::{is_active, is_ready};
use super::template::{is_owned_by, is_wanted, pod_of};
use crate::object::ObjectExt as _;
use crate::objects::{Api, DeleteOptions, Part};
use crate::selectors::Selector;
use crate::status::ApiError;
use crate::store::Event;

/// The controller of `ReplicaSets`.
pub(super) struct ReplicaSets;

#[async_trait::async_trait]
impl Controller for ReplicaSets {
    fn name(&self) -> &'static str {
        "replica sets"
    }

    fn cares(&self, event: &Event) -> bool {
        matches!(
            event.key.resource.as_str(),
            "replicasets.apps" | "pods" | "serviceaccounts"
        )
    }

    async fn reconcile(&mut self, api: &Api) -> Result<Option<Duration>, ApiError> {
        let mut failed = None;
        for set in api
            .store
            .all("replicasets.apps")
            .iter()
            .filter(|set| !set.is_deleting())
        {
            if let Err(error) = settle(api, set).await {
                failed = Some(error);
            }
        }
        failed.map_or(Ok(None), Err)
    }
}

async fn settle(api: &Api, set: &Value) -> Result<(), ApiError> {
    let mut pods: Vec<Arc<Value>> = api.store.list("pods", Some(set.namespace())).0;
    // A pod that was relabelled is the set's no longer, although it still names it as its owner.
    let selector = set.pointer("/spec/selector").map(Selector::of_spec);
    let chosen = |pod: &Value| selector.as_ref().is_some_and(|selector| selector.matches(pod));
    pods.retain(|pod| is_owned_by(pod, set) && chosen(pod) && !pod.is_deleting() && is_active(pod));
    if !is_wanted(api, "replicasets.apps", set) {
        return Ok(());
    }
    let wanted = usize::try_from(set.number("/spec/replicas").unwrap_or(1)).unwrap_or(0);
    let ready = pods.iter().filter(|pod| is_ready(pod)).count();
    let counts = json!({
        "replicas": pods.len(), "fullyLabeledReplicas": pods.len(), "readyReplicas": ready, "availableReplicas": ready,
        "observedGeneration": set.number("/metadata/generation").unwrap_or(1),
    });
    if set.get("status") != Some(&counts) {
        api.adjust(
            "replicasets.apps",
            set.namespace(),
            set.name(),
            Part::Status,
            move |set| {
                set.put(&["status"], counts.clone());
            },
        )
        .await?;
    }
    for _ in pods.len()..wanted {
        let pod = pod_of("ReplicaSet", set, &set["spec"]["template"]);
        let made = api.add("pods", set.namespace(), pod).await?;
        let message = format!("Created pod: {}", made.name());
        api.record(
            set,
            "apps/v1",
            "ReplicaSet",
            "Normal",
            "SuccessfulCreate",
            &message,
            "replicaset-controller",
        )
        .await;
    }
    if pods.len() > wanted {
        // Those that do the least go first: unbound, not ready, young.
        pods.sort_by_key(|pod| {
            (
                !pod.text("/spec/nodeName").is_empty(),
                is_ready(pod),
                std::cmp::Reverse(pod.revision()),
            )
        });
        for pod in &pods[..pods.len() - wanted] {
            api.remove("pods", pod, DeleteOptions::default()).await?;
        }
    }
    Ok(())
}
