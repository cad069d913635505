//! Where machines, targets, members and Nodes disagree, or are not as they should be, each in a sentence that names the
//! object.  What a zone's outage explains is said once, with the zone.

use std::{collections::BTreeSet, time::Duration};

use jiff::Timestamp;
use multizone_cloud::{Machine, MachineState};
use multizone_kubernetes::cluster_access::NodeFacts;
use multizone_planner::cluster::{ApiServer, Holder, Target};

use super::{describe::written, look::Sight};
use crate::resources::marks;

/// A certificate that ends within this time is spoken of.
const SOON: Duration = Duration::from_hours(24 * 30);

/// Everything, in the order in which one would look: zones, machines, the API's address, targets, etcd, Nodes,
/// certificates.
pub(super) fn disagreements(sight: &Sight, now: Timestamp) -> Vec<String> {
    let (masters, workers) = (sight.masters(), sight.workers());
    let mut said = Vec::new();
    said.extend(zones(sight));
    said.extend(masters.iter().flat_map(|name| master(sight, name)));
    said.extend(address(sight));
    said.extend(masters.iter().filter_map(|name| target(sight, name)));
    said.extend(etcd(sight));
    said.extend(masters.iter().filter_map(|name| no_member(sight, name)));
    said.extend(endpoints(sight));
    said.extend(workers.iter().filter_map(|name| worker(sight, name)));
    said.extend(
        masters
            .iter()
            .map(|name| ("master", name))
            .chain(workers.iter().map(|name| ("worker", name)))
            .flat_map(|(role, name)| node(sight, role, name)),
    );
    said.extend(certificates(sight, now));
    said
}

/// Whether a machine is in a zone that can be reached.
fn reachable(sight: &Sight, machine: &Machine) -> bool {
    sight.world.zone_is_up(&machine.zone)
}

/// Whether a machine runs where it can be reached: it should do all that it is for.
fn runs(sight: &Sight, name: &str) -> bool {
    let running = |machine: &Machine| machine.state == MachineState::Running && reachable(sight, machine);
    sight.machine(name).is_some_and(running)
}

fn zones(sight: &Sight) -> Vec<String> {
    let mut said = Vec::new();
    for (name, zone) in &sight.world.zones {
        let here: Vec<&str> = sight
            .inventory
            .machines
            .iter()
            .filter(|machine| machine.zone == *name)
            .map(|machine| machine.name.as_str())
            .collect();
        if !zone.up && !here.is_empty() {
            said.push(format!("zone {name} is out, and with it {}", here.join(", ")));
        }
        if zone.leaving {
            let disks = sight.inventory.disks.iter().filter(|disk| disk.zone == *name);
            let left: Vec<&str> = here
                .iter()
                .copied()
                .chain(disks.map(|disk| disk.name.as_str()))
                .collect();
            let left = if left.is_empty() {
                "a balancer".to_owned()
            } else {
                left.join(", ")
            };
            said.push(format!(
                "the cluster does not span zone {name} any more, and {left} is still in it"
            ));
        }
    }
    said
}

fn master(sight: &Sight, name: &str) -> Vec<String> {
    let mut said = Vec::new();
    let Some(machine) = sight.machine(name) else {
        return said;
    };
    match machine.state {
        MachineState::Halted => said.push(format!("master {name} in {} is halted", machine.zone)),
        MachineState::Starting | MachineState::Stopping => {
            let doing = if machine.state == MachineState::Starting {
                "starting"
            } else {
                "on its way down"
            };
            said.push(format!("master {name} in {} is {doing}", machine.zone));
        }
        MachineState::Running if !reachable(sight, machine) || !sight.asked || sight.world.serves(name) => {}
        MachineState::Running => {
            let stopped = sight
                .world
                .machines
                .get(name)
                .is_some_and(|known| known.api == ApiServer::Stopped);
            let how = if stopped {
                "was stopped"
            } else {
                "does not say that it is ready"
            };
            said.push(format!(
                "master {name} in {} runs, and its API server {how}",
                machine.zone
            ));
        }
    }
    if marks::unfinished(&machine.labels) {
        said.push(format!("the create of master {name} has not finished"));
    }
    said
}

fn address(sight: &Sight) -> Option<String> {
    let world = &sight.world;
    let anybody = world.serving().next().is_some();
    if !world.has_an_address() || world.machines.is_empty() {
        return None;
    }
    match &world.address.holder {
        Holder::Nobody => Some("nobody holds the API's address".to_owned()),
        holder if anybody && !world.holder_serves(holder) => Some(format!(
            "{} holds the API's address and leads to no master that serves, while {} does",
            named(sight, holder),
            world.serving().next().unwrap_or_default()
        )),
        _ if anybody && !world.address.answers => {
            Some("a master serves, and the API does not answer at its address".to_owned())
        }
        Holder::Machine(name) if world.balancer.is_some() => Some(format!(
            "master {name} holds the API's address although there is a balancer"
        )),
        Holder::Machine(name) if world.machines.len() > 1 => Some(format!(
            "there are several masters, and the API's address leads to {name} alone: no balancer holds it"
        )),
        _ => None,
    }
}

fn named(sight: &Sight, holder: &Holder) -> String {
    match holder {
        Holder::Nobody => "nobody".to_owned(),
        Holder::Machine(name) => format!("master {name}"),
        Holder::Balancer => format!("balancer {}", sight.balancer.as_deref().unwrap_or_default()),
    }
}

fn target(sight: &Sight, name: &str) -> Option<String> {
    let balancer = sight.world.balancer.as_ref()?;
    let called = sight.balancer.as_deref().unwrap_or_default();
    let state = sight.world.target(name);
    let Some(machine) = sight.machine(name) else {
        return state.map(|_| format!("balancer {called} has the target {name}, and there is no such machine"));
    };
    if !reachable(sight, machine) {
        return None;
    }
    if !runs(sight, name) {
        return (state == Some(Target::Serving))
            .then(|| format!("balancer {called} still passes requests to {name}, which does not run"));
    }
    match state {
        Some(Target::Serving) => None,
        Some(Target::Draining) => Some(format!("{name} is being taken off balancer {called}")),
        Some(Target::Unhealthy) if sight.world.serves(name) => {
            Some(format!("{name} serves, and balancer {called} does not find it healthy"))
        }
        Some(Target::Unhealthy) => Some(format!("{name} is behind balancer {called} and does not serve")),
        None if !balancer.zones.contains(&machine.zone) => Some(format!(
            "{name} is not behind balancer {called}, which does not span {}",
            machine.zone
        )),
        None => Some(format!("{name} is not behind balancer {called}")),
    }
}

fn etcd(sight: &Sight) -> Vec<String> {
    let world = &sight.world;
    if !world.membership_known {
        return too_few_to_ask(sight).into_iter().collect();
    }
    let mut said = Vec::new();
    for (id, member) in &world.members {
        let Some(name) = &member.machine else {
            said.push(format!(
                "etcd has a member {id:x} that has not started, and no machine has its address"
            ));
            continue;
        };
        let Some(machine) = sight.machine(name) else {
            said.push(format!("etcd has a member {name}, and there is no such machine"));
            continue;
        };
        if !member.started {
            said.push(format!("the etcd member of {name} has not started"));
        } else if member.learner {
            said.push(format!("the etcd member of {name} does not vote yet"));
        } else if !member.healthy && machine.state == MachineState::Running && reachable(sight, machine) {
            said.push(format!("the etcd member of {name} does not answer"));
        }
    }
    let quorum = world.quorum();
    if !world.members.is_empty() && !quorum.is_there() {
        said.push(format!(
            "etcd has no quorum: {} of {} members answer, and {} are needed; writes are refused",
            quorum.healthy,
            quorum.voters,
            quorum.majority()
        ));
    } else if !world.members.is_empty() && world.leader.is_none() {
        said.push("etcd has no leader".to_owned());
    }
    said
}

/// Without a quorum no API server leads to etcd, so that nobody can be asked who its members are.
fn too_few_to_ask(sight: &Sight) -> Option<String> {
    let masters = sight.world.machines.len();
    let running = sight.running().count();
    let seen = if running < masters / 2 + 1 {
        format!("{running} of {masters} masters run where they can be reached")
    } else if sight.too_few_voters() {
        let without: Vec<&str> = sight.without_etcd.iter().map(String::as_str).collect();
        format!("etcd does not answer the API servers of {}", without.join(", "))
    } else {
        return None;
    };
    Some(format!(
        "{seen}: unless etcd has fewer members than there are masters, it has no quorum, and writes are refused"
    ))
}

fn no_member(sight: &Sight, name: &str) -> Option<String> {
    let machine = sight.machine(name)?;
    (sight.world.membership_known && sight.world.member_of(name).is_none())
        .then(|| format!("master {name} in {} is no member of etcd", machine.zone))
}

/// Requests from pods go to every recorded API server, also to one that is gone (kube-up's mistake 7).
fn endpoints(sight: &Sight) -> impl Iterator<Item = String> {
    let out = |name: &String| sight.machine(name).is_some_and(|machine| !reachable(sight, machine));
    let stale = sight.world.endpoints.iter();
    let stale = stale.filter(move |name| !sight.world.serves(name) && !out(name));
    stale.map(|name| format!("the Service kubernetes sends requests to {name}, which does not serve"))
}

fn worker(sight: &Sight, name: &str) -> Option<String> {
    let machine = sight.machine(name)?;
    if marks::unfinished(&machine.labels) {
        return Some(format!("the create of worker {name} has not finished"));
    }
    (machine.state == MachineState::Halted).then(|| format!("worker {name} in {} is halted", machine.zone))
}

fn node(sight: &Sight, role: &str, name: &str) -> Vec<String> {
    let Some(nodes) = &sight.nodes else {
        return Vec::new();
    };
    match (sight.machine(name), nodes.get(name)) {
        (None, None) => Vec::new(),
        (None, Some(_)) => vec![format!("there is a Node {name}, and no such machine")],
        (Some(machine), None) => vec![format!("{role} {name} in {} has no Node", machine.zone)],
        (Some(machine), Some(node)) => with_its_machine(sight, role, machine, node),
    }
}

/// The node's zone label, its providerID's zone and its machine's zone agree (domain-rules.md, kubeadm).
fn with_its_machine(sight: &Sight, role: &str, machine: &Machine, node: &NodeFacts) -> Vec<String> {
    let name = &machine.name;
    let mut said = Vec::new();
    match node.zone() {
        Some(zone) if zone != machine.zone => {
            said.push(format!(
                "Node {name} is labelled {zone}, and its machine is in {}",
                machine.zone
            ));
        }
        Some(_) => {}
        None => said.push(format!("Node {name} has no label for its zone {}", machine.zone)),
    }
    // Alibaba Cloud's, REGION.INSTANCE, name no zone.
    let elsewhere = |id: &&String| id.contains("://") && !id.split('/').any(|part| part == machine.zone);
    if let Some(id) = node.provider_id.as_ref().filter(elsewhere) {
        said.push(format!(
            "Node {name} has the providerID {id}, and its machine is in {}",
            machine.zone
        ));
    }
    if !node.ready && runs(sight, name) {
        let reason = node.not_ready_reason.as_deref().unwrap_or("it does not say why");
        said.push(format!("{role} {name} in {} is not ready: {reason}", machine.zone));
    } else if node.ready && machine.state == MachineState::Halted {
        said.push(format!(
            "Node {name} is still said to be ready, and its machine is halted"
        ));
    }
    if node.unschedulable {
        said.push(format!("{role} {name} is cordoned"));
    }
    said
}

fn certificates(sight: &Sight, now: Timestamp) -> Vec<String> {
    let ends = |(name, end): (&String, &Timestamp)| {
        if *end <= now {
            Some(format!("the certificates of master {name} ended {}", written(end)))
        } else {
            (*end <= now + SOON).then(|| format!("the certificates of master {name} end {}", written(end)))
        }
    };
    let mut said: Vec<String> = sight.certificates.iter().filter_map(ends).collect();
    let versions: BTreeSet<String> = sight
        .world
        .machines
        .values()
        .map(|machine| machine.version.to_string())
        .collect();
    if versions.len() > 1 {
        let versions: Vec<String> = versions.into_iter().collect();
        said.push(format!("the masters have different versions: {}", versions.join(", ")));
    }
    said
}
