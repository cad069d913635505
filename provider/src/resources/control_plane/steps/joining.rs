//! Masters come: the first initialises the cluster, further ones join it.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use multizone_cloud::{CloudError, Machine as CloudMachine};
use multizone_kubernetes::{bootstrap_token::BootstrapToken, cluster_access::NodeFacts};
use multizone_planner::cluster::{Holder, NewMachine, Power, World};
use multizone_schema::Diagnostics;
use tokio::time::timeout;
use tracing::warn;

use super::{
    super::{
        executor::Executor,
        observe::{INITIALISED, JOINING_UNTIL, Known, Observation},
    },
    joined,
};
use crate::resources::{timeouts, world};

/// How long kubeadm may be at work on a machine, and how long its bootstrap token lives: what it waits for by itself.
const JOIN: Duration = Duration::from_mins(15);
/// How long the cloud may take to note that a join is not waited for any more.
const GIVING_UP: Duration = Duration::from_secs(20);

impl Executor<'_> {
    /// The first master: it initialises the cluster.
    pub(super) async fn init(&mut self, new: &NewMachine, observation: &Observation) -> Result<(), Diagnostics> {
        let holds = observation.world.has_an_address() && observation.world.address.holder == Holder::Nobody;
        self.create(new, None, holds).await?;
        self.await_init(&new.name).await
    }

    /// A further master, with a token of its own.
    pub(super) async fn join(&mut self, new: &NewMachine, observation: &Observation) -> Result<(), Diagnostics> {
        let token = BootstrapToken::generate(&mut rand::rng());
        let connection = self.connection(observation, None)?;
        let made = connection
            .create_bootstrap_token(&token, self.provider.now(), JOIN)
            .await;
        made.map_err(|error| {
            let what = format!("No bootstrap token could be made for machine {}: {error}.", new.name);
            self.situation().error(&what, error.advice())
        })?;
        self.tokens.push(token.clone());
        self.create(new, Some(&token), false).await?;
        if self.await_joined(&new.name).await? {
            return Ok(());
        }
        let observation = self.observe().await?;
        let (why, instead) = self.obstacle(&new.name, &observation).await;
        if let Some(next) = instead {
            let what = format!("Master {} did not join: {why}.", new.name);
            return Err(self.situation.error(&what, next));
        }
        let what = format!(
            "Master {} did not join within {}, after which kubeadm tries no more: {why}",
            new.name,
            timeouts::words(JOIN)
        );
        Err(self.situation.error(&format!("{what}."), &console(&new.name)))
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
        let known = Known {
            replica: new.replica.clone(),
            made: Some((new.specification.clone(), new.version)),
        };
        self.remembered.masters.insert(new.name.clone(), known);
        made
    }

    pub(super) async fn await_init(&mut self, name: &str) -> Result<(), Diagnostics> {
        let what = format!("Master {name} did not serve the Kubernetes API");
        let serves = |world: &World, _: &Observation| world.serves(name) && world.votes(name);
        let next = console(name);
        self.until(name, &what, &next, serves).await?;
        let observation = self.observe().await?;
        self.label_initialised(name, &observation).await
    }

    /// Once the first master serves, another one is never initialised.  A run that was interrupted between the two is
    /// finished by the next.
    pub(in super::super) async fn note_initialised(&self, observation: &Observation) -> Result<(), Diagnostics> {
        let known = |machine: &CloudMachine| {
            machine.labels.contains_key(INITIALISED) || !machine.labels.contains_key(JOINING_UNTIL)
        };
        if world::masters(&observation.inventory).any(known) {
            return Ok(());
        }
        let world = &observation.world;
        let first = world.serving().find(|name| world.votes(name));
        match first {
            Some(name) => self.label_initialised(name, observation).await,
            None => Ok(()),
        }
    }

    async fn label_initialised(&self, name: &str, observation: &Observation) -> Result<(), Diagnostics> {
        let Some(machine) = world::masters(&observation.inventory).find(|machine| machine.name == name) else {
            return Ok(());
        };
        let mut labels = machine.labels.clone();
        labels.insert(INITIALISED.to_owned(), "true".to_owned());
        let (cloud, cluster) = (self.provider.cloud(), &self.wanted.cluster);
        self.cloud(cloud.set_machine_labels(cluster, &machine.zone, name, &labels))
            .await
    }

    /// Waits until a master has joined; `false` when kubeadm has given up before.
    pub(super) async fn await_joined(&self, name: &str) -> Result<bool, Diagnostics> {
        let what = format!("Master {name} did not join");
        let next = console(name);
        let has_joined = |world: &World, observation: &Observation| {
            let voter = world
                .member_of(name)
                .is_some_and(|(_, member)| !member.learner && member.healthy);
            let nodes = observation.nodes.as_ref();
            let node = nodes.and_then(|nodes| nodes.get(name));
            let marked = node.is_some_and(NodeFacts::is_masters);
            // Where it is to be ready it is waited for here, unless the pod network is still to come.
            let pods = world.pod_network.is_none() || joined(world, name);
            voter && marked && pods && world.serves(name)
        };
        // One that votes is waited for as one that stays.
        let over = |world: &World| {
            let machine = world.machines.get(name);
            let at_work = machine.is_none_or(|machine| machine.joining && machine.power == Power::On);
            !at_work && world.membership_known && !world.votes(name)
        };
        let reached = AtomicBool::new(false);
        self.until(name, &what, &next, |world, observation| {
            reached.store(has_joined(world, observation), Ordering::Relaxed);
            reached.load(Ordering::Relaxed) || over(world)
        })
        .await?;
        Ok(reached.into_inner())
    }

    /// A voter's zone has gone out while kubeadm was at work on a machine: its attempt may have failed, and the next apply
    /// does not wait for it.  A machine that votes by then stays all the same, another is made anew.
    pub(in super::super) async fn give_the_join_up(&self, name: &str) {
        let give_up = async {
            self.provider.forget(&self.wanted.cluster).await;
            let inventory = self.provider.inventory(&self.wanted.cluster).await?;
            let Some(machine) = inventory.machines.iter().find(|machine| machine.name == name) else {
                return Ok(());
            };
            let mut labels = machine.labels.clone();
            labels.insert(JOINING_UNTIL.to_owned(), self.provider.now().as_second().to_string());
            let (cloud, cluster) = (self.provider.cloud(), &self.wanted.cluster);
            cloud.set_machine_labels(cluster, &machine.zone, name, &labels).await
        };
        let noted: Option<Result<(), CloudError>> = timeout(GIVING_UP, give_up).await.ok();
        if !matches!(noted, Some(Ok(()))) {
            warn!(
                machine = name,
                ?noted,
                "the machine is waited for until its bootstrap token has ended"
            );
        }
        self.provider.forget(&self.wanted.cluster).await;
    }

    pub(super) async fn await_healthy(&self, name: &str) -> Result<(), Diagnostics> {
        let what = format!("Master {name} did not serve with a healthy member of etcd");
        let next = "The machine's serial console shows how far it is. If it only needs longer, apply again. Its disk holds a \
                    copy of etcd: to replace the master while others serve, halt it and take its key out of replicas. When \
                    none serves, etcd may have lost its quorum: bring masters that are halted or cut off back first; if \
                    they are lost for good, restore etcd from a snapshot, as the guide \"Recovery\" describes. This is never \
                    done automatically.";
        self.until(name, &what, next, |world, _| {
            let healthy = !world.membership_known || world.member_of(name).is_none_or(|(_, member)| member.healthy);
            healthy && world.serves(name)
        })
        .await
    }
}

/// What to do about a machine that does not join.
pub(super) fn console(name: &str) -> String {
    format!(
        "The serial console of machine {name} shows what its first boot did and where it failed. If it only needs longer, \
         apply again, with a longer timeout in timeouts if need be: it is waited for, and replaced when it has not joined \
         within {} of its creation.",
        timeouts::words(JOIN)
    )
}
