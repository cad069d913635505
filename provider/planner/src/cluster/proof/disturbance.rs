//! What happens between steps, and inside those that are not atomic.

use super::{
    model::{Action, Due, Situation, State},
    workers,
};
use crate::{
    cluster::{ApiServer, Endpoint, Holder, Member, Power, Step, Target, World},
    node_group,
};

/// What is no disturbance, and happens by itself.
pub(super) fn nature(state: &State, actions: &mut Vec<Action>) {
    let out = state.world.zones.iter().filter(|(_, zone)| !zone.up);
    actions.extend(out.map(|(zone, _)| Action::ReturnZone(zone.clone())));
    let at_work = state.world.machines.iter().filter(|(_, machine)| machine.joining);
    actions.extend(at_work.map(|(name, _)| Action::GivesUp(name.clone())));
}

/// What can happen in a state.
pub(super) fn possible(situation: &Situation, state: &State, actions: &mut Vec<Action>) {
    let world = &state.world;
    if !state.running.is_empty() {
        actions.push(Action::Crash);
    }
    for object in &state.running {
        match situation.due(state, *object) {
            Due::Step(step) => inside(world, step, actions),
            Due::GroupStep(
                group,
                step @ (node_group::Step::CreateMachines(_) | node_group::Step::DeleteMachines(_)),
            ) => {
                actions.extend((0..2).map(|place| Action::CrashInsideGroup(group, step.clone(), place)));
            }
            Due::GroupStep(..) | Due::Done | Due::Fails => {}
        }
    }
    for (name, machine) in &world.machines {
        if world.runs(machine) {
            actions.push(Action::Halt(name.clone()));
        }
        actions.push(Action::Lose(name.clone()));
    }
    for (group, members) in state.groups.iter().enumerate() {
        for (name, member) in members {
            if let Some(machine) = &member.machine {
                if machine.power == node_group::Power::On {
                    actions.push(Action::HaltWorker(group, name.clone()));
                }
                actions.push(Action::LoseWorker(group, name.clone()));
            }
        }
    }
    let up = world.zones.iter().filter(|(_, zone)| zone.up);
    actions.extend(up.map(|(zone, _)| Action::LoseZone(zone.clone())));
    let others = (0..situation.configurations.len()).filter(|index| *index != state.configuration);
    actions.extend(others.map(Action::Reconfigure));
}

/// Where the provider can die inside a step, and how a step can fail.
fn inside(world: &World, step: Step, actions: &mut Vec<Action>) {
    let places = match &step {
        Step::Join(_) => 4,
        Step::HandOver(..) => u8::from(world.cloud.endpoint == Endpoint::Address),
        Step::Init(_) | Step::Register(_) | Step::Deregister(_) | Step::AddZone(_) => 1,
        _ => 0,
    };
    actions.extend((0..places).map(|place| Action::CrashInside(step.clone(), place)));
    if let Step::HandOver(from, to) = step
        && from != Holder::Nobody
    {
        actions.push(Action::HandoverFails(to));
    }
}

/// Something happens.
pub(super) fn happen(situation: &Situation, state: &mut State, what: Action) -> Option<()> {
    match what {
        Action::ReturnZone(zone) => {
            state.world.zones.get_mut(&zone)?.up = true;
            settle(situation, state);
            return Some(());
        }
        Action::GivesUp(name) => {
            state.world.machines.get_mut(&name)?.joining = false;
            settle(situation, state);
            return Some(());
        }
        _ => state.disturbances = state.disturbances.checked_sub(1)?,
    }
    match what {
        Action::Crash => situation.apply_again(state),
        Action::CrashInside(step, place) => {
            crash_inside(&mut state.world, &step, place);
            situation.apply_again(state);
        }
        Action::CrashInsideGroup(group, step, place) => {
            let desired = situation.group(state, group);
            crash_inside_group(state, group, &desired, &step, place);
            situation.apply_again(state);
        }
        Action::HandoverFails(to) => {
            state.world.address.holder = to;
            state.world.address.answers = false;
            return Some(());
        }
        Action::Halt(name) => {
            let machine = state.world.machines.get_mut(&name)?;
            machine.power = Power::Off;
            machine.joining = false;
            if machine.api == ApiServer::Stopped {
                machine.api = ApiServer::Unready;
            }
        }
        Action::Lose(name) => state.world.delete(&name),
        Action::HaltWorker(group, name) => {
            let machine = &mut state.groups.get_mut(group)?.get_mut(&name)?.machine;
            machine.as_mut()?.power = node_group::Power::Off;
        }
        Action::LoseWorker(group, name) => state.groups.get_mut(group)?.get_mut(&name)?.machine = None,
        Action::LoseZone(zone) => state.world.zones.get_mut(&zone)?.up = false,
        Action::Reconfigure(configuration) => {
            state.configuration = configuration;
            state.forced = false;
            situation.apply_again(state);
        }
        _ => return None,
    }
    settle(situation, state);
    Some(())
}

/// Health follows.
fn settle(situation: &Situation, state: &mut State) {
    let world = &mut state.world;
    let running: Vec<String> = world
        .machines
        .iter()
        .filter(|(_, machine)| world.runs(machine))
        .map(|(name, _)| name.clone())
        .collect();
    let runs = |name: &String| running.contains(name);
    for member in world.members.values_mut() {
        member.healthy = member.started && member.machine.as_ref().is_some_and(runs);
    }
    for (name, node) in &mut world.nodes {
        node.joined = running.contains(name);
    }
    world.settle();
    state.again = true;
    workers::follow(situation, state);
}

/// What a step leaves behind when the provider dies inside it.
fn crash_inside(world: &mut World, step: &Step, place: u8) {
    match step {
        Step::Init(new) => world.create(new),
        Step::Join(new) => {
            world.create(new);
            if place > 0 {
                let id = world.members.keys().max().map_or(1, |id| id + 1);
                world.members.insert(
                    id,
                    Member {
                        machine: Some(new.name.clone()),
                        learner: place < 3,
                        started: place > 1,
                        healthy: place > 1,
                        version: crate::Version::new(3, 6, 0),
                    },
                );
            }
        }
        Step::HandOver(..) => world.address.holder = Holder::Nobody,
        Step::Register(name) => world.set_target(name, Some(Target::Unhealthy)),
        Step::Deregister(name) => world.set_target(name, Some(Target::Draining)),
        Step::AddZone(zone) => {
            if let Some(facts) = world.zones.get_mut(zone) {
                facts.leaving = false;
            } else {
                let facts = crate::cluster::Zone {
                    up: true,
                    leaving: false,
                    subnet: false,
                    workers: 0,
                    disks: 0,
                };
                world.zones.insert(zone.clone(), facts);
            }
        }
        _ => {}
    }
}

/// Of the machines of a step half are made or deleted; new ones have no Node yet, or have joined in the end.
fn crash_inside_group(
    state: &mut State,
    group: usize,
    desired: &node_group::Desired,
    step: &node_group::Step,
    place: u8,
) {
    let half: std::collections::BTreeSet<String> = step
        .names()
        .iter()
        .take(step.names().len().div_ceil(2))
        .cloned()
        .collect();
    let mut observed = workers::observed(state, group);
    match step {
        node_group::Step::CreateMachines(_) => {
            let made = node_group::Step::CreateMachines(half.clone());
            observed = node_group::effect(observed, &made, desired);
            if place > 0 {
                observed = node_group::effect(observed, &node_group::Step::WaitJoined(half), desired);
            }
        }
        node_group::Step::DeleteMachines(_) if place == 0 => {
            observed = node_group::effect(observed, &node_group::Step::DeleteMachines(half), desired);
        }
        _ => {}
    }
    state.groups[group] = workers::renumbered(observed.members);
}
