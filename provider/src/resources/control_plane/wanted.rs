//! What the configuration asks for, as the planner wants it.

use std::collections::BTreeMap;

use multizone_cloud::{ClusterName, Labels, Role, label};
use multizone_kubernetes::version::KubernetesVersion;
use multizone_planner::{
    Version,
    cluster::{ControlPlane as Intent, Operation, Replica},
    fingerprint,
};
use multizone_schema::{Diagnostic, Diagnostics, Planned};

use super::{ControlPlanePlanned, machine::SPECIFICATION};
use crate::resources::identity::{master_name, zonal_labels};

/// A control plane of any number of masters.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) cluster: ClusterName,
    pub(super) version: KubernetesVersion,
    pub(super) machine_type: String,
    pub(super) image: Option<String>,
    pub(super) boot_disk_gb: i64,
    pub(super) service_account: Option<String>,
    pub(super) legacy_zone_labels: bool,
    pub(super) pod_network: Option<String>,
    /// The zone of each replica, by key.
    pub(super) replicas: BTreeMap<String, String>,
    /// The balancer in front of them, by name.
    pub(super) balancer: Option<String>,
    /// Where snapshots of etcd go.
    pub(super) backup: Option<String>,
}

impl Wanted {
    /// What a plan asks for, if enough of it is known.
    pub(super) fn of(planned: &ControlPlanePlanned) -> Result<Self, Diagnostics> {
        let missing = |name: &str| {
            let text = format!("{name} has no value when it is needed.");
            Diagnostics::from(Diagnostic::error("Value not known", text).at(name))
        };
        let text = |value: &Planned<String>, name| value.known().cloned().ok_or_else(|| missing(name));
        let mut replicas = BTreeMap::new();
        for (key, replica) in planned.replicas.known().ok_or_else(|| missing("replicas"))? {
            let zone = replica.known().and_then(|replica| replica.zone.known());
            let zone = zone.ok_or_else(|| missing("replicas"))?;
            replicas.insert(key.clone(), zone.clone());
        }
        if planned.load_balancer.is_unknown() {
            return Err(missing("load_balancer"));
        }
        let version = text(&planned.kubernetes_version, "kubernetes_version")?;
        Ok(Self {
            cluster: ClusterName::new(text(&planned.cluster, "cluster")?),
            version: KubernetesVersion::parse(&version).map_err(|error| {
                Diagnostic::error("Unsupported Kubernetes version", format!("{error}.")).at("kubernetes_version")
            })?,
            machine_type: text(&planned.machine_type, "machine_type")?,
            image: planned.image.known().cloned(),
            boot_disk_gb: *planned.boot_disk_gb.known().ok_or_else(|| missing("boot_disk_gb"))?,
            service_account: planned.service_account.known().cloned(),
            legacy_zone_labels: *planned
                .legacy_zone_labels
                .known()
                .ok_or_else(|| missing("legacy_zone_labels"))?,
            pod_network: planned.pod_network_manifest.known().cloned(),
            replicas,
            balancer: planned.load_balancer.known().cloned(),
            backup: planned.etcd_backup.known().cloned(),
        })
    }

    /// One master of it.
    pub(super) fn replica<'w>(&'w self, key: &'w str, zone: &'w str) -> Master<'w> {
        Master {
            wanted: self,
            replica: key,
            zone,
        }
    }

    /// The Kubernetes version.
    pub(super) fn version(&self) -> Version {
        Version::new(
            self.version.major.into(),
            self.version.minor.into(),
            self.version.patch.into(),
        )
    }

    /// The operation that the planner is asked about.
    pub(super) fn operation(&self, endpoint: Option<String>) -> Operation {
        let replica = |(key, zone): (&String, &String)| {
            let replica = Replica {
                zone: zone.clone(),
                specification: self.replica(key, zone).specification(),
            };
            (key.clone(), replica)
        };
        Operation::ControlPlane(Intent {
            prefix: master_name(&self.cluster, ""),
            replicas: self.replicas.iter().map(replica).collect(),
            version: self.version(),
            settings: String::new(),
            balancer: self.balancer.clone(),
            endpoint,
            backup: self.backup.clone(),
            pod_network: self.pod_network.as_deref().map(pod_network_fingerprint),
        })
    }

    /// The end of it.
    pub(super) fn removal(&self, endpoint: Option<String>) -> Operation {
        Self {
            replicas: BTreeMap::new(),
            ..self.clone()
        }
        .operation(endpoint)
    }

    /// All that the configuration asks for, as a fingerprint: what a finished control plane is recognised by.
    pub(super) fn fingerprint(&self) -> String {
        let mut parts = vec![
            self.version.to_string(),
            self.legacy_zone_labels.to_string(),
            self.pod_network.clone().unwrap_or_default(),
            self.balancer.clone().unwrap_or_default(),
        ];
        for (key, zone) in &self.replicas {
            parts.push(key.clone());
            parts.push(self.replica(key, zone).specification());
        }
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        format!("{:016x}", fingerprint(&parts))
    }
}

/// One master, as it is wanted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Master<'w> {
    pub(super) wanted: &'w Wanted,
    /// Key of its replica.
    pub(super) replica: &'w str,
    pub(super) zone: &'w str,
}

impl Master<'_> {
    /// What its machine is made from, without the Kubernetes version, as a fingerprint.
    pub(super) fn specification(&self) -> String {
        let or_default = |value: &Option<String>| value.clone().unwrap_or_default();
        let parts = [
            self.zone,
            &self.wanted.machine_type,
            &or_default(&self.wanted.image),
            &self.wanted.boot_disk_gb.to_string(),
            &or_default(&self.wanted.service_account),
        ];
        format!("{:016x}", fingerprint(&parts))
    }

    /// The labels of a machine that was made from this, in this version.
    pub(super) fn labels(&self, region: &str, specification: &str, version: Version) -> Labels {
        let mut labels = zonal_labels(&self.wanted.cluster, region, self.zone);
        labels.insert(label::ROLE.to_owned(), Role::Master.as_str().to_owned());
        labels.insert(label::REPLICA.to_owned(), self.replica.to_owned());
        labels.insert(label::VERSION.to_owned(), version.to_string().replace('.', "-"));
        labels.insert(SPECIFICATION.to_owned(), specification.to_owned());
        labels
    }
}

/// The fingerprint of a manifest, to see whether the one applied last is still the one asked for.
pub(super) fn pod_network_fingerprint(manifest: &str) -> String {
    format!("{:016x}", fingerprint(&[manifest]))
}
