//! `DaemonSets`: one pod on every node that suits.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::Controller;
use super::placement::{daemon_tolerations, is_active, is_ready, suits_labels, untolerated};
use super::template::{budget, hash, is_owned_by, is_wanted, pod_of};
use crate::object::ObjectExt as _;
use crate::objects::{Api, DeleteOptions, Part};
use crate::status::ApiError;
use crate::store::Event;

/// The controller of `DaemonSets`.
pub(super) struct DaemonSets;

const HASH: &str = "controller-revision-hash";

#[async_trait::async_trait]
impl Controller for DaemonSets {
    fn name(&self) -> &'static str {
        "daemon sets"
    }

    fn cares(&self, event: &Event) -> bool {
        matches!(
            event.key.resource.as_str(),
            "daemonsets.apps" | "pods" | "nodes" | "serviceaccounts"
        )
    }

    async fn reconcile(&mut self, api: &Api) -> Result<Option<Duration>, ApiError> {
        let mut failed = None;
        for set in api.store.all("daemonsets.apps").iter().filter(|set| !set.is_deleting()) {
            if let Err(error) = settle(api, set).await {
                failed = Some(error);
            }
        }
        failed.map_or(Ok(None), Err)
    }
}

async fn settle(api: &Api, set: &Value) -> Result<(), ApiError> {
    let mut template = set.pointer("/spec/template").cloned().unwrap_or_default();
    let revision = hash(&template);
    let tolerations = daemon_tolerations(&template["spec"]);
    template.put(&["spec", "tolerations"], Value::Array(tolerations));
    template.put(&["metadata", "labels", HASH], json!(revision));
    let spec = template["spec"].clone();

    let nodes = api.store.all("nodes");
    let pods: Vec<Arc<Value>> = api
        .store
        .list("pods", Some(set.namespace()))
        .0
        .into_iter()
        .filter(|pod| is_owned_by(pod, set))
        .collect();
    if !is_wanted(api, "daemonsets.apps", set) {
        return Ok(());
    }
    let (mut desired, mut current, mut missing) = (0, 0, Vec::new());
    for node in &nodes {
        let wanted = suits_labels(&spec, node) && untolerated(&spec, node).is_none() && !node.is_deleting();
        // A pod that is there stays unless a NoExecute taint wants it away, which is the taint manager's business.
        let mut here: Vec<&Arc<Value>> = pods
            .iter()
            .filter(|pod| pod.text("/spec/nodeName") == node.name())
            .collect();
        here.sort_by_key(|pod| (pod.is_deleting(), pod.name().to_owned()));
        for finished in here.iter().filter(|pod| !is_active(pod) && !pod.is_deleting()) {
            api.remove("pods", finished, DeleteOptions::now()).await?;
        }
        if !suits_labels(&spec, node) {
            for pod in here.iter().filter(|pod| !pod.is_deleting()) {
                api.remove("pods", pod, DeleteOptions::default()).await?;
            }
        } else if wanted || !here.is_empty() {
            desired += 1;
            current += i64::from(here.iter().any(|pod| !pod.is_deleting()));
            if here.is_empty() {
                missing.push(node.name().to_owned());
            }
            for surplus in here.iter().filter(|pod| !pod.is_deleting()).skip(1) {
                api.remove("pods", surplus, DeleteOptions::default()).await?;
            }
        }
    }
    let ready = pods.iter().filter(|pod| is_ready(pod)).count();
    let fresh: Vec<&Arc<Value>> = pods
        .iter()
        .filter(|pod| !pod.is_deleting() && pod.labels().get(HASH) == Some(&revision.as_str()))
        .collect();
    let counts = json!({
        "desiredNumberScheduled": desired, "currentNumberScheduled": current, "numberMisscheduled": 0,
        "numberReady": ready, "numberAvailable": ready, "updatedNumberScheduled": fresh.len(),
        "numberUnavailable": desired - i64::try_from(ready).unwrap_or(0),
        "observedGeneration": set.number("/metadata/generation").unwrap_or(1),
    });
    if set.get("status") != Some(&counts) {
        api.adjust(
            "daemonsets.apps",
            set.namespace(),
            set.name(),
            Part::Status,
            move |set| {
                set.put(&["status"], counts.clone());
            },
        )
        .await?;
    }
    roll(api, set, &pods, &revision, desired).await?;
    for node in missing {
        let mut pod = pod_of("DaemonSet", set, &template);
        pod.put(&["spec", "nodeName"], json!(node));
        api.add("pods", set.namespace(), pod).await?;
    }
    Ok(())
}

/// Removes pods of an older template, as many at once as may be unavailable.
async fn roll(api: &Api, set: &Value, pods: &[Arc<Value>], revision: &str, desired: i64) -> Result<(), ApiError> {
    if set.text("/spec/updateStrategy/type") == "OnDelete" {
        return Ok(());
    }
    let limit = budget(
        set.pointer("/spec/updateStrategy/rollingUpdate/maxUnavailable"),
        desired,
        true,
    )
    .max(1);
    let ready = i64::try_from(pods.iter().filter(|pod| is_ready(pod)).count()).unwrap_or(0);
    let mut room = limit - (desired - ready);
    for pod in pods
        .iter()
        .filter(|pod| !pod.is_deleting() && pod.labels().get(HASH) != Some(&revision))
    {
        let costs = i64::from(is_ready(pod));
        if room >= costs {
            room -= costs;
            api.remove("pods", pod, DeleteOptions::default()).await?;
        }
    }
    Ok(())
}
