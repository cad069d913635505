//! The API's address: on a replica, on the balancer, or on its way.
//!
//! The new holder serves before the old one is let go (kube-up's mistake 1), a real request through the address is the
//! proof afterwards, and a holder that does not answer loses it again at once.  Where the endpoint is a DNS name there
//! is nothing to hand over.

use super::{
    facts::{Endpoint, Holder, Target, World},
    gates::Gate,
    rollout::{Rollout, step},
    step::{Blocked, Next, Step},
};

impl World {
    /// Whether the API is reached at an address that somebody holds.
    pub fn has_an_address(&self) -> bool {
        self.cloud.endpoint != Endpoint::DnsName
    }

    /// The masters to which the balancer leads.
    pub(super) fn targets_that_serve(&self) -> impl Iterator<Item = &str> {
        let targets = self.balancer.iter().flat_map(|balancer| &balancer.targets);
        let serving = targets.filter(|(name, target)| **target == Target::Serving && self.serves(name));
        serving.map(|(name, _)| name.as_str())
    }

    /// Whether a holder serves by itself.
    pub fn holder_serves(&self, holder: &Holder) -> bool {
        match holder {
            Holder::Nobody => false,
            Holder::Machine(name) => self.serves(name),
            Holder::Balancer => self.balancer_serves(),
        }
    }
}

impl Rollout<'_> {
    pub(super) fn holds_the_address(&self, name: &str) -> bool {
        self.world.has_an_address() && matches!(&self.world.address.holder, Holder::Machine(holder) if holder == name)
    }

    /// Whether requests to the API go through the balancer.
    pub(super) fn balancer_is_in_use(&self) -> bool {
        !self.world.has_an_address() || self.world.address.holder == Holder::Balancer
    }

    /// Whether this master alone serves, or requests to the API reach it alone, through the balancer.
    pub(super) fn serves_alone(&self, name: &str) -> bool {
        let only_target = || self.balancer_is_in_use() && self.world.targets_that_serve().eq([name]);
        self.world.serving().eq([name]) || only_target()
    }

    /// Who could take the address from a holder, best first: the balancer where one is wanted, masters that stay,
    /// others.  Only who serves, and not who has failed.
    pub(super) fn candidates<'s>(&'s self, from: &'s Holder) -> impl Iterator<Item = Holder> + 's {
        let balancer = (self.desired.balancer.is_some() && self.world.balancer.is_some()).then_some(Holder::Balancer);
        let unwanted = (self.desired.balancer.is_none() && self.world.balancer.is_some()).then_some(Holder::Balancer);
        let staying = self.keepers.values().map(|name| Holder::Machine((*name).to_owned()));
        let others = self.leaving.iter().map(|name| Holder::Machine((*name).to_owned()));
        balancer
            .into_iter()
            .chain(staying)
            .chain(others)
            .chain(unwanted)
            .filter(move |to| {
                to != from
                    && self.world.address.failed.as_ref() != Some(to)
                    && self
                        .gates
                        .holds(Gate::ServesBeforeHandover, self.world.holder_serves(to))
            })
    }

    /// The address leads to a master that serves, whenever one serves.
    pub(super) fn lead_the_address(&self) -> Option<Next> {
        let address = &self.world.address;
        let serves = self.world.holder_serves(&address.holder);
        if !self.world.has_an_address() || (serves && address.answers) {
            return None;
        }
        if !serves && address.holder == Holder::Balancer {
            // A master that only has to be put behind the balancer is quicker than a handover, and has no gap.
            if let Some(register) = self.register() {
                return Some(register);
            }
        }
        let to = self.candidates(&address.holder).next();
        let from = address.holder.clone();
        match to {
            Some(to) if serves => step(Step::RollBack(from, to)),
            Some(to) => step(Step::HandOver(from, to)),
            None if serves => step(Step::AwaitAnswer(from)),
            None => None,
        }
    }

    /// The balancer goes: a master that stays takes the address while the others still serve, so that it can go back.
    pub(super) fn off_the_balancer(&self) -> Option<Next> {
        if self.desired.balancer.is_some() || !self.world.has_an_address() {
            return None;
        }
        let balancer = self.world.balancer.as_ref()?;
        if self.world.address.holder != Holder::Balancer {
            let name = balancer.targets.keys().next()?;
            return step(Step::Deregister(name.clone()));
        }
        let serving = || self.keepers.values().filter(|name| self.world.serves(name));
        let failed = |name: &&&str| self.world.address.failed == Some(Holder::Machine((**name).to_owned()));
        if let Some(name) = serving().find(|name| !failed(name)) {
            return step(Step::HandOver(Holder::Balancer, Holder::Machine((*name).to_owned())));
        }
        let name = serving().next()?;
        Some(Next::Blocked(Blocked::HandoverFailed(Holder::Machine(
            (*name).to_owned(),
        ))))
    }

    /// The balancer has come: it takes the address once it leads to a master that stays.
    pub(super) fn onto_the_balancer(&self) -> Option<Next> {
        let address = &self.world.address;
        let wanted = self.desired.balancer.is_some() && self.world.balancer.is_some() && self.world.has_an_address();
        if !wanted || address.holder == Holder::Balancer {
            return None;
        }
        if address.failed == Some(Holder::Balancer) {
            return Some(Next::Blocked(Blocked::HandoverFailed(Holder::Balancer)));
        }
        let mut serving = self.world.targets_that_serve();
        let leads = serving.any(|name| self.keepers.values().any(|keeper| *keeper == name));
        self.gates
            .holds(Gate::ServesBeforeHandover, leads)
            .then(|| Next::Step(Step::HandOver(address.holder.clone(), Holder::Balancer)))
    }

    /// Nothing serves yet, so a balancer that is there from the start takes the address without a gap.
    pub(super) fn balancer_from_the_start(&self) -> Option<Step> {
        let address = &self.world.address;
        let wanted = self.desired.balancer.is_some() && self.world.balancer.is_some() && self.world.has_an_address();
        (wanted && address.holder == Holder::Nobody).then_some(Step::HandOver(Holder::Nobody, Holder::Balancer))
    }
}
