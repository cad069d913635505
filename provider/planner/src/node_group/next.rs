//! The engine of node groups.

use std::collections::BTreeSet;

use super::{
    Api, Blocked, Desired, Next, Observed, Power, Step, Violation,
    gates::{Gate, Gates},
    group::{Group, Worker},
};

/// The next step from what is observed to what is desired.  See the module's documentation for the order.
pub fn next(observed: &Observed, desired: &Desired) -> Next {
    next_with(observed, desired, Gates::default())
}

pub(crate) fn next_with(observed: &Observed, desired: &Desired, gates: Gates) -> Next {
    match without_group(observed, desired, gates) {
        Some(next) => next,
        None => Group::new(observed, desired, gates).next(),
    }
}

/// What is answered without looking at single machines.
pub(super) fn without_group(observed: &Observed, desired: &Desired, gates: Gates) -> Option<Next> {
    if let Some(violation) = violation(observed, desired) {
        return Some(Next::Refused(violation));
    }
    let goes = desired.size == 0;
    let undrained = desired.force || observed.members.is_empty();
    match observed.api {
        Api::Serving => None,
        Api::Gone if goes => Some(without_api(observed)),
        Api::Silent if goes && gates.holds(Gate::ApiBeforeDeletion, undrained) => Some(without_api(observed)),
        Api::Gone => Some(Next::Blocked(Blocked::ControlPlaneGone)),
        Api::Silent => Some(Next::Blocked(Blocked::ApiSilent)),
    }
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

impl Group<'_> {
    /// The next step.  See the module's documentation for the order.
    pub(super) fn next(&self) -> Next {
        self.relabel()
            .or_else(|| self.forget_lost_nodes())
            .or_else(|| self.delete_the_dead())
            .or_else(|| self.start_the_halted())
            .or_else(|| self.keep_the_leaving())
            .or_else(|| self.patch())
            .or_else(|| self.create())
            .or_else(|| self.wait())
            .or_else(|| self.leave())
            .map_or(Next::Done, Next::Step)
    }

    fn relabel(&self) -> Option<Step> {
        named(self.workers().filter(|worker| worker.mislabelled)).map(Step::Relabel)
    }

    fn forget_lost_nodes(&self) -> Option<Step> {
        let early = |worker: &&Worker<'_>| worker.leaving() && self.gates.holds(Gate::MachineBeforeNode, false);
        let early = self.workers().filter(early).map(|worker| &worker.name);
        some(self.lost.iter().chain(early).map(|name| name.clone().into_owned())).map(Step::DeleteNodes)
    }

    fn delete_the_dead(&self) -> Option<Step> {
        let forced = self.desired.force && self.desired.size == 0;
        let dead = self.doomed().filter(|worker| forced || worker.serves_nothing());
        named(dead).map(Step::DeleteMachines)
    }

    fn start_the_halted(&self) -> Option<Step> {
        named(self.keepers().filter(|worker| worker.power == Power::Off)).map(Step::StartMachines)
    }

    fn keep_the_leaving(&self) -> Option<Step> {
        let away = |worker: &&Worker<'_>| worker.node.is_some_and(|node| node.leaving || node.cordoned);
        named(self.keepers().filter(away)).map(Step::Keep)
    }

    fn patch(&self) -> Option<Step> {
        let differs = |worker: &&Worker<'_>| worker.node.is_some_and(|node| !node.as_desired);
        named(self.keepers().filter(differs)).map(Step::Patch)
    }

    fn create(&self) -> Option<Step> {
        let Desired { size, max_surge, .. } = self.desired;
        let room = (size + max_surge).saturating_sub(self.count());
        let count = if self.gates.holds(Gate::RoomBeforeCreation, false) {
            self.missing()
        } else {
            self.missing().min(room)
        };
        (count > 0).then(|| Step::CreateMachines(self.free_names(count)))
    }

    fn wait(&self) -> Option<Step> {
        if self.gates.holds(Gate::JoinedBeforeOthersLeave, false) {
            return None;
        }
        named(self.keepers().filter(|worker| !worker.joined())).map(Step::WaitJoined)
    }

    fn leave(&self) -> Option<Step> {
        let holds = |gate, condition| self.gates.holds(gate, condition);
        let leaving = || {
            let cordoned = |worker: &&Worker<'_>| holds(Gate::CordonedBeforeDrained, worker.leaving());
            self.doomed().filter(cordoned)
        };
        named(leaving().filter(|worker| !holds(Gate::DrainedBeforeDeletion, worker.drained)))
            .map(Step::Drain)
            .or_else(|| named(leaving()).map(Step::DeleteMachines))
            .or_else(|| self.cordon())
    }

    fn cordon(&self) -> Option<Step> {
        let mut spare = if self.gates.holds(Gate::EnoughStayAvailable, self.missing() == 0) {
            self.count()
        } else {
            let available = self.workers().filter(|worker| worker.available()).count();
            let floor = self.desired.size.saturating_sub(self.desired.max_unavailable);
            available.saturating_sub(floor)
        };
        let mut chosen = BTreeSet::new();
        for worker in self.doomed() {
            if !worker.available() {
                chosen.insert(worker.name.clone().into_owned());
            } else if spare > 0 {
                spare -= 1;
                chosen.insert(worker.name.clone().into_owned());
            }
        }
        (!chosen.is_empty()).then_some(Step::Cordon(chosen))
    }
}

fn named<'a: 'w, 'w>(workers: impl Iterator<Item = &'w Worker<'a>>) -> Option<BTreeSet<String>> {
    some(workers.map(|worker| worker.name.clone().into_owned()))
}

fn some(names: impl Iterator<Item = String>) -> Option<BTreeSet<String>> {
    let mut names = names.peekable();
    names.peek()?;
    Some(names.collect())
}
