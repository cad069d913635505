//! What the configuration asks for, as the planner wants it.

use std::collections::BTreeMap;

use multizone_cloud::{ClusterName, Labels, Role, label};
use multizone_kubernetes::{cluster_settings::ClusterSettings, kubeadm::Customisation, version::KubernetesVersion};
use multizone_planner::{
    Version,
    cluster::{ControlPlane as Intent, Operation, Replica},
    fingerprint,
};
use multizone_schema::{Diagnostic, Diagnostics, Planned};

use super::{ControlPlanePlanned, kubeadm::Kubeadm, machine::SPECIFICATION};
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
    /// What kubeadm is told beyond its own settings.
    pub(super) customisation: Customisation,
    /// What marks the masters' Nodes.
    pub(super) marks: Marks,
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
        let kubeadm = Kubeadm::planned(&planned.kubeadm)?;
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
            customisation: kubeadm.customisation()?,
            marks: Marks::of(&kubeadm),
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
        version(self.version)
    }

    /// What the cluster is to say of itself.
    pub(super) fn settings(&self) -> ClusterSettings {
        ClusterSettings {
            version: self.version,
            customisation: self.customisation.clone(),
        }
    }

    /// What of it is chosen, as a fingerprint: nothing when nothing is.
    pub(super) fn settings_fingerprint(&self) -> String {
        digest(self.customisation.settings_text())
    }

    /// What of kubeadm's addons is chosen, as a fingerprint: nothing when nothing is.
    pub(super) fn addons_fingerprint(&self) -> String {
        digest(self.customisation.addons_text())
    }

    /// The operation that the planner is asked about; `endpoint` is the API's URL.
    pub(super) fn operation(&self, endpoint: Option<String>) -> Operation {
        let endpoint = endpoint.map(|url| host(&url).to_owned());
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
            settings: self.settings_fingerprint(),
            addons: self.addons_fingerprint(),
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
        if self.customisation != Customisation::default() || self.marks != Marks::default() {
            parts.push(self.customisation.text());
            parts.push(format!("{:?}", self.marks));
        }
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        format!("{:016x}", fingerprint(&parts))
    }
}

/// What marks a master's Node as one that ordinary pods and load balancers leave alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Marks {
    /// kubeadm's taint.
    pub(super) taint: bool,
    /// kubeadm's label against load balancers of Services.
    pub(super) excluded: bool,
}

impl Default for Marks {
    /// What kubeadm does.
    fn default() -> Self {
        Self {
            taint: true,
            excluded: true,
        }
    }
}

impl Marks {
    fn of(kubeadm: &Kubeadm) -> Self {
        Self {
            taint: kubeadm.control_plane_taint,
            excluded: kubeadm.exclude_from_external_load_balancers,
        }
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
        let (image, service_account) = (or_default(&self.wanted.image), or_default(&self.wanted.service_account));
        let boot_disk_gb = self.wanted.boot_disk_gb.to_string();
        let customisation = self.wanted.customisation.machine_text();
        let mut parts = vec![
            self.zone,
            &self.wanted.machine_type,
            &image,
            &boot_disk_gb,
            &service_account,
        ];
        // Without a choice it is what it was before there was one.
        parts.extend(Some(customisation.as_str()).filter(|text| !text.is_empty()));
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

/// A version in the planner's words.
pub(super) fn version(version: KubernetesVersion) -> Version {
    Version::new(version.major.into(), version.minor.into(), version.patch.into())
}

/// The address or name in the API's URL: what a handover moves.
fn host(url: &str) -> &str {
    let host = url.strip_prefix("https://").unwrap_or(url);
    host.rsplit_once(':').map_or(host, |(host, _)| host)
}

fn digest(text: String) -> String {
    if text.is_empty() {
        return text;
    }
    format!("{:016x}", fingerprint(&[text.as_str()]))
}

/// The fingerprint of a manifest, to see whether the one applied last is still the one asked for.
pub(super) fn pod_network_fingerprint(manifest: &str) -> String {
    format!("{:016x}", fingerprint(&[manifest]))
}
