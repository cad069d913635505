//! Carries out what the planner says: observe, ask, act, until done.
//!
//! Every step is idempotent, so a run that was interrupted anywhere is continued by the next one.  The machines that one
//! step names are worked on at the same time.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use multizone_cloud::{Inventory, Machine, label};
use multizone_kubernetes::{bootstrap_token::BootstrapToken, pauses::Pauses};
use multizone_planner::{
    lines,
    node_group::{Blocked, Desired, Next, Observed, Preview, Step, next, preview},
};
use multizone_schema::{Diagnostic, Diagnostics};
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use super::{
    Worker,
    facts::{self, Access, Kubernetes},
    plan::give_back,
    worker::Wanted,
};
use crate::{
    configuration::Configured,
    resources::{
        cluster::check_zone, control_plane::timing, marks, rollout::outage, settled, strays, timeouts,
        trouble::Situation,
    },
    stop::Stop,
};

/// How long an API that does not answer is waited for before the operation gives up.
const SILENCE: Duration = Duration::from_mins(1);
/// Bounds of the pauses between two looks at an API that does not answer.
const PAUSES: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(2));

/// What a run leaves that could not begin.
const UNTOUCHED: &str = "This run has changed nothing.";

/// What a run has reached.
pub(super) struct Reached {
    pub(super) observed: Observed,
    pub(super) nodes: BTreeMap<String, Worker>,
}

/// Why the API does not answer, when it does not.
#[derive(Default)]
struct Silence {
    reason: String,
    /// Waiting does not help.
    for_good: bool,
}

/// One operation on a node group.
pub(super) struct Executor<'a> {
    pub(super) provider: &'a Configured,
    pub(super) wanted: Wanted,
    pub(super) desired: Desired,
    pub(super) deadline: Instant,
    pub(super) stop: &'a Stop,
    pub(super) situation: Situation<'a>,
    pub(super) access: Option<Access>,
    pub(super) token: Option<(BootstrapToken, Instant)>,
    /// Machines that this operation made: they hold its token.
    pub(super) made: BTreeSet<String>,
    /// Nodes that this operation drained.
    pub(super) drained: BTreeSet<String>,
    /// Whether this is a create: its machines are marked until it has finished.
    pub(super) fresh: bool,
    pub(super) taken: Vec<Step>,
}

impl<'a> Executor<'a> {
    /// An operation that has not begun.
    pub(super) fn new(
        provider: &'a Configured,
        wanted: Wanted,
        desired: Desired,
        deadline: Instant,
        stop: &'a Stop,
        situation: Situation<'a>,
    ) -> Self {
        Self {
            provider,
            wanted,
            desired,
            deadline,
            stop,
            situation,
            access: None,
            token: None,
            made: BTreeSet::new(),
            drained: BTreeSet::new(),
            fresh: false,
            taken: Vec::new(),
        }
    }

    /// Refuses machines of the group that exist and that no unfinished create has left.
    pub(super) async fn adopt(&mut self) -> Result<(), Diagnostics> {
        self.fresh = true;
        check_zone(
            self.provider,
            &self.wanted.cluster,
            "zone",
            &self.wanted.zone,
            &self.situation,
        )
        .await?;
        let inventory = self.inventory().await?;
        let found: Vec<_> = facts::machines(&inventory, &self.wanted.group).collect();
        if found.is_empty() || marks::adoptable(found.iter().copied(), &self.wanted.fingerprint()) {
            return Ok(());
        }
        let Wanted { cluster, group, .. } = &self.wanted;
        let region = self.provider.cloud().region();
        Err(Diagnostic::error(
            "The node group exists already",
            format!(
                "Cluster {cluster} has machines of a node group {group}, and no unfinished create of this \
                 configuration left them. Nothing was changed. Import it with: terraform import multizone_node_group.NAME {region}/{cluster}/{group}, or choose \
                 another name."
            ),
        )
        .at("name")
        .into())
    }

    /// Says on the machines that the create has finished.
    pub(super) async fn finish(&self) -> Result<(), Diagnostics> {
        let inventory = self.inventory().await?;
        let machines = facts::machines(&inventory, &self.wanted.group);
        let Wanted { cluster, .. } = &self.wanted;
        marks::finish(self.provider, cluster, machines, &self.wanted.fingerprint()).await;
        Ok(())
    }

    /// The steps that were taken, in words.
    pub(super) fn steps(&self) -> Vec<String> {
        let timing = timing(self.provider.cloud().capabilities().timing);
        let preview = Preview {
            steps: self.taken.clone(),
            end: Next::Done,
        };
        lines(&preview.describe(&self.desired, &timing))
    }

    /// Loops until the planner says that it is done.  The operation's token does not outlive it.
    pub(super) async fn run(&mut self) -> Result<Reached, Diagnostics> {
        let result = self.steps_to_the_end().await;
        if let (Some((token, _)), Some(access)) = (self.token.take(), &self.access)
            && let Err(error) = access.connection.delete_bootstrap_token(token.id()).await
        {
            warn!(%error, "the operation's bootstrap token is not deleted; it ends by itself within half an hour");
        }
        self.provider.forget(&self.wanted.cluster).await;
        result
    }

    async fn steps_to_the_end(&mut self) -> Result<Reached, Diagnostics> {
        let mut silent_since: Option<(Instant, Pauses)> = None;
        loop {
            let (inventory, observed, silence) = self.observe().await?;
            match next(&observed, &self.desired) {
                Next::Done => {
                    let found = (&self.wanted.cluster, &inventory);
                    let nodes = facts::describe(self.provider, found, &self.wanted.group, &observed);
                    return Ok(Reached { observed, nodes });
                }
                Next::Refused(violation) => {
                    return Err(self
                        .situation()
                        .error(&format!("{violation}."), "Change the configuration, then apply again."));
                }
                Next::Blocked(Blocked::ControlPlaneGone) => {
                    return Err(self.situation().error(
                        "The cluster has no control plane, so workers have nothing to join.",
                        "Create the control plane first; refer to it as multizone_control_plane.NAME.id, so that Terraform \
                         knows the order.",
                    ));
                }
                Next::Blocked(Blocked::ApiSilent) => {
                    let begins = || (Instant::now(), Pauses::between(PAUSES.0, PAUSES.1));
                    let (since, pauses) = *silent_since.get_or_insert_with(begins);
                    if self.stop.requested() {
                        return Err(self.situation.stopped());
                    }
                    if silence.for_good || since.elapsed() > SILENCE || Instant::now() >= self.deadline {
                        let waited = Some(since.elapsed()).filter(|_| !silence.for_good);
                        return Err(self.silent(&silence.reason, waited));
                    }
                    sleep(pauses.next()).await;
                }
                Next::Step(step) => {
                    silent_since = None;
                    self.check_taken(&step, &inventory)?;
                    self.announce(&observed, &step);
                    if self.stop.requested() {
                        return Err(self.situation.stopped());
                    }
                    self.act_unless_the_zone_goes_out(&step, &inventory, &observed).await?;
                    self.taken.push(step);
                }
            }
        }
    }

    /// Carries a step out, unless it waits for workers whose zone is out, or goes out meanwhile.
    async fn act_unless_the_zone_goes_out(
        &mut self,
        step: &Step,
        inventory: &Inventory,
        observed: &Observed,
    ) -> Result<(), Diagnostics> {
        if !matches!(step, Step::Drain(_) | Step::WaitJoined(_)) {
            return self.act(step, inventory, observed).await;
        }
        let (provider, situation) = (self.provider, self.situation());
        let zone = BTreeSet::from([self.wanted.zone.clone()]);
        let out = tokio::select! {
            biased;
            out = outage::goes_out(provider, &zone) => out,
            done = Box::pin(self.act(step, inventory, observed)) => return done,
        };
        let what = format!("Zone {out} is out, and with it the group's workers: they can neither join nor be drained.");
        let next = "Nothing is lost: run Terraform again when the zone is back; it continues where it stopped.";
        Err(situation.error(&what, next))
    }

    /// Refuses a step that would change a machine that carries another cluster's label.
    pub(super) fn check_taken(&self, step: &Step, inventory: &Inventory) -> Result<(), Diagnostics> {
        if matches!(step, Step::WaitJoined(_) | Step::Patch(_) | Step::Keep(_)) {
            return Ok(());
        }
        let Wanted { cluster, .. } = &self.wanted;
        let mut machines = inventory
            .machines
            .iter()
            .filter(|machine| step.names().contains(&machine.name));
        let taken = machines.find_map(|machine| Some((machine, strays::taken_by(&machine.labels, cluster)?)));
        let Some((machine, other)) = taken else {
            return Ok(());
        };
        let what = format!(
            "Machine {} in {} belongs to cluster {other} now: its label {} says so. The provider does not touch it.",
            machine.name,
            machine.zone,
            label::CLUSTER
        );
        Err(self.situation().error(&what, &give_back(&machine.name, cluster, other)))
    }

    /// The API does not answer; `waited` is how long it was waited for.
    pub(super) fn silent(&self, reason: &str, waited: Option<Duration>) -> Diagnostics {
        let waited = waited.map_or_else(String::new, |waited| {
            format!(" It was waited for {}.", timeouts::words(waited))
        });
        let next = if self.desired.size == 0 {
            "Bring the control plane back (a halted master is started by terraform apply), then \
             destroy again. To destroy the group without draining it, set destroy = { force = true } in the provider block."
        } else {
            "Bring the control plane back (a halted master is started by terraform apply), then \
             apply again."
        };
        self.situation().error(
            &format!("Workers can neither join nor be drained: {reason}.{waited}"),
            next,
        )
    }

    /// The situation, as long as nothing was done.
    fn situation(&self) -> Situation<'a> {
        Situation {
            left: if self.taken.is_empty() && self.made.is_empty() {
                UNTOUCHED
            } else {
                self.situation.left
            },
            ..self.situation
        }
    }

    fn announce(&self, observed: &Observed, step: &Step) {
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
        info!(node_group = %self.wanted.group, machines = step.names().len(), "step {number} of {all}: {text}");
    }

    async fn inventory(&self) -> Result<Inventory, Diagnostics> {
        let ours = |machine: &Machine| facts::is_of(machine, &self.wanted.group);
        settled::inventory(self.provider, &self.wanted.cluster, self.deadline, ours)
            .await
            .map_err(|error| self.situation.cloud(&error))
    }

    async fn observe(&mut self) -> Result<(Inventory, Observed, Silence), Diagnostics> {
        let mut inventory = self.inventory().await?;
        if !self.fresh && self.desired.size > 0 {
            // Terraform has the group in its state, even when it was told not to read it.
            let machines = facts::machines(&inventory, &self.wanted.group);
            marks::confirm(self.provider, &self.wanted.cluster, machines).await;
        }
        let connection = match &self.access {
            Some(access) => Ok(access.connection.clone()),
            None => facts::connect(self.provider, &self.wanted.cluster, &inventory)
                .await
                .map(|access| self.access.insert(access).connection.clone()),
        };
        let kubernetes = facts::look(&inventory, &connection).await;
        let Wanted {
            cluster, zone, group, ..
        } = &self.wanted;
        let strays = facts::gone_astray(self.provider, (cluster, &inventory), (zone, group), &kubernetes, [])
            .await
            .map_err(|error| self.situation.cloud(&error))?;
        inventory.machines.extend(strays);
        let mut observed = facts::observe(
            &inventory,
            &self.wanted.group,
            &kubernetes,
            None,
            &self.made,
            &self.drained,
        );
        facts::find_retyped(&mut observed, &inventory, &self.wanted);
        let silence = match kubernetes {
            Kubernetes::Silent { reason, halted } => self.silence(&inventory, reason, halted).await?,
            Kubernetes::Serving(..) | Kubernetes::Gone => Silence::default(),
        };
        Ok((inventory, observed, silence))
    }

    /// An API does not answer either when too many masters are in zones that are out.
    async fn silence(&self, inventory: &Inventory, reason: String, halted: bool) -> Result<Silence, Diagnostics> {
        let zones = self.provider.zones_now().await;
        let zones = zones.map_err(|error| self.situation.cloud(&error))?;
        let out = |zone: &str| zones.iter().any(|found| found.name == zone && !found.up);
        let (masters, lost) = facts::masters_in(inventory, out);
        if lost.is_empty() || masters - lost.len() > masters / 2 {
            return Ok(Silence {
                reason,
                for_good: halted,
            });
        }
        let zones: BTreeSet<&str> = lost.iter().map(|machine| machine.zone.as_str()).collect();
        let names: Vec<&str> = zones.into_iter().collect();
        let (zones, are, them) = match names.len() {
            1 => ("zone", "is", "it"),
            _ => ("zones", "are", "them"),
        };
        let (names, lost) = (names.join(", "), lost.len());
        Ok(Silence {
            reason: format!("{zones} {names} {are} out, and with {them} {lost} of the cluster's {masters} masters"),
            for_good: true,
        })
    }
}
