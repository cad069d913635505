//! One master leaves, in the order of domain-rules.md ("Removing a control-plane replica, in order"):
//!
//! preflight (quorum; another master serves) -> etcd snapshot -> cordon -> the address moves away -> off the balancer,
//! until the target is gone -> drain -> volumes detached -> leadership moves away -> API server stopped -> member
//! removed -> machine stopped -> machine deleted -> Node object, endpoint record and disk cleared away.
//!
//! The API server is stopped before the member is removed, so that its endpoint record goes with it; the kubelet stops
//! with the machine.  Each stage looks only at what is observed, so a removal that was interrupted goes on where it was.

use super::{
    facts::{ApiServer, Holder, Member, Node, Power, Target},
    gates::Gate,
    rollout::{Rollout, step},
    step::{Blocked, Next, Step},
};

impl Rollout<'_> {
    /// The next stage of a master's removal.  Kept to the order above; `None` never happens while the machine exists.
    pub(super) fn leave(&self, name: &str) -> Option<Next> {
        self.preflight(name)
            .or_else(|| self.cordon(name))
            .or_else(|| self.address_away(name))
            .or_else(|| self.deregister(name))
            .or_else(|| self.drain(name))
            .or_else(|| self.move_leader(name))
            .or_else(|| self.stop_api_server(name))
            .or_else(|| self.remove_member(name))
            .or_else(|| self.terminate(name))
    }

    /// The same in a teardown: nobody waits for pods, and nothing is cordoned.
    pub(super) fn leave_for_good(&self, name: &str) -> Option<Next> {
        self.preflight(name)
            .or_else(|| self.address_away(name))
            .or_else(|| self.deregister(name))
            .or_else(|| self.move_leader(name))
            .or_else(|| self.stop_api_server(name))
            .or_else(|| self.remove_member(name))
            .or_else(|| self.terminate(name))
    }

    fn preflight(&self, name: &str) -> Option<Next> {
        let another = self.world.serving().any(|other| other != name);
        if !self.gates.holds(Gate::AnotherMasterServes, another) {
            let runs = |keeper: &&&str| self.world.runs(&self.world.machines[**keeper]);
            return match self.keepers.values().find(runs) {
                Some(keeper) => step(Step::AwaitHealthy((*keeper).to_owned())),
                None => Some(Next::Blocked(Blocked::NobodyElseServes(name.to_owned()))),
            };
        }
        let (_, member) = self.world.member_of(name)?;
        self.quorum_gate(name, member)
    }

    /// Blocks a removal that etcd would not survive.
    pub(super) fn quorum_gate(&self, name: &str, member: &Member) -> Option<Next> {
        let may = self.quorum.may_remove(member);
        let after = self.quorum.without(member);
        (!self.gates.holds(Gate::QuorumBeforeAndAfter, may)).then(|| {
            Next::Blocked(Blocked::WouldLoseQuorum {
                machine: name.to_owned(),
                healthy: after.healthy,
                voters: after.voters,
            })
        })
    }

    fn node(&self, name: &str) -> Option<&Node> {
        self.world.nodes.get(name)
    }

    fn runs(&self, name: &str) -> bool {
        self.world.runs(&self.world.machines[name])
    }

    fn cordon(&self, name: &str) -> Option<Next> {
        let cordoned = self.node(name)?.leaving;
        (!self.gates.holds(Gate::CordonedBeforeDrained, cordoned)).then(|| Next::Step(Step::Cordon(name.to_owned())))
    }

    fn address_away(&self, name: &str) -> Option<Next> {
        if !self.holds_the_address(name) || self.gates.holds(Gate::AddressBeforeLeaving, false) {
            return None;
        }
        let from = Holder::Machine(name.to_owned());
        let to = self.candidates(&from).next();
        match to {
            Some(to) => step(Step::HandOver(from, to)),
            None => Some(Next::Blocked(match &self.world.address.failed {
                Some(failed) => Blocked::HandoverFailed(failed.clone()),
                None => Blocked::NobodyElseServes(name.to_owned()),
            })),
        }
    }

    /// Only while others serve: deregistering the only one would lock the drain out.  Where no master that stays can
    /// stand behind the balancer, one takes the address from it first.
    fn deregister(&self, name: &str) -> Option<Next> {
        let target = self.world.target(name)?;
        if self.gates.holds(Gate::OffBalancerBeforeLeaving, false) {
            return None;
        }
        let balancer = self.world.balancer.as_ref()?;
        let another = target != Target::Serving
            || !self.balancer_is_in_use()
            || balancer
                .targets
                .iter()
                .any(|(other, target)| other != name && *target == Target::Serving);
        if self.gates.holds(Gate::AnotherTargetServes, another) {
            return step(Step::Deregister(name.to_owned()));
        }
        let able = |keeper: &Holder| {
            self.world.has_an_address()
                && self.world.holder_serves(keeper)
                && self.world.address.failed.as_ref() != Some(keeper)
        };
        let mut staying = self
            .keepers
            .values()
            .map(|keeper| Holder::Machine((*keeper).to_owned()));
        match staying.find(able) {
            Some(keeper) => step(Step::HandOver(Holder::Balancer, keeper)),
            None => Some(Next::Blocked(Blocked::NobodyElseServes(name.to_owned()))),
        }
    }

    fn drain(&self, name: &str) -> Option<Next> {
        let node = self.node(name)?;
        let name = name.to_owned();
        if self.runs(&name) {
            if node.joined && !self.gates.holds(Gate::DrainedBeforeLeaving, !node.pods) {
                return step(Step::Drain(name));
            }
            let detached = !node.volumes || !node.joined;
            let held = !self.gates.holds(Gate::DetachedBeforeLeaving, detached);
            return held.then_some(Next::Step(Step::AwaitDetached(name)));
        }
        // Nobody evicts pods from a machine that is off.  Whether one in a zone that is out is off, nobody knows.
        let off =
            self.world.machines[&name].power == Power::Off && self.world.zone_is_up(&self.world.machines[&name].zone);
        let held = (node.pods || node.volumes) && !node.out_of_service;
        (off && held).then_some(Next::Step(Step::MarkOutOfService(name)))
    }

    fn move_leader(&self, name: &str) -> Option<Next> {
        if self.gates.holds(Gate::LeaderMovedBeforeRemoval, !self.leads(name)) {
            return None;
        }
        let healthy = |other: &&str| {
            let member = self.world.member_of(other);
            *other != name && member.is_some_and(|(_, member)| !member.learner && member.healthy)
        };
        let stays = self.keepers.values().copied().find(healthy);
        let to = stays.or_else(|| self.leaving.iter().copied().find(healthy))?;
        step(Step::MoveLeader(name.to_owned(), to.to_owned()))
    }

    fn stop_api_server(&self, name: &str) -> Option<Next> {
        let stopped = self.world.machines[name].api != ApiServer::Serving || !self.runs(name);
        (!self.gates.holds(
            Gate::ApiStoppedBeforeRemoval,
            stopped || self.world.member_of(name).is_none(),
        ))
        .then(|| Next::Step(Step::StopApiServer(name.to_owned())))
    }

    fn remove_member(&self, name: &str) -> Option<Next> {
        let (id, _) = self.world.member_of(name)?;
        (!self.gates.holds(Gate::OutOfEtcdBeforeTermination, false))
            .then(|| Next::Step(Step::RemoveMember(id, Some(name.to_owned()))))
    }

    pub(super) fn terminate(&self, name: &str) -> Option<Next> {
        let machine = &self.world.machines[name];
        if !self.world.zone_is_up(&machine.zone) {
            return Some(self.zone_out(name));
        }
        let name = name.to_owned();
        step(if machine.power == Power::On {
            Step::StopMachine(name)
        } else {
            Step::DeleteMachine(name)
        })
    }
}
