//! What can happen between steps, as a state machine for stateright.
//!
//! A state is the world, the node groups, the configuration, which of Terraform's operations are still to be called,
//! and which of them run.  Terraform calls operations in any legal order: dependencies before dependents, dependents
//! before what they depended on where both are removed, and what alone is removed at any time; several at once where
//! the situation says so.  What is blocked fails, what depends on it is not called, and the rest goes on.
//!
//! Between any two steps, and inside those that are not atomic, something can happen (`disturbance.rs`): the provider
//! crashes, machines are halted or lost, zones are lost and come back, kubeadm gives up, a handover fails, the
//! configuration changes.  Each of these but a zone's return costs one of a bounded number of disturbances, which makes
//! the model finite.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    sync::{Arc, Mutex},
};

use stateright::{Model, Property};

use super::{disturbance, goal, invariants, workers};
use crate::{
    cluster::{
        Gate, Holder, Next, Operation, Step, World, effect,
        gates::Gates,
        intent::{BalancerIntent, ControlPlane},
        next_with,
    },
    node_group,
};

/// A configuration: what the whole of Terraform's files ask for.
#[derive(Clone, Debug)]
pub(super) struct Configuration {
    pub(super) control_plane: ControlPlane,
    pub(super) zones: BTreeSet<String>,
    /// The zones of the balancer, where there is one.
    pub(super) balanced: BTreeSet<String>,
    /// Node groups; one that is not in this configuration has no size.
    pub(super) groups: Vec<node_group::Desired>,
}

/// One of Terraform's objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Object {
    Cluster,
    Balancer,
    ControlPlane,
    Group(usize),
    /// Disks in zones that are to leave.
    Disks,
}

/// Machines and Nodes of one node group.
pub(super) type Workers = BTreeMap<String, node_group::Member>;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct State {
    pub(super) world: World,
    pub(super) groups: Vec<Workers>,
    /// Which configuration is applied.
    pub(super) configuration: usize,
    /// What the apply has still to call.
    pub(super) to_call: BTreeSet<Object>,
    pub(super) running: BTreeSet<Object>,
    /// What was called in this apply, and was blocked or could not be carried out.
    failed: BTreeSet<Object>,
    /// The user has given up on draining node groups that are to go.
    pub(super) forced: bool,
    /// Something happened since the apply began, or was done since something failed: the user applies once more.
    pub(super) again: bool,
    pub(super) disturbances: u8,
    /// What the last step broke.
    pub(super) broken: Option<&'static str>,
    /// A step, and nothing else, has cut the API off.
    pub(super) cut_off: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Action {
    Call(Object),
    Step(Object, Step),
    GroupStep(Object, node_group::Step),
    /// A running operation is done.
    Return(Object),
    /// A running operation is blocked or cannot be carried out.
    Fail(Object),
    /// The user applies again.
    ApplyAgain,
    /// The user applies again with `force`, as is advised where node groups cannot be drained for want of an API, and the
    /// control plane goes too.  Where it stays it can be brought back; `force` meanwhile would leave Node objects behind
    /// that nobody could ask the API to delete.
    Force,
    Crash,
    /// The provider crashes inside a step.
    CrashInside(Step, u8),
    CrashInsideGroup(usize, node_group::Step, u8),
    /// The API does not answer at the address's new place.
    HandoverFails(Holder),
    GivesUp(String),
    Halt(String),
    Lose(String),
    HaltWorker(usize, String),
    LoseWorker(usize, String),
    LoseZone(String),
    ReturnZone(String),
    Reconfigure(usize),
}

/// What is checked.
#[derive(Debug)]
pub(super) struct Situation {
    pub(super) starts: Vec<(World, Vec<Workers>)>,
    /// The first is applied; the user may change to another underway.
    pub(super) configurations: Vec<Configuration>,
    pub(super) disturbances: u8,
    /// How many operations Terraform runs at the same time.
    pub(super) at_once: usize,
    pub(super) gates: Gates,
    pub(super) worker_gates: node_group::Gates,
    /// The configuration itself is one that cannot be reached: only safety is asked for.
    pub(super) unreachable: bool,
    /// For the check's own tests: the other invariants are not looked at.
    pub(super) only_the_address: bool,
    /// For the check's own tests: these steps have no effect.
    pub(super) futile: Option<fn(&Step) -> bool>,
    /// States from which every fair path is known to end at the goal (`fairness.rs`).
    pub(super) proven: Arc<Mutex<HashSet<u64>>>,
}

/// What a running operation does next.
pub(super) enum Due {
    Step(Step),
    GroupStep(usize, node_group::Step),
    Done,
    Fails,
}

impl Situation {
    pub(super) fn without(mut self, gate: Gate) -> Self {
        self.gates = Gates::without(gate);
        self
    }

    pub(super) fn without_worker_gate(mut self, gate: node_group::Gate) -> Self {
        self.worker_gates = node_group::Gates::without(gate);
        self
    }

    pub(super) fn configuration(&self, state: &State) -> &Configuration {
        &self.configurations[state.configuration]
    }

    /// What a node group is to be.
    pub(super) fn group(&self, state: &State, index: usize) -> node_group::Desired {
        let mut desired = self.configuration(state).groups[index].clone();
        desired.force |= state.forced;
        desired
    }

    /// What an operation is to do, as the cluster's engine sees it; for a node group or a disk, the end of its destroy.
    fn operation(&self, state: &State, object: Object) -> Operation {
        let Configuration {
            control_plane,
            zones,
            balanced,
            ..
        } = self.configuration(state);
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
            Object::Disks | Object::Group(_) => Operation::LeaveZone,
        }
    }

    /// The objects of a configuration, and those that are left of an earlier one.
    fn objects(&self, state: &State) -> BTreeSet<Object> {
        let configuration = self.configuration(state);
        let mut objects: BTreeSet<Object> = [Object::Cluster, Object::ControlPlane].into();
        if configuration.control_plane.balancer.is_some() || state.world.balancer.is_some() {
            objects.insert(Object::Balancer);
        }
        let facts = || state.world.zones.iter();
        if facts().any(|(zone, facts)| facts.disks > 0 && !configuration.zones.contains(zone)) {
            objects.insert(Object::Disks);
        }
        for (index, desired) in configuration.groups.iter().enumerate() {
            if desired.size > 0 || !state.groups[index].is_empty() {
                objects.insert(Object::Group(index));
            }
        }
        objects
    }

    /// Whether an object is to go.
    fn removed(&self, state: &State, object: Object) -> bool {
        let configuration = self.configuration(state);
        match object {
            Object::Cluster => configuration.zones.is_empty(),
            Object::Balancer => configuration.control_plane.balancer.is_none(),
            Object::ControlPlane => configuration.control_plane.replicas.is_empty(),
            Object::Group(index) => configuration.groups[index].size == 0,
            Object::Disks => true,
        }
    }

    /// Whether one object depends on another.
    fn depends(object: Object, other: Object) -> bool {
        use Object::{Balancer, Cluster, ControlPlane, Disks, Group};
        matches!(
            (object, other),
            (Balancer | ControlPlane | Group(_) | Disks, Cluster)
                | (ControlPlane | Group(_), Balancer)
                | (Group(_), ControlPlane)
        )
    }

    /// Dependencies first; of what is removed, dependents first.  What is removed while its dependency stays, or its
    /// dependent, may go at any time.
    fn may_call(&self, state: &State, object: Object) -> bool {
        let removed = self.removed(state, object);
        let unfinished = state.to_call.iter().chain(&state.running).chain(&state.failed);
        unfinished.filter(|other| **other != object).all(|other| {
            let also = self.removed(state, *other);
            match (removed, also) {
                (false, false) => !Self::depends(object, *other),
                (true, true) => !Self::depends(*other, object),
                _ => true,
            }
        })
    }

    pub(super) fn due(&self, state: &State, object: Object) -> Due {
        if let Object::Group(index) = object {
            let desired = self.group(state, index);
            let observed = workers::observed(state, index);
            match node_group::next_with(&observed, &desired, self.worker_gates) {
                node_group::Next::Step(step) if workers::out_of_reach(&state.world, &desired, &step) => {
                    return Due::Fails;
                }
                node_group::Next::Step(step) => return Due::GroupStep(index, step),
                node_group::Next::Done if desired.size > 0 => return Due::Done,
                node_group::Next::Done => {}
                node_group::Next::Blocked(_) | node_group::Next::Refused(_) => return Due::Fails,
            }
        }
        let operation = self.operation(state, object);
        match next_with(&state.world, &operation, self.gates) {
            Next::Step(step) => Due::Step(step),
            Next::Done => Due::Done,
            Next::Blocked(_) | Next::Refused(_) => Due::Fails,
        }
    }

    fn progress(&self, state: &State, actions: &mut Vec<Action>) {
        for object in &state.running {
            actions.push(match self.due(state, *object) {
                Due::Step(step) => Action::Step(*object, step),
                Due::GroupStep(_, step) => Action::GroupStep(*object, step),
                Due::Done => Action::Return(*object),
                Due::Fails => Action::Fail(*object),
            });
        }
        if state.running.len() < self.at_once {
            let legal = state.to_call.iter().filter(|object| self.may_call(state, **object));
            actions.extend(legal.map(|object| Action::Call(*object)));
        }
        if !actions.is_empty() {
            return;
        }
        let undrained = |object: &Object| matches!(object, Object::Group(_)) && self.removed(state, *object);
        if state.again || state.world.address.failed.is_some() {
            actions.push(Action::ApplyAgain);
        } else if !state.forced && self.removed(state, Object::ControlPlane) && state.failed.iter().any(undrained) {
            actions.push(Action::Force);
        }
    }

    /// Whether a path that ends here ends well, or what is wrong.
    pub(super) fn missed(&self, state: &State) -> Option<String> {
        if self.unreachable {
            return None;
        }
        let world = &state.world;
        if !state.failed.is_empty() || !state.to_call.is_empty() {
            // It may end without its goal only where too many masters were lost for good.
            let alive = |name: &String| world.machines.contains_key(name);
            let voters = || world.members.values().filter(|member| !member.learner);
            let left = voters().filter(|member| member.machine.as_ref().is_some_and(alive));
            let lost = left.count() < voters().count() / 2 + 1;
            return (!lost).then(|| format!("{:?} failed, {:?} was not called", state.failed, state.to_call));
        }
        let Configuration {
            control_plane,
            zones,
            groups,
            ..
        } = self.configuration(state);
        if control_plane.replicas.is_empty() {
            if let Some(missed) = goal::left_over(world, control_plane, zones) {
                return Some(missed.to_owned());
            }
        } else if let Some(missed) = goal::missed(world, control_plane, Some(zones)) {
            return Some(missed.to_owned());
        }
        for (desired, members) in groups.iter().zip(&state.groups) {
            if let Some(missed) = goal::missed_by_workers(members, desired) {
                return Some(missed.to_owned());
            }
        }
        let mut objects = self.objects(state).into_iter();
        let busy = objects.find(|object| !matches!(self.due(state, *object), Due::Done));
        busy.map(|object| format!("the next plan of {object:?} is not empty"))
    }
}

impl Model for Situation {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let state = |(world, groups): &(World, Vec<Workers>)| {
            let mut state = State {
                world: world.clone(),
                groups: groups.clone(),
                configuration: 0,
                to_call: BTreeSet::new(),
                running: BTreeSet::new(),
                failed: BTreeSet::new(),
                forced: false,
                again: false,
                disturbances: self.disturbances,
                broken: None,
                cut_off: false,
            };
            workers::follow(self, &mut state);
            self.apply_again(&mut state);
            state
        };
        self.starts.iter().map(state).collect()
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.broken.is_some() || state.cut_off {
            return;
        }
        self.progress(state, actions);
        disturbance::nature(state, actions);
        if state.disturbances > 0 && !actions.is_empty() {
            disturbance::possible(self, state, actions);
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        match action {
            Action::Call(object) => {
                state.to_call.remove(&object);
                state.running.insert(object);
                if object == Object::Disks {
                    let zones = &self.configuration(last).zones;
                    let leaving = state.world.zones.iter_mut().filter(|(zone, _)| !zones.contains(*zone));
                    leaving.for_each(|(_, zone)| zone.disks = 0);
                }
            }
            Action::Step(object, step) => {
                let operation = self.operation(last, object);
                if !self.only_the_address {
                    state.broken = invariants::broken(&last.world, &step, &operation)
                        .or_else(|| invariants::unsaved(&last.world, &step, &operation));
                }
                if !self.futile.is_some_and(|futile| futile(&step)) {
                    state.world = effect(state.world, &step, &operation);
                }
                if !self.only_the_address {
                    state.broken = state
                        .broken
                        .or_else(|| invariants::broken_after(&last.world, &state.world, &operation));
                }
                state.cut_off = invariants::cuts_off(&last.world, &step, &state.world);
                self.worked(&mut state);
            }
            Action::GroupStep(Object::Group(index), step) => {
                let desired = &self.group(last, index);
                let observed = workers::observed(last, index);
                if !self.only_the_address {
                    state.broken = node_group::invariants::broken(&observed, &step, desired)
                        .or_else(|| workers::broken(&last.world, desired, &step));
                }
                state.groups[index] = workers::renumbered(node_group::effect(observed, &step, desired).members);
                self.worked(&mut state);
            }
            Action::GroupStep(..) => return None,
            Action::Return(object) => {
                state.running.remove(&object);
            }
            Action::Fail(object) => {
                state.running.remove(&object);
                state.failed.insert(object);
            }
            Action::ApplyAgain => self.apply_again(&mut state),
            Action::Force => {
                state.forced = true;
                self.apply_again(&mut state);
            }
            happening => disturbance::happen(self, &mut state, happening)?,
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("every step keeps the invariants", |_: &Self, state: &State| {
                state.broken.is_none()
            }),
            Property::always(
                "the API's address leads to a master that serves whenever one serves",
                |_: &Self, state: &State| !state.cut_off,
            ),
            Property::always(
                "the goal eventually on every fair path",
                |model: &Self, state: &State| model.astray(state).is_none(),
            ),
        ]
    }
}

impl Situation {
    /// A step was carried out.
    fn worked(&self, state: &mut State) {
        state.again |= !state.failed.is_empty();
        workers::follow(self, state);
    }

    /// The user applies (again): everything is called, and nothing is remembered that only the last provider knew.
    pub(super) fn apply_again(&self, state: &mut State) {
        state.running.clear();
        state.failed.clear();
        state.again = false;
        state.world.backed_up = false;
        state.world.address.failed = None;
        workers::forget(state);
        state.to_call = self.objects(state);
    }
}
