//! The whole control plane goes.
//!
//! Extra replicas go first and in order, the master to which requests to the API go (it holds the address, or the
//! balancer leads to it) last, so that a teardown that is interrupted leaves a smaller cluster that works; their workers stay until their own
//! node groups go.  Nobody waits for pods: a teardown honours no `PodDisruptionBudget`.  The last member is never removed
//! from etcd, its machine is deleted as it is; so are all where etcd has no quorum any more.

use super::{
    facts::{Holder, Power},
    gates::Gate,
    rollout::{Rollout, step},
    step::{Blocked, Next, Step},
    zones,
};

/// The next step of a teardown.
pub(super) fn next(rollout: &Rollout<'_>) -> Next {
    let world = rollout.world;
    if world.machines.is_empty() {
        return leftovers(rollout)
            .or_else(|| zones::last_out(world, rollout.gates).map(Next::Step))
            .or_else(|| rollout.disks_out_of_reach())
            .map_or(Next::Done, for_good);
    }
    in_order(rollout)
        .or_else(|| as_they_are(rollout))
        .map_or(Next::Done, for_good)
}

/// What a zone that is out keeps from going is not moved elsewhere: it is deleted when the zone is back.
fn for_good(next: Next) -> Next {
    match next {
        Next::Blocked(Blocked::ZoneOut { zone, what, .. }) => Next::Blocked(Blocked::OutOfReach { zone, what }),
        next => next,
    }
}

/// Extra replicas, while etcd lives.
fn in_order(rollout: &Rollout<'_>) -> Option<Next> {
    let world = rollout.world;
    if !rollout.quorum.is_there() || !world.membership_known || world.serving().next().is_none() {
        return None;
    }
    let repairs = rollout
        .lead_the_address()
        .or_else(|| rollout.finish_joins())
        .or_else(|| rollout.remove_learners())
        .or_else(|| rollout.remove_the_dead_for_good())
        .or_else(|| rollout.clear_away());
    let next = repairs.or_else(|| {
        let last = last(rollout)?;
        let reachable = |name: &&&str| **name != last && world.zone_is_up(&world.machines[**name].zone);
        let extra = rollout.leaving.iter().find(reachable)?;
        rollout.leave_for_good(extra)
    })?;
    // What cannot go in order goes as it is.
    (!matches!(next, Next::Blocked(_))).then_some(next)
}

/// The master that goes last: the one to which requests to the API go.
fn last<'a>(rollout: &Rollout<'a>) -> Option<&'a str> {
    let world = rollout.world;
    let holder = match &world.address.holder {
        Holder::Machine(name) if world.serves(name) => world.machines.get_key_value(name),
        _ => None,
    };
    let mut targets = world.targets_that_serve().filter(|name| world.votes(name));
    let target = rollout.balancer_is_in_use().then(|| targets.next()).flatten();
    holder
        .map(|(name, _)| name.as_str())
        .or(target)
        .or_else(|| world.serving().find(|name| world.votes(name)))
}

/// All that can be reached.
fn as_they_are(rollout: &Rollout<'_>) -> Option<Next> {
    let world = rollout.world;
    let reachable = |name: &&&str| world.zone_is_up(&world.machines[**name].zone);
    let running = |name: &&&str| world.machines[**name].power == Power::On;
    let mut able = rollout.leaving.iter().filter(reachable);
    match able.clone().find(running).or_else(|| able.next()) {
        Some(name) => rollout.terminate(name),
        None => rollout.leaving.first().map(|name| rollout.zone_out(name)),
    }
}

/// What is left when no machine is.
fn leftovers(rollout: &Rollout<'_>) -> Option<Next> {
    let world = rollout.world;
    if let Holder::Machine(_) = world.address.holder {
        return step(Step::Release(world.address.holder.clone()));
    }
    rollout.clear_away()
}

impl Rollout<'_> {
    fn remove_the_dead_for_good(&self) -> Option<Next> {
        // A target in a zone that is out stays the balancer's until the zone is back.
        let stuck = |name: &String| {
            let machine = self.world.machines.get(name);
            self.world.target(name).is_some() && machine.is_some_and(|machine| !self.world.zone_is_up(&machine.zone))
        };
        let mut dead = self.world.members.iter().filter(|(_, member)| !member.healthy);
        let (id, member) = dead.find(|(_, member)| !member.machine.as_ref().is_some_and(stuck))?;
        let name = member.machine.clone();
        if let Some(name) = &name
            && self.world.target(name).is_some()
        {
            return step(Step::Deregister(name.clone()));
        }
        let may = self.quorum.may_remove(member);
        self.gates
            .holds(Gate::QuorumBeforeAndAfter, may)
            .then_some(Next::Step(Step::RemoveMember(*id, name)))
    }
}
