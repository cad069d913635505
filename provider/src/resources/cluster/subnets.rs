//! The zones' own subnets, where the cloud has them.

use std::collections::BTreeMap;

use multizone_cloud::{Inventory, Subnet, Subnets};
use multizone_schema::{Diagnostic, Diagnostics, Path, Planned};

use super::{Cluster, Zone, drift};
use crate::configuration::Configured;

/// Refuses a zone without a range where each needs one, one with a range where subnets are regional, and another range for
/// a zone that is spanned.
pub(super) fn check(provider: &Configured, zone: &str, wanted: &Planned<String>, was: Option<&str>) -> Diagnostics {
    let path = Path::from("zones").key(zone).attribute("subnet_cidr");
    let cloud = provider.cloud();
    let refusal = match (cloud.capabilities().subnets, wanted) {
        (Subnets::Regional, Planned::Known(subnet)) => Diagnostic::error(
            "Zones have no subnets of their own here",
            format!(
                "{path} gives zone {zone} the range {subnet}, but a subnet spans the region on {}. Leave it out; \
                 network_cidr is the range of the region's subnet.",
                cloud.name(),
            ),
        ),
        (Subnets::Zonal, Planned::Null) => Diagnostic::error(
            "Zones have subnets of their own here",
            format!(
                "Zone {zone} needs {path}: a subnet is in one zone on {}. Give it a range within network_cidr, for example \
                 subnet_cidr = \"10.0.1.0/24\".",
                cloud.name(),
            ),
        ),
        (Subnets::Zonal, Planned::Known(subnet)) => match was.filter(|was| was != subnet) {
            Some(was) => Diagnostic::error(
                "A subnet keeps its range",
                format!(
                    "{path} was {was} and cannot become {subnet}: machines in zone {zone} have addresses of it. Write {was} \
                     again; for another range, take the zone out, apply, and add it again."
                ),
            ),
            None => return Diagnostics::new(),
        },
        _ => return Diagnostics::new(),
    };
    refusal.at(path).into()
}

fn zonal(inventory: &Inventory) -> impl Iterator<Item = (&str, &Subnet)> {
    let subnets = inventory.network.iter().flat_map(|network| &network.subnets);
    subnets.filter_map(|subnet| Some((subnet.zone.as_deref()?, subnet)))
}

/// Adds the zones that have a subnet, and the subnets' ranges, to what the state shows: one that is left over is seen in
/// the plan until it is gone.
pub(super) fn show(zones: &mut BTreeMap<String, Zone>, inventory: &Inventory) {
    let existing = inventory.network.as_ref().is_some_and(|network| network.existing);
    for (zone, subnet) in zonal(inventory) {
        let shown = zones.entry(zone.to_owned()).or_default();
        if existing {
            shown.existing_subnet = Some(subnet.name.clone());
        } else {
            shown.subnet_cidr = Some(subnet.cidr.to_string());
        }
    }
}

/// What differs from what the state says, in words.
pub(super) fn drift(state: &Cluster, inventory: &Inventory) -> Vec<String> {
    if inventory.network.is_none() || state.drift.iter().any(|line| line == drift::HALF_DELETED) {
        return Vec::new();
    }
    let missing = |zone: &&String| zonal(inventory).all(|(found, _)| found != zone.as_str());
    let has_one = |zone: &Zone| zone.subnet_cidr.is_some() || zone.existing_subnet.is_some();
    let subnets = state.zones.iter().filter(|(_, zone)| has_one(zone));
    subnets
        .map(|(name, _)| name)
        .filter(missing)
        .map(|zone| format!("the subnet of zone {zone} is gone"))
        .collect()
}
