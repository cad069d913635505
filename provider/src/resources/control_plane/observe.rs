//! What there is: the cloud's inventory, each API server asked directly, etcd's members each by its own status, Nodes and
//! endpoint records, side by side in the planner's world.

use std::collections::{BTreeMap, BTreeSet};

use multizone_cloud::{CloudError, Inventory, Labels, Machine as CloudMachine, Role, label};
use multizone_kubernetes::{
    cluster_access::{Cluster as ClusterConnection, NodeFacts},
    labels::out_of_service,
};
use multizone_planner::{
    Version,
    cluster::{Holder, Member, Node, World},
};
use tracing::warn;

use super::{
    ControlPlane, MasterNode,
    drift::{made_from, retyped_as},
    machine::SPECIFICATION,
    nodes::is_master,
    seen::Seen,
    settings::{self, Own, Said},
    wanted::{Wanted, pod_network_fingerprint},
};
pub(super) use crate::resources::world::{LOOK, Observer};
use crate::{
    configuration::Configured,
    resources::world::{self, Seen as CloudSeen},
};

/// The label that says until when, in seconds since 1970, kubeadm may be at work on a machine.
pub(super) const JOINING_UNTIL: &str = "multizone-joining-until";
/// The label of a first master that has initialised its cluster.
pub(super) const INITIALISED: &str = "multizone-initialised";
/// The label of a master's Node that is to leave.
pub(super) const LEAVING: &str = "multizone.dev/leaving";

/// What cannot be observed, only remembered.
#[derive(Clone, Debug, Default)]
pub(super) struct Remembered {
    /// Whether the rights of node groups were installed.
    pub(super) access: bool,
    /// Which pod network was applied.
    pub(super) pod_network: Option<String>,
    /// The pod network's manifest of the last apply.
    pub(super) manifest: Option<String>,
    /// etcd's members, as they were when they could be read.
    pub(super) members: BTreeMap<u64, Member>,
    /// What the cluster said of itself.
    pub(super) own: Option<Own>,
    /// The masters that are known, by the names of their machines.
    pub(super) masters: BTreeMap<String, Known>,
    /// Whether Terraform has the control plane in its state: it came up once.
    pub(super) initialised: bool,
    /// A holder of the address that did not answer in this operation.
    pub(super) failed: Option<Holder>,
    /// Whether this operation has saved a snapshot.
    pub(super) backed_up: bool,
    /// Masters that this operation has drained.
    pub(super) drained: BTreeSet<String>,
}

/// What a master is, whatever somebody writes on the labels of its machine.
#[derive(Clone, Debug)]
pub(super) struct Known {
    /// Key of its replica.
    pub(super) replica: String,
    /// What its machine was made from, and in which version; `None` when only the labels say.
    pub(super) made: Option<(String, Version)>,
}

impl Remembered {
    /// What Terraform's state and an earlier look know.  Without such a look the control plane is an imported one, which
    /// was applied as it is configured.
    pub(super) fn of(state: &ControlPlane, seen: Option<&Seen>) -> Self {
        let known = |(name, node): (&String, &MasterNode)| {
            let known = Known {
                replica: node.replica.clone(),
                made: None,
            };
            (name.clone(), known)
        };
        let mut remembered = Self {
            initialised: true,
            access: true,
            pod_network: state.pod_network_manifest.as_deref().map(pod_network_fingerprint),
            manifest: state.pod_network_manifest.clone(),
            masters: state.nodes.iter().map(known).collect(),
            ..Self::default()
        };
        if let Some(seen) = seen {
            remembered.add(seen);
        }
        remembered
    }

    /// Adds what an earlier look has found.
    fn add(&mut self, seen: &Seen) {
        self.access = seen.world.access;
        self.pod_network.clone_from(&seen.world.pod_network);
        self.members.clone_from(&seen.world.members);
        self.own = Own::seen(seen);
        for (name, machine) in &seen.world.machines {
            let made = (made_from(&machine.specification).to_owned(), machine.version);
            let known = Known {
                replica: machine.replica.clone(),
                made: Some(made).filter(|(specification, _)| !specification.is_empty()),
            };
            self.masters.insert(name.clone(), known);
        }
    }

    /// Whether a machine is a master: by its labels, or by the name that Terraform knows.
    pub(super) fn is_master(&self, machine: &CloudMachine) -> bool {
        is_master(machine) || self.masters.contains_key(&machine.name)
    }

    /// Gives the machines of masters that are known the labels back that say so.  A machine whose labels somebody changed
    /// is not one that is gone.
    pub(super) fn recognise(&self, inventory: &mut Inventory) {
        for machine in &mut inventory.machines {
            let Some(known) = self.masters.get(&machine.name) else {
                continue;
            };
            let mut labels = BTreeMap::from([
                (label::ROLE, Role::Master.as_str().to_owned()),
                (label::REPLICA, known.replica.clone()),
            ]);
            if let Some((specification, version)) = &known.made {
                labels.insert(SPECIFICATION, specification.clone());
                labels.insert(label::VERSION, version.to_string().replace('.', "-"));
            }
            let labels = labels.into_iter().map(|(key, value)| (key.to_owned(), value));
            machine.labels.extend(labels);
        }
    }
}

/// One look.
pub(super) struct Observation {
    pub(super) world: World,
    /// What the cloud has, the masters' labels as they should be.
    pub(super) inventory: Inventory,
    /// The labels that the machines have.
    pub(super) labels: BTreeMap<String, Labels>,
    /// The masters' Nodes; `None` when no API server answers.
    pub(super) nodes: Option<BTreeMap<String, NodeFacts>>,
    /// A connection to a master's own API server, when one serves.
    pub(super) connection: Option<ClusterConnection>,
    /// What the cluster says of itself.
    said: Said,
    /// The same as it was read, in short.
    pub(super) read: String,
}

impl Observation {
    /// A master whose etcd answers and whose machine nothing shows as the cluster's.
    pub(super) fn unlabelled(&self) -> Option<&str> {
        let there = |name: &&str| !self.world.machines.contains_key(*name);
        let members = self.world.members.values().filter(|member| member.healthy);
        members.filter_map(|member| member.machine.as_deref()).find(there)
    }
}

impl Observer {
    /// The world as it is now.
    pub(super) async fn look(
        &self,
        provider: &Configured,
        inventory: Inventory,
        wanted: &Wanted,
        remembered: &Remembered,
    ) -> Result<Observation, CloudError> {
        let spanned = self.asks.spanned.as_ref();
        let mut seen = of_the_cloud(provider, inventory, wanted, remembered, spanned).await?;
        world::ask_patiently(&mut seen.world, &seen.inventory, &self.asks).await;
        let connection = self.connection(&seen.world, &seen.inventory);
        if let Some(connection) = &connection {
            self.look_inside(&mut seen, connection, wanted, remembered).await;
        }
        seen.connection = connection;
        remember(&mut seen, wanted, remembered, provider.now().as_second());
        Ok(seen)
    }

    /// What the Kubernetes API and etcd say.
    async fn look_inside(
        &self,
        seen: &mut Observation,
        connection: &ClusterConnection,
        wanted: &Wanted,
        remembered: &Remembered,
    ) {
        let (answers, said) = futures::join!(
            Box::pin(self.ask(&mut seen.world, &seen.inventory, connection)),
            Box::pin(settings::read(connection, wanted, remembered.own.as_ref())),
        );
        seen.said = said;
        let nodes = answers.nodes.map(|nodes| masters_nodes(&seen.world, nodes));
        let problems = [
            nodes.as_ref().err(),
            answers.members.as_ref().err(),
            answers.recorded.as_ref().err(),
        ];
        for problem in problems.into_iter().flatten() {
            warn!(cluster = %wanted.cluster, problem, "an API server that serves does not answer for all");
        }
        let nodes = nodes.ok();
        let pod_network = wanted.pod_network.is_some();
        for (name, node) in nodes.iter().flatten() {
            let facts = planner_node(node, pod_network, remembered.drained.contains(name));
            seen.world.nodes.insert(name.clone(), facts);
        }
        seen.nodes = nodes;
    }
}

/// What the cloud alone says, where nobody can be asked.
pub(super) async fn unasked(
    provider: &Configured,
    inventory: Inventory,
    wanted: &Wanted,
    remembered: &Remembered,
) -> Result<Observation, CloudError> {
    let mut seen = of_the_cloud(provider, inventory, wanted, remembered, None).await?;
    remember(&mut seen, wanted, remembered, provider.now().as_second());
    Ok(seen)
}

async fn of_the_cloud(
    provider: &Configured,
    mut inventory: Inventory,
    wanted: &Wanted,
    remembered: &Remembered,
    spanned: Option<&BTreeSet<String>>,
) -> Result<Observation, CloudError> {
    let found = |machine: &CloudMachine| (machine.name.clone(), machine.labels.clone());
    let labels = inventory.machines.iter().map(found).collect();
    remembered.recognise(&mut inventory);
    let region = provider.zones().await?;
    let balancer = wanted
        .balancer
        .clone()
        .or_else(|| inventory.balancers.first().map(|found| found.name.clone()));
    let seen = CloudSeen {
        inventory: &inventory,
        region: &region,
        spanned,
        balancer: balancer.as_deref(),
    };
    let world = seen.world(world::endpoint(provider.cloud().capabilities()));
    Ok(Observation {
        world,
        inventory,
        labels,
        nodes: None,
        connection: None,
        said: Said::Nothing,
        read: String::new(),
    })
}

/// Adds what is remembered, and what follows from the machines' labels.
fn remember(seen: &mut Observation, wanted: &Wanted, remembered: &Remembered, now: i64) {
    let Observation {
        world,
        inventory,
        nodes,
        said,
        read,
        ..
    } = seen;
    let names = world.machines.keys();
    let voters: BTreeSet<String> = names.filter(|name| world.votes(name)).cloned().collect();
    // kubeadm marks a Node at the very end: one that is marked has joined, whatever became of its member since.
    let marked = |name: &str| {
        let node = nodes.as_ref().and_then(|nodes| nodes.get(name));
        node.is_some_and(NodeFacts::is_masters)
    };
    let mut initialised = remembered.initialised || world.serving().next().is_some();
    for found in world::masters(inventory) {
        let Some(machine) = world.machines.get_mut(&found.name) else {
            continue;
        };
        let until = found
            .labels
            .get(JOINING_UNTIL)
            .and_then(|until| until.parse::<i64>().ok());
        let done = voters.contains(&found.name) || marked(&found.name);
        machine.joining = !done && until.is_some_and(|until| now < until);
        initialised |= found.labels.contains_key(INITIALISED) || until.is_none();
        if !found.labels.contains_key(label::VERSION) {
            machine.version = wanted.version();
        }
        let made = wanted.replica(&machine.replica, &machine.zone).specification();
        if machine.specification == made && found.machine_type != wanted.machine_type {
            machine.specification = retyped_as(&made, &found.machine_type);
        }
    }
    if !world.membership_known {
        // Who they are is foreseen to be so still; that they answer is not.
        world.members.clone_from(&remembered.members);
        for member in world.members.values_mut() {
            member.healthy = false;
        }
    }
    world.initialised = initialised;
    world.address.failed.clone_from(&remembered.failed);
    world.backed_up = remembered.backed_up;
    world.access = remembered.access;
    world.pod_network.clone_from(&remembered.pod_network);
    let said = std::mem::replace(said, Said::Nothing);
    let own = settings::told(said, wanted, remembered.own.as_ref(), remembered.initialised);
    (world.settings, world.addons) = (Some(own.settings), own.addons);
    *read = own.read;
}

/// The Nodes of masters, those that are gone too.
fn masters_nodes(world: &World, nodes: BTreeMap<String, NodeFacts>) -> BTreeMap<String, NodeFacts> {
    let of_a_master = |(name, node): &(String, NodeFacts)| world.machines.contains_key(name) || node.is_masters();
    nodes.into_iter().filter(of_a_master).collect()
}

fn planner_node(node: &NodeFacts, pod_network: bool, drained: bool) -> Node {
    let taint = out_of_service();
    Node {
        joined: node.ready || !pod_network,
        leaving: node.unschedulable && node.labels.contains_key(LEAVING),
        pods: !drained,
        volumes: node.volumes_attached,
        out_of_service: node.taints.iter().any(|found| found.key == taint.key),
    }
}
