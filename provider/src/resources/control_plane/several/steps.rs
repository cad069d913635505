//! Carrying out the planner's steps about masters.  Those about the address, the balancer and its targets are shared with
//! the balancer's own operations ([`crate::resources::rollout`]).

use std::{collections::BTreeMap, time::Duration};

use multizone_cloud::Machine as CloudMachine;
use multizone_kubernetes::{
    bootstrap_token::BootstrapToken,
    cluster_access::{AccessError, Cluster as ClusterConnection, DrainError, DrainOptions, OwnedMetadata, SHELL_IMAGE},
    etcd::{CLIENT_PORT, Endpoint, EtcdError},
    labels::{CONTROL_PLANE_ROLE, out_of_service},
};
use multizone_planner::cluster::{ApiServer, Holder, NewMachine, Step, World};
use multizone_schema::Diagnostics;
use tokio::time::Instant;

use super::{
    executor::Executor,
    observe::{INITIALISED, LEAVING, Observation},
};
use crate::resources::{
    rollout::{self, Outcome, Traffic},
    timeouts,
    world::{self, Asks as _},
};

/// How long kubeadm may be at work on a machine, and how long its bootstrap token lives: what it waits for by itself.
const JOIN: Duration = Duration::from_mins(15);
/// How long an API server is held at most: long enough to remove its member and to stop its machine.
const HOLD: Duration = Duration::from_hours(1);
/// How long the endpoint record of an API server that has ended may take to go with it.
const RECORD: Duration = Duration::from_secs(3);
/// How long an API server may take to end once it is held; then it is held anew.
const ENDING: Duration = Duration::from_secs(30);
/// How long etcd may take to find its members connected for long enough.
const SETTLING: Duration = Duration::from_secs(30);
/// Between two looks at something that takes its time.
const PAUSE: Duration = Duration::from_millis(500);
/// Between two looks at one API server.
const GLANCE: Duration = Duration::from_millis(100);

impl Executor<'_> {
    /// Carries out one step.
    #[allow(clippy::too_many_lines)] // one arm for each step
    pub(super) async fn act(&mut self, step: &Step, observation: &Observation) -> Result<(), Diagnostics> {
        match self.traffic().carry_out(step, &observation.world).await? {
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
            Step::AwaitJoin(name) if observation.world.initialised => self.await_joined(name).await,
            Step::AwaitJoin(name) => self.await_init(name).await,
            Step::StartMachine(name) => {
                let zone = self.zone(observation, name)?;
                self.cloud(self.provider.cloud().start_machine(&zone, name)).await?;
                self.await_healthy(name).await
            }
            Step::AwaitHealthy(name) => self.await_healthy(name).await,
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
                if let Some(manifest) = &self.several.pod_network {
                    let connection = self.connection(observation, None)?;
                    let applied = connection.apply(manifest, self.deadline, self.stop.wait()).await;
                    applied.map_err(|error| self.apply_failed(&error, "pod_network_manifest"))?;
                }
                self.remembered.pod_network = Some(fingerprint.clone());
                Ok(())
            }
            Step::AwaitNode(name) => {
                let what = format!("the node of master {name} to become ready");
                self.until(&what, &console(name), |world, _| joined(world, name)).await
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
                let what = format!("the volumes to be detached from master {name}");
                let next = "See which pods still use them, then apply again.";
                let detached = |world: &World, _: &Observation| {
                    world.nodes.get(name).is_none_or(|node| !node.volumes || !node.joined)
                };
                self.until(&what, next, detached).await
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
                loop {
                    match etcd.remove(*id).await {
                        Err(error) if error.passes() && Instant::now() < until && !self.stop.requested() => {
                            tokio::time::sleep(PAUSE).await;
                        }
                        removed => return removed.map_err(|error| self.etcd_failed(&error)),
                    }
                }
            }
            Step::StopMachine(name) => {
                let zone = self.zone(observation, name)?;
                self.cloud(self.provider.cloud().stop_machine(&zone, name)).await
            }
            Step::DeleteMachine(name) => {
                let zone = self.zone(observation, name)?;
                self.cloud(self.provider.cloud().delete_machine(&zone, name)).await
            }
            Step::DeleteNode(name) => {
                let connection = self.connection(observation, Some(name))?;
                let failed = |error: AccessError| self.access_failed(name, &error);
                connection.delete_hold(name).await.map_err(failed)?;
                connection.delete_node(name).await.map(drop).map_err(failed)
            }
            Step::AwaitEndpointGone(name) => {
                let what = format!("the record of the API server of {name} to expire");
                let next = "It expires by itself once nobody renews it; apply again.";
                self.until(&what, next, |world, _| !world.endpoints.contains(name))
                    .await
            }
            // The balancer's own are above; zones and zonal disks are the cluster's and the cloud's: a master's only disk is
            // deleted with its machine, and subnets are regional where this is reached.
            other => Err(self.situation.error(
                &format!("The step {other:?} is none of a control plane's on this cloud."),
                "This is an error in the provider.",
            )),
        }
    }

    fn traffic(&self) -> Traffic<'_> {
        Traffic {
            provider: self.provider,
            cluster: &self.several.cluster,
            balancer: self.several.balancer.as_deref(),
            labels: None,
            asks: &self.observer.asks,
            patience: rollout::PATIENCE,
            deadline: self.deadline,
            stop: self.stop,
            situation: self.situation,
        }
    }

    /// The first master: it initialises the cluster.
    async fn init(&mut self, new: &NewMachine, observation: &Observation) -> Result<(), Diagnostics> {
        let holds = observation.world.has_an_address() && observation.world.address.holder == Holder::Nobody;
        self.create(new, None, holds).await?;
        self.await_init(&new.name).await
    }

    /// A further master, with a token of its own.
    async fn join(&mut self, new: &NewMachine, observation: &Observation) -> Result<(), Diagnostics> {
        let token = BootstrapToken::generate(&mut rand::rng());
        let connection = self.connection(observation, None)?;
        let made = connection
            .create_bootstrap_token(&token, self.provider.now(), JOIN)
            .await;
        made.map_err(|error| {
            let what = format!("No bootstrap token could be made for machine {}: {error}.", new.name);
            self.situation.error(&what, "Apply again once the API serves.")
        })?;
        self.tokens.push(token.clone());
        self.create(new, Some(&token), false).await?;
        self.await_joined(&new.name).await
    }

    async fn create(
        &mut self,
        new: &NewMachine,
        token: Option<&BootstrapToken>,
        holds_the_address: bool,
    ) -> Result<(), Diagnostics> {
        let until = self.provider.now().as_second() + i64::try_from(JOIN.as_secs()).unwrap_or_default();
        let spec = self.machine(new, token, holds_the_address, until).await?;
        if let Some(identity) = &spec.identity {
            // Before the machine exists: its first act is to read the keys.
            let keys = &self.observer.facts.secrets.keys;
            self.cloud(self.provider.cloud().grant_secret(keys, identity)).await?;
        }
        let made = self.cloud(self.provider.cloud().ensure_machine(&spec)).await.map(drop);
        self.remembered
            .specifications
            .insert(new.name.clone(), new.specification.clone());
        made
    }

    async fn await_init(&mut self, name: &str) -> Result<(), Diagnostics> {
        let what = format!("master {name} to serve the Kubernetes API");
        let serves = |world: &World, _: &Observation| world.serves(name) && world.votes(name);
        let next = console(name);
        let reached = self.until(&what, &next, serves).await;
        reached?;
        let observation = self.observe().await?;
        let Some(machine) = masters(&observation, None).find(|machine| machine.name == name) else {
            return Ok(());
        };
        let mut labels = machine.labels.clone();
        labels.insert(INITIALISED.to_owned(), "true".to_owned());
        self.cloud(self.provider.cloud().set_machine_labels(&machine.zone, name, &labels))
            .await
    }

    async fn await_joined(&self, name: &str) -> Result<(), Diagnostics> {
        let what = format!("master {name} to join");
        let next = console(name);
        self.until(&what, &next, |world, observation| {
            let voter = world
                .member_of(name)
                .is_some_and(|(_, member)| !member.learner && member.healthy);
            let nodes = observation.nodes.as_ref();
            let node = nodes.and_then(|nodes| nodes.get(name));
            let marked = node.is_some_and(|node| node.labels.contains_key(CONTROL_PLANE_ROLE));
            // Where it is to be ready it is waited for here, unless the pod network is still to come.
            let pods = world.pod_network.is_none() || joined(world, name);
            voter && marked && pods && world.serves(name)
        })
        .await
    }

    async fn await_healthy(&self, name: &str) -> Result<(), Diagnostics> {
        let what = format!("master {name} to serve, and its etcd to be healthy");
        let next = "The machine's serial console shows how far it is. If it only needs longer, apply again. Its disk holds a \
                    copy of etcd: to replace the master, halt it and take its key out of replicas.";
        self.until(&what, next, |world, _| {
            let healthy = !world.membership_known || world.member_of(name).is_none_or(|(_, member)| member.healthy);
            healthy && world.serves(name)
        })
        .await
    }

    async fn drain(&mut self, name: &str, observation: &Observation) -> Result<(), Diagnostics> {
        let connection = self.connection(observation, Some(name))?;
        let machine = observation.world.machines.get(name);
        let options = DrainOptions {
            timeout: DrainOptions::default().timeout.min(timeouts::left(self.deadline)),
            delete_empty_dir_data: true,
            // By then the pod that holds its API server is all that nobody recreates.
            force: machine.is_some_and(|machine| machine.api == ApiServer::Stopped),
            ..DrainOptions::default()
        };
        let drained = connection.drain(name, &options, self.stop.wait()).await;
        drained.map_err(|error| match error {
            DrainError::Stopped { .. } => self.situation.stopped(),
            error => self
                .situation
                .error(&format!("{error}."), "Then run terraform apply again."),
        })?;
        self.remembered.drained.insert(name.to_owned());
        Ok(())
    }

    /// By a pod on the master, through another master's API server, until its own answers no more.
    async fn stop_api_server(&self, name: &str, observation: &Observation) -> Result<(), Diagnostics> {
        let connection = self.connection(observation, Some(name))?;
        let machine = masters(observation, None).find(|machine| machine.name == name);
        loop {
            // A pod of an earlier hold that is over would be taken for this one's.
            let failed = |error: AccessError| self.access_failed(name, &error);
            connection.delete_hold(name).await.map_err(failed)?;
            let held = connection
                .hold_api_server(name, SHELL_IMAGE, HOLD, self.deadline, self.stop.wait())
                .await;
            held.map_err(failed)?;
            let until = self.deadline.min(Instant::now() + ENDING);
            while Instant::now() < until {
                let serves = match machine {
                    Some(machine) => self.observer.asks.serves(machine).await,
                    None => false,
                };
                if !serves {
                    return self.await_unrecorded(&connection, machine).await;
                }
                tokio::select! {
                    () = tokio::time::sleep(GLANCE) => {}
                    () = self.stop.wait() => return Err(self.situation.stopped()),
                }
            }
            if Instant::now() >= self.deadline {
                return Err(self.situation.error(
                    &format!("The API server of master {name} still serves although its manifest was taken away."),
                    "See how the pod multizone-hold-NODE in kube-system is doing; without it, halt the machine instead. \
                     Then apply again.",
                ));
            }
        }
    }

    /// A server that ends gracefully takes its endpoint record with it.  One that does not is waited for later.
    async fn await_unrecorded(
        &self,
        connection: &ClusterConnection,
        machine: Option<&CloudMachine>,
    ) -> Result<(), Diagnostics> {
        let Some(address) = machine.and_then(|machine| machine.address) else {
            return Ok(());
        };
        let until = self.deadline.min(Instant::now() + RECORD);
        while Instant::now() < until {
            match connection.api_server_endpoints().await {
                Ok(recorded) if recorded.contains(&address.into()) => {}
                _ => return Ok(()),
            }
            tokio::select! {
                () = tokio::time::sleep(GLANCE) => {}
                () = self.stop.wait() => return Err(self.situation.stopped()),
            }
        }
        Ok(())
    }

    async fn start_api_server(&self, name: &str, observation: &Observation) -> Result<(), Diagnostics> {
        if let Ok(connection) = self.connection(observation, Some(name)) {
            let released = connection
                .release_api_server(name, SHELL_IMAGE, self.deadline, self.stop.wait())
                .await;
            released.map_err(|error| self.access_failed(name, &error))?;
        }
        // Where no other serves, the hold's own time ends it.
        let what = format!("the API server of master {name} to serve again");
        let next = "It is put back within an hour by itself. Apply again.";
        self.until(&what, next, |world, _| world.serves(name)).await?;
        let observation = self.observe().await?;
        let connection = self.connection(&observation, None)?;
        connection
            .delete_hold(name)
            .await
            .map_err(|error| self.access_failed(name, &error))
    }

    /// Saves a snapshot of etcd in a new file, readable by its owner alone: it holds every Secret in plain text.
    async fn back_up(&mut self, observation: &Observation) -> Result<(), Diagnostics> {
        let Some(directory) = self.several.backup.clone() else {
            return Ok(());
        };
        let connection = self.connection(observation, None)?;
        let healthy = masters(observation, None).find(|machine| {
            let member = observation.world.member_of(&machine.name);
            member.is_some_and(|(_, member)| member.healthy && !member.learner)
        });
        let Some((machine, address)) = healthy.and_then(|machine| Some((machine, machine.address?))) else {
            let what = "No healthy member of etcd is there to be backed up.";
            return Err(self.situation().error(what, "Apply again once one is."));
        };
        let endpoint = Endpoint {
            name: machine.name.clone(),
            host: address.to_string(),
            port: CLIENT_PORT,
        };
        let etcd = self.observer.etcd(&connection, [machine]);
        let time = self.provider.now().strftime("%Y%m%dT%H%M%SZ");
        let name = format!("{}-etcd-{time}.db", self.several.cluster);
        let path = std::path::Path::new(&directory).join(name);
        let unusable = |error: &dyn std::fmt::Display| {
            let what = format!("The snapshot of etcd cannot be saved as {}: {error}.", path.display());
            self.situation().error(
                &what,
                "Name a directory in etcd_backup that can be written to, then apply again.",
            )
        };
        let part = path.with_extension("part");
        tokio::fs::create_dir_all(&directory)
            .await
            .map_err(|error| unusable(&error))?;
        let mut options = tokio::fs::OpenOptions::new();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        options.mode(0o600);
        let mut file = options.open(&part).await.map_err(|error| unusable(&error))?;
        let facts = etcd
            .snapshot(&endpoint, &mut file)
            .await
            .map_err(|error| unusable(&error))?;
        file.sync_all().await.map_err(|error| unusable(&error))?;
        tokio::fs::rename(&part, &path)
            .await
            .map_err(|error| unusable(&error))?;
        tracing::info!(path = %path.display(), bytes = facts.bytes, sha256 = facts.sha256, "etcd is backed up");
        self.remembered.backed_up = true;
        Ok(())
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

    /// Looks until something is so.
    async fn until(
        &self,
        what: &str,
        next: &str,
        reached: impl Fn(&World, &Observation) -> bool,
    ) -> Result<(), Diagnostics> {
        let began = Instant::now();
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
                return Err(self
                    .situation
                    .error(&format!("It was waited in vain for {what}, for {waited}."), next));
            }
            tokio::select! {
                () = tokio::time::sleep(PAUSE) => {}
                () = self.stop.wait() => return Err(self.situation.stopped()),
            }
        }
    }

    /// A connection to a master that serves, to another one than that which is concerned where there is one.
    fn connection(&self, observation: &Observation, concerned: Option<&str>) -> Result<ClusterConnection, Diagnostics> {
        let serves = |machine: &&CloudMachine| observation.world.serves(&machine.name);
        let mut others = masters(observation, concerned).filter(serves);
        let other = others.find_map(|machine| self.observer.connect(machine));
        other.or_else(|| observation.connection.clone()).ok_or_else(|| {
            let what = "No master serves the Kubernetes API.";
            self.situation.error(
                what,
                "Apply again once one does; a halted master is started by terraform apply.",
            )
        })
    }

    fn zone(&self, observation: &Observation, name: &str) -> Result<String, Diagnostics> {
        let machine = observation.world.machines.get(name).map(|machine| machine.zone.clone());
        machine.ok_or_else(|| {
            let what = format!("Master {name} is gone since it was looked at.");
            self.situation.error(
                &what,
                "Run terraform apply again: what is left to do is found out anew.",
            )
        })
    }

    fn access_failed(&self, name: &str, error: &AccessError) -> Diagnostics {
        if let AccessError::Stopped { .. } = error {
            return self.situation.stopped();
        }
        let what = format!("Master {name} could not be worked on through the Kubernetes API: {error}.");
        self.situation.error(&what, "Apply again once the API serves.")
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

/// What to do about a machine that does not join.
fn console(name: &str) -> String {
    format!(
        "The serial console of machine {name} shows what its first boot did and where it failed. If it only needs longer, \
         apply again, with a longer timeout in timeouts if need be: it is waited for, and replaced when it has not joined \
         within {} of its creation.",
        timeouts::words(JOIN)
    )
}
