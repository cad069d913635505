//! Machines: everything that happens to them between birth and end.

use super::addresses::check_label_change;
use super::error::Refusal;
use super::instances::{DEFAULT_ACCESS_NAME, NewAccess, check_metadata, check_tags};
use super::names::fingerprint;
use super::operations::{Effect, Operation};
use super::records::{Address, AttachedDisk, Disk, Instance, InstanceStatus, Labels};
use super::transaction::Transaction;
use std::collections::{BTreeMap, BTreeSet};

/// A disk to attach to a machine that exists.
#[derive(Debug, Clone, Default)]
pub struct Attachment {
    /// Zone and name of the disk.
    pub disk: (String, String),
    /// Name the guest sees.
    pub device_name: Option<String>,
    /// Boot disk.
    pub boot: bool,
    /// Deleted with the machine.
    pub auto_delete: bool,
    /// For reading only.
    pub read_only: bool,
}

impl Transaction<'_> {
    /// Starts a stopped machine; a running one stays as it is.
    pub fn start_instance(&mut self, zone: &str, name: &str) -> Result<Operation, Refusal> {
        let (instance, path) = self.instance(zone, name)?;
        self.require_ready(&path)?;
        let key = format!("{zone}/{name}");
        let subject = Self::zonal("instances.start", zone, path, instance.identity.id);
        if instance.status == InstanceStatus::Running {
            return Ok(self.begin(subject, [(1.0, Effect::None)]));
        }
        self.give_ephemeral_address(&instance)?;
        self.alter::<Instance>(&key, |it| it.status = InstanceStatus::Provisioning);
        let steps = [
            (3.0, Effect::InstanceIs(key.clone(), InstanceStatus::Staging)),
            (10.0, Effect::InstanceRuns(key)),
        ];
        let operation = self.begin(subject, steps);
        Ok(self.fail_in_outage(zone, operation))
    }

    /// A machine that starts gets a new address where its earlier one was not reserved.
    pub(super) fn give_ephemeral_address(&mut self, instance: &Instance) -> Result<(), Refusal> {
        if instance
            .interface
            .access
            .as_ref()
            .is_some_and(|access| access.address.is_none())
        {
            let address = self.free_address(self.settings.block.external_range())?;
            let key = format!("{}/{}", instance.zone, instance.identity.name);
            self.alter::<Instance>(&key, |it| {
                if let Some(access) = &mut it.interface.access {
                    access.address = Some(address);
                }
            });
        }
        Ok(())
    }

    /// Stops a machine; a stopped one stays as it is.
    pub fn stop_instance(&mut self, zone: &str, name: &str) -> Result<Operation, Refusal> {
        let (instance, path) = self.instance(zone, name)?;
        self.require_zone_up(zone)?;
        self.require_ready(&path)?;
        let key = format!("{zone}/{name}");
        let subject = Self::zonal("instances.stop", zone, path, instance.identity.id);
        if instance.status == InstanceStatus::Terminated {
            return Ok(self.begin(subject, [(1.0, Effect::None)]));
        }
        self.alter::<Instance>(&key, |it| it.status = InstanceStatus::Stopping);
        Ok(self.begin(
            subject,
            [
                (5.0, Effect::InstanceLosesPower(key.clone())),
                (25.0, Effect::InstanceStops(key)),
            ],
        ))
    }

    /// Takes a running machine's power away and gives it back.
    pub fn reset_instance(&mut self, zone: &str, name: &str) -> Result<Operation, Refusal> {
        let (instance, path) = self.instance(zone, name)?;
        self.require_zone_up(zone)?;
        self.require_ready(&path)?;
        if instance.status != InstanceStatus::Running {
            return Err(Refusal::not_ready(&path));
        }
        let key = format!("{zone}/{name}");
        Ok(self.begin(
            Self::zonal("instances.reset", zone, path, instance.identity.id),
            [
                (0.5, Effect::InstanceLosesPower(key.clone())),
                (4.0, Effect::InstanceRuns(key)),
            ],
        ))
    }

    /// Replaces the labels of a machine.
    pub fn set_instance_labels(
        &mut self,
        zone: &str,
        name: &str,
        labels: Labels,
        expected: Option<&str>,
    ) -> Result<Operation, Refusal> {
        let (instance, path) = self.changeable(zone, name)?;
        check_label_change(&instance.labels, &labels, expected)?;
        self.alter::<Instance>(&format!("{zone}/{name}"), |it| it.labels = labels);
        Ok(self.begin(
            Self::zonal("instances.setLabels", zone, path, instance.identity.id),
            [(3.0, Effect::None)],
        ))
    }

    /// Replaces the metadata of a machine.
    pub fn set_metadata(
        &mut self,
        zone: &str,
        name: &str,
        metadata: BTreeMap<String, String>,
        expected: Option<&str>,
    ) -> Result<Operation, Refusal> {
        let (instance, path) = self.changeable(zone, name)?;
        check_metadata(&metadata)?;
        check_fingerprint("metadata", expected, &instance.metadata)?;
        self.alter::<Instance>(&format!("{zone}/{name}"), |it| it.metadata = metadata);
        Ok(self.begin(
            Self::zonal("instances.setMetadata", zone, path, instance.identity.id),
            [(4.0, Effect::None)],
        ))
    }

    /// Replaces the network tags of a machine.
    pub fn set_tags(
        &mut self,
        zone: &str,
        name: &str,
        tags: BTreeSet<String>,
        expected: Option<&str>,
    ) -> Result<Operation, Refusal> {
        let (instance, path) = self.changeable(zone, name)?;
        check_tags(&tags)?;
        check_fingerprint("tags", expected, &instance.tags)?;
        self.alter::<Instance>(&format!("{zone}/{name}"), |it| it.tags = tags);
        Ok(self.begin(
            Self::zonal("instances.setTags", zone, path, instance.identity.id),
            [(4.0, Effect::None)],
        ))
    }

    /// Changes the type of a stopped machine.
    pub fn set_machine_type(
        &mut self,
        zone: &str,
        name: &str,
        machine_type: &(Option<String>, String),
    ) -> Result<Operation, Refusal> {
        let (instance, path) = self.changeable(zone, name)?;
        Self::check_machine_type("machineType", zone, machine_type)?;
        if instance.status != InstanceStatus::Terminated {
            return Err(Refusal::bad_request(format!(
                "Invalid resource usage: 'The instance '{path}' must be stopped before its machine type can be changed'."
            )));
        }
        self.require_ready(&path)?;
        self.alter::<Instance>(&format!("{zone}/{name}"), |it| {
            it.machine_type.clone_from(&machine_type.1);
        });
        Ok(self.begin(
            Self::zonal("instances.setMachineType", zone, path, instance.identity.id),
            [(4.0, Effect::None)],
        ))
    }

    /// Sets whether a machine can be deleted.
    pub fn set_deletion_protection(&mut self, zone: &str, name: &str, protected: bool) -> Result<Operation, Refusal> {
        let (instance, path) = self.changeable(zone, name)?;
        self.alter::<Instance>(&format!("{zone}/{name}"), |it| it.deletion_protection = protected);
        let subject = Self::zonal("instances.setDeletionProtection", zone, path, instance.identity.id);
        Ok(self.begin(subject, [(2.0, Effect::None)]))
    }

    /// Gives a machine an external address.
    pub fn add_access_config(
        &mut self,
        zone: &str,
        name: &str,
        interface: &str,
        wanted: &NewAccess,
    ) -> Result<Operation, Refusal> {
        let (instance, path) = self.instance(zone, name)?;
        check_interface(interface)?;
        self.require_zone_up(zone)?;
        self.require_ready(&path)?;
        if instance.interface.access.is_some() {
            return Err(Refusal::bad_request(
                "Invalid value for field 'interface': 'nic0'. At most one access config currently supported.",
            ));
        }
        let key = format!("{zone}/{name}");
        let (address, reserved) = self.external_address(wanted, &key, "resource.natIP")?;
        let effect = Effect::AccessGranted {
            instance: key,
            name: wanted.name.clone().unwrap_or_else(|| DEFAULT_ACCESS_NAME.to_owned()),
            address,
            reserved,
        };
        let subject =
            Self::zonal("instances.addAccessConfig", zone, path, instance.identity.id).about(address.to_string());
        Ok(self.begin(subject, [(6.0, effect)]))
    }

    /// Takes a machine's external address away.
    pub fn delete_access_config(
        &mut self,
        zone: &str,
        name: &str,
        interface: &str,
        access_name: &str,
    ) -> Result<Operation, Refusal> {
        let (instance, path) = self.instance(zone, name)?;
        check_interface(interface)?;
        self.require_zone_up(zone)?;
        self.require_ready(&path)?;
        let Some(access) = instance.interface.access.filter(|it| it.name == access_name) else {
            return Err(Refusal::invalid(
                "accessConfig",
                access_name,
                "The interface has no access config of this name.",
            ));
        };
        let effect = Effect::AccessRevoked(format!("{zone}/{name}"));
        let address = access.address.map(|it| it.to_string()).unwrap_or_default();
        let subject = Self::zonal("instances.deleteAccessConfig", zone, path, instance.identity.id).about(address);
        Ok(self.begin(subject, [(6.0, effect)]))
    }

    /// Attaches a disk of the same zone.
    pub fn attach_disk(&mut self, zone: &str, name: &str, wanted: Attachment) -> Result<Operation, Refusal> {
        let (instance, path) = self.changeable(zone, name)?;
        let disk = self.existing_disk("disk", &wanted.disk.0, &wanted.disk.1, zone)?;
        if wanted.boot && (instance.boot_disk().is_some() || instance.status != InstanceStatus::Terminated) {
            return Err(Refusal::invalid(
                "disk.boot",
                true,
                "A boot disk can be attached to a stopped machine without one only.",
            ));
        }
        let free = (0..).map(|index| format!("persistent-disk-{index}"));
        let used = |device: &String| instance.disks.iter().any(|it| it.device_name == *device);
        let device_name = match wanted.device_name {
            Some(device) if used(&device) => {
                return Err(Refusal::invalid(
                    "disk.deviceName",
                    device,
                    "The device name is already in use.",
                ));
            }
            Some(device) => device,
            None => free.into_iter().find(|device| !used(device)).unwrap_or_default(),
        };
        let key = format!("{zone}/{name}");
        let now = self.now;
        self.alter::<Disk>(&disk, |it| {
            it.user = Some(key.clone());
            it.last_attach = Some(now);
        });
        let attached = AttachedDisk {
            disk,
            device_name,
            boot: wanted.boot,
            auto_delete: wanted.auto_delete,
            read_only: wanted.read_only,
        };
        self.alter::<Instance>(&key, |it| {
            if attached.boot {
                it.disks.insert(0, attached);
            } else {
                it.disks.push(attached);
            }
        });
        Ok(self.begin(
            Self::zonal("instances.attachDisk", zone, path, instance.identity.id),
            [(4.0, Effect::None)],
        ))
    }

    /// Detaches a disk.
    pub fn detach_disk(&mut self, zone: &str, name: &str, device: &str) -> Result<Operation, Refusal> {
        let (instance, path) = self.changeable(zone, name)?;
        let Some(attached) = instance.disks.iter().find(|it| it.device_name == device) else {
            return Err(Refusal::invalid(
                "deviceName",
                device,
                "No attached disk found with this device name.",
            ));
        };
        if attached.boot && instance.status != InstanceStatus::Terminated {
            return Err(Refusal::bad_request(
                "Invalid resource usage: 'Hot-remove of the root disk is not supported: stop the instance first.'.",
            ));
        }
        self.require_ready(&path)?;
        let effect = Effect::DiskLeaves(format!("{zone}/{name}"), device.to_owned());
        Ok(self.begin(
            Self::zonal("instances.detachDisk", zone, path, instance.identity.id),
            [(4.0, effect)],
        ))
    }

    /// Says whether an attached disk is deleted with the machine.
    pub fn set_disk_auto_delete(
        &mut self,
        zone: &str,
        name: &str,
        device: &str,
        auto_delete: bool,
    ) -> Result<Operation, Refusal> {
        let (instance, path) = self.changeable(zone, name)?;
        if !instance.disks.iter().any(|it| it.device_name == device) {
            return Err(Refusal::invalid(
                "deviceName",
                device,
                "No attached disk found with this device name.",
            ));
        }
        self.require_ready(&path)?;
        self.alter::<Instance>(&format!("{zone}/{name}"), |it| {
            for disk in it.disks.iter_mut().filter(|it| it.device_name == device) {
                disk.auto_delete = auto_delete;
            }
        });
        Ok(self.begin(
            Self::zonal("instances.setDiskAutoDelete", zone, path, instance.identity.id),
            [(2.0, Effect::None)],
        ))
    }

    /// A machine that is neither being made nor being deleted, in a zone that is up.
    fn changeable(&self, zone: &str, name: &str) -> Result<(Instance, String), Refusal> {
        let (instance, path) = self.instance(zone, name)?;
        self.require_zone_up(zone)?;
        self.require_existing(&path)?;
        Ok((instance, path))
    }

    pub(super) fn release_address(&mut self, key: &str) {
        self.alter::<Address>(key, |it| it.user = None);
    }
}

fn check_interface(interface: &str) -> Result<(), Refusal> {
    if interface == "nic0" {
        Ok(())
    } else {
        Err(Refusal::invalid(
            "networkInterface",
            interface,
            "Unknown network interface.",
        ))
    }
}

fn check_fingerprint(what: &str, expected: Option<&str>, current: &impl serde::Serialize) -> Result<(), Refusal> {
    match expected {
        Some(expected) if expected == fingerprint(current) => Ok(()),
        Some(_) => Err(Refusal::condition_not_met(format!(
            "Supplied fingerprint does not match current {what} fingerprint."
        ))),
        None => Err(Refusal::condition_not_met(format!(
            "The {what} fingerprint is required to change them."
        ))),
    }
}
