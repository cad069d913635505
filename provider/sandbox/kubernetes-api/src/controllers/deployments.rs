//! Deployments: a `ReplicaSet` per template, old ones replaced by the new one step by step.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::Controller;
use super::template::{budget, hash, is_owned_by, is_wanted};
use crate::object::{ObjectExt as _, controller_reference};
use crate::objects::{Api, DeleteOptions, Part, set_condition};
use crate::status::ApiError;
use crate::store::Event;
use crate::time;

/// The controller of Deployments.
pub(super) struct Deployments;

const SETS: &str = "replicasets.apps";
const HASH: &str = "pod-template-hash";
const REVISION: &str = "deployment.kubernetes.io/revision";

#[async_trait::async_trait]
impl Controller for Deployments {
    fn name(&self) -> &'static str {
        "deployments"
    }

    fn cares(&self, event: &Event) -> bool {
        matches!(event.key.resource.as_str(), "deployments.apps" | SETS)
    }

    async fn reconcile(&mut self, api: &Api) -> Result<Option<Duration>, ApiError> {
        let mut failed = None;
        for deployment in api
            .store
            .all("deployments.apps")
            .iter()
            .filter(|one| !one.is_deleting())
        {
            if let Err(error) = settle(api, deployment).await {
                failed = Some(error);
            }
        }
        failed.map_or(Ok(None), Err)
    }
}

async fn settle(api: &Api, deployment: &Value) -> Result<(), ApiError> {
    let mut sets: Vec<Arc<Value>> = api.store.list(SETS, Some(deployment.namespace())).0;
    sets.retain(|set| is_owned_by(set, deployment));
    if !is_wanted(api, "deployments.apps", deployment) {
        return Ok(());
    }
    let template = hash(&deployment["spec"]["template"]);
    let is_current = |set: &Value| set.labels().get(HASH) == Some(&template.as_str());
    if !deployment.flag("/spec/paused") {
        let latest = sets.iter().map(|set| revision(set)).max().unwrap_or(0);
        match sets.iter().find(|set| is_current(set)) {
            None => {
                make_set(api, deployment, &template, latest + 1).await?;
                // The new set wakes this controller again.
                return Ok(());
            }
            Some(set) if revision(set) < latest => annotate(api, set, latest + 1).await?,
            Some(_) => {}
        }
        let (current, old): (Vec<&Arc<Value>>, Vec<&Arc<Value>>) = sets.iter().partition(|set| is_current(set));
        if let Some(current) = current.first() {
            roll(api, deployment, current, &old).await?;
        }
    }
    write_status(api, deployment, &sets, &template).await
}

fn revision(set: &Value) -> i64 {
    set.annotation(REVISION).and_then(|text| text.parse().ok()).unwrap_or(0)
}

fn size(set: &Value) -> i64 {
    set.number("/spec/replicas").unwrap_or(0)
}

async fn annotate(api: &Api, set: &Value, revision: i64) -> Result<(), ApiError> {
    api.adjust(SETS, set.namespace(), set.name(), Part::Object, |set| {
        set.put(&["metadata", "annotations", REVISION], json!(revision.to_string()));
    })
    .await?;
    Ok(())
}

async fn make_set(api: &Api, deployment: &Value, template_hash: &str, revision: i64) -> Result<(), ApiError> {
    let mut template = deployment["spec"]["template"].clone();
    template.put(&["metadata", "labels", HASH], json!(template_hash));
    let mut selector = deployment["spec"]["selector"].clone();
    selector.put(&["matchLabels", HASH], json!(template_hash));
    let labels = template["metadata"]["labels"].clone();
    let set = json!({
        "metadata": {
            "name": format!("{}-{template_hash}", deployment.name()), "labels": labels,
            "annotations": {REVISION: revision.to_string()},
            "ownerReferences": controller_reference("apps/v1", "Deployment", deployment),
        },
        "spec": {"replicas": 0, "selector": selector, "template": template},
    });
    match api.add(SETS, deployment.namespace(), set).await {
        Err(error) if error.reason == "AlreadyExists" => Ok(()),
        other => other.map(drop),
    }
}

async fn scale(api: &Api, deployment: &Value, set: &Value, replicas: i64) -> Result<(), ApiError> {
    if size(set) == replicas {
        return Ok(());
    }
    api.adjust(SETS, set.namespace(), set.name(), Part::Object, |set| {
        set.put(&["spec", "replicas"], json!(replicas));
    })
    .await?;
    let way = if replicas > size(set) { "up" } else { "down" };
    let message = format!(
        "Scaled {way} replica set {} from {} to {replicas}",
        set.name(),
        size(set)
    );
    api.record(
        deployment,
        "apps/v1",
        "Deployment",
        "Normal",
        "ScalingReplicaSet",
        &message,
        "deployment-controller",
    )
    .await;
    Ok(())
}

/// One step from the old sets to the current one.
async fn roll(api: &Api, deployment: &Value, current: &Arc<Value>, old: &[&Arc<Value>]) -> Result<(), ApiError> {
    let wanted = size(deployment);
    let old_total: i64 = old.iter().map(|set| size(set)).sum();
    if deployment.text("/spec/strategy/type") == "Recreate" {
        for set in old {
            scale(api, deployment, set, 0).await?;
        }
        let old_pods: i64 = old.iter().filter_map(|set| set.number("/status/replicas")).sum();
        if old_total == 0 && old_pods == 0 {
            scale(api, deployment, current, wanted).await?;
        }
        return Ok(());
    }
    let rolling = |field: &str| deployment.pointer(&format!("/spec/strategy/rollingUpdate/{field}"));
    let surge = budget(rolling("maxSurge"), wanted, true);
    let mut unavailable = budget(rolling("maxUnavailable"), wanted, false);
    if surge == 0 && unavailable == 0 {
        unavailable = 1;
    }
    let grown = if old_total == 0 {
        wanted
    } else {
        let room = wanted + surge - old_total - size(current);
        (size(current) + room.max(0)).min(wanted)
    };
    if grown != size(current) {
        return scale(api, deployment, current, grown).await;
    }
    let available = |set: &Value| set.number("/status/availableReplicas").unwrap_or(0);
    let available_in_all: i64 = available(current) + old.iter().map(|set| available(set)).sum::<i64>();
    // Old pods that serve nobody cost nothing.
    let mut may_go = available_in_all - (wanted - unavailable);
    for set in old.iter().filter(|set| size(set) > 0) {
        let idle = (size(set) - available(set)).max(0);
        let gone = (idle + may_go.max(0)).min(size(set));
        may_go -= (gone - idle).max(0);
        scale(api, deployment, set, size(set) - gone).await?;
    }
    Ok(())
}

async fn write_status(api: &Api, deployment: &Value, sets: &[Arc<Value>], template: &str) -> Result<(), ApiError> {
    let sum = |field: &str| -> i64 {
        sets.iter()
            .filter_map(|set| set.number(&format!("/status/{field}")))
            .sum()
    };
    let current = sets.iter().find(|set| set.labels().get(HASH) == Some(&template));
    let updated = current.and_then(|set| set.number("/status/replicas")).unwrap_or(0);
    let (wanted, available) = (size(deployment), sum("availableReplicas"));
    let mut new = deployment.clone();
    for (field, value) in [
        ("replicas", sum("replicas")),
        ("readyReplicas", sum("readyReplicas")),
        ("availableReplicas", available),
        ("updatedReplicas", updated),
        ("unavailableReplicas", (wanted - available).max(0)),
        (
            "observedGeneration",
            deployment.number("/metadata/generation").unwrap_or(1),
        ),
    ] {
        new.put(&["status", field], json!(value));
    }
    let now = time::seconds(jiff::Timestamp::now());
    let rolling = |field: &str| deployment.pointer(&format!("/spec/strategy/rollingUpdate/{field}"));
    if available >= wanted - budget(rolling("maxUnavailable"), wanted, false) {
        let message = "Deployment has minimum availability.";
        set_condition(&mut new, "Available", "True", "MinimumReplicasAvailable", message, &now);
    } else {
        let message = "Deployment does not have minimum availability.";
        set_condition(
            &mut new,
            "Available",
            "False",
            "MinimumReplicasUnavailable",
            message,
            &now,
        );
    }
    let name = current.map(|set| set.name().to_owned()).unwrap_or_default();
    let done = updated >= wanted && available >= wanted && sum("replicas") == updated;
    let (reason, message) = if done {
        (
            "NewReplicaSetAvailable",
            format!("ReplicaSet \"{name}\" has successfully progressed."),
        )
    } else {
        ("ReplicaSetUpdated", format!("ReplicaSet \"{name}\" is progressing."))
    };
    set_condition(&mut new, "Progressing", "True", reason, &message, &now);
    let revision = current.map(|set| revision(set).to_string()).unwrap_or_default();
    if deployment.annotation(REVISION) != Some(revision.as_str()) && !revision.is_empty() {
        api.adjust(
            "deployments.apps",
            deployment.namespace(),
            deployment.name(),
            Part::Object,
            |one| {
                one.put(&["metadata", "annotations", REVISION], json!(revision));
            },
        )
        .await?;
    }
    if new.get("status") != deployment.get("status") {
        let status = new["status"].clone();
        api.adjust(
            "deployments.apps",
            deployment.namespace(),
            deployment.name(),
            Part::Status,
            move |one| {
                one.put(&["status"], status.clone());
            },
        )
        .await?;
    }
    if done {
        trim(api, deployment, sets, template).await?;
    }
    Ok(())
}

/// Removes empty old sets beyond the history that is to be kept.
async fn trim(api: &Api, deployment: &Value, sets: &[Arc<Value>], template: &str) -> Result<(), ApiError> {
    let keep = usize::try_from(deployment.number("/spec/revisionHistoryLimit").unwrap_or(10)).unwrap_or(10);
    let mut old: Vec<&Arc<Value>> = sets
        .iter()
        .filter(|set| set.labels().get(HASH) != Some(&template) && size(set) == 0 && !set.is_deleting())
        .collect();
    old.sort_by_key(|set| std::cmp::Reverse(revision(set)));
    for set in old.iter().skip(keep) {
        api.remove(SETS, set, DeleteOptions::default()).await?;
    }
    Ok(())
}
