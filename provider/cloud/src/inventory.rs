//! What a cloud says exists.

use std::{collections::BTreeSet, fmt, net::Ipv4Addr};

use ipnet::Ipv4Net;

use crate::{Labels, Performance};

/// Everything in the region that carries one cluster's label.  Lists are sorted by zone and name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inventory {
    /// The cluster's network, if it exists.
    pub network: Option<Network>,
    /// Firewall rules of that network that are the cluster's.
    pub firewall_rules: Vec<FirewallRule>,
    /// Stable addresses.
    pub addresses: Vec<Address>,
    /// Machines.
    pub machines: Vec<Machine>,
    /// Disks, the machines' boot disks left out.
    pub disks: Vec<Disk>,
    /// Names of the secrets.
    pub secrets: Vec<String>,
    /// Names of snapshots.
    pub snapshots: Vec<String>,
    /// Balancers, by name.
    pub balancers: Vec<Balancer>,
}

impl Inventory {
    /// Whether nothing of the cluster is left.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
    /// The machine of that zone and name.
    pub fn machine(&self, zone: &str, name: &str) -> Option<&Machine> {
        self.machines
            .iter()
            .find(|machine| machine.zone == zone && machine.name == name)
    }
    /// The disk of that zone and name.
    pub fn disk(&self, zone: &str, name: &str) -> Option<&Disk> {
        self.disks.iter().find(|disk| disk.zone == zone && disk.name == name)
    }
    /// The stable address of that name within the cluster.
    pub fn address(&self, name: &str) -> Option<&Address> {
        self.addresses.iter().find(|address| address.name == name)
    }
    /// The balancer of that name within the cluster.
    pub fn balancer(&self, name: &str) -> Option<&Balancer> {
        self.balancers.iter().find(|balancer| balancer.name == name)
    }
    /// The firewall rule of that name within the cluster.
    pub fn firewall_rule(&self, name: &str) -> Option<&FirewallRule> {
        self.firewall_rules.iter().find(|rule| rule.name == name)
    }
}

/// A cluster's network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// Name in the cloud.
    pub name: String,
    /// Range of the region's subnet, or the one that the zones' subnets are in; `None` while there is none.
    pub cidr: Option<Ipv4Net>,
    /// Subnets.
    pub subnets: Vec<Subnet>,
    /// Whether it was there before the cluster, its subnets with it: then nothing of it is the cluster's.
    pub existing: bool,
    /// What somebody changed, in words; [`crate::Cloud::ensure_network`] corrects it.
    pub unexpected: Option<String>,
}

/// A subnet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subnet {
    /// Name in the cloud.
    pub name: String,
    /// The zone, where subnets are zonal.
    pub zone: Option<String>,
    /// Range.
    pub cidr: Ipv4Net,
}

/// A firewall rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FirewallRule {
    /// Name within the cluster.
    pub name: String,
    /// What the rule says now, to be compared with what it should say; its lists are sorted.
    pub spec: crate::FirewallSpec,
    /// What the rule says that no specification can say (disabled, another protocol, a foreign tag), in words: somebody
    /// changed it.
    pub unexpected: Option<String>,
}

/// Where something is reached.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Host {
    /// At an address.
    Address(Ipv4Addr),
    /// By a DNS name.
    Name(String),
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => write!(f, "{address}"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

impl From<[u8; 4]> for Host {
    fn from(address: [u8; 4]) -> Self {
        Self::Address(address.into())
    }
}

impl From<Ipv4Addr> for Host {
    fn from(address: Ipv4Addr) -> Self {
        Self::Address(address)
    }
}

/// A stable external address, or, where the API's endpoint is a DNS name, a stable name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// Name within the cluster.
    pub name: String,
    /// The address.
    pub address: Host,
    /// Who holds it; of several machines to which a DNS name leads, the first.
    pub holder: Option<AddressHolder>,
    /// Labels.
    pub labels: Labels,
    /// What somebody changed, in words; [`crate::Cloud::ensure_address`] corrects it.  What a balancer holds is told by
    /// [`Balancer::unexpected`].
    pub unexpected: Option<String>,
}

/// Who holds a stable address, or is to hold it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AddressHolder {
    /// A machine.
    Machine {
        /// Its zone.
        zone: String,
        /// Its name.
        name: String,
    },
    /// A balancer: what listens at the address is the balancer's.
    Balancer {
        /// Its name within the cluster; one that is not the cluster's is known by its name in the cloud.
        name: String,
    },
}

impl fmt::Display for AddressHolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Machine { zone, name } => write!(f, "machine {name} in {zone}"),
            Self::Balancer { name } => write!(f, "balancer {name}"),
        }
    }
}

/// A balancer that passes TCP connections on to machines in several zones, as far as they are healthy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Balancer {
    /// Name within the cluster.
    pub name: String,
    /// The zones it spans.
    pub zones: BTreeSet<String>,
    /// Its targets, sorted by zone and machine.
    pub targets: Vec<BalancerTarget>,
    /// The address that it listens at, where it holds one.
    pub address: Option<Ipv4Addr>,
    /// The name that the cloud gives it, where the endpoint is a DNS name.
    pub dns_name: Option<String>,
    /// Labels.
    pub labels: Labels,
    /// What it is that no specification can say (another health check, another protocol, a foreign backend), in words:
    /// somebody changed it, or an earlier change was interrupted.  [`crate::Cloud::ensure_balancer`] corrects it.
    pub unexpected: Option<String>,
}

impl Balancer {
    /// Whether a create of it has not finished (design.md, Resources).
    pub fn creating(&self) -> bool {
        self.labels.contains_key(crate::label::CREATING)
    }
    /// The target of that zone and machine.
    pub fn target(&self, zone: &str, machine: &str) -> Option<&BalancerTarget> {
        self.targets
            .iter()
            .find(|target| target.zone == zone && target.machine == machine)
    }
}

/// A machine behind a balancer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BalancerTarget {
    /// The machine's zone.
    pub zone: String,
    /// The machine's name.
    pub machine: String,
    /// Whether it gets connections.
    pub health: TargetHealth,
}

/// Whether a target gets connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TargetHealth {
    /// Registered, and not (or no longer, or not yet known to be) healthy.
    Unhealthy,
    /// It gets new connections.
    Serving,
    /// It is being deregistered: it keeps the connections it has for a while.
    Draining,
}

impl fmt::Display for TargetHealth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unhealthy => "unhealthy",
            Self::Serving => "serving",
            Self::Draining => "draining",
        })
    }
}

/// What a machine is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MachineState {
    /// Being made or booting.
    Starting,
    /// Running.
    Running,
    /// On its way down.
    Stopping,
    /// Halted; it can be started again.
    Halted,
}

/// A machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// The cloud's own ID.
    pub id: String,
    /// Name.
    pub name: String,
    /// Zone.
    pub zone: String,
    /// State.
    pub state: MachineState,
    /// Machine type.
    pub machine_type: String,
    /// Internal address, once it has one.
    pub address: Option<Ipv4Addr>,
    /// External address, if it has one.
    pub external_address: Option<Ipv4Addr>,
    /// Names of the attached disks, its boot disk left out.
    pub disks: Vec<String>,
    /// Labels.
    pub labels: Labels,
    /// When it was made, RFC 3339.
    pub created: String,
}

impl Machine {
    /// Whether a create of it has not finished (design.md, Resources).
    pub fn creating(&self) -> bool {
        self.labels.contains_key(crate::label::CREATING)
    }
    /// Its role, by its label.
    pub fn role(&self) -> Option<crate::Role> {
        self.labels
            .get(crate::label::ROLE)
            .and_then(|role| crate::Role::parse(role))
    }
}

/// A zonal disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disk {
    /// The cloud's own ID.
    pub id: String,
    /// Name.
    pub name: String,
    /// Zone.
    pub zone: String,
    /// Size in GiB.
    pub size_gb: i64,
    /// Kind.
    pub disk_type: String,
    /// What it does, as far as that can be chosen.
    pub performance: Performance,
    /// What a disk of its kind and size does for which nothing is chosen.
    pub usual: Performance,
    /// Names of the machines it is attached to.
    pub attached_to: Vec<String>,
    /// Labels.
    pub labels: Labels,
}
