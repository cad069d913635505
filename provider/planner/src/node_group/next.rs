//! The engine of node groups.

use std::collections::BTreeSet;

use super::{
    Api, Blocked, Desired, Labels, Machine, Member, Next, Node, Observed, Power, Step, Violation,
    gates::{Gate, Gates},
};

/// The next step from what is observed to what is desired.  See the module's documentation for the order.
pub fn next(observed: &Observed, desired: &Desired) -> Next {
    next_with(observed, desired, Gates::default())
}

pub(crate) fn next_with(observed: &Observed, desired: &Desired, gates: Gates) -> Next {
    if let Some(violation) = violation(observed, desired) {
        return Next::Refused(violation);
    }
    match observed.api {
        Api::Serving => {}
        Api::Gone if desired.size == 0 => return without_api(observed),
        Api::Silent
            if desired.size == 0
                && gates.holds(Gate::ApiBeforeDeletion, desired.force || observed.members.is_empty()) =>
        {
            return without_api(observed);
        }
        Api::Gone => return Next::Blocked(Blocked::ControlPlaneGone),
        Api::Silent => return Next::Blocked(Blocked::ApiSilent),
    }
    let group = Group::new(observed, desired, gates);
    group
        .relabel()
        .or_else(|| group.forget_lost_nodes())
        .or_else(|| group.delete_the_dead())
        .or_else(|| group.start_the_halted())
        .or_else(|| group.keep_the_leaving())
        .or_else(|| group.patch())
        .or_else(|| group.create())
        .or_else(|| group.wait())
        .or_else(|| group.leave())
        .map_or(Next::Done, Next::Step)
}

/// What no state of the world could make right.
fn violation(observed: &Observed, desired: &Desired) -> Option<Violation> {
    if desired.size == 0 {
        return None;
    }
    if desired.max_surge == 0 && desired.max_unavailable == 0 {
        return Some(Violation::NoRoomToReplace);
    }
    let api = observed.api_version?;
    (!desired.version.kubelet_may_talk_to(api)).then_some(Violation::VersionSkew {
        kubelet: desired.version,
        api,
    })
}

/// Teardown when nobody is left to evict pods: the machines go as they are, and their Node objects went with the API.
fn without_api(observed: &Observed) -> Next {
    let machines: BTreeSet<String> = observed
        .members
        .iter()
        .filter(|(_, member)| member.machine.is_some())
        .map(|(name, _)| name.clone())
        .collect();
    if machines.is_empty() {
        Next::Done
    } else {
        Next::Step(Step::DeleteMachines(machines))
    }
}

/// The group's machines, split into those that stay and those that go.
struct Group<'a> {
    observed: &'a Observed,
    desired: &'a Desired,
    gates: Gates,
    keepers: Vec<Worker<'a>>,
    /// In the order in which they go.
    doomed: Vec<Worker<'a>>,
}

#[derive(Clone, Copy)]
struct Worker<'a> {
    name: &'a str,
    machine: &'a Machine,
    node: Option<&'a Node>,
    drained: bool,
    /// Its machine is what the configuration asks for.
    current: bool,
    /// How much there is to lose with it; see [`Group::new`].
    worth: u8,
}

impl Worker<'_> {
    fn joined(&self) -> bool {
        self.machine.power == Power::On && self.node.is_some_and(|node| node.joined)
    }

    fn leaving(&self) -> bool {
        self.node.is_some_and(|node| node.leaving)
    }

    fn cordoned(&self) -> bool {
        self.node.is_some_and(|node| node.cordoned)
    }

    fn available(&self) -> bool {
        self.joined() && !self.leaving()
    }

    /// It has no Node, and no token with which to get one.
    fn can_never_join(&self) -> bool {
        self.node.is_none() && !self.machine.joinable
    }

    /// There is nothing on it that could be drained.
    fn serves_nothing(&self) -> bool {
        self.machine.power == Power::Off || self.node.is_none()
    }
}

impl<'a> Group<'a> {
    fn new(observed: &'a Observed, desired: &'a Desired, gates: Gates) -> Self {
        let mut workers: Vec<Worker<'a>> = observed
            .members
            .iter()
            .filter_map(|member| worker(member, desired))
            .collect();
        // Which machines go first: not joined, not ready, of an old specification, already leaving, then the youngest.
        workers.sort_unstable_by(|one, other| {
            let younger = other.machine.created.cmp(&one.machine.created);
            one.worth
                .cmp(&other.worth)
                .then(younger)
                .then_with(|| one.name.cmp(other.name))
        });
        let mut keepers = Vec::with_capacity(desired.size.min(workers.len()));
        let mut doomed = Vec::new();
        for worker in workers.into_iter().rev() {
            if keepers.len() < desired.size && worker.current && !worker.can_never_join() {
                keepers.push(worker);
            } else {
                doomed.push(worker);
            }
        }
        doomed.reverse();
        Self {
            observed,
            desired,
            gates,
            keepers,
            doomed,
        }
    }

    fn relabel(&self) -> Option<Step> {
        let all = self.keepers.iter().chain(&self.doomed);
        named(all.filter(|worker| worker.machine.mislabelled)).map(Step::Relabel)
    }

    fn forget_lost_nodes(&self) -> Option<Step> {
        let lost = self
            .observed
            .members
            .iter()
            .filter(|(_, Member { machine, node, .. })| {
                node.as_ref().is_some_and(|node| {
                    machine.is_none() || node.leaving && self.gates.holds(Gate::MachineBeforeNode, false)
                })
            });
        some(lost.map(|(name, _)| name.clone())).map(Step::DeleteNodes)
    }

    fn delete_the_dead(&self) -> Option<Step> {
        let forced = self.desired.force && self.desired.size == 0;
        let dead = self.doomed.iter().filter(|worker| forced || worker.serves_nothing());
        named(dead).map(Step::DeleteMachines)
    }

    fn start_the_halted(&self) -> Option<Step> {
        named(self.keepers.iter().filter(|worker| worker.machine.power == Power::Off)).map(Step::StartMachines)
    }

    fn keep_the_leaving(&self) -> Option<Step> {
        named(
            self.keepers
                .iter()
                .filter(|worker| worker.leaving() || worker.cordoned()),
        )
        .map(Step::Keep)
    }

    fn patch(&self) -> Option<Step> {
        let differs = |worker: &&Worker<'_>| worker.node.is_some_and(|node| !as_desired(node, self.desired));
        named(self.keepers.iter().filter(differs)).map(Step::Patch)
    }

    fn create(&self) -> Option<Step> {
        let Desired {
            names,
            size,
            max_surge,
            specification,
            ..
        } = self.desired;
        let exist = self.keepers.len() + self.doomed.len();
        let room = (size + max_surge).saturating_sub(exist);
        let count = if self.gates.holds(Gate::RoomBeforeCreation, false) {
            self.missing()
        } else {
            self.missing().min(room)
        };
        if count == 0 {
            return None;
        }
        // Ends: every index gives a name, and there are many more names than machines.
        let free = names
            .all(specification)
            .filter(|name| !self.observed.members.contains_key(name));
        some(distinct(free, count)).map(Step::CreateMachines)
    }

    fn wait(&self) -> Option<Step> {
        if self.gates.holds(Gate::JoinedBeforeOthersLeave, false) {
            return None;
        }
        named(self.keepers.iter().filter(|worker| !worker.joined())).map(Step::WaitJoined)
    }

    fn leave(&self) -> Option<Step> {
        let holds = |gate, condition| self.gates.holds(gate, condition);
        let leaving = || {
            let cordoned = |worker: &&Worker<'_>| holds(Gate::CordonedBeforeDrained, worker.leaving());
            self.doomed.iter().filter(cordoned)
        };
        named(leaving().filter(|worker| !holds(Gate::DrainedBeforeDeletion, worker.drained)))
            .map(Step::Drain)
            .or_else(|| named(leaving()).map(Step::DeleteMachines))
            .or_else(|| self.cordon())
    }

    fn cordon(&self) -> Option<Step> {
        let mut spare = if self.gates.holds(Gate::EnoughStayAvailable, self.missing() == 0) {
            self.doomed.len()
        } else {
            let available = self
                .keepers
                .iter()
                .chain(&self.doomed)
                .filter(|worker| worker.available())
                .count();
            let floor = self.desired.size.saturating_sub(self.desired.max_unavailable);
            available.saturating_sub(floor)
        };
        let mut chosen = BTreeSet::new();
        for worker in &self.doomed {
            if !worker.available() {
                chosen.insert(worker.name.to_owned());
            } else if spare > 0 {
                spare -= 1;
                chosen.insert(worker.name.to_owned());
            }
        }
        some(chosen).map(Step::Cordon)
    }

    fn missing(&self) -> usize {
        self.desired.size.saturating_sub(self.keepers.len())
    }
}

fn worker<'a>((name, member): (&'a String, &'a Member), desired: &Desired) -> Option<Worker<'a>> {
    let machine = member.machine.as_ref()?;
    let node = member.node.as_ref();
    let current = machine.specification == desired.specification;
    let joined = machine.power == Power::On && node.is_some_and(|node| node.joined);
    let staying = !node.is_some_and(|node| node.leaving);
    let worth = [node.is_some(), joined, current, staying];
    Some(Worker {
        name,
        machine,
        node,
        drained: member.drained,
        current,
        worth: worth.into_iter().fold(0, |worth, fact| worth << 1 | u8::from(fact)),
    })
}

/// The first names that differ: two indices may give the same name.
fn distinct(names: impl Iterator<Item = String>, count: usize) -> BTreeSet<String> {
    let mut chosen = BTreeSet::new();
    for name in names {
        chosen.insert(name);
        if chosen.len() == count {
            break;
        }
    }
    chosen
}

/// Whether a Node has the labels and taints it is to have; those that others set do not count.
fn as_desired(node: &Node, desired: &Desired) -> bool {
    let has = |labels: &Labels, key: &String, value: &String| labels.get(key) == Some(value);
    desired.labels.iter().all(|(key, value)| has(&node.labels, key, value))
        && desired.absent_labels.iter().all(|key| !node.labels.contains_key(key))
        && desired.record == node.record
        && desired.taints.is_subset(&node.taints)
        && desired.absent_taints.is_disjoint(&node.taints)
}

fn named<'w>(workers: impl Iterator<Item = &'w Worker<'w>>) -> Option<BTreeSet<String>> {
    some(workers.map(|worker| worker.name.to_owned()))
}

fn some(names: impl IntoIterator<Item = String>) -> Option<BTreeSet<String>> {
    let names: BTreeSet<String> = names.into_iter().collect();
    (!names.is_empty()).then_some(names)
}
