//! What the planner knows nothing of and an apply puts right: labels of machines, cordons, labels and taints of Nodes.

use std::collections::{BTreeMap, BTreeSet};

use multizone_cloud::Machine as CloudMachine;
use multizone_schema::Diagnostics;
use tracing::info;

use super::{
    drift::{self, Repair},
    executor::Executor,
    observe::Observation,
    wanted::{Marks, Wanted},
};
use crate::{configuration::Configured, resources::world};

/// What there is to put right about each master that is to stay, by name.
pub(super) fn repairs(
    provider: &Configured,
    observation: &Observation,
    wanted: &Wanted,
) -> BTreeMap<String, BTreeSet<Repair>> {
    let region = provider.cloud().region();
    let cut_off: BTreeSet<&str> = cut_off(provider, observation)
        .map(|machine| machine.name.as_str())
        .collect();
    let mut all = BTreeMap::new();
    for (name, facts) in &observation.world.machines {
        let master = wanted.replica(&facts.replica, &facts.zone);
        let mut repairs = BTreeSet::new();
        if cut_off.contains(name.as_str()) {
            repairs.insert(Repair::WayOut);
        }
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

/// Masters that can be reached by the cloud only.
fn cut_off<'o>(provider: &'o Configured, observation: &'o Observation) -> impl Iterator<Item = &'o CloudMachine> {
    let masters = world::masters(&observation.inventory);
    masters.filter(|machine| observation.world.zone_is_up(&machine.zone) && provider.cloud().is_cut_off(machine))
}

impl Executor<'_> {
    /// Gives masters their way out of the network again, each once, before anything is asked of them; says whether there
    /// were any.
    pub(super) async fn reconnect(&mut self, observation: &Observation) -> Result<bool, Diagnostics> {
        let found = cut_off(self.provider, observation).filter(|machine| !self.reconnected.contains(&machine.name));
        let found: Vec<_> = found
            .map(|machine| (machine.zone.clone(), machine.name.clone()))
            .collect();
        for (zone, name) in &found {
            info!(cluster = %self.wanted.cluster, machine = %name, %zone, "the master has no external address: it is given one");
            let cloud = self.provider.cloud();
            self.cloud(cloud.reconnect_machine(&self.wanted.cluster, zone, name))
                .await?;
            self.reconnected.insert(name.clone());
        }
        Ok(!found.is_empty())
    }

    /// Puts right what the planner knows nothing of.
    pub(super) async fn repair(&self, observation: &Observation) -> Result<(), Diagnostics> {
        let region = self.provider.cloud().region();
        for (name, facts) in &observation.world.machines {
            let master = self.wanted.replica(&facts.replica, &facts.zone);
            let found = observation.labels.get(name);
            if let Some(labels) = found.and_then(|found| drift::restored(found, &master, region, facts)) {
                let (cloud, cluster) = (self.provider.cloud(), &self.wanted.cluster);
                self.cloud(cloud.set_machine_labels(cluster, &facts.zone, name, &labels))
                    .await?;
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
