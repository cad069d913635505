//! The objects a balancer is made of, as plain data.

use crate::core::records::{Identity, Labels};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::net::Ipv4Addr;

/// How a health check asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Protocol {
    /// A connection is enough.
    Tcp,
    /// GET must answer 200.
    Http,
    /// GET over TLS, whatever the certificate, must answer 200.
    Https,
}

impl Protocol {
    /// The word the API uses.
    pub fn word(self) -> &'static str {
        match self {
            Self::Tcp => "TCP",
            Self::Http => "HTTP",
            Self::Https => "HTTPS",
        }
    }

    /// The port when none is given.
    pub fn default_port(self) -> u16 {
        match self {
            Self::Tcp | Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// What a health check asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// How.
    pub protocol: Protocol,
    /// Port of the machine.
    pub port: u16,
    /// Path of the GET; empty for a TCP probe.
    pub request_path: String,
    /// Host header; empty for the address probed.
    pub host: String,
}

/// A regional health check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthCheck {
    /// Name and ID.
    pub identity: Identity,
    /// Region.
    pub region: String,
    /// What it asks for.
    pub probe: Probe,
    /// Seconds from one probe to the next.
    pub check_interval_sec: u32,
    /// Seconds an answer may take.
    pub timeout_sec: u32,
    /// Successes in a row that make a target healthy.
    pub healthy_threshold: u32,
    /// Failures in a row that make a target unhealthy.
    pub unhealthy_threshold: u32,
}

/// A named port of an instance group: kept and shown only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedPort {
    /// Name.
    pub name: String,
    /// Port.
    pub port: u16,
}

/// A zonal, unmanaged group of machines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceGroup {
    /// Name and ID.
    pub identity: Identity,
    /// Zone of its members.
    pub zone: String,
    /// Network of its members; `None` until the first one joins, unless given.
    pub network: Option<String>,
    /// Key of the subnetwork of the member that joined first.
    pub subnetwork: Option<String>,
    /// Keys of the machines.
    pub members: BTreeSet<String>,
    /// Named ports.
    pub named_ports: Vec<NamedPort>,
}

/// An instance group behind a backend service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backend {
    /// Key of the group.
    pub group: String,
    /// Free text.
    pub description: String,
}

/// A regional backend service of a pass-through balancer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackendService {
    /// Name and ID.
    pub identity: Identity,
    /// Region.
    pub region: String,
    /// Its groups.
    pub backends: Vec<Backend>,
    /// Key of its health check.
    pub health_check: String,
    /// Seconds that the connections of a machine that leaves may go on.
    pub draining_timeout_sec: u32,
    /// Kept and shown only.
    pub timeout_sec: u32,
}

/// A forwarding rule: an address and ports in front of a backend service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForwardingRule {
    /// Name and ID.
    pub identity: Identity,
    /// Region.
    pub region: String,
    /// The address.
    pub address: Ipv4Addr,
    /// Key of the reserved address; `None` for an ephemeral one.
    pub reserved: Option<String>,
    /// What it forwards.
    pub ports: Ports,
    /// Key of the backend service.
    pub backend_service: String,
    /// Labels.
    pub labels: Labels,
    /// Whether it forwards already.
    pub active: bool,
}

/// The ports of a forwarding rule, in the way they were given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ports {
    /// Each of these.
    Listed(Vec<u16>),
    /// From the first to the last.
    Range(u16, u16),
    /// All.
    All,
}

impl Ports {
    /// The same as ranges, both ends included.
    pub fn ranges(&self) -> Vec<(u16, u16)> {
        match self {
            Self::Listed(ports) => ports.iter().map(|port| (*port, *port)).collect(),
            Self::Range(first, last) => vec![(*first, *last)],
            Self::All => vec![(1, u16::MAX)],
        }
    }
}

/// A machine behind a backend service, as its health checks see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// Key of the backend service.
    pub service: String,
    /// Key of the machine.
    pub instance: String,
    /// Key of the group through which it is one.
    pub group: String,
    /// Whether enough probes have succeeded lately.
    pub healthy: bool,
    /// Until when its connections may go on, once it has left the group.
    pub drains_until: Option<Timestamp>,
}
