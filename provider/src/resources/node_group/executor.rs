//! Carries out what the planner says: observe, ask, act, until done.
//!
//! Every step is idempotent, so a run that was interrupted anywhere is continued by the next one.  The machines that one
//! step names are worked on at the same time.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    time::Duration,
};

use futures::{StreamExt, stream};
use multizone_cloud::{CloudError, Inventory};
use multizone_kubernetes::{
    bootstrap_token::{BootstrapToken, MAXIMUM_LIFETIME},
    cluster_access::{AccessError, Cluster as ClusterConnection, DrainOptions, NodeState, OwnedMetadata},
    endpoint::ControlPlaneEndpoint,
    pki::NodeCredential,
};
use multizone_planner::{
    lines,
    node_group::{Blocked, Desired, Next, Observed, Preview, Step, next, preview},
};
use multizone_schema::{Diagnostic, Diagnostics};
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use super::{
    Worker,
    facts::{self, Kubernetes},
    worker::{Join, LEAVING_LABEL, Wanted},
};
use crate::{
    configuration::Configured,
    resources::{
        control_plane::timing,
        identity::API_ADDRESS,
        timeouts,
        trouble::{Situation, within},
    },
    stop::Stop,
};

/// How many machines are worked on at the same time.
const AT_ONCE: usize = 16;
/// How long an API that does not answer is waited for before the operation gives up.
const SILENCE: Duration = Duration::from_secs(60);
/// Between two looks at an API that does not answer.
const PAUSE: Duration = Duration::from_secs(1);
/// A token is not used any more for new machines when it has less than this to live.
const TOKEN_RESERVE: Duration = Duration::from_secs(10 * 60);

/// What a run has reached.
pub(super) struct Reached {
    pub(super) observed: Observed,
    pub(super) nodes: BTreeMap<String, Worker>,
}

/// One operation on a node group.
pub(super) struct Executor<'a> {
    provider: &'a Configured,
    wanted: Wanted,
    desired: Desired,
    deadline: Instant,
    stop: &'a Stop,
    situation: Situation<'a>,
    access: Option<(ClusterConnection, NodeCredential)>,
    endpoint: Option<ControlPlaneEndpoint>,
    token: Option<(BootstrapToken, Instant)>,
    /// Machines that this operation made: they hold its token.
    made: BTreeSet<String>,
    /// Nodes that this operation drained.
    drained: BTreeSet<String>,
    /// Whether this is a create: its machines are marked until it has finished.
    fresh: bool,
    taken: Vec<Step>,
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
            endpoint: None,
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
        let inventory = self.inventory().await?;
        let found: Vec<_> = facts::machines(&inventory, &self.wanted.group).collect();
        if found.is_empty() || found.iter().any(|machine| machine.creating()) {
            return Ok(());
        }
        let Wanted { cluster, group, .. } = &self.wanted;
        let region = self.provider.cloud().region();
        Err(Diagnostic::error(
            "The node group exists already",
            format!(
                "Cluster {cluster} has machines of a node group {group}, and no unfinished create left them. Nothing was \
                 changed. Import it with: terraform import multizone_node_group.NAME {region}/{cluster}/{group}, or choose \
                 another name."
            ),
        )
        .at("name")
        .into())
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
        if let (Some((token, _)), Some((connection, _))) = (self.token.take(), &self.access) {
            if let Err(error) = connection.delete_bootstrap_token(token.id()).await {
                warn!(%error, "the operation's bootstrap token is not deleted; it ends by itself within half an hour");
            }
        }
        self.provider.forget(&self.wanted.cluster).await;
        result
    }

    async fn steps_to_the_end(&mut self) -> Result<Reached, Diagnostics> {
        let mut silent_since: Option<Instant> = None;
        loop {
            let (inventory, observed, silence) = self.observe().await?;
            match next(&observed, &self.desired) {
                Next::Done => {
                    let nodes = facts::describe(self.provider, &inventory, &self.wanted.group, &observed);
                    return Ok(Reached { observed, nodes });
                }
                Next::Refused(violation) => {
                    return Err(self
                        .situation
                        .error(&format!("{violation}."), "Change the configuration, then apply again."));
                }
                Next::Blocked(Blocked::ControlPlaneGone) => {
                    return Err(self.situation.error(
                        &format!("{}.", Blocked::ControlPlaneGone),
                        "Create the control plane first; refer to it as multizone_control_plane.NAME.id, so that Terraform \
                         knows the order.",
                    ));
                }
                Next::Blocked(Blocked::ApiSilent) => {
                    let since = *silent_since.get_or_insert_with(Instant::now);
                    if self.stop.requested() {
                        return Err(self.situation.stopped());
                    }
                    if since.elapsed() > SILENCE || Instant::now() >= self.deadline {
                        return Err(self.silent(&silence));
                    }
                    sleep(PAUSE).await;
                }
                Next::Step(step) => {
                    silent_since = None;
                    self.announce(&observed, &step);
                    if self.stop.requested() {
                        return Err(self.situation.stopped());
                    }
                    self.act(&step, &inventory, &observed).await?;
                    self.taken.push(step);
                }
            }
        }
    }

    fn silent(&self, reason: &str) -> Diagnostics {
        self.situation.error(
            &format!("{}: {reason}.", Blocked::ApiSilent),
            "Bring the control plane back (a halted master is started by terraform apply), then apply again. To destroy the \
             group without draining it, set destroy = { force = true } in the provider block.",
        )
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
        self.provider
            .inventory(&self.wanted.cluster)
            .await
            .map_err(|error| self.situation.cloud(&error))
    }

    async fn observe(&mut self) -> Result<(Inventory, Observed, String), Diagnostics> {
        let inventory = self.inventory().await?;
        if self.endpoint.is_none() {
            let address = inventory.address(API_ADDRESS);
            self.endpoint = address.map(|address| ControlPlaneEndpoint::new(address.address.to_string()));
        }
        let connection = match &self.access {
            Some((connection, _)) => Ok(connection.clone()),
            None => match facts::connect(self.provider, &self.wanted.cluster, &inventory).await {
                Ok((connection, credential)) => {
                    self.access = Some((connection.clone(), credential));
                    Ok(connection)
                }
                Err(reason) => Err(reason),
            },
        };
        let kubernetes = facts::look(&inventory, &connection).await;
        let observed = facts::observe(
            &inventory,
            &self.wanted.group,
            &kubernetes,
            None,
            &self.made,
            &self.drained,
        );
        let silence = match kubernetes {
            Kubernetes::Silent(reason) => reason,
            Kubernetes::Serving(..) | Kubernetes::Gone => String::new(),
        };
        Ok((inventory, observed, silence))
    }

    async fn act(&mut self, step: &Step, inventory: &Inventory, observed: &Observed) -> Result<(), Diagnostics> {
        match step {
            Step::CreateMachines(names) => self.create(names).await,
            Step::WaitJoined(names) => self.wait_joined(names).await,
            Step::Drain(names) => self.drain(names).await,
            _ => self.change(step, inventory, observed).await,
        }?;
        if let Step::DeleteMachines(names) = step {
            self.made.retain(|name| !names.contains(name));
            self.drained.retain(|name| !names.contains(name));
        }
        Ok(())
    }

    /// The steps that need nothing remembered: each is a call or two for every machine.
    async fn change(&self, step: &Step, inventory: &Inventory, observed: &Observed) -> Result<(), Diagnostics> {
        match step {
            Step::CreateMachines(_) | Step::WaitJoined(_) | Step::Drain(_) => Ok(()),
            Step::StartMachines(names) => {
                self.each(names, |name| {
                    let zone = self.zone_of(inventory, &name);
                    async move { self.cloud(self.provider.cloud().start_machine(&zone, &name)).await }
                })
                .await
            }
            Step::DeleteMachines(names) => {
                self.each(names, |name| {
                    let zone = self.zone_of(inventory, &name);
                    async move { self.cloud(self.provider.cloud().delete_machine(&zone, &name)).await }
                })
                .await
            }
            Step::DeleteNodes(names) => {
                let connection = self.connection()?;
                self.each(names, |name| async move {
                    connection
                        .delete_node(&name)
                        .await
                        .map(|_| ())
                        .map_err(|error| self.access_failed(&error))
                })
                .await
            }
            Step::Patch(names) => {
                let connection = self.connection()?;
                self.each(names, |name| {
                    let (previous, desired) = self.metadata(observed, &name);
                    async move {
                        let patched = connection.patch_labels_and_taints(&name, &previous, &desired).await;
                        patched.map(|_| ()).map_err(|error| self.access_failed(&error))
                    }
                })
                .await
            }
            Step::Cordon(names) => {
                let connection = self.connection()?;
                self.each(names, |name| async move {
                    // Cordoned first: a node that is marked is one that is cordoned.
                    connection
                        .cordon(&name)
                        .await
                        .map_err(|error| self.access_failed(&error))?;
                    let marked = connection
                        .patch_labels_and_taints(&name, &OwnedMetadata::default(), &leaving())
                        .await;
                    marked.map(|_| ()).map_err(|error| self.access_failed(&error))
                })
                .await
            }
            Step::Keep(names) => {
                let connection = self.connection()?;
                self.each(names, |name| async move {
                    connection
                        .uncordon(&name)
                        .await
                        .map_err(|error| self.access_failed(&error))?;
                    let unmarked = connection
                        .patch_labels_and_taints(&name, &leaving(), &OwnedMetadata::default())
                        .await;
                    unmarked.map(|_| ()).map_err(|error| self.access_failed(&error))
                })
                .await
            }
        }
    }

    async fn create(&mut self, names: &BTreeSet<String>) -> Result<(), Diagnostics> {
        let join = self.join().await?;
        // Before the calls: a machine whose call failed may exist all the same, with this token.
        self.made.extend(names.iter().cloned());
        let this = &*self;
        this.each(names, |name| {
            let spec = this
                .wanted
                .machine(this.provider, &name, &join, this.fresh, &this.situation);
            async move {
                let spec = spec?;
                this.cloud(this.provider.cloud().ensure_machine(&spec))
                    .await
                    .map(|_| ())
            }
        })
        .await
    }

    /// What machines need to join, with a token that lives long enough.
    async fn join(&mut self) -> Result<Join, Diagnostics> {
        let connection = self.connection()?.clone();
        let missing = || {
            self.situation
                .error("The cluster has no stable address.", "Apply the cluster again.")
        };
        let endpoint = self.endpoint.clone().ok_or_else(missing)?;
        let ca_certificate_hash = match &self.access {
            Some((_, credential)) => credential.ca_certificate_hash(),
            None => return Err(self.silent("there is no connection")),
        };
        let ca_certificate_hash = ca_certificate_hash.map_err(|error| {
            self.situation.error(
                &format!("The cluster's certificate cannot be read: {error}."),
                "Apply the cluster again.",
            )
        })?;
        let usable = self
            .token
            .as_ref()
            .filter(|(_, until)| timeouts::left(*until) > TOKEN_RESERVE);
        if let Some((token, _)) = usable {
            return Ok(Join {
                endpoint,
                token: token.clone(),
                ca_certificate_hash,
            });
        }
        let token = BootstrapToken::generate(&mut rand::rng());
        let made = connection
            .create_bootstrap_token(&token, self.provider.now(), MAXIMUM_LIFETIME)
            .await;
        made.map_err(|error| {
            self.situation.error(
                &format!("No bootstrap token could be made: {error}."),
                "Apply again once the API serves.",
            )
        })?;
        let earlier = self.token.replace((token.clone(), Instant::now() + MAXIMUM_LIFETIME));
        if let Some((earlier, _)) = earlier {
            // Its machines have joined or failed by now.
            if let Err(error) = connection.delete_bootstrap_token(earlier.id()).await {
                warn!(%error, "an earlier bootstrap token is not deleted; it ends by itself");
            }
        }
        Ok(Join {
            endpoint,
            token,
            ca_certificate_hash,
        })
    }

    async fn wait_joined(&self, names: &BTreeSet<String>) -> Result<(), Diagnostics> {
        let connection = self.connection()?;
        let names: Vec<String> = names.iter().cloned().collect();
        let pod_network = connection
            .nodes()
            .await
            .map(|nodes| facts::pod_network(&nodes))
            .unwrap_or(true);
        let state = if pod_network {
            NodeState::Ready
        } else {
            NodeState::Registered
        };
        // Longer than its token lives, no machine needs to be waited for.
        let deadline = self.deadline.min(Instant::now() + MAXIMUM_LIFETIME);
        let waited = connection
            .wait_for_nodes(&names, state, deadline, self.stop.wait())
            .await;
        waited.map(|_| ()).map_err(|error| match error {
            AccessError::Stopped { .. } => self.situation.stopped(),
            error => self.situation.error(
                &format!("Not every worker has joined: {error}."),
                "The machines' serial consoles show what their first boot did and where it failed. Apply again: a machine \
                 that never registered is replaced, one that is only slow is waited for.",
            ),
        })
    }

    async fn drain(&mut self, names: &BTreeSet<String>) -> Result<(), Diagnostics> {
        let connection = self.connection()?;
        let options = DrainOptions {
            timeout: self.wanted.drain_timeout.min(timeouts::left(self.deadline)),
            delete_empty_dir_data: true,
            ..DrainOptions::default()
        };
        let stop = self.stop;
        let mut drains = stream::iter(names.clone())
            .map(|name| {
                let options = &options;
                async move {
                    let drained = connection.drain(&name, options, stop.wait()).await;
                    (name, drained)
                }
            })
            .buffer_unordered(AT_ONCE);
        let mut finished = BTreeSet::new();
        let mut failures = Vec::new();
        while let Some((name, drained)) = drains.next().await {
            match drained {
                Ok(drained) => {
                    info!(node = %name, evicted = drained.evicted.len(), "drained");
                    finished.insert(name);
                }
                Err(error) => failures.push(error.to_string()),
            }
        }
        drop(drains);
        self.drained.extend(finished);
        if failures.is_empty() {
            return Ok(());
        }
        if self.stop.requested() {
            return Err(self.situation.stopped());
        }
        failures.sort();
        Err(self.situation.error(
            &format!("{}.", failures.join(".\n")),
            "Then apply again: the drain continues. To destroy a group whatever its pods, set destroy = { force = true } in \
             the provider block.",
        ))
    }

    /// What the group owned on a Node, and what it is to own.
    fn metadata(&self, observed: &Observed, name: &str) -> (OwnedMetadata, OwnedMetadata) {
        let desired = self.wanted.owned(self.provider.cloud().region());
        let node = observed.members.get(name).and_then(|member| member.node.as_ref());
        let labels = node.map(|node| node.labels.clone()).unwrap_or_default();
        let gone = labels
            .into_iter()
            .filter(|(key, _)| self.desired.absent_labels.contains(key));
        let taints = self.desired.absent_taints.iter().filter_map(|taint| {
            let effect = taint.effect.parse().ok()?;
            Some(multizone_kubernetes::labels::Taint {
                key: taint.key.clone(),
                value: taint.value.clone(),
                effect,
            })
        });
        (
            OwnedMetadata {
                labels: gone.collect(),
                taints: taints.collect(),
            },
            desired,
        )
    }

    /// Does the same to several machines at once, and reports every failure.
    async fn each<F, W>(&self, names: &BTreeSet<String>, work: W) -> Result<(), Diagnostics>
    where
        F: Future<Output = Result<(), Diagnostics>>,
        W: Fn(String) -> F,
    {
        let results: Vec<_> = stream::iter(names.iter().cloned())
            .map(work)
            .buffer_unordered(AT_ONCE)
            .collect()
            .await;
        let mut failures = Diagnostics::new();
        for failed in results.into_iter().filter_map(Result::err) {
            failures.extend(failed);
        }
        failures.into_result(())
    }

    /// A call to the cloud, to the operation's deadline.
    async fn cloud<T>(&self, call: impl Future<Output = Result<T, CloudError>>) -> Result<T, Diagnostics> {
        let call = async { call.await.map_err(|error| self.situation.cloud(&error)) };
        within(self.deadline, &self.situation, call).await
    }

    fn connection(&self) -> Result<&ClusterConnection, Diagnostics> {
        self.access
            .as_ref()
            .map(|(connection, _)| connection)
            .ok_or_else(|| self.silent("there is no connection"))
    }

    fn zone_of(&self, inventory: &Inventory, name: &str) -> String {
        let machine = facts::machines(inventory, &self.wanted.group).find(|machine| machine.name == name);
        machine.map_or_else(|| self.wanted.zone.clone(), |machine| machine.zone.clone())
    }

    fn access_failed(&self, error: &AccessError) -> Diagnostics {
        self.situation
            .error(&format!("{error}."), "Apply again once the API serves.")
    }
}

/// The mark on Nodes that are to leave.
fn leaving() -> OwnedMetadata {
    OwnedMetadata {
        labels: BTreeMap::from([(LEAVING_LABEL.to_owned(), "true".to_owned())]),
        taints: Vec::new(),
    }
}
