//! Snapshots, known by their names.

use aws_sdk_ec2::types::{ResourceType, Snapshot, SnapshotState};
use multizone_cloud::{CloudError, ClusterName, Labels, Result, label};

use crate::{
    Aws,
    disks::disk_object,
    failure::{About as _, Failure, unless_absent},
    making::Called,
    tags::{NAME, at_birth, is_of, of_cluster, of_ec2, of_name},
};

const PAGE: i32 = 1000;

impl Aws {
    pub(crate) async fn ensure_snapshot_of(
        &self,
        zone: &str,
        disk: &str,
        snapshot: &str,
        labels: &Labels,
    ) -> Result<()> {
        let object = snapshot_object(snapshot);
        let cluster = ClusterName::new(labels.get(label::CLUSTER).map_or("", String::as_str));
        let source = disk_object(zone, disk);
        let volume = match self.volume(zone, disk).await.about(&object)? {
            Some(volume) if !is_of(&of_ec2(volume.tags()), &cluster) => {
                return Err(CloudError::NotOurs { object: source });
            }
            Some(volume) => volume.volume_id.unwrap_or_default(),
            None => return Err(CloudError::NotFound { object: source }),
        };
        let tags = self.tags(&cluster, snapshot, labels);
        let client = &self.clients().ec2;
        let look = || self.snapshot(snapshot);
        let make = || async {
            let made = self
                .call_once("ec2:CreateSnapshot", || {
                    client
                        .create_snapshot()
                        .volume_id(&volume)
                        .tag_specifications(at_birth(ResourceType::Snapshot, &tags))
                        .send()
                })
                .await?;
            Ok(Snapshot::builder()
                .set_snapshot_id(made.snapshot_id)
                .set_tags(made.tags)
                .build())
        };
        let found = self.found_or_made(&object, look, make).await?;
        if !found.tags().is_empty() && !is_of(&of_ec2(found.tags()), &cluster) {
            return Err(CloudError::NotOurs { object });
        }
        self.poll("it to be ready", || async {
            match self.snapshot(snapshot).await? {
                Some(found) if found.state == Some(SnapshotState::Error) => {
                    let why = found.state_message.unwrap_or_default();
                    Err(Failure::failed("error", format!("it failed: {why}")))
                }
                Some(found) if found.state == Some(SnapshotState::Completed) => Ok(Some(())),
                _ => Ok(None),
            }
        })
        .await
        .about(&object)
    }

    pub(crate) async fn delete_snapshot_named(&self, cluster: &ClusterName, snapshot: &str) -> Result<()> {
        let object = snapshot_object(snapshot);
        let Some(found) = self.snapshot(snapshot).await.about(&object)? else {
            return Ok(());
        };
        if !is_of(&of_ec2(found.tags()), cluster) {
            return Err(CloudError::NotOurs { object });
        }
        let client = &self.clients().ec2;
        let id = found.snapshot_id().unwrap_or_default();
        let deleted = self
            .call("ec2:DeleteSnapshot", || client.delete_snapshot().snapshot_id(id).send())
            .await;
        deleted.map(drop).or_else(unless_absent).about(&object)
    }

    pub(crate) async fn snapshot_id(&self, name: &str) -> Result<String> {
        let object = snapshot_object(name);
        let found = self.snapshot(name).await.about(&object)?;
        found
            .and_then(|found| found.snapshot_id)
            .ok_or(CloudError::NotFound { object })
    }

    async fn snapshot(&self, name: &str) -> Called<Option<Snapshot>> {
        let mut found = self.snapshots(of_name(name)).await?;
        found.retain(|snapshot| of_ec2(snapshot.tags()).get(NAME).is_some_and(|found| found == name));
        Ok(found.into_iter().next())
    }

    /// Names of the cluster's snapshots.
    pub(crate) async fn snapshots_of(&self, cluster: &ClusterName) -> Called<Vec<String>> {
        let found = self.snapshots(of_cluster(cluster)).await?;
        let own = found.iter().map(|snapshot| of_ec2(snapshot.tags()));
        let mut names: Vec<String> = own
            .filter(|tags| is_of(tags, cluster))
            .filter_map(|mut tags| tags.remove(NAME))
            .collect();
        names.sort();
        Ok(names)
    }

    async fn snapshots(&self, filter: aws_sdk_ec2::types::Filter) -> Called<Vec<Snapshot>> {
        let client = &self.clients().ec2;
        let filter = &filter;
        self.pages(|token| async move {
            let reply = self
                .call("ec2:DescribeSnapshots", || {
                    client
                        .describe_snapshots()
                        .owner_ids("self")
                        .filters(filter.clone())
                        .max_results(PAGE)
                        .set_next_token(token.clone())
                        .send()
                })
                .await?;
            Ok((reply.snapshots.unwrap_or_default(), reply.next_token))
        })
        .await
    }
}

fn snapshot_object(name: &str) -> String {
    format!("snapshot {name}")
}
