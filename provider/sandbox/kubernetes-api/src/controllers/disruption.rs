//! `PodDisruptionBudgets`: how many pods may go at the moment.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use super::Controller;
use super::placement::{is_active, is_ready};
use super::template::budget;
use crate::object::ObjectExt as _;
use crate::objects::{Api, Part, covers, set_condition};
use crate::resources::by_id;
use crate::status::ApiError;
use crate::store::Event;
use crate::time;

/// The controller of `PodDisruptionBudgets`.
pub(super) struct Disruption;

const BUDGETS: &str = "poddisruptionbudgets.policy";

/// How long an eviction counts although its pod still looks healthy.
const REMEMBERED: SignedDuration = SignedDuration::from_secs(120);

#[async_trait::async_trait]
impl Controller for Disruption {
    fn name(&self) -> &'static str {
        "disruption budgets"
    }

    fn cares(&self, event: &Event) -> bool {
        matches!(
            event.key.resource.as_str(),
            BUDGETS | "pods" | "deployments.apps" | "replicasets.apps" | "statefulsets.apps"
        )
    }

    async fn reconcile(&mut self, api: &Api) -> Result<Option<Duration>, ApiError> {
        let mut waiting = false;
        for budget in api.store.all(BUDGETS) {
            waiting |= settle(api, &budget).await?;
        }
        Ok(waiting.then_some(Duration::from_secs(10)))
    }
}

/// Writes one budget's status; answers whether evictions are remembered that time will forget.
async fn settle(api: &Api, budget_object: &Value) -> Result<bool, ApiError> {
    let now = Timestamp::now();
    let pods: Vec<Arc<Value>> = api.store.list("pods", Some(budget_object.namespace())).0;
    let covered: Vec<&Arc<Value>> = pods
        .iter()
        .filter(|pod| covers(budget_object, pod) && is_active(pod))
        .collect();
    let mut disrupted = Map::new();
    for (name, since) in budget_object.entries("/status/disruptedPods") {
        let still_there = covered.iter().any(|pod| pod.name() == name && !pod.is_deleting());
        let recent = time::parse(since).is_some_and(|since| now.duration_since(since) < REMEMBERED);
        if still_there && recent {
            disrupted.insert(name.to_owned(), json!(since));
        }
    }
    let healthy = covered
        .iter()
        .filter(|pod| is_ready(pod) && !disrupted.contains_key(pod.name()))
        .count();
    let healthy = i64::try_from(healthy).unwrap_or(i64::MAX);
    let (expected, desired) = expectation(api, budget_object, &covered);
    let allowed = if expected == 0 { 0 } else { (healthy - desired).max(0) };

    let mut new = budget_object.clone();
    for (field, value) in [
        ("currentHealthy", healthy),
        ("desiredHealthy", desired),
        ("expectedPods", expected),
        ("disruptionsAllowed", allowed),
        (
            "observedGeneration",
            budget_object.number("/metadata/generation").unwrap_or(1),
        ),
    ] {
        new.put(&["status", field], json!(value));
    }
    if disrupted.is_empty() {
        new.take_out(&["status", "disruptedPods"]);
    } else {
        new.put(&["status", "disruptedPods"], Value::Object(disrupted.clone()));
    }
    let (status, reason) = if allowed > 0 {
        ("True", "SufficientPods")
    } else {
        ("False", "InsufficientPods")
    };
    set_condition(&mut new, "DisruptionAllowed", status, reason, "", &time::seconds(now));
    if new.get("status") != budget_object.get("status") {
        // The revision makes this fail, and come again, when an eviction was quicker.
        let (wanted, seen) = (new["status"].clone(), budget_object.revision());
        api.adjust(
            BUDGETS,
            budget_object.namespace(),
            budget_object.name(),
            Part::Status,
            move |object| {
                if object.revision() == seen {
                    object.put(&["status"], wanted.clone());
                }
            },
        )
        .await?;
    }
    Ok(!disrupted.is_empty())
}

/// How many pods there should be, and how many of them must be healthy.
fn expectation(api: &Api, object: &Value, covered: &[&Arc<Value>]) -> (i64, i64) {
    let count = i64::try_from(covered.len()).unwrap_or(i64::MAX);
    if let Some(least @ Value::Number(_)) = object.pointer("/spec/minAvailable") {
        return (count, least.as_i64().unwrap_or(0));
    }
    let expected = wanted_by_controllers(api, covered);
    if let Some(least) = object.pointer("/spec/minAvailable") {
        return (expected, budget(Some(least), expected, true));
    }
    let most = object.pointer("/spec/maxUnavailable");
    (expected, (expected - budget(most, expected, true)).max(0))
}

/// The sum of what the pods' controllers want; pods without one count themselves.
fn wanted_by_controllers(api: &Api, covered: &[&Arc<Value>]) -> i64 {
    let mut seen = Vec::new();
    let mut sum = 0;
    for pod in covered {
        let Some(owner) = pod.controller() else {
            sum += 1;
            continue;
        };
        if seen.contains(&owner.text("/uid")) {
            continue;
        }
        seen.push(owner.text("/uid"));
        let id = match owner.text("/kind") {
            "ReplicaSet" => "replicasets.apps",
            "StatefulSet" => "statefulsets.apps",
            "ReplicationController" => "replicationcontrollers",
            _ => "",
        };
        let found = by_id(id).and_then(|_| api.store.get(id, pod.namespace(), owner.text("/name")));
        sum += if let Some(owner) = found {
            owner.number("/spec/replicas").unwrap_or(1)
        } else {
            let of_owner = covered
                .iter()
                .filter(|other| other.controller().map(|one| one.text("/uid")) == Some(owner.text("/uid")));
            i64::try_from(of_owner.count()).unwrap_or(0)
        };
    }
    sum
}
