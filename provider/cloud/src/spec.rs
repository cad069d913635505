//! What the caller asks a cloud for.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use ipnet::Ipv4Net;

use crate::{ClusterName, Labels};

/// A zone on offer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone {
    /// Name, for example `us-central1-a`.
    pub name: String,
    /// Whether the cloud says that the zone is up.
    pub up: bool,
}

/// A machine type as offered in one zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MachineType {
    /// Name, for example `n1-standard-2`.
    pub name: String,
    /// Virtual CPUs.
    pub cpus: u32,
    /// Memory in MiB.
    pub memory_mib: u64,
}

/// The region network of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkSpec {
    /// The cluster that owns it.
    pub cluster: ClusterName,
    /// Address range of the region's subnet; `None` takes the cloud's default.
    pub cidr: Option<Ipv4Net>,
    /// Zones to span, with each zone's own range where the cloud has zonal subnets.
    pub zones: Vec<(String, Option<Ipv4Net>)>,
    /// A network to live in that was there before: nothing of it is made, changed or deleted.
    pub existing: Option<ExistingNetwork>,
    /// Labels, where the cloud labels networks.
    pub labels: Labels,
}

/// A network that somebody else looks after, and the part of it that a cluster may live in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExistingNetwork {
    /// ID in the cloud.
    pub id: String,
    /// The subnet's ID for each zone that the cluster spans.
    pub subnets: BTreeMap<String, String>,
}

/// A subnet that exists, whoever's it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExistingSubnet {
    /// ID in the cloud.
    pub id: String,
    /// ID of its network.
    pub network: String,
    /// Its zone.
    pub zone: String,
    /// Its range.
    pub cidr: Ipv4Net,
    /// Addresses that nobody has.
    pub free: u64,
}

/// One ingress rule of the cluster's network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FirewallSpec {
    /// The cluster that owns it.
    pub cluster: ClusterName,
    /// Name within the cluster, for example `api`.
    pub name: String,
    /// Where the traffic may come from.
    pub source_ranges: Vec<Ipv4Net>,
    /// Roles whose machines may be the source; empty for none.
    pub source_roles: Vec<crate::Role>,
    /// Roles whose machines accept the traffic; empty for all of the cluster's.
    pub target_roles: Vec<crate::Role>,
    /// TCP port ranges (inclusive); empty with `all_protocols`.
    pub tcp_ports: Vec<(u16, u16)>,
    /// Accept every protocol and port.
    pub all_protocols: bool,
}

impl FirewallSpec {
    /// The rule, with its lists as the inventory has them.
    #[must_use]
    pub fn sorted(mut self) -> Self {
        self.source_ranges.sort_unstable();
        self.source_ranges.dedup();
        self.source_roles.sort_unstable();
        self.source_roles.dedup();
        self.target_roles.sort_unstable();
        self.target_roles.dedup();
        self.tcp_ports.sort_unstable();
        self.tcp_ports.dedup();
        self
    }
}

/// A stable external address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressSpec {
    /// The cluster that owns it.
    pub cluster: ClusterName,
    /// Name within the cluster, for example `api`.
    pub name: String,
    /// Labels.
    pub labels: Labels,
}

/// A balancer in front of machines in several zones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BalancerSpec {
    /// The cluster that owns it.
    pub cluster: ClusterName,
    /// Name within the cluster, for example `api`.
    pub name: String,
    /// The zones that it spans: targets may be in them.
    pub zones: BTreeSet<String>,
    /// TCP port that it listens at, and that its targets serve and are checked at.
    pub port: u16,
    /// Path that a healthy target answers with 200 over HTTPS, for example `/readyz`.
    pub health_path: String,
    /// Labels.
    pub labels: Labels,
}

/// A machine.  Its `Debug` leaves the user data out: that holds a bootstrap token.
#[derive(Clone, PartialEq, Eq)]
pub struct MachineSpec {
    /// The cluster that owns it.
    pub cluster: ClusterName,
    /// Name: unique in its zone, and the Kubernetes node's name.
    pub name: String,
    /// Zone.
    pub zone: String,
    /// Role, which decides the firewall rules that apply to it.
    pub role: crate::Role,
    /// Machine type.
    pub machine_type: String,
    /// Image in the cloud's own words; `None` takes the cloud's current Ubuntu 24.04 LTS.
    pub image: Option<String>,
    /// Size of the boot disk in GiB.
    pub boot_disk_gb: i64,
    /// cloud-init user data.
    pub user_data: String,
    /// Machine identity (service account); `None` gives it none.
    pub identity: Option<String>,
    /// The stable address to hold, by its name within the cluster; `None` takes an ephemeral one.  A DNS name leads to
    /// the machine too from then on.
    pub address: Option<String>,
    /// Labels, from creation on.
    pub labels: Labels,
}

/// A zonal disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskSpec {
    /// The cluster that owns it.
    pub cluster: ClusterName,
    /// Name in the cloud.
    pub name: String,
    /// Zone.
    pub zone: String,
    /// Size in GiB.
    pub size_gb: i64,
    /// Kind, for example `pd-balanced`.
    pub disk_type: String,
    /// What it is to do, where that can be chosen.
    pub performance: Performance,
    /// Name of the snapshot to fill it from.
    pub snapshot: Option<String>,
    /// Labels, from creation on.
    pub labels: Labels,
}

/// What a disk does, where that can be chosen apart from its size; `None` is what its kind and size have by themselves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Performance {
    /// Operations per second.
    pub iops: Option<i64>,
    /// MiB per second.
    pub throughput: Option<i64>,
}

/// What processes tell each other through the cloud, by comparing and swapping.  Nothing in it is secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// What it says.
    pub text: String,
    /// What becomes another with every change of it.
    pub version: String,
}

/// A secret.  Its `Debug` leaves the content out.
#[derive(Clone)]
pub struct SecretSpec {
    /// The cluster that owns it.
    pub cluster: ClusterName,
    /// Name in the secret store.
    pub name: String,
    /// Content to store when the secret does not exist yet.
    pub content: Vec<u8>,
    /// Labels.
    pub labels: Labels,
}

impl fmt::Debug for MachineSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MachineSpec")
            .field("cluster", &self.cluster)
            .field("name", &self.name)
            .field("zone", &self.zone)
            .field("role", &self.role)
            .field("machine_type", &self.machine_type)
            .field("image", &self.image)
            .field("boot_disk_gb", &self.boot_disk_gb)
            .field("user_data", &format_args!("{} bytes", self.user_data.len()))
            .field("identity", &self.identity)
            .field("address", &self.address)
            .field("labels", &self.labels)
            .finish()
    }
}

impl fmt::Debug for SecretSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretSpec")
            .field("cluster", &self.cluster)
            .field("name", &self.name)
            .field("content", &format_args!("{} bytes", self.content.len()))
            .field("labels", &self.labels)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_secret_is_printed() {
        let machine = MachineSpec {
            cluster: ClusterName::new("demo"),
            name: "m".into(),
            zone: "z".into(),
            role: crate::Role::Worker,
            machine_type: "t".into(),
            image: None,
            boot_disk_gb: 20,
            user_data: "token: abcdef.0123456789abcdef".into(),
            identity: None,
            address: None,
            labels: Labels::new(),
        };
        let secret = SecretSpec {
            cluster: ClusterName::new("demo"),
            name: "s".into(),
            content: b"abcdef".to_vec(),
            labels: Labels::new(),
        };
        assert!(!format!("{machine:?}").contains("abcdef"));
        assert!(format!("{secret:?}").contains("6 bytes"));
    }
}
