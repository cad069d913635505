//! The masters as Terraform's state shows them.

use std::collections::{BTreeMap, BTreeSet};

use multizone_cloud::{Inventory, Machine as CloudMachine, Role, label};
use multizone_kubernetes::cluster_access::NodeFacts;
use multizone_planner::cluster::Power;

use super::{MasterNode, drift::Repair, observe::Observation};
use crate::{
    configuration::Configured,
    resources::{identity::API_ADDRESS, world},
};

pub(super) fn is_master(machine: &CloudMachine) -> bool {
    machine.role() == Some(Role::Master)
}

/// Whether a machine holds the cluster's address: then there is a master, whatever became of its labels.
pub(in crate::resources) fn address_is_held(inventory: &Inventory) -> bool {
    inventory
        .address(API_ADDRESS)
        .is_some_and(|address| address.holder.is_some())
}

/// A master's Node, as far as it could be seen.
#[derive(Clone, Copy, Debug)]
enum Node<'n> {
    /// The API did not answer.
    Unseen,
    /// The machine has not registered.
    Absent,
    /// What the API says.
    Seen(&'n NodeFacts),
}

/// All masters, by name; `repairs` is what there is to put right about each, `certificates` when its certificates end.
pub(super) fn nodes(
    provider: &Configured,
    observation: &Observation,
    pod_network: bool,
    repairs: &BTreeMap<String, BTreeSet<Repair>>,
    certificates: &BTreeMap<String, String>,
) -> BTreeMap<String, MasterNode> {
    let describe = |machine: &CloudMachine| {
        let node = match &observation.nodes {
            None => Node::Unseen,
            Some(nodes) => nodes.get(&machine.name).map_or(Node::Absent, Node::Seen),
        };
        let node = MasterNode {
            replica: machine.labels.get(label::REPLICA).cloned().unwrap_or_default(),
            zone: machine.zone.clone(),
            address: machine.address.map(|address| address.to_string()).unwrap_or_default(),
            provider_id: provider.cloud().provider_id_of(machine),
            state: state(machine, node, pod_network, repairs.get(&machine.name)).to_owned(),
            certificate_expires_at: certificates.get(&machine.name).cloned(),
        };
        (machine.name.clone(), node)
    };
    world::masters(&observation.inventory).map(describe).collect()
}

fn state(
    machine: &CloudMachine,
    node: Node<'_>,
    pod_network: bool,
    repairs: Option<&BTreeSet<Repair>>,
) -> &'static str {
    let repaired = |repair| repairs.is_some_and(|repairs| repairs.contains(&repair));
    match (world::power(machine), node) {
        (Power::Off, _) => "halted",
        (Power::On, _) if repaired(Repair::Machine) => "relabelled",
        (Power::On, Node::Unseen) => "unknown",
        (Power::On, Node::Absent) => "not registered",
        (Power::On, Node::Seen(_)) if repaired(Repair::Cordon) => "cordoned",
        (Power::On, Node::Seen(node)) if node.ready => "ready",
        (Power::On, Node::Seen(_)) if !pod_network => "registered",
        (Power::On, Node::Seen(_)) => "not ready",
    }
}

/// Why a node is not ready, and since when.
pub(super) fn not_ready(node: &NodeFacts) -> Option<String> {
    let reason = node.not_ready_reason.as_ref()?.trim_end_matches('.');
    Some(match &node.not_ready_since {
        Some(since) => format!("since {since}: {reason}"),
        None => reason.to_owned(),
    })
}
