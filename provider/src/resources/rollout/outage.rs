//! A zone that goes out while something is done to masters, their balancer or the API's address.
//!
//! Whatever is waited for there does not come, so nobody waits for it: what is under way is left where it is, as a crash
//! would leave it, and the error says which zone it is.

use std::{collections::BTreeSet, time::Duration};

use multizone_planner::cluster::{Blocked, World};
use multizone_schema::Diagnostics;
use tracing::debug;

use crate::{
    configuration::Configured,
    resources::trouble::{Situation, sentence},
};

/// How often the zones are looked at while a step goes on.
const LOOK: Duration = Duration::from_secs(2);

/// Watches over something that goes on: it ends when a zone goes out in which a master is or comes.
pub(crate) struct Watch<'a> {
    pub(crate) provider: &'a Configured,
    pub(crate) situation: Situation<'a>,
    /// What was seen last; without it nothing is watched over.
    pub(crate) world: Option<World>,
    /// A machine that is made, and its zone.
    pub(crate) comes: Option<(String, String)>,
    /// Whether all masters are to go.
    pub(crate) teardown: bool,
}

impl Watch<'_> {
    /// The result of what goes on, or which zone has gone out meanwhile.
    pub(crate) async fn over<T>(&self, work: impl Future<Output = Result<T, Diagnostics>>) -> Result<T, Diagnostics> {
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
        let blocked = blocked(world, out, comes, self.teardown);
        Err(self.situation.error(&sentence(&blocked), next(&self.situation)))
    }
}

/// What to do once the zone is back.
pub(crate) fn next(situation: &Situation<'_>) -> &'static str {
    if situation.deletes() {
        "Then run Terraform again."
    } else {
        "Then run terraform apply again."
    }
}

/// The zones that are up and in which a master is or comes.
fn concerned(world: &World, comes: Option<&str>) -> BTreeSet<String> {
    let are = world.machines.values().map(|machine| machine.zone.as_str());
    let zones = are.chain(comes).filter(|zone| world.zone_is_up(zone));
    zones.map(str::to_owned).collect()
}

/// Waits until one of these zones is out.
pub(crate) async fn goes_out(provider: &Configured, concerned: &BTreeSet<String>) -> String {
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

/// Why nothing goes on.  Who votes is not always known: then it is the masters.
pub(crate) fn blocked(world: &World, zone: String, comes: Option<&str>, teardown: bool) -> Blocked {
    let elsewhere = || world.machines.values().filter(|machine| machine.zone != zone).count();
    let writes = if world.membership_known {
        !world.zones_that_stop_writes().contains(&zone.as_str())
    } else {
        elsewhere() > world.machines.len() / 2
    };
    let is = |(_, machine): &(&String, &multizone_planner::cluster::Machine)| machine.zone == zone;
    let is = world.machines.iter().find(is).map(|(name, _)| name.as_str());
    let what = is
        .or(comes)
        .map_or_else(|| "the place of a master".to_owned(), |name| format!("master {name}"));
    if teardown {
        Blocked::OutOfReach { zone, what }
    } else {
        Blocked::ZoneOut { zone, what, writes }
    }
}
