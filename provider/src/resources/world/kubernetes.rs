//! What etcd and Kubernetes say, in the planner's words.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use multizone_cloud::{Inventory, Machine as CloudMachine};
use multizone_kubernetes::{cluster_access::NodeFacts, etcd::EtcdView};
use multizone_planner::{
    Version,
    cluster::{Member, World},
};

use super::masters;

/// etcd's members: each is healthy that answers for itself.
pub(crate) fn record_members(world: &mut World, inventory: &Inventory, view: &EtcdView) {
    let by_peer_address = |urls: &[String]| {
        let at = |machine: &&CloudMachine| {
            machine.address.is_some_and(|address| {
                let host = format!("//{address}:");
                urls.iter().any(|url| url.contains(&host))
            })
        };
        masters(inventory).find(at).map(|machine| machine.name.clone())
    };
    world.membership_known = true;
    world.leader = view.leader();
    for member in &view.members {
        let status = view.status_of(member.id);
        let machine = if member.is_started() {
            Some(member.name.clone())
        } else {
            by_peer_address(&member.peer_urls)
        };
        let member_facts = Member {
            machine,
            learner: member.learner,
            started: member.is_started(),
            healthy: status.is_some(),
            version: status.map_or(Version::new(3, 6, 0), |status| parsed(&status.version)),
        };
        world.members.insert(member.id, member_facts);
    }
}

fn parsed(version: &str) -> Version {
    let mut parts = version.split('.').map(|part| part.parse().unwrap_or_default());
    let mut part = || parts.next().unwrap_or_default();
    Version::new(part(), part(), part())
}

/// Whose API server is recorded; one whose machine and Node are gone is known by its address alone.
pub(crate) fn record_endpoints(
    world: &mut World,
    inventory: &Inventory,
    nodes: &BTreeMap<String, NodeFacts>,
    recorded: &BTreeSet<IpAddr>,
) {
    for address in recorded {
        let machine = masters(inventory).find(|machine| machine.address.map(IpAddr::V4) == Some(*address));
        let text = address.to_string();
        let node = || {
            let has = |node: &&NodeFacts| node.addresses.iter().any(|own| own.address == text);
            nodes.values().find(has).map(|node| node.name.clone())
        };
        let name = machine.map(|machine| machine.name.clone()).or_else(node);
        world.endpoints.insert(name.unwrap_or_else(|| text.clone()));
    }
}
