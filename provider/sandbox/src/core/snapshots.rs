//! Snapshots: copies of disks that are not bound to a zone.

use super::addresses::check_label_change;
use super::error::Refusal;
use super::names::{check_labels, check_name};
use super::operations::{Effect, Operation};
use super::records::{Labels, Snapshot};
use super::transaction::Transaction;

impl Transaction<'_> {
    /// Takes a snapshot.  The operation is the zone's when asked of the disk, the project's when asked of snapshots.
    pub fn insert_snapshot(
        &mut self,
        zone: &str,
        disk: &str,
        name: &str,
        description: &str,
        labels: Labels,
        of_disk: bool,
    ) -> Result<Operation, Refusal> {
        let (disk, disk_path) = self.disk(zone, disk)?;
        check_name("resource.name", name)?;
        check_labels("resource.labels", &labels)?;
        let path = self.settings.global_path("snapshots", name);
        if self.state.snapshots.contains_key(name) {
            return Err(Refusal::already_exists(&path));
        }
        self.require_zone_up(zone)?;
        self.require_existing(&disk_path)?;
        let identity = self.new_identity(name, description);
        let id = identity.id;
        self.put(Snapshot {
            identity,
            source_disk: format!("{zone}/{}", disk.identity.name),
            source_disk_id: disk.identity.id,
            disk_size_gb: disk.size_gb,
            ready: false,
            labels,
        });
        let effect = [(30.0, Effect::SnapshotReady(name.to_owned()))];
        Ok(if of_disk {
            // As on Compute Engine the operation is about the disk, and blocks its deletion until the copy is made.
            self.begin(
                Self::zonal("disks.createSnapshot", zone, disk_path, disk.identity.id),
                effect,
            )
        } else {
            self.begin(Self::global("snapshots.insert", path, id), effect)
        })
    }

    /// Replaces the labels of a snapshot.
    pub fn set_snapshot_labels(
        &mut self,
        name: &str,
        labels: Labels,
        expected: Option<&str>,
    ) -> Result<Operation, Refusal> {
        let path = self.settings.global_path("snapshots", name);
        let snapshot = self
            .state
            .snapshots
            .get(name)
            .ok_or_else(|| Refusal::not_found(&path))?;
        let id = snapshot.identity.id;
        self.require_existing(&path)?;
        check_label_change(&snapshot.labels, &labels, expected)?;
        self.alter::<Snapshot>(name, |it| it.labels = labels);
        Ok(self.begin(Self::global("snapshots.setLabels", path, id), [(3.0, Effect::None)]))
    }

    /// Deletes a snapshot.
    pub fn delete_snapshot(&mut self, name: &str) -> Result<Operation, Refusal> {
        let path = self.settings.global_path("snapshots", name);
        let snapshot = self
            .state
            .snapshots
            .get(name)
            .ok_or_else(|| Refusal::not_found(&path))?;
        let id = snapshot.identity.id;
        if !snapshot.ready {
            return Err(Refusal::not_ready(&path));
        }
        self.require_ready(&path)?;
        Ok(self.begin(
            Self::global("snapshots.delete", path, id),
            [(4.0, Effect::SnapshotGone(name.to_owned()))],
        ))
    }
}
