//! The disk in its cloud: made, grown, labelled, moved, deleted.

use multizone_cloud::{CloudError, ClusterName, Disk as CloudDisk, DiskSpec, Inventory, label};
use multizone_schema::{Diagnostic, Diagnostics};
use tracing::{info, warn};

use super::{Disk, performance};
use crate::{
    configuration::Configured,
    resources::{
        cluster::check_zone,
        identity::{cluster_labels, disk_name},
        marks, strays,
        trouble::Situation,
    },
    stop::Stop,
};

pub(super) fn belongs(disk: &CloudDisk, name: &str) -> bool {
    disk.labels.get(label::DISK).is_some_and(|label| label == name)
}

/// The mark of a copy that a move makes; a create's is its configuration's fingerprint (see [`marks`]): a disk that exists
/// is finished.
const MOVING: &str = "moving";

pub(super) fn marked(disk: &CloudDisk) -> bool {
    disk.labels.contains_key(label::CREATING)
}

/// What the configuration asks for, as a fingerprint.
fn fingerprint(disk: &Disk) -> String {
    let mut parts = vec![disk.zone.clone(), disk.size_gb.to_string(), disk.disk_type.clone()];
    let chosen = [("iops", disk.iops), ("throughput", disk.throughput)].into_iter();
    parts.extend(chosen.filter_map(|(what, chosen)| Some(format!("{what} {}", chosen?))));
    parts.extend(
        disk.labels_all
            .iter()
            .flat_map(|(key, value)| [key.clone(), value.clone()]),
    );
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    format!("{:016x}", multizone_planner::fingerprint(&parts))
}

/// Takes the mark of an unfinished create or move away: Terraform has the disk in its state.
///
/// What this process knows of the cluster's objects stays as it is: the refresh of a thousand disks does not look again
/// after each, and nothing but this reads the mark before it looks again.
pub(super) async fn confirm(provider: &Configured, cluster: &ClusterName, disk: &CloudDisk) {
    if provider.is_out(&disk.zone).await {
        return;
    }
    let mut labels = disk.labels.clone();
    labels.remove(label::CREATING);
    let cloud = provider.cloud();
    if let Err(error) = cloud.note_disk_labels(cluster, &disk.zone, &disk.name, &labels).await {
        warn!(disk = %disk.name, %error, "the mark of the disk's create stays for now");
    }
}

fn specification(disk: &Disk, snapshot: Option<String>, mark: &str) -> DiskSpec {
    let cluster = ClusterName::new(&disk.cluster);
    let mut labels = disk.labels_all.clone();
    labels.insert(label::CREATING.to_owned(), mark.to_owned());
    DiskSpec {
        name: disk_name(&cluster, &disk.name),
        cluster,
        zone: disk.zone.clone(),
        size_gb: disk.size_gb,
        disk_type: disk.disk_type.clone(),
        performance: performance::chosen(disk),
        snapshot,
        labels,
    }
}

/// The name of the snapshot through which a disk moves.
fn snapshot_name(disk: &Disk) -> String {
    let parts = [disk.region.as_str(), &disk.cluster, &disk.name];
    format!("multizone-move-{:016x}", multizone_planner::fingerprint(&parts))
}

async fn inventory(
    provider: &Configured,
    cluster: &ClusterName,
    situation: &Situation<'_>,
) -> Result<Inventory, Diagnostics> {
    provider
        .inventory(cluster)
        .await
        .map_err(|error| situation.cloud(&error))
}

/// Makes the disk; gives the cloud's own ID of it.
pub(super) async fn create(
    provider: &Configured,
    disk: &Disk,
    situation: &Situation<'_>,
) -> Result<String, Diagnostics> {
    let cluster = ClusterName::new(&disk.cluster);
    let failed = |error: CloudError| situation.cloud(&error);
    let mark = fingerprint(disk);
    let spec = specification(disk, None, &mark);
    let inventory = inventory(provider, &cluster, situation).await?;
    if inventory
        .disks
        .iter()
        .any(|found| found.name == spec.name && !marks::finished_for(&found.labels, &mark))
    {
        return Err(Diagnostic::error(
            "The disk exists already",
            format!(
                "Cluster {cluster} has a disk {} in {} already, and no unfinished create of this configuration left it. \
                 Nothing was changed. Import it with: terraform import multizone_disk.NAME {}, or choose another name.",
                disk.name, disk.region, disk.id
            ),
        )
        .at("name")
        .into());
    }
    check_zone(provider, &cluster, "zone", &disk.zone, situation).await?;
    info!(disk = %spec.name, zone = %spec.zone, "make the disk");
    let made = provider.cloud().ensure_disk(&spec).await.map_err(failed)?;
    if performance::is_other(&made, disk) {
        provider
            .cloud()
            .modify_disk(
                &cluster,
                &disk.zone,
                &spec.name,
                disk.size_gb.max(made.size_gb),
                &spec.performance,
            )
            .await
            .map_err(failed)?;
    }
    provider.forget(&cluster).await;
    Ok(made.id)
}

/// Makes the disk what it is to be; gives the cloud's own ID of it.
pub(super) async fn update(
    provider: &Configured,
    prior: &Disk,
    disk: &Disk,
    stop: &Stop,
    situation: &Situation<'_>,
) -> Result<String, Diagnostics> {
    let cluster = ClusterName::new(&disk.cluster);
    let failed = |error: CloudError| situation.cloud(&error);
    let name = disk_name(&cluster, &disk.name);
    put_label_back(provider, prior, &name, situation).await?;
    if disk.zone != prior.zone {
        relocate(provider, prior, disk, stop, situation).await?;
    }
    let inventory = inventory(provider, &cluster, situation).await?;
    let Some(found) = inventory.disk(&disk.zone, &name) else {
        return Err(failed(CloudError::NotFound {
            object: format!("disk {name} in {}", disk.zone),
        }));
    };
    if performance::is_other(found, disk) {
        info!(disk = %name, from = found.size_gb, to = disk.size_gb, "change the disk");
        provider
            .cloud()
            .modify_disk(
                &cluster,
                &disk.zone,
                &name,
                disk.size_gb.max(found.size_gb),
                &performance::chosen(disk),
            )
            .await
            .map_err(failed)?;
    }
    // Labels of others stay; those an earlier configuration set go.
    let mut labels = found.labels.clone();
    labels.retain(|key, _| !prior.labels_all.contains_key(key) && key != label::CREATING);
    labels.extend(disk.labels_all.clone());
    if labels != found.labels {
        provider
            .cloud()
            .set_disk_labels(&cluster, &disk.zone, &name, &labels)
            .await
            .map_err(failed)?;
    }
    if inventory.snapshots.contains(&snapshot_name(disk)) {
        provider
            .cloud()
            .delete_snapshot(&cluster, &snapshot_name(disk))
            .await
            .map_err(failed)?;
    }
    provider.forget(&cluster).await;
    Ok(found.id.clone())
}

/// Makes a disk the cluster's again that somebody has taken the cluster's label from.
async fn put_label_back(
    provider: &Configured,
    prior: &Disk,
    name: &str,
    situation: &Situation<'_>,
) -> Result<(), Diagnostics> {
    let cluster = ClusterName::new(&prior.cluster);
    let failed = |error: CloudError| situation.cloud(&error);
    let inventory = inventory(provider, &cluster, situation).await?;
    let stray = strays::disk(provider, (&cluster, &inventory), &prior.zone, name).await;
    let Some(stray) = stray.map_err(failed)? else {
        return Ok(());
    };
    refuse_taken(&stray, &cluster, situation)?;
    let CloudDisk { mut labels, zone, .. } = stray;
    info!(disk = %name, %zone, "put the cluster's label back");
    labels.extend(cluster_labels(&cluster));
    let labelled = provider.cloud().set_disk_labels(&cluster, &zone, name, &labels).await;
    labelled.map_err(failed)?;
    provider.forget(&cluster).await;
    Ok(())
}

/// Refuses to touch a disk that carries another cluster's label.
fn refuse_taken(found: &CloudDisk, cluster: &ClusterName, situation: &Situation<'_>) -> Result<(), Diagnostics> {
    let Some(other) = strays::taken_by(&found.labels, cluster) else {
        return Ok(());
    };
    let untouched = Situation {
        left: "Nothing of it was changed.",
        ..*situation
    };
    let what = format!(
        "Disk {} in {} belongs to cluster {other} now: its label {} says so.",
        found.name,
        found.zone,
        label::CLUSTER
    );
    Err(untouched.error(&what, &give_back(cluster, other)))
}

/// What to do about a disk that is another cluster's.
pub(super) fn give_back(cluster: &ClusterName, other: &str) -> String {
    format!(
        "If it is cluster {cluster}'s, set that label to {cluster} again, in the cloud. If it is to stay with cluster {other}, \
         let Terraform forget it with terraform state rm, and take it out of this configuration or give it another name."
    )
}

/// Moves the data to another zone; see the module's description.
async fn relocate(
    provider: &Configured,
    prior: &Disk,
    disk: &Disk,
    stop: &Stop,
    situation: &Situation<'_>,
) -> Result<(), Diagnostics> {
    let cluster = ClusterName::new(&disk.cluster);
    let cloud = provider.cloud();
    let failed = |error: CloudError| situation.cloud(&error);
    let name = disk_name(&cluster, &disk.name);
    let (from, to) = (&prior.zone, &disk.zone);
    let found = inventory(provider, &cluster, situation).await?;
    let Some(source) = found.disk(from, &name) else {
        return if found.disk(to, &name).is_some() {
            Ok(())
        } else {
            Err(failed(CloudError::NotFound {
                object: format!("disk {name} in {from}"),
            }))
        };
    };
    if !source.attached_to.is_empty() {
        return Err(Diagnostic::error(
            "The disk is attached",
            format!(
                "Disk {name} cannot move from {from} to {to} while it is attached to {}: what is written meanwhile would be \
                 lost. Nothing was changed. Stop the pods that use it, wait until it is detached, and apply again.",
                source.attached_to.join(", ")
            ),
        )
        .at("zone")
        .into());
    }
    let copy = found.disk(to, &name);
    let others = strays::disk(provider, (&cluster, &found), to, &name).await;
    if copy.is_some_and(|copy| !marks::finished_for(&copy.labels, MOVING)) || others.map_err(failed)?.is_some() {
        return Err(Diagnostic::error(
            "A disk of that name is there already",
            format!(
                "Disk {name} cannot move from {from} to {to}: a disk of that name is in {to} already, and no move of this one \
                 made it. Nothing was changed. Delete that one if nobody needs it, or leave zone = \"{from}\".",
            ),
        )
        .at("zone")
        .into());
    }
    check_zone(provider, &cluster, "zone", to, situation).await?;
    let begin = |number: u32, what: &str| -> Result<(), Diagnostics> {
        info!(disk = %name, from = %from, to = %to, "step {number} of 4: {what}");
        if stop.requested() {
            Err(situation.stopped())
        } else {
            Ok(())
        }
    };
    let snapshot = snapshot_name(disk);
    begin(1, "snapshot")?;
    // What an interrupted move left is older than the disk.
    cloud.delete_disk(&cluster, to, &name).await.map_err(failed)?;
    cloud.delete_snapshot(&cluster, &snapshot).await.map_err(failed)?;
    let labels = cluster_labels(&cluster);
    cloud
        .ensure_snapshot(from, &name, &snapshot, &labels)
        .await
        .map_err(failed)?;
    begin(2, "make the disk in its new zone")?;
    let spec = DiskSpec {
        size_gb: disk.size_gb.max(source.size_gb),
        ..specification(disk, Some(snapshot.clone()), MOVING)
    };
    cloud.ensure_disk(&spec).await.map_err(failed)?;
    // Before the old disk: once that is gone, nothing is left to do that a plan would show.
    begin(3, "delete the snapshot")?;
    cloud.delete_snapshot(&cluster, &snapshot).await.map_err(failed)?;
    begin(4, "delete the disk in its old zone")?;
    cloud.delete_disk(&cluster, from, &name).await.map_err(failed)
}

pub(super) async fn delete(provider: &Configured, disk: &Disk, situation: &Situation<'_>) -> Result<(), Diagnostics> {
    let cluster = ClusterName::new(&disk.cluster);
    let failed = |error: CloudError| situation.cloud(&error);
    let name = disk_name(&cluster, &disk.name);
    let inventory = inventory(provider, &cluster, situation).await?;
    let stray = strays::disk(provider, (&cluster, &inventory), &disk.zone, &name).await;
    if let Some(stray) = stray.map_err(failed)? {
        refuse_taken(&stray, &cluster, situation)?;
        return Err(situation.error(
            &format!(
                "Disk {name} in {} has lost its label {} = {cluster}: it may be somebody else's by now.",
                disk.zone,
                label::CLUSTER
            ),
            "If it may be deleted, put the label back and destroy again; if not, terraform state rm forgets it.",
        ));
    }
    for found in inventory
        .disks
        .iter()
        .filter(|found| found.name == name && belongs(found, &disk.name))
    {
        if !found.attached_to.is_empty() {
            return Err(situation.error(
                &format!(
                    "Disk {name} in {} is attached to {}.",
                    found.zone,
                    found.attached_to.join(", ")
                ),
                "Stop the pods that use it, wait until it is detached, and apply again.",
            ));
        }
        provider
            .cloud()
            .delete_disk(&cluster, &found.zone, &name)
            .await
            .map_err(failed)?;
    }
    let snapshot = snapshot_name(disk);
    if inventory.snapshots.contains(&snapshot) {
        provider
            .cloud()
            .delete_snapshot(&cluster, &snapshot)
            .await
            .map_err(failed)?;
    }
    provider.forget(&cluster).await;
    Ok(())
}
