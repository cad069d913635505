//! A control plane of exactly one replica.
//!
//! # Flow
//! [`next`] says: make the master, wait until the API serves through the endpoint, install what node groups need,
//! install the pod network, wait until the master's own Node has joined.  A halted master is started again.
//!
//! # Guarantees
//! - The only master is never replaced: its disk is the only copy of etcd.  What would need a new machine is refused
//!   until there are several replicas.
//! - Nothing is asked of the API before it serves.

mod next;
mod preview;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

pub use crate::node_group::Power;
pub use next::{effect, next};
pub use preview::{Preview, preview};

/// What there is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observed {
    /// The master's machine.
    pub machine: Option<Machine>,
    /// Whether the Kubernetes API serves through the cluster's endpoint.
    pub serving: bool,
    /// Whether node groups can work with the API: their user's rights are there.
    pub access: bool,
    /// Fingerprint of the pod network's manifest that was applied last.
    pub pod_network: Option<String>,
    /// Whether the master's Node counts as joined: Ready, or registered where no pod network was asked for.
    pub joined: bool,
}

/// The master's machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// Whether it runs.
    pub power: Power,
    /// What it was made from.
    pub specification: String,
}

/// What the configuration asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Desired {
    /// Key of the replica.
    pub replica: String,
    /// Its zone.
    pub zone: String,
    /// What its machine is made from.
    pub specification: String,
    /// The API's endpoint, for the wording.
    pub endpoint: Option<String>,
    /// Fingerprint of the pod network's manifest; `None` when the user installs one.
    pub pod_network: Option<String>,
}

/// One idempotent action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Make the master's machine; it initialises the cluster.
    CreateMaster,
    /// Start the halted master.
    StartMaster,
    /// Wait until the API serves through the endpoint.
    WaitServing,
    /// Give the node groups' user its rights.
    InstallAccess,
    /// Apply the pod network's manifest.
    ApplyPodNetwork,
    /// Wait until the master's Node has joined.
    WaitJoined,
}

impl Step {
    /// Whether the step changes nothing by itself.
    pub fn only_waits(self) -> bool {
        matches!(self, Self::WaitServing | Self::WaitJoined)
    }
}

/// The engine's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Carry this out, then ask again.
    Step(Step),
    /// The control plane is as it is to be.
    Done,
    /// What is asked for is never right.
    Refused(Violation),
}

/// Which rule the configuration breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// The master's disk is the only copy of etcd.
    #[error("the only master cannot be replaced: its disk holds the only copy of etcd")]
    ReplacesTheOnlyMaster,
}
