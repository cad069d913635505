//! The exact steps of each situation, one file for each subject; each test is named after the rule that it holds, and
//! its `Rules:` line names the rule in rules.md.

mod address;
mod balancer;
mod dead;
mod disagreement;
mod grow;
mod joins;
mod kube_up;
mod refusals;
mod replace;
mod shrink;
mod teardown;
mod version;
mod wording;
mod words_of_steps;
mod zones;

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::Version;

pub(super) const V: Version = Version::new(1, 34, 1);

/// The zone of a replica: a in z1, b in z2, c in z3, d in z1 and so on.
pub(super) fn zone_of(key: char) -> String {
    format!("z{}", (u32::from(key) - u32::from('a')) % 3 + 1)
}

/// Replicas with these keys, each in its zone, behind the balancer `api`.
pub(super) fn desired(keys: &str) -> ControlPlane {
    ControlPlane {
        prefix: "m-".to_owned(),
        replicas: keys
            .chars()
            .map(|key| {
                let replica = Replica {
                    zone: zone_of(key),
                    specification: "s1".to_owned(),
                };
                (key.to_string(), replica)
            })
            .collect(),
        version: V,
        settings: "k1".to_owned(),
        addons: "p1".to_owned(),
        balancer: Some("api".to_owned()),
        endpoint: Some("203.0.113.10".to_owned()),
        backup: None,
        pod_network: None,
    }
}

pub(super) fn alone(keys: &str) -> ControlPlane {
    ControlPlane {
        balancer: None,
        ..desired(keys)
    }
}

pub(super) fn addressed() -> Cloud {
    Cloud {
        endpoint: Endpoint::Address,
        zonal_subnets: false,
    }
}

/// Nothing but three zones and, unless `keys` asks for none, a balancer over them.
pub(super) fn nothing() -> World {
    World::empty(addressed(), &["z1", "z2", "z3"])
}

/// A balancer over the three zones is there, and holds nothing.
pub(super) fn with_balancer(mut world: World) -> World {
    world.balancer = Some(Balancer {
        zones: ["z1", "z2", "z3"].map(str::to_owned).into(),
        targets: BTreeMap::new(),
    });
    world
}

/// The world at the end of a control plane's preview, with nothing left to drain but what masters always run.
pub(super) fn reached(world: World, desired: &ControlPlane) -> World {
    let operation = Operation::ControlPlane(desired.clone());
    let preview = preview(&world, &operation);
    assert_eq!(preview.end, Next::Done, "{:?}", preview.steps);
    let mut world = preview
        .steps
        .iter()
        .fold(world, |world, step| effect(world, step, &operation));
    world.backed_up = false;
    world
}

/// Masters that run, behind a balancer that holds the address.
pub(super) fn running(keys: &str) -> World {
    reached(with_balancer(nothing()), &desired(keys))
}

/// Masters that run without a balancer, the address on the first.
pub(super) fn running_alone(keys: &str) -> World {
    reached(nothing(), &alone(keys))
}

/// The machine of a replica is gone, without a trace of its end.
pub(super) fn kill(mut world: World, key: &str) -> World {
    world.delete(&format!("m-{key}"));
    settled(world)
}

/// The machine of a replica is halted.
pub(super) fn halt(mut world: World, key: &str) -> World {
    world.stop(&format!("m-{key}"));
    settled(world)
}

/// A zone is lost: its machines do not answer.
pub(super) fn lose(mut world: World, zone: &str) -> World {
    world.zones.get_mut(zone).unwrap().up = false;
    let here = |name: &String| world.machines.get(name).is_some_and(|machine| machine.zone == zone);
    for member in world.members.values_mut() {
        if member.machine.as_ref().is_some_and(here) {
            member.healthy = false;
        }
    }
    settled(world)
}

pub(super) fn settled(mut world: World) -> World {
    world.settle();
    world
}

pub(super) fn name(key: &str) -> String {
    format!("m-{key}")
}

/// A step in short, masters without the prefix of their names.
pub(super) fn short(step: &Step) -> String {
    let m = |name: &String| name.strip_prefix("m-").unwrap_or(name).to_owned();
    let h = |holder: &Holder| match holder {
        Holder::Nobody => "nobody".to_owned(),
        Holder::Machine(name) => m(name),
        Holder::Balancer => "balancer".to_owned(),
    };
    match step {
        Step::BackUp => "back up".to_owned(),
        Step::Init(new) => format!("init {} {}", m(&new.name), new.zone),
        Step::Join(new) => format!("join {} {}", m(&new.name), new.zone),
        Step::AwaitJoin(name) => format!("await join {}", m(name)),
        Step::StartMachine(name) => format!("start {}", m(name)),
        Step::AwaitHealthy(name) => format!("await healthy {}", m(name)),
        Step::ApplySettings(version, settings) => format!("settings {version} {settings}"),
        Step::ApplyAddons(version, addons) => format!("addons {version} {addons}"),
        Step::InstallAccess => "access".to_owned(),
        Step::ApplyPodNetwork(manifest) => format!("pod network {manifest}"),
        Step::AwaitNode(name) => format!("await node {}", m(name)),
        Step::Register(name) => format!("register {}", m(name)),
        Step::Deregister(name) => format!("deregister {}", m(name)),
        Step::HandOver(from, to) => format!("hand over {} -> {}", h(from), h(to)),
        Step::RollBack(from, to) => format!("roll back {} -> {}", h(from), h(to)),
        Step::AwaitAnswer(holder) => format!("await answer {}", h(holder)),
        Step::Release(holder) => format!("release {}", h(holder)),
        Step::Cordon(name) => format!("cordon {}", m(name)),
        Step::Uncordon(name) => format!("uncordon {}", m(name)),
        Step::Drain(name) => format!("drain {}", m(name)),
        Step::AwaitDetached(name) => format!("await detached {}", m(name)),
        Step::MarkOutOfService(name) => format!("out of service {}", m(name)),
        Step::MoveLeader(from, to) => format!("move leader {} -> {}", m(from), m(to)),
        Step::StopApiServer(name) => format!("stop api {}", m(name)),
        Step::StartApiServer(name) => format!("start api {}", m(name)),
        Step::RemoveMember(id, Some(name)) => {
            let _ = id;
            format!("remove member {}", m(name))
        }
        Step::RemoveMember(id, None) => format!("remove member #{id}"),
        Step::StopMachine(name) => format!("stop {}", m(name)),
        Step::DeleteMachine(name) => format!("delete {}", m(name)),
        Step::DeleteNode(name) => format!("forget {}", m(name)),
        Step::AwaitEndpointGone(name) => format!("await endpoint gone {}", m(name)),
        Step::ReleaseDisk(name) => format!("release disk {}", m(name)),
        Step::CreateBalancer => "create balancer".to_owned(),
        Step::Span(zone) => format!("span {zone}"),
        Step::Unspan(zone) => format!("unspan {zone}"),
        Step::DeleteBalancer => "delete balancer".to_owned(),
        Step::AddZone(zone) => format!("add zone {zone}"),
        Step::MarkLeaving(zone) => format!("mark {zone} leaving"),
        Step::RemoveZone(zone) => format!("remove zone {zone}"),
    }
}

/// The steps of an operation in short, and how it ends unless it is done.
pub(super) fn steps_of(world: &World, operation: &Operation) -> Vec<String> {
    let preview = preview(world, operation);
    let mut steps: Vec<String> = preview.steps.iter().map(short).collect();
    match preview.end {
        Next::Done => {}
        Next::Blocked(blocked) => steps.push(format!("BLOCKED: {blocked}")),
        Next::Refused(violation) => steps.push(format!("REFUSED: {violation}")),
        Next::Step(_) => unreachable!("a preview ends with an end"),
    }
    steps
}

/// The steps of a control plane's change in short.
pub(super) fn steps(world: &World, desired: &ControlPlane) -> Vec<String> {
    steps_of(world, &Operation::ControlPlane(desired.clone()))
}

/// The removal of one live master that is not etcd's leader, as it always goes.
pub(super) fn removal(key: &str) -> Vec<String> {
    [
        "cordon",
        "deregister",
        "drain",
        "stop api",
        "remove member",
        "stop",
        "delete",
        "forget",
        "release disk",
    ]
    .map(|verb| format!("{verb} {key}"))
    .into()
}

/// Asserts an exact list of steps, in which `-x` stands for the whole removal of master x.
#[track_caller]
pub(super) fn assert_steps(found: &[String], expected: &[&str]) {
    let expected: Vec<String> = expected
        .iter()
        .flat_map(|step| match step.strip_prefix('-') {
            Some(key) => removal(key),
            None => vec![(*step).to_owned()],
        })
        .collect();
    assert_eq!(found, expected.as_slice());
}

pub(super) fn zones(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

pub(super) fn balancer_over(names: &[&str]) -> BalancerIntent {
    BalancerIntent {
        name: "api".to_owned(),
        zones: zones(names),
        endpoint: Some("203.0.113.10".to_owned()),
    }
}
