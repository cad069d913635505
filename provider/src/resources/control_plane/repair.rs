//! What the planner knows nothing of and an apply puts right: labels of machines, cordons, labels and taints of Nodes.

use std::collections::{BTreeMap, BTreeSet};

use multizone_schema::Diagnostics;

use super::{
    drift::{self, Repair},
    executor::Executor,
    observe::Observation,
    wanted::{Marks, Wanted},
};

/// What there is to put right about each master that is to stay, by name.
pub(super) fn repairs(observation: &Observation, wanted: &Wanted, region: &str) -> BTreeMap<String, BTreeSet<Repair>> {
    let mut all = BTreeMap::new();
    for (name, facts) in &observation.world.machines {
        let master = wanted.replica(&facts.replica, &facts.zone);
        let mut repairs = BTreeSet::new();
        let labels = observation.labels.get(name);
        if labels.is_some_and(|labels| drift::restored(labels, &master, region, facts).is_some()) {
            repairs.insert(Repair::Machine);
        }
        let leaves = observation.world.nodes.get(name).is_some_and(|node| node.leaving);
        let node = observation.nodes.as_ref().and_then(|nodes| nodes.get(name));
        if let Some(node) = node.filter(|_| !leaves) {
            repairs.extend(drift::of_node(node, &master, region));
        }
        if !repairs.is_empty() {
            all.insert(name.clone(), repairs);
        }
    }
    all
}

impl Executor<'_> {
    /// Puts right what the planner knows nothing of.
    pub(super) async fn repair(&self, observation: &Observation) -> Result<(), Diagnostics> {
        let region = self.provider.cloud().region();
        for (name, facts) in &observation.world.machines {
            let master = self.wanted.replica(&facts.replica, &facts.zone);
            let found = observation.labels.get(name);
            if let Some(labels) = found.and_then(|found| drift::restored(found, &master, region, facts)) {
                let relabelled = self.provider.cloud().set_machine_labels(&facts.zone, name, &labels);
                self.cloud(relabelled).await?;
            }
            let node = observation.nodes.as_ref().and_then(|nodes| nodes.get(name));
            let (Some(node), Some(connection)) = (node, &observation.connection) else {
                continue;
            };
            let failed = |error| {
                let what = format!("Node {name} could not be put right: {error}.");
                self.situation().error(&what, "Apply again once the API serves.")
            };
            if drift::cordoned(node) {
                connection.uncordon(name).await.map_err(failed)?;
            }
            let owned = |legacy, marks| drift::owned(&facts.zone, region, legacy, marks, node);
            let previous = owned(self.legacy_labels, Marks::default());
            let desired = owned(self.wanted.legacy_zone_labels, self.wanted.marks);
            let patched = connection.patch_labels_and_taints(name, &previous, &desired).await;
            patched.map(drop).map_err(failed)?;
        }
        Ok(())
    }
}
