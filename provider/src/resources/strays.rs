//! Machines and disks that somebody has taken the cluster's label from: the inventory does not know them any more, and
//! they are not gone.
//!
//! They are found by their names, which Terraform's state and the cluster's Nodes still hold.  Putting the label back is
//! all that is done to them: whoever took it may have had a reason, so nothing is stopped or deleted before.

use futures::future::try_join_all;
use multizone_cloud::{CloudError, Disk, Inventory, Labels, Machine, label};

use crate::configuration::Configured;

fn stray(labels: &Labels) -> bool {
    !labels.contains_key(label::CLUSTER)
}

/// Of the machines of these names in a zone, those that are there without any cluster's label.
pub async fn machines<'n>(
    provider: &Configured,
    inventory: &Inventory,
    zone: &str,
    names: impl IntoIterator<Item = &'n str>,
) -> Result<Vec<Machine>, CloudError> {
    let missing = names.into_iter().filter(|name| inventory.machine(zone, name).is_none());
    let found = try_join_all(missing.map(|name| provider.cloud().machine(zone, name))).await?;
    Ok(found
        .into_iter()
        .flatten()
        .filter(|found| stray(&found.labels))
        .collect())
}

/// The disk of that name in a zone, if it is there without any cluster's label.
pub async fn disk(
    provider: &Configured,
    inventory: &Inventory,
    zone: &str,
    name: &str,
) -> Result<Option<Disk>, CloudError> {
    if inventory.disk(zone, name).is_some() {
        return Ok(None);
    }
    let found = provider.cloud().disk(zone, name).await?;
    Ok(found.filter(|found| stray(&found.labels)))
}
