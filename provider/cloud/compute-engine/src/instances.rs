//! How a machine is written to Compute Engine and read from it.

use google_cloud_compute_v1::model::{
    AccessConfig, AttachedDisk, AttachedDiskInitializeParams, Instance, Metadata, NetworkInterface, ServiceAccount,
    ShieldedInstanceConfig, Tags, access_config, instance::Status, metadata::Items,
};
use multizone_cloud::{Labels, Machine, MachineSpec, MachineState, label};

use crate::{
    ComputeEngine,
    names::{last_segment, region_of},
    ownership::labels_for,
};

/// The one scope that lets IAM alone decide what a machine may do.
const CLOUD_PLATFORM: &str = "https://www.googleapis.com/auth/cloud-platform";

impl ComputeEngine {
    /// What is sent to make a machine.  `address` is the stable address that it is to hold.
    pub(crate) fn instance_body(&self, spec: &MachineSpec, address: Option<&str>) -> Instance {
        let project = &self.settings().project;
        let names = self.names(&spec.cluster);
        let boot_labels = labels_for(
            &spec.cluster,
            &Labels::from([
                (label::BOOT.to_owned(), "true".to_owned()),
                (label::REGION.to_owned(), region_of(&spec.zone).to_owned()),
                (label::ZONE.to_owned(), spec.zone.clone()),
            ]),
        );
        let boot_disk = AttachedDisk::new()
            .set_boot(true)
            .set_auto_delete(true)
            .set_initialize_params(
                AttachedDiskInitializeParams::new()
                    .set_source_image(image_path(spec.image.as_deref().unwrap_or(self.settings().image())))
                    .set_disk_size_gb(spec.boot_disk_gb)
                    .set_disk_type(format!("zones/{}/diskTypes/pd-balanced", spec.zone))
                    .set_labels(boot_labels),
            );
        let nat = AccessConfig::new()
            .set_name("External NAT")
            .set_type(access_config::Type::OneToOneNat)
            .set_or_clear_nat_ip(address);
        let interface = NetworkInterface::new()
            .set_subnetwork(format!(
                "projects/{project}/regions/{}/subnetworks/{}",
                self.settings().region,
                names.network()
            ))
            .set_access_configs([nat]);
        let service_accounts = spec
            .identity
            .iter()
            .map(|identity| ServiceAccount::new().set_email(identity).set_scopes([CLOUD_PLATFORM]));
        // An image of the user's own may not be signed: secure boot is for the image that is known to be.
        let shielded = ShieldedInstanceConfig::new()
            .set_enable_secure_boot(spec.image.is_none())
            .set_enable_vtpm(true)
            .set_enable_integrity_monitoring(true);
        Instance::new()
            .set_name(&spec.name)
            .set_machine_type(format!("zones/{}/machineTypes/{}", spec.zone, spec.machine_type))
            .set_labels(labels_for(&spec.cluster, &spec.labels))
            .set_tags(Tags::new().set_items([names.tag(spec.role)]))
            // Pod networks that route, rather than tunnel, send packets from pod addresses.
            .set_can_ip_forward(true)
            .set_disks([boot_disk])
            .set_network_interfaces([interface])
            .set_service_accounts(service_accounts)
            .set_shielded_instance_config(shielded)
            .set_metadata(Metadata::new().set_items([
                Items::new().set_key("user-data").set_value(&spec.user_data),
                Items::new().set_key("block-project-ssh-keys").set_value("true"),
            ]))
    }
}

/// An image as the API takes it: a path stays, a bare name is an image of the caller's project.
fn image_path(image: &str) -> String {
    if image.contains('/') {
        image.to_owned()
    } else {
        format!("global/images/{image}")
    }
}

/// What a machine is doing.
pub(crate) fn state(instance: &Instance) -> MachineState {
    match &instance.status {
        Some(Status::Running) => MachineState::Running,
        Some(Status::Stopping | Status::PendingStop | Status::Suspending | Status::Deprovisioning) => {
            MachineState::Stopping
        }
        Some(Status::Terminated | Status::Stopped | Status::Suspended) => MachineState::Halted,
        _ => MachineState::Starting,
    }
}

/// What the cloud says of a machine.
pub(crate) fn machine_facts(instance: &Instance) -> Machine {
    let interface = instance.network_interfaces.first();
    let external = interface.and_then(|interface| interface.access_configs.first());
    let mut disks: Vec<_> = instance
        .disks
        .iter()
        .filter(|disk| disk.boot != Some(true))
        .filter_map(|disk| disk.source.as_deref().map(|source| last_segment(source).to_owned()))
        .collect();
    disks.sort();
    Machine {
        id: instance.id.map(|id| id.to_string()).unwrap_or_default(),
        name: instance.name.clone().unwrap_or_default(),
        zone: instance
            .zone
            .as_deref()
            .map(last_segment)
            .unwrap_or_default()
            .to_owned(),
        state: state(instance),
        machine_type: instance
            .machine_type
            .as_deref()
            .map(last_segment)
            .unwrap_or_default()
            .to_owned(),
        address: interface.and_then(|interface| interface.network_ip.as_deref()?.parse().ok()),
        external_address: external.and_then(|config| config.nat_ip.as_deref()?.parse().ok()),
        disks,
        labels: instance.labels.clone().into_iter().collect(),
        created: instance.creation_timestamp.clone().unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_a_path_or_a_name() {
        assert_eq!(
            image_path("projects/p/global/images/family/f"),
            "projects/p/global/images/family/f"
        );
        assert_eq!(image_path("mine"), "global/images/mine");
    }

    #[test]
    fn facts_leave_the_boot_disk_out() {
        let instance = Instance::new()
            .set_id(7_u64)
            .set_name("m")
            .set_zone("https://h/compute/v1/projects/p/zones/us-central1-a")
            .set_machine_type("https://h/compute/v1/projects/p/zones/us-central1-a/machineTypes/n1-standard-1")
            .set_status(Status::Terminated)
            .set_disks([
                AttachedDisk::new().set_boot(true).set_source("https://h/x/disks/m"),
                AttachedDisk::new().set_source("https://h/x/disks/data"),
            ])
            .set_network_interfaces([NetworkInterface::new()
                .set_network_ip("10.0.0.2")
                .set_access_configs([AccessConfig::new().set_nat_ip("203.0.113.5")])]);
        let machine = machine_facts(&instance);
        assert_eq!((machine.id.as_str(), machine.zone.as_str()), ("7", "us-central1-a"));
        assert_eq!(machine.machine_type, "n1-standard-1");
        assert_eq!(machine.state, MachineState::Halted);
        assert_eq!(machine.disks, ["data"]);
        assert_eq!(machine.address.unwrap().to_string(), "10.0.0.2");
        assert_eq!(machine.external_address.unwrap().to_string(), "203.0.113.5");
    }
}
