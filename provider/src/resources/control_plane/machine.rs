//! A master's machine: what it is made from, and what its first boot does.

use multizone_cloud::{EndpointKind, MachineSpec, Role, label};
use multizone_kubernetes::{
    bootstrap_token::BootstrapToken,
    kubeadm::{self, ControlPlaneJoin, InitSettings, JoinSettings, NodeRegistration},
    user_data::{MasterStart, MasterUserData, PkiLocation},
};
use multizone_planner::{Timing, cluster::NewMachine};
use multizone_schema::Diagnostics;

use super::{executor::Executor, observe::JOINING_UNTIL};
use crate::resources::{identity::API_ADDRESS, marks};

/// The label that says what a machine was made from.
pub(in crate::resources) const SPECIFICATION: &str = "multizone-specification";

impl Executor<'_> {
    /// The machine as the cloud is asked for it.  With a token it joins; without one it initialises the cluster.
    pub(super) async fn machine(
        &self,
        new: &NewMachine,
        token: Option<&BootstrapToken>,
        holds_the_address: bool,
        joining_until: i64,
    ) -> Result<MachineSpec, Diagnostics> {
        let (cloud, wanted) = (self.provider.cloud(), &self.wanted);
        let identity = match &wanted.service_account {
            Some(identity) => identity.clone(),
            None => cloud
                .default_machine_identity(&wanted.cluster)
                .await
                .map_err(|error| self.situation().cloud(&error))?,
        };
        // Where nothing is ever handed over and no balancer decides, the API's name leads to every master.
        let named = cloud.capabilities().endpoint == EndpointKind::DnsName && wanted.balancer.is_none();
        let master = wanted.replica(&new.replica, &new.zone);
        let mut labels = master.labels(cloud.region(), &new.specification, new.version);
        labels.insert(JOINING_UNTIL.to_owned(), joining_until.to_string());
        if self.creates {
            labels.insert(label::CREATING.to_owned(), marks::UNFINISHED.to_owned());
        }
        Ok(MachineSpec {
            cluster: wanted.cluster.clone(),
            name: new.name.clone(),
            zone: new.zone.clone(),
            role: Role::Master,
            machine_type: wanted.machine_type.clone(),
            image: wanted.image.clone(),
            boot_disk_gb: wanted.boot_disk_gb,
            user_data: self.user_data(new, token)?,
            identity: Some(identity),
            address: (holds_the_address || named).then(|| API_ADDRESS.to_owned()),
            labels,
        })
    }

    fn user_data(&self, new: &NewMachine, token: Option<&BootstrapToken>) -> Result<String, Diagnostics> {
        let unusable = |what: &dyn std::fmt::Display| {
            self.situation().error(
                &format!("The user data of machine {} cannot be written: {what}.", new.name),
                "This is an error in the provider.",
            )
        };
        let (start, configuration) = match token {
            None => (
                MasterStart::Init,
                self.init_configuration(new).map_err(|error| unusable(&error))?,
            ),
            Some(token) => (
                MasterStart::Join,
                self.join_configuration(new, token).map_err(|error| unusable(&error))?,
            ),
        };
        let facts = &self.observer.facts;
        let source = self.provider.cloud().secret_source(&facts.secrets.keys);
        MasterUserData {
            version: self.wanted.version,
            start,
            kubeadm_configuration: configuration,
            pki: pki_location(&source, &facts.secrets.keys).ok_or_else(|| unusable(&source))?,
            endpoint_address: facts.endpoint.address(),
            endpoint_name: facts.endpoint.address().is_none().then(|| facts.endpoint.host.clone()),
            patches: self.wanted.customisation.patches.clone(),
        }
        .render()
        .map_err(|error| unusable(&error))
    }

    /// What the first master's kubeadm initialises the cluster by.
    fn init_configuration(&self, new: &NewMachine) -> Result<String, String> {
        let facts = &self.observer.facts;
        let settings = InitSettings {
            version: self.wanted.version,
            cluster_name: self.wanted.cluster.to_string(),
            endpoint: facts.endpoint.clone(),
            advertise_address: None,
            certificate_names: Vec::new(),
            pod_cidr: facts.settings.pod_cidr.parse().map_err(text)?,
            service_cidr: facts.settings.service_cidr.parse().map_err(text)?,
            node: self.registration(new),
            customisation: self.wanted.customisation.clone(),
        };
        Ok(kubeadm::init_configuration(&settings))
    }

    /// What a further master's kubeadm joins by.
    fn join_configuration(&self, new: &NewMachine, token: &BootstrapToken) -> Result<String, String> {
        let settings = JoinSettings {
            version: self.wanted.version,
            endpoint: self.observer.facts.endpoint.clone(),
            token: token.clone(),
            ca_certificate_hash: self.observer.pki.ca_certificate_hash().map_err(text)?,
            node: self.registration(new),
            control_plane: Some(ControlPlaneJoin {
                advertise_address: None,
            }),
            patched: !self.wanted.customisation.patches.is_empty(),
        };
        Ok(kubeadm::join_configuration(&settings))
    }

    fn registration(&self, new: &NewMachine) -> NodeRegistration {
        let cloud = self.provider.cloud();
        NodeRegistration {
            name: new.name.clone(),
            node_ip: None,
            provider_id: cloud.provider_id(&new.zone, &new.name),
            labels: kubeadm::topology_labels(cloud.region(), &new.zone, self.wanted.legacy_zone_labels),
            taints: (!self.wanted.marks.taint).then(Vec::new),
            cri_socket: self.wanted.customisation.cri_socket.clone(),
        }
    }
}

#[allow(clippy::needless_pass_by_value)] // for map_err
fn text(error: impl ToString) -> String {
    error.to_string()
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

/// Takes `BASE/v1/projects/PROJECT/secrets/SECRET` apart, or `BASE/?region=REGION#SECRET`.
fn pki_location(source: &str, secret: &str) -> Option<PkiLocation> {
    let secret = secret.to_owned();
    if let Some((url, rest)) = source.split_once("/v1/projects/") {
        let (project, _) = rest.split_once("/secrets/")?;
        let (url, project) = (url.to_owned(), project.to_owned());
        return Some(PkiLocation::SecretManager { url, project, secret });
    }
    let (url, rest) = source.split_once("/?region=")?;
    let (region, _) = rest.split_once('#')?;
    let (url, region) = (url.to_owned(), region.to_owned());
    Some(PkiLocation::SecretsManager { url, region, secret })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secrets_url_is_taken_apart() {
        let found = pki_location("https://secretmanager.googleapis.com/v1/projects/p/secrets/s", "s");
        let expected = PkiLocation::SecretManager {
            url: "https://secretmanager.googleapis.com".to_owned(),
            project: "p".to_owned(),
            secret: "s".to_owned(),
        };
        assert_eq!(found, Some(expected));
        let found = pki_location(
            "https://secretsmanager.us-west-2.amazonaws.com/?region=us-west-2#s",
            "s",
        );
        let expected = PkiLocation::SecretsManager {
            url: "https://secretsmanager.us-west-2.amazonaws.com".to_owned(),
            region: "us-west-2".to_owned(),
            secret: "s".to_owned(),
        };
        assert_eq!(found, Some(expected));
        assert!(pki_location("elsewhere", "s").is_none());
    }
}
