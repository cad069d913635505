//! Binds pods to nodes: filters as the real scheduler does, then spreads over zones and nodes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::Controller;
use super::placement::{allocatable, is_active, requests, suits_labels, untolerated, volume_reaches};
use crate::object::ObjectExt as _;
use crate::objects::{Api, Part, set_condition};
use crate::selectors::Selector;
use crate::status::ApiError;
use crate::store::Event;
use crate::time;

/// The default scheduler.
pub(super) struct Scheduler;

const ZONE: &str = "topology.kubernetes.io/zone";

#[async_trait::async_trait]
impl Controller for Scheduler {
    fn name(&self) -> &'static str {
        "scheduler"
    }

    fn cares(&self, event: &Event) -> bool {
        matches!(
            event.key.resource.as_str(),
            "pods" | "nodes" | "persistentvolumes" | "persistentvolumeclaims"
        )
    }

    async fn reconcile(&mut self, api: &Api) -> Result<Option<Duration>, ApiError> {
        let mut pods = api.store.all("pods");
        let nodes = api.store.all("nodes");
        let waiting: Vec<Arc<Value>> = pods.iter().filter(|pod| is_waiting(pod)).cloned().collect();
        for pod in waiting {
            match choose(api, &pod, &nodes, &pods) {
                Ok(node) => {
                    let name = node.name().to_owned();
                    choose_volumes(api, &pod, node).await?;
                    api.bind(pod.namespace(), pod.name(), &name).await?;
                    let message = format!("Successfully assigned {}/{} to {name}", pod.namespace(), pod.name());
                    api.record(&pod, "v1", "Pod", "Normal", "Scheduled", &message, "default-scheduler")
                        .await;
                    let mut bound = (*pod).clone();
                    bound.put(&["spec", "nodeName"], json!(name));
                    pods.retain(|one| one.uid() != pod.uid());
                    pods.push(Arc::new(bound));
                }
                Err(message) => report(api, &pod, &message).await?,
            }
        }
        Ok(None)
    }
}

fn is_waiting(pod: &Value) -> bool {
    pod.text("/spec/nodeName").is_empty()
        && !pod.is_deleting()
        && is_active(pod)
        && matches!(pod.text("/spec/schedulerName"), "" | "default-scheduler")
}

async fn report(api: &Api, pod: &Value, message: &str) -> Result<(), ApiError> {
    let condition = pod
        .items("/status/conditions")
        .iter()
        .find(|one| one.text("/type") == "PodScheduled");
    if condition.is_some_and(|one| one.text("/message") == message) {
        return Ok(());
    }
    let now = time::seconds(jiff::Timestamp::now());
    let text = message.to_owned();
    let changed = api
        .adjust("pods", pod.namespace(), pod.name(), Part::Status, move |pod| {
            set_condition(pod, "PodScheduled", "False", "Unschedulable", &text, &now);
        })
        .await;
    match changed {
        Err(error) if error.is_not_found() => return Ok(()),
        other => drop(other?),
    }
    api.record(
        pod,
        "v1",
        "Pod",
        "Warning",
        "FailedScheduling",
        message,
        "default-scheduler",
    )
    .await;
    Ok(())
}

/// The node to bind to, or why there is none, in the scheduler's words.
fn choose<'a>(api: &Api, pod: &Value, nodes: &'a [Arc<Value>], pods: &[Arc<Value>]) -> Result<&'a Arc<Value>, String> {
    let mut refusals: BTreeMap<String, usize> = BTreeMap::new();
    let mut fitting = Vec::new();
    for node in nodes {
        match refuses(api, pod, node, nodes, pods) {
            Some(why) => *refusals.entry(why).or_default() += 1,
            None => fitting.push(node),
        }
    }
    let zone_of = |node: &Value| node.labels().get(ZONE).map(|&zone| zone.to_owned()).unwrap_or_default();
    let owner = pod.controller().map(|owner| owner.text("/uid").to_owned());
    let is_sibling =
        |other: &Value| owner.is_some() && other.controller().map(|one| one.text("/uid")) == owner.as_deref();
    let by_name: BTreeMap<&str, &Arc<Value>> = nodes.iter().map(|node| (node.name(), node)).collect();
    let load = |node: &Value| {
        let on_node = |other: &&Arc<Value>| other.text("/spec/nodeName") == node.name() && is_active(other);
        let zone = zone_of(node);
        let in_zone = |other: &&Arc<Value>| {
            by_name
                .get(other.text("/spec/nodeName"))
                .is_some_and(|node| zone_of(node) == zone)
        };
        let siblings_in_zone = pods.iter().filter(|other| is_sibling(other)).filter(in_zone).count();
        let siblings_here = pods.iter().filter(|other| is_sibling(other)).filter(on_node).count();
        (
            siblings_in_zone,
            siblings_here,
            pods.iter().filter(on_node).count(),
            node.name().to_owned(),
        )
    };
    fitting.into_iter().min_by_key(|node| load(node)).ok_or_else(|| {
        let reasons: Vec<String> = refusals.iter().map(|(why, count)| format!("{count} {why}")).collect();
        if nodes.is_empty() {
            return "no nodes available to schedule pods".to_owned();
        }
        format!("0/{} nodes are available: {}.", nodes.len(), reasons.join(", "))
    })
}

fn refuses(api: &Api, pod: &Value, node: &Value, nodes: &[Arc<Value>], pods: &[Arc<Value>]) -> Option<String> {
    let spec = pod.get("spec")?;
    if node.is_deleting() {
        return Some("node(s) were being deleted".to_owned());
    }
    if node.flag("/spec/unschedulable") {
        let taint = json!({"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"});
        if !super::placement::tolerated(spec.items("/tolerations"), &taint) {
            return Some("node(s) were unschedulable".to_owned());
        }
    }
    if let Some(taint) = untolerated(spec, node) {
        let (key, value) = (taint.text("/key"), taint.text("/value"));
        return Some(format!("node(s) had untolerated taint {{{key}: {value}}}"));
    }
    if !suits_labels(spec, node) {
        return Some("node(s) didn't match Pod's node affinity/selector".to_owned());
    }
    if let Some(why) = volumes_refuse(api, pod, node) {
        return Some(why);
    }
    let mut free = allocatable(node);
    for other in pods
        .iter()
        .filter(|other| other.text("/spec/nodeName") == node.name() && is_active(other))
    {
        let used = requests(other.get("spec").unwrap_or(&Value::Null));
        free.iter_mut().zip(used).for_each(|(free, used)| *free -= used);
    }
    let wanted = requests(spec);
    for (at, what) in ["Insufficient cpu", "Insufficient memory", "Too many pods"]
        .iter()
        .enumerate()
    {
        if wanted[at] > free[at] {
            return Some((*what).to_owned());
        }
    }
    if !affinity_suits(pod, node, nodes, pods, "podAntiAffinity", false) {
        return Some("node(s) didn't match pod anti-affinity rules".to_owned());
    }
    if !affinity_suits(pod, node, nodes, pods, "podAffinity", true) {
        return Some("node(s) didn't match pod affinity rules".to_owned());
    }
    if !spread_suits(pod, node, nodes, pods) {
        return Some("node(s) didn't match pod topology spread constraints".to_owned());
    }
    None
}

fn volumes_refuse(api: &Api, pod: &Value, node: &Value) -> Option<String> {
    for volume in pod.items("/spec/volumes") {
        let name = volume.text("/persistentVolumeClaim/claimName");
        if name.is_empty() {
            continue;
        }
        let Some(claim) = api.store.get("persistentvolumeclaims", pod.namespace(), name) else {
            return Some(format!("persistentvolumeclaim \"{name}\" not found"));
        };
        let bound = claim.text("/spec/volumeName");
        if bound.is_empty() {
            if !super::volumes::waits_for_consumer(api, &claim) {
                return Some("pod has unbound immediate PersistentVolumeClaims".to_owned());
            }
            if super::volumes::candidates(api, &claim)
                .iter()
                .all(|volume| !volume_reaches(volume, node))
            {
                return Some("node(s) didn't find available persistent volumes to bind".to_owned());
            }
        } else if let Some(volume) = api.store.get("persistentvolumes", "", bound)
            && !volume_reaches(&volume, node)
        {
            return Some("node(s) had volume node affinity conflict".to_owned());
        }
    }
    None
}

/// Binds the claims that waited for this pod to volumes that its node reaches.
async fn choose_volumes(api: &Api, pod: &Value, node: &Value) -> Result<(), ApiError> {
    for volume in pod.items("/spec/volumes") {
        let name = volume.text("/persistentVolumeClaim/claimName");
        let Some(claim) = api.store.get("persistentvolumeclaims", pod.namespace(), name) else {
            continue;
        };
        if !claim.text("/spec/volumeName").is_empty() {
            continue;
        }
        let found = super::volumes::candidates(api, &claim)
            .into_iter()
            .find(|one| volume_reaches(one, node));
        if let Some(found) = found {
            super::volumes::bind(api, &claim, &found).await?;
        }
    }
    Ok(())
}

/// Required (anti-)affinity to other pods over a topology key.
fn affinity_suits(
    pod: &Value,
    node: &Value,
    nodes: &[Arc<Value>],
    pods: &[Arc<Value>],
    kind: &str,
    together: bool,
) -> bool {
    let terms = pod.items(&format!(
        "/spec/affinity/{kind}/requiredDuringSchedulingIgnoredDuringExecution"
    ));
    terms.iter().all(|term| {
        let key = term.text("/topologyKey");
        let Some(place) = node.labels().get(key).map(|&one| one.to_owned()) else {
            return !together;
        };
        let selector = term.get("labelSelector").map(Selector::of_spec).unwrap_or_default();
        let namespaces = term.items("/namespaces");
        let in_namespace = |other: &Value| {
            if namespaces.is_empty() {
                other.namespace() == pod.namespace()
            } else {
                namespaces.iter().any(|one| one.as_str() == Some(other.namespace()))
            }
        };
        let mut others = pods.iter().filter(|other| {
            other.uid() != pod.uid() && is_active(other) && in_namespace(other) && selector.matches(other)
        });
        let here = |other: &Arc<Value>| {
            nodes
                .iter()
                .any(|one| one.name() == other.text("/spec/nodeName") && one.labels().get(key) == Some(&place.as_str()))
        };
        if together {
            // The first pod of a group that wants to be together may go anywhere.
            let first = !pods.iter().any(|other| {
                other.uid() != pod.uid() && !other.text("/spec/nodeName").is_empty() && selector.matches(other)
            }) && selector.matches(pod);
            first || others.any(here)
        } else {
            !others.any(here)
        }
    })
}

/// `topologySpreadConstraints` that must hold.
fn spread_suits(pod: &Value, node: &Value, nodes: &[Arc<Value>], pods: &[Arc<Value>]) -> bool {
    pod.items("/spec/topologySpreadConstraints").iter().all(|constraint| {
        if constraint.text("/whenUnsatisfiable") == "ScheduleAnyway" {
            return true;
        }
        let key = constraint.text("/topologyKey");
        let selector = constraint
            .get("labelSelector")
            .map(Selector::of_spec)
            .unwrap_or_default();
        let mut counts: BTreeMap<String, i64> = BTreeMap::new();
        for one in nodes.iter().filter(|one| suits_labels(&pod["spec"], one)) {
            let Some(place) = one.labels().get(key).map(|&place| place.to_owned()) else {
                continue;
            };
            let matching = pods.iter().filter(|other| {
                other.text("/spec/nodeName") == one.name()
                    && other.namespace() == pod.namespace()
                    && !other.is_deleting()
                    && selector.matches(other)
            });
            *counts.entry(place).or_default() += i64::try_from(matching.count()).unwrap_or(i64::MAX);
        }
        let Some(here) = node.labels().get(key).and_then(|place| counts.get(*place)) else {
            return false;
        };
        let least = counts.values().min().copied().unwrap_or(0);
        here + 1 - least <= constraint.number("/maxSkew").unwrap_or(1)
    })
}
