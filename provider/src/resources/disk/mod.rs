//! `multizone_disk`: a zonal disk that says where it is, renders its `PersistentVolume`, and moves with its data.
//!
//! # Flow of a move
//! A disk cannot leave its zone, so its data moves: refuse while it is attached; take a snapshot; make the disk in the
//! new zone from it, marked as a copy; delete the snapshot; delete the old disk (which the cloud refuses if it was attached
//! meanwhile); take the mark away.  As long as the old disk exists it is the one that counts: a move that was
//! interrupted begins anew with a fresh snapshot.  Once it is gone, the new one counts, and Read finds it.

mod kept;
mod objects;
mod performance;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, time::Duration};

use async_trait::async_trait;
use multizone_cloud::{ClusterName, Labels, label};
use multizone_kubernetes::persistent_volume::{self, PersistentVolumeSettings, VolumeSource};
use multizone_schema::{Diagnostic, Diagnostics, Model, Path, Planned, PlannedModel};

use self::kept::Kept;
use super::{
    Created, Failed, PlanRequest, Planning, Resource, Updated, checks,
    cluster::check_planned_zone,
    identity::{LONGEST_OBJECT_NAME, ObjectId, ObjectIdentity, disk_name, zonal_labels},
    offers, protection, strays,
    timeouts::{self, Timeouts},
    trouble::{ADOPTED, CONTINUED, STILL_THERE, Situation, within},
};
use crate::{configuration::Configured, stop::Stop};

/// The usual time for a disk, with much to spare; moving a large one takes longer.
const TIMEOUT: Duration = Duration::from_mins(30);

/// A zonal disk of a cluster, labelled with its region and zone.
///
/// `persistent_volume` is its `PersistentVolume`, usable only in its zone. A larger `size_gb` grows it in place; another
/// `zone` moves its data there through a snapshot, while it is attached to no machine. Pods attach and detach it: that is no
/// drift.
#[derive(Model, Clone, Debug, PartialEq)]
pub struct Disk {
    /// Name of the cluster.
    #[attribute(required, requires_replace, validate = checks::cluster_name)]
    pub cluster: String,
    /// Name of the disk within the cluster. In the cloud it is called `CLUSTER-NAME`.
    #[attribute(required, requires_replace, validate = checks::object_name)]
    pub name: String,
    /// The zone it is in. Another zone moves the data.
    #[attribute(required)]
    pub zone: String,
    /// Size in GiB. A disk grows in place; it never shrinks.
    #[attribute(required, validate = checks::disk_size)]
    pub size_gb: i64,
    /// Kind of disk, for example `pd-balanced` or `pd-ssd`; on AWS `gp3` or `io2`. Defaults to `pd-balanced`, on AWS to
    /// `gp3`.
    #[attribute(optional, computed, keep_prior, validate = checks::disk_type)]
    pub disk_type: String,
    /// Input and output operations per second, where the kind of disk lets them be chosen: on AWS with `gp3` (3000 without
    /// it), `io2` and `io1` (50 for each GiB, 100 to 3000, without it). Changes in place.
    #[attribute(optional, validate = checks::positive)]
    pub iops: Option<i64>,
    /// MiB per second, where the kind of disk lets them be chosen: on AWS with `gp3` (125 without it). Changes in place.
    #[attribute(optional, validate = checks::positive)]
    pub throughput: Option<i64>,
    /// Further labels in the cloud.
    #[attribute(optional, validate = checks::cloud_labels)]
    pub labels: Option<BTreeMap<String, String>>,
    /// Filesystem that the `PersistentVolume` names, `ext4`, `xfs` or `ext3`; it is made at the first mount.
    #[attribute(optional, default = "ext4", validate = checks::filesystem)]
    pub filesystem: String,
    /// Storage class that the `PersistentVolume` names; empty for claims without a class.
    #[attribute(optional, default = "", validate = checks::storage_class)]
    pub storage_class: String,
    /// Also label the `PersistentVolume` with the failure-domain.beta.kubernetes.io pair.
    #[attribute(optional, default = false)]
    pub legacy_zone_labels: bool,
    /// Refuse to destroy the disk.
    #[attribute(optional, default = false)]
    pub deletion_protection: bool,
    /// How long operations may take. An import cannot tell: it leaves them at their defaults.
    #[attribute(optional, nested)]
    pub timeouts: Option<Timeouts>,
    /// `REGION/CLUSTER/NAME`; also what `terraform import` takes.
    #[attribute(computed, keep_prior)]
    pub id: String,
    /// The region.
    #[attribute(computed, keep_prior)]
    pub region: String,
    /// All its labels in the cloud: `labels`, its region and zone, and the provider's own.
    #[attribute(computed)]
    pub labels_all: BTreeMap<String, String>,
    /// The disk as a `PersistentVolume`, for `kubectl apply -f -`.
    #[attribute(computed)]
    pub persistent_volume: String,
}

/// Serves `multizone_disk`.
#[derive(Debug)]
pub struct DiskResource;

#[async_trait]
impl Resource for DiskResource {
    type Model = Disk;
    type Identity = ObjectIdentity;

    fn type_name(&self) -> &'static str {
        "multizone_disk"
    }

    fn validate(&self, config: &DiskPlanned) -> Diagnostics {
        let (Some(cluster), Some(name)) = (config.cluster.known(), config.name.known()) else {
            return Diagnostics::new();
        };
        let name = disk_name(&ClusterName::new(cluster), name);
        if name.len() <= LONGEST_OBJECT_NAME {
            return Diagnostics::new();
        }
        Diagnostic::error(
            "Name that the cloud refuses",
            format!(
                "In the cloud the disk would be called {name}, which has {} characters; {LONGEST_OBJECT_NAME} are the \
                 most. Shorten name.",
                name.len()
            ),
        )
        .at("name")
        .into()
    }

    async fn plan(&self, provider: &Configured, request: PlanRequest<'_, Disk>) -> Planning<Disk> {
        let prior = request.prior.cloned();
        let unset = request.config.disk_type.is_null();
        let mut planning = Planning::of(request);
        let planned = &mut planning.planned;
        let region = provider.cloud().region();
        planned.region = region.into();
        if let (Some(cluster), Some(name)) = (planned.cluster.known(), planned.name.known()) {
            planned.id = ObjectId::object(region, &ClusterName::new(cluster), name).into();
        }
        planned.labels_all = wanted_labels(provider, planned).map_or(Planned::Unknown, |labels| {
            labels
                .into_iter()
                .map(|(key, value)| (key, value.into()))
                .collect::<BTreeMap<_, _>>()
                .into()
        });
        if prior.is_none() && unset {
            planned.disk_type = default_type(provider).into();
        }
        let same = prior.as_ref().filter(|prior| planned.zone.known() == Some(&prior.zone));
        let id = same.and_then(|prior| persistent_volume::handle(&prior.persistent_volume));
        planned.persistent_volume = volume(provider, planned, id.as_deref()).map_or(Planned::Unknown, Planned::Known);
        if let Some(zone) = planned.zone.known()
            && prior.as_ref().is_none_or(|prior| prior.zone != *zone)
        {
            let mut found = offers::check_zone(provider, Path::from("zone"), zone).await;
            if let Some(cluster) = planned.cluster.known().filter(|_| found.is_empty()) {
                found = check_planned_zone(provider, &ClusterName::new(cluster), "zone", zone);
            }
            planning.diagnostics.extend(found);
        }
        planning.diagnostics.extend(check_type(provider, &planning.planned));
        planning
            .diagnostics
            .extend(performance::check(provider, prior.as_ref(), &planning.planned));
        if let Some(prior) = prior {
            planning.diagnostics.extend(refusals(&prior, &planning.planned));
            planning
                .diagnostics
                .extend(taken(&prior, "An apply does not take it back"));
        }
        planning
    }

    async fn plan_destroy(&self, _provider: &Configured, prior: &Disk, _private: &[u8]) -> Diagnostics {
        let mut diagnostics = protection::check(prior.deletion_protection, &what(prior), " and its data");
        diagnostics.extend(taken(prior, "A destroy does not delete it"));
        diagnostics
    }

    async fn read(
        &self,
        provider: &Configured,
        mut state: Disk,
        private: Vec<u8>,
        _stop: &Stop,
    ) -> Result<Option<(Disk, Vec<u8>)>, Diagnostics> {
        let cluster = ClusterName::new(&state.cluster);
        let doing = format!("read disk {}", state.name);
        let situation = Situation {
            doing: &doing,
            left: "Nothing was changed.",
        };
        let inventory = provider
            .known_inventory(&cluster)
            .await
            .map_err(|error| situation.cloud(&error))?;
        let name = disk_name(&cluster, &state.name);
        // A move that was interrupted after the old disk's deletion leaves it in another zone.
        let elsewhere = || {
            inventory
                .disks
                .iter()
                .find(|disk| disk.name == name && objects::belongs(disk, &state.name))
        };
        let known = inventory.disk(&state.zone, &name).or_else(elsewhere);
        let stray = match known {
            Some(_) => None,
            None => strays::disk(provider, (&cluster, &inventory), &state.zone, &name)
                .await
                .map_err(|error| situation.cloud(&error))?,
        };
        let Some(found) = known.or(stray.as_ref()) else {
            return Ok(None);
        };
        // What another cluster has now says nothing of this one's disk but where it went.
        if strays::taken_by(&found.labels, &cluster).is_none() {
            if found.zone != state.zone || found.size_gb != state.size_gb {
                state.zone.clone_from(&found.zone);
                state.size_gb = found.size_gb;
                let shown = volume(provider, &state.clone().into(), Some(&found.id));
                state.persistent_volume = shown.unwrap_or_default();
            }
            state.disk_type.clone_from(&found.disk_type);
            state.iops = performance::seen(state.iops, found.performance.iops, found.usual.iops);
            state.throughput =
                performance::seen(state.throughput, found.performance.throughput, found.usual.throughput);
        }
        if objects::marked(found) && stray.is_none() {
            objects::confirm(provider, &cluster, found).await;
        }
        // Labels that somebody else added are theirs.
        let ours = |key: &String| state.labels_all.contains_key(key);
        state.labels_all = found
            .labels
            .iter()
            .filter(|(key, _)| ours(key))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        Ok(Some((state, private)))
    }

    async fn create(
        &self,
        provider: &Configured,
        planned: DiskPlanned,
        _stop: &Stop,
    ) -> Result<Created<Disk>, Diagnostics> {
        let timeout = timeouts::planned(&planned.timeouts, |timeouts| &timeouts.create);
        let deadline = timeouts::deadline(timeout.as_ref(), TIMEOUT);
        let disk = complete(provider, planned)?;
        let doing = format!("create disk {} of cluster {}", disk.name, disk.cluster);
        let situation = Situation {
            doing: &doing,
            left: ADOPTED,
        };
        let id = within(deadline, &situation, objects::create(provider, &disk, &situation)).await?;
        Ok(Created::new(with_volume(provider, disk, &id)))
    }

    async fn update(
        &self,
        provider: &Configured,
        prior: Disk,
        planned: DiskPlanned,
        private: Vec<u8>,
        stop: &Stop,
    ) -> Result<Updated<Disk>, Failed<Disk>> {
        let failed = |diagnostics| Failed {
            state: prior.clone(),
            private: private.clone(),
            diagnostics,
        };
        let timeout = timeouts::planned(&planned.timeouts, |timeouts| &timeouts.update);
        let deadline = timeouts::deadline(timeout.as_ref(), TIMEOUT);
        let disk = complete(provider, planned).map_err(failed)?;
        let doing = format!("update disk {} of cluster {}", disk.name, disk.cluster);
        let situation = Situation {
            doing: &doing,
            left: CONTINUED,
        };
        within(
            deadline,
            &situation,
            objects::update(provider, &prior, &disk, stop, &situation),
        )
        .await
        .map_err(failed)
        .map(|id| Updated::new(with_volume(provider, disk, &id), private))
    }

    async fn delete(
        &self,
        provider: &Configured,
        prior: Disk,
        _private: Vec<u8>,
        _stop: &Stop,
    ) -> Result<Diagnostics, Diagnostics> {
        protection::check(prior.deletion_protection, &what(&prior), " and its data").into_result(())?;
        let timeout = prior.timeouts.as_ref().and_then(|timeouts| timeouts.delete.clone());
        let deadline = timeouts::deadline(timeout.as_ref(), TIMEOUT);
        let doing = format!("delete disk {} of cluster {}", prior.name, prior.cluster);
        let situation = Situation {
            doing: &doing,
            left: STILL_THERE,
        };
        within(deadline, &situation, objects::delete(provider, &prior, &situation)).await?;
        Ok(Diagnostics::new())
    }

    async fn import(&self, provider: &Configured, id: &str) -> Result<Disk, Diagnostics> {
        let refuse = |reason: String| Diagnostics::from(Diagnostic::error("Cannot import the disk", reason));
        let (ObjectId { region, cluster, .. }, name) =
            ObjectId::parse_object(id, "us-central1/demo/data").map_err(|error| refuse(format!("{error}.")))?;
        let here = provider.cloud().region();
        if region != here {
            return Err(refuse(format!(
                "The provider works on region {here}, not on {region}: import it with a provider of that region."
            )));
        }
        let inventory = provider
            .inventory(&cluster)
            .await
            .map_err(|error| refuse(format!("{error}.\n{}", error.advice())))?;
        let cloud_name = disk_name(&cluster, &name);
        let Some(found) = inventory.disks.iter().find(|disk| disk.name == cloud_name) else {
            return Err(refuse(format!(
                "Cluster {cluster} has no disk {name} in {here}. The last part of the ID is the disk's name within the \
                 cluster; in the cloud this one would be called {cloud_name} and have the label multizone-cluster."
            )));
        };
        let own = zonal_labels(&cluster, here, &found.zone);
        let further =
            |key: &str| !own.contains_key(key) && key != label::DISK && key != label::CREATING && !Kept::is_label(key);
        let kept = Kept::from_labels(&found.labels);
        let labels: BTreeMap<String, String> = found
            .labels
            .iter()
            .filter(|(key, _)| further(key))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        let planned = DiskPlanned {
            cluster: cluster.to_string().into(),
            name: name.into(),
            zone: found.zone.clone().into(),
            size_gb: found.size_gb.into(),
            disk_type: found.disk_type.clone().into(),
            iops: performance::seen(None, found.performance.iops, found.usual.iops)
                .map_or(Planned::Null, Planned::Known),
            throughput: performance::seen(None, found.performance.throughput, found.usual.throughput)
                .map_or(Planned::Null, Planned::Known),
            labels: if labels.is_empty() {
                Planned::Null
            } else {
                labels
                    .into_iter()
                    .map(|(key, value)| (key, value.into()))
                    .collect::<BTreeMap<_, _>>()
                    .into()
            },
            filesystem: kept.filesystem.into(),
            storage_class: kept.storage_class.into(),
            legacy_zone_labels: kept.legacy_zone_labels.into(),
            deletion_protection: kept.deletion_protection.into(),
            timeouts: Planned::Null,
            id: Planned::Unknown,
            region: Planned::Unknown,
            labels_all: Planned::Unknown,
            persistent_volume: Planned::Unknown,
        };
        complete(provider, planned).map(|disk| with_volume(provider, disk, &found.id))
    }
}

/// What cannot be done to a disk that exists.
fn refusals(prior: &Disk, planned: &DiskPlanned) -> Diagnostics {
    let mut diagnostics = Diagnostics::new();
    if let Some(size) = planned.size_gb.known().filter(|size| **size < prior.size_gb) {
        diagnostics.push(checks::fixed(
            "size_gb",
            &prior.size_gb.to_string(),
            &size.to_string(),
            &format!(
                "A disk never shrinks: the data at its end would be lost. Write size_gb = {} or more; for a smaller disk, \
                 make a second one and copy the data.",
                prior.size_gb
            ),
        ));
    }
    if let Some(wanted) = planned.disk_type.known().filter(|wanted| **wanted != prior.disk_type) {
        diagnostics.push(checks::fixed(
            "disk_type",
            &prior.disk_type,
            wanted,
            "A disk keeps its kind for life. Make a second disk of the other kind and copy the data.",
        ));
    }
    diagnostics
}

/// Says that the disk is another cluster's now, which an operation stops at.
fn taken(prior: &Disk, untouched: &str) -> Diagnostics {
    let cluster = ClusterName::new(&prior.cluster);
    let Some(other) = strays::taken_by(&prior.labels_all, &cluster) else {
        return Diagnostics::new();
    };
    Diagnostic::warning(
        format!("Disk {} of cluster {cluster} belongs to cluster {other} now", prior.name),
        format!(
            "In {}, {} carries the label {} = {other}. {untouched}: it stops there, and nothing of the disk is changed.\n{}",
            prior.zone,
            disk_name(&cluster, &prior.name),
            label::CLUSTER,
            objects::give_back(&cluster, other)
        ),
    )
    .into()
}

fn what(disk: &Disk) -> String {
    format!("disk {} of cluster {}", disk.name, disk.cluster)
}

fn wanted_labels(provider: &Configured, disk: &DiskPlanned) -> Option<Labels> {
    let (cluster, name, zone) = (disk.cluster.known()?, disk.name.known()?, disk.zone.known()?);
    let mut labels = zonal_labels(&ClusterName::new(cluster), provider.cloud().region(), zone);
    labels.insert(label::DISK.to_owned(), name.clone());
    if disk.labels.is_unknown() {
        return None;
    }
    for (key, value) in disk.labels.known().into_iter().flatten() {
        labels.insert(key.clone(), value.known()?.clone());
    }
    labels.extend(Kept::of(disk)?.labels());
    Some(labels)
}

/// The kind of a disk of which the configuration names none.
fn default_type(provider: &Configured) -> &'static str {
    let kinds = provider.cloud().capabilities().disk_types;
    kinds.first().copied().unwrap_or_default()
}

/// Refuses a kind that another cloud has.
fn check_type(provider: &Configured, planned: &DiskPlanned) -> Diagnostics {
    let cloud = provider.cloud();
    let kinds = cloud.capabilities().disk_types;
    match planned.disk_type.known().filter(|kind| !kinds.contains(&kind.as_str())) {
        Some(kind) => Diagnostic::error(
            "Not on offer",
            format!(
                "disk_type: {} has no disks of kind {kind:?}. Choose one of {}.",
                cloud.name(),
                kinds.join(", ")
            ),
        )
        .at("disk_type")
        .into(),
        None => Diagnostics::new(),
    }
}

/// The disk with the `PersistentVolume` of what was made.
fn with_volume(provider: &Configured, mut disk: Disk, id: &str) -> Disk {
    if let Some(volume) = volume(provider, &disk.clone().into(), Some(id)) {
        disk.persistent_volume = volume;
    }
    disk
}

/// The disk as a `PersistentVolume`, as far as it is known; `id` is the cloud's own ID of it.
fn volume(provider: &Configured, disk: &DiskPlanned, id: Option<&str>) -> Option<String> {
    let (cluster, name, zone) = (disk.cluster.known()?, disk.name.known()?, disk.zone.known()?);
    let name = disk_name(&ClusterName::new(cluster), name);
    let (driver, handle) = provider.cloud().volume(zone, &name, id)?;
    Some(persistent_volume::render(&PersistentVolumeSettings {
        name,
        size_gb: *disk.size_gb.known()?,
        region: provider.cloud().region().to_owned(),
        zone: zone.clone(),
        source: VolumeSource { driver, handle },
        filesystem: disk.filesystem.known()?.clone(),
        storage_class: disk.storage_class.known()?.clone(),
        legacy_zone_labels: *disk.legacy_zone_labels.known()?,
    }))
}

/// The planned disk with everything that follows from what is known by now.
fn complete(provider: &Configured, mut planned: DiskPlanned) -> Result<Disk, Diagnostics> {
    let region = provider.cloud().region();
    planned.region = region.into();
    if let (Some(cluster), Some(name)) = (planned.cluster.known(), planned.name.known()) {
        planned.id = ObjectId::object(region, &ClusterName::new(cluster), name).into();
    }
    if let Some(labels) = wanted_labels(provider, &planned) {
        planned.labels_all = labels
            .into_iter()
            .map(|(key, value)| (key, value.into()))
            .collect::<BTreeMap<_, _>>()
            .into();
    }
    if planned.disk_type.is_unknown() {
        planned.disk_type = default_type(provider).into();
    }
    if planned.persistent_volume.is_unknown() {
        // Where only the cloud can tell it, what was made does.
        planned.persistent_volume = volume(provider, &planned, None).unwrap_or_default().into();
    }
    planned.into_known()
}
