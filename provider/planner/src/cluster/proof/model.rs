//! What can happen between steps, as a state machine for stateright.
//!
//! A state is the world, the configuration, which of Terraform's operations are still to be called, and which of them
//! runs.  Terraform calls operations in any legal order: dependencies before dependents, and what was removed at any
//! time.  Between any two steps, and inside those that are not atomic, the provider can crash; machines can be halted
//! or lost, zones can be lost and come back, kubeadm can give up, a handover can fail, and the configuration can change.
//! Each of these but a zone's return costs one of a bounded number of disturbances, which makes the model finite.

use std::collections::BTreeSet;

use stateright::{Model, Property};

use super::{goal, invariants};
use crate::cluster::{
    ApiServer, Gate, Holder, Member, Next, Operation, Power, Step, Target, World, effect,
    gates::Gates,
    intent::{BalancerIntent, ControlPlane},
    next_with,
};

/// A configuration: what the whole of Terraform's files ask for.
#[derive(Clone, Debug)]
pub(super) struct Configuration {
    pub(super) control_plane: ControlPlane,
    pub(super) zones: BTreeSet<String>,
    /// The zones of the balancer, where there is one.
    pub(super) balanced: BTreeSet<String>,
}

/// One of Terraform's objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Object {
    Cluster,
    Balancer,
    ControlPlane,
    /// Node groups and disks in zones that are to leave.
    Workers,
}

const OBJECTS: [Object; 4] = [Object::Cluster, Object::Balancer, Object::ControlPlane, Object::Workers];

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct State {
    pub(super) world: World,
    /// Which configuration is applied.
    configuration: usize,
    /// What the apply has still to call.
    to_call: BTreeSet<Object>,
    running: Option<Object>,
    /// The apply stopped because an operation was blocked.
    stopped: bool,
    /// Something happened since the apply began, so the user applies once more.
    again: bool,
    disturbances: u8,
    /// What the last step broke.
    pub(super) broken: Option<&'static str>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Action {
    Call(Object),
    Step(Step),
    /// The running operation is done.
    Return,
    /// The running operation is blocked, and the apply stops.
    Stop,
    /// The user applies again.
    ApplyAgain,
    Crash,
    /// The provider crashes inside a step.
    CrashInside(Step, u8),
    /// The API does not answer at the address's new place.
    HandoverFails(Holder),
    GivesUp(String),
    Halt(String),
    Lose(String),
    LoseZone(String),
    ReturnZone(String),
    Reconfigure(usize),
}

/// What is checked.
pub(super) struct Situation {
    pub(super) start: World,
    /// The first is applied; the user may change to another underway.
    pub(super) configurations: Vec<Configuration>,
    pub(super) disturbances: u8,
    pub(super) gates: Gates,
    /// The configuration itself is one that cannot be reached: only safety is asked for.
    pub(super) unreachable: bool,
}

impl Situation {
    pub(super) fn without(mut self, gate: Gate) -> Self {
        self.gates = Gates::without(gate);
        self
    }

    fn operation(&self, state: &State, object: Object) -> Operation {
        let Configuration {
            control_plane,
            zones,
            balanced,
        } = &self.configurations[state.configuration];
        let balancer = || BalancerIntent {
            name: "api".to_owned(),
            zones: balanced.clone(),
            endpoint: None,
        };
        match object {
            Object::Cluster => Operation::Zones(zones.clone()),
            Object::Balancer if control_plane.balancer.is_some() => Operation::Balancer(balancer()),
            Object::Balancer => Operation::RemoveBalancer(balancer()),
            Object::ControlPlane => Operation::ControlPlane(control_plane.clone()),
            Object::Workers => Operation::LeaveZone,
        }
    }

    /// Dependencies first.  A balancer that is removed may go at any time.
    fn may_call(&self, state: &State, object: Object) -> bool {
        let balancer_stays = self.configurations[state.configuration]
            .control_plane
            .balancer
            .is_some();
        let waits_for = |other| state.to_call.contains(&other);
        match object {
            Object::Cluster | Object::Workers => true,
            Object::Balancer => !balancer_stays || !waits_for(Object::Cluster),
            Object::ControlPlane => !(waits_for(Object::Cluster) || balancer_stays && waits_for(Object::Balancer)),
        }
    }

    fn due(&self, state: &State) -> Option<(Operation, Next)> {
        let operation = self.operation(state, state.running?);
        let next = next_with(&state.world, &operation, self.gates);
        Some((operation, next))
    }

    fn progress(&self, state: &State, actions: &mut Vec<Action>) {
        match self.due(state) {
            Some((_, Next::Step(step))) => actions.push(Action::Step(step)),
            Some((_, Next::Done)) => actions.push(Action::Return),
            Some((_, Next::Blocked(_) | Next::Refused(_))) => actions.push(Action::Stop),
            None if state.stopped || state.to_call.is_empty() => {
                if state.again || state.world.address.failed.is_some() {
                    actions.push(Action::ApplyAgain);
                }
            }
            None => {
                let legal = state.to_call.iter().filter(|object| self.may_call(state, **object));
                actions.extend(legal.map(|object| Action::Call(*object)));
            }
        }
    }

    fn disturb(&self, state: &State, actions: &mut Vec<Action>) {
        let world = &state.world;
        if state.running.is_some() {
            actions.push(Action::Crash);
            if let Some((_, Next::Step(step))) = self.due(state) {
                let places = match &step {
                    Step::Join(_) => 4,
                    Step::HandOver(..) | Step::Register(_) | Step::Deregister(_) => 1,
                    _ => 0,
                };
                actions.extend((0..places).map(|place| Action::CrashInside(step.clone(), place)));
                if let Step::HandOver(from, to) = step
                    && from != Holder::Nobody
                {
                    actions.push(Action::HandoverFails(to));
                }
            }
        }
        for (name, machine) in &world.machines {
            if world.runs(machine) {
                actions.push(Action::Halt(name.clone()));
            }
            actions.push(Action::Lose(name.clone()));
        }
        let up = world.zones.iter().filter(|(_, zone)| zone.up);
        actions.extend(up.map(|(zone, _)| Action::LoseZone(zone.clone())));
        let others = (0..self.configurations.len()).filter(|index| *index != state.configuration);
        actions.extend(others.map(Action::Reconfigure));
    }

    /// What is no disturbance, and happens by itself.
    fn nature(state: &State, actions: &mut Vec<Action>) {
        let out = state.world.zones.iter().filter(|(_, zone)| !zone.up);
        actions.extend(out.map(|(zone, _)| Action::ReturnZone(zone.clone())));
        let at_work = state.world.machines.iter().filter(|(_, machine)| machine.joining);
        actions.extend(at_work.map(|(name, _)| Action::GivesUp(name.clone())));
    }

    /// Whether a path that ends here ends well.
    fn ends_well(&self, state: &State) -> bool {
        if self.unreachable {
            return true;
        }
        if state.stopped || state.running.is_some() || !state.to_call.is_empty() {
            // It may end without its goal only where too many masters were lost for good.
            let world = &state.world;
            let alive = |member: &&Member| {
                member
                    .machine
                    .as_ref()
                    .is_some_and(|name| world.machines.contains_key(name))
            };
            let voters = || world.members.values().filter(|member| !member.learner);
            return voters().filter(alive).count() < voters().count() / 2 + 1;
        }
        let Configuration {
            control_plane, zones, ..
        } = &self.configurations[state.configuration];
        control_plane.replicas.is_empty() || goal::missed(&state.world, control_plane, Some(zones)).is_none()
    }
}

impl Model for Situation {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State {
            world: self.start.clone(),
            configuration: 0,
            to_call: OBJECTS.into(),
            running: None,
            stopped: false,
            again: false,
            disturbances: self.disturbances,
            broken: None,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.broken.is_some() {
            return;
        }
        self.progress(state, actions);
        Self::nature(state, actions);
        if state.disturbances > 0 && !actions.is_empty() {
            self.disturb(state, actions);
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        match action {
            Action::Call(object) => {
                state.to_call.remove(&object);
                state.running = Some(object);
                if object == Object::Workers {
                    let zones = &self.configurations[state.configuration].zones;
                    let leaving = state.world.zones.iter_mut().filter(|(zone, _)| !zones.contains(*zone));
                    leaving.for_each(|(_, zone)| zone.workers = 0);
                }
            }
            Action::Step(step) => {
                let operation = self.operation(last, last.running?);
                state.broken = invariants::broken(&last.world, &step, &operation)
                    .or_else(|| invariants::unsaved(&last.world, &step, &operation));
                state.world = effect(state.world, &step, &operation);
                let teardown = matches!(&operation, Operation::ControlPlane(desired) if desired.replicas.is_empty());
                if !teardown && last.world.quorum().is_there() && !state.world.quorum().is_there() {
                    state.broken = state.broken.or(Some("a step took etcd's quorum"));
                }
            }
            Action::Return => state.running = None,
            Action::Stop => {
                state.running = None;
                state.stopped = true;
            }
            Action::ApplyAgain => apply_again(&mut state),
            Action::ReturnZone(zone) => {
                state.world.zones.get_mut(&zone)?.up = true;
                happens(&mut state);
            }
            Action::GivesUp(name) => {
                state.world.machines.get_mut(&name)?.joining = false;
                happens(&mut state);
            }
            disturbance => {
                state.disturbances -= 1;
                disturb(&mut state, disturbance)?;
            }
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("every step keeps the invariants", |_: &Self, state: &State| {
                state.broken.is_none()
            }),
            Property::always(
                "every path that ends, ends at the goal",
                |model: &Self, state: &State| {
                    let mut actions = Vec::new();
                    model.actions(state, &mut actions);
                    !actions.is_empty() || state.broken.is_some() || model.ends_well(state)
                },
            ),
        ]
    }
}

/// The user applies again: everything is called again, and nothing is remembered.
fn apply_again(state: &mut State) {
    state.to_call = OBJECTS.into();
    state.running = None;
    state.stopped = false;
    state.again = false;
    state.world.backed_up = false;
    state.world.address.failed = None;
}

/// Something changed by itself: health follows.
fn happens(state: &mut State) {
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
}

fn disturb(state: &mut State, disturbance: Action) -> Option<()> {
    match disturbance {
        Action::Crash => apply_again(state),
        Action::CrashInside(step, place) => {
            crash_inside(&mut state.world, &step, place);
            apply_again(state);
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
        Action::LoseZone(zone) => state.world.zones.get_mut(&zone)?.up = false,
        Action::Reconfigure(configuration) => {
            state.configuration = configuration;
            apply_again(state);
        }
        _ => return None,
    }
    happens(state);
    Some(())
}

/// What a step leaves behind when the provider dies inside it.
fn crash_inside(world: &mut World, step: &Step, place: u8) {
    match step {
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
        _ => {}
    }
}
