//! What is known between two runs: the planner's world as a read or an apply has left it, and what else is to be healed.
//! Private data keep it, so that planning looks at nothing.

use multizone_cloud::Capabilities;
use multizone_planner::cluster::{Balancer, Holder, World, Zone};
use serde::{Deserialize, Serialize};

use super::{drift::Drift, wanted::Wanted};
use crate::resources::world;

/// What a look has found.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Seen {
    /// The planner's facts.
    pub(super) world: World,
    /// What they have no place for.
    #[serde(default)]
    pub(super) drift: Drift,
    /// What was read of the cluster's own settings, in short.
    #[serde(default)]
    pub(super) read: String,
}

/// Before anything exists.
pub(super) fn nothing(capabilities: &Capabilities) -> Seen {
    Seen {
        world: World::empty(world::endpoint(capabilities), &[]),
        drift: Drift::default(),
        read: String::new(),
    }
}

pub(super) fn encode(seen: &Seen) -> Vec<u8> {
    serde_json::to_vec(seen).unwrap_or_default()
}

/// What private data keep; `None` when they are none of this provider's.
pub(super) fn decode(private: &[u8]) -> Option<Seen> {
    serde_json::from_slice(private).ok()
}

/// The world in which the control plane's turn will come: Terraform applies the cluster and the balancer before it.
pub(super) fn expect_the_others(world: &mut World, wanted: &Wanted) {
    let subnet = world.cloud.zonal_subnets;
    for zone in wanted.replicas.values() {
        let zone = world.zones.entry(zone.clone()).or_insert(Zone {
            up: true,
            leaving: false,
            subnet,
            workers: 0,
            disks: 0,
        });
        zone.leaving = false;
        zone.subnet = subnet;
    }
    if wanted.balancer.is_some() {
        let balancer = world.balancer.get_or_insert_with(Balancer::default);
        balancer.zones.extend(wanted.replicas.values().cloned());
        if world.machines.is_empty() && world.address.holder == Holder::Nobody && world.has_an_address() {
            world.address.holder = Holder::Balancer;
        }
    }
}
