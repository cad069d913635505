//! The planner's world ([`multizone_planner::cluster::World`]), as far as the cloud says it: machines, address, balancer,
//! targets, zones.  The balancer's own operations need no more; the control plane adds etcd's members and the Nodes.
//!
//! What the cloud cannot say, whether a master's own API server serves and whether the API answers at its address, is
//! asked for through [`Asks`], so that tests can answer.

mod asks;
mod cloud;
mod kubernetes;
mod observer;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use multizone_cloud::{Inventory, Machine as CloudMachine, Zone as CloudZone};
use multizone_planner::cluster::{Address, Holder, World};
use tokio::time::{sleep, timeout};

pub(crate) use asks::{Api, Asks, LIFETIME};
use cloud::{balancer, holder, machines, oldest_worker, zones};
pub(crate) use cloud::{endpoint, masters, power};
pub(crate) use kubernetes::{record_endpoints, record_members};
pub(crate) use observer::{LOOK, Observer};

use super::identity::API_ADDRESS;

/// For how long the API is asked again at its address before it counts as one that does not answer there, and the pause
/// between two questions.
const PATIENCE: Duration = Duration::from_secs(6);
const PAUSE: Duration = Duration::from_millis(500);

/// The cloud's part of a world.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen<'a> {
    /// What there is of the cluster.
    pub(crate) inventory: &'a Inventory,
    /// The zones that the region has.
    pub(crate) region: &'a [CloudZone],
    /// The zones that the cluster spans; `None` when that is not known: then none is taken to be leaving.
    pub(crate) spanned: Option<&'a BTreeSet<String>>,
    /// The balancer concerned, by its name within the cluster.
    pub(crate) balancer: Option<&'a str>,
}

impl Seen<'_> {
    /// The world with everything that the cloud says.  etcd's membership is not known, no API server is taken to serve,
    /// and nothing answers: [`ask`] finds that out.
    pub(crate) fn world(&self, cloud: multizone_planner::cluster::Cloud) -> World {
        let Self {
            inventory,
            balancer: name,
            ..
        } = *self;
        let machines = machines(inventory);
        World {
            initialised: machines.values().any(|machine| !machine.joining),
            membership_known: false,
            address: Address {
                holder: holder(inventory, API_ADDRESS, name),
                answers: false,
                failed: None,
            },
            zones: zones(self),
            balancer: name.and_then(|name| inventory.balancer(name)).map(balancer),
            machines,
            oldest_worker: oldest_worker(inventory),
            ..World::empty(cloud, &[])
        }
    }
}

/// Asks each master that runs whether its own API server serves, and the API's address whether it answers.  A target that
/// the balancer finds healthy is not asked again.
pub(crate) async fn ask(world: &mut World, inventory: &Inventory, asks: &dyn Asks) {
    let served: BTreeSet<&str> = world
        .balancer
        .iter()
        .flat_map(|balancer| &balancer.targets)
        .filter(|(_, target)| **target == multizone_planner::cluster::Target::Serving)
        .map(|(name, _)| name.as_str())
        .collect();
    let answers = masters(inventory).map(|master| {
        let (known, runs) = (served.contains(master.name.as_str()), runs(world, master));
        async move { (master.name.clone(), known || (runs && asks.serves(master).await)) }
    });
    let nobody = world.address.holder == Holder::Nobody || !masters(inventory).any(|master| runs(world, master));
    let at_the_address = async { !nobody && asks.answers().await };
    let (serving, answers): (Vec<_>, _) = futures::join!(futures::future::join_all(answers), at_the_address);
    let serving: BTreeMap<String, bool> = serving.into_iter().collect();
    for (name, machine) in &mut world.machines {
        if serving.get(name) == Some(&true) {
            machine.api = multizone_planner::cluster::ApiServer::Serving;
        }
    }
    world.address.answers = answers;
}

/// The same, and the API's address again while its holder serves: behind a balancer that has not noticed yet, one request
/// in three may go to a master that was just halted, so that one without an answer says nothing about the address.
pub(crate) async fn ask_patiently(world: &mut World, inventory: &Inventory, asks: &dyn Asks) {
    ask(world, inventory, asks).await;
    if world.address.answers || !world.holder_serves(&world.address.holder) {
        return;
    }
    let again = async {
        while !asks.answers().await {
            sleep(PAUSE).await;
        }
    };
    world.address.answers = timeout(PATIENCE, again).await.is_ok();
}

fn runs(world: &World, master: &CloudMachine) -> bool {
    world
        .machines
        .get(&master.name)
        .is_some_and(|machine| world.runs(machine))
}

#[cfg(test)]
pub(crate) mod tests;
