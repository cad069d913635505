//! What clients send about machines.

use super::disks::{disk_type, source};
use super::numbers::optional;
use super::own_reference;
use crate::core::Refusal;
use crate::core::disks::NewDisk;
use crate::core::instance_changes::Attachment;
use crate::core::instances::{DiskOrigin, NewAccess, NewAttachment, NewInstance};
use crate::core::records::{Labels, MachineIdentity};
use crate::region::Region;
use serde::Deserialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Fields of a machine that are kept and shown, without effect in the sandbox.
const KEPT: &[&str] = &[
    "minCpuPlatform",
    "scheduling",
    "shieldedInstanceConfig",
    "displayDevice",
    "confidentialInstanceConfig",
    "reservationAffinity",
    "keyRevocationActionType",
];

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct InstanceBody {
    pub(super) name: String,
    description: String,
    machine_type: String,
    labels: Labels,
    metadata: MetadataBody,
    tags: TagsBody,
    disks: Vec<DiskBody>,
    network_interfaces: Vec<InterfaceBody>,
    service_accounts: Vec<AccountBody>,
    deletion_protection: bool,
    can_ip_forward: bool,
    hostname: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct MetadataBody {
    items: Vec<MetadataItem>,
    pub(super) fingerprint: Option<String>,
}

#[derive(Deserialize)]
struct MetadataItem {
    key: String,
    #[serde(default)]
    value: String,
}

impl MetadataBody {
    pub(super) fn values(&self) -> Result<BTreeMap<String, String>, Refusal> {
        let mut values = BTreeMap::new();
        for item in &self.items {
            if values.insert(item.key.clone(), item.value.clone()).is_some() {
                return Err(Refusal::invalid("metadata.items", &item.key, "The key is given twice."));
            }
        }
        Ok(values)
    }
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct TagsBody {
    pub(super) items: BTreeSet<String>,
    pub(super) fingerprint: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct DiskBody {
    source: Option<String>,
    initialize_params: Option<InitializeBody>,
    boot: bool,
    auto_delete: bool,
    device_name: Option<String>,
    mode: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    #[serde(deserialize_with = "optional")]
    disk_size_gb: Option<u64>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct InitializeBody {
    disk_name: String,
    description: String,
    #[serde(deserialize_with = "optional")]
    disk_size_gb: Option<u64>,
    disk_type: Option<String>,
    source_image: Option<String>,
    source_snapshot: Option<String>,
    labels: Labels,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct InterfaceBody {
    network: Option<String>,
    subnetwork: Option<String>,
    #[serde(rename = "networkIP")]
    network_ip: Option<String>,
    access_configs: Vec<AccessBody>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct AccessBody {
    name: Option<String>,
    #[serde(rename = "natIP")]
    nat_ip: Option<String>,
}

impl From<AccessBody> for NewAccess {
    fn from(body: AccessBody) -> Self {
        Self {
            name: body.name.filter(|it| !it.is_empty()),
            address: body.nat_ip,
        }
    }
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct AccountBody {
    email: String,
    scopes: Vec<String>,
}

fn read_only(field: &str, mode: Option<&str>) -> Result<bool, Refusal> {
    match mode {
        None | Some("READ_WRITE") => Ok(false),
        Some("READ_ONLY") => Ok(true),
        Some(other) => Err(Refusal::invalid(
            &format!("{field}.mode"),
            other,
            "READ_WRITE or READ_ONLY",
        )),
    }
}

impl DiskBody {
    fn attachment(self, region: &Region, zone: &str, index: usize) -> Result<NewAttachment, Refusal> {
        let field = format!("resource.disks[{index}]");
        if self.kind.as_deref() == Some("SCRATCH") {
            return Err(Refusal::invalid(
                &format!("{field}.type"),
                "SCRATCH",
                "The sandbox has persistent disks only",
            ));
        }
        let origin = match (self.source.filter(|it| !it.is_empty()), self.initialize_params) {
            (Some(text), None) => {
                let (place, name) = own_reference(region, &format!("{field}.source"), &text, "disks")?;
                DiskOrigin::Existing(place.unwrap_or_else(|| zone.to_owned()), name)
            }
            (None, Some(parameters)) => {
                let field = format!("{field}.initializeParams");
                let (image, snapshot) = (
                    parameters.source_image.as_deref(),
                    parameters.source_snapshot.as_deref(),
                );
                DiskOrigin::New(Box::new(NewDisk {
                    zone: zone.to_owned(),
                    size_gb: parameters.disk_size_gb.or(self.disk_size_gb),
                    disk_type: disk_type(&format!("{field}.diskType"), parameters.disk_type.as_deref(), zone)?,
                    source: source(&field, image, snapshot)?,
                    name: parameters.disk_name,
                    description: parameters.description,
                    labels: parameters.labels,
                }))
            }
            (Some(text), Some(_)) => {
                let why = "Exactly one of 'source' and 'initializeParams' must be specified.";
                return Err(Refusal::invalid(&field, text, why));
            }
            (None, None) if self.boot => {
                let why = "Exactly one of 'source' and 'initializeParams' must be specified for a boot disk.";
                return Err(Refusal::invalid(&field, "", why));
            }
            (None, None) => DiskOrigin::New(Box::new(NewDisk {
                size_gb: self.disk_size_gb,
                ..NewDisk::default()
            })),
        };
        Ok(NewAttachment {
            origin,
            boot: self.boot,
            auto_delete: self.auto_delete,
            device_name: self.device_name.filter(|it| !it.is_empty()),
            read_only: read_only(&field, self.mode.as_deref())?,
        })
    }

    /// A disk to attach to a machine that exists.
    pub(super) fn attach(self, region: &Region, zone: &str) -> Result<Attachment, Refusal> {
        let Some(text) = self.source.filter(|it| !it.is_empty()) else {
            return Err(Refusal::required("disk.source"));
        };
        let (place, name) = own_reference(region, "disk.source", &text, "disks")?;
        Ok(Attachment {
            disk: (place.unwrap_or_else(|| zone.to_owned()), name),
            device_name: self.device_name.filter(|it| !it.is_empty()),
            boot: self.boot,
            auto_delete: self.auto_delete,
            read_only: read_only("disk", self.mode.as_deref())?,
        })
    }
}

/// Reads a machine type: the zone it names, and its name.
pub(super) fn machine_type(region: &Region, field: &str, text: &str) -> Result<(Option<String>, String), Refusal> {
    if text.is_empty() {
        Ok((None, String::new()))
    } else {
        own_reference(region, field, text, "machineTypes")
    }
}

impl InstanceBody {
    /// What the client wants, with references taken apart.
    pub(super) fn wanted(self, region: &Region, zone: &str, body: &Value) -> Result<NewInstance, Refusal> {
        let metadata = self.metadata.values()?;
        let disks = self
            .disks
            .into_iter()
            .enumerate()
            .map(|(index, disk)| disk.attachment(region, zone, index))
            .collect::<Result<_, _>>()?;
        let interfaces = self.network_interfaces.len();
        let interface = self.network_interfaces.into_iter().next().unwrap_or_default();
        let field = "resource.networkInterfaces[0]";
        let network = match interface.network.filter(|it| !it.is_empty()) {
            Some(text) => Some(own_reference(region, &format!("{field}.network"), &text, "networks")?.1),
            None => None,
        };
        let subnetwork = match interface.subnetwork.filter(|it| !it.is_empty()) {
            Some(text) => Some(own_reference(
                region,
                &format!("{field}.subnetwork"),
                &text,
                "subnetworks",
            )?),
            None => None,
        };
        if interface.access_configs.len() > 1 {
            let why = "At most one access config currently supported.";
            return Err(Refusal::invalid(
                &format!("{field}.accessConfigs"),
                interface.access_configs.len(),
                why,
            ));
        }
        let mut kept = serde_json::Map::new();
        for name in KEPT {
            if let Some(value) = body.get(*name).filter(|it| !it.is_null()) {
                kept.insert((*name).to_owned(), value.clone());
            }
        }
        Ok(NewInstance {
            machine_type: machine_type(region, "resource.machineType", &self.machine_type)?,
            name: self.name,
            description: self.description,
            zone: zone.to_owned(),
            labels: self.labels,
            metadata,
            tags: self.tags.items,
            disks,
            interfaces,
            network,
            subnetwork,
            address: interface.network_ip.filter(|it| !it.is_empty()),
            access: interface.access_configs.into_iter().next().map(NewAccess::from),
            service_accounts: self
                .service_accounts
                .into_iter()
                .map(|it| MachineIdentity {
                    email: it.email,
                    scopes: it.scopes,
                })
                .collect(),
            deletion_protection: self.deletion_protection,
            can_ip_forward: self.can_ip_forward,
            hostname: self.hostname,
            kept,
        })
    }
}
