//! What a cloud can do, as constants that planning may use.

use std::time::Duration;

/// What a cloud can and cannot do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// Whether subnets are regional or zonal.
    pub subnets: Subnets,
    /// Whether a cluster can live in a network that exists.
    pub existing_networks: bool,
    /// What the API's endpoint is.
    pub endpoint: EndpointKind,
    /// Kinds of disk; the first is the one that a configuration means that names none.
    pub disk_types: &'static [&'static str],
    /// A machine type that a master can have, for messages.
    pub machine_type: &'static str,
    /// How long things usually take.
    pub timing: Timing,
}

/// The scope of a subnet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subnets {
    /// One subnet serves every zone of the region.
    Regional,
    /// Each zone needs its own subnet and range.
    Zonal,
}

/// What the endpoint of the Kubernetes API is on this cloud.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndpointKind {
    /// A stable address that can move between a machine and a balancer.
    Address,
    /// A DNS name: nothing is ever handed over, and it leads to every machine that was given it.
    DnsName,
}

/// Usual durations, shown to the user in plans.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// From the call that makes a machine to a running operating system.
    pub create_machine: Duration,
    /// From a running operating system to a Ready node.
    pub join: Duration,
    /// From the call that deletes a machine to its absence.
    pub delete_machine: Duration,
    /// Cordon and drain of an ordinary node.
    pub drain: Duration,
    /// From registering a healthy target with a balancer to its first connection.
    pub register: Duration,
    /// From deregistering a target to its absence.
    pub deregister: Duration,
    /// From taking a stable address away to the first answer at its new place.
    pub hand_over: Duration,
}
