//! Carries out what the planner says: observe, ask, act, until done.
//!
//! Every step is idempotent, so a run that was interrupted anywhere is continued by the next one.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use multizone_cloud::{CloudError, ClusterName, label};
use multizone_kubernetes::cluster_access::{AccessError, ApplyError, Cluster as ClusterConnection, NodeState};
use multizone_planner::{
    control_plane::{Desired, Next, Observed, Power, Step, next, preview},
    lines,
};
use multizone_schema::{Diagnostic, Diagnostics, Path};
use tokio::time::{Instant, timeout};
use tracing::info;

use super::{
    ControlPlane, ControlPlanePlanned, MasterNode,
    drift::{self, Seen},
    facts,
    machine::{Wanted, timing},
    record,
};
use crate::{
    configuration::Configured,
    resources::{
        cluster::ClusterFacts,
        marks, settled, timeouts,
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
#[allow(clippy::struct_excessive_bools)] // independent facts
pub(super) struct Executor<'a> {
    provider: &'a Configured,
    facts: ClusterFacts,
    wanted: Wanted,
    desired: Desired,
    connection: ClusterConnection,
    deadline: Instant,
    stop: &'a Stop,
    situation: Situation<'a>,
    /// What cannot be observed, only remembered: which rights and which pod network were installed.
    access: bool,
    pod_network: Option<String>,
    /// What the machine was made from, as an earlier run knew it.
    specification: Option<String>,
    /// Whether the old zone labels were configured before.
    legacy_labels: bool,
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
        let untouched = Situation {
            left: "This run has changed nothing.",
            ..situation
        };
        let facts = ClusterFacts::find(provider, &wanted.cluster, &untouched).await?;
        let connection = facts.connect_as_operator(provider, &untouched).await?;
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
            specification: None,
            legacy_labels: false,
            creates: false,
            taken: Vec::new(),
        })
    }

    /// Refuses a master that exists and that no unfinished create has left.
    pub(super) async fn adopt(&mut self) -> Result<(), Diagnostics> {
        self.creates = true;
        let path = Path::from("replicas").key(&self.wanted.replica).attribute("zone");
        self.facts.check_zone(path, &self.wanted.zone)?;
        let inventory = self
            .provider
            .inventory(&self.wanted.cluster)
            .await
            .map_err(|error| self.situation.cloud(&error))?;
        let Some(machine) = facts::master(&inventory, &self.wanted.name()) else {
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
        let master = facts::master(&inventory, &self.wanted.name());
        marks::finish(self.provider, cluster, master, &fingerprint).await;
        Ok(())
    }

    /// What an earlier run has installed.
    pub(super) fn remember(&mut self, seen: Option<Seen>, legacy_labels: bool) {
        self.legacy_labels = legacy_labels;
        if let Some(Seen { observed, .. }) = seen {
            self.access = observed.access;
            self.pod_network = observed.pod_network;
            self.specification = observed.machine.map(|machine| machine.specification);
        }
    }

    /// Keeps the settings in the cluster, for imports.
    pub(super) async fn store(&self, planned: &ControlPlanePlanned) -> Result<(), Diagnostics> {
        let stored = record::store(&self.connection, planned, self.deadline, self.stop).await;
        stored.map_err(|error| self.apply_failed(&error, "the record of its settings"))
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
        let mut repaired = false;
        loop {
            let (observed, nodes) = self.observe().await?;
            match next(&observed, &self.desired) {
                Next::Done if !repaired => {
                    self.repair().await?;
                    repaired = true;
                }
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
            let master = facts::master(&inventory, &self.wanted.name());
            marks::confirm(self.provider, &self.wanted.cluster, master).await;
        }
        if let Some(machine) = facts::master(&inventory, &self.wanted.name()) {
            let mut found = facts::planner_machine(machine);
            if let Some(specification) = &self.specification {
                found.specification.clone_from(specification);
            }
            observed.machine = Some(found);
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
            let described = facts::describe(self.provider, machine, &node, pod_network, &BTreeSet::new());
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
                let began = Instant::now();
                let waited = self.connection.wait_ready(self.deadline, self.stop.wait()).await;
                waited.map_err(|error| self.waited_in_vain(&error, "did not serve the Kubernetes API", began))
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
                let began = Instant::now();
                let waited = self
                    .connection
                    .wait_for_nodes(&names, state, self.deadline, self.stop.wait())
                    .await;
                waited
                    .map(|_| ())
                    .map_err(|error| self.waited_in_vain(&error, "did not become a node of the cluster", began))
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

    /// Puts right what the planner knows nothing of: the machine's labels, a cordon, the Node's labels and taints.
    async fn repair(&self) -> Result<(), Diagnostics> {
        let (provider, name) = (self.provider, self.wanted.name());
        let region = provider.cloud().region();
        let inventory = provider
            .inventory(&self.wanted.cluster)
            .await
            .map_err(|error| self.situation.cloud(&error))?;
        if let (Some(machine), Some(specification)) = (facts::master(&inventory, &name), &self.specification)
            && let Some(labels) = drift::restored(machine, &self.wanted, region, specification)
        {
            self.cloud(provider.cloud().set_machine_labels(&machine.zone, &name, &labels))
                .await?;
            provider.forget(&self.wanted.cluster).await;
        }
        let failed = |error| self.access_failed(&error);
        let Some(node) = self.connection.node(&name).await.map_err(failed)? else {
            return Ok(());
        };
        if drift::cordoned(&node) {
            self.connection.uncordon(&name).await.map_err(failed)?;
        }
        let owned = |legacy| drift::owned(&self.wanted, region, legacy, Some(&node));
        let (previous, desired) = (owned(self.legacy_labels), owned(self.wanted.legacy_zone_labels));
        let patched = self
            .connection
            .patch_labels_and_taints(&name, &previous, &desired)
            .await;
        patched.map(|_| ()).map_err(failed)
    }

    /// A call to the cloud, to the operation's deadline.
    async fn cloud<T>(&self, call: impl Future<Output = Result<T, CloudError>>) -> Result<T, Diagnostics> {
        let call = async { call.await.map_err(|error| self.situation.cloud(&error)) };
        within(self.deadline, &self.situation, call).await
    }

    /// The machine did not get where it was to get.
    fn waited_in_vain(&self, error: &AccessError, what: &str, began: Instant) -> Diagnostics {
        let (name, zone) = (self.wanted.name(), &self.wanted.zone);
        let why = match error {
            AccessError::Stopped { .. } => return self.situation.stopped(),
            AccessError::TimedOut { last, .. } => {
                format!("within {}: {last}", timeouts::words(began.elapsed()))
            }
            error => format!("({error})"),
        };
        let next = if self.creates {
            format!(
                "The machine's serial console shows what its first boot did and where it failed. If it only needs longer, \
                 apply again, with a longer create in timeouts if need be; if its first boot failed, delete machine {name} \
                 in the cloud first, so that the next apply makes it anew."
            )
        } else {
            "The machine's serial console shows how far it is. If it only needs longer, apply again, with a longer update in \
             timeouts if need be. Its disk holds the only copy of etcd: do not delete it."
                .to_owned()
        };
        self.situation
            .error(&format!("Machine {name} in {zone} {what} {why}."), &next)
    }

    /// The master's Node could not be read or changed.
    fn access_failed(&self, error: &AccessError) -> Diagnostics {
        self.situation.error(
            &format!("Node {} could not be put right: {error}.", self.wanted.name()),
            error.advice(),
        )
    }

    fn apply_failed(&self, error: &ApplyError, what: &str) -> Diagnostics {
        let next = match error {
            _ if self.stop.requested() => return self.situation.stopped(),
            ApplyError::TimedOut { .. } => {
                "Apply again once the API serves, with a longer timeout in timeouts if need be."
            }
            ApplyError::Access { source, .. } => source.advice(),
            _ => "Correct what it names, then apply again.",
        };
        self.situation
            .error(&format!("The cluster did not take {what}: {error}."), next)
    }
}

/// Deletes the masters' machines.  Whatever order Terraform calls operations in, this needs no other one to have run.
pub(super) async fn delete(
    provider: &Configured,
    prior: &ControlPlane,
    deadline: Instant,
    situation: &Situation<'_>,
) -> Result<(), Diagnostics> {
    let cluster = &ClusterName::new(&prior.cluster);
    let delete = async {
        let inventory = provider
            .inventory(cluster)
            .await
            .map_err(|error| situation.cloud(&error))?;
        let masters: Vec<_> = inventory
            .machines
            .iter()
            .filter(|machine| {
                let labelled = machine.labels.contains_key(label::REPLICA) || facts::is_master(machine);
                labelled || prior.nodes.contains_key(&machine.name)
            })
            .collect();
        if masters.is_empty() && facts::address_is_held(&inventory) {
            let name = prior.nodes.keys().next().cloned().unwrap_or_default();
            let what = drift::unlabelled_text(&name, &prior.cluster);
            return Err(situation.error(&what, "Then run terraform destroy again."));
        }
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
