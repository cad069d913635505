//! Binding pods to nodes and evicting them.

use serde_json::{Value, json};

use super::{Api, DeleteOptions, Deleted, Part, WriteOptions};
use crate::access::Identity;
use crate::object::ObjectExt as _;
use crate::resources::known;
use crate::selectors::Selector;
use crate::status::ApiError;
use crate::time;

impl Api {
    /// Binds a pod to a node, once.
    pub(crate) async fn bind(&self, namespace: &str, name: &str, node: &str) -> Result<(), ApiError> {
        let pods = known("pods");
        let old = self.get(pods, namespace, name)?;
        if !old.text("/spec/nodeName").is_empty() {
            let why = format!(
                "pod {name} is already assigned to node \"{}\"",
                old.text("/spec/nodeName")
            );
            return Err(ApiError::conflict(pods, name, &why));
        }
        if old.is_deleting() {
            return Err(ApiError::conflict(
                pods,
                name,
                &format!("pod {name} is being deleted, cannot be assigned to a host"),
            ));
        }
        let now = time::seconds(jiff::Timestamp::now());
        let node = node.to_owned();
        let key = crate::store::Key::new("pods", namespace, name);
        let mut new = (*old).clone();
        new.put(&["spec", "nodeName"], json!(node));
        set_condition(&mut new, "PodScheduled", "True", "", "", &now);
        let outcome = self.store.update(key, old.revision(), new).await;
        outcome.map(drop).map_err(|error| super::refusal(pods, name, &error))
    }

    /// Evicts a pod unless that breaks a disruption budget: then 429, as Kubernetes answers.
    pub(crate) async fn evict(
        &self,
        namespace: &str,
        name: &str,
        options: &DeleteOptions,
    ) -> Result<Deleted, ApiError> {
        let pods = known("pods");
        let pod = self.get(pods, namespace, name)?;
        let exempt = pod.is_deleting() || matches!(pod.text("/status/phase"), "Succeeded" | "Failed" | "Pending");
        if !exempt {
            self.spend_budget(&pod, options.dry_run).await?;
        }
        self.delete(pods, namespace, name, options).await
    }

    async fn spend_budget(&self, pod: &Value, dry_run: bool) -> Result<(), ApiError> {
        let budgets = self.store.list("poddisruptionbudgets.policy", Some(pod.namespace())).0;
        let mut covering = budgets.iter().filter(|budget| covers(budget, pod));
        let Some(budget) = covering.next() else { return Ok(()) };
        if covering.next().is_some() {
            return Err(ApiError::internal(
                "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.",
            ));
        }
        let observed = budget.number("/status/observedGeneration").unwrap_or(0);
        if observed < budget.number("/metadata/generation").unwrap_or(0) {
            return Err(too_many(
                budget,
                "The disruption budget",
                "is still being processed by the server.",
            ));
        }
        let healthy = crate::object::condition_is(pod, "Ready", "True");
        let current = budget.number("/status/currentHealthy").unwrap_or(0);
        let desired = budget.number("/status/desiredHealthy").unwrap_or(0);
        if !healthy && (current >= desired || budget.text("/spec/unhealthyPodEvictionPolicy") == "AlwaysAllow") {
            return Ok(());
        }
        if budget.number("/status/disruptionsAllowed").unwrap_or(0) < 1 {
            let rest = format!("needs {desired} healthy pods and has {current} currently");
            return Err(too_many(budget, "The disruption budget", &rest));
        }
        if dry_run {
            return Ok(());
        }
        let (name, now) = (pod.name(), time::seconds(jiff::Timestamp::now()));
        // Looked at again inside: another eviction may have been quicker.
        let spend = |budget: &Value| {
            let left = budget.number("/status/disruptionsAllowed").unwrap_or(0);
            if left < 1 {
                let rest = format!("needs {desired} healthy pods and has {current} currently");
                return Err(too_many(budget, "The disruption budget", &rest));
            }
            let mut spent = budget.clone();
            spent.put(&["status", "disruptionsAllowed"], json!(left - 1));
            spent.put(&["status", "disruptedPods", name], json!(now));
            Ok(spent)
        };
        let (who, options) = (Identity::controller(), WriteOptions::default());
        let budgets = known("poddisruptionbudgets.policy");
        self.modify(
            &who,
            budgets,
            budget.namespace(),
            budget.name(),
            Part::Status,
            &options,
            &spend,
        )
        .await?;
        Ok(())
    }
}

/// Whether a budget's selector chooses the pod.
pub(crate) fn covers(budget: &Value, pod: &Value) -> bool {
    let selector = budget.pointer("/spec/selector");
    budget.namespace() == pod.namespace() && selector.is_some_and(|spec| Selector::of_spec(spec).matches(pod))
}

fn too_many(budget: &Value, what: &str, rest: &str) -> ApiError {
    let message = "Cannot evict pod as it would violate the pod's disruption budget.";
    let mut error = ApiError::new(429, "TooManyRequests", message);
    error.details = Some(json!({"causes": [{
        "reason": "DisruptionBudget", "message": format!("{what} {} {rest}", budget.name()),
    }]}));
    error
}

/// Sets one condition; its transition time moves only when the status does.
pub(crate) fn set_condition(object: &mut Value, kind: &str, status: &str, reason: &str, message: &str, now: &str) {
    let mut conditions = object.items("/status/conditions").to_vec();
    let found = conditions.iter_mut().find(|one| one.text("/type") == kind);
    let mut condition = json!({"type": kind, "status": status, "lastTransitionTime": now});
    if !reason.is_empty() {
        condition["reason"] = json!(reason);
    }
    if !message.is_empty() {
        condition["message"] = json!(message);
    }
    match found {
        Some(found) => {
            if found.text("/status") == status
                && let Some(since) = found.get("lastTransitionTime")
            {
                condition["lastTransitionTime"] = since.clone();
            }
            for kept in ["lastHeartbeatTime", "lastProbeTime"] {
                if let Some(time) = found.get(kept) {
                    condition[kept] = time.clone();
                }
            }
            *found = condition;
        }
        None => conditions.push(condition),
    }
    object.put(&["status", "conditions"], Value::Array(conditions));
}
