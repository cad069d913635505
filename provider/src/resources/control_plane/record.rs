//! What an import could not find in the cloud: kept in the cluster itself, and not secret.

use std::{collections::BTreeMap, time::Duration};

use multizone_kubernetes::cluster_access::{ApplyError, Cluster};
use multizone_schema::Field as _;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, timeout};
use tracing::warn;

use super::{ControlPlane, ControlPlanePlanned, kubeadm::Kubeadm};
use crate::{
    configuration::Configured,
    resources::{cluster::ClusterFacts, trouble::Situation},
    stop::Stop,
};

/// The `ConfigMap` in kube-system.
const NAME: &str = "multizone-control-plane";
/// Its key for the settings.
const SETTINGS: &str = "settings";
/// Its key for the pod network's manifest, as it was given.
const MANIFEST: &str = "pod-network-manifest";
/// An object holds 1 MiB at most; a larger manifest is not kept, so that an import shows it as new.
const LARGEST: usize = 900 * 1024;
/// How long an import waits for the Kubernetes API.
const PATIENCE: Duration = Duration::from_secs(10);

/// The settings that no cloud keeps.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Settings {
    image: Option<String>,
    boot_disk_gb: i64,
    service_account: Option<String>,
    legacy_zone_labels: bool,
    deletion_protection: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    replica_count: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    load_balancer: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tolerate_zone_loss: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    etcd_backup: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kubeadm: Option<Kubeadm>,
}

/// Keeps what was applied.
pub(super) async fn store(
    connection: &Cluster,
    planned: &ControlPlanePlanned,
    deadline: Instant,
    stop: &Stop,
) -> Result<(), ApplyError> {
    let settings = Settings {
        image: planned.image.known().cloned(),
        boot_disk_gb: planned.boot_disk_gb.known().copied().unwrap_or_default(),
        service_account: planned.service_account.known().cloned(),
        legacy_zone_labels: planned.legacy_zone_labels.known().copied().unwrap_or_default(),
        deletion_protection: planned.deletion_protection.known().copied().unwrap_or_default(),
        replica_count: planned.replica_count.known().copied(),
        load_balancer: planned.load_balancer.known().cloned(),
        tolerate_zone_loss: planned.tolerate_zone_loss.known().copied(),
        etcd_backup: planned.etcd_backup.known().cloned(),
        kubeadm: Option::from_planned(planned.kubeadm.clone()).unwrap_or_default(),
    };
    let settings = serde_json::to_string(&settings).unwrap_or_default();
    let mut data = BTreeMap::from([(SETTINGS.to_owned(), settings)]);
    if let Some(manifest) = planned
        .pod_network_manifest
        .known()
        .filter(|text| text.len() <= LARGEST)
    {
        data.insert(MANIFEST.to_owned(), manifest.clone());
    }
    connection.store_record(NAME, &data, deadline, stop.wait()).await
}

/// Whether somebody deleted or changed what was kept.
pub(super) async fn altered(connection: &Cluster, state: &ControlPlane) -> bool {
    let settings = Settings {
        image: state.image.clone(),
        boot_disk_gb: state.boot_disk_gb,
        service_account: state.service_account.clone(),
        legacy_zone_labels: state.legacy_zone_labels,
        deletion_protection: state.deletion_protection,
        replica_count: state.replica_count,
        load_balancer: state.load_balancer.clone(),
        tolerate_zone_loss: state.tolerate_zone_loss,
        etcd_backup: state.etcd_backup.clone(),
        kubeadm: state.kubeadm.clone(),
    };
    let manifest = state.pod_network_manifest.as_ref().filter(|text| text.len() <= LARGEST);
    match connection.record(NAME).await {
        Ok(Some(data)) => kept(&data).as_ref() != Some(&settings) || data.get(MANIFEST) != manifest,
        Ok(None) => true,
        Err(error) => {
            warn!(%error, "the record of the control plane's settings cannot be read");
            false
        }
    }
}

fn kept(data: &BTreeMap<String, String>) -> Option<Settings> {
    serde_json::from_str(data.get(SETTINGS)?).ok()
}

/// An imported control plane with what was kept of its settings.  Without a record, or while the API is silent, it has
/// the defaults, and the next plan shows what the configuration has beyond them.
pub(super) async fn recall(
    provider: &Configured,
    facts: &ClusterFacts,
    imported: ControlPlane,
    situation: &Situation<'_>,
) -> ControlPlane {
    let ask = async {
        let connection = facts
            .connect_as_operator(provider, situation)
            .await
            .map_err(|errors| errors.to_string())?;
        connection.record(NAME).await.map_err(|error| error.to_string())
    };
    let found = timeout(PATIENCE, ask)
        .await
        .unwrap_or_else(|_| Err("no answer".to_owned()));
    let mut data = match found {
        Ok(Some(data)) => data,
        Ok(None) => return imported,
        Err(reason) => {
            warn!(cluster = %imported.cluster, %reason, "imported without the settings that the cluster keeps");
            return imported;
        }
    };
    let Some(settings) = kept(&data) else {
        return imported;
    };
    ControlPlane {
        pod_network_manifest: data.remove(MANIFEST),
        image: settings.image,
        boot_disk_gb: settings.boot_disk_gb,
        service_account: settings.service_account,
        legacy_zone_labels: settings.legacy_zone_labels,
        deletion_protection: settings.deletion_protection,
        replica_count: settings.replica_count,
        load_balancer: settings.load_balancer,
        tolerate_zone_loss: settings.tolerate_zone_loss,
        etcd_backup: settings.etcd_backup,
        kubeadm: settings.kubeadm,
        ..imported
    }
}
