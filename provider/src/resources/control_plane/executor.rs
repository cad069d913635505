//! Carries out what the planner says of a control plane: observe, ask, act, until done.
//!
//! Every step is idempotent and is decided from what is observed, so a run that was interrupted anywhere is continued by
//! the next one.  While it runs it has the cluster's turn ([`super::turn`]).

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use multizone_cloud::CloudError;
use multizone_kubernetes::{
    bootstrap_token::BootstrapToken,
    cluster_access::{ApplyError, Cluster as ClusterConnection},
};
use multizone_planner::{
    PreviewedStep,
    cluster::{Blocked, Holder, Next, Operation, Step, World, next, preview},
    lines,
};
use multizone_schema::{Diagnostic, Diagnostics};
use tokio::time::Instant;
use tracing::{info, warn};

use super::{
    ControlPlane, MasterNode, certificates,
    drift::{self, Drift},
    nodes::{is_master, nodes},
    observe::{Observation, Observer, Remembered},
    seen::Seen,
    wanted::Wanted,
};
use crate::{
    configuration::Configured,
    resources::{
        marks,
        rollout::{self, outage},
        settled,
        trouble::{Situation, sentence, within},
        turn::Turn,
        world,
    },
    stop::Stop,
};

/// How often a step is carried out before it counts as one that changes nothing.
const REPEATS: usize = 5;
/// How long etcd's membership may take to be seen although an API server serves.
const APPEARANCE: Duration = Duration::from_secs(30);
/// How long an API server may take to come back before it is believed that etcd has lost its quorum, when that follows
/// from what is remembered of its members only.
const RETURN: Duration = Duration::from_secs(10);
/// How long the Lease is tried to be had before things are looked at anew: longer than it lasts.
const LEASE: Duration = Duration::from_secs(45);
/// Between two looks at members that are to appear.
const PAUSE: Duration = Duration::from_millis(200);

/// What a run has reached.
pub(super) struct Reached {
    pub(super) seen: Seen,
    pub(super) nodes: BTreeMap<String, MasterNode>,
}

/// One operation on a control plane.
pub(super) struct Executor<'a> {
    pub(super) provider: &'a Configured,
    pub(super) wanted: Wanted,
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
    /// When the masters' certificates end, as far as it was known.
    certificates: BTreeMap<String, String>,
    /// Whether this is a create: its machines are marked until it has finished.
    pub(super) creates: bool,
    /// Tokens that this operation has made.
    pub(super) tokens: Vec<BootstrapToken>,
    /// The world as it was before the step that is carried out.
    pub(super) world: Option<World>,
    taken: Vec<Step>,
    texts: Vec<String>,
    turn: &'a mut Turn,
    /// Masters that were given an external address again.
    pub(super) reconnected: BTreeSet<String>,
    /// Since when etcd is not seen, once it was not.
    unseen: Option<Instant>,
}

impl<'a> Executor<'a> {
    /// Finds the cluster that the control plane belongs to.
    pub(super) async fn find(
        provider: &'a Configured,
        wanted: Wanted,
        deadline: Instant,
        stop: &'a Stop,
        situation: Situation<'a>,
        turn: &'a mut Turn,
    ) -> Result<Self, Diagnostics> {
        provider.forget(&wanted.cluster).await;
        let untouched = Situation {
            left: if situation.deletes() {
                "Nothing was deleted: without the cluster's keys neither its API nor etcd can be asked what may go."
            } else {
                "This run has changed nothing."
            },
            ..situation
        };
        let observer = Observer::find(provider, &wanted.cluster, &untouched).await?;
        let endpoint = observer.asks.at_the_endpoint().map_err(|error| {
            let what = format!("Cannot connect to the Kubernetes API: {error}.");
            untouched.error(&what, "This is an error in the provider.")
        })?;
        Ok(Self {
            operation: wanted.operation(Some(observer.facts.endpoint.url())),
            provider,
            wanted,
            observer,
            endpoint,
            deadline,
            stop,
            situation,
            remembered: Remembered::default(),
            legacy_labels: false,
            certificates: BTreeMap::new(),
            creates: false,
            tokens: Vec::new(),
            world: None,
            taken: Vec::new(),
            texts: Vec::new(),
            turn,
            reconnected: BTreeSet::new(),
            unseen: None,
        })
    }

    /// Refuses masters that exist and that no unfinished create has left.
    pub(super) async fn adopt(&mut self) -> Result<(), Diagnostics> {
        self.creates = true;
        let inventory = self.provider.inventory(&self.wanted.cluster).await;
        let inventory = inventory.map_err(|error| self.situation.cloud(&error))?;
        let masters: Vec<_> = world::masters(&inventory).collect();
        let Some(first) = masters.first() else {
            return Ok(());
        };
        if marks::adoptable(masters.iter().copied(), &self.wanted.fingerprint()) {
            info!(
                machines = masters.len(),
                "continue with the masters that an unfinished create has left"
            );
            return Ok(());
        }
        let (cluster, region) = (&self.wanted.cluster, self.provider.cloud().region());
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

    /// What an earlier run has left.
    pub(super) fn remember(&mut self, prior: &ControlPlane, seen: Option<&Seen>) {
        self.legacy_labels = prior.legacy_zone_labels;
        self.certificates = certificates::known(prior);
        self.remembered = Remembered::of(prior, seen);
    }

    /// Says on the machines that the create has finished.
    pub(super) async fn finish(&self) -> Result<(), Diagnostics> {
        let inventory = self.provider.inventory(&self.wanted.cluster).await;
        let inventory = inventory.map_err(|error| self.situation.cloud(&error))?;
        let fingerprint = self.wanted.fingerprint();
        marks::finish(
            self.provider,
            &self.wanted.cluster,
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

    /// Loops until the planner says that it is done.  The operation's tokens do not outlive it.
    pub(super) async fn run(&mut self) -> Result<Reached, Diagnostics> {
        let result = match self.steps_to_the_end().await {
            Err(errors) => Err(Box::pin(self.with_outages(errors)).await),
            reached => reached,
        };
        for token in std::mem::take(&mut self.tokens) {
            if result.is_ok()
                && let Err(error) = self.endpoint.delete_bootstrap_token(token.id()).await
            {
                warn!(%error, "the operation's bootstrap token is not deleted; it ends by itself");
            }
        }
        self.provider.forget(&self.wanted.cluster).await;
        result
    }

    async fn steps_to_the_end(&mut self) -> Result<Reached, Diagnostics> {
        loop {
            // A zone may have gone out since it was last asked for.
            let zones = self.provider.zones_now().await;
            zones.map_err(|error| self.situation().cloud(&error))?;
            let observation = self.observe().await?;
            self.note(&observation.world);
            self.turn.check(&self.situation())?;
            if self.reconnect(&observation).await? {
                continue;
            }
            if let Some(machine) = self.unlabelled(&observation) {
                let what = drift::unlabelled_text(&machine, &self.wanted.cluster.to_string());
                return Err(self.situation().error(&what, "Then run Terraform again."));
            }
            self.note_initialised(&observation).await?;
            let step = match next(&observation.world, &self.operation) {
                Next::Step(step) => step,
                Next::Done => {
                    if !self.take_turn(&observation).await? {
                        continue;
                    }
                    self.unless_a_zone_goes_out(self.repair(&observation)).await?;
                    return Ok(self.reached(&observation).await);
                }
                // The kubelet of a master that has just come shows its etcd a little later.
                Next::Blocked(Blocked::MembershipUnknown) if self.may_still_appear(APPEARANCE) => {
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
                // An earlier run may have removed members, and died before it could write that down.
                Next::Blocked(Blocked::NoQuorum { .. })
                    if !observation.world.membership_known && self.may_still_appear(RETURN) =>
                {
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
                Next::Blocked(blocked) => return Err(self.blocked(&blocked)),
                Next::Refused(violation) => {
                    let next = "Change the configuration, then apply again.";
                    return Err(self.situation().error(&sentence(&violation), next));
                }
            };
            if self.taken.iter().filter(|done| **done == step).count() == REPEATS {
                let words = self.words(&observation).into_iter().next();
                let words = words.map(|step| step.text).unwrap_or_default();
                return Err(self.situation.error(
                    &format!("This was carried out {REPEATS} times, and nothing shows it: {words}."),
                    "Somebody else may be changing the masters at the same time. Run Terraform again when nobody does.",
                ));
            }
            if !self.take_turn(&observation).await? {
                continue;
            }
            let text = self.announce(&observation);
            if self.stop.requested() {
                return Err(self.situation.stopped());
            }
            Box::pin(self.act_unless_a_zone_goes_out(&step, &observation)).await?;
            self.taken.push(step);
            self.texts.extend(text);
        }
    }

    /// Keeps what was seen last, for what cannot be seen later.
    fn note(&mut self, world: &World) {
        if world.membership_known {
            self.remembered.members.clone_from(&world.members);
            self.unseen = None;
        }
        self.world = Some(world.clone());
    }

    /// Whether etcd may be seen if one waits, for so long in all.
    fn may_still_appear(&mut self, patience: Duration) -> bool {
        let now = Instant::now();
        let since = *self.unseen.get_or_insert(now);
        now < (since + patience).min(self.deadline) && !self.stop.requested()
    }

    /// A master that is there and that the cloud does not show as the cluster's.
    fn unlabelled(&self, observation: &Observation) -> Option<String> {
        let world = &observation.world;
        let holder = match &world.address.holder {
            Holder::Machine(name) if world.machines.is_empty() && self.taken.is_empty() => Some(name.as_str()),
            _ => None,
        };
        observation.unlabelled().or(holder).map(str::to_owned)
    }

    /// What the state and the next plan know of where it ended.
    pub(super) async fn reached(&self, observation: &Observation) -> Reached {
        let mut certificates = self.certificates.clone();
        certificates.extend(certificates::of_masters(&self.observer.asks, observation).await);
        Reached {
            seen: Seen {
                world: observation.world.clone(),
                drift: Drift::default(),
                read: observation.read.clone(),
            },
            nodes: nodes(
                self.provider,
                observation,
                self.wanted.pod_network.is_some(),
                &BTreeMap::new(),
                &certificates,
            ),
        }
    }

    /// Before a serving API's masters are changed, the Lease is this process's too.  `false` when it could not be had
    /// for so long that what was observed is old.
    async fn take_turn(&mut self, observation: &Observation) -> Result<bool, Diagnostics> {
        let situation = self.situation();
        let Some(connection) = &observation.connection else {
            return Ok(true);
        };
        // Without its quorum etcd keeps no Lease; what brings it back must not wait for one.
        if observation.world.membership_known && !observation.world.quorum().is_there() {
            return Ok(true);
        }
        // Renewed through the endpoint: the master that is connected to now may be the one that leaves.
        let through = if observation.world.address.answers {
            &self.endpoint
        } else {
            connection
        };
        let until = self.deadline.min(Instant::now() + LEASE);
        let watch = self.watch();
        let taken = watch.over(self.turn.lease(through, until, self.stop, &situation)).await;
        match taken {
            Err(_) if Instant::now() >= until && until < self.deadline => Ok(false),
            taken => taken.map(|()| true),
        }
    }

    /// Looks at everything.
    pub(super) async fn observe(&self) -> Result<Observation, Diagnostics> {
        let failed = |error: CloudError| self.situation.cloud(&error);
        let inventory = settled::inventory(self.provider, &self.wanted.cluster, self.deadline, is_master);
        let inventory = inventory.await.map_err(failed)?;
        if !self.creates {
            // Terraform has them in its state, even when it was told not to read them.
            marks::confirm(self.provider, &self.wanted.cluster, world::masters(&inventory)).await;
        }
        let look = self
            .observer
            .look(self.provider, inventory, &self.wanted, &self.remembered);
        Box::pin(look).await.map_err(failed)
    }

    /// The steps that are left, in words.
    fn words(&self, observation: &Observation) -> Vec<PreviewedStep> {
        let left = preview(&observation.world, &self.operation);
        let timing = rollout::timing(self.provider.cloud().capabilities().timing);
        left.describe(&observation.world, &self.operation, &timing)
    }

    fn announce(&self, observation: &Observation) -> Option<String> {
        let described = self.words(observation);
        let text = described.first().map(|step| step.text.clone()).unwrap_or_default();
        let number = self.taken.len() + 1;
        let all = self.taken.len() + described.len();
        info!(cluster = %self.wanted.cluster, "step {number} of {all}: {text}");
        lines(&described[..described.len().min(1)]).pop()
    }

    /// The situation, as long as nothing was done.
    pub(super) fn situation(&self) -> Situation<'a> {
        Situation {
            left: if self.taken.iter().all(Step::only_waits) {
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
            Blocked::EverythingLost => {
                "Run terraform plan: it shows the control plane as deleted and what is made anew."
            }
            _ => outage::next(&self.situation),
        };
        self.situation().error(&sentence(blocked), next)
    }

    /// A call to the cloud, to the operation's deadline.
    pub(super) async fn cloud<T>(&self, call: impl Future<Output = Result<T, CloudError>>) -> Result<T, Diagnostics> {
        let call = async { call.await.map_err(|error| self.situation.cloud(&error)) };
        let result = within(self.deadline, &self.situation, call).await;
        self.provider.forget(&self.wanted.cluster).await;
        result
    }

    pub(super) fn apply_failed(&self, error: &ApplyError, what: &str) -> Diagnostics {
        let next = match error {
            _ if self.stop.requested() => return self.situation.stopped(),
            ApplyError::TimedOut { .. } => {
                "Apply again once the API serves, with a longer timeout in timeouts if need be."
            }
            ApplyError::Access { source, .. } | ApplyError::NotDeleted { source, .. } => source.advice(),
            _ => "Correct what it names, then apply again.",
        };
        self.situation
            .error(&format!("The cluster did not take {what}: {error}."), next)
    }
}
