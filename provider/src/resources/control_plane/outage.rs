//! A zone that goes out while a step is carried out.
//!
//! Whatever the step waits for there does not come, so nobody waits for it: the step is left where it is, as a crash would
//! leave it, and the error says which zone it is.  The next apply looks anew, with the zone or without it.

use multizone_planner::cluster::{NewMachine, Operation, Step, World};
use multizone_schema::{Diagnostic, Diagnostics};

use super::{executor::Executor, observe::Observation};
use crate::resources::{
    rollout::outage::{Watch, blocked, next},
    trouble::sentence,
};

impl<'a> Executor<'a> {
    /// Watches over what is done in the world that was seen last.
    pub(super) fn watch(&self) -> Watch<'a> {
        Watch {
            provider: self.provider,
            situation: self.situation(),
            world: self.world.clone(),
            comes: None,
            teardown: self.all_are_to_go(),
        }
    }

    fn all_are_to_go(&self) -> bool {
        matches!(&self.operation, Operation::ControlPlane(desired) if desired.replicas.is_empty())
    }

    /// Does something, unless a zone in which a master is goes out meanwhile.
    pub(super) async fn unless_a_zone_goes_out<T>(
        &self,
        work: impl Future<Output = Result<T, Diagnostics>>,
    ) -> Result<T, Diagnostics> {
        self.watch().over(work).await
    }

    /// Carries out a step, unless a zone in which a master is or comes goes out meanwhile.
    pub(super) async fn act_unless_a_zone_goes_out(
        &mut self,
        step: &Step,
        observation: &Observation,
    ) -> Result<(), Diagnostics> {
        let watch = Watch {
            situation: self.situation,
            comes: comes(step).map(|(name, zone)| (name.to_owned(), zone.to_owned())),
            ..self.watch()
        };
        let acted = watch.over(Box::pin(self.act(step, observation))).await;
        if let (Err(_), Step::Join(NewMachine { name, .. }) | Step::AwaitJoin(name)) = (&acted, step)
            && self.a_voters_zone_is_out(&observation.world, name).await
        {
            self.give_the_join_up(name).await;
        }
        acted
    }

    /// Whether the zone of another voter than this one is out by now.
    async fn a_voters_zone_is_out(&self, world: &World, but: &str) -> bool {
        let Ok(zones) = self.provider.zones_now().await else {
            return false;
        };
        let out = |zone: &str| zones.iter().any(|found| found.name == zone && !found.up);
        let mut others = world
            .machines
            .iter()
            .filter(|(name, _)| *name != but && world.votes(name));
        others.any(|(_, machine)| out(&machine.zone))
    }

    /// Errors, and which zone is out if one with masters is: that may be what they come from.
    pub(super) async fn with_outages(&self, mut errors: Diagnostics) -> Diagnostics {
        let Some(world) = self.world.as_ref().filter(|_| !self.stop.requested()) else {
            return errors;
        };
        let Ok(zones) = self.provider.zones_now().await else {
            return errors;
        };
        let said = errors.to_string();
        let is_concerned = |zone: &str| {
            let mut masters = world.machines.values();
            masters.any(|machine| machine.zone == zone) || self.wanted.replicas.values().any(|wanted| wanted == zone)
        };
        for zone in zones.into_iter().filter(|zone| !zone.up).map(|zone| zone.name) {
            if is_concerned(&zone) && !said.contains(&zone) {
                let summary = format!("Zone {zone} is out");
                let blocked = blocked(world, zone, None, self.all_are_to_go());
                errors.push(Diagnostic::error(
                    summary,
                    format!("{}\n{}", sentence(&blocked), next(&self.situation)),
                ));
            }
        }
        errors
    }
}

/// The machine that a step makes, and its zone.
fn comes(step: &Step) -> Option<(&str, &str)> {
    match step {
        Step::Init(new) | Step::Join(new) => Some((&new.name, &new.zone)),
        _ => None,
    }
}
