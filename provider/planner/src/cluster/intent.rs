//! What is asked for: one operation of Terraform on one object.

use std::collections::{BTreeMap, BTreeSet};

use crate::Version;

/// One operation that Terraform calls.  Its graph may call them in many orders; each does its part.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Create, update or (with no replicas) destroy the control plane.
    ControlPlane(ControlPlane),
    /// Create or update the balancer.
    Balancer(BalancerIntent),
    /// Destroy the balancer.
    RemoveBalancer(BalancerIntent),
    /// Create, update or (with no zones) destroy the cluster's own objects: its zones and their subnets.
    Zones(BTreeSet<String>),
    /// The end of a node group's or a disk's destroy: clean up after it where it was the last.
    LeaveZone,
}

/// What a control plane is to be.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ControlPlane {
    /// What the names of its machines begin with, `demo-master-`.
    pub prefix: String,
    /// Its replicas, by key.  None: it is to go.
    pub replicas: BTreeMap<String, Replica>,
    /// Its Kubernetes version.
    pub version: Version,
    /// The cluster-wide settings without the version, as a fingerprint.
    pub settings: String,
    /// What kubeadm's addons are to be without the version, as a fingerprint.
    pub addons: String,
    /// The balancer in front of it, by name.
    pub balancer: Option<String>,
    /// The API's endpoint, for the wording.
    pub endpoint: Option<String>,
    /// Where snapshots of etcd go; `None` for no snapshots.
    pub backup: Option<String>,
    /// Fingerprint of the pod network's manifest; `None` when the user installs one.
    pub pod_network: Option<String>,
}

/// One replica.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Replica {
    /// Its zone.
    pub zone: String,
    /// What its machine is made from, as a fingerprint, without the version.
    pub specification: String,
}

/// What the balancer is to be.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BalancerIntent {
    /// Its name.
    pub name: String,
    /// The zones it is to span.
    pub zones: BTreeSet<String>,
    /// The API's endpoint, for the wording.
    pub endpoint: Option<String>,
}
