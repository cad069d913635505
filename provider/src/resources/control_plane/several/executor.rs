//! Carries out what the planner says of a control plane: observe, ask, act, until done.
//!
//! Every step is idempotent and is decided from what is observed, so a run that was interrupted anywhere is continued by
//! the next one.  While it runs it has the cluster's turn ([`super::turn`]).

use std::collections::BTreeMap;

use multizone_cloud::CloudError;
use multizone_kubernetes::{
    bootstrap_token::BootstrapToken,
    cluster_access::{ApplyError, Cluster as ClusterConnection, RolloutTurn},
};
use multizone_planner::{
    cluster::{Blocked, Next, Operation, Step, next, preview},
    lines,
};
use multizone_schema::{Diagnostic, Diagnostics};
use tokio::{sync::OwnedMutexGuard, time::Instant};
use tracing::{info, warn};

use super::{
    super::{MasterNode, facts},
    observe::{Observation, Observer, Remembered},
    seen::{Drift, Seen},
    turn,
    wanted::Several,
};
use crate::{
    configuration::Configured,
    resources::{
        marks, rollout, settled,
        trouble::{Situation, within},
        world,
    },
    stop::Stop,
};

/// How often a step is carried out before it counts as one that changes nothing.
const REPEATS: usize = 5;

/// What a run has reached.
pub(super) struct Reached {
    pub(super) seen: Seen,
    pub(super) nodes: BTreeMap<String, MasterNode>,
}

/// One operation on a control plane.
pub(super) struct Executor<'a> {
    pub(super) provider: &'a Configured,
    pub(super) several: Several,
    pub(super) operation: Operation,
    pub(super) observer: Observer,
    /// The API at its endpoint.
    pub(super) endpoint: ClusterConnection,
    pub(super) deadline: Instant,
    pub(super) stop: &'a Stop,
    pub(super) situation: Situation<'a>,
    pub(super) remembered: Remembered,
    /// Whether the old zone labels were configured before.
    pub(super) legacy_labels: bool,
    /// Whether this is a create: its machines are marked until it has finished.
    pub(super) creates: bool,
    /// Tokens that this operation has made.
    pub(super) tokens: Vec<BootstrapToken>,
    taken: Vec<Step>,
    texts: Vec<String>,
    turn: Option<RolloutTurn>,
    _lock: OwnedMutexGuard<()>,
}

impl<'a> Executor<'a> {
    /// Finds the cluster that the control plane belongs to, and waits for this process's lock.
    pub(super) async fn find(
        provider: &'a Configured,
        several: Several,
        deadline: Instant,
        stop: &'a Stop,
        situation: Situation<'a>,
    ) -> Result<Self, Diagnostics> {
        let lock = turn::lock(provider.cloud().region(), &several.cluster).await;
        provider.forget(&several.cluster).await;
        let untouched = Situation {
            left: "This run has changed nothing.",
            ..situation
        };
        let observer = Observer::find(provider, &several.cluster, &untouched).await?;
        let endpoint = observer.facts.connect_as_operator(provider, &untouched).await?;
        Ok(Self {
            operation: several.operation(Some(observer.facts.endpoint.url())),
            provider,
            several,
            observer,
            endpoint,
            deadline,
            stop,
            situation,
            remembered: Remembered::default(),
            legacy_labels: false,
            creates: false,
            tokens: Vec::new(),
            taken: Vec::new(),
            texts: Vec::new(),
            turn: None,
            _lock: lock,
        })
    }

    /// Refuses masters that exist and that no unfinished create has left.
    pub(super) async fn adopt(&mut self) -> Result<(), Diagnostics> {
        self.creates = true;
        let inventory = self.provider.inventory(&self.several.cluster).await;
        let inventory = inventory.map_err(|error| self.situation.cloud(&error))?;
        let masters: Vec<_> = world::masters(&inventory).collect();
        let Some(first) = masters.first() else {
            return Ok(());
        };
        if marks::adoptable(masters.iter().copied(), &self.several.fingerprint()) {
            info!(
                machines = masters.len(),
                "continue with the masters that an unfinished create has left"
            );
            return Ok(());
        }
        let (cluster, region) = (&self.several.cluster, self.provider.cloud().region());
        Err(Diagnostic::error(
            "The cluster has a master already",
            format!(
                "Cluster {cluster} has the master {} in {}. Nothing was changed. Import it with: terraform import \
                 multizone_control_plane.NAME {region}/{cluster}",
                first.name, first.zone
            ),
        )
        .at("cluster")
        .into())
    }

    /// What an earlier run has installed.
    pub(super) fn remember(&mut self, seen: Option<&Seen>, legacy_labels: bool) {
        self.legacy_labels = legacy_labels;
        self.remembered.initialised = true;
        if let Some(Seen { world, .. }) = seen {
            self.remembered.access = world.access;
            self.remembered.pod_network.clone_from(&world.pod_network);
            let machines = world.machines.iter();
            self.remembered.specifications = machines
                .filter(|(_, machine)| !machine.specification.is_empty())
                .map(|(name, machine)| (name.clone(), machine.specification.clone()))
                .collect();
        }
    }

    /// Says on the machines that the create has finished.
    pub(super) async fn finish(&self) -> Result<(), Diagnostics> {
        let inventory = self.provider.inventory(&self.several.cluster).await;
        let inventory = inventory.map_err(|error| self.situation.cloud(&error))?;
        let fingerprint = self.several.fingerprint();
        marks::finish(
            self.provider,
            &self.several.cluster,
            world::masters(&inventory),
            &fingerprint,
        )
        .await;
        Ok(())
    }

    /// The API's URL.
    pub(super) fn url(&self) -> String {
        self.observer.facts.endpoint.url()
    }

    /// The steps that were taken, in words.
    pub(super) fn steps(&self) -> Vec<String> {
        self.texts.clone()
    }

    /// Loops until the planner says that it is done.  The operation's tokens and its turn do not outlive it.
    pub(super) async fn run(&mut self) -> Result<Reached, Diagnostics> {
        let result = self.steps_to_the_end().await;
        for token in std::mem::take(&mut self.tokens) {
            if result.is_ok()
                && let Err(error) = self.endpoint.delete_bootstrap_token(token.id()).await
            {
                warn!(%error, "the operation's bootstrap token is not deleted; it ends by itself");
            }
        }
        if let Some(turn) = self.turn.take() {
            turn.end().await;
        }
        self.provider.forget(&self.several.cluster).await;
        result
    }

    async fn steps_to_the_end(&mut self) -> Result<Reached, Diagnostics> {
        loop {
            let observation = self.observe().await?;
            self.take_turn(&observation).await?;
            let step = match next(&observation.world, &self.operation) {
                Next::Step(step) => step,
                Next::Done => {
                    self.repair(&observation).await?;
                    return Ok(self.reached(&observation));
                }
                Next::Blocked(blocked) => return Err(self.blocked(&blocked)),
                Next::Refused(violation) => {
                    let next = "Change the configuration, then apply again.";
                    return Err(self.situation().error(&format!("{violation}."), next));
                }
            };
            if self.taken.iter().filter(|done| **done == step).count() == REPEATS {
                return Err(self.situation.error(
                    &format!("The step {step:?} was carried out {REPEATS} times, and nothing shows it."),
                    "Somebody else may be changing the masters at the same time. Apply again when nobody does.",
                ));
            }
            let text = self.announce(&observation);
            if self.stop.requested() {
                return Err(self.situation.stopped());
            }
            self.act(&step, &observation).await?;
            self.taken.push(step);
            self.texts.extend(text);
        }
    }

    /// What the state and the next plan know of where it ended.
    pub(super) fn reached(&self, observation: &Observation) -> Reached {
        Reached {
            seen: Seen {
                world: observation.world.clone(),
                drift: Drift::default(),
            },
            nodes: nodes(
                self.provider,
                observation,
                self.several.pod_network.is_some(),
                &BTreeMap::new(),
            ),
        }
    }

    /// Before a serving API's masters are changed, it is this process's turn.
    async fn take_turn(&mut self, observation: &Observation) -> Result<(), Diagnostics> {
        if self.turn.as_ref().is_some_and(RolloutTurn::is_held) {
            return Ok(());
        }
        self.turn = None;
        let Some(connection) = &observation.connection else {
            return Ok(());
        };
        // Renewed through the endpoint: the master that is connected to now may be the one that leaves.
        let through = if observation.world.address.answers {
            &self.endpoint
        } else {
            connection
        };
        let holder = turn::holder(self.provider);
        let taken = through
            .take_rollout_turn(&holder, self.deadline, self.stop.wait())
            .await;
        let taken = taken.map_err(|error| {
            self.situation().error(
                &format!("It is not this apply's turn to change the masters: {error}."),
                "Wait until the other apply has ended, then apply again.",
            )
        })?;
        self.turn = Some(taken);
        Ok(())
    }

    /// Looks at everything.
    pub(super) async fn observe(&self) -> Result<Observation, Diagnostics> {
        let failed = |error: CloudError| self.situation.cloud(&error);
        let inventory = settled::inventory(self.provider, &self.several.cluster, self.deadline, facts::is_master);
        let inventory = inventory.await.map_err(failed)?;
        if !self.creates {
            // Terraform has them in its state, even when it was told not to read them.
            marks::confirm(self.provider, &self.several.cluster, world::masters(&inventory)).await;
        }
        let look = self
            .observer
            .look(self.provider, inventory, &self.several, &self.remembered);
        Box::pin(look).await.map_err(failed)
    }

    fn announce(&self, observation: &Observation) -> Option<String> {
        let left = preview(&observation.world, &self.operation);
        let timing = rollout::timing(self.provider.cloud().capabilities().timing);
        let described = left.describe(&observation.world, &self.operation, &timing);
        let text = described.first().map(|step| step.text.clone()).unwrap_or_default();
        let number = self.taken.len() + 1;
        let all = self.taken.len() + left.steps.len();
        info!(cluster = %self.several.cluster, "step {number} of {all}: {text}");
        lines(&described[..described.len().min(1)]).pop()
    }

    /// The situation, as long as nothing was done.
    pub(super) fn situation(&self) -> Situation<'a> {
        Situation {
            left: if self.taken.is_empty() {
                "This run has changed nothing."
            } else {
                self.situation.left
            },
            ..self.situation
        }
    }

    fn blocked(&self, blocked: &Blocked) -> Diagnostics {
        let next = match blocked {
            Blocked::HandoverFailed(_) => {
                "See whether a firewall or the machine's own routes are in the way of port 6443 at the address."
            }
            Blocked::MembershipUnknown => {
                "It is read through the API server and the kubelet, by a port-forward to the pods etcd-NODE in kube-system."
            }
            _ => "Then run terraform apply again.",
        };
        self.situation().error(&format!("{blocked}."), next)
    }

    /// A call to the cloud, to the operation's deadline.
    pub(super) async fn cloud<T>(&self, call: impl Future<Output = Result<T, CloudError>>) -> Result<T, Diagnostics> {
        let call = async { call.await.map_err(|error| self.situation.cloud(&error)) };
        let result = within(self.deadline, &self.situation, call).await;
        self.provider.forget(&self.several.cluster).await;
        result
    }

    pub(super) fn apply_failed(&self, error: &ApplyError, what: &str) -> Diagnostics {
        let next = match error {
            _ if self.stop.requested() => return self.situation.stopped(),
            ApplyError::TimedOut { .. } => {
                "Apply again once the API serves, with a longer timeout in timeouts if need be."
            }
            ApplyError::Access { source, .. } if source.is_passing() => "Apply again once the API serves.",
            _ => "Correct what it names, then apply again.",
        };
        self.situation
            .error(&format!("The cluster did not take {what}: {error}."), next)
    }
}

/// The masters as the state shows them.
pub(super) fn nodes(
    provider: &Configured,
    observation: &Observation,
    pod_network: bool,
    repairs: &BTreeMap<String, std::collections::BTreeSet<super::super::drift::Repair>>,
) -> BTreeMap<String, MasterNode> {
    let describe = |machine: &multizone_cloud::Machine| {
        let node = match &observation.nodes {
            None => facts::Node::Unseen,
            Some(nodes) => facts::Node::of(nodes.get(&machine.name).cloned()),
        };
        let nothing = std::collections::BTreeSet::new();
        let repairs = repairs.get(&machine.name).unwrap_or(&nothing);
        let described = facts::describe(provider, machine, &node, pod_network, repairs);
        (machine.name.clone(), described)
    };
    world::masters(&observation.inventory).map(describe).collect()
}
