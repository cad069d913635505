//! Changes take time: operations and what they do when their moment comes.

use super::records::InstanceStatus;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::net::Ipv4Addr;

/// State of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum OperationStatus {
    /// Accepted.
    Pending,
    /// Under way.
    Running,
    /// Over, well or not.
    Done,
}

/// Where an operation is listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Scope {
    /// Of the project.
    Global,
    /// Of a region.
    Region(String),
    /// Of a zone.
    Zone(String),
}

/// Why an operation failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperationError {
    /// `ZONE_RESOURCE_POOL_EXHAUSTED`, ...
    pub code: String,
    /// For people.
    pub message: String,
    /// HTTP status the same failure would have had.
    pub http_status: u16,
    /// The reason phrase of that status.
    pub http_message: String,
}

/// What happens to the objects of the region at one moment of an operation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Effect {
    /// Nothing but time.
    None,
    /// The operation leaves the queue.
    Begin,
    /// A machine changes state.
    InstanceIs(String, InstanceStatus),
    /// A machine has power from now on.
    InstanceRuns(String),
    /// A machine has no power any more.
    InstanceLosesPower(String),
    /// A machine is stopped.
    InstanceStops(String),
    /// A machine is gone.
    InstanceGone(String),
    /// A disk can be used.
    DiskReady(String),
    /// A disk is gone.
    DiskGone(String),
    /// A disk has grown.
    DiskGrows(String, u64),
    /// A disk leaves a machine: machine, device name.
    DiskLeaves(String, String),
    /// A snapshot can be used.
    SnapshotReady(String),
    /// A snapshot is gone.
    SnapshotGone(String),
    /// A network is gone.
    NetworkGone(String),
    /// A subnetwork is gone.
    SubnetworkGone(String),
    /// A firewall rule is gone.
    FirewallGone(String),
    /// A reserved address is released.
    AddressGone(String),
    /// A machine gets an external address.
    AccessGranted {
        /// Key of the machine.
        instance: String,
        /// Name of the access configuration.
        name: String,
        /// The address.
        address: Ipv4Addr,
        /// Key of the reserved address.
        reserved: Option<String>,
    },
    /// A health check is gone.
    HealthCheckGone(String),
    /// An instance group is gone.
    InstanceGroupGone(String),
    /// A backend service is gone.
    BackendServiceGone(String),
    /// A forwarding rule forwards from now on.
    ForwardingBegins(String),
    /// A forwarding rule is gone, and its address free.
    ForwardingEnds(String),
    /// The connections of a machine that has left a balancer are cut.
    DrainingEnds {
        /// Key of the backend service.
        service: String,
        /// Key of the machine.
        instance: String,
    },
    /// A machine gives its external address up.
    AccessRevoked(String),
}

/// An effect and its moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// When.
    pub at: Timestamp,
    /// What.
    pub effect: Effect,
}

/// A change under way or over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operation {
    /// Name, unique in the region.
    pub name: String,
    /// Unique number.
    pub id: u64,
    /// `insert`, `delete`, `start`, ...
    pub verb: String,
    /// Where it is listed.
    pub scope: Scope,
    /// Path of the object it changes, `projects/...`.
    pub target: String,
    /// ID of that object.
    pub target_id: u64,
    /// State.
    pub status: OperationStatus,
    /// When it was accepted.
    pub inserted: Timestamp,
    /// When it began.
    pub started: Option<Timestamp>,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// Why it failed.
    pub error: Option<OperationError>,
    /// Idempotency token it was asked with.
    pub token: Option<String>,
    /// What is still to come; the operation is done after the last.
    pub steps: Vec<Step>,
}

impl Operation {
    /// Per cent done: by status, since the steps are few.
    pub fn progress(&self) -> u8 {
        match self.status {
            OperationStatus::Pending => 0,
            OperationStatus::Running => 50,
            OperationStatus::Done => 100,
        }
    }

    /// When something happens next.
    pub fn due(&self) -> Option<Timestamp> {
        self.steps.first().map(|step| step.at)
    }
}
