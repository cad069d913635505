//! Zonal disks.

use google_cloud_compute_v1::model::{self, disk::Status};
use multizone_cloud::{CloudError, ClusterName, Disk, DiskSpec, Labels, Performance, Result, label, relabelled};

use crate::{
    ComputeEngine,
    failure::{About as _, Failure},
    machines::LABEL_ATTEMPTS,
    names::last_segment,
    networks::{present, unless_absent, unless_exists},
    operations::Until,
    ownership::{labelled, labels_for},
};

impl ComputeEngine {
    pub(crate) async fn ensure_zonal_disk(&self, spec: &DiskSpec) -> Result<Disk> {
        let object = disk_object(&spec.zone, &spec.name);
        let (project, zone) = (&self.settings().project, &spec.zone);
        let look = || self.disk(zone, &spec.name);
        let leaving = |disk: &model::Disk| disk.status == Some(Status::Deleting);
        let found = self.staying(&object, look, leaving).await?;
        if found.is_none() {
            let body = model::Disk::new()
                .set_name(&spec.name)
                .set_size_gb(spec.size_gb)
                .set_type(format!("projects/{project}/zones/{zone}/diskTypes/{}", spec.disk_type))
                .set_labels(labels_for(&spec.cluster, &spec.labels))
                .set_or_clear_source_snapshot(
                    spec.snapshot
                        .as_ref()
                        .map(|snapshot| format!("projects/{project}/global/snapshots/{snapshot}")),
                );
            let client = self.clients().disks().await.about(&object)?;
            self.change("disks.insert", |token| {
                let call = client.insert().set_project(project).set_zone(zone);
                call.set_request_id(token).set_body(body.clone()).send()
            })
            .await
            .or_else(unless_exists)
            .making(&object)?;
        }
        let making = |disk: &model::Disk| matches!(disk.status, Some(Status::Creating | Status::Restoring));
        let found = self.ready(&object, found, look, making).await?;
        if !labelled(&found.labels, &spec.cluster) || found.labels.contains_key(label::BOOT) {
            return Err(CloudError::NotOurs { object });
        }
        if found.status == Some(Status::Failed) {
            let (code, reason) = (
                "FAILED".to_owned(),
                "the cloud could not make it: delete it, and the next apply makes another".to_owned(),
            );
            return Err(CloudError::Refused { object, code, reason });
        }
        let disk = disk_facts(found);
        if disk.disk_type != spec.disk_type {
            let difference = format!("its kind is {}, not {}", disk.disk_type, spec.disk_type);
            return Err(CloudError::Differs { object, difference });
        }
        Ok(disk)
    }

    pub(crate) async fn grow_disk(&self, cluster: &ClusterName, zone: &str, name: &str, size_gb: i64) -> Result<()> {
        let object = disk_object(zone, name);
        let now = self
            .own_disk(cluster, zone, name, &object)
            .await?
            .size_gb
            .unwrap_or_default();
        if now == size_gb {
            return Ok(());
        }
        if now > size_gb {
            let difference = format!("it holds {now} GiB and cannot shrink to {size_gb} GiB");
            return Err(CloudError::Differs { object, difference });
        }
        let client = self.clients().disks().await.about(&object)?;
        let project = &self.settings().project;
        let resized = self
            .change("disks.resize", |token| {
                let body = model::DisksResizeRequest::new().set_size_gb(size_gb);
                let call = client.resize().set_project(project).set_zone(zone).set_disk(name);
                call.set_request_id(token).set_body(body).send()
            })
            .await;
        match resized {
            Ok(()) => Ok(()),
            // An earlier call may have finished meanwhile, and Compute Engine refuses to grow a disk to its size.
            Err(failure) => match self.own_disk(cluster, zone, name, &object).await?.size_gb {
                Some(now) if now == size_gb => Ok(()),
                _ => Err(failure.into_error(&object)),
            },
        }
    }

    /// Any disk but one that a machine boots from.
    pub(crate) async fn find_disk(&self, zone: &str, name: &str) -> Result<Option<Disk>> {
        let found = self.disk(zone, name).await.about(&disk_object(zone, name))?;
        Ok(found
            .filter(|disk| !disk.labels.contains_key(label::BOOT))
            .map(disk_facts))
    }

    /// Replaces the labels; the label that names the owner stays in any case.
    pub(crate) async fn label_disk(
        &self,
        cluster: &ClusterName,
        zone: &str,
        name: &str,
        labels: &Labels,
        until: Until,
    ) -> Result<()> {
        let object = disk_object(zone, name);
        let client = self.clients().disks().await.about(&object)?;
        let project = &self.settings().project;
        let mut attempt = 1;
        loop {
            let found = self.disk(zone, name).await.about(&object)?;
            let disk = found.ok_or_else(|| CloudError::NotFound { object: object.clone() })?;
            let Some(wanted) = relabelled(disk.labels.get(label::CLUSTER), cluster, labels) else {
                return Err(CloudError::NotOurs { object });
            };
            if wanted == disk.labels.into_iter().collect::<Labels>() {
                return Ok(());
            }
            let body = model::ZoneSetLabelsRequest::new()
                .set_labels(wanted)
                .set_or_clear_label_fingerprint(disk.label_fingerprint);
            let changed = self
                .change_to(until, "disks.setLabels", |token| {
                    let call = client
                        .set_labels()
                        .set_project(project)
                        .set_zone(zone)
                        .set_resource(name);
                    call.set_request_id(token).set_body(body.clone()).send()
                })
                .await;
            match changed {
                Err(failure) if failure.is_stale() && attempt < LABEL_ATTEMPTS => attempt += 1,
                changed => return changed.about(&object),
            }
        }
    }

    pub(crate) async fn delete_zonal_disk(&self, cluster: &ClusterName, zone: &str, name: &str) -> Result<()> {
        let object = disk_object(zone, name);
        match self.own_disk(cluster, zone, name, &object).await {
            Ok(disk) if disk.users.is_empty() => {}
            Ok(disk) => {
                let users = disk
                    .users
                    .iter()
                    .map(|user| last_segment(user))
                    .collect::<Vec<_>>()
                    .join(", ");
                return Err(CloudError::InUse {
                    object,
                    reason: format!("attached to {users}"),
                });
            }
            Err(CloudError::NotFound { .. }) => return Ok(()),
            Err(error) => return Err(error),
        }
        let client = self.clients().disks().await.about(&object)?;
        let project = &self.settings().project;
        self.change("disks.delete", |token| {
            client
                .delete()
                .set_project(project)
                .set_zone(zone)
                .set_disk(name)
                .set_request_id(token)
                .send()
        })
        .await
        .or_else(unless_absent)
        .about(&object)
    }

    /// A disk of the cluster that exists.
    pub(crate) async fn own_disk(
        &self,
        cluster: &ClusterName,
        zone: &str,
        name: &str,
        object: &str,
    ) -> Result<model::Disk> {
        match self.disk(zone, name).await.about(object)? {
            None => Err(CloudError::NotFound {
                object: object.to_owned(),
            }),
            Some(disk) if !labelled(&disk.labels, cluster) => Err(CloudError::NotOurs {
                object: object.to_owned(),
            }),
            Some(disk) => Ok(disk),
        }
    }

    async fn disk(&self, zone: &str, name: &str) -> std::result::Result<Option<model::Disk>, Failure> {
        let client = self.clients().disks().await?;
        let project = &self.settings().project;
        let request = || client.get().set_project(project).set_zone(zone).set_disk(name).send();
        present(self.sender().send("disks.get", request).await)
    }
}

pub(crate) fn disk_object(zone: &str, name: &str) -> String {
    format!("disk {name} in {zone}")
}

/// What the cloud says of a disk.
pub(crate) fn disk_facts(disk: model::Disk) -> Disk {
    let mut attached_to: Vec<_> = disk.users.iter().map(|user| last_segment(user).to_owned()).collect();
    attached_to.sort();
    Disk {
        performance: Performance::default(),
        usual: Performance::default(),
        id: disk.id.map(|id| id.to_string()).unwrap_or_default(),
        name: disk.name.unwrap_or_default(),
        zone: disk.zone.as_deref().map(last_segment).unwrap_or_default().to_owned(),
        size_gb: disk.size_gb.unwrap_or_default(),
        disk_type: disk.r#type.as_deref().map(last_segment).unwrap_or_default().to_owned(),
        attached_to,
        labels: disk.labels.into_iter().collect(),
    }
}
