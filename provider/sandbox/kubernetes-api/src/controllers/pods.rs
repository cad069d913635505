//! Ends pods that no kubelet will end: those of nodes that are gone, and those that a `NoExecute` taint drives away.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::Controller;
use super::placement::toleration;
use crate::object::{ObjectExt as _, condition_is};
use crate::objects::{Api, DeleteOptions, Part};
use crate::status::ApiError;
use crate::store::Event;
use crate::time;

/// Pod garbage collection and taint-based eviction.
pub(super) struct Pods;

const OUT_OF_SERVICE: &str = "node.kubernetes.io/out-of-service";

#[async_trait::async_trait]
impl Controller for Pods {
    fn name(&self) -> &'static str {
        "pods of lost nodes"
    }

    fn cares(&self, event: &Event) -> bool {
        matches!(event.key.resource.as_str(), "nodes" | "pods")
    }

    async fn reconcile(&mut self, api: &Api) -> Result<Option<Duration>, ApiError> {
        let mut next: Option<Duration> = None;
        for pod in api.store.all("pods") {
            let name = pod.text("/spec/nodeName");
            if name.is_empty() {
                continue;
            }
            let Some(node) = api.store.get("nodes", "", name) else {
                fail(api, &pod).await?;
                api.remove("pods", &pod, DeleteOptions::now()).await?;
                continue;
            };
            let out_of_service = node
                .items("/spec/taints")
                .iter()
                .any(|taint| taint.text("/key") == OUT_OF_SERVICE);
            if out_of_service && pod.is_deleting() && !condition_is(&node, "Ready", "True") {
                api.remove("pods", &pod, DeleteOptions::now()).await?;
                continue;
            }
            match eviction(&pod, &node, api.settings.pace) {
                Some(wait) if wait.is_zero() && !pod.is_deleting() => {
                    api.record(
                        &pod,
                        "v1",
                        "Pod",
                        "Normal",
                        "TaintManagerEviction",
                        &format!("Marking for deletion Pod {}/{}", pod.namespace(), pod.name()),
                        "taint-eviction-controller",
                    )
                    .await;
                    api.remove("pods", &pod, DeleteOptions::default()).await?;
                }
                Some(wait) if !wait.is_zero() => next = Some(next.map_or(wait, |next| next.min(wait))),
                _ => {}
            }
        }
        Ok(next)
    }
}

async fn fail(api: &Api, pod: &Value) -> Result<(), ApiError> {
    let failed = api
        .adjust("pods", pod.namespace(), pod.name(), Part::Status, |pod| {
            if !matches!(pod.text("/status/phase"), "Succeeded" | "Failed") {
                pod.put(&["status", "phase"], json!("Failed"));
            }
        })
        .await;
    match failed {
        Err(error) if !error.is_not_found() => Err(error),
        _ => Ok(()),
    }
}

/// How long the pod may stay on its node: for ever, some time, or not at all.
fn eviction(pod: &Value, node: &Value, pace: f64) -> Option<Duration> {
    // Static pods are their kubelet's business.
    if pod.annotation("kubernetes.io/config.mirror").is_some() {
        return None;
    }
    let taints = node
        .items("/spec/taints")
        .iter()
        .filter(|taint| taint.text("/effect") == "NoExecute");
    let waits = taints.filter_map(|taint| {
        let Some(found) = toleration(pod.items("/spec/tolerations"), taint) else {
            return Some(Duration::ZERO);
        };
        let seconds = found.number("/tolerationSeconds")?;
        let patience = time::paced(Duration::from_secs(u64::try_from(seconds).unwrap_or(0)), pace);
        let since = time::parse(taint.text("/timeAdded")).unwrap_or_else(Timestamp::now);
        let passed = Timestamp::now().duration_since(since).max(SignedDuration::ZERO);
        Some(patience.saturating_sub(passed.unsigned_abs()))
    });
    waits.min()
}
