//! `multizone_cluster_status`: what the cloud, the balancer, etcd and Kubernetes say of one cluster, side by side.
//!
//! [`look`] asks everybody; [`describe`] puts the answers side by side; [`disagreements`] says where they differ.  What
//! cannot be asked, because the API is silent or a key may not be read, is said in `not_asked`: the rest is shown.

mod describe;
mod disagreements;
mod look;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use async_trait::async_trait;
use multizone_cloud::ClusterName;
use multizone_schema::{Diagnostics, Model, Nested, PlannedOf};

use super::DataSource;
use crate::{
    configuration::Configured,
    resources::{checks, trouble::Situation},
    stop::Stop,
};

/// A cluster as it is: machines, balancer targets, etcd members and Nodes side by side, how much may still fail, and
/// where they disagree.
///
/// It changes nothing, and answers `exists = false` for a cluster that is not there. Write `cluster` as a literal or a
/// variable: Terraform reads what refers to a resource with pending changes only during the apply. When the API is silent
/// or a zone is out, what the cloud says is still shown, and `not_asked` says what is missing. Reading it takes a few
/// requests to the cloud, and needs the right to read the cluster's keys for everything but the cloud's part.
#[derive(Model, Clone, Debug, PartialEq)]
pub struct ClusterStatus {
    /// Name of the cluster.
    #[attribute(required, validate = checks::cluster_name)]
    pub cluster: String,
    /// Whether anything of the cluster exists in the provider's region.
    #[attribute(computed)]
    pub exists: bool,
    /// URL of the Kubernetes API.
    #[attribute(computed)]
    pub endpoint: Option<String>,
    /// Who holds the API's address: `balancer NAME` or `machine NAME in ZONE`; null for nobody.
    #[attribute(computed)]
    pub address_holder: Option<String>,
    /// Whether a request through the API's address is answered by an API server that says that it is ready.
    #[attribute(computed)]
    pub api_answers: bool,
    /// The masters, by name: of every machine, balancer target, etcd member and Node that is one.
    #[attribute(computed, nested)]
    pub masters: BTreeMap<String, MasterStatus>,
    /// The workers, by name: of every machine and Node that is one.
    #[attribute(computed, nested)]
    pub workers: BTreeMap<String, WorkerStatus>,
    /// etcd's members in numbers; null when they could not be asked.
    #[attribute(computed, nested)]
    pub etcd: Option<EtcdStatus>,
    /// How many etcd members may still fail before writes stop; -1 when they have stopped, null when that is not known.
    #[attribute(computed)]
    pub quorum_margin: Option<i64>,
    /// The zones that the cluster spans or still has something in, by name, and what the loss of each would cost.
    #[attribute(computed, nested)]
    pub zones: BTreeMap<String, ZoneStatus>,
    /// The zones of which any one could be lost now with the API and writes to it going on. Empty when that is not known.
    #[attribute(computed)]
    pub survives_loss_of: Vec<String>,
    /// When the first certificate of an API server that answers ends, in RFC 3339. Replacing the master's machine renews
    /// its certificates.
    #[attribute(computed)]
    pub certificates_expire_at: Option<String>,
    /// Where machines, targets, members and Nodes disagree, or are not as they should be, each in a sentence.
    #[attribute(computed)]
    pub disagreements: Vec<String>,
    /// What could not be asked, and why. While this is not empty, what is missing above is not known.
    #[attribute(computed)]
    pub not_asked: Vec<String>,
}

/// One master.
#[derive(Nested, Clone, Debug, PartialEq)]
pub struct MasterStatus {
    /// Its key in `replicas` of the control plane.
    #[attribute(computed)]
    pub replica: Option<String>,
    /// The zone of its machine.
    #[attribute(computed)]
    pub zone: Option<String>,
    /// Its machine: `running`, `starting`, `stopping`, `halted` or `none`.
    #[attribute(computed)]
    pub machine: String,
    /// Type of its machine.
    #[attribute(computed)]
    pub machine_type: Option<String>,
    /// Address of its machine in the cluster's network.
    #[attribute(computed)]
    pub address: Option<String>,
    /// Its own API server, asked directly: `serving`, `not serving`, `stopped` (it is to leave), or `unknown` when nobody could be asked.
    #[attribute(computed)]
    pub api_server: String,
    /// Its target at the balancer: `serving`, `unhealthy`, `draining`, or `none`.
    #[attribute(computed)]
    pub target: String,
    /// Its member of etcd: `leader`, `voter`, `learner`, `unhealthy`, `not started`, `none`, or `unknown`.
    #[attribute(computed)]
    pub etcd: String,
    /// Its Node: `ready`, `cordoned`, `not ready`, `none`, or `unknown`.
    #[attribute(computed)]
    pub node: String,
    /// The zone that its Node's label names.
    #[attribute(computed)]
    pub node_zone: Option<String>,
    /// Kubernetes version of its kubelet, or the one that its machine was made for.
    #[attribute(computed)]
    pub kubernetes_version: Option<String>,
    /// When the certificate of its API server ends, in RFC 3339. kubeadm makes all certificates of a master at once.
    #[attribute(computed)]
    pub certificate_expires_at: Option<String>,
}

/// One worker.
#[derive(Nested, Clone, Debug, PartialEq)]
pub struct WorkerStatus {
    /// Its node group.
    #[attribute(computed)]
    pub node_group: Option<String>,
    /// The zone of its machine.
    #[attribute(computed)]
    pub zone: Option<String>,
    /// Its machine: `running`, `starting`, `stopping`, `halted` or `none`.
    #[attribute(computed)]
    pub machine: String,
    /// Type of its machine.
    #[attribute(computed)]
    pub machine_type: Option<String>,
    /// Its Node: `ready`, `cordoned`, `not ready`, `none`, or `unknown`.
    #[attribute(computed)]
    pub node: String,
    /// The zone that its Node's label names.
    #[attribute(computed)]
    pub node_zone: Option<String>,
    /// Kubernetes version of its kubelet.
    #[attribute(computed)]
    pub kubernetes_version: Option<String>,
}

/// etcd's members in numbers.
#[derive(Nested, Clone, Debug, PartialEq)]
pub struct EtcdStatus {
    /// Members that vote.
    #[attribute(computed)]
    pub voters: i64,
    /// Those of them that answer.
    #[attribute(computed)]
    pub healthy: i64,
    /// How many voters must agree on a write.
    #[attribute(computed)]
    pub quorum: i64,
    /// The master that leads.
    #[attribute(computed)]
    pub leader: Option<String>,
}

/// One zone.
#[derive(Nested, Clone, Debug, PartialEq)]
pub struct ZoneStatus {
    /// Whether it can be reached, as the cloud says.
    #[attribute(computed)]
    pub up: bool,
    /// Whether the cluster does not span it any more, and has something left in it.
    #[attribute(computed)]
    pub leaving: bool,
    /// Masters' machines in it.
    #[attribute(computed)]
    pub masters: Vec<String>,
    /// Workers' machines in it.
    #[attribute(computed)]
    pub workers: Vec<String>,
    /// Disks in it: with the zone, what is on them cannot be reached.
    #[attribute(computed)]
    pub disks: Vec<String>,
    /// Whether writes would go on without it; null when that is not known.
    #[attribute(computed)]
    pub writes_go_on: Option<bool>,
    /// Whether the API would still answer at its address, without anybody doing anything.
    #[attribute(computed)]
    pub api_answers: bool,
}

/// Serves `multizone_cluster_status`.
#[derive(Debug)]
pub struct ClusterStatusSource;

#[async_trait]
impl DataSource for ClusterStatusSource {
    type Model = ClusterStatus;

    fn type_name(&self) -> &'static str {
        "multizone_cluster_status"
    }

    async fn read(
        &self,
        provider: &Configured,
        config: PlannedOf<ClusterStatus>,
        _stop: &Stop,
    ) -> Result<ClusterStatus, Diagnostics> {
        let cluster = ClusterName::new(config.cluster.known().cloned().unwrap_or_default());
        let doing = format!("read the status of cluster {cluster}");
        let situation = Situation {
            doing: &doing,
            left: "Nothing was changed.",
        };
        let sight = Box::pin(look::look(provider, &cluster, &situation)).await?;
        Ok(describe::describe(&cluster, sight.as_ref(), provider.now()))
    }
}
