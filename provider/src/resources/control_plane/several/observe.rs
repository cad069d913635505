//! What there is: the cloud's inventory, each API server asked directly, etcd's members each by its own status, Nodes and
//! endpoint records, side by side in the planner's world.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::Duration,
};

use multizone_cloud::{CloudError, ClusterName, Inventory, Machine as CloudMachine, label};
use multizone_kubernetes::{
    API_SERVER_PORT,
    cluster_access::{AccessError, Cluster as ClusterConnection, ClusterAddress, NodeFacts},
    etcd::{CLIENT_PORT, Credentials, Endpoint, Etcd, EtcdView, PortForward},
    labels::{CONTROL_PLANE_ROLE, out_of_service},
    pki::{ClientCredential, ClusterPki},
};
use multizone_planner::{
    Version,
    cluster::{ApiServer, Holder, Member, Node, World},
};
use multizone_schema::Diagnostics;
use tokio::time::timeout;
use tracing::{debug, warn};

use super::{super::machine::SPECIFICATION, seen::settled, wanted::Several};
use crate::{
    configuration::Configured,
    resources::{
        cluster::ClusterFacts,
        trouble::Situation,
        world::{self, Asks as _, Seen as CloudSeen},
    },
};

/// A certificate for one operation outlives the longest of them.
const LIFETIME: Duration = Duration::from_hours(2);
/// How long one question may take.
const LOOK: Duration = Duration::from_secs(5);
/// How often the API is asked at its address before it counts as one that does not answer there, and the pause between.
const QUESTIONS: usize = 6;
const PAUSE: Duration = Duration::from_millis(500);
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
    /// What each machine was made from, whatever somebody writes on its labels.
    pub(super) specifications: BTreeMap<String, String>,
    /// Whether Terraform has the control plane in its state: it came up once.
    pub(super) initialised: bool,
    /// A holder of the address that did not answer in this operation.
    pub(super) failed: Option<Holder>,
    /// Whether this operation has saved a snapshot.
    pub(super) backed_up: bool,
    /// Masters that this operation has drained.
    pub(super) drained: BTreeSet<String>,
}

/// Who looks at one cluster.
pub(super) struct Observer {
    pub(super) facts: ClusterFacts,
    pub(super) pki: ClusterPki,
    pub(super) asks: world::Api,
    operator: ClientCredential,
    etcd: Credentials,
}

/// One look.
pub(super) struct Observation {
    pub(super) world: World,
    pub(super) inventory: Inventory,
    /// The masters' Nodes; `None` when no API server answers.
    pub(super) nodes: Option<BTreeMap<String, NodeFacts>>,
    /// A connection to a master's own API server, when one serves.
    pub(super) connection: Option<ClusterConnection>,
}

impl Observer {
    /// Finds the cluster's keys; nothing is asked yet.
    pub(super) async fn find(
        provider: &Configured,
        cluster: &ClusterName,
        situation: &Situation<'_>,
    ) -> Result<Self, Diagnostics> {
        let facts = ClusterFacts::find(provider, cluster, situation).await?;
        let pki = facts.pki(provider, situation).await?;
        let failed = |error: &dyn std::fmt::Display| {
            let what = format!("A certificate for this operation cannot be made: {error}.");
            situation.error(&what, "This is an error in the provider.")
        };
        let operator = pki.operator_credential(provider.now(), LIFETIME);
        let operator = operator.map_err(|error| failed(&error))?;
        let etcd = pki.etcd_credential(provider.now(), LIFETIME);
        let etcd = etcd.map_err(|error| failed(&error))?;
        Ok(Self {
            asks: world::Api::of(provider, cluster, situation).await?,
            etcd: Credentials {
                ca_pem: pki.etcd_ca.certificate_pem.clone(),
                certificate_pem: etcd.certificate_pem,
                key_pem: etcd.key_pem,
            },
            operator,
            pki,
            facts,
        })
    }

    /// A connection to a master's own API server.
    pub(super) fn connect(&self, machine: &CloudMachine) -> Option<ClusterConnection> {
        let address = machine.external_address.or(machine.address)?;
        let address = ClusterAddress {
            url: format!("https://{address}:{API_SERVER_PORT}"),
            ca_certificate_pem: self.facts.settings.ca_certificate.clone(),
            server_name: Some(self.facts.endpoint.host.clone()),
        };
        ClusterConnection::connect(&address, &self.operator).ok()
    }

    /// etcd's members, through a connection to an API server.
    pub(super) fn etcd<'m>(
        &self,
        through: &ClusterConnection,
        masters: impl IntoIterator<Item = &'m CloudMachine>,
    ) -> Etcd<PortForward> {
        let endpoint = |machine: &CloudMachine| {
            Some(Endpoint {
                name: machine.name.clone(),
                host: machine.address?.to_string(),
                port: CLIENT_PORT,
            })
        };
        let endpoints = masters.into_iter().filter_map(endpoint).collect();
        Etcd::new(PortForward::through(through), self.etcd.clone(), endpoints).with_patience(LOOK)
    }

    /// The world as it is now.
    pub(super) async fn look(
        &self,
        provider: &Configured,
        inventory: Inventory,
        several: &Several,
        remembered: &Remembered,
    ) -> Result<Observation, CloudError> {
        let region = provider.zones().await?;
        let balancer = several
            .balancer
            .clone()
            .or_else(|| inventory.balancers.first().map(|found| found.name.clone()));
        let seen = CloudSeen {
            inventory: &inventory,
            region: &region,
            spanned: self.asks.spanned.as_ref(),
            balancer: balancer.as_deref(),
        };
        let mut world = seen.world(world::endpoint(provider.cloud().capabilities()));
        world::ask(&mut world, &inventory, &self.asks).await;
        // Behind a balancer that has not noticed yet, one request in three may go to a master that was just halted: one
        // that is not answered says nothing about the address.
        for _ in 0..QUESTIONS {
            if world.address.answers || !world.holder_serves(&world.address.holder) {
                break;
            }
            tokio::time::sleep(PAUSE).await;
            world.address.answers = self.asks.answers().await;
        }
        let machine = |name: &str| world::masters(&inventory).find(|machine| machine.name == name);
        let connection = world
            .serving()
            .filter_map(machine)
            .find_map(|machine| self.connect(machine));
        let mut nodes = None;
        if let Some(connection) = &connection {
            let masters: Vec<_> = world::masters(&inventory)
                .filter(|machine| world.machines.get(&machine.name).is_some_and(|facts| world.runs(facts)))
                .collect();
            let etcd = self.etcd(connection, masters);
            let (view, listed, endpoints, held) = futures::join!(
                Box::pin(etcd.view()),
                within(connection.nodes()),
                within(connection.api_server_endpoints()),
                within(connection.held_api_servers()),
            );
            match view {
                Ok(view) => record_members(&mut world, &inventory, &view),
                Err(error) => warn!(cluster = %several.cluster, %error, "etcd's membership cannot be read"),
            }
            if let Some(listed) = listed {
                let found = masters_nodes(&world, listed);
                record_endpoints(&mut world, &inventory, &found, &endpoints.unwrap_or_default());
                nodes = Some(found);
            }
            for name in held.unwrap_or_default() {
                if let Some(machine) = world.machines.get_mut(&name)
                    && machine.api != ApiServer::Serving
                {
                    machine.api = ApiServer::Stopped;
                }
            }
        }
        let pod_network = several.pod_network.is_some();
        for (name, node) in nodes.iter().flatten() {
            world.nodes.insert(
                name.clone(),
                planner_node(node, pod_network, remembered.drained.contains(name)),
            );
        }
        // kubeadm marks a Node at the very end: one that is marked has joined, whatever became of its member since.
        let marked = nodes
            .iter()
            .flatten()
            .filter(|(_, node)| node.labels.contains_key(CONTROL_PLANE_ROLE));
        let joined: BTreeSet<String> = marked.map(|(name, _)| name.clone()).collect();
        remember(
            &mut world,
            &inventory,
            several,
            remembered,
            &joined,
            provider.now().as_second(),
        );
        Ok(Observation {
            world,
            inventory,
            nodes,
            connection,
        })
    }
}

/// Adds what is remembered, and what follows from the machines' labels.
fn remember(
    world: &mut World,
    inventory: &Inventory,
    several: &Several,
    remembered: &Remembered,
    joined: &BTreeSet<String>,
    now: i64,
) {
    let voters: BTreeSet<String> = world
        .machines
        .keys()
        .filter(|name| world.votes(name))
        .cloned()
        .collect();
    let mut initialised = remembered.initialised || world.serving().next().is_some();
    for found in world::masters(inventory) {
        let Some(machine) = world.machines.get_mut(&found.name) else {
            continue;
        };
        let until = found
            .labels
            .get(JOINING_UNTIL)
            .and_then(|until| until.parse::<i64>().ok());
        let done = voters.contains(&found.name) || joined.contains(&found.name);
        machine.joining = !done && until.is_some_and(|until| now < until);
        initialised |= found.labels.contains_key(INITIALISED) || until.is_none();
        if let Some(specification) = remembered.specifications.get(&found.name) {
            machine.specification.clone_from(specification);
        }
        if !found.labels.contains_key(label::VERSION) || !found.labels.contains_key(SPECIFICATION) {
            debug!(machine = %found.name, "its labels were changed");
            machine.version = super::wanted::version(several.version);
        }
    }
    world.initialised = initialised;
    world.address.failed.clone_from(&remembered.failed);
    world.backed_up = remembered.backed_up;
    world.access = remembered.access;
    world.pod_network.clone_from(&remembered.pod_network);
    world.settings = Some(settled(several));
}

/// What is answered in time.
async fn within<T>(question: impl Future<Output = Result<T, AccessError>>) -> Option<T> {
    match timeout(LOOK, question).await {
        Ok(Ok(answer)) => Some(answer),
        Ok(Err(error)) => {
            warn!(%error, "an API server that serves does not answer");
            None
        }
        Err(_) => None,
    }
}

/// etcd's members: each is healthy that answers for itself.
fn record_members(world: &mut World, inventory: &Inventory, view: &EtcdView) {
    let by_peer_address = |urls: &[String]| {
        let at = |machine: &&CloudMachine| {
            machine.address.is_some_and(|address| {
                let host = format!("//{address}:");
                urls.iter().any(|url| url.contains(&host))
            })
        };
        world::masters(inventory).find(at).map(|machine| machine.name.clone())
    };
    world.membership_known = true;
    world.leader = view.leader();
    for member in &view.members {
        let status = view.status_of(member.id);
        let machine = if member.is_started() {
            Some(member.name.clone())
        } else {
            by_peer_address(&member.peer_urls)
        };
        let member_facts = Member {
            machine,
            learner: member.learner,
            started: member.is_started(),
            healthy: status.is_some(),
            version: status.map_or(Version::new(3, 6, 0), |status| parsed(&status.version)),
        };
        world.members.insert(member.id, member_facts);
    }
}

fn parsed(version: &str) -> Version {
    let mut parts = version.split('.').map(|part| part.parse().unwrap_or_default());
    let mut part = || parts.next().unwrap_or_default();
    Version::new(part(), part(), part())
}

/// The Nodes of masters, those that are gone too.
fn masters_nodes(world: &World, nodes: Vec<NodeFacts>) -> BTreeMap<String, NodeFacts> {
    let of_a_master =
        |node: &NodeFacts| world.machines.contains_key(&node.name) || node.labels.contains_key(CONTROL_PLANE_ROLE);
    nodes
        .into_iter()
        .filter(of_a_master)
        .map(|node| (node.name.clone(), node))
        .collect()
}

/// Whose API server is recorded; one whose machine and Node are gone is known by its address alone.
fn record_endpoints(
    world: &mut World,
    inventory: &Inventory,
    nodes: &BTreeMap<String, NodeFacts>,
    recorded: &BTreeSet<IpAddr>,
) {
    for address in recorded {
        let machine = world::masters(inventory).find(|machine| machine.address.map(IpAddr::V4) == Some(*address));
        let text = address.to_string();
        let node = || {
            let has = |node: &&NodeFacts| node.addresses.iter().any(|own| own.address == text);
            nodes.values().find(has).map(|node| node.name.clone())
        };
        let name = machine.map(|machine| machine.name.clone()).or_else(node);
        world.endpoints.insert(name.unwrap_or_else(|| text.clone()));
    }
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
