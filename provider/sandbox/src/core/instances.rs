//! Machines: making and deleting them.

use super::catalogue;
use super::disks::NewDisk;
use super::error::Refusal;
use super::names::{check_labels, check_name};
use super::operations::{Effect, Operation};
use super::records::{AttachedDisk, Disk, DiskStatus, Instance, InstanceStatus, Labels, MachineIdentity};
use super::transaction::Transaction;
use std::collections::{BTreeMap, BTreeSet};

/// Name of an access configuration that is given none.
pub const DEFAULT_ACCESS_NAME: &str = "External NAT";
/// User data and other metadata values may be this long together.
const METADATA_LIMIT: usize = 512 * 1024;
const METADATA_VALUE_LIMIT: usize = 256 * 1024;

/// A disk for a machine: one that exists, or one to make with it.
#[derive(Debug, Clone)]
pub enum DiskOrigin {
    /// Zone and name.
    Existing(String, String),
    /// To make; its zone is the machine's.
    New(Box<NewDisk>),
}

/// A disk to attach.
#[derive(Debug, Clone)]
pub struct NewAttachment {
    /// The disk.
    pub origin: DiskOrigin,
    /// Boot disk.
    pub boot: bool,
    /// Deleted with the machine.
    pub auto_delete: bool,
    /// Name the guest sees.
    pub device_name: Option<String>,
    /// Attached for reading only.
    pub read_only: bool,
}

/// An external address to give.
#[derive(Debug, Clone, Default)]
pub struct NewAccess {
    /// Name of the access configuration.
    pub name: Option<String>,
    /// A reserved address; `None` takes an ephemeral one.
    pub address: Option<String>,
}

/// A machine to make.
#[derive(Debug, Clone, Default)]
pub struct NewInstance {
    /// Name.
    pub name: String,
    /// Free text.
    pub description: String,
    /// Zone.
    pub zone: String,
    /// Zone (when the reference names one) and name of the machine type.
    pub machine_type: (Option<String>, String),
    /// Labels.
    pub labels: Labels,
    /// Metadata.
    pub metadata: BTreeMap<String, String>,
    /// Network tags.
    pub tags: BTreeSet<String>,
    /// Disks, boot disk first.
    pub disks: Vec<NewAttachment>,
    /// How many network interfaces were asked for.
    pub interfaces: usize,
    /// Network.
    pub network: Option<String>,
    /// Region (when the reference names one) and name of the subnetwork.
    pub subnetwork: Option<(Option<String>, String)>,
    /// Address in the subnetwork.
    pub address: Option<String>,
    /// External address.
    pub access: Option<NewAccess>,
    /// Identities; at most one.
    pub service_accounts: Vec<MachineIdentity>,
    /// Refuses deletion.
    pub deletion_protection: bool,
    /// Forwards packets.
    pub can_ip_forward: bool,
    /// Host name.
    pub hostname: Option<String>,
    /// Settings that are kept and shown only.
    pub kept: serde_json::Map<String, serde_json::Value>,
}

impl Transaction<'_> {
    /// Makes a machine and the disks that come with it.
    pub fn insert_instance(&mut self, new: NewInstance) -> Result<Operation, Refusal> {
        self.require_zone(&new.zone)?;
        check_name("resource.name", &new.name)?;
        let key = format!("{}/{}", new.zone, new.name);
        let path = self.settings.instance_path(&key);
        if self.state.instances.contains_key(&key) {
            return Err(Refusal::already_exists(&path));
        }
        check_labels("resource.labels", &new.labels)?;
        check_tags(&new.tags)?;
        check_metadata(&new.metadata)?;
        if new.machine_type.1.is_empty() {
            return Err(Refusal::required("resource.machineType"));
        }
        Self::check_machine_type("resource.machineType", &new.zone, &new.machine_type)?;
        let service_account = self.check_service_account(&new.service_accounts)?;
        let interface = self.make_interface(&new, &key)?;
        let (disks, made) = self.attach_at_birth(&new, &key)?;

        let identity = self.new_identity(&new.name, &new.description);
        let id = identity.id;
        self.put(Instance {
            identity,
            zone: new.zone.clone(),
            machine_type: new.machine_type.1,
            status: InstanceStatus::Provisioning,
            powered: false,
            labels: new.labels,
            metadata: new.metadata,
            tags: new.tags,
            disks,
            interface,
            service_account,
            deletion_protection: new.deletion_protection,
            can_ip_forward: new.can_ip_forward,
            hostname: new.hostname,
            kept: new.kept,
            last_start: None,
            last_stop: None,
        });
        let mut steps: Vec<(f64, Effect)> = made.into_iter().map(|disk| (3.5, Effect::DiskReady(disk))).collect();
        steps.push((4.0, Effect::InstanceIs(key.clone(), InstanceStatus::Staging)));
        steps.push((12.0, Effect::InstanceRuns(key)));
        let operation = self.begin(Self::zonal("instances.insert", &new.zone, path, id), steps);
        Ok(self.fail_in_outage(&new.zone, operation))
    }

    pub(super) fn check_machine_type(
        field: &str,
        zone: &str,
        (type_zone, name): &(Option<String>, String),
    ) -> Result<(), Refusal> {
        if let Some(type_zone) = type_zone.as_deref().filter(|it| *it != zone) {
            let written = format!("zones/{type_zone}/machineTypes/{name}");
            return Err(Refusal::invalid(
                field,
                written,
                format!("The machine type must be in the instance's zone '{zone}'."),
            ));
        }
        if catalogue::machine_type(name).is_none() {
            let why = format!("Machine type with name '{name}' does not exist in zone '{zone}'.");
            return Err(Refusal::invalid(
                field,
                format!("zones/{zone}/machineTypes/{name}"),
                why,
            ));
        }
        Ok(())
    }

    fn check_service_account(&self, accounts: &[MachineIdentity]) -> Result<Option<MachineIdentity>, Refusal> {
        let field = "resource.serviceAccounts";
        match accounts {
            [] => Ok(None),
            [account] => {
                let default = self.settings.default_service_account();
                let email = if account.email == "default" {
                    default.clone()
                } else {
                    account.email.clone()
                };
                if email != default && !self.state.service_accounts.contains_key(&email) {
                    return Err(Refusal {
                        status: 404,
                        reason: "notFound",
                        message: format!("The resource '{email}' of type 'serviceAccount' was not found."),
                    });
                }
                if account.scopes.is_empty() {
                    return Err(Refusal::invalid(
                        &format!("{field}[0].scopes"),
                        "",
                        "At least one scope must be specified.",
                    ));
                }
                Ok(Some(MachineIdentity {
                    email,
                    scopes: account.scopes.clone(),
                }))
            }
            _ => Err(Refusal::invalid(
                field,
                accounts.len(),
                "Only one service account per VM instance is supported.",
            )),
        }
    }

    fn attach_at_birth(&mut self, new: &NewInstance, key: &str) -> Result<(Vec<AttachedDisk>, Vec<String>), Refusal> {
        let field = "resource.disks";
        match new.disks.first() {
            None => return Err(Refusal::invalid(field, "", "No disks are specified.")),
            Some(first) if !first.boot => {
                return Err(Refusal::invalid(
                    "resource.disks[0].boot",
                    false,
                    "Boot disk must be the first disk attached to the instance.",
                ));
            }
            Some(_) => {}
        }
        if new.disks.iter().filter(|disk| disk.boot).count() > 1 {
            return Err(Refusal::invalid(
                field,
                "",
                "Only one boot disk can be attached to an instance.",
            ));
        }
        let mut attached: Vec<AttachedDisk> = Vec::new();
        let mut made = Vec::new();
        for (index, wanted) in new.disks.iter().enumerate() {
            let field = format!("{field}[{index}]");
            let disk_key = match &wanted.origin {
                DiskOrigin::Existing(zone, name) => self.existing_disk(&field, zone, name, &new.zone)?,
                DiskOrigin::New(disk) => {
                    let mut disk = (**disk).clone();
                    disk.zone.clone_from(&new.zone);
                    if disk.name.is_empty() {
                        disk.name = if wanted.boot {
                            new.name.clone()
                        } else {
                            format!("{}-{index}", new.name)
                        };
                    }
                    check_name(&format!("{field}.initializeParams.diskName"), &disk.name)?;
                    let disk_key = format!("{}/{}", disk.zone, disk.name);
                    if self.state.disks.contains_key(&disk_key) {
                        return Err(Refusal::already_exists(&self.settings.disk_path(&disk_key)));
                    }
                    let disk = self.make_disk(&disk, &format!("{field}.initializeParams"), DiskStatus::Creating)?;
                    self.put(disk);
                    made.push(disk_key.clone());
                    disk_key
                }
            };
            let device_name = wanted
                .device_name
                .clone()
                .unwrap_or_else(|| format!("persistent-disk-{index}"));
            if attached.iter().any(|disk| disk.device_name == device_name) {
                return Err(Refusal::invalid(
                    &format!("{field}.deviceName"),
                    device_name,
                    "The device name is used twice.",
                ));
            }
            let now = self.now;
            self.alter::<Disk>(&disk_key, |disk| {
                disk.user = Some(key.to_owned());
                disk.last_attach = Some(now);
            });
            attached.push(AttachedDisk {
                disk: disk_key,
                device_name,
                boot: wanted.boot,
                auto_delete: wanted.auto_delete,
                read_only: wanted.read_only,
            });
        }
        Ok((attached, made))
    }

    /// Checks that a disk can be attached to a machine of `machine_zone` and returns its key.
    pub(super) fn existing_disk(
        &self,
        field: &str,
        zone: &str,
        name: &str,
        machine_zone: &str,
    ) -> Result<String, Refusal> {
        let key = format!("{zone}/{name}");
        let path = self.settings.disk_path(&key);
        if zone != machine_zone {
            return Err(Refusal::invalid(
                &format!("{field}.source"),
                &path,
                format!(
                    "Disk must be in the same zone as the instance: the disk is in '{zone}', the instance in '{machine_zone}'."
                ),
            ));
        }
        let disk = self.state.disks.get(&key).ok_or_else(|| Refusal::not_found(&path))?;
        if let Some(user) = &disk.user {
            return Err(Refusal::in_use("disk", &path, &self.settings.instance_path(user)));
        }
        if disk.status != DiskStatus::Ready {
            return Err(Refusal::not_ready(&path));
        }
        self.require_existing(&path)?;
        Ok(key)
    }

    /// The machine and its path.
    pub(super) fn instance(&self, zone: &str, name: &str) -> Result<(Instance, String), Refusal> {
        self.require_zone(zone)?;
        let key = format!("{zone}/{name}");
        let path = self.settings.instance_path(&key);
        match self.state.instances.get(&key) {
            Some(instance) => Ok((instance.clone(), path)),
            None => Err(Refusal::not_found(&path)),
        }
    }

    /// Deletes a machine, with the disks that go with it.
    pub fn delete_instance(&mut self, zone: &str, name: &str) -> Result<Operation, Refusal> {
        let (instance, path) = self.instance(zone, name)?;
        self.require_zone_up(zone)?;
        if instance.deletion_protection {
            return Err(Refusal::bad_request(format!(
                "Invalid resource usage: 'Resource cannot be deleted if it's protected against deletion. {path}'."
            )));
        }
        self.require_ready(&path)?;
        let key = format!("{zone}/{name}");
        let running = instance.status == InstanceStatus::Running;
        self.alter::<Instance>(&key, |it| it.status = InstanceStatus::Stopping);
        let seconds = if running { 30.0 } else { 10.0 };
        let steps = [
            (1.0, Effect::InstanceLosesPower(key.clone())),
            (seconds, Effect::InstanceGone(key)),
        ];
        Ok(self.begin(Self::zonal("instances.delete", zone, path, instance.identity.id), steps))
    }
}

/// Refuses tags that are no names, or too many.
pub(super) fn check_tags(tags: &BTreeSet<String>) -> Result<(), Refusal> {
    if tags.len() > 64 {
        return Err(Refusal::invalid(
            "resource.tags",
            tags.len(),
            "At most 64 tags are allowed.",
        ));
    }
    tags.iter()
        .enumerate()
        .try_for_each(|(index, tag)| check_name(&format!("resource.tags.items[{index}]"), tag))
}

/// Refuses metadata with keys or sizes that Compute Engine refuses.
pub(super) fn check_metadata(metadata: &BTreeMap<String, String>) -> Result<(), Refusal> {
    for (key, value) in metadata {
        let fits = !key.is_empty() && key.len() <= 128;
        if !fits
            || !key
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
        {
            return Err(Refusal::invalid(
                "resource.metadata.items.key",
                key,
                "Must be a match of regex '[a-zA-Z0-9-_]{1,128}'",
            ));
        }
        if value.len() > METADATA_VALUE_LIMIT {
            let why = format!(
                "The value has {} bytes; at most {METADATA_VALUE_LIMIT} are allowed.",
                value.len()
            );
            return Err(Refusal::invalid("resource.metadata.items.value", key, why));
        }
    }
    let total: usize = metadata.iter().map(|(key, value)| key.len() + value.len()).sum();
    if total > METADATA_LIMIT {
        return Err(Refusal::invalid(
            "resource.metadata",
            total,
            format!("At most {METADATA_LIMIT} bytes are allowed."),
        ));
    }
    Ok(())
}
