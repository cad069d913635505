//! A master's machine: what it is made from, and what its first boot does.

use multizone_cloud::{MachineSpec, Role, label};
use multizone_kubernetes::{
    bootstrap_token::BootstrapToken,
    kubeadm::{self, ControlPlaneJoin, JoinSettings, NodeRegistration},
    user_data::{MasterStart, MasterUserData},
};
use multizone_planner::cluster::NewMachine;
use multizone_schema::Diagnostics;

use super::{
    super::machine::{SPECIFICATION, pki_location},
    executor::Executor,
    observe::JOINING_UNTIL,
};
use crate::resources::{identity::API_ADDRESS, marks};

impl Executor<'_> {
    /// The machine as the cloud is asked for it.  With a token it joins; without one it initialises the cluster.
    pub(super) async fn machine(
        &self,
        new: &NewMachine,
        token: Option<&BootstrapToken>,
        holds_the_address: bool,
        joining_until: i64,
    ) -> Result<MachineSpec, Diagnostics> {
        let (cloud, situation) = (self.provider.cloud(), &self.situation);
        let wanted = self.several.replica(&new.replica, &new.zone);
        let identity = match &wanted.service_account {
            Some(identity) => identity.clone(),
            None => cloud
                .default_machine_identity()
                .await
                .map_err(|error| situation.cloud(&error))?,
        };
        let user_data = match token {
            None => wanted.user_data(self.provider, &self.observer.facts, situation, &new.name)?,
            Some(token) => self.joining_user_data(new, token)?,
        };
        let mut labels = wanted.labels(cloud.region());
        labels.insert(SPECIFICATION.to_owned(), new.specification.clone());
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
            user_data,
            identity: Some(identity),
            address: holds_the_address.then(|| API_ADDRESS.to_owned()),
            labels,
        })
    }

    fn joining_user_data(&self, new: &NewMachine, token: &BootstrapToken) -> Result<String, Diagnostics> {
        let cloud = self.provider.cloud();
        let unusable = |what: &dyn std::fmt::Display| {
            self.situation.error(
                &format!("The user data of machine {} cannot be written: {what}.", new.name),
                "This is an error in the provider.",
            )
        };
        let facts = &self.observer.facts;
        let hash = self.observer.pki.ca_certificate_hash();
        let settings = JoinSettings {
            version: self.several.version,
            endpoint: facts.endpoint.clone(),
            token: token.clone(),
            ca_certificate_hash: hash.map_err(|error| unusable(&error))?,
            node: NodeRegistration {
                name: new.name.clone(),
                node_ip: None,
                provider_id: cloud.provider_id(&new.zone, &new.name),
                labels: kubeadm::topology_labels(cloud.region(), &new.zone, self.several.legacy_zone_labels),
                taints: None,
            },
            control_plane: Some(ControlPlaneJoin {
                advertise_address: None,
            }),
        };
        let source = cloud.secret_source(&facts.secrets.keys);
        MasterUserData {
            version: self.several.version,
            start: MasterStart::Join,
            kubeadm_configuration: kubeadm::join_configuration(&settings),
            pki: pki_location(&source, &facts.secrets.keys).ok_or_else(|| unusable(&source))?,
            endpoint_address: facts.endpoint.address(),
        }
        .render()
        .map_err(|error| unusable(&error))
    }
}
