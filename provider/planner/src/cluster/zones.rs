//! The cluster's zones: joining, leaving, and who cleans up.
//!
//! Dropping a zone takes many operations, in whatever order Terraform calls them: node groups and disks go, the cluster
//! marks the zone as leaving, the balancer and the control plane leave it.  None waits for another.  Whichever finds the
//! zone empty at its end takes the balancer out of it and removes its subnet.

use std::collections::BTreeSet;

use super::{
    facts::World,
    gates::{Gate, Gates},
    step::{Blocked, Next, Step},
};

/// The next step of the cluster's own objects.
pub(super) fn next(world: &World, desired: &BTreeSet<String>, gates: Gates) -> Next {
    for zone in desired {
        let there = world
            .zones
            .get(zone)
            .is_some_and(|facts| !facts.leaving && facts.subnet == world.cloud.zonal_subnets);
        if !there {
            return Next::Step(Step::AddZone(zone.clone()));
        }
    }
    let staying = world
        .zones
        .iter()
        .find(|(zone, facts)| !facts.leaving && !desired.contains(*zone));
    if let Some((zone, _)) = staying {
        return Next::Step(Step::MarkLeaving(zone.clone()));
    }
    if let Some(step) = last_out(world, gates) {
        return Next::Step(step);
    }
    match world.zones.keys().next() {
        Some(zone) if desired.is_empty() => Next::Blocked(Blocked::ZoneInUse(zone.clone())),
        _ => Next::Done,
    }
}

/// What the last one to leave a zone does: the end of every operation that takes something out of a zone.
pub(super) fn last_out(world: &World, gates: Gates) -> Option<Step> {
    let leaving = || world.zones.iter().filter(|(_, facts)| facts.leaving);
    if let Some(balancer) = &world.balancer {
        let unused = |zone: &&String| {
            balancer.zones.contains(*zone)
                && balancer.zones.len() > 1
                && world.machines.values().all(|machine| machine.zone != **zone)
        };
        if let Some(zone) = leaving().map(|(zone, _)| zone).find(unused) {
            return Some(Step::Unspan(zone.clone()));
        }
    }
    leaving()
        .find(|(zone, _)| gates.holds(Gate::ZoneEmptyBeforeRemoval, world.is_empty(zone)))
        .map(|(zone, _)| Step::RemoveZone(zone.clone()))
}
