//! The end of a cluster: everything of it deleted, once nothing else is left in it.

use futures::future::{join, join_all};
use multizone_cloud::{Address, AddressHolder, Balancer, ClusterName, Inventory};
use multizone_schema::Diagnostics;
use tracing::info;

use super::{Situation, adoption::listed, drift::half_deleted, objects::store};
use crate::{
    configuration::Configured,
    resources::{
        identity::{SecretNames, cluster_labels},
        marks,
    },
    stop::Stop,
};

/// Deletes the rest of a cluster whose deletion was interrupted: it was the user's wish, and nothing of it can be used.
pub(super) async fn finish(
    provider: &Configured,
    cluster: &ClusterName,
    stop: &Stop,
    situation: &Situation<'_>,
) -> Result<(), Diagnostics> {
    let inventory = provider
        .inventory(cluster)
        .await
        .map_err(|error| situation.cloud(&error))?;
    if half_deleted(provider.cloud().region(), cluster, &inventory) {
        delete(provider, cluster, stop, situation).await?;
    }
    Ok(())
}

/// Deletes everything, once nothing is left that is not the cluster's own.
pub(super) async fn delete(
    provider: &Configured,
    cluster: &ClusterName,
    stop: &Stop,
    situation: &Situation<'_>,
) -> Result<(), Diagnostics> {
    let cloud = provider.cloud();
    let failed = |error| situation.cloud(&error);
    clear_unfinished_machines(provider, cluster, situation).await?;
    let inventory = clear_unfinished_balancers(provider, cluster, situation).await?;
    if !inventory.machines.is_empty() || !inventory.disks.is_empty() || !inventory.balancers.is_empty() {
        return Err(situation.error(
            &format!("Cluster {cluster} still has {}.", listed(&inventory)),
            "Destroy the node groups, the control plane and the disks first: terraform destroy does so in the right order \
             when they refer to the cluster. What is not in Terraform's state has to be deleted in the cloud.",
        ));
    }
    if inventory.is_empty() {
        return Ok(());
    }
    let secrets = SecretNames::of(cloud.region(), cluster);
    let begin = |number: u32, what: &str| -> Result<(), Diagnostics> {
        info!(cluster = %cluster, "step {number} of 3: delete {what}");
        if stop.requested() {
            Err(situation.stopped())
        } else {
            Ok(())
        }
    };
    begin(1, "the API's address, and the network with its firewall rules")?;
    // From here on there is no way back: Read shows what is left as half deleted, to the last secret.
    store(
        provider,
        cluster,
        &secrets.deleting,
        b"{}".to_vec(),
        &cluster_labels(cluster),
    )
    .await
    .map_err(failed)?;
    let addresses = inventory.addresses.iter();
    let addresses = addresses.map(|address| cloud.delete_address(cluster, &address.name));
    // Both end before an error is told: nothing is left under way.
    let (network, addresses) = join(cloud.delete_network(cluster), join_all(addresses)).await;
    for deleted in addresses.into_iter().chain([network]) {
        deleted.map_err(failed)?;
    }
    begin(2, "snapshots")?;
    for snapshot in &inventory.snapshots {
        cloud.delete_snapshot(cluster, snapshot).await.map_err(failed)?;
    }
    begin(3, "secrets")?;
    for secret in [
        secrets.settings,
        secrets.node_credential,
        secrets.keys,
        secrets.creating,
        secrets.turn,
        secrets.deleting,
    ] {
        cloud.delete_secret(cluster, &secret).await.map_err(failed)?;
    }
    provider.forget(cluster).await;
    Ok(())
}

/// Deletes machines that a create has left which never finished: no state knows them, and without a control plane they
/// are of no use.  Disks are left to the gate: they may hold data.
async fn clear_unfinished_machines(
    provider: &Configured,
    cluster: &ClusterName,
    situation: &Situation<'_>,
) -> Result<(), Diagnostics> {
    let failed = |error| situation.cloud(&error);
    let inventory = provider.inventory(cluster).await.map_err(failed)?;
    let (unfinished, others): (Vec<_>, Vec<_>) = inventory
        .machines
        .iter()
        .partition(|machine| marks::unfinished(&machine.labels));
    if unfinished.is_empty() || !others.is_empty() {
        return Ok(());
    }
    let mut unfinished = unfinished;
    unfinished.sort_by_key(|machine| std::cmp::Reverse(machine.role()));
    for machine in unfinished {
        info!(cluster = %cluster, machine = %machine.name, "delete a machine that an unfinished create has left");
        provider
            .cloud()
            .delete_machine(cluster, &machine.zone, &machine.name)
            .await
            .map_err(failed)?;
    }
    Ok(())
}

/// The same for balancers: where no machine is left, one that no state knows leads nowhere.
async fn clear_unfinished_balancers(
    provider: &Configured,
    cluster: &ClusterName,
    situation: &Situation<'_>,
) -> Result<Inventory, Diagnostics> {
    let failed = |error| situation.cloud(&error);
    let inventory = provider.inventory(cluster).await.map_err(failed)?;
    let unfinished = |balancer: &&Balancer| marks::unfinished(&balancer.labels) && inventory.machines.is_empty();
    let mut unfinished = inventory.balancers.iter().filter(unfinished).peekable();
    if unfinished.peek().is_none() {
        return Ok(inventory);
    }
    for Balancer { name, .. } in unfinished {
        info!(cluster = %cluster, balancer = %name, "delete a balancer that an unfinished create has left");
        let holds = |address: &&Address| address.holder == Some(AddressHolder::Balancer { name: name.clone() });
        for address in inventory.addresses.iter().filter(holds) {
            let detached = provider.cloud().detach_address(cluster, &address.name).await;
            detached.map_err(failed)?;
        }
        provider.cloud().delete_balancer(cluster, name).await.map_err(failed)?;
    }
    provider.inventory(cluster).await.map_err(failed)
}
