//! A zone that goes out while a step is carried out.
//!
//! Whatever the step waits for there does not come, so nobody waits for it: the step is left where it is, as a crash would
//! leave it, and the error says which zone it is.  The next apply looks anew, with the zone or without it.

use std::{collections::BTreeSet, time::Duration};

use multizone_planner::cluster::{Blocked, NewMachine, Step, World};
use multizone_schema::{Diagnostic, Diagnostics};
use tracing::debug;

use super::{executor::Executor, observe::Observation, plan::sentence};
use crate::{configuration::Configured, resources::trouble::Situation};

/// What to do once the zone is back.
const NEXT: &str = "Then run terraform apply again.";
/// How often the zones are looked at while a step goes on.
const LOOK: Duration = Duration::from_secs(2);

/// Watches over something that goes on: it ends when a zone goes out in which a master is or comes.
pub(super) struct Watch<'a> {
    provider: &'a Configured,
    situation: Situation<'a>,
    world: Option<World>,
    comes: Option<(String, String)>,
}

impl Watch<'_> {
    /// The result of what goes on, or which zone has gone out meanwhile.
    pub(super) async fn over<T>(&self, work: impl Future<Output = Result<T, Diagnostics>>) -> Result<T, Diagnostics> {
        let Some(world) = &self.world else {
            return work.await;
        };
        let concerned = concerned(world, self.comes.as_ref().map(|(_, zone)| zone.as_str()));
        let out = tokio::select! {
            biased;
            done = work => return done,
            out = goes_out(self.provider, &concerned) => out,
        };
        let comes = self.comes.as_ref().map(|(name, _)| name.as_str());
        let blocked = blocked(world, out, comes);
        Err(self.situation.error(&sentence(&blocked), NEXT))
    }
}

impl<'a> Executor<'a> {
    /// Watches over what is done in the world that was seen last.
    pub(super) fn watch(&self) -> Watch<'a> {
        Watch {
            provider: self.provider,
            situation: self.situation(),
            world: self.world.clone(),
            comes: None,
        }
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
                let blocked = blocked(world, zone, None);
                errors.push(Diagnostic::error(summary, format!("{}\n{NEXT}", sentence(&blocked))));
            }
        }
        errors
    }
}

/// The zones that are up and in which a master is or comes.
fn concerned(world: &World, comes: Option<&str>) -> BTreeSet<String> {
    let are = world.machines.values().map(|machine| machine.zone.as_str());
    let zones = are.chain(comes).filter(|zone| world.zone_is_up(zone));
    zones.map(str::to_owned).collect()
}

/// The machine that a step makes, and its zone.
fn comes(step: &Step) -> Option<(&str, &str)> {
    match step {
        Step::Init(new) | Step::Join(new) => Some((&new.name, &new.zone)),
        _ => None,
    }
}

/// Waits until one of these zones is out.
async fn goes_out(provider: &Configured, concerned: &BTreeSet<String>) -> String {
    loop {
        match provider.zones_now().await {
            Ok(zones) => {
                let out = zones
                    .into_iter()
                    .find(|zone| !zone.up && concerned.contains(&zone.name));
                if let Some(zone) = out {
                    return zone.name;
                }
            }
            Err(error) => debug!(%error, "the zones cannot be looked at"),
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Why nothing goes on.
fn blocked(world: &World, zone: String, comes: Option<&str>) -> Blocked {
    let is = |(_, machine): &(&String, &multizone_planner::cluster::Machine)| machine.zone == zone;
    let is = world.machines.iter().find(is).map(|(name, _)| name.as_str());
    Blocked::ZoneOut {
        writes: !world.zones_that_stop_writes().contains(&zone.as_str()),
        what: is
            .or(comes)
            .map_or_else(|| "the place of a master".to_owned(), |name| format!("master {name}")),
        zone,
    }
}
