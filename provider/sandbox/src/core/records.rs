//! The objects of the region, as plain data.  Keys are `NAME`, `REGION/NAME` or `ZONE/NAME`.

use ipnet::Ipv4Net;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

/// Labels of an object.
pub type Labels = BTreeMap<String, String>;

/// What every object has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Unique number, never used again.
    pub id: u64,
    /// When it was made.
    pub created: Timestamp,
    /// Name within its collection.
    pub name: String,
    /// Free text by the user.
    #[serde(default)]
    pub description: String,
}

/// A network: a set of subnetworks that can reach each other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// Name and ID.
    pub identity: Identity,
    /// Whether subnetworks came with it.
    pub auto_create_subnetworks: bool,
    /// `REGIONAL` or `GLOBAL`.
    pub routing_mode: String,
    /// Largest packet, bytes.
    pub mtu: u32,
}

/// A regional range of addresses in a network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subnetwork {
    /// Name and ID.
    pub identity: Identity,
    /// Region.
    pub region: String,
    /// Network it is part of.
    pub network: String,
    /// Addresses.
    pub range: Ipv4Net,
    /// Whether machines without external address reach Google's services.
    pub private_google_access: bool,
}

/// A protocol and its ports in a firewall rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allowed {
    /// `tcp`, `udp`, `icmp`, `all`, or a number.
    pub protocol: String,
    /// Ports or ranges, as written; empty for all.
    pub ports: Vec<String>,
}

/// A rule that lets traffic into machines of a network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Firewall {
    /// Name and ID.
    pub identity: Identity,
    /// Network.
    pub network: String,
    /// Lower numbers first.
    pub priority: u32,
    /// What is let in.
    pub allowed: Vec<Allowed>,
    /// Where from, by address.
    pub source_ranges: Vec<Ipv4Net>,
    /// Where from, by tag.
    pub source_tags: BTreeSet<String>,
    /// To which machines; empty for all.
    pub target_tags: BTreeSet<String>,
    /// Kept but without effect.
    pub disabled: bool,
}

/// Who has a reserved address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Holder {
    /// The machine with this key.
    Machine(String),
    /// A balancer.
    Rule {
        /// Key of its forwarding rule.
        forwarding_rule: String,
    },
}

impl Holder {
    /// The machine with this key.
    pub fn machine(key: &str) -> Self {
        Self::Machine(key.to_owned())
    }

    /// The forwarding rule with this key.
    pub fn rule(key: &str) -> Self {
        Self::Rule {
            forwarding_rule: key.to_owned(),
        }
    }
}

/// A reserved address of the region.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    /// Name and ID.
    pub identity: Identity,
    /// Region.
    pub region: String,
    /// The address.
    pub address: Ipv4Addr,
    /// Subnetwork of an internal address; an external one has none.
    pub subnetwork: Option<String>,
    /// Labels.
    pub labels: Labels,
    /// Who holds it.
    pub user: Option<Holder>,
}

impl Address {
    /// Key of the machine that holds it, if one does.
    pub fn machine(&self) -> Option<&str> {
        match &self.user {
            Some(Holder::Machine(key)) => Some(key),
            _ => None,
        }
    }

    /// Key of the forwarding rule that holds it, if one does.
    pub fn forwarding_rule(&self) -> Option<&str> {
        match &self.user {
            Some(Holder::Rule { forwarding_rule }) => Some(forwarding_rule),
            _ => None,
        }
    }
}

/// State of a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum DiskStatus {
    /// Being made.
    Creating,
    /// Being filled from a snapshot or an image.
    Restoring,
    /// Usable.
    Ready,
    /// Being deleted.
    Deleting,
}

/// A zonal disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disk {
    /// Name and ID.
    pub identity: Identity,
    /// Zone; a disk is used only there.
    pub zone: String,
    /// Size, GiB.
    pub size_gb: u64,
    /// `pd-balanced`, ...
    pub disk_type: String,
    /// State.
    pub status: DiskStatus,
    /// Labels.
    pub labels: Labels,
    /// Image it was made from, `PROJECT/NAME`.
    pub source_image: Option<String>,
    /// Snapshot it was made from, and that snapshot's ID.
    pub source_snapshot: Option<(String, u64)>,
    /// Key of the machine it is attached to.
    pub user: Option<String>,
    /// When it was attached and detached last.
    pub last_attach: Option<Timestamp>,
    /// When it was detached last.
    pub last_detach: Option<Timestamp>,
}

impl Disk {
    /// The name of the directory that holds its content, unique for ever.
    pub fn directory(&self) -> String {
        format!("{}-{}-{}", self.zone, self.identity.name, self.identity.id)
    }
}

/// A copy of a disk, not bound to a zone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Name and ID.
    pub identity: Identity,
    /// Key of the disk it was taken of.
    pub source_disk: String,
    /// ID of that disk.
    pub source_disk_id: u64,
    /// Size of that disk, GiB.
    pub disk_size_gb: u64,
    /// Whether it can be used.
    pub ready: bool,
    /// Labels.
    pub labels: Labels,
}

/// State of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum InstanceStatus {
    /// Resources are allocated.
    Provisioning,
    /// The machine is prepared for its first boot.
    Staging,
    /// Booting or booted.
    Running,
    /// Being stopped or deleted.
    Stopping,
    /// Stopped.
    Terminated,
}

impl InstanceStatus {
    /// The word the API uses.
    pub fn word(self) -> &'static str {
        match self {
            Self::Provisioning => "PROVISIONING",
            Self::Staging => "STAGING",
            Self::Running => "RUNNING",
            Self::Stopping => "STOPPING",
            Self::Terminated => "TERMINATED",
        }
    }
}

/// A disk in a machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttachedDisk {
    /// Key of the disk.
    pub disk: String,
    /// Name the guest sees.
    pub device_name: String,
    /// Whether the machine boots from it.
    pub boot: bool,
    /// Whether it goes with the machine.
    pub auto_delete: bool,
    /// `READ_WRITE` or `READ_ONLY`.
    pub read_only: bool,
}

/// An external address of a machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessConfig {
    /// Name, `External NAT` unless given.
    pub name: String,
    /// The address; a stopped machine has none unless it is reserved.
    pub address: Option<Ipv4Addr>,
    /// Key of the reserved address; `None` for an ephemeral one.
    pub reserved: Option<String>,
}

/// The network interface of a machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interface {
    /// Network.
    pub network: String,
    /// Key of the subnetwork.
    pub subnetwork: String,
    /// Address in the subnetwork.
    pub address: Ipv4Addr,
    /// External address, if any.
    pub access: Option<AccessConfig>,
}

/// The identity that programs on a machine have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineIdentity {
    /// The service account.
    pub email: String,
    /// OAuth scopes.
    pub scopes: Vec<String>,
}

/// A machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    /// Name and ID.
    pub identity: Identity,
    /// Zone.
    pub zone: String,
    /// Machine type.
    pub machine_type: String,
    /// State.
    pub status: InstanceStatus,
    /// Whether it has power: false for an instant during a reset.
    pub powered: bool,
    /// Labels.
    pub labels: Labels,
    /// Metadata, user data among it.
    pub metadata: BTreeMap<String, String>,
    /// Network tags.
    pub tags: BTreeSet<String>,
    /// Disks, the boot disk first.
    pub disks: Vec<AttachedDisk>,
    /// Network interface.
    pub interface: Interface,
    /// Identity of its programs.
    pub service_account: Option<MachineIdentity>,
    /// Refuses deletion.
    pub deletion_protection: bool,
    /// Forwards packets that are not its own.
    pub can_ip_forward: bool,
    /// Host name other than the default.
    pub hostname: Option<String>,
    /// Lowest CPU platform, and other settings that are kept and shown only.
    pub kept: serde_json::Map<String, serde_json::Value>,
    /// When it was started last.
    pub last_start: Option<Timestamp>,
    /// When it was stopped last.
    pub last_stop: Option<Timestamp>,
}

impl Instance {
    /// The disk it boots from.
    pub fn boot_disk(&self) -> Option<&AttachedDisk> {
        self.disks.iter().find(|disk| disk.boot)
    }
}

/// State of a version of a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum VersionState {
    /// Readable.
    Enabled,
    /// Kept but not readable.
    Disabled,
    /// Gone for good.
    Destroyed,
}

/// A version of a secret.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretVersion {
    /// 1, 2, ...
    pub number: u32,
    /// When it was added.
    pub created: Timestamp,
    /// State.
    pub state: VersionState,
    /// When it was destroyed.
    pub destroyed: Option<Timestamp>,
    /// Content, base64; empty once destroyed.
    pub payload: String,
    /// CRC-32C of the content, when the client gave it.
    pub checksum: Option<u32>,
}

/// A grant in a policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Binding {
    /// `roles/...`.
    pub role: String,
    /// `serviceAccount:...`, `user:...`, ...
    pub members: BTreeSet<String>,
}

/// A secret with its versions and who may read it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secret {
    /// Name and ID.
    pub identity: Identity,
    /// Labels.
    pub labels: Labels,
    /// Annotations.
    pub annotations: BTreeMap<String, String>,
    /// Where the payload is kept, as given.
    pub replication: serde_json::Value,
    /// Versions, oldest first.
    pub versions: Vec<SecretVersion>,
    /// Who may do what.
    pub policy: Vec<Binding>,
}

/// An account that machines can be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceAccount {
    /// Name and ID; the name is the part before the `@`.
    pub identity: Identity,
    /// Full address.
    pub email: String,
    /// Name for people.
    pub display_name: String,
}

/// A zone that is out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outage {
    /// The zone.
    pub zone: String,
    /// Since when.
    pub since: Timestamp,
}

/// A request that was answered, remembered by its idempotency token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnsweredRequest {
    /// The token (`requestId`).
    pub token: String,
    /// Fingerprint of method, object and body.
    pub request: String,
    /// The operation it made.
    pub operation: String,
    /// When.
    pub at: Timestamp,
}
