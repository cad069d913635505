//! What must be true of a node group's step in the world in which it is taken, stated apart from the engine.

use super::{Api, Desired, Observed, Power, Step};

/// Workers that take pods.
pub(crate) fn available(observed: &Observed) -> usize {
    let available = |member: &&super::Member| {
        let on = member
            .machine
            .as_ref()
            .is_some_and(|machine| machine.power == Power::On);
        on && member.node.as_ref().is_some_and(|node| node.joined && !node.leaving)
    };
    observed.members.values().filter(available).count()
}

/// Says which invariant a step would break.
pub(crate) fn broken(observed: &Observed, step: &Step, desired: &Desired) -> Option<&'static str> {
    if step.names().is_empty() {
        return Some("a step concerns nobody");
    }
    match step {
        Step::CreateMachines(names) => {
            if names.iter().any(|name| observed.members.contains_key(name)) {
                return Some("a worker's name is used twice");
            }
            if observed.api != Api::Serving {
                return Some("a worker is made that has nothing to join");
            }
            let there = observed.members.values().filter(|member| member.machine.is_some());
            (there.count() + names.len() > desired.size + desired.max_surge)
                .then_some("more workers are made than the surge allows")
        }
        Step::DeleteMachines(names) => names.iter().find_map(|name| deletes(observed, name, desired)),
        Step::Drain(names) => names
            .iter()
            .any(|name| !observed.members[name].node.as_ref().is_some_and(|node| node.leaving))
            .then_some("a worker is drained that is not cordoned"),
        Step::Cordon(names) => {
            let floor = desired.size.saturating_sub(desired.max_unavailable);
            let before = available(observed);
            let after = available(&super::effect(observed.clone(), step, desired));
            if names.iter().any(|name| observed.members[name].node.is_none()) {
                return Some("a worker without a Node is cordoned");
            }
            (after < before && after < floor).then_some("fewer workers are left than max_unavailable allows")
        }
        Step::DeleteNodes(names) => names
            .iter()
            .any(|name| observed.members[name].machine.is_some())
            .then_some("a worker's Node object is deleted before its machine"),
        _ => None,
    }
}

fn deletes(observed: &Observed, name: &str, desired: &Desired) -> Option<&'static str> {
    let member = &observed.members[name];
    let off = member
        .machine
        .as_ref()
        .is_some_and(|machine| machine.power == Power::Off);
    let left = member.node.as_ref().is_none_or(|node| node.leaving && member.drained);
    let nobody_to_ask = observed.api == Api::Gone && desired.size == 0;
    let forced = desired.force && desired.size == 0;
    (!(off || left || nobody_to_ask || forced)).then_some("a worker is deleted that was not drained")
}
