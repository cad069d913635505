//! Snapshots of disks.

use google_cloud_compute_v1::model::{self, snapshot::Status};
use multizone_cloud::{CloudError, ClusterName, Labels, Result, label};

use crate::{
    ComputeEngine,
    disks::disk_object,
    failure::{About as _, Failure},
    networks::{present, unless_absent, unless_exists},
    ownership::{filter, labelled},
    pages::PAGE,
};

impl ComputeEngine {
    pub(crate) async fn ensure_snapshot_of(&self, zone: &str, disk: &str, name: &str, labels: &Labels) -> Result<()> {
        let object = format!("snapshot {name}");
        let (project, region) = (&self.settings().project, &self.settings().region);
        let Some(cluster) = labels.get(label::CLUSTER).map(ClusterName::new) else {
            let reason = format!("the labels name no cluster ({})", label::CLUSTER);
            return Err(CloudError::Refused {
                object,
                code: "no owner".to_owned(),
                reason,
            });
        };
        let look = || self.snapshot(name);
        let leaving = |found: &model::Snapshot| found.status == Some(Status::Deleting);
        let found = self.staying(&object, look, leaving).await?;
        if found.is_none() {
            self.own_disk(&cluster, zone, disk, &disk_object(zone, disk)).await?;
            let mut labels = labels.clone();
            labels.insert(label::REGION.to_owned(), region.clone());
            let body = model::Snapshot::new().set_name(name).set_labels(labels);
            let client = self.clients().disks().await.about(&object)?;
            self.change("disks.createSnapshot", |token| {
                let call = client
                    .create_snapshot()
                    .set_project(project)
                    .set_zone(zone)
                    .set_disk(disk);
                call.set_request_id(token).set_body(body.clone()).send()
            })
            .await
            .or_else(unless_exists)
            .making(&object)?;
        }
        let making = |found: &model::Snapshot| matches!(found.status, Some(Status::Creating | Status::Uploading));
        let found = self.ready(&object, found, look, making).await?;
        if !labelled(&found.labels, &cluster) {
            return Err(CloudError::NotOurs { object });
        }
        let source = found.source_disk.as_deref().unwrap_or_default();
        if !source.ends_with(&format!("/zones/{zone}/disks/{disk}")) {
            let source = source.split_once("/zones/").map_or(source, |(_, path)| path);
            let difference = format!("it was taken of {source}, not of {zone}/disks/{disk}");
            return Err(CloudError::Differs { object, difference });
        }
        if found.status == Some(Status::Failed) {
            let (code, reason) = (
                "FAILED".to_owned(),
                "the cloud could not take it: delete it, and the next apply takes another".to_owned(),
            );
            return Err(CloudError::Refused { object, code, reason });
        }
        Ok(())
    }

    pub(crate) async fn delete_snapshot_named(&self, cluster: &ClusterName, name: &str) -> Result<()> {
        let object = format!("snapshot {name}");
        match self.snapshot(name).await.about(&object)? {
            None => return Ok(()),
            Some(found) if !labelled(&found.labels, cluster) => return Err(CloudError::NotOurs { object }),
            Some(_) => {}
        }
        let client = self.clients().snapshots().await.about(&object)?;
        let project = &self.settings().project;
        self.change("snapshots.delete", |token| {
            client
                .delete()
                .set_project(project)
                .set_snapshot(name)
                .set_request_id(token)
                .send()
        })
        .await
        .or_else(unless_absent)
        .about(&object)
    }

    /// Names of the cluster's snapshots that were taken in this region.
    pub(crate) async fn snapshots_of(&self, cluster: &ClusterName) -> std::result::Result<Vec<String>, Failure> {
        let client = self.clients().snapshots().await?;
        let (project, region) = (&self.settings().project, &self.settings().region);
        let request = |page| {
            let call = client.list().set_project(project).set_max_results(PAGE);
            call.set_filter(filter(cluster)).set_or_clear_page_token(page).send()
        };
        let own = |found: model::Snapshot| {
            let here = labelled(&found.labels, cluster) && found.labels.get(label::REGION) == Some(region);
            Ok(found.name.filter(|_| here))
        };
        let mut names = self.pages("snapshots.list", request, own).await?;
        names.sort();
        Ok(names)
    }

    async fn snapshot(&self, name: &str) -> std::result::Result<Option<model::Snapshot>, Failure> {
        let client = self.clients().snapshots().await?;
        let project = &self.settings().project;
        let request = || client.get().set_project(project).set_snapshot(name).send();
        present(self.sender().send("snapshots.get", request).await)
    }
}
