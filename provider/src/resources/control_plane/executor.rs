//! Carries out what the planner says: observe, ask, act, until done.
//!
//! Every step is idempotent, so a run that was interrupted anywhere is continued by the next one.

use std::{collections::BTreeMap, time::Duration};

use multizone_cloud::{CloudError, ClusterName, label};
use multizone_kubernetes::{
    cluster_access::{AccessError, ApplyError, Cluster as ClusterConnection, NodeState, OwnedMetadata},
    kubeadm,
};
use multizone_planner::{
    control_plane::{Desired, Next, Observed, Power, Step, next, preview},
    lines,
};
use multizone_schema::{Diagnostic, Diagnostics};
use tokio::time::{Instant, timeout};
use tracing::info;

use super::{
    MasterNode, facts,
    machine::{Wanted, timing},
};
use crate::{
    configuration::Configured,
    resources::{
        cluster::ClusterFacts,
        marks, settled,
        trouble::{Situation, within},
    },
    stop::Stop,
};

/// How long one look at the API may take.
const LOOK: Duration = Duration::from_secs(5);

/// What a run has reached.
pub(super) struct Reached {
    pub(super) observed: Observed,
    pub(super) nodes: BTreeMap<String, MasterNode>,
}

/// One operation on a control plane.
pub(super) struct Executor<'a> {
    provider: &'a Configured,
    facts: ClusterFacts,
    wanted: Wanted,
    desired: Desired,
    pub(super) connection: ClusterConnection,
    pub(super) deadline: Instant,
    pub(super) stop: &'a Stop,
    situation: Situation<'a>,
    /// What cannot be observed, only remembered: which rights and which pod network were installed.
    access: bool,
    pod_network: Option<String>,
    /// Whether a master may be made: another one would begin with an empty etcd.
    creates: bool,
    taken: Vec<Step>,
}

impl<'a> Executor<'a> {
    /// Finds the cluster that the control plane belongs to.
    pub(super) async fn find(
        provider: &'a Configured,
        wanted: Wanted,
        deadline: Instant,
        stop: &'a Stop,
        situation: Situation<'a>,
    ) -> Result<Self, Diagnostics> {
        provider.forget(&wanted.cluster).await;
        let facts = ClusterFacts::find(provider, &wanted.cluster, &situation).await?;
        let connection = facts.connect_as_operator(provider, &situation).await?;
        let desired = wanted.desired(Some(facts.endpoint.url()));
        Ok(Self {
            provider,
            facts,
            wanted,
            desired,
            connection,
            deadline,
            stop,
            situation,
            access: false,
            pod_network: None,
            creates: false,
            taken: Vec::new(),
        })
    }

    /// Refuses a master that exists and that no unfinished create has left.
    pub(super) async fn adopt(&mut self) -> Result<(), Diagnostics> {
        self.creates = true;
        let inventory = self
            .provider
            .inventory(&self.wanted.cluster)
            .await
            .map_err(|error| self.situation.cloud(&error))?;
        let Some(machine) = facts::master(&inventory) else {
            return Ok(());
        };
        let place = machine.name == self.wanted.name() && machine.zone == self.wanted.zone;
        if place && marks::adoptable([machine], &self.wanted.fingerprint()) {
            info!(machine = %machine.name, "continue with the machine that an unfinished create has left");
            return Ok(());
        }
        let cluster = &self.wanted.cluster;
        let region = self.provider.cloud().region();
        let next = if marks::unfinished(&machine.labels) {
            format!(
                "An unfinished create left it for another configuration. Delete machine {} in {}, then apply again.",
                machine.name, machine.zone
            )
        } else {
            format!("Import it with: terraform import multizone_control_plane.NAME {region}/{cluster}")
        };
        Err(Diagnostic::error(
            "The cluster has a master already",
            format!(
                "Cluster {cluster} has the master {} in {}. Nothing was changed. {next}",
                machine.name, machine.zone
            ),
        )
        .at("cluster")
        .into())
    }

    /// Says on the machine that the create has finished.
    pub(super) async fn finish(&self) -> Result<(), Diagnostics> {
        let inventory = self
            .provider
            .inventory(&self.wanted.cluster)
            .await
            .map_err(|error| self.situation.cloud(&error))?;
        let (cluster, fingerprint) = (&self.wanted.cluster, self.wanted.fingerprint());
        marks::finish(self.provider, cluster, facts::master(&inventory), &fingerprint).await;
        Ok(())
    }

    /// What an earlier run has installed.
    pub(super) fn remember(&mut self, observed: Option<Observed>) {
        if let Some(observed) = observed {
            self.access = observed.access;
            self.pod_network = observed.pod_network;
        }
    }

    /// The API's URL.
    pub(super) fn endpoint(&self) -> String {
        self.facts.endpoint.url()
    }

    /// The steps that were taken, in words.
    pub(super) fn steps(&self) -> Vec<String> {
        let timing = timing(self.provider.cloud().capabilities().timing);
        let preview = multizone_planner::control_plane::Preview {
            steps: self.taken.clone(),
            end: Next::Done,
        };
        lines(&preview.describe(&self.desired, &timing))
    }

    /// Loops until the planner says that it is done.
    pub(super) async fn run(&mut self) -> Result<Reached, Diagnostics> {
        loop {
            let (observed, nodes) = self.observe().await?;
            match next(&observed, &self.desired) {
                Next::Done => {
                    self.provider.forget(&self.wanted.cluster).await;
                    return Ok(Reached { observed, nodes });
                }
                Next::Refused(violation) => {
                    return Err(self.situation.error(
                        &format!("{violation}."),
                        &format!(
                            "Change the configuration back to what machine {} was made from. If it is left by a create that \
                             never finished and holds nothing, delete it in the cloud and apply again.",
                            self.wanted.name()
                        ),
                    ));
                }
                Next::Step(Step::CreateMaster) if !self.creates => {
                    return Err(self.situation.error(
                        &format!("Machine {} is gone, and etcd with it.", self.wanted.name()),
                        "Run terraform plan: it shows the control plane as deleted and what is made anew.",
                    ));
                }
                Next::Step(step) => {
                    self.announce(&observed, step);
                    if self.stop.requested() {
                        return Err(self.situation.stopped());
                    }
                    self.act(step).await?;
                    self.taken.push(step);
                }
            }
        }
    }

    fn announce(&self, observed: &Observed, step: Step) {
        let left = preview(observed, &self.desired);
        let timing = timing(self.provider.cloud().capabilities().timing);
        let text = left
            .describe(&self.desired, &timing)
            .into_iter()
            .next()
            .map(|step| step.text)
            .unwrap_or_default();
        let number = self.taken.len() + 1;
        let all = self.taken.len() + left.steps.len();
        info!(cluster = %self.wanted.cluster, ?step, "step {number} of {all}: {text}");
    }

    async fn observe(&self) -> Result<(Observed, BTreeMap<String, MasterNode>), Diagnostics> {
        let inventory = settled::inventory(self.provider, &self.wanted.cluster, self.deadline, facts::is_master)
            .await
            .map_err(|error| self.situation.cloud(&error))?;
        let mut observed = Observed {
            access: self.access,
            pod_network: self.pod_network.clone(),
            ..facts::nothing()
        };
        let mut nodes = BTreeMap::new();
        if !self.creates {
            // Terraform has it in its state, even when it was told not to read it.
            marks::confirm(self.provider, &self.wanted.cluster, facts::master(&inventory)).await;
        }
        if let Some(machine) = facts::master(&inventory) {
            observed.machine = Some(facts::planner_machine(machine));
            let mut node = facts::Node::Unseen;
            if facts::power(machine) == Power::On {
                observed.serving = matches!(timeout(LOOK, self.connection.ready()).await, Ok(Ok(true)));
                if observed.serving
                    && let Ok(Ok(found)) = timeout(LOOK, self.connection.node(&machine.name)).await
                {
                    node = facts::Node::of(found);
                }
            }
            let pod_network = self.wanted.pod_network.is_some();
            observed.joined = node.joined(pod_network);
            let described = facts::describe(self.provider, machine, &node, pod_network);
            nodes.insert(machine.name.clone(), described);
        }
        Ok((observed, nodes))
    }

    async fn act(&mut self, step: Step) -> Result<(), Diagnostics> {
        match step {
            Step::CreateMaster => self.create_master().await,
            Step::StartMaster => {
                let (zone, name) = (&self.wanted.zone, self.wanted.name());
                self.cloud(self.provider.cloud().start_machine(zone, &name)).await
            }
            Step::WaitServing => {
                let waited = self.connection.wait_ready(self.deadline, self.stop.wait()).await;
                waited.map_err(|error| self.access_failed(&error, "initialise the cluster"))
            }
            Step::InstallAccess => {
                let installed = self
                    .connection
                    .install_node_group_access(self.deadline, self.stop.wait())
                    .await;
                installed.map_err(|error| self.apply_failed(&error, "the rights of node groups"))?;
                self.access = true;
                Ok(())
            }
            Step::ApplyPodNetwork => {
                if let Some(manifest) = &self.wanted.pod_network {
                    let applied = self.connection.apply(manifest, self.deadline, self.stop.wait()).await;
                    applied.map_err(|error| self.apply_failed(&error, "pod_network_manifest"))?;
                }
                self.pod_network.clone_from(&self.desired.pod_network);
                Ok(())
            }
            Step::WaitJoined => {
                let state = if self.wanted.pod_network.is_some() {
                    NodeState::Ready
                } else {
                    NodeState::Registered
                };
                let names = [self.wanted.name()];
                let waited = self
                    .connection
                    .wait_for_nodes(&names, state, self.deadline, self.stop.wait())
                    .await;
                waited
                    .map(|_| ())
                    .map_err(|error| self.access_failed(&error, "become a node of the cluster"))
            }
        }
    }

    async fn create_master(&self) -> Result<(), Diagnostics> {
        let spec = self.wanted.machine(self.provider, &self.facts, &self.situation).await?;
        if let Some(identity) = &spec.identity {
            // Before the machine exists: its first act is to read the keys.
            self.cloud(self.provider.cloud().grant_secret(&self.facts.secrets.keys, identity))
                .await?;
        }
        self.cloud(self.provider.cloud().ensure_machine(&spec))
            .await
            .map(|_| ())
    }

    /// Adds or takes away the old zone labels on the master's node.
    pub(super) async fn relabel(&self, had_legacy_labels: bool) -> Result<(), Diagnostics> {
        if had_legacy_labels == self.wanted.legacy_zone_labels {
            return Ok(());
        }
        let region = self.provider.cloud().region();
        let owned = |legacy| OwnedMetadata {
            labels: kubeadm::topology_labels(region, &self.wanted.zone, legacy),
            ..OwnedMetadata::default()
        };
        let (previous, desired) = (owned(had_legacy_labels), owned(self.wanted.legacy_zone_labels));
        let patched = self
            .connection
            .patch_labels_and_taints(&self.wanted.name(), &previous, &desired)
            .await;
        patched
            .map(|_| ())
            .map_err(|error| self.access_failed(&error, "be labelled"))
    }

    /// A call to the cloud, to the operation's deadline.
    async fn cloud<T>(&self, call: impl Future<Output = Result<T, CloudError>>) -> Result<T, Diagnostics> {
        let call = async { call.await.map_err(|error| self.situation.cloud(&error)) };
        within(self.deadline, &self.situation, call).await
    }

    fn access_failed(&self, error: &AccessError, what: &str) -> Diagnostics {
        if matches!(error, AccessError::Stopped { .. }) {
            return self.situation.stopped();
        }
        let name = self.wanted.name();
        self.situation.error(
            &format!("Machine {name} in {} did not {what}: {error}.", self.wanted.zone),
            &format!(
                "The machine's serial console shows what its first boot did and where it failed. If it only needs longer, \
                 apply again, with a longer timeout if need be; if it never initialised, delete machine {name} in the \
                 cloud first, so that the next apply makes it anew."
            ),
        )
    }

    pub(super) fn apply_failed(&self, error: &ApplyError, what: &str) -> Diagnostics {
        if self.stop.requested() {
            return self.situation.stopped();
        }
        self.situation.error(
            &format!("The cluster did not take {what}: {error}."),
            "Correct what it names, then apply again.",
        )
    }
}

/// Deletes the masters' machines.  Whatever order Terraform calls operations in, this needs no other one to have run.
pub(super) async fn delete(
    provider: &Configured,
    cluster: &ClusterName,
    deadline: Instant,
    situation: &Situation<'_>,
) -> Result<(), Diagnostics> {
    let delete = async {
        let inventory = provider
            .inventory(cluster)
            .await
            .map_err(|error| situation.cloud(&error))?;
        let masters = inventory.machines.iter().filter(|machine| {
            machine.labels.contains_key(label::REPLICA) || machine.role() == Some(multizone_cloud::Role::Master)
        });
        for machine in masters {
            info!(cluster = %cluster, machine = %machine.name, zone = %machine.zone, "delete the master");
            provider
                .cloud()
                .delete_machine(&machine.zone, &machine.name)
                .await
                .map_err(|error| situation.cloud(&error))?;
        }
        provider.forget(cluster).await;
        Ok(())
    };
    within(deadline, situation, delete).await
}
