//! The master's machine: what it is made from.

use multizone_cloud::{ClusterName, Labels, MachineSpec, Role, label};
use multizone_kubernetes::{
    kubeadm::{self, InitSettings, NodeRegistration},
    user_data::{MasterStart, MasterUserData, PkiLocation},
    version::KubernetesVersion,
};
use multizone_planner::{Timing, control_plane::Desired, fingerprint};
use multizone_schema::{Diagnostic, Diagnostics, Planned};

use super::ControlPlanePlanned;
use crate::{
    configuration::Configured,
    resources::{
        cluster::ClusterFacts,
        identity::{API_ADDRESS, master_name, zonal_labels},
        marks,
        trouble::Situation,
    },
};

/// The label that says what a machine was made from.
pub(in crate::resources) const SPECIFICATION: &str = "multizone-specification";

/// What the configuration asks for.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) cluster: ClusterName,
    pub(super) replica: String,
    pub(super) zone: String,
    pub(super) version: KubernetesVersion,
    pub(super) machine_type: String,
    pub(super) image: Option<String>,
    pub(super) boot_disk_gb: i64,
    pub(super) service_account: Option<String>,
    pub(super) legacy_zone_labels: bool,
    pub(super) pod_network: Option<String>,
}

impl Wanted {
    pub(super) fn of(planned: &ControlPlanePlanned) -> Result<Self, Diagnostics> {
        let missing = |name: &str| {
            Diagnostics::from(
                Diagnostic::error("Value not known", format!("{name} has no value when it is needed.")).at(name),
            )
        };
        let text = |value: &Planned<String>, name| value.known().cloned().ok_or_else(|| missing(name));
        let replicas = planned.replicas.known().ok_or_else(|| missing("replicas"))?;
        let (replica, settings) = replicas.iter().next().ok_or_else(|| missing("replicas"))?;
        let zone = settings
            .known()
            .and_then(|replica| replica.zone.known())
            .ok_or_else(|| missing("replicas"))?;
        let version = text(&planned.kubernetes_version, "kubernetes_version")?;
        Ok(Self {
            cluster: ClusterName::new(text(&planned.cluster, "cluster")?),
            replica: replica.clone(),
            zone: zone.clone(),
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
        })
    }

    /// The machine's name, and its Node's.
    pub(super) fn name(&self) -> String {
        master_name(&self.cluster, &self.replica)
    }

    /// What the machine is made from, as a fingerprint.
    pub(super) fn specification(&self) -> String {
        let or_default = |value: &Option<String>| value.clone().unwrap_or_default();
        let parts = [
            self.zone.as_str(),
            &self.version.to_string(),
            &self.machine_type,
            &or_default(&self.image),
            &self.boot_disk_gb.to_string(),
            &or_default(&self.service_account),
        ];
        format!("{:016x}", fingerprint(&parts))
    }

    /// All that the configuration asks for, as a fingerprint: what a finished control plane is recognised by.
    pub(super) fn fingerprint(&self) -> String {
        let parts = [
            self.replica.as_str(),
            &self.specification(),
            &self.legacy_zone_labels.to_string(),
            self.pod_network.as_deref().unwrap_or_default(),
        ];
        format!("{:016x}", fingerprint(&parts))
    }

    /// The same, as the planner wants it.
    pub(super) fn desired(&self, endpoint: Option<String>) -> Desired {
        Desired {
            replica: self.replica.clone(),
            zone: self.zone.clone(),
            specification: self.specification(),
            endpoint,
            pod_network: self.pod_network.as_deref().map(pod_network_fingerprint),
        }
    }

    /// The machine's labels once its create has finished.
    pub(super) fn labels(&self, region: &str) -> Labels {
        let mut labels = zonal_labels(&self.cluster, region, &self.zone);
        labels.insert(label::ROLE.to_owned(), Role::Master.as_str().to_owned());
        labels.insert(label::REPLICA.to_owned(), self.replica.clone());
        labels.insert(label::VERSION.to_owned(), self.version.to_string().replace('.', "-"));
        labels.insert(SPECIFICATION.to_owned(), self.specification());
        labels
    }

    /// The machine as the cloud is asked for it; its user data initialises the cluster.
    pub(super) async fn machine(
        &self,
        provider: &Configured,
        facts: &ClusterFacts,
        situation: &Situation<'_>,
    ) -> Result<MachineSpec, Diagnostics> {
        let cloud = provider.cloud();
        let identity = match &self.service_account {
            Some(identity) => identity.clone(),
            None => cloud
                .default_machine_identity()
                .await
                .map_err(|error| situation.cloud(&error))?,
        };
        let mut labels = self.labels(cloud.region());
        labels.insert(label::CREATING.to_owned(), marks::UNFINISHED.to_owned());
        Ok(MachineSpec {
            cluster: self.cluster.clone(),
            name: self.name(),
            zone: self.zone.clone(),
            role: Role::Master,
            machine_type: self.machine_type.clone(),
            image: self.image.clone(),
            boot_disk_gb: self.boot_disk_gb,
            user_data: self.user_data(provider, facts, situation, &self.name())?,
            identity: Some(identity),
            address: Some(API_ADDRESS.to_owned()),
            labels,
        })
    }

    /// What initialises the cluster on the machine of this name.
    pub(super) fn user_data(
        &self,
        provider: &Configured,
        facts: &ClusterFacts,
        situation: &Situation<'_>,
        name: &str,
    ) -> Result<String, Diagnostics> {
        let cloud = provider.cloud();
        let unusable = |what: &dyn std::fmt::Display| {
            situation.error(
                &format!("The master's user data cannot be written: {what}."),
                "This is an error in the provider.",
            )
        };
        let settings = InitSettings {
            version: self.version,
            cluster_name: self.cluster.to_string(),
            endpoint: facts.endpoint.clone(),
            advertise_address: None,
            certificate_names: Vec::new(),
            pod_cidr: facts.settings.pod_cidr.parse().map_err(|error| unusable(&error))?,
            service_cidr: facts.settings.service_cidr.parse().map_err(|error| unusable(&error))?,
            node: NodeRegistration {
                name: name.to_owned(),
                node_ip: None,
                provider_id: cloud.provider_id(&self.zone, name),
                labels: kubeadm::topology_labels(cloud.region(), &self.zone, self.legacy_zone_labels),
                taints: None,
            },
            arguments: kubeadm::ComponentArguments::default(),
        };
        let source = cloud.secret_source(&facts.secrets.keys);
        MasterUserData {
            version: self.version,
            start: MasterStart::Init,
            kubeadm_configuration: kubeadm::init_configuration(&settings).map_err(|error| unusable(&error))?,
            pki: pki_location(&source, &facts.secrets.keys).ok_or_else(|| unusable(&source))?,
            endpoint_address: facts.endpoint.address(),
        }
        .render()
        .map_err(|error| unusable(&error))
    }
}

/// The fingerprint of a manifest, to see whether the one applied last is still the one asked for.
pub(super) fn pod_network_fingerprint(manifest: &str) -> String {
    format!("{:016x}", fingerprint(&[manifest]))
}

/// The planner's timing from the cloud's.
pub(in crate::resources) fn timing(timing: multizone_cloud::Timing) -> Timing {
    Timing {
        create_machine: timing.create_machine,
        join: timing.join,
        delete_machine: timing.delete_machine,
        drain: timing.drain,
    }
}

/// Takes `BASE/v1/projects/PROJECT/secrets/SECRET` apart.
pub(super) fn pki_location(source: &str, secret: &str) -> Option<PkiLocation> {
    let (base, rest) = source.split_once("/v1/projects/")?;
    let (project, _) = rest.split_once("/secrets/")?;
    Some(PkiLocation {
        secret_manager: base.to_owned(),
        project: project.to_owned(),
        secret: secret.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secrets_url_is_taken_apart() {
        let found = pki_location("https://secretmanager.googleapis.com/v1/projects/p/secrets/s", "s").unwrap();
        assert_eq!(
            (found.secret_manager.as_str(), found.project.as_str()),
            ("https://secretmanager.googleapis.com", "p")
        );
        assert!(pki_location("elsewhere", "s").is_none());
    }
}
