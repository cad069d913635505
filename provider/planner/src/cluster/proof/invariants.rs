//! The invariants, stated apart from the engine: what must be true of the world before a step is carried out.
//!
//! They are written from domain-rules.md and not from the engine's gates, so that a gate that is wrong shows.

use crate::cluster::{ApiServer, ControlPlane, Endpoint, Holder, NewMachine, Operation, Power, Step, Target, World};

/// Whether a request to the API's endpoint is answered by a master that serves.
pub(super) fn reached(world: &World) -> bool {
    match (world.cloud.endpoint, &world.balancer) {
        (Endpoint::DnsName, Some(_)) => world.balancer_serves(),
        // The name is a record of the user's own, who keeps it right.
        (Endpoint::DnsName, None) => world.serving().next().is_some(),
        (Endpoint::Address | Endpoint::SharedAddress, _) => {
            world.address.answers && world.holder_serves(&world.address.holder)
        }
    }
}

/// Whether a master serves and the API's endpoint does not lead to one.
pub(super) fn cut_off(world: &World) -> bool {
    world.serving().next().is_some() && !reached(world)
}

/// Whether a step cuts the API off.  It does not where nobody served before, or where the endpoint is a name that does
/// not lead to the balancer yet which the step makes.
pub(super) fn cuts_off(before: &World, step: &Step, after: &World) -> bool {
    let served = before.serving().next().is_some() && !cut_off(before);
    let named = !before.has_an_address() && *step == Step::CreateBalancer;
    served && !named && cut_off(after)
}

/// Says which invariant is broken by what a step has done.
pub(super) fn broken_after(before: &World, after: &World, operation: &Operation) -> Option<&'static str> {
    let teardown = matches!(operation, Operation::ControlPlane(desired) if desired.replicas.is_empty());
    if !teardown && before.quorum().is_there() && !after.quorum().is_there() {
        return Some("a step took etcd's quorum");
    }
    let changed = |id: &&u64| !(before.members.contains_key(id) && after.members.contains_key(id));
    let ids: std::collections::BTreeSet<&u64> = before.members.keys().chain(after.members.keys()).collect();
    (!teardown && before.initialised && ids.into_iter().filter(changed).count() > 1)
        .then_some("a step changes etcd's membership twice")
}

/// While the API is cut off, a control plane does nothing before it has led the address back, if anything can.
fn dallies(world: &World, step: &Step, desired: &ControlPlane) -> Option<&'static str> {
    let mends = matches!(
        step,
        Step::HandOver(..) | Step::RollBack(..) | Step::Register(_) | Step::AwaitAnswer(_) | Step::AwaitJoin(_)
    );
    if mends || !cut_off(world) || !world.initialised || !world.membership_known || world.address.failed.is_some() {
        return None;
    }
    let spanned = |name: &str| {
        let zone = &world.machines[name].zone;
        let balancer = world.balancer.as_ref();
        balancer.is_some_and(|balancer| balancer.zones.contains(zone))
    };
    let stays = |name: &str| {
        let machine = &world.machines[name];
        desired.replicas.get(&machine.replica).is_some_and(|replica| {
            replica.zone == machine.zone
                && replica.specification == machine.specification
                && desired.version == machine.version
        })
    };
    // Where the endpoint is a name, only a target of the balancer can answer.
    let possible = world.has_an_address()
        || desired.balancer.is_some() && world.serving().any(|name| spanned(name) && stays(name));
    possible.then_some("something else is done while the API's address leads nowhere")
}

/// Says which invariant a step would break.
pub(super) fn broken(world: &World, step: &Step, operation: &Operation) -> Option<&'static str> {
    if !world.has_an_address()
        && matches!(
            step,
            Step::HandOver(..) | Step::RollBack(..) | Step::AwaitAnswer(_) | Step::Release(_)
        )
    {
        return Some("an address is moved where the endpoint is a DNS name");
    }
    if let Operation::ControlPlane(desired) = operation
        && !desired.replicas.is_empty()
        && let Some(dallies) = dallies(world, step, desired)
    {
        return Some(dallies);
    }
    let control_plane = match operation {
        Operation::ControlPlane(desired) => Some(desired),
        _ => None,
    };
    let teardown = control_plane.is_some_and(|desired| desired.replicas.is_empty());
    match step {
        Step::Init(_) => world.initialised.then_some("a cluster is initialised twice"),
        Step::Join(new) => joins(world, new, control_plane),
        Step::RemoveMember(id, _) => removes(world, *id, control_plane, teardown),
        Step::StopMachine(name) | Step::DeleteMachine(name) if !teardown && world.initialised => {
            terminates(world, name)
        }
        Step::Drain(name) => drains(world, name),
        Step::Register(name) => (!world.serves(name)).then_some("a target does not serve by itself yet"),
        Step::Deregister(name) => deregisters(world, name),
        Step::HandOver(_, to) | Step::RollBack(_, to) => {
            let somebody = world.serving().next().is_some();
            (somebody && !world.holder_serves(to)).then_some("the address goes to who does not serve")
        }
        Step::StopApiServer(name) => stops_api(world, name),
        Step::MarkOutOfService(name) => world
            .machines
            .get(name)
            .is_some_and(|machine| machine.power == Power::On)
            .then_some("a machine that may run is given up"),
        Step::DeleteNode(name) => world
            .machines
            .contains_key(name)
            .then_some("a Node object is deleted before its machine"),
        Step::DeleteBalancer => {
            let used = world.address.holder == Holder::Balancer
                || world.balancer.iter().any(|balancer| !balancer.targets.is_empty());
            used.then_some("a balancer that is in use is deleted")
        }
        Step::ApplyAddons(version, _) => world
            .machines
            .values()
            .any(|machine| machine.version < *version)
            .then_some("kube-proxy newer than an API server"),
        Step::RemoveZone(zone) => (!world.is_empty(zone)).then_some("a zone is removed that is not empty"),
        _ => None,
    }
}

/// Says what must hold of a snapshot before this step.
pub(super) fn unsaved(world: &World, step: &Step, operation: &Operation) -> Option<&'static str> {
    let Operation::ControlPlane(desired) = operation else {
        return None;
    };
    let changes = matches!(
        step,
        Step::Join(_)
            | Step::ApplySettings(..)
            | Step::RemoveMember(..)
            | Step::StopMachine(_)
            | Step::DeleteMachine(_)
    );
    let possible = world.initialised && world.quorum().is_there() && world.serving().next().is_some();
    (changes && possible && desired.backup.is_some() && !world.backed_up).then_some("a change without a snapshot")
}

fn joining(world: &World) -> bool {
    world
        .machines
        .values()
        .any(|machine| machine.joining && machine.power == Power::On)
}

fn joins(world: &World, new: &NewMachine, desired: Option<&ControlPlane>) -> Option<&'static str> {
    if !world.members.values().all(|member| member.healthy && !member.learner) {
        return Some("a join begins while a member is not healthy, or a learner is there");
    }
    if joining(world) {
        return Some("two joins at once");
    }
    let zone = world.zones.get(&new.zone);
    if !zone.is_some_and(|zone| zone.up && !zone.leaving) {
        return Some("a master is made in a zone that leaves or is out");
    }
    if world.cloud.zonal_subnets && !zone.is_some_and(|zone| zone.subnet) {
        return Some("a master is made in a zone without its subnet");
    }
    if world
        .settings
        .as_ref()
        .is_none_or(|settings| settings.version != new.version)
    {
        return Some("a master joins before the cluster-wide settings of its version");
    }
    if world.machines.contains_key(&new.name) || world.nodes.contains_key(&new.name) {
        return Some("a name is used twice");
    }
    let minors = world.machines.values().map(|machine| machine.version.minor);
    if minors.clone().any(|minor| minor.abs_diff(new.version.minor) > 1) {
        return Some("API servers more than one minor apart");
    }
    let wanted = desired.map_or(0, |desired| desired.replicas.len());
    (world.quorum().voters > wanted).then_some("more than one voter too many")
}

fn removes(world: &World, id: u64, desired: Option<&ControlPlane>, teardown: bool) -> Option<&'static str> {
    let member = &world.members[&id];
    if joining(world) {
        return Some("a member is removed while a join is underway");
    }
    let healthy = world.members.values().filter(|m| !m.learner && m.healthy).count();
    let voters = world.members.values().filter(|m| !m.learner).count();
    if healthy < voters / 2 + 1 {
        return Some("a removal that cannot commit");
    }
    if member.learner {
        return None;
    }
    let left = voters - 1;
    let healthy_left = healthy - usize::from(member.healthy);
    if left == 0 || healthy_left < left / 2 + 1 {
        return Some("a removal takes etcd below quorum");
    }
    let name = member.machine.as_deref()?;
    if world.target(name).is_some() {
        return Some("a member is removed while its master is behind the balancer");
    }
    if world.address.holder == Holder::Machine(name.to_owned())
        && world.has_an_address()
        && world.machines.contains_key(name)
    {
        return Some("a member is removed while its master holds the address");
    }
    if !member.healthy {
        return None;
    }
    if world.machines[name].api == ApiServer::Serving {
        return Some("a member is removed under a serving API server");
    }
    let node = world.nodes.get(name);
    if !teardown && node.is_some_and(|node| node.joined && (node.pods || node.volumes)) {
        return Some("a member is removed before its master is drained and its volumes are detached");
    }
    if world.leader == Some(id) {
        return Some("the leader is removed before its leadership has moved");
    }
    let wanted = desired.map_or(0, |desired| desired.replicas.len());
    (left < wanted).then_some("a live master is removed before its replacement has joined")
}

fn terminates(world: &World, name: &str) -> Option<&'static str> {
    let machine = &world.machines[name];
    if world.member_of(name).is_some() {
        return Some("a machine is terminated that is in etcd");
    }
    if machine.joining {
        return Some("a machine is terminated while kubeadm is at work on it");
    }
    if world.target(name).is_some() {
        return Some("a machine is terminated behind the balancer");
    }
    if world.has_an_address() && world.address.holder == Holder::Machine(name.to_owned()) {
        return Some("a machine is terminated that holds the address");
    }
    let node = world.nodes.get(name);
    (world.runs(machine) && node.is_some_and(|node| node.joined && node.pods))
        .then_some("a machine is terminated that was not drained")
}

fn drains(world: &World, name: &str) -> Option<&'static str> {
    if !world.nodes.get(name).is_some_and(|node| node.leaving) {
        return Some("a master is drained that is not cordoned");
    }
    world
        .target(name)
        .is_some()
        .then_some("a master is drained behind the balancer")
}

fn deregisters(world: &World, name: &str) -> Option<&'static str> {
    let in_use = !world.has_an_address() || world.address.holder == Holder::Balancer;
    let another = world.balancer.iter().any(|balancer| {
        let mut targets = balancer.targets.iter();
        targets.any(|(other, target)| other != name && *target == Target::Serving)
    });
    (in_use && world.target(name) == Some(Target::Serving) && world.serves(name) && !another)
        .then_some("the only target that serves is deregistered")
}

fn stops_api(world: &World, name: &str) -> Option<&'static str> {
    if !world.serving().any(|other| other != name) {
        return Some("the only API server is stopped");
    }
    if world.target(name).is_some() {
        return Some("an API server is stopped behind the balancer");
    }
    (world.has_an_address() && world.address.holder == Holder::Machine(name.to_owned()))
        .then_some("an API server is stopped that holds the address")
}
