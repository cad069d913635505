//! What the planner knows nothing of and an apply puts right: labels of machines, cordons, labels and taints of Nodes.

use std::collections::{BTreeMap, BTreeSet};

use multizone_schema::Diagnostics;

use super::{
    super::drift::{self, Repair},
    executor::Executor,
    observe::Observation,
    wanted::Several,
};
use crate::resources::world;

/// What there is to put right about each master that is to stay, by name.
pub(super) fn repairs(
    observation: &Observation,
    several: &Several,
    region: &str,
) -> BTreeMap<String, BTreeSet<Repair>> {
    let mut all = BTreeMap::new();
    for machine in world::masters(&observation.inventory) {
        let Some(facts) = observation.world.machines.get(&machine.name) else {
            continue;
        };
        let wanted = several.replica(&facts.replica, &facts.zone);
        let mut repairs = BTreeSet::new();
        if drift::restored(machine, &wanted, region, &facts.specification).is_some() {
            repairs.insert(Repair::Machine);
        }
        let node = observation.nodes.as_ref().and_then(|nodes| nodes.get(&machine.name));
        let leaves = observation
            .world
            .nodes
            .get(&machine.name)
            .is_some_and(|node| node.leaving);
        if let Some(node) = node.filter(|_| !leaves) {
            repairs.extend(drift::of_node(node, &wanted, region));
        }
        if !repairs.is_empty() {
            all.insert(machine.name.clone(), repairs);
        }
    }
    all
}

impl Executor<'_> {
    /// Puts right what the planner knows nothing of.
    pub(super) async fn repair(&self, observation: &Observation) -> Result<(), Diagnostics> {
        let region = self.provider.cloud().region();
        for machine in world::masters(&observation.inventory) {
            let Some(facts) = observation.world.machines.get(&machine.name) else {
                continue;
            };
            let (name, wanted) = (&machine.name, self.several.replica(&facts.replica, &facts.zone));
            if let Some(labels) = drift::restored(machine, &wanted, region, &facts.specification) {
                let relabelled = self.provider.cloud().set_machine_labels(&machine.zone, name, &labels);
                self.cloud(relabelled).await?;
            }
            let node = observation.nodes.as_ref().and_then(|nodes| nodes.get(name));
            let (Some(node), Some(connection)) = (node, &observation.connection) else {
                continue;
            };
            let failed = |error| {
                let what = format!("Node {name} could not be put right: {error}.");
                self.situation.error(&what, "Apply again once the API serves.")
            };
            if drift::cordoned(node) {
                connection.uncordon(name).await.map_err(failed)?;
            }
            let owned = |legacy| drift::owned(&wanted, region, legacy, Some(node));
            let (previous, desired) = (owned(self.legacy_labels), owned(wanted.legacy_zone_labels));
            let patched = connection.patch_labels_and_taints(name, &previous, &desired).await;
            patched.map(drop).map_err(failed)?;
        }
        Ok(())
    }
}
