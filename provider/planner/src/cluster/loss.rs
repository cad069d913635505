//! What the loss of one zone would cost, as things are now (design.md: invariants hold through the loss of any one zone).

use super::facts::{Endpoint, Holder, World};

/// What the loss of a zone would cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ZoneLoss {
    /// Whether etcd could commit without the zone; `None` when its membership is not known.
    pub writes_go_on: Option<bool>,
    /// Whether the API, which answers at its address now, would still do so without anybody doing anything: its address
    /// would lead to a master that serves.
    pub api_answers: bool,
}

impl ZoneLoss {
    /// Whether nobody would notice who only uses the API.
    pub fn is_survived(self) -> bool {
        self.writes_go_on == Some(true) && self.api_answers
    }
}

impl World {
    /// What the loss of a zone would cost now.
    pub fn loss_of(&self, zone: &str) -> ZoneLoss {
        let stays = |name: &str| self.machines.get(name).is_some_and(|machine| machine.zone != zone);
        let behind_the_balancer = || self.targets_that_serve().any(stays);
        let leads = match &self.address.holder {
            _ if self.cloud.endpoint == Endpoint::DnsName => behind_the_balancer(),
            Holder::Balancer => behind_the_balancer(),
            Holder::Machine(name) => stays(name) && self.serves(name),
            Holder::Nobody => false,
        };
        let writes_go_on = self
            .membership_known
            .then(|| self.quorum().is_there() && !self.zones_that_stop_writes().contains(&zone));
        ZoneLoss {
            writes_go_on,
            api_answers: leads && self.address.answers,
        }
    }

    /// The zones that the cluster spans of which each could be lost, alone, without the API or writes to it failing.
    pub fn zones_survived(&self) -> impl Iterator<Item = &str> {
        self.zones
            .iter()
            .filter(|(name, zone)| !zone.leaving && self.loss_of(name).is_survived())
            .map(|(name, _)| name.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::{super::tests::*, *};

    fn loss(writes_go_on: bool, api_answers: bool) -> ZoneLoss {
        ZoneLoss {
            writes_go_on: Some(writes_go_on),
            api_answers,
        }
    }

    fn survived(world: &World) -> Vec<&str> {
        world.zones_survived().collect()
    }

    /// Rules: zone-loss-foretold
    #[test]
    fn three_masters_in_three_zones_survive_any_one_zone() {
        assert_eq!(survived(&running("abc")), ["z1", "z2", "z3"]);
    }

    /// Rules: zone-loss-foretold
    #[test]
    fn one_master_survives_the_zones_it_is_not_in() {
        let world = running("a");
        assert_eq!(world.loss_of("z1"), loss(false, false));
        assert_eq!(survived(&world), ["z2", "z3"]);
    }

    /// Rules: zone-loss-foretold
    #[test]
    fn two_masters_lose_writes_and_not_the_api_with_either_zone() {
        let world = running("ab");
        assert_eq!(world.loss_of("z1"), loss(false, true));
        assert_eq!(survived(&world), ["z3"]);
    }

    /// Rules: zone-loss-foretold
    #[test]
    fn while_a_master_is_halted_its_zone_alone_can_be_lost() {
        let world = halt(running("abc"), "b");
        assert_eq!(survived(&world), ["z2"]);
        assert_eq!(world.loss_of("z1"), loss(false, true));
    }

    /// Rules: zone-loss-foretold
    #[test]
    fn a_zone_that_is_out_costs_nothing_more_and_the_others_cost_writes() {
        let world = lose(running("abc"), "z1");
        assert_eq!(survived(&world), ["z1"]);
        assert_eq!(world.loss_of("z2"), loss(false, true));
    }

    /// Rules: zone-loss-foretold
    #[test]
    fn without_a_balancer_the_address_is_lost_with_its_holder() {
        let world = running_alone("abc");
        assert_eq!(world.loss_of("z1"), loss(true, false));
        assert_eq!(world.loss_of("z2"), loss(true, true));
    }

    /// Rules: zone-loss-foretold
    #[test]
    fn what_is_not_known_is_not_promised() {
        let mut world = running("abc");
        world.membership_known = false;
        assert_eq!(world.loss_of("z1").writes_go_on, None);
        assert!(survived(&world).is_empty());
        let mut world = running("abc");
        world.address.answers = false;
        assert_eq!(world.loss_of("z1"), loss(true, false));
    }
}
