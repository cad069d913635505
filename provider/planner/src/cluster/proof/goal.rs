//! Whether a world is as a configuration asks for.

use std::collections::BTreeSet;

use crate::{
    cluster::{ControlPlane, Holder, Target, World},
    node_group::{self, Power},
};

/// Says what is not as it is to be.
pub(super) fn missed(world: &World, desired: &ControlPlane, zones: Option<&BTreeSet<String>>) -> Option<&'static str> {
    let found: Vec<_> = world
        .machines
        .values()
        .map(|machine| (&machine.replica, &machine.zone, &machine.specification))
        .collect();
    let wanted: Vec<_> = desired
        .replicas
        .iter()
        .map(|(key, replica)| (key, &replica.zone, &replica.specification))
        .collect();
    let names: BTreeSet<&String> = world.machines.keys().collect();
    let mut sorted = found;
    sorted.sort_unstable();
    if sorted != wanted {
        return Some("machines");
    }
    if !world.machines.keys().all(|name| world.serves(name)) {
        return Some("a master does not serve");
    }
    let versions = world.machines.values().map(|machine| machine.version);
    let addons = world.addons.iter().map(|addons| addons.version);
    if versions.chain(addons).any(|version| version != desired.version) {
        return Some("versions");
    }
    let members: BTreeSet<&String> = world
        .members
        .values()
        .filter_map(|member| member.machine.as_ref())
        .collect();
    let voting = world.members.values().all(|member| member.healthy && !member.learner);
    if members != names || world.members.len() != names.len() || !voting {
        return Some("members");
    }
    if world.nodes.keys().collect::<BTreeSet<_>>() != names || world.nodes.values().any(|node| node.leaving) {
        return Some("nodes");
    }
    if world.endpoints.iter().collect::<BTreeSet<_>>() != names || world.disks.keys().collect::<BTreeSet<_>>() != names
    {
        return Some("endpoints or disks");
    }
    if let (Some(_), Some(balancer)) = (&desired.balancer, &world.balancer) {
        let spanned = |name: &&&String| balancer.zones.contains(&world.machines[**name].zone);
        let wanted: BTreeSet<&String> = names.iter().filter(spanned).copied().collect();
        let targets: BTreeSet<&String> = balancer.targets.keys().collect();
        let serves = |name: &&String| balancer.targets.get(*name) == Some(&Target::Serving);
        if !wanted.iter().all(serves) || !targets.is_subset(&names) {
            return Some("targets");
        }
        if world.has_an_address() && world.address.holder != Holder::Balancer && !wanted.is_empty() {
            return Some("the address is not on the balancer");
        }
    } else if world.has_an_address() && !matches!(world.address.holder, Holder::Machine(_)) {
        return Some("the address is on no master");
    }
    if world.has_an_address() && !(world.holder_serves(&world.address.holder) && world.address.answers) {
        return Some("the address does not answer");
    }
    let zones = zones?;
    (world.zones.keys().collect::<BTreeSet<_>>() != zones.iter().collect()).then_some("zones")
}

/// Says what is left of a control plane that is to be gone, and of the zones.
pub(super) fn left_over(world: &World, desired: &ControlPlane, zones: &BTreeSet<String>) -> Option<&'static str> {
    if !(world.machines.is_empty() && world.members.is_empty() && world.nodes.is_empty()) {
        return Some("masters");
    }
    if !(world.disks.is_empty() && world.endpoints.is_empty()) {
        return Some("endpoints or disks");
    }
    if matches!(world.address.holder, Holder::Machine(_)) {
        return Some("the address is on a master that is gone");
    }
    if desired.balancer.is_none() && world.balancer.is_some() {
        return Some("the balancer");
    }
    (world.zones.keys().collect::<BTreeSet<_>>() != zones.iter().collect()).then_some("zones")
}

/// Says what of a node group is not as it is to be.
pub(super) fn missed_by_workers(
    members: &std::collections::BTreeMap<String, node_group::Member>,
    desired: &node_group::Desired,
) -> Option<&'static str> {
    if members.len() != desired.size {
        return Some("the number of workers");
    }
    let as_desired = |member: &node_group::Member| {
        let machine = member.machine.as_ref();
        let node = member.node.as_ref();
        machine.is_some_and(|machine| machine.power == Power::On && machine.specification == desired.specification)
            && node.is_some_and(|node| node.joined && !node.leaving)
    };
    (!members.values().all(as_desired)).then_some("a worker is not as it is to be")
}
