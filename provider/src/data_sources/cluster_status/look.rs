//! Everybody is asked: the cloud, each API server directly, the API at its address, etcd's members each for itself, the
//! Nodes.  Only the cloud has to answer.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use futures::future::join_all;
use jiff::Timestamp;
use multizone_cloud::{ClusterName, Inventory, Machine};
use multizone_kubernetes::{
    API_SERVER_PORT,
    cluster_access::{AccessError, Cluster as ClusterConnection, ClusterAddress, NodeFacts, serving_certificate},
    endpoint::ControlPlaneEndpoint,
    etcd::{CLIENT_PORT, Credentials, Endpoint, Etcd, PortForward},
    pki::ClientCredential,
};
use multizone_planner::cluster::{ApiServer, World};
use multizone_schema::Diagnostics;
use tokio::time::timeout;
use tracing::debug;

use crate::{
    configuration::Configured,
    resources::{
        cluster::ClusterFacts,
        identity::API_ADDRESS,
        trouble::Situation,
        world::{self, Seen},
    },
};

/// How long one question may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// A certificate for these questions outlives them.
const LIFETIME: Duration = Duration::from_mins(10);

/// What everybody said.
#[derive(Clone, Debug)]
pub(super) struct Sight {
    pub(super) inventory: Inventory,
    /// The planner's facts; etcd's membership is among them when it is known.
    pub(super) world: World,
    /// The balancer, by its name.
    pub(super) balancer: Option<String>,
    pub(super) endpoint: Option<String>,
    /// Whether API servers could be asked at all.
    pub(super) asked: bool,
    /// Where none is ready: masters whose own API server says that etcd does not answer it.
    pub(super) without_etcd: BTreeSet<String>,
    /// All Nodes, by name; `None` when no API server answered.
    pub(super) nodes: Option<BTreeMap<String, NodeFacts>>,
    /// When the certificates of the masters end, by name.
    pub(super) certificates: BTreeMap<String, Timestamp>,
    /// What could not be asked, and why.
    pub(super) not_asked: Vec<String>,
}

/// Asks; `None` when there is nothing of the cluster.
pub(super) async fn look(
    provider: &Configured,
    cluster: &ClusterName,
    situation: &Situation<'_>,
) -> Result<Option<Sight>, Diagnostics> {
    let inventory = provider.inventory(cluster).await;
    let inventory = inventory.map_err(|error| situation.cloud(&error))?;
    if inventory.is_empty() {
        return Ok(None);
    }
    let region = provider.zones().await.map_err(|error| situation.cloud(&error))?;
    let questions = Questions::prepare(provider, cluster, situation).await;
    let spanned = questions
        .as_ref()
        .ok()
        .and_then(|questions| questions.asks.spanned.as_ref());
    let balancer = inventory.balancers.first().map(|balancer| balancer.name.clone());
    let seen = Seen {
        inventory: &inventory,
        region: &region,
        spanned,
        balancer: balancer.as_deref(),
    };
    let world = seen.world(world::endpoint(provider.cloud().capabilities()));
    let address = inventory
        .address(API_ADDRESS)
        .map(|address| address.address.to_string());
    let mut sight = Sight {
        endpoint: address.map(|address| ControlPlaneEndpoint::new(address).url()),
        inventory,
        world,
        balancer,
        asked: false,
        without_etcd: BTreeSet::new(),
        nodes: None,
        certificates: BTreeMap::new(),
        not_asked: Vec::new(),
    };
    let nobody = "the Kubernetes API and etcd's members";
    match questions {
        _ if sight.world.machines.is_empty() => sight.not_asked.push(format!("{nobody}: there is no master")),
        Ok(questions) => questions.ask(&mut sight).await,
        Err(errors) => {
            let why = errors.iter().next().map(|error| first_sentence(&error.detail));
            sight.not_asked.push(format!("{nobody}: {}", why.unwrap_or_default()));
        }
    }
    Ok(Some(sight))
}

fn first_sentence(detail: &str) -> String {
    let line = detail.lines().next().unwrap_or_default();
    line.strip_suffix('.').unwrap_or(line).to_owned()
}

/// What is needed to ask the cluster itself.
struct Questions {
    asks: world::Api,
    facts: ClusterFacts,
    operator: ClientCredential,
    etcd: Credentials,
}

impl Questions {
    /// Finds the cluster's keys; nothing is asked yet.
    async fn prepare(
        provider: &Configured,
        cluster: &ClusterName,
        situation: &Situation<'_>,
    ) -> Result<Self, Diagnostics> {
        let facts = ClusterFacts::find(provider, cluster, situation).await?;
        let pki = facts.pki(provider, situation).await?;
        let failed = |error: &dyn std::fmt::Display| {
            let what = format!("a certificate cannot be made: {error}");
            situation.error(&what, "This is an error in the provider.")
        };
        let operator = pki.operator_credential(provider.now(), LIFETIME);
        let etcd = pki
            .etcd_credential(provider.now(), LIFETIME)
            .map_err(|error| failed(&error))?;
        Ok(Self {
            asks: world::Api::of(provider, cluster, situation).await?,
            operator: operator.map_err(|error| failed(&error))?,
            etcd: Credentials {
                ca_pem: pki.etcd_ca.certificate_pem.clone(),
                certificate_pem: etcd.certificate_pem,
                key_pem: etcd.key_pem,
            },
            facts,
        })
    }

    async fn ask(&self, sight: &mut Sight) {
        sight.asked = true;
        let running: Vec<Machine> = world::masters(&sight.inventory)
            .filter(|machine| {
                sight
                    .world
                    .machines
                    .get(&machine.name)
                    .is_some_and(|known| sight.world.runs(known))
            })
            .cloned()
            .collect();
        let certificates = join_all(running.iter().map(|machine| self.certificate(machine)));
        let servers = world::ask_patiently(&mut sight.world, &sight.inventory, &self.asks);
        let (certificates, ()) = futures::join!(certificates, servers);
        sight.certificates = certificates.into_iter().flatten().collect();
        let serving = running.iter().find(|machine| sight.world.serves(&machine.name));
        let connection =
            serving.and_then(|machine| ClusterConnection::connect(&self.address(machine)?, &self.operator).ok());
        if let Some(connection) = connection {
            self.ask_through(&connection, &running, sight).await;
            return;
        }
        let nobody = "etcd's members and the Nodes: none of the masters says that it is ready";
        sight.not_asked.push(nobody.to_owned());
        let misses = join_all(running.iter().map(|machine| self.asks.misses_etcd(machine))).await;
        let without = running.iter().zip(misses).filter(|(_, misses)| *misses);
        sight.without_etcd = without.map(|(machine, _)| machine.name.clone()).collect();
    }

    async fn ask_through(&self, connection: &ClusterConnection, running: &[Machine], sight: &mut Sight) {
        let endpoint = |machine: &Machine| {
            Some(Endpoint {
                name: machine.name.clone(),
                host: machine.address?.to_string(),
                port: CLIENT_PORT,
            })
        };
        let endpoints = running.iter().filter_map(endpoint).collect();
        let etcd = Etcd::new(PortForward::through(connection), self.etcd.clone(), endpoints).with_patience(PATIENCE);
        let (view, nodes, recorded, held) = futures::join!(
            Box::pin(etcd.view()),
            within(connection.nodes()),
            within(connection.api_server_endpoints()),
            within(connection.held_api_servers()),
        );
        match view {
            Ok(view) => world::record_members(&mut sight.world, &sight.inventory, &view),
            Err(error) => sight.not_asked.push(format!("etcd's members: {error}")),
        }
        match nodes {
            Ok(nodes) => sight.nodes = Some(nodes.into_iter().map(|node| (node.name.clone(), node)).collect()),
            Err(reason) => sight.not_asked.push(format!("the Nodes: {reason}")),
        }
        match recorded {
            Ok(recorded) => {
                let nodes = sight.nodes.clone().unwrap_or_default();
                world::record_endpoints(&mut sight.world, &sight.inventory, &nodes, &recorded);
            }
            Err(reason) => sight
                .not_asked
                .push(format!("the endpoints of the Service kubernetes: {reason}")),
        }
        for name in held.unwrap_or_default() {
            if let Some(machine) = sight.world.machines.get_mut(&name)
                && machine.api != ApiServer::Serving
            {
                machine.api = ApiServer::Stopped;
            }
        }
    }

    async fn certificate(&self, machine: &Machine) -> Option<(String, Timestamp)> {
        let address = self.address(machine)?;
        match timeout(PATIENCE, serving_certificate(&address)).await {
            Ok(Ok(facts)) => Some((machine.name.clone(), facts.not_after)),
            Ok(Err(error)) => {
                debug!(machine = %machine.name, %error, "its certificate cannot be read");
                None
            }
            Err(_) => None,
        }
    }

    /// A master's own API server.
    fn address(&self, machine: &Machine) -> Option<ClusterAddress> {
        let address = machine.external_address.or(machine.address)?;
        Some(ClusterAddress {
            url: format!("https://{address}:{API_SERVER_PORT}"),
            ca_certificate_pem: self.facts.settings.ca_certificate.clone(),
            server_name: Some(self.facts.endpoint.host.clone()),
        })
    }
}

/// What is answered in time, or why it is not.
async fn within<T>(question: impl Future<Output = Result<T, AccessError>>) -> Result<T, String> {
    match timeout(PATIENCE, question).await {
        Ok(answer) => answer.map_err(|error| error.to_string()),
        Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
    }
}
