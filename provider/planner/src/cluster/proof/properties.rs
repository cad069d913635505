//! Random clusters of up to 7 masters in 5 zones, with facts that disagree, and random changes.

use std::collections::BTreeSet;

use proptest::{
    collection::{btree_map, btree_set},
    prelude::*,
};

use super::{goal, invariants};
use crate::{
    Version,
    cluster::{
        ApiServer, Balancer, BalancerIntent, Cloud, ControlPlane, Disk, Endpoint, Holder, Machine, Member, Next, Node,
        Operation, Power, Replica, Target, World, effect, next, preview,
    },
};

/// So many cases, unless `PROPTEST_CASES` asks for more.
pub(super) fn cases(ordinarily: u32) -> ProptestConfig {
    let asked = std::env::var("PROPTEST_CASES")
        .ok()
        .and_then(|asked| asked.parse().ok());
    ProptestConfig::with_cases(asked.unwrap_or(ordinarily))
}

const KEYS: [&str; 7] = ["a", "b", "c", "d", "e", "f", "g"];
pub(super) const ZONES: [&str; 5] = ["z1", "z2", "z3", "z4", "z5"];
const VERSION: Version = Version::new(1, 34, 1);
const OLDER: Version = Version::new(1, 33, 4);

pub(super) fn intent() -> impl Strategy<Value = ControlPlane> {
    let replica = (0..5_usize, any::<bool>()).prop_map(|(zone, other)| Replica {
        zone: ZONES[zone].to_owned(),
        specification: if other { "s2" } else { "s1" }.to_owned(),
    });
    let key = (0..7_usize).prop_map(|key| KEYS[key].to_owned());
    (
        btree_map(key, replica, 0..=7),
        any::<bool>(),
        any::<bool>(),
        any::<bool>(),
    )
        .prop_map(|(replicas, balancer, backup, network)| ControlPlane {
            prefix: "m-".to_owned(),
            replicas,
            version: VERSION,
            settings: "k1".to_owned(),
            addons: "p1".to_owned(),
            balancer: balancer.then(|| "api".to_owned()),
            endpoint: None,
            backup: backup.then(|| "somewhere".to_owned()),
            pod_network: network.then(|| "calico".to_owned()),
        })
}

/// What is known of one master: each source for itself.
#[derive(Clone, Debug)]
struct Master {
    zone: usize,
    old: bool,
    /// 0 absent, 1 off, 2 joining, else on.
    machine: u8,
    /// 0 absent, 1 unstarted learner, 2 started learner, 3 sick voter, else voter.
    member: u8,
    /// 0 absent, 1 unhealthy, 2 draining, else serving.
    target: u8,
    /// 0 absent, else cordoned by 1.
    node: u8,
    flags: [bool; 4],
}

fn master() -> impl Strategy<Value = Master> {
    (
        0..5_usize,
        any::<bool>(),
        0..9_u8,
        0..12_u8,
        0..6_u8,
        0..6_u8,
        any::<[bool; 4]>(),
    )
        .prop_map(|(zone, old, machine, member, target, node, flags)| Master {
            zone,
            old,
            machine,
            member,
            target,
            node,
            flags,
        })
}

pub(super) fn world() -> impl Strategy<Value = World> {
    let endpoint = prop_oneof![
        3 => Just(Endpoint::Address),
        1 => Just(Endpoint::SharedAddress),
        1 => Just(Endpoint::DnsName)
    ];
    let masters = btree_map((0..7_usize).prop_map(|key| KEYS[key]), master(), 0..=7);
    let zones = proptest::collection::vec((prop::bool::weighted(0.9), prop::bool::weighted(0.1)), 5);
    (endpoint, masters, zones, any::<bool>(), 0..10_usize, any::<[bool; 3]>()).prop_map(
        |(endpoint, masters, zones, balancer, holder, flags)| {
            build(endpoint, &masters, &zones, balancer, holder, flags)
        },
    )
}

fn build(
    endpoint: Endpoint,
    masters: &std::collections::BTreeMap<&str, Master>,
    zones: &[(bool, bool)],
    balancer: bool,
    holder: usize,
    [older, access, membership_known]: [bool; 3],
) -> World {
    let cloud = Cloud {
        endpoint,
        zonal_subnets: true,
    };
    let mut world = World::empty(cloud, &ZONES);
    for (facts, (up, leaving)) in world.zones.values_mut().zip(zones) {
        (facts.up, facts.leaving) = (*up, *leaving);
    }
    world.initialised = !masters.is_empty();
    world.membership_known = membership_known || !masters.len().is_multiple_of(3);
    world.access = access;
    let version = if older { OLDER } else { VERSION };
    world.settings = world.initialised.then(|| crate::cluster::Settings {
        version,
        fingerprint: "k1".to_owned(),
    });
    world.addons = world.initialised.then(|| crate::cluster::Settings {
        version,
        fingerprint: "p1".to_owned(),
    });
    if balancer {
        world.balancer = Some(Balancer {
            zones: ZONES[..4].iter().map(|zone| (*zone).to_owned()).collect(),
            ..Balancer::default()
        });
    }
    for (id, (key, master)) in (1_u64..).zip(masters) {
        add(&mut world, &format!("m-{key}"), key, id, master, version);
    }
    world.address.holder = match KEYS.get(holder) {
        _ if endpoint == Endpoint::DnsName => Holder::Nobody,
        Some(key) if world.machines.contains_key(&format!("m-{key}")) => Holder::Machine(format!("m-{key}")),
        _ if balancer && holder.is_multiple_of(2) => Holder::Balancer,
        _ => Holder::Nobody,
    };
    world.settle();
    world
}

fn add(world: &mut World, name: &str, key: &str, id: u64, master: &Master, version: Version) {
    let zone = ZONES[master.zone].to_owned();
    let [pods, volumes, endpoint, stopped] = master.flags;
    if master.machine > 0 {
        let joining = master.machine == 2;
        world.machines.insert(
            name.to_owned(),
            Machine {
                replica: key.to_owned(),
                zone: zone.clone(),
                specification: if master.old { "s0" } else { "s1" }.to_owned(),
                version,
                power: if master.machine == 1 { Power::Off } else { Power::On },
                joining,
                api: if stopped && master.machine == 3 {
                    ApiServer::Stopped
                } else {
                    ApiServer::Unready
                },
            },
        );
    }
    if endpoint || master.machine > 0 {
        world.disks.insert(name.to_owned(), Disk { zone });
    }
    if endpoint {
        world.endpoints.insert(name.to_owned());
    }
    if master.member > 0 {
        let there = world.machines.get(name).is_some_and(|machine| world.runs(machine));
        let started = master.member > 1;
        world.members.insert(
            id,
            Member {
                machine: (started || pods).then(|| name.to_owned()),
                learner: master.member < 3,
                started,
                healthy: started && there && master.member != 3,
                version: Version::new(3, 5, 26),
            },
        );
    }
    if master.target > 0 {
        world.set_target(
            name,
            Some(match master.target {
                1 => Target::Unhealthy,
                2 => Target::Draining,
                _ => Target::Serving,
            }),
        );
    }
    if master.node > 0 {
        world.nodes.insert(
            name.to_owned(),
            Node {
                joined: world.machines.get(name).is_some_and(|machine| world.runs(machine)),
                leaving: master.node == 1,
                pods,
                volumes,
                out_of_service: false,
            },
        );
    }
}

/// Any operation on a cluster.
fn operation() -> impl Strategy<Value = Operation> {
    let zones = |least| btree_set((0..5_usize).prop_map(|zone| ZONES[zone].to_owned()), least..=5);
    let balancer = |least| {
        zones(least).prop_map(|zones| BalancerIntent {
            name: "api".to_owned(),
            zones,
            endpoint: None,
        })
    };
    prop_oneof![
        4 => intent().prop_map(Operation::ControlPlane),
        2 => balancer(1).prop_map(Operation::Balancer),
        1 => balancer(0).prop_map(Operation::RemoveBalancer),
        1 => zones(0).prop_map(Operation::Zones),
        1 => Just(Operation::LeaveZone),
    ]
}

/// Says what an operation that is done has not done.
fn undone(world: &World, operation: &Operation) -> Option<&'static str> {
    match operation {
        Operation::ControlPlane(desired) if desired.replicas.is_empty() => {
            (!(world.machines.is_empty() && world.disks.is_empty())).then_some("masters")
        }
        Operation::ControlPlane(desired) => goal::missed(world, desired, None),
        Operation::Balancer(desired) => {
            let stands = |zone: &&String| world.zones.get(*zone).is_some_and(|facts| !facts.leaving);
            let wanted: BTreeSet<&String> = desired.zones.iter().filter(stands).collect();
            let balancer = world.balancer.as_ref();
            let spans = balancer.is_some_and(|balancer| wanted.iter().all(|zone| balancer.zones.contains(*zone)));
            (!spans).then_some("the balancer does not span its zones")
        }
        Operation::RemoveBalancer(_) => world.balancer.is_some().then_some("the balancer is there"),
        Operation::Zones(desired) => {
            let staying = world.zones.iter().filter(|(_, facts)| !facts.leaving);
            let staying: BTreeSet<&String> = staying.map(|(zone, _)| zone).collect();
            (staying != desired.iter().collect()).then_some("zones")
        }
        Operation::LeaveZone => {
            let empty = |(zone, facts): (&String, &crate::cluster::Zone)| facts.leaving && world.is_empty(zone);
            world.zones.iter().any(empty).then_some("an empty zone is left")
        }
    }
}

proptest! {
    #![proptest_config(cases(400))]

    /// Rules: random-clusters, terraform-order
    #[test]
    fn every_sequence_ends_keeps_the_invariants_and_is_what_was_previewed(start in world(), operation in operation()) {
        let foreseen = preview(&start, &operation);
        let mut world = start;
        let mut taken = Vec::new();
        let end = loop {
            prop_assert!(taken.len() < 300, "does not end: {:?}", &taken[280..]);
            let answer = next(&world, &operation);
            prop_assert_eq!(&answer, &next(&world, &operation), "the same facts give the same step");
            match answer {
                Next::Step(step) => {
                    let broken = invariants::broken(&world, &step, &operation)
                        .or_else(|| invariants::unsaved(&world, &step, &operation));
                    prop_assert_eq!(broken, None, "{:?} in {:?} after {:?}", step, world, taken);
                    let after = effect(world.clone(), &step, &operation);
                    let broken = invariants::broken_after(&world, &after, &operation);
                    prop_assert_eq!(broken, None, "{:?} in {:?} after {:?}", step, world, taken);
                    prop_assert!(!invariants::cuts_off(&world, &step, &after), "{:?} cuts the API off in {:?}", step, world);
                    world = after;
                    taken.push(step);
                }
                end => break end,
            }
        };
        prop_assert_eq!(&foreseen.steps, &taken, "what is previewed is what is done");
        prop_assert_eq!(&foreseen.end, &end);
        if end == Next::Done {
            prop_assert_eq!(undone(&world, &operation), None, "{:?}", world);
        }
    }
}
