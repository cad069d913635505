//! Machines and disks that somebody has taken the cluster's label from, or given another cluster's: the inventory does not
//! know them any more, and they are not gone.
//!
//! They are found by their names, which Terraform's state and the cluster's Nodes still hold.  Putting a label back that
//! is missing is all that is done to them: whoever took it may have had a reason, so nothing is stopped or deleted before.
//! What carries another cluster's label is that cluster's, and nothing at all is done to it.

use futures::future::try_join_all;
use multizone_cloud::{CloudError, ClusterName, Disk, Inventory, Labels, Machine, label};

use crate::configuration::Configured;

/// The other cluster whose label something carries.
pub fn taken_by<'l>(labels: &'l Labels, cluster: &ClusterName) -> Option<&'l str> {
    let of = labels.get(label::CLUSTER).map(String::as_str);
    of.filter(|of| *of != cluster.as_str())
}

fn stray(labels: &Labels, cluster: &ClusterName) -> bool {
    labels.get(label::CLUSTER).is_none_or(|of| of != cluster.as_str())
}

/// Of the machines of these names in a zone, those that are there without this cluster's label.
pub async fn machines<'n>(
    provider: &Configured,
    (cluster, inventory): (&ClusterName, &Inventory),
    zone: &str,
    names: impl IntoIterator<Item = &'n str>,
) -> Result<Vec<Machine>, CloudError> {
    let missing = names.into_iter().filter(|name| inventory.machine(zone, name).is_none());
    let found = try_join_all(missing.map(|name| provider.cloud().machine(zone, name))).await?;
    Ok(found
        .into_iter()
        .flatten()
        .filter(|found| stray(&found.labels, cluster))
        .collect())
}

/// The disk of that name in a zone, if it is there without this cluster's label.
pub async fn disk(
    provider: &Configured,
    (cluster, inventory): (&ClusterName, &Inventory),
    zone: &str,
    name: &str,
) -> Result<Option<Disk>, CloudError> {
    if inventory.disk(zone, name).is_some() {
        return Ok(None);
    }
    let found = provider.cloud().disk(zone, name).await?;
    Ok(found.filter(|found| stray(&found.labels, cluster)))
}
