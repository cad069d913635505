//! One master comes, or one goes: never both at once.

use super::{
    gates::Gate,
    rollout::{Rollout, step},
    step::{Next, Step},
};

impl Rollout<'_> {
    /// A missing master joins, unless one more than wanted is already there and one that it replaces can leave first.
    ///
    /// A live master is replaced add-first, one at a time: etcd has at most one voter more than it is to have.  Growing
    /// from one to three passes through two, where the loss of either stops writes; nothing is done between the two
    /// joins but to put the first of them behind the balancer.
    pub(super) fn join(&self) -> Option<Next> {
        self.missing.first()?;
        let surplus = self.quorum.voters > self.desired.replicas.len();
        let can_leave = self.leaving.iter().any(|name| self.world.votes(name));
        if surplus && can_leave {
            return None;
        }
        if can_leave && self.quorum.voters > 1 && self.gates.holds(Gate::AddBeforeRemove, false) {
            return None;
        }
        match self.newcomer() {
            Ok(machine) => step(Step::Join(machine)),
            Err(blocked) => Some(Next::Blocked(blocked)),
        }
    }

    /// The next master that is not to stay goes; last of all those that cannot be reached now.
    pub(super) fn leave_one(&self) -> Option<Next> {
        let reachable = |name: &&&str| self.world.zone_is_up(&self.world.machines[**name].zone);
        match self.leaving.iter().find(reachable) {
            Some(name) => self.leave(name),
            None => self.leaving.first().and_then(|name| self.leave(name)),
        }
    }
}
