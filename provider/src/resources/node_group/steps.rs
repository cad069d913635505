//! What each step of the planner's is made of.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    time::Duration,
};

use futures::{StreamExt, stream};
use multizone_cloud::{CloudError, Inventory, label};
use multizone_kubernetes::{
    bootstrap_token::{BootstrapToken, MAXIMUM_LIFETIME},
    cluster_access::{AccessError, Cluster as ClusterConnection, DrainOptions, NodeState, OwnedMetadata},
    labels::{Taint, TaintEffect},
};
use multizone_planner::{
    Version,
    node_group::{Observed, Step},
};
use multizone_schema::Diagnostics;
use tokio::time::Instant;
use tracing::{info, warn};

use super::{
    executor::Executor,
    facts::{self, Access},
    worker::{Join, LEAVING_LABEL},
};
use crate::resources::{control_plane::SPECIFICATION, timeouts, trouble::within};

/// How many machines are worked on at the same time.
const AT_ONCE: usize = 16;
/// What a kubelet says while it has no pod network.
const NO_POD_NETWORK: &str = "NetworkPluginNotReady";
/// A token is not used any more for new machines when it has less than this to live.
const TOKEN_RESERVE: Duration = Duration::from_mins(10);

impl Executor<'_> {
    /// Carries a step out.
    pub(super) async fn act(
        &mut self,
        step: &Step,
        inventory: &Inventory,
        observed: &Observed,
    ) -> Result<(), Diagnostics> {
        match step {
            Step::CreateMachines(names) => self.create(names, observed.api_version).await,
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
            Step::Relabel(names) => {
                self.each(names, |name| {
                    let found = inventory.machines.iter().find(|machine| machine.name == name);
                    let relabelled = found.map(|machine| (machine.zone.clone(), self.restored(machine, observed)));
                    async move {
                        match relabelled {
                            Some((zone, labels)) => {
                                let (cloud, cluster) = (self.provider.cloud(), &self.wanted.cluster);
                                self.cloud(cloud.set_machine_labels(cluster, &zone, &name, &labels))
                                    .await?;
                                self.provider.forget(&self.wanted.cluster).await;
                                Ok(())
                            }
                            None => Ok(()),
                        }
                    }
                })
                .await
            }
            Step::StartMachines(names) => {
                self.each(names, |name| {
                    let zone = self.zone_of(inventory, &name);
                    let (cloud, cluster) = (self.provider.cloud(), &self.wanted.cluster);
                    async move { self.cloud(cloud.start_machine(cluster, &zone, &name)).await }
                })
                .await
            }
            Step::DeleteMachines(names) => {
                self.each(names, |name| {
                    let zone = self.zone_of(inventory, &name);
                    let (cloud, cluster) = (self.provider.cloud(), &self.wanted.cluster);
                    async move { self.cloud(cloud.delete_machine(cluster, &zone, &name)).await }
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

    async fn create(&mut self, names: &BTreeSet<String>, api: Option<Version>) -> Result<(), Diagnostics> {
        let join = self.join(api).await?;
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
    async fn join(&mut self, api: Option<Version>) -> Result<Join, Diagnostics> {
        let access = self.access()?;
        let connection = access.connection.clone();
        let (endpoint, ca_certificate_hash) = (access.endpoint.clone(), access.ca_certificate_hash.clone());
        let usable = self
            .token
            .as_ref()
            .filter(|(_, until)| timeouts::left(*until) > TOKEN_RESERVE);
        if let Some((token, _)) = usable {
            return Ok(Join {
                endpoint,
                token: token.clone(),
                ca_certificate_hash,
                api,
            });
        }
        let token = BootstrapToken::generate(&mut rand::rng());
        let made = connection
            .create_bootstrap_token(&token, self.provider.now(), MAXIMUM_LIFETIME)
            .await;
        made.map_err(|error| {
            self.situation
                .error(&format!("No bootstrap token could be made: {error}."), error.advice())
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
            api,
        })
    }

    async fn wait_joined(&self, names: &BTreeSet<String>) -> Result<(), Diagnostics> {
        let connection = self.connection()?;
        let names: Vec<String> = names.iter().cloned().collect();
        let pod_network = connection
            .nodes()
            .await
            .map_or(true, |nodes| facts::pod_network(&nodes));
        let state = if pod_network {
            NodeState::Ready
        } else {
            NodeState::Registered
        };
        let began = Instant::now();
        // Longer than its token lives, no machine needs to be waited for.
        let deadline = self.deadline.min(Instant::now() + MAXIMUM_LIFETIME);
        let waited = connection
            .wait_for_nodes(&names, state, deadline, self.stop.wait())
            .await;
        waited.map_err(|error| self.not_joined(&error, began.elapsed()))?;
        // A kubelet can label its Node, but not annotate it.
        let desired = self.wanted.owned(self.provider.cloud().region());
        self.each(&names.iter().cloned().collect(), |name| {
            let desired = desired.clone();
            async move {
                let patched = connection
                    .patch_labels_and_taints(&name, &OwnedMetadata::default(), &desired)
                    .await;
                patched.map(|_| ()).map_err(|error| self.access_failed(&error))
            }
        })
        .await
    }

    fn not_joined(&self, error: &AccessError, waited: Duration) -> Diagnostics {
        match error {
            AccessError::Stopped { .. } => self.situation.stopped(),
            AccessError::TimedOut { last, .. } => {
                let what = format!("Not every worker has joined after {}: {last}.", timeouts::words(waited));
                let network = away_from_the_pod_network(last, &self.wanted.taints)
                    .map(|hint| format!("{hint}\n"))
                    .unwrap_or_default();
                let next = "The machines' serial consoles show what their first boot did and where it failed. Apply again: a \
                            machine that never registered is replaced, one that is only slow is waited for, longer with \
                            a longer timeout in timeouts.";
                self.situation.error(&what, &format!("{network}{next}"))
            }
            error => self.situation.error(
                &format!("Not every worker has joined: {error}."),
                "Apply again once the API serves: it goes on waiting.",
            ),
        }
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

    /// A machine's labels with the group's own put right.
    fn restored(&self, machine: &multizone_cloud::Machine, observed: &Observed) -> multizone_cloud::Labels {
        let mut labels = machine.labels.clone();
        let ours = self.wanted.machine_labels(self.provider.cloud().region());
        let specification = observed
            .members
            .get(&machine.name)
            .and_then(|member| Some(member.machine.as_ref()?.specification.clone()));
        let current = specification
            .as_ref()
            .is_none_or(|of| *of == self.wanted.specification());
        labels.extend(ours.into_iter().filter(|(key, _)| current || key != label::VERSION));
        labels.extend(specification.map(|of| (SPECIFICATION.to_owned(), of)));
        labels
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
            Some(Taint {
                key: taint.key.clone(),
                value: taint.value.clone(),
                effect,
            })
        });
        (
            OwnedMetadata {
                labels: gone.collect(),
                taints: taints.collect(),
                annotations: BTreeMap::new(),
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
        self.access().map(|access| &access.connection)
    }

    /// The planner asks for what needs the API only where it answers.
    fn access(&self) -> Result<&Access, Diagnostics> {
        self.access
            .as_ref()
            .ok_or_else(|| self.silent("there is no connection", None))
    }

    fn zone_of(&self, inventory: &Inventory, name: &str) -> String {
        let machine = facts::machines(inventory, &self.wanted.group).find(|machine| machine.name == name);
        machine.map_or_else(|| self.wanted.zone.clone(), |machine| machine.zone.clone())
    }

    fn access_failed(&self, error: &AccessError) -> Diagnostics {
        self.situation.error(&format!("{error}."), error.advice())
    }
}

/// What to do when nodes lack the pod network that the group's own taints keep away from them.
pub(super) fn away_from_the_pod_network(reason: &str, taints: &[Taint]) -> Option<String> {
    let keeping: Vec<String> = taints
        .iter()
        .filter(|taint| taint.effect != TaintEffect::PreferNoSchedule)
        .map(ToString::to_string)
        .collect();
    if keeping.is_empty() || !reason.contains(NO_POD_NETWORK) {
        return None;
    }
    Some(format!(
        "The pod network may not run there: the group's taints {} keep every pod away that does not tolerate them. Let the \
         pod network's DaemonSet tolerate all taints (tolerations: [{{ operator: Exists }}]).",
        keeping.join(", ")
    ))
}

/// The mark on Nodes that are to leave.
fn leaving() -> OwnedMetadata {
    OwnedMetadata {
        labels: BTreeMap::from([(LEAVING_LABEL.to_owned(), "true".to_owned())]),
        taints: Vec::new(),
        annotations: BTreeMap::new(),
    }
}
