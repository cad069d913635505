//! Zonal disks.

use super::addresses::check_label_change;
use super::catalogue::{self, Image};
use super::error::Refusal;
use super::names::{check_labels, check_name};
use super::operations::{Effect, Operation};
use super::records::{Disk, DiskStatus, Labels};
use super::transaction::Transaction;

/// What a new disk is filled with.
#[derive(Debug, Clone, Default)]
pub enum DiskSource {
    /// Nothing.
    #[default]
    Blank,
    /// An image: project, name, or family.
    Image {
        /// Project that publishes it.
        project: String,
        /// Its name; or the family's.
        name: String,
        /// Whether the name is a family's.
        family: bool,
    },
    /// A snapshot.
    Snapshot(String),
}

/// A disk to make.
#[derive(Debug, Clone, Default)]
pub struct NewDisk {
    /// Name.
    pub name: String,
    /// Free text.
    pub description: String,
    /// Zone.
    pub zone: String,
    /// Size; `None` takes the source's, or 500 GiB for a blank standard disk and 100 for another.
    pub size_gb: Option<u64>,
    /// Kind: zone and name as given; `None` is `pd-standard`.
    pub disk_type: Option<String>,
    /// Content.
    pub source: DiskSource,
    /// Labels.
    pub labels: Labels,
}

impl Transaction<'_> {
    /// Makes a disk.
    pub fn insert_disk(&mut self, new: &NewDisk) -> Result<Operation, Refusal> {
        self.require_zone(&new.zone)?;
        check_name("resource.name", &new.name)?;
        let path = self.settings.zonal_path(&new.zone, "disks", &new.name);
        if self.state.disks.contains_key(&format!("{}/{}", new.zone, new.name)) {
            return Err(Refusal::already_exists(&path));
        }
        self.require_zone_up(&new.zone)?;
        let disk = self.make_disk(new, "resource", DiskStatus::Creating)?;
        let seconds = if disk.source_snapshot.is_some() { 20.0 } else { 4.0 };
        let key = format!("{}/{}", disk.zone, disk.identity.name);
        let id = disk.identity.id;
        self.put(disk);
        Ok(self.begin(
            Self::zonal("disks.insert", &new.zone, path, id),
            [(seconds, Effect::DiskReady(key))],
        ))
    }

    /// Checks a disk to make, alone or with a machine; the caller stores it.
    pub(super) fn make_disk(&mut self, new: &NewDisk, field: &str, status: DiskStatus) -> Result<Disk, Refusal> {
        check_labels(&format!("{field}.labels"), &new.labels)?;
        let disk_type = new.disk_type.clone().unwrap_or_else(|| "pd-standard".to_owned());
        let Some((_, largest)) = catalogue::DISK_TYPES.iter().find(|(name, _)| *name == disk_type) else {
            return Err(Refusal::invalid(
                &format!("{field}.type"),
                &disk_type,
                format!("The disk type does not exist in zone '{}'", new.zone),
            ));
        };
        let mut smallest = 1;
        let mut wanted = if disk_type == "pd-standard" { 500 } else { 100 };
        let (mut source_image, mut source_snapshot) = (None, None);
        match &new.source {
            DiskSource::Blank => {}
            DiskSource::Image { project, name, family } => {
                let image = find_image(project, name, *family)?;
                smallest = image.disk_size_gb;
                wanted = image.disk_size_gb;
                source_image = Some(format!("{}/{}", image.project, image.name));
            }
            DiskSource::Snapshot(name) => {
                let path = self.settings.global_path("snapshots", name);
                let snapshot = self
                    .state
                    .snapshots
                    .get(name)
                    .ok_or_else(|| Refusal::not_found(&path))?;
                if !snapshot.ready {
                    return Err(Refusal::not_ready(&path));
                }
                smallest = snapshot.disk_size_gb;
                wanted = snapshot.disk_size_gb;
                source_snapshot = Some((name.clone(), snapshot.identity.id));
            }
        }
        let size_gb = new.size_gb.unwrap_or(wanted);
        let size_field = format!("{field}.sizeGb");
        if size_gb < smallest {
            let what = match new.source {
                DiskSource::Blank => "the smallest size",
                DiskSource::Image { .. } => "the image size",
                DiskSource::Snapshot(_) => "the snapshot size",
            };
            let why = format!("Requested disk size cannot be smaller than {what} ({smallest} GB)");
            return Err(Refusal::invalid(&size_field, size_gb, why));
        }
        if size_gb > *largest {
            return Err(Refusal::invalid(
                &size_field,
                size_gb,
                format!("Disk size cannot exceed {largest} GB"),
            ));
        }
        Ok(Disk {
            identity: self.new_identity(&new.name, &new.description),
            zone: new.zone.clone(),
            size_gb,
            disk_type,
            status,
            labels: new.labels.clone(),
            source_image,
            source_snapshot,
            user: None,
            last_attach: None,
            last_detach: None,
        })
    }

    /// The disk, its path and ID.
    pub(super) fn disk(&self, zone: &str, name: &str) -> Result<(Disk, String), Refusal> {
        self.require_zone(zone)?;
        let path = self.settings.zonal_path(zone, "disks", name);
        match self.state.disks.get(&format!("{zone}/{name}")) {
            Some(disk) => Ok((disk.clone(), path)),
            None => Err(Refusal::not_found(&path)),
        }
    }

    /// Grows a disk.
    pub fn resize_disk(&mut self, zone: &str, name: &str, size_gb: u64) -> Result<Operation, Refusal> {
        let (disk, path) = self.disk(zone, name)?;
        self.require_zone_up(zone)?;
        self.require_ready(&path)?;
        if size_gb <= disk.size_gb {
            return Err(Refusal::invalid(
                "sizeGb",
                size_gb,
                format!(
                    "New disk size must be greater than the current size ({} GB): disks do not shrink.",
                    disk.size_gb
                ),
            ));
        }
        let largest = catalogue::DISK_TYPES
            .iter()
            .find(|(name, _)| *name == disk.disk_type)
            .map_or(65536, |it| it.1);
        if size_gb > largest {
            return Err(Refusal::invalid(
                "sizeGb",
                size_gb,
                format!("Disk size cannot exceed {largest} GB"),
            ));
        }
        let effect = Effect::DiskGrows(format!("{zone}/{name}"), size_gb);
        Ok(self.begin(
            Self::zonal("disks.resize", zone, path, disk.identity.id),
            [(3.0, effect)],
        ))
    }

    /// Replaces the labels of a disk.
    pub fn set_disk_labels(
        &mut self,
        zone: &str,
        name: &str,
        labels: Labels,
        expected: Option<&str>,
    ) -> Result<Operation, Refusal> {
        let (disk, path) = self.disk(zone, name)?;
        self.require_zone_up(zone)?;
        self.require_existing(&path)?;
        check_label_change(&disk.labels, &labels, expected)?;
        self.alter::<Disk>(&format!("{zone}/{name}"), |it| it.labels = labels);
        Ok(self.begin(
            Self::zonal("disks.setLabels", zone, path, disk.identity.id),
            [(3.0, Effect::None)],
        ))
    }

    /// Deletes a disk that no machine uses.
    pub fn delete_disk(&mut self, zone: &str, name: &str) -> Result<Operation, Refusal> {
        let (disk, path) = self.disk(zone, name)?;
        self.require_zone_up(zone)?;
        if let Some(user) = &disk.user {
            return Err(Refusal::in_use("disk", &path, &self.settings.instance_path(user)));
        }
        self.require_ready(&path)?;
        let key = format!("{zone}/{name}");
        self.alter::<Disk>(&key, |it| it.status = DiskStatus::Deleting);
        Ok(self.begin(
            Self::zonal("disks.delete", zone, path, disk.identity.id),
            [(3.0, Effect::DiskGone(key))],
        ))
    }
}

/// The image, by name or as the newest of a family.
pub fn find_image(project: &str, name: &str, family: bool) -> Result<&'static Image, Refusal> {
    let (found, path) = if family {
        (
            catalogue::image_from_family(project, name),
            format!("projects/{project}/global/images/family/{name}"),
        )
    } else {
        (
            catalogue::image(project, name),
            format!("projects/{project}/global/images/{name}"),
        )
    };
    found.ok_or_else(|| Refusal::not_found(&path))
}
