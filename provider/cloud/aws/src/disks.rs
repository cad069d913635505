//! Zonal disks: EBS volumes.

pub(crate) mod limits;

use aws_sdk_ec2::types::{Filter, ResourceType, Volume, VolumeState, VolumeType};
use multizone_cloud::{CloudError, ClusterName, Disk, DiskSpec, Labels, Performance, Result, label, relabelled};

use crate::{
    Aws,
    failure::{About as _, Failure, unless_absent},
    making::Called,
    requests::fresh_token,
    tags::{NAME, at_birth, filter, is_of, of_ec2, of_name},
};

const PAGE: i32 = 500;

impl Aws {
    pub(crate) async fn ensure_zonal_disk(&self, spec: &DiskSpec) -> Result<Disk> {
        let object = disk_object(&spec.zone, &spec.name);
        let snapshot = match &spec.snapshot {
            Some(name) => Some(self.snapshot_id(name).await?),
            None => None,
        };
        let tags = self.tags(&spec.cluster, &spec.name, &spec.labels);
        let client = &self.clients().ec2;
        let token = fresh_token();
        let kind = VolumeType::from(spec.disk_type.as_str());
        let Performance { iops, throughput } = limits::performance(&spec.disk_type, spec.size_gb, &spec.performance);
        let look = || self.volume(&spec.zone, &spec.name);
        let make = || async {
            let made = self
                .call_once("ec2:CreateVolume", || {
                    client
                        .create_volume()
                        .client_token(&token)
                        .availability_zone(&spec.zone)
                        .size(number(spec.size_gb))
                        .volume_type(kind.clone())
                        .set_iops(iops.map(number))
                        .set_throughput(throughput.map(number))
                        .encrypted(true)
                        .set_snapshot_id(snapshot.clone())
                        .tag_specifications(at_birth(ResourceType::Volume, &tags))
                        .send()
                })
                .await?;
            let id = made.volume_id.unwrap_or_default();
            self.volume_by_id(&id)
                .await?
                .ok_or_else(|| Failure::unreadable("the volume that was made is not shown"))
        };
        let mut found = self.found_or_made(&object, look, make).await?;
        if !is_of(&of_ec2(found.tags()), &spec.cluster) {
            return Err(CloudError::NotOurs { object });
        }
        if kind_of(&found) != spec.disk_type {
            let difference = format!("it is of kind {}, not {}", kind_of(&found), spec.disk_type);
            return Err(CloudError::Differs { object, difference });
        }
        if found.state == Some(VolumeState::Creating) {
            let id = found.volume_id.clone().unwrap_or_default();
            found = self.await_volume(&id).await.about(&object)?;
        }
        self.disk_of(found, None).await.about(&object)
    }

    async fn await_volume(&self, id: &str) -> Called<Volume> {
        self.poll("it to be ready", || async {
            match self.volume_by_id(id).await? {
                Some(found) if found.state == Some(VolumeState::Error) => Err(Failure::failed(
                    "error",
                    format!("volume {id} could not be made: its state is error"),
                )),
                found => Ok(found.filter(|found| found.state != Some(VolumeState::Creating))),
            }
        })
        .await
    }

    pub(crate) async fn grow_disk(&self, cluster: &ClusterName, zone: &str, name: &str, size_gb: i64) -> Result<()> {
        self.change_disk(cluster, zone, name, size_gb, None).await
    }

    /// Gives a disk a size and what it does, or leaves that as it is, in one change: EBS takes few of them in a day.
    pub(crate) async fn change_disk(
        &self,
        cluster: &ClusterName,
        zone: &str,
        name: &str,
        size_gb: i64,
        performance: Option<&Performance>,
    ) -> Result<()> {
        let object = disk_object(zone, name);
        let found = self.volume(zone, name).await.about(&object)?;
        let found = found.ok_or_else(|| CloudError::NotFound { object: object.clone() })?;
        if !is_of(&of_ec2(found.tags()), cluster) {
            return Err(CloudError::NotOurs { object });
        }
        let is = i64::from(found.size.unwrap_or_default());
        if is > size_gb {
            let difference = format!("it has {is} GiB, not {size_gb}, and no disk shrinks");
            return Err(CloudError::Differs { object, difference });
        }
        let now = does(&found);
        let wanted = performance.map_or(now, |given| limits::performance(kind_of(&found), size_gb, given));
        if is == size_gb && now == wanted {
            return Ok(());
        }
        let client = &self.clients().ec2;
        let id = found.volume_id().unwrap_or_default();
        let changed = |now: Option<i64>, wanted: Option<i64>| wanted.filter(|_| now != wanted).map(number);
        let modified = self
            .call("ec2:ModifyVolume", || {
                client
                    .modify_volume()
                    .volume_id(id)
                    .set_size(changed(Some(is), Some(size_gb)))
                    .set_iops(changed(now.iops, wanted.iops))
                    .set_throughput(changed(now.throughput, wanted.throughput))
                    .send()
            })
            .await;
        modified.map(drop).about(&object)?;
        self.poll("it to be what it is to be", || async {
            let found = self.volume_by_id(id).await?;
            let done = |found: &Volume| found.size >= Some(number(size_gb)) && does(found) == wanted;
            Ok(found.is_none_or(|found| done(&found)).then_some(()))
        })
        .await
        .about(&object)
    }

    pub(crate) async fn find_disk(&self, zone: &str, name: &str) -> Result<Option<Disk>> {
        let object = disk_object(zone, name);
        match self.volume(zone, name).await.about(&object)? {
            Some(found) => self.disk_of(found, None).await.about(&object).map(Some),
            None => Ok(None),
        }
    }

    pub(crate) async fn label_disk(
        &self,
        cluster: &ClusterName,
        zone: &str,
        name: &str,
        labels: &Labels,
    ) -> Result<()> {
        let object = disk_object(zone, name);
        let found = self.volume(zone, name).await.about(&object)?;
        let volume = found.ok_or_else(|| CloudError::NotFound { object: object.clone() })?;
        let now = of_ec2(volume.tags());
        let wanted = relabelled(now.get(label::CLUSTER), cluster, labels)
            .ok_or(CloudError::NotOurs { object: object.clone() })?;
        let (set, gone) = self.relabel(&now, &wanted);
        self.retag(volume.volume_id().unwrap_or_default(), &set, &gone)
            .await
            .about(&object)
    }

    pub(crate) async fn delete_zonal_disk(&self, cluster: &ClusterName, zone: &str, name: &str) -> Result<()> {
        let object = disk_object(zone, name);
        let Some(found) = self.volume(zone, name).await.about(&object)? else {
            return Ok(());
        };
        if !is_of(&of_ec2(found.tags()), cluster) {
            return Err(CloudError::NotOurs { object });
        }
        if let Some(attachment) = found.attachments().first() {
            let holder = attachment.instance_id().unwrap_or("an instance");
            let reason = format!("{holder} has it attached");
            return Err(CloudError::InUse { object, reason });
        }
        let client = &self.clients().ec2;
        let id = found.volume_id().unwrap_or_default();
        let deleted = self
            .call("ec2:DeleteVolume", || client.delete_volume().volume_id(id).send())
            .await;
        deleted.map(drop).or_else(unless_absent).about(&object)?;
        self.poll("it to be gone", || async {
            Ok(self.volume_by_id(id).await?.is_none().then_some(()))
        })
        .await
        .about(&object)
    }

    /// Volumes that pass the filters, in pages.
    pub(crate) async fn volumes(&self, filters: &[Filter]) -> Called<Vec<Volume>> {
        let client = &self.clients().ec2;
        let mut volumes = self
            .pages(|token| async move {
                let reply = self
                    .call("ec2:DescribeVolumes", || {
                        client
                            .describe_volumes()
                            .set_filters(Some(filters.to_vec()))
                            .max_results(PAGE)
                            .set_next_token(token.clone())
                            .send()
                    })
                    .await?;
                Ok((reply.volumes.unwrap_or_default(), reply.next_token))
            })
            .await?;
        volumes.retain(|volume| !matches!(volume.state, Some(VolumeState::Deleting | VolumeState::Deleted)));
        Ok(volumes)
    }

    async fn volume_by_id(&self, id: &str) -> Called<Option<Volume>> {
        let found = self.volumes(&[filter("volume-id", id)]).await?;
        Ok(found.into_iter().next())
    }

    /// The disk of that zone and name, whoever's it is; the boot volumes of machines are none.
    pub(crate) async fn volume(&self, zone: &str, name: &str) -> Called<Option<Volume>> {
        let mut found = self
            .volumes(&[of_name(name), filter("availability-zone", zone)])
            .await?;
        found.retain(|volume| !is_boot(volume) && named(volume) == name);
        found.sort_by_key(|volume| volume.create_time);
        Ok(found.into_iter().next())
    }

    /// The cluster's volumes, the boot volumes left out, and those too.
    pub(crate) async fn volumes_of(&self, cluster: &ClusterName) -> Called<Vec<Volume>> {
        let mut found = self.volumes(&[crate::tags::of_cluster(cluster)]).await?;
        found.retain(|volume| is_of(&of_ec2(volume.tags()), cluster));
        Ok(found)
    }

    /// What the cloud says of a volume.  `machines` are the names of machines, by their instances; without them, they are
    /// asked for.
    pub(crate) async fn disk_of(
        &self,
        volume: Volume,
        machines: Option<&std::collections::BTreeMap<String, String>>,
    ) -> Called<Disk> {
        let mut attached_to = Vec::new();
        for attachment in volume.attachments() {
            let id = attachment.instance_id().unwrap_or_default();
            let known = if let Some(machines) = machines {
                machines.get(id).cloned()
            } else {
                let instance = self.instance_by_id(id).await?;
                instance.and_then(|instance| of_ec2(instance.tags()).remove(NAME))
            };
            attached_to.push(known.unwrap_or_else(|| id.to_owned()));
        }
        attached_to.sort();
        let size_gb = i64::from(volume.size.unwrap_or_default());
        Ok(Disk {
            performance: does(&volume),
            usual: limits::performance(kind_of(&volume), size_gb, &Performance::default()),
            disk_type: kind_of(&volume).to_owned(),
            name: named(&volume),
            labels: self.labels(&of_ec2(volume.tags())),
            zone: volume.availability_zone.unwrap_or_default(),
            size_gb,
            id: volume.volume_id.unwrap_or_default(),
            attached_to,
        })
    }
}

fn kind_of(volume: &Volume) -> &str {
    volume.volume_type.as_ref().map(VolumeType::as_str).unwrap_or_default()
}

/// What a volume does, as far as its kind lets that be chosen.
fn does(volume: &Volume) -> Performance {
    let can = limits::performance(kind_of(volume), 1, &Performance::default());
    Performance {
        iops: can.iops.and(volume.iops).map(i64::from),
        throughput: can.throughput.and(volume.throughput).map(i64::from),
    }
}

/// A number as EC2 takes it.
fn number(value: i64) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}

pub(crate) fn is_boot(volume: &Volume) -> bool {
    of_ec2(volume.tags()).contains_key(label::BOOT)
}

fn named(volume: &Volume) -> String {
    of_ec2(volume.tags()).remove(NAME).unwrap_or_default()
}

pub(crate) fn disk_object(zone: &str, name: &str) -> String {
    format!("disk {name} in {zone}")
}
