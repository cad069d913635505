//! What there is: machines, etcd members, balancer targets, Nodes, the address and the zones, side by side.
//!
//! Each source is kept as it is observed, because they disagree after a crash; the engine decides what a disagreement
//! means.  Machines are known by their whole name, which is also the name of their Node and of their etcd member; the
//! executor finds them by their labels, compared whole (domain-rules.md, kube-up's mistake 4).

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::Version;
pub use crate::node_group::Power;

/// Everything that the order of a cluster's changes depends on.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[allow(clippy::struct_excessive_bools)] // independent facts
pub struct World {
    /// What the cloud can do.
    pub cloud: Cloud,
    /// Whether the control plane has ever come up.  Once it has, a first master is never made again: its etcd would be
    /// empty.
    pub initialised: bool,
    /// The API's address.
    pub address: Address,
    /// The masters' machines, by name.
    pub machines: BTreeMap<String, Machine>,
    /// Whether `members` is what etcd says.  It is not when nothing that could be asked answers.
    pub membership_known: bool,
    /// etcd's members, by ID.
    pub members: BTreeMap<u64, Member>,
    /// The leader's ID.
    pub leader: Option<u64>,
    /// The balancer in front of the masters.
    pub balancer: Option<Balancer>,
    /// The masters' Node objects, by name.
    pub nodes: BTreeMap<String, Node>,
    /// Masters whose API server is recorded as an endpoint of the Service `kubernetes`.
    pub endpoints: BTreeSet<String>,
    /// Masters whose zonal disk exists.
    pub disks: BTreeMap<String, Disk>,
    /// What the cluster-wide settings (kubeadm-config, kubelet-config) say.
    pub settings: Option<Settings>,
    /// What kubeadm's addons (kube-proxy, `CoreDNS`) are; `None` where others do their work.
    #[serde(default)]
    pub addons: Option<Settings>,
    /// Whether node groups can work with the API: their user's rights are there.
    pub access: bool,
    /// Fingerprint of the pod network's manifest that was applied last.
    pub pod_network: Option<String>,
    /// The cluster's zones, those that are leaving too.
    pub zones: BTreeMap<String, Zone>,
    /// The oldest kubelet among the workers.
    pub oldest_worker: Option<Version>,
    /// This operation has saved a snapshot of etcd since it began.
    pub backed_up: bool,
}

/// What the cloud can do, as far as the order depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Cloud {
    /// What the API's endpoint is.
    pub endpoint: Endpoint,
    /// Whether each zone has its own subnet.
    pub zonal_subnets: bool,
}

/// What the API's endpoint is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Endpoint {
    /// An address that one machine or the balancer holds.  It is taken from one and given to the other.
    Address,
    /// An address that the next holder can answer on before the last one lets go of it.
    SharedAddress,
    /// A DNS name: nothing is ever handed over.
    DnsName,
}

/// The API's address.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Address {
    /// Who holds it.
    pub holder: Holder,
    /// Whether a real request through it is answered.
    pub answers: bool,
    /// A holder that had it in this operation, and did not answer although it served by itself.
    pub failed: Option<Holder>,
}

/// Who holds the API's address.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Holder {
    /// Nobody.
    Nobody,
    /// A master's machine.
    Machine(String),
    /// The balancer.
    Balancer,
}

/// A master's machine.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Machine {
    /// Key of the replica that it was made for.
    pub replica: String,
    /// Its zone.
    pub zone: String,
    /// What it was made from, as a fingerprint, without the version.
    pub specification: String,
    /// Its Kubernetes version.
    pub version: Version,
    /// Whether it runs.
    pub power: Power,
    /// kubeadm is at work on it: it has not joined, and still can.
    pub joining: bool,
    /// Its API server, asked directly.
    pub api: ApiServer,
}

/// An API server, asked directly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ApiServer {
    /// Its own `/readyz` says yes.
    Serving,
    /// It does not answer, or not with yes.
    Unready,
    /// It was stopped because the machine is to leave.
    Stopped,
}

/// A member of etcd.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Member {
    /// The machine it is on, by its name or, before it has started and has one, by its peer address.  `None` when there
    /// is no such machine.
    pub machine: Option<String>,
    /// It does not vote yet.
    pub learner: bool,
    /// It has started: an unstarted member has no name.
    pub started: bool,
    /// It answers and keeps up.
    pub healthy: bool,
    /// etcd's version.
    pub version: Version,
}

/// The balancer in front of the masters.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Balancer {
    /// The zones it spans.
    pub zones: BTreeSet<String>,
    /// Its targets, by machine.  An absent target is not in it.
    pub targets: BTreeMap<String, Target>,
}

/// A target of the balancer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Target {
    /// Registered, and not (or no longer) healthy.
    Unhealthy,
    /// It gets requests.
    Serving,
    /// It is being deregistered and may still get requests.
    Draining,
}

/// A master's Node object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[allow(clippy::struct_excessive_bools)] // independent facts
pub struct Node {
    /// Ready, or registered where no pod network was asked for.
    pub joined: bool,
    /// Cordoned by the provider because it is to leave.
    pub leaving: bool,
    /// It runs pods that a drain evicts.
    pub pods: bool,
    /// Volumes are attached to its machine.
    pub volumes: bool,
    /// It carries the out-of-service taint.
    pub out_of_service: bool,
}

/// A master's zonal disk.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Disk {
    /// Its zone.
    pub zone: String,
}

/// The cluster-wide settings, or kubeadm's addons.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Settings {
    /// The Kubernetes version that they name, or belong to.
    pub version: Version,
    /// All else in them, as a fingerprint.
    pub fingerprint: String,
}

/// A zone of the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Zone {
    /// It can be reached.
    pub up: bool,
    /// It is to leave the cluster: nothing new is made in it.
    pub leaving: bool,
    /// Its own subnet exists, where the cloud has zonal subnets.
    pub subnet: bool,
    /// Workers in it.
    pub workers: usize,
    /// Disks of `multizone_disk` in it.
    pub disks: usize,
}

impl World {
    /// A cluster of which nothing exists yet but its zones.
    pub fn empty(cloud: Cloud, zones: &[&str]) -> Self {
        let zone = Zone {
            up: true,
            leaving: false,
            subnet: cloud.zonal_subnets,
            workers: 0,
            disks: 0,
        };
        Self {
            cloud,
            initialised: false,
            address: Address {
                holder: Holder::Nobody,
                answers: false,
                failed: None,
            },
            machines: BTreeMap::new(),
            membership_known: true,
            members: BTreeMap::new(),
            leader: None,
            balancer: None,
            nodes: BTreeMap::new(),
            endpoints: BTreeSet::new(),
            disks: BTreeMap::new(),
            settings: None,
            addons: None,
            access: false,
            pod_network: None,
            zones: zones.iter().map(|name| ((*name).to_owned(), zone.clone())).collect(),
            oldest_worker: None,
            backed_up: false,
        }
    }

    /// Whether a zone can be reached.  One that the cluster does not know is taken to be up.
    pub fn zone_is_up(&self, zone: &str) -> bool {
        self.zones.get(zone).is_none_or(|zone| zone.up)
    }

    /// Whether something new may stand in a zone: it is one of the cluster's, is to stay, and has its subnet.
    pub fn stands(&self, zone: &str) -> bool {
        self.zones
            .get(zone)
            .is_some_and(|facts| !facts.leaving && (facts.subnet || !self.cloud.zonal_subnets))
    }

    /// Whether a machine runs in a zone that can be reached.
    pub fn runs(&self, machine: &Machine) -> bool {
        machine.power == Power::On && self.zone_is_up(&machine.zone)
    }

    /// Whether a machine's own API server serves.
    pub fn serves(&self, name: &str) -> bool {
        self.machines
            .get(name)
            .is_some_and(|machine| machine.api == ApiServer::Serving && self.runs(machine))
    }

    /// The masters whose own API server serves.
    pub fn serving(&self) -> impl Iterator<Item = &str> {
        self.machines
            .keys()
            .map(String::as_str)
            .filter(|name| self.serves(name))
    }

    /// The state of a machine's target; `None` when it is absent.
    pub fn target(&self, machine: &str) -> Option<Target> {
        self.balancer.as_ref()?.targets.get(machine).copied()
    }

    /// Whether the balancer leads somewhere.
    pub fn balancer_serves(&self) -> bool {
        self.targets_that_serve().next().is_some()
    }

    /// The member on a machine.
    pub fn member_of(&self, machine: &str) -> Option<(u64, &Member)> {
        self.members
            .iter()
            .find(|(_, member)| member.machine.as_deref() == Some(machine))
            .map(|(id, member)| (*id, member))
    }

    /// Whether a machine carries a voter.
    pub fn votes(&self, machine: &str) -> bool {
        self.member_of(machine).is_some_and(|(_, member)| !member.learner)
    }

    /// Whether nothing is left in a zone that stands on its subnet.
    pub fn is_empty(&self, zone: &str) -> bool {
        self.zones
            .get(zone)
            .is_none_or(|facts| facts.workers == 0 && facts.disks == 0)
            && self.machines.values().all(|machine| machine.zone != zone)
            && self.disks.values().all(|disk| disk.zone != zone)
            && self
                .balancer
                .as_ref()
                .is_none_or(|balancer| !balancer.zones.contains(zone))
    }
}
