//! Everybody is asked: the cloud, each API server directly, the API at its address, etcd's members each for itself, the
//! Nodes.  Only the cloud has to answer.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::join_all;
use jiff::Timestamp;
use multizone_cloud::{ClusterName, Inventory, Machine};
use multizone_kubernetes::{cluster_access::NodeFacts, endpoint::ControlPlaneEndpoint};
use multizone_planner::cluster::World;
use multizone_schema::Diagnostics;
use tracing::debug;

use crate::{
    configuration::Configured,
    resources::{
        identity::API_ADDRESS,
        trouble::Situation,
        world::{self, Observer, Seen},
    },
};

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
    let observer = Observer::find(provider, cluster, situation).await;
    let spanned = observer
        .as_ref()
        .ok()
        .and_then(|observer| observer.asks.spanned.as_ref());
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
    match observer {
        _ if sight.world.machines.is_empty() => sight.not_asked.push(format!("{nobody}: there is no master")),
        Ok(observer) => ask(&observer, &mut sight).await,
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

/// Asks the cluster itself.
async fn ask(observer: &Observer, sight: &mut Sight) {
    sight.asked = true;
    let running: Vec<Machine> = world::masters(&sight.inventory)
        .filter(|machine| {
            let known = sight.world.machines.get(&machine.name);
            known.is_some_and(|known| sight.world.runs(known))
        })
        .cloned()
        .collect();
    let certificates = join_all(running.iter().map(|machine| certificate(observer, machine)));
    let servers = world::ask_patiently(&mut sight.world, &sight.inventory, &observer.asks);
    let (certificates, ()) = futures::join!(certificates, servers);
    sight.certificates = certificates.into_iter().flatten().collect();
    let Some(connection) = observer.connection(&sight.world, &sight.inventory) else {
        let nobody = "etcd's members and the Nodes: none of the masters says that it is ready";
        sight.not_asked.push(nobody.to_owned());
        let misses = join_all(running.iter().map(|machine| observer.asks.misses_etcd(machine))).await;
        let without = running.iter().zip(misses).filter(|(_, misses)| *misses);
        sight.without_etcd = without.map(|(machine, _)| machine.name.clone()).collect();
        return;
    };
    let answers = Box::pin(observer.ask(&mut sight.world, &sight.inventory, &connection)).await;
    let mut missing = |what: &str, reason: String| sight.not_asked.push(format!("{what}: {reason}"));
    match answers.nodes {
        Ok(nodes) => sight.nodes = Some(nodes),
        Err(reason) => missing("the Nodes", reason),
    }
    if let Err(reason) = answers.members {
        missing("etcd's members", reason);
    }
    if let Err(reason) = answers.recorded {
        missing("the endpoints of the Service kubernetes", reason);
    }
}

async fn certificate(observer: &Observer, machine: &Machine) -> Option<(String, Timestamp)> {
    match observer.asks.certificate(machine).await {
        Ok(facts) => Some((machine.name.clone(), facts.not_after)),
        Err(error) => {
            debug!(machine = %machine.name, %error, "its certificate cannot be read");
            None
        }
    }
}
