//! What the region's core tells about a machine, and what a guest tells back.

use std::net::Ipv4Addr;
use std::path::PathBuf;

use async_trait::async_trait;

/// One machine, as the core wants it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MachineSpec {
    /// Its key, `ZONE/NAME`.
    pub name: String,
    /// Its host name.
    pub hostname: String,
    /// The zone it runs in.
    pub zone: String,
    /// The region of that zone.
    pub region: String,
    /// What the cloud calls it, as its own programs hear from cloud-init.
    pub instance_id: String,
    /// What a node of Kubernetes calls it: `gce://PROJECT/ZONE/NAME`, `aws:///ZONE/INSTANCE`.
    pub provider_id: String,
    /// Its address inside its network.
    pub address: Ipv4Addr,
    /// The external address it holds, if any.
    pub external_address: Option<Ipv4Addr>,
    /// Number of CPUs.
    pub cpus: u32,
    /// Memory in MiB.
    pub memory_mib: u64,
    /// The `user-data` metadata.
    pub user_data: Option<String>,
    /// Whether it is switched on.
    pub running: bool,
    /// The directory that is its boot disk. It survives halts; whoever deletes the disk removes it.
    pub boot_disk: PathBuf,
    /// The identity with which it asks for secrets.
    pub service_account: Option<String>,
}

/// The services of the region that a machine can ask for.
#[async_trait]
pub trait Host: Send + Sync {
    /// The latest version of `secret`, if `machine`'s identity may read it.
    async fn access_secret(&self, machine: &str, secret: &str) -> Result<Vec<u8>, HostError>;

    /// Takes the machine's power, as it asks for itself.
    async fn power_off(&self, machine: &str) -> Result<(), HostError> {
        Err(HostError::Unavailable(format!("the power switch of {machine}")))
    }
}

/// Why the region did not answer a machine.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// There is no such thing.
    #[error("{0} does not exist")]
    NotFound(String),
    /// The machine's identity may not read it.
    #[error("permission denied: {0}")]
    PermissionDenied(String),
    /// The service does not answer.
    #[error("{0} is unavailable")]
    Unavailable(String),
}

/// What one machine is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuestReport {
    /// The machine's key, `ZONE/NAME`.
    pub machine: String,
    /// What goes on, for people: `booting`, `installing Kubernetes`, `kubeadm join: waiting for the API`,
    /// `running`, `halted`, `failed: ...`.
    pub phase: String,
    /// The last lines of the serial console.
    pub console_tail: Vec<String>,
    /// The node's Ready condition as its kubelet last posted it; none before it is registered.
    pub node_ready: Option<bool>,
    /// The kubelet's version, once installed.
    pub kubernetes_version: Option<String>,
    /// Disagreements worth showing: labels that contradict where the machine runs.
    pub warnings: Vec<String>,
}
