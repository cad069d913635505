//! `multizone_node_group`: the workers of one zone.
//!
//! The order is the planner's (`multizone_planner::node_group`); [`executor`] observes, asks it, and acts.  What planning
//! needs is recorded at the end of every apply and read, in private data.

mod executor;
mod facts;
mod plan;
mod steps;
#[cfg(test)]
mod tests;
mod worker;

use std::{collections::BTreeMap, time::Duration};

use async_trait::async_trait;
use multizone_planner::{
    lines,
    node_group::{Api, Observed, preview},
};
use multizone_schema::{Diagnostic, Diagnostics, Model, Nested};

use super::{
    Created, Failed, PlanRequest, Planning, Resource, Updated, checks,
    control_plane::timing,
    identity::{ObjectId, ObjectIdentity},
    timeouts::{self, Timeouts},
    trouble::{ADOPTED, CONTINUED, STILL_THERE, Situation},
};
use plan::{
    ask, ask_for_room, blank, complete, control_plane_id, foresee, name_fits, region, repeated_taints, same_region,
    skew, taken, unwell,
};

use crate::{configuration::Configured, stop::Stop};

/// A rolling replacement of a few workers, with their drains.
const TIMEOUT: Duration = Duration::from_hours(1);

/// A group of identical workers in one zone.
///
/// Another `size` adds or removes workers; another machine type, version or image replaces them one after the other, the
/// new one first; labels and taints are changed on the nodes in place. A worker that goes is cordoned and drained first,
/// `PodDisruptionBudgets` permitting.
///
/// A worker that somebody else cordoned takes pods again with the next apply. To keep it cordoned, give its Node a label
/// `multizone.dev/hold`, of any value; the cluster autoscaler's cordon is left alone as well.
///
/// Taints keep away every pod that does not tolerate them, and `NoExecute` evicts it: a node is Ready only when the pod
/// network's pods tolerate the group's taints.
#[derive(Model, Clone, Debug, PartialEq)]
pub struct NodeGroup {
    /// ID of the control plane to join: `multizone_control_plane.NAME.id`.
    #[attribute(required, requires_replace, validate = control_plane_id)]
    pub control_plane: String,
    /// Kubernetes version of the workers, usually `multizone_control_plane.NAME.kubernetes_version`: never newer than the
    /// control plane's, and at most three minor versions older.
    #[attribute(required, validate = checks::kubernetes_version)]
    pub kubernetes_version: String,
    /// Name of the group, unique in the cluster. Machines are called `CLUSTER-NAME-xxxx`.
    #[attribute(required, requires_replace, validate = checks::object_name)]
    pub name: String,
    /// The zone: one that the cluster spans.
    #[attribute(required, requires_replace)]
    pub zone: String,
    /// Number of workers.
    #[attribute(required, validate = checks::not_negative)]
    pub size: i64,
    /// Machine type.
    #[attribute(required)]
    pub machine_type: String,
    /// Labels of the nodes: ones that a kubelet may set.
    #[attribute(optional, validate = checks::node_labels)]
    pub labels: Option<BTreeMap<String, String>>,
    /// Taints of the nodes.
    #[attribute(optional, nested)]
    pub taints: Option<Vec<Taint>>,
    /// Also label the nodes with the failure-domain.beta.kubernetes.io pair.
    #[attribute(optional, default = false)]
    pub legacy_zone_labels: bool,
    /// How many workers beyond `size` may exist while workers are replaced.
    #[attribute(optional, default = 1, validate = checks::not_negative)]
    pub max_surge: i64,
    /// How many of `size` workers may be missing while workers are replaced.
    #[attribute(optional, default = 0, validate = checks::not_negative)]
    pub max_unavailable: i64,
    /// How long the drain of one node may take before the operation gives up, the node cordoned but kept. Pods that no
    /// controller would recreate are never evicted.
    #[attribute(optional, default = "15m", validate = timeouts::duration)]
    pub drain_timeout: String,
    /// Image of the machines, in the cloud's words (on AWS its ID, or `OWNER/NAME`, in which `*` stands for anything).
    /// Defaults to the cloud's current Ubuntu LTS.
    #[attribute(optional)]
    pub image: Option<String>,
    /// Size of the boot disks in GiB.
    #[attribute(optional, default = 30, validate = checks::boot_disk)]
    pub boot_disk_gb: i64,
    /// Machine identity of the workers. Defaults to none: joining needs none.
    #[attribute(optional)]
    pub service_account: Option<String>,
    /// How long operations may take.
    #[attribute(optional, nested)]
    pub timeouts: Option<Timeouts>,
    /// `REGION/CLUSTER/NAME`; also what `terraform import` takes.
    #[attribute(computed, keep_prior)]
    pub id: String,
    /// The region.
    #[attribute(computed, keep_prior)]
    pub region: String,
    /// The workers' machines and nodes, by name.
    #[attribute(computed, nested)]
    pub nodes: BTreeMap<String, Worker>,
    /// The steps of the planned change, in order, each with its usual duration; afterwards those of the last change.
    #[attribute(computed)]
    pub rollout: Vec<String>,
}

/// A taint of a node.
#[derive(Nested, Clone, Debug, PartialEq)]
pub struct Taint {
    /// Key.
    #[attribute(required, validate = checks::taint_key)]
    pub key: String,
    /// Value.
    #[attribute(optional, default = "")]
    pub value: String,
    /// `NoSchedule`, `PreferNoSchedule` or `NoExecute`.
    #[attribute(required, validate = checks::taint_effect)]
    pub effect: String,
}

/// A worker's machine and its node.
#[derive(Nested, Clone, Debug, PartialEq)]
pub struct Worker {
    /// Address in the cluster's network.
    #[attribute(computed)]
    pub address: String,
    /// Kubernetes' name for the machine.
    #[attribute(computed)]
    pub provider_id: String,
    /// Machine type.
    #[attribute(computed)]
    pub machine_type: String,
    /// `ready`, `not ready`, `not registered`, `leaving`, `cordoned` (by somebody else; the next apply lets it take pods
    /// again, unless the node has a label `multizone.dev/hold`), `relabelled` (in the cloud), `of cluster NAME` when its
    /// machine carries that other cluster's label, `halted`, `machine gone`, or `unknown` when the API did not answer.
    #[attribute(computed)]
    pub state: String,
}

/// Serves `multizone_node_group`.
#[derive(Debug)]
pub struct NodeGroupResource;

#[async_trait]
impl Resource for NodeGroupResource {
    type Model = NodeGroup;
    type Identity = ObjectIdentity;

    fn type_name(&self) -> &'static str {
        "multizone_node_group"
    }

    fn validate(&self, config: &NodeGroupPlanned) -> Diagnostics {
        let mut diagnostics = Diagnostics::new();
        let surge = if config.max_surge.is_null() {
            Some(1)
        } else {
            config.max_surge.known().copied()
        };
        let unavailable = if config.max_unavailable.is_null() {
            Some(0)
        } else {
            config.max_unavailable.known().copied()
        };
        if surge == Some(0) && unavailable == Some(0) {
            diagnostics.error(
                "max_unavailable",
                "No worker could ever be replaced",
                "max_surge and max_unavailable are both 0: a replacement can then neither add a worker first nor remove one \
                 first. Set one of them to 1 or more.",
            );
        }
        diagnostics.extend(name_fits(config));
        diagnostics.extend(repeated_taints(config));
        diagnostics
    }

    async fn plan(&self, provider: &Configured, request: PlanRequest<'_, NodeGroup>) -> Planning<NodeGroup> {
        let prior = request.prior.cloned();
        let observed = match &prior {
            None => Some(facts::nothing()),
            Some(_) => facts::decode(request.prior_private),
        };
        let mut planning = Planning::of(request);
        planning
            .diagnostics
            .extend(ask(provider, prior.as_ref(), &planning.planned).await);
        planning.diagnostics.extend(name_fits(&planning.planned));
        let planned = &mut planning.planned;
        let region = provider.cloud().region();
        planned.region = region.into();
        if let (Some(control_plane), Some(name)) = (planned.control_plane.known(), planned.name.known())
            && let Ok(id) = ObjectId::parse_cluster(control_plane)
        {
            planning.diagnostics.extend(same_region(&id.region, region));
            planned.id = ObjectId::object(region, &id.cluster, name).into();
        }
        let skewed = skew(provider, prior.as_ref(), &planning.planned, observed.as_ref());
        planning.diagnostics.extend(skewed);
        if let (Some(prior), Some(observed)) = (&prior, &observed) {
            planning.diagnostics.extend(unwell(prior, observed));
        }
        planning.diagnostics.extend(prior.iter().flat_map(taken));
        let growth = foresee(provider, prior.as_ref(), observed, &mut planning.planned);
        let room = ask_for_room(provider, prior.as_ref(), &planning.planned, growth).await;
        planning.diagnostics.extend(room);
        planning
    }

    async fn plan_destroy(&self, provider: &Configured, prior: &NodeGroup, private: &[u8]) -> Diagnostics {
        let mut diagnostics = taken(prior);
        let Some(observed) = facts::decode(private) else {
            return diagnostics;
        };
        let Ok(wanted) = worker::Wanted::of(&prior.clone().into()) else {
            return diagnostics;
        };
        let desired = worker::Wanted { size: 0, ..wanted }.desired(region(provider), None, provider.destroy().force);
        let preview = preview(
            &Observed {
                api: Api::Serving,
                ..observed
            },
            &desired,
        );
        if preview.steps.is_empty() {
            return diagnostics;
        }
        let timing = timing(provider.cloud().capabilities().timing);
        let drain = provider.destroy().drain_timeout;
        let limit = drain.map_or(prior.drain_timeout.clone(), |limit| format!("{} s", limit.as_secs()));
        diagnostics.push(Diagnostic::warning(
            format!("Destroying node group {} takes these steps", prior.name),
            format!(
                "{}\nA drain that does not finish within {limit} stops the destroy, the node cordoned but kept. When the \
                 control plane is gone already, the machines are deleted as they are.",
                indented(&lines(&preview.describe(&desired, &timing)))
            ),
        ));
        diagnostics
    }

    async fn read(
        &self,
        provider: &Configured,
        state: NodeGroup,
        private: Vec<u8>,
        _stop: &Stop,
    ) -> Result<Option<(NodeGroup, Vec<u8>)>, Diagnostics> {
        facts::refresh(provider, state, &private).await
    }

    async fn create(
        &self,
        provider: &Configured,
        planned: NodeGroupPlanned,
        stop: &Stop,
    ) -> Result<Created<NodeGroup>, Diagnostics> {
        let timeout = timeouts::planned(&planned.timeouts, |timeouts| &timeouts.create);
        let deadline = timeouts::deadline(timeout.as_ref(), TIMEOUT);
        let doing = format!(
            "create node group {}",
            planned.name.known().cloned().unwrap_or_default()
        );
        let situation = Situation {
            doing: &doing,
            left: ADOPTED,
        };
        let wanted = worker::Wanted::of(&planned)?;
        let desired = wanted.desired(region(provider), None, false);
        let mut executor = executor::Executor::new(provider, wanted, desired, deadline, stop, situation);
        executor.adopt().await?;
        let reached = executor.run().await?;
        executor.finish().await?;
        let private = facts::encode(&reached.observed);
        let state = complete(provider, planned, &executor, &reached)?;
        Ok(Created {
            state,
            private,
            warnings: Diagnostics::new(),
        })
    }

    async fn update(
        &self,
        provider: &Configured,
        prior: NodeGroup,
        planned: NodeGroupPlanned,
        private: Vec<u8>,
        stop: &Stop,
    ) -> Result<Updated<NodeGroup>, Failed<NodeGroup>> {
        let failed = |diagnostics| Failed {
            state: prior.clone(),
            private: private.clone(),
            diagnostics,
        };
        let timeout = timeouts::planned(&planned.timeouts, |timeouts| &timeouts.update);
        let deadline = timeouts::deadline(timeout.as_ref(), TIMEOUT);
        let doing = format!("update node group {}", prior.name);
        let situation = Situation {
            doing: &doing,
            left: CONTINUED,
        };
        let wanted = worker::Wanted::of(&planned).map_err(failed)?;
        let before = worker::Wanted::of(&prior.clone().into()).map_err(failed)?;
        let desired = wanted.desired(region(provider), Some(&before), false);
        let mut executor = executor::Executor::new(provider, wanted, desired, deadline, stop, situation);
        let reached = executor.run().await.map_err(failed)?;
        let private = facts::encode(&reached.observed);
        let state = complete(provider, planned, &executor, &reached).map_err(failed)?;
        Ok(Updated::new(state, private))
    }

    async fn delete(
        &self,
        provider: &Configured,
        prior: NodeGroup,
        _private: Vec<u8>,
        stop: &Stop,
    ) -> Result<Diagnostics, Diagnostics> {
        let timeout = prior.timeouts.as_ref().and_then(|timeouts| timeouts.delete.clone());
        let deadline = timeouts::deadline(timeout.as_ref(), TIMEOUT);
        let doing = format!("delete node group {}", prior.name);
        let situation = Situation {
            doing: &doing,
            left: STILL_THERE,
        };
        let mut wanted = worker::Wanted {
            size: 0,
            ..worker::Wanted::of(&prior.into())?
        };
        if let Some(limit) = provider.destroy().drain_timeout {
            wanted.drain_timeout = limit;
        }
        let desired = wanted.desired(region(provider), None, provider.destroy().force);
        let mut executor = executor::Executor::new(provider, wanted, desired, deadline, stop, situation);
        executor.run().await?;
        Ok(Diagnostics::new())
    }

    async fn import(&self, provider: &Configured, id: &str) -> Result<NodeGroup, Diagnostics> {
        facts::import(provider, id).await
    }
}

/// The lines of a preview within a diagnostic: Terraform wraps lines, but not those that begin with a space.
fn indented(lines: &[String]) -> String {
    lines
        .iter()
        .map(|line| format!("  {line}"))
        .collect::<Vec<_>>()
        .join("\n")
}
