//! Node groups within the model: what they see of the cluster, and what the cluster sees of them.

use super::model::{Situation, State, Workers};
use crate::{
    cluster::World,
    node_group::{Api, Desired, Observed, Power, Step},
};

/// What a node group's operation observes.
pub(super) fn observed(state: &State, group: usize) -> Observed {
    let world = &state.world;
    let api = if super::invariants::reached(world) {
        Api::Serving
    } else if world.machines.is_empty() {
        Api::Gone
    } else {
        Api::Silent
    };
    let serving = world.serving().filter_map(|name| world.machines.get(name));
    Observed {
        api,
        api_version: serving.map(|machine| machine.version).min(),
        members: state.groups[group].clone(),
    }
}

/// Whether the cloud or the machines would have to do something in a zone that is out.
pub(super) fn out_of_reach(world: &World, desired: &Desired, step: &Step) -> bool {
    let api_alone = matches!(
        step,
        Step::Cordon(_) | Step::Keep(_) | Step::Patch(_) | Step::DeleteNodes(_)
    );
    !api_alone && !world.zone_is_up(&desired.zone)
}

/// What must hold of a node group's step beyond the group itself.
pub(super) fn broken(world: &World, desired: &Desired, step: &Step) -> Option<&'static str> {
    let zone = world.zones.get(&desired.zone);
    let stands = zone.is_some_and(|zone| !zone.leaving && zone.subnet == world.cloud.zonal_subnets);
    (matches!(step, Step::CreateMachines(_)) && !stands).then_some("a worker is made in a zone that leaves")
}

/// What follows for one from the other: the zones' count of workers; Nodes go with the last master; workers in a zone
/// that is out are not Ready.
pub(super) fn follow(situation: &Situation, state: &mut State) {
    let groups = &situation.configurations[state.configuration].groups;
    if groups.is_empty() {
        return;
    }
    for (zone, facts) in &mut state.world.zones {
        let here = groups
            .iter()
            .zip(&state.groups)
            .filter(|(group, _)| group.zone == *zone);
        let machines = |workers: &Workers| workers.values().filter(|member| member.machine.is_some()).count();
        facts.workers = here.map(|(_, workers)| machines(workers)).sum();
    }
    for (group, workers) in groups.iter().zip(&mut state.groups) {
        let up = state.world.zone_is_up(&group.zone);
        for member in workers.values_mut() {
            if state.world.machines.is_empty() {
                member.node = None;
            }
            let on = member
                .machine
                .as_ref()
                .is_some_and(|machine| machine.power == Power::On);
            if let Some(node) = &mut member.node {
                node.joined = on && up;
            }
        }
        workers.retain(|_, member| member.machine.is_some() || member.node.is_some());
    }
}

/// What only the executor knew: which nodes it drained, and which machines hold its token.
pub(super) fn forget(state: &mut State) {
    for member in state.groups.iter_mut().flat_map(Workers::values_mut) {
        member.drained = false;
        if let Some(machine) = &mut member.machine {
            machine.joinable = false;
        }
    }
}

/// Only the order in which machines were made counts, so the model counts from 0 and stays finite.
pub(super) fn renumbered(mut workers: Workers) -> Workers {
    let mut times: Vec<i64> = workers
        .values()
        .filter_map(|member| member.machine.as_ref())
        .map(|machine| machine.created)
        .collect();
    times.sort_unstable();
    times.dedup();
    for machine in workers.values_mut().filter_map(|member| member.machine.as_mut()) {
        let rank = times.binary_search(&machine.created).unwrap_or(0);
        machine.created = i64::try_from(rank).unwrap_or(0);
    }
    workers
}
