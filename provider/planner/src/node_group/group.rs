//! A node group as its decisions see it: of each machine only what they depend on, in the order in which machines go,
//! and what a step changes about that.
//!
//! A preview decides thousands of times about the same machines, so labels and specifications are compared once.  The
//! property tests hold [`Group::apply`] to [`super::effect`].

use std::{borrow::Cow, cell::RefCell, collections::BTreeSet};

use super::{Desired, Labels, Member, Node, Observed, Power, Step, gates::Gates};

/// The group's machines, split into those that stay and those that go.
pub(super) struct Group<'a> {
    pub(super) desired: &'a Desired,
    pub(super) gates: Gates,
    /// Those with a machine, in the order in which they would go.
    workers: Vec<Worker<'a>>,
    /// Node objects without a machine.
    pub(super) lost: Vec<Cow<'a, str>>,
    /// Names for new machines, in order, and whether something has them.
    names: RefCell<Vec<(String, bool)>>,
}

#[allow(clippy::struct_excessive_bools)] // independent facts
pub(super) struct Worker<'a> {
    pub(super) name: Cow<'a, str>,
    pub(super) power: Power,
    pub(super) mislabelled: bool,
    pub(super) drained: bool,
    pub(super) node: Option<Facts>,
    created: i64,
    joinable: bool,
    /// Its machine is what the configuration asks for.
    current: bool,
    stays: bool,
}

/// What is known of a Node.
#[derive(Clone, Copy, Default)]
#[allow(clippy::struct_excessive_bools)] // independent facts
pub(super) struct Facts {
    pub(super) joined: bool,
    pub(super) leaving: bool,
    pub(super) cordoned: bool,
    /// It has the labels, taints and record that it is to have.
    pub(super) as_desired: bool,
}

impl Worker<'_> {
    pub(super) fn joined(&self) -> bool {
        self.power == Power::On && self.node.is_some_and(|node| node.joined)
    }

    pub(super) fn leaving(&self) -> bool {
        self.node.is_some_and(|node| node.leaving)
    }

    pub(super) fn available(&self) -> bool {
        self.joined() && !self.leaving()
    }

    /// There is nothing on it that could be drained.
    pub(super) fn serves_nothing(&self) -> bool {
        self.power == Power::Off || self.node.is_none()
    }

    /// It is not what is asked for, or has no Node and no token with which to get one.
    fn cannot_stay(&self) -> bool {
        !self.current || (self.node.is_none() && !self.joinable)
    }

    /// How much there is to lose with it: not joined, not ready, of an old specification and already leaving go first.
    fn worth(&self) -> (bool, bool, bool, bool) {
        (self.node.is_some(), self.joined(), self.current, !self.leaving())
    }
}

impl<'a> Group<'a> {
    pub(super) fn new(observed: &'a Observed, desired: &'a Desired, gates: Gates) -> Self {
        let mut group = Self {
            desired,
            gates,
            workers: Vec::with_capacity(observed.members.len() + desired.max_surge),
            lost: Vec::new(),
            names: RefCell::default(),
        };
        for (name, member) in &observed.members {
            let name = Cow::Borrowed(name.as_str());
            match worker(name.clone(), member, desired) {
                Some(worker) => group.workers.push(worker),
                None if member.node.is_some() => group.lost.push(name),
                None => {}
            }
        }
        group.sort();
        group
    }

    /// Which machines go first, and which stay: those last in that order.
    fn sort(&mut self) {
        // Of equals the youngest goes first.
        self.workers.sort_unstable_by(|one, other| {
            let younger = other.created.cmp(&one.created);
            let worth = one.worth().cmp(&other.worth());
            worth.then(younger).then_with(|| one.name.cmp(&other.name))
        });
        let mut room = self.desired.size;
        for worker in self.workers.iter_mut().rev() {
            worker.stays = room > 0 && !worker.cannot_stay();
            room -= usize::from(worker.stays);
        }
    }

    pub(super) fn workers(&self) -> impl Iterator<Item = &Worker<'a>> {
        self.workers.iter()
    }

    pub(super) fn keepers(&self) -> impl Iterator<Item = &Worker<'a>> {
        self.workers.iter().filter(|worker| worker.stays)
    }

    /// In the order in which they go.
    pub(super) fn doomed(&self) -> impl Iterator<Item = &Worker<'a>> {
        self.workers.iter().filter(|worker| !worker.stays)
    }

    /// How many machines exist.
    pub(super) fn count(&self) -> usize {
        self.workers.len()
    }

    /// How many workers are still to be made.
    pub(super) fn missing(&self) -> usize {
        self.desired.size.saturating_sub(self.keepers().count())
    }

    /// The first names that nothing has.
    pub(super) fn free_names(&self, count: usize) -> BTreeSet<String> {
        let mut names = self.names.borrow_mut();
        let mut chosen = BTreeSet::new();
        // Ends: every index gives a name, and there are many more names than machines.
        for index in 0.. {
            if chosen.len() >= count {
                break;
            }
            if names.len() == index {
                let name = self.desired.names.name(&self.desired.specification, index);
                let taken = self.has(&name);
                names.push((name, taken));
            }
            if let (name, false) = &names[index] {
                chosen.insert(name.clone());
            }
        }
        chosen
    }

    fn has(&self, name: &str) -> bool {
        self.workers.iter().any(|worker| worker.name == name) || self.lost.iter().any(|lost| lost == name)
    }

    fn worker(&mut self, name: &str) -> Option<&mut Worker<'a>> {
        self.workers.iter_mut().find(|worker| worker.name == name)
    }

    /// What a step does when nothing goes wrong: as [`super::effect`].
    pub(super) fn apply(&mut self, step: &Step) {
        let youngest = self.workers.iter().map(|worker| worker.created).max();
        let created = youngest.unwrap_or(0).min(i64::MAX - 1) + 1;
        for name in step.names() {
            match step {
                Step::CreateMachines(_) => self.workers.push(Worker {
                    name: Cow::Owned(name.clone()),
                    power: Power::On,
                    mislabelled: false,
                    drained: false,
                    node: None,
                    created,
                    joinable: true,
                    current: true,
                    stays: false,
                }),
                Step::DeleteNodes(_) => {
                    self.lost.retain(|lost| lost != name);
                    if let Some(worker) = self.worker(name) {
                        worker.node = None;
                    }
                }
                Step::DeleteMachines(_) => {
                    if let Some(place) = self.workers.iter().position(|worker| worker.name == *name) {
                        let worker = self.workers.remove(place);
                        self.lost.extend(worker.node.map(|_| worker.name));
                    }
                }
                step => {
                    if let Some(worker) = self.worker(name) {
                        worker.apply(step);
                    }
                }
            }
        }
        if let Step::CreateMachines(names) | Step::DeleteMachines(names) | Step::DeleteNodes(names) = step {
            let mut known = self.names.take();
            for (name, taken) in known.iter_mut().filter(|(name, _)| names.contains(name)) {
                *taken = self.has(name);
            }
            self.names.replace(known);
        }
        self.sort();
    }
}

impl Worker<'_> {
    fn apply(&mut self, step: &Step) {
        let mut node = self.node;
        match (step, &mut node) {
            (Step::Relabel(_), _) => self.mislabelled = false,
            (Step::StartMachines(_), _) => self.power = Power::On,
            (Step::Drain(_), _) => self.drained = true,
            (Step::WaitJoined(_), node) => {
                let node = node.get_or_insert_default();
                (node.joined, node.as_desired) = (true, true);
            }
            (Step::Keep(_), Some(node)) => (node.leaving, node.cordoned) = (false, false),
            (Step::Patch(_), Some(node)) => node.as_desired = true,
            (Step::Cordon(_), Some(node)) => node.leaving = true,
            _ => {}
        }
        self.node = node;
    }
}

fn worker<'a>(name: Cow<'a, str>, member: &Member, desired: &Desired) -> Option<Worker<'a>> {
    let machine = member.machine.as_ref()?;
    Some(Worker {
        name,
        power: machine.power,
        mislabelled: machine.mislabelled,
        drained: member.drained,
        node: member.node.as_ref().map(|node| Facts {
            joined: node.joined,
            leaving: node.leaving,
            cordoned: node.cordoned,
            as_desired: as_desired(node, desired),
        }),
        created: machine.created,
        joinable: machine.joinable,
        current: machine.specification == desired.specification,
        stays: false,
    })
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
