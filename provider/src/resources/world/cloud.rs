//! The cloud's facts in the planner's words.

use std::collections::BTreeMap;

use multizone_cloud::{
    AddressHolder, Balancer as CloudBalancer, Capabilities, EndpointKind, Inventory, Machine as CloudMachine,
    MachineState, Role, Subnets, TargetHealth, label,
};
use multizone_planner::{
    Version,
    cluster::{ApiServer, Balancer, Cloud, Endpoint, Holder, Machine, Power, Target, Zone},
};

use super::Seen;
use crate::resources::control_plane::SPECIFICATION;

/// What the order depends on of what a cloud can do.
pub(crate) fn endpoint(capabilities: &Capabilities) -> Cloud {
    Cloud {
        endpoint: match capabilities.endpoint {
            EndpointKind::Address => Endpoint::Address,
            EndpointKind::DnsName => Endpoint::DnsName,
        },
        zonal_subnets: capabilities.subnets == Subnets::Zonal,
    }
}

/// The masters' machines.
pub(crate) fn masters(inventory: &Inventory) -> impl Iterator<Item = &CloudMachine> {
    inventory
        .machines
        .iter()
        .filter(|machine| machine.role() == Some(Role::Master))
}

/// The masters, by their whole name.
pub(crate) fn machines(inventory: &Inventory) -> BTreeMap<String, Machine> {
    masters(inventory)
        .map(|found| (found.name.clone(), machine(found)))
        .collect()
}

/// A master, as its labels say.  Whether it serves, and whether kubeadm is still at work on it, is for who can ask.
pub(crate) fn machine(machine: &CloudMachine) -> Machine {
    let label = |key: &str| machine.labels.get(key).cloned().unwrap_or_default();
    Machine {
        replica: label(label::REPLICA),
        zone: machine.zone.clone(),
        specification: label(SPECIFICATION),
        version: version(&label(label::VERSION)),
        power: power(machine),
        joining: false,
        api: ApiServer::Unready,
    }
}

/// Whether a machine runs.
pub(crate) fn power(machine: &CloudMachine) -> Power {
    match machine.state {
        MachineState::Starting | MachineState::Running => Power::On,
        MachineState::Stopping | MachineState::Halted => Power::Off,
    }
}

/// The version of a label, which has `-` for `.`.
fn version(label: &str) -> Version {
    let mut parts = label.split('-').map(|part| part.parse().unwrap_or_default());
    let mut part = || parts.next().unwrap_or_default();
    Version::new(part(), part(), part())
}

/// The oldest Kubernetes version among the workers, as their labels say.
pub(crate) fn oldest_worker(inventory: &Inventory) -> Option<Version> {
    let workers = inventory.machines.iter();
    let labels = workers
        .filter(|machine| machine.role() == Some(Role::Worker))
        .filter_map(|machine| machine.labels.get(label::VERSION));
    labels.map(|label| version(label)).min()
}

/// Who holds an address, as an operation on one balancer sees it: whoever else holds it is somebody that the address can
/// be taken from, and that does not serve.
pub(crate) fn holder(inventory: &Inventory, address: &str, balancer: Option<&str>) -> Holder {
    match inventory.address(address).and_then(|address| address.holder.as_ref()) {
        None => Holder::Nobody,
        Some(AddressHolder::Machine { name, .. }) => Holder::Machine(name.clone()),
        Some(AddressHolder::Balancer { name }) if Some(name.as_str()) == balancer => Holder::Balancer,
        Some(other @ AddressHolder::Balancer { .. }) => Holder::Machine(other.to_string()),
    }
}

/// A balancer with its targets.
pub(crate) fn balancer(balancer: &CloudBalancer) -> Balancer {
    let target = |health| match health {
        TargetHealth::Unhealthy => Target::Unhealthy,
        TargetHealth::Serving => Target::Serving,
        TargetHealth::Draining => Target::Draining,
    };
    let targets = balancer.targets.iter();
    Balancer {
        zones: balancer.zones.clone(),
        targets: targets
            .map(|found| (found.machine.clone(), target(found.health)))
            .collect(),
    }
}

/// The zones: those of the region that the cluster spans or still has something in.
pub(crate) fn zones(seen: &Seen<'_>) -> BTreeMap<String, Zone> {
    let Seen {
        inventory,
        region,
        spanned,
        ..
    } = *seen;
    let workers = |zone: &str| {
        let here = |machine: &&CloudMachine| machine.zone == zone && machine.role() == Some(Role::Worker);
        inventory.machines.iter().filter(here).count()
    };
    let subnets = || inventory.network.iter().flat_map(|network| &network.subnets);
    let zone = |name: &str, up: bool| Zone {
        up,
        leaving: spanned.is_some_and(|spanned| !spanned.contains(name)),
        subnet: subnets().any(|subnet| subnet.zone.as_deref() == Some(name)),
        workers: workers(name),
        disks: inventory.disks.iter().filter(|disk| disk.zone == name).count(),
    };
    let occupied = |name: &str| {
        inventory.machines.iter().any(|machine| machine.zone == name)
            || inventory.disks.iter().any(|disk| disk.zone == name)
            || inventory.balancers.iter().any(|balancer| balancer.zones.contains(name))
            || subnets().any(|subnet| subnet.zone.as_deref() == Some(name))
    };
    region
        .iter()
        .filter(|found| spanned.is_none_or(|spanned| spanned.contains(&found.name)) || occupied(&found.name))
        .map(|found| (found.name.clone(), zone(&found.name, found.up)))
        .collect()
}
