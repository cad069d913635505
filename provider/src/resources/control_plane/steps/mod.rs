//! Carrying out the planner's steps about masters.  Those about the address, the balancer and its targets are shared with
//! the balancer's own operations ([`crate::resources::rollout`]).

mod backup;
mod joining;
mod leaving;
mod settings;

use std::{collections::BTreeMap, time::Duration};

use multizone_cloud::Machine as CloudMachine;
use multizone_kubernetes::{
    cluster_access::{AccessError, Cluster as ClusterConnection, OwnedMetadata},
    cluster_settings::Part,
    etcd::EtcdError,
    labels::out_of_service,
    pauses::Pauses,
};
use multizone_planner::cluster::{Power, Step, World};
use multizone_schema::Diagnostics;
use tokio::time::Instant;

use super::{
    executor::Executor,
    nodes::not_ready,
    observe::{LEAVING, Observation},
};
use crate::resources::{
    rollout::{self, Outcome, Traffic},
    timeouts, world,
};

/// How long etcd may take to find its members connected for long enough.
const SETTLING: Duration = Duration::from_secs(30);
/// Bounds of the pauses between two looks at something that takes its time.
const PAUSES: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(2));

impl Executor<'_> {
    /// Carries out one step.
    #[allow(clippy::too_many_lines)] // one arm for each step
    pub(super) async fn act(&mut self, step: &Step, observation: &Observation) -> Result<(), Diagnostics> {
        match self.traffic(observation).carry_out(step, &observation.world).await? {
            Outcome::Done => return Ok(()),
            Outcome::Failed(holder) => {
                self.remembered.failed = Some(holder);
                return Ok(());
            }
            Outcome::NotMine => {}
        }
        match step {
            Step::BackUp => self.back_up(observation).await,
            Step::Init(new) => self.init(new, observation).await,
            Step::Join(new) => self.join(new, observation).await,
            // One that has given up is removed, and another made.
            Step::AwaitJoin(name) if observation.world.initialised => self.await_joined(name).await.map(drop),
            Step::AwaitJoin(name) => self.await_init(name).await,
            Step::StartMachine(name) => {
                let Some(zone) = zone_of(observation, name) else {
                    return Ok(());
                };
                let started = self.provider.cloud().start_machine(&self.wanted.cluster, zone, name);
                self.cloud(started).await?;
                self.await_healthy(name).await
            }
            Step::AwaitHealthy(name) => self.await_healthy(name).await,
            Step::ApplySettings(..) => self.apply_settings(Part::Settings, observation).await,
            Step::ApplyAddons(..) => self.apply_settings(Part::Addons, observation).await,
            Step::InstallAccess => {
                let connection = self.connection(observation, None)?;
                let installed = connection
                    .install_node_group_access(self.deadline, self.stop.wait())
                    .await;
                installed.map_err(|error| self.apply_failed(&error, "the rights of node groups"))?;
                self.remembered.access = true;
                Ok(())
            }
            Step::ApplyPodNetwork(fingerprint) => {
                if let Some(manifest) = &self.wanted.pod_network {
                    let connection = self.connection(observation, None)?;
                    let failed = |error| self.apply_failed(&error, "pod_network_manifest");
                    let applied = connection.apply(manifest, self.deadline, self.stop.wait()).await;
                    applied.map_err(failed)?;
                    if let Some(before) = &self.remembered.manifest {
                        let deleted = connection.delete_dropped(before, manifest, self.deadline, self.stop.wait());
                        deleted.await.map_err(failed)?;
                    }
                }
                self.remembered.pod_network = Some(fingerprint.clone());
                Ok(())
            }
            Step::AwaitNode(name) => {
                let what = format!("Master {name} did not become a node of the cluster");
                let next = joining::console(name);
                self.until(name, &what, &next, |world, _| joined(world, name)).await
            }
            Step::Cordon(name) => {
                // Cordoned first: a node that is marked is one that is cordoned.
                let connection = self.connection(observation, Some(name))?;
                connection
                    .cordon(name)
                    .await
                    .map_err(|error| self.access_failed(name, &error))?;
                self.mark(&connection, name, &OwnedMetadata::default(), &leaving())
                    .await
            }
            Step::Uncordon(name) => {
                let connection = self.connection(observation, None)?;
                connection
                    .uncordon(name)
                    .await
                    .map_err(|error| self.access_failed(name, &error))?;
                self.mark(&connection, name, &leaving(), &OwnedMetadata::default())
                    .await
            }
            Step::Drain(name) => self.drain(name, observation).await,
            Step::AwaitDetached(name) => {
                let what = format!("The volumes were not detached from master {name}");
                let next = "See which pods still use them, then apply again.";
                let detached = |world: &World, _: &Observation| {
                    world.nodes.get(name).is_none_or(|node| !node.volumes || !node.joined)
                };
                self.until(name, &what, next, detached).await
            }
            Step::MarkOutOfService(name) => {
                let connection = self.connection(observation, Some(name))?;
                let tainted = OwnedMetadata {
                    taints: vec![out_of_service()],
                    ..OwnedMetadata::default()
                };
                self.mark(&connection, name, &OwnedMetadata::default(), &tainted).await
            }
            Step::MoveLeader(_, to) => {
                let id = observation.world.member_of(to).map(|(id, _)| id).unwrap_or_default();
                let connection = self.connection(observation, None)?;
                let etcd = self.observer.etcd(&connection, masters(observation, None));
                etcd.move_leader(id).await.map_err(|error| self.etcd_failed(&error))
            }
            Step::StopApiServer(name) => self.stop_api_server(name, observation).await,
            Step::StartApiServer(name) => self.start_api_server(name, observation).await,
            Step::RemoveMember(id, name) => {
                let connection = self.connection(observation, name.as_deref())?;
                let etcd = self.observer.etcd(&connection, masters(observation, name.as_deref()));
                let until = self.deadline.min(Instant::now() + SETTLING);
                let pauses = Pauses::between(PAUSES.0, PAUSES.1);
                loop {
                    match etcd.remove(*id).await {
                        Err(error) if error.passes() && Instant::now() < until && !self.stop.requested() => {
                            tokio::time::sleep(pauses.next()).await;
                        }
                        removed => return removed.map_err(|error| self.etcd_failed(&error)),
                    }
                }
            }
            Step::StopMachine(name) => {
                let Some(zone) = zone_of(observation, name) else {
                    return Ok(());
                };
                let stopped = self.provider.cloud().stop_machine(&self.wanted.cluster, zone, name);
                self.cloud(stopped).await
            }
            Step::DeleteMachine(name) => {
                let Some(zone) = zone_of(observation, name) else {
                    return Ok(());
                };
                let deleted = self.provider.cloud().delete_machine(&self.wanted.cluster, zone, name);
                self.cloud(deleted).await
            }
            Step::DeleteNode(name) => {
                let connection = self.connection(observation, Some(name))?;
                let failed = |error: AccessError| self.access_failed(name, &error);
                connection.delete_hold(name).await.map_err(failed)?;
                connection.delete_node(name).await.map(drop).map_err(failed)
            }
            Step::AwaitEndpointGone(name) => {
                let what = format!("The record of the API server of {name} did not expire");
                let next = "It expires by itself once nobody renews it; apply again.";
                self.until(name, &what, next, |world, _| !world.endpoints.contains(name))
                    .await
            }
            // The balancer's own are above, as is a zone's end; a master's only disk is deleted with its machine.
            other => Err(self.situation.error(
                &format!("A step of this change is none of a control plane's on this cloud: {other:?}."),
                "This is an error in the provider; please report it with the log (TF_LOG=debug).",
            )),
        }
    }

    fn traffic<'s>(&'s self, observation: &'s Observation) -> Traffic<'s> {
        // One that is not wanted any more is left all the same.
        let left = observation.inventory.balancers.first();
        Traffic {
            provider: self.provider,
            cluster: &self.wanted.cluster,
            balancer: self.wanted.balancer.as_deref().or(left.map(|left| left.name.as_str())),
            labels: None,
            asks: &self.observer.asks,
            patience: rollout::PATIENCE,
            deadline: self.deadline,
            stop: self.stop,
            situation: self.situation,
        }
    }

    async fn mark(
        &self,
        connection: &ClusterConnection,
        name: &str,
        previous: &OwnedMetadata,
        desired: &OwnedMetadata,
    ) -> Result<(), Diagnostics> {
        let patched = connection.patch_labels_and_taints(name, previous, desired).await;
        patched.map(drop).map_err(|error| self.access_failed(name, &error))
    }

    /// Looks until something about a master is so; `what` says that it is not.
    async fn until(
        &self,
        name: &str,
        what: &str,
        next: &str,
        reached: impl Fn(&World, &Observation) -> bool,
    ) -> Result<(), Diagnostics> {
        let (began, pauses) = (Instant::now(), Pauses::between(PAUSES.0, PAUSES.1));
        loop {
            let observation = self.observe().await?;
            if reached(&observation.world, &observation) {
                return Ok(());
            }
            if self.stop.requested() {
                return Err(self.situation.stopped());
            }
            if Instant::now() >= self.deadline {
                let waited = timeouts::words(began.elapsed());
                let (why, instead) = self.obstacle(name, &observation).await;
                let next = instead.unwrap_or(next);
                return Err(self.situation.error(&format!("{what} within {waited}: {why}."), next));
            }
            tokio::select! {
                () = tokio::time::sleep(pauses.next()) => {}
                () = self.stop.wait() => return Err(self.situation.stopped()),
            }
        }
    }

    /// What can be seen to be in the way of a master, and what to do about it where that is plain.
    async fn obstacle(&self, name: &str, observation: &Observation) -> (String, Option<&'static str>) {
        let world = &observation.world;
        let found = world::masters(&observation.inventory).find(|machine| machine.name == name);
        let (Some(found), Some(machine)) = (found, world.machines.get(name)) else {
            let next = "Somebody deleted it. Run terraform apply again: it is made anew.";
            return ("its machine is gone".to_owned(), Some(next));
        };
        if !world.zone_is_up(&machine.zone) {
            let next = "Run terraform apply again when the zone is back.";
            return (format!("zone {} is out", machine.zone), Some(next));
        }
        if machine.power == Power::Off && machine.joining && world.initialised {
            let next = "If it was not stopped by somebody, kubeadm join has failed on it, after which it switches itself off: \
                        its serial console shows why. Correct that and run terraform apply again: another machine is made \
                        in its place.";
            return ("its machine is off".to_owned(), Some(next));
        }
        if machine.power == Power::Off {
            let next = "Somebody stopped it. Run terraform apply again: it is started, and waited for.";
            return ("its machine is halted".to_owned(), Some(next));
        }
        let why = if world.serves(name) {
            Self::unfinished(name, observation)
        } else {
            self.observer.asks.why_not(found).await
        };
        (why, None)
    }

    /// What a master lacks whose API server serves.
    fn unfinished(name: &str, observation: &Observation) -> String {
        match observation.world.member_of(name) {
            None => return "it is no member of etcd".to_owned(),
            Some((_, member)) if member.learner => return "its member of etcd does not vote yet".to_owned(),
            Some((_, member)) if !member.healthy => return "its member of etcd does not answer".to_owned(),
            Some(_) => {}
        }
        let node = observation.nodes.as_ref().and_then(|nodes| nodes.get(name));
        match node {
            None => "its Node is not registered".to_owned(),
            Some(node) => not_ready(node).unwrap_or_else(|| "it is on its way".to_owned()),
        }
    }

    /// A connection to a master that serves, to another one than that which is concerned where there is one.
    pub(in crate::resources::control_plane) fn connection(
        &self,
        observation: &Observation,
        concerned: Option<&str>,
    ) -> Result<ClusterConnection, Diagnostics> {
        let serves = |machine: &&CloudMachine| observation.world.serves(&machine.name);
        let mut others = masters(observation, concerned).filter(serves);
        let other = others.find_map(|machine| self.observer.asks.connect(machine));
        other.or_else(|| observation.connection.clone()).ok_or_else(|| {
            let what = "No master serves the Kubernetes API.";
            self.situation.error(
                what,
                "Apply again once one does; a halted master is started by terraform apply.",
            )
        })
    }

    fn access_failed(&self, name: &str, error: &AccessError) -> Diagnostics {
        if let AccessError::Stopped { .. } = error {
            return self.situation.stopped();
        }
        let what = format!("Master {name} could not be worked on through the Kubernetes API: {error}.");
        self.situation.error(&what, error.advice())
    }

    fn etcd_failed(&self, error: &EtcdError) -> Diagnostics {
        let what = format!("etcd did not do what was asked for: {error}.");
        self.situation
            .error(&what, "Apply again: what is left to do is found out anew.")
    }
}

/// The masters' machines that run, without one.
fn masters<'o>(observation: &'o Observation, without: Option<&str>) -> impl Iterator<Item = &'o CloudMachine> {
    let without = without.map(str::to_owned);
    let runs = |machine: &&CloudMachine| {
        let facts = observation.world.machines.get(&machine.name);
        facts.is_some_and(|facts| observation.world.runs(facts))
    };
    world::masters(&observation.inventory)
        .filter(runs)
        .filter(move |machine| without.as_deref() != Some(machine.name.as_str()))
}

/// Where a master's machine is; one that is nowhere is left to the next look.
fn zone_of<'o>(observation: &'o Observation, name: &str) -> Option<&'o str> {
    let machine = observation.world.machines.get(name)?;
    Some(&machine.zone)
}

fn joined(world: &World, name: &str) -> bool {
    world.nodes.get(name).is_some_and(|node| node.joined)
}

/// What marks a Node that is to leave.
fn leaving() -> OwnedMetadata {
    OwnedMetadata {
        labels: BTreeMap::from([(LEAVING.to_owned(), "true".to_owned())]),
        ..OwnedMetadata::default()
    }
}
