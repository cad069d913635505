//! `multizone_control_plane`: the masters, any number of them, with or without a balancer.
//!
//! The order is the planner's (`multizone_planner::cluster`, operation `ControlPlane`).
//!
//! - [`plan`] shows the planner's steps, from what private data keep ([`seen`]); [`read`] looks and records that.
//! - [`operations`] is what Terraform calls; [`executor`] observes ([`observe`]), asks the planner, and acts
//!   ([`steps`], and [`machine`] for what is made), while it has the cluster's turn ([`super::turn`]).
//! - [`replica_count`] chooses the masters' zones where only their number is given.
//! - [`wanted`] is the configuration in the planner's words, [`nodes`] the masters as the state shows them.
//! - [`drift`] is what somebody changed that the planner knows nothing of, and [`repair`] heals it.
//! - [`kubeadm`] is what a user chooses beyond kubeadm's own settings, [`settings`] those that the cluster keeps of itself.
//! - [`certificates`]: until when those of the masters are valid.
//! - [`import`] and [`record`]: the settings that the cluster keeps of itself.
//! - [`removal`]: the end of a cluster whose keys are gone.

mod certificates;
mod drift;
mod executor;
mod import;
mod kubeadm;
mod machine;
mod nodes;
mod observe;
mod operations;
mod outage;
mod plan;
mod read;
mod record;
mod removal;
mod repair;
mod replica_count;
mod seen;
mod settings;
mod steps;
#[cfg(test)]
mod tests;
mod wanted;

pub(in crate::resources) use drift::cordoned;
pub(in crate::resources) use machine::{SPECIFICATION, timing};
pub(in crate::resources) use nodes::address_is_held;

use std::collections::BTreeMap;

use async_trait::async_trait;
use multizone_cloud::ClusterName;
use multizone_schema::{Diagnostics, Model, Nested};

use super::{
    Created, Failed, PlanRequest, Planning, Resource, Updated, checks, identity::ClusterIdentity, timeouts::Timeouts,
};
use kubeadm::Kubeadm;
use plan::{manifest, protected};

use crate::{configuration::Configured, stop::Stop};

/// The control plane of a cluster: its masters, the Kubernetes version, and the pod network.
///
/// Masters join and leave one at a time, in the order that `rollout` shows in the plan: what would cost etcd its quorum is
/// never done, and a master leaves only when it is out of the balancer, drained and out of etcd. Have three masters in
/// three zones behind a `multizone_api_load_balancer` to survive the loss of any one zone. Where a master's machine is to
/// be another one, its successor joins before it leaves, the only master's too: the successor takes over its data and the
/// API's address.
///
/// Another version, one minor at a time and never back, begins with the settings that the cluster keeps of itself
/// (kubeadm-config, kubelet-config); then masters of the new version join and those of the old one leave; kube-proxy and
/// `CoreDNS` follow last. Give the node groups the control plane's version, and one apply does the masters first and the workers after
/// them.
///
/// The next apply puts right what somebody changed behind Terraform's back: objects of the pod network and of the node
/// groups' rights, labels and taints of the master, a cordon. With a label `multizone.dev/hold` on its Node, of any value,
/// a master keeps its cordon, and may lack kubeadm's taint and its label against load balancers.
#[derive(Model, Clone, Debug, PartialEq)]
pub struct ControlPlane {
    /// Name of the cluster: `multizone_cluster.NAME.name`.
    #[attribute(required, requires_replace, validate = checks::cluster_name)]
    pub cluster: String,
    /// Kubernetes version, for example `1.34.1`; 1.29.0 or later.
    #[attribute(required, validate = checks::kubernetes_version)]
    pub kubernetes_version: String,
    /// Machine type of the masters: 2 CPUs and 2 GiB at least.
    #[attribute(required)]
    pub machine_type: String,
    /// The masters, by a key that stays with each: an odd number, each in a zone that the cluster spans. Either this or
    /// `replica_count`.
    #[attribute(optional, computed, nested, validate = checks::replica_keys)]
    pub replicas: BTreeMap<String, Replica>,
    /// Number of masters, 1 to 7, for `replicas` that are spread over the cluster's zones; when it or the zones change, as
    /// few masters move as possible.
    #[attribute(optional)]
    pub replica_count: Option<i64>,
    /// Name of the balancer in front of the masters: `multizone_api_load_balancer.NAME.name`. Without one the API's
    /// address is on one master.
    #[attribute(optional, validate = checks::object_name)]
    pub load_balancer: Option<String>,
    /// Refuse replicas of which the loss of one zone would stop all writes.
    #[attribute(optional)]
    pub tolerate_zone_loss: Option<bool>,
    /// Directory in which a snapshot of etcd is saved before masters change. It holds every Secret in plain text: name an
    /// encrypted place. Without it, several masters are changed without a backup.
    #[attribute(optional)]
    pub etcd_backup: Option<String>,
    /// Manifest of the pod network, in YAML: applied once the API serves and whenever it changes; what an earlier one had
    /// and it has not is deleted, but for namespaces and custom resource definitions. Without it, install a pod network
    /// yourself; nodes then count as ready once they are registered.
    #[attribute(optional, validate = manifest)]
    pub pod_network_manifest: Option<String>,
    /// What kubeadm is told beyond its own settings: arguments, volumes and patches of the components, configurations of
    /// kubelets and kube-proxy, where images come from, taint and label of the masters.
    #[attribute(optional, nested)]
    pub kubeadm: Option<Kubeadm>,
    /// Image of the masters, in the cloud's words (on AWS its ID, or `OWNER/NAME`, in which `*` stands for anything). Defaults
    /// to the cloud's current Ubuntu LTS.
    #[attribute(optional)]
    pub image: Option<String>,
    /// Size of the masters' boot disks in GiB; etcd is on it.
    #[attribute(optional, default = 30, validate = checks::boot_disk)]
    pub boot_disk_gb: i64,
    /// Machine identity of the masters: the one that reads the cluster's keys. Defaults to the cloud's default identity; on
    /// AWS, where it is an instance profile, to one of the cluster's own that may do nothing else.
    #[attribute(optional)]
    pub service_account: Option<String>,
    /// Also label the masters' nodes with the failure-domain.beta.kubernetes.io pair.
    #[attribute(optional, default = false)]
    pub legacy_zone_labels: bool,
    /// Refuse to destroy the control plane.
    #[attribute(optional, default = false)]
    pub deletion_protection: bool,
    /// How long operations may take.
    #[attribute(optional, nested)]
    pub timeouts: Option<Timeouts>,
    /// `REGION/CLUSTER`, known once the API serves; also what `terraform import` takes.
    #[attribute(computed, keep_prior)]
    pub id: String,
    /// URL of the Kubernetes API.
    #[attribute(computed, keep_prior)]
    pub endpoint: String,
    /// The masters' machines and nodes, by name.
    #[attribute(computed, nested)]
    pub nodes: BTreeMap<String, MasterNode>,
    /// The steps of the planned change, in order, each with its usual duration; afterwards those of the last change.
    #[attribute(computed)]
    pub rollout: Vec<String>,
}

/// One master.
#[derive(Nested, Clone, Debug, PartialEq)]
pub struct Replica {
    /// The zone it is in: one that the cluster spans.
    #[attribute(required)]
    pub zone: String,
}

/// A master's machine and its node.
#[derive(Nested, Clone, Debug, PartialEq)]
pub struct MasterNode {
    /// Key in `replicas`.
    #[attribute(computed)]
    pub replica: String,
    /// The zone.
    #[attribute(computed)]
    pub zone: String,
    /// Address in the cluster's network.
    #[attribute(computed)]
    pub address: String,
    /// Kubernetes' name for the machine.
    #[attribute(computed)]
    pub provider_id: String,
    /// `ready`, `registered` (no pod network yet), `not ready`, `not registered`, `cordoned` (the next apply undoes it,
    /// unless the node has a label `multizone.dev/hold`), `relabelled` (in the cloud), `halted`, or `unknown` when the API
    /// did not answer.
    #[attribute(computed)]
    pub state: String,
    /// When the certificate ends with which its API server serves; its other certificates are as old. They live one year:
    /// a master is renewed by replacing its machine, as a new Kubernetes version does. Null until it was seen.
    #[attribute(computed)]
    pub certificate_expires_at: Option<String>,
}

/// Serves `multizone_control_plane`.
#[derive(Debug)]
pub struct ControlPlaneResource;

#[async_trait]
impl Resource for ControlPlaneResource {
    type Model = ControlPlane;
    type Identity = ClusterIdentity;

    fn type_name(&self) -> &'static str {
        "multizone_control_plane"
    }

    fn validate(&self, config: &ControlPlanePlanned) -> Diagnostics {
        let mut diagnostics = replica_count::validate(config);
        diagnostics.extend(replica_count::tolerated(config, "replicas"));
        if let Some(version) = config.kubernetes_version.known() {
            diagnostics.extend(kubeadm::check_with_version(&config.kubeadm, version));
        }
        diagnostics
    }

    async fn plan(&self, provider: &Configured, request: PlanRequest<'_, ControlPlane>) -> Planning<ControlPlane> {
        let (prior, config, private) = (request.prior.cloned(), request.config, request.prior_private);
        let mut planning = Planning::of(request);
        if let (Some(cluster), Some(version)) = (
            planning.planned.cluster.known(),
            planning.planned.kubernetes_version.known(),
        ) {
            provider.plan_version(&ClusterName::new(cluster), version);
        }
        let chosen = replica_count::choose(provider, config, prior.as_ref(), private, &mut planning.planned).await;
        planning.diagnostics.extend(chosen);
        plan::plan(provider, prior.as_ref(), planning).await
    }

    async fn plan_destroy(&self, _provider: &Configured, prior: &ControlPlane, _private: &[u8]) -> Diagnostics {
        if prior.deletion_protection {
            return protected(prior).into();
        }
        plan::destroyed(prior).into()
    }

    async fn read(
        &self,
        provider: &Configured,
        state: ControlPlane,
        private: Vec<u8>,
        _stop: &Stop,
    ) -> Result<Option<(ControlPlane, Vec<u8>)>, Diagnostics> {
        if state.replica_count.is_some() {
            provider.read_counted(&ClusterName::new(&state.cluster));
        }
        read::refresh(provider, state, &private).await
    }

    async fn create(
        &self,
        provider: &Configured,
        planned: ControlPlanePlanned,
        stop: &Stop,
    ) -> Result<Created<ControlPlane>, Diagnostics> {
        Box::pin(operations::create(provider, planned, stop)).await
    }

    async fn update(
        &self,
        provider: &Configured,
        prior: ControlPlane,
        planned: ControlPlanePlanned,
        private: Vec<u8>,
        stop: &Stop,
    ) -> Result<Updated<ControlPlane>, Failed<ControlPlane>> {
        Box::pin(operations::update(provider, prior, planned, private, stop)).await
    }

    async fn delete(
        &self,
        provider: &Configured,
        prior: ControlPlane,
        private: Vec<u8>,
        stop: &Stop,
    ) -> Result<Diagnostics, Diagnostics> {
        if prior.deletion_protection {
            return Err(protected(&prior).into());
        }
        Box::pin(operations::delete(provider, &prior, &private, stop)).await
    }

    async fn import(&self, provider: &Configured, id: &str) -> Result<ControlPlane, Diagnostics> {
        import::import(provider, id).await
    }
}
