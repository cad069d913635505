//! Where the model check begins, and what is asked for.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{
    disagreement::disagreeing,
    model::{Configuration, Situation, Workers},
};
use crate::{
    Version,
    cluster::{
        Cloud, ControlPlane, Endpoint, World,
        gates::Gates,
        tests::{V, alone, desired, kill, nothing, reached, running, running_alone, with_balancer, zones},
    },
    node_group,
};

const ALL: [&str; 3] = ["z1", "z2", "z3"];

fn configuration(mut control_plane: ControlPlane, names: &[&str]) -> Configuration {
    control_plane.backup = Some("somewhere".to_owned());
    Configuration {
        control_plane,
        zones: zones(names),
        balanced: zones(names),
        groups: Vec::new(),
    }
}

/// A world in which masters have volumes, and zones have disks.
fn in_use(mut world: World) -> World {
    world.nodes.values_mut().for_each(|node| node.volumes = true);
    world.zones.values_mut().for_each(|zone| zone.disks = 1);
    world
}

fn situation(start: World, configurations: Vec<Configuration>) -> Situation {
    Situation {
        starts: vec![(in_use(start), Vec::new())],
        configurations,
        disturbances: 1,
        at_once: 1,
        gates: Gates::default(),
        worker_gates: node_group::Gates::default(),
        unreachable: false,
        only_the_address: false,
        futile: None,
        proven: Arc::default(),
    }
}

/// A node group that surges by one.
fn pool(zone: &str, size: usize, specification: &str) -> node_group::Desired {
    node_group::Desired {
        names: node_group::Names {
            cluster: "c".to_owned(),
            group: zone.to_owned(),
        },
        zone: zone.to_owned(),
        size,
        version: V,
        specification: specification.to_owned(),
        labels: BTreeMap::new(),
        absent_labels: BTreeSet::new(),
        record: None,
        taints: BTreeSet::new(),
        absent_taints: BTreeSet::new(),
        max_surge: 1,
        max_unavailable: 0,
        force: false,
    }
}

/// The workers of a group that is as it is to be.
fn working(desired: &node_group::Desired) -> Workers {
    let nothing = node_group::Observed {
        api: node_group::Api::Serving,
        api_version: None,
        members: BTreeMap::new(),
    };
    let steps = node_group::preview(&nothing, desired).steps;
    let done = steps
        .iter()
        .fold(nothing, |observed, step| node_group::effect(observed, step, desired));
    super::workers::renumbered(done.members)
}

/// The same with node groups: as they are at the start, and in each configuration.
fn with_groups(
    mut situation: Situation,
    start: &[node_group::Desired],
    wanted: &[&[node_group::Desired]],
) -> Situation {
    for (_, groups) in &mut situation.starts {
        *groups = start.iter().map(working).collect();
    }
    for (configuration, groups) in situation.configurations.iter_mut().zip(wanted) {
        configuration.groups = groups.to_vec();
    }
    situation
}

fn cloud(endpoint: Endpoint) -> Cloud {
    Cloud {
        endpoint,
        zonal_subnets: true,
    }
}

/// Masters that run behind a balancer on another cloud.
fn running_on(endpoint: Endpoint, keys: &str) -> World {
    reached(with_balancer(World::empty(cloud(endpoint), &ALL)), &desired(keys))
}

/// From nothing to three; the user may settle for one.
fn create() -> Situation {
    situation(
        nothing(),
        vec![configuration(desired("abc"), &ALL), configuration(alone("a"), &ALL)],
    )
}

/// From one to three with a new balancer, and back underway.
fn grow() -> Situation {
    situation(
        running_alone("a"),
        vec![configuration(desired("abc"), &ALL), configuration(alone("a"), &ALL)],
    )
}

/// From three to one without the balancer, in any order of the two, and back underway.
fn shrink() -> Situation {
    situation(
        running("abc"),
        vec![configuration(alone("b"), &ALL), configuration(desired("abc"), &ALL)],
    )
}

/// From five to three and back underway.
fn five() -> Situation {
    situation(
        running("abcde"),
        vec![
            configuration(desired("abc"), &ALL),
            configuration(desired("abcde"), &ALL),
        ],
    )
}

fn moved() -> ControlPlane {
    let mut moved = desired("abc");
    moved.replicas.get_mut("c").unwrap().zone = "z1".to_owned();
    moved
}

/// A zone is dropped, its master moves; or the zone stays after all.
fn drop_zone() -> Situation {
    situation(
        running("abc"),
        vec![
            configuration(moved(), &["z1", "z2"]),
            configuration(desired("abc"), &ALL),
        ],
    )
}

/// A version change of two masters, with other machines for three underway.
fn upgrade() -> Situation {
    let mut newer = desired("ab");
    newer.version = Version::new(1, 35, 0);
    let mut larger = desired("abc");
    larger.version = newer.version;
    situation(
        running("ab"),
        vec![configuration(newer, &ALL), configuration(larger, &ALL)],
    )
}

/// The only master is replaced, and with it the address moves.
fn replace_the_only_one() -> Situation {
    let mut other = alone("a");
    other.replicas.get_mut("a").unwrap().specification = "s2".to_owned();
    let mut behind = other.clone();
    behind.balancer = Some("api".to_owned());
    situation(
        running_alone("a"),
        vec![configuration(other, &ALL), configuration(behind, &ALL)],
    )
}

/// The control plane is destroyed, and with it what was in front of it.
fn destroy() -> Situation {
    situation(running("abc"), vec![configuration(alone(""), &ALL)])
}

/// One master stays of two, and then the other one, where nothing but the order keeps the API there.
fn swap() -> Situation {
    let cloud = Cloud {
        endpoint: Endpoint::DnsName,
        zonal_subnets: false,
    };
    situation(
        reached(World::empty(cloud, &ALL), &alone("ab")),
        vec![configuration(alone("a"), &ALL), configuration(alone("b"), &ALL)],
    )
}

/// A master moves to a zone that the balancer does not span: the address goes with it.  Where the endpoint is a name,
/// that is never reached without cutting the API off.
fn out_of_the_balancers_zones() -> Situation {
    let mut moved = desired("a");
    moved.replicas.get_mut("a").unwrap().zone = "z2".to_owned();
    let mut narrow = configuration(moved, &ALL);
    narrow.balanced = zones(&["z1"]);
    situation(running("a"), vec![narrow])
}

/// The same where the endpoint is a name: nothing could take it, so the master stays.
fn out_of_the_names_zones() -> Situation {
    let mut situation = out_of_the_balancers_zones();
    situation.starts = vec![(in_use(running_on(Endpoint::DnsName, "a")), Vec::new())];
    situation.unreachable = true;
    situation
}

/// The balancer spans two of the three zones; a master behind it is replaced, or the one that it does not reach goes.
fn narrow_balancer() -> Situation {
    let narrow = |control_plane| {
        let mut configuration = configuration(control_plane, &ALL);
        configuration.balanced = zones(&["z1", "z2"]);
        configuration
    };
    let mut world = with_balancer(nothing());
    world.balancer.as_mut().unwrap().zones.remove("z3");
    let mut replaced = desired("abc");
    replaced.replicas.get_mut("b").unwrap().specification = "s2".to_owned();
    situation(
        reached(world, &desired("abc")),
        vec![narrow(replaced), narrow(desired("ab"))],
    )
}

/// The balancer comes to zones in which no master is: the address stays where it is; then a master comes there.
fn balancer_elsewhere() -> Situation {
    let elsewhere = |control_plane| {
        let mut configuration = configuration(control_plane, &ALL);
        configuration.balanced = zones(&["z2", "z3"]);
        configuration
    };
    situation(
        running_alone("a"),
        vec![elsewhere(desired("a")), elsewhere(desired("ab"))],
    )
}

/// The endpoint is the balancer's DNS name, subnets are zonal: from one to three, and back underway.
fn dns_name() -> Situation {
    situation(
        running_on(Endpoint::DnsName, "a"),
        vec![configuration(desired("abc"), &ALL), configuration(desired("a"), &ALL)],
    )
}

/// The same where a zone leaves.
fn dns_name_drops_a_zone() -> Situation {
    situation(
        running_on(Endpoint::DnsName, "abc"),
        vec![
            configuration(moved(), &["z1", "z2"]),
            configuration(desired("abc"), &ALL),
        ],
    )
}

/// An address that two can answer on: onto the balancer and back.
fn shared_address() -> Situation {
    situation(
        reached(World::empty(cloud(Endpoint::SharedAddress), &ALL), &alone("a")),
        vec![configuration(desired("ab"), &ALL), configuration(alone("a"), &ALL)],
    )
}

/// Five with two dead: both go out before another joins.
fn two_of_five_dead() -> Situation {
    situation(
        kill(kill(running("abcde"), "d"), "e"),
        vec![
            configuration(desired("abcde"), &ALL),
            configuration(desired("abc"), &ALL),
        ],
    )
}

/// Three with one dead and one being replaced.
fn one_of_three_dead_and_one_replaced() -> Situation {
    let mut replaced = desired("abc");
    replaced.replicas.get_mut("b").unwrap().specification = "s2".to_owned();
    situation(
        kill(running("abc"), "c"),
        vec![configuration(replaced, &ALL), configuration(desired("ab"), &ALL)],
    )
}

/// Two masters that run, and of a third every combination of machine, member, target and Node.
fn disagreement() -> Situation {
    let mut situation = situation(
        running("ab"),
        vec![configuration(desired("abc"), &ALL), configuration(desired("ab"), &ALL)],
    );
    situation.starts = disagreeing(&running("ab"))
        .into_iter()
        .map(|(_, world)| (world, Vec::new()))
        .collect();
    situation
}

/// Workers are replaced add-first; the group may shrink underway.
fn workers_with_a_surge() -> Situation {
    with_groups(
        situation(running_alone("a"), vec![configuration(alone("a"), &ALL); 2]),
        &[pool("z1", 2, "s1")],
        &[&[pool("z1", 2, "s2")], &[pool("z1", 1, "s1")]],
    )
}

/// Workers are replaced where one may be missing; the group may grow underway.
fn workers_without_a_surge() -> Situation {
    let room = |size, specification| node_group::Desired {
        max_surge: 0,
        max_unavailable: 1,
        ..pool("z1", size, specification)
    };
    with_groups(
        situation(running_alone("a"), vec![configuration(alone("a"), &ALL); 2]),
        &[room(2, "s1")],
        &[&[room(2, "s2")], &[room(3, "s1")]],
    )
}

/// A zone leaves with its workers, its disk and its master while another zone's workers change; or it stays after all.
fn zone_with_workers() -> Situation {
    let mut situation = with_groups(
        drop_zone(),
        &[pool("z1", 1, "s1"), pool("z3", 1, "s1")],
        &[
            &[pool("z1", 1, "s2"), pool("z3", 0, "s1")],
            &[pool("z1", 1, "s1"), pool("z3", 1, "s1")],
        ],
    );
    situation.at_once = 2;
    situation
}

/// Zones, balancer, master and workers come at once.
fn everything_comes() -> Situation {
    let names = ["z1", "z2"];
    let mut situation = with_groups(
        situation(
            World::empty(cloud(Endpoint::Address), &[]),
            vec![configuration(desired("a"), &names), configuration(alone("a"), &names)],
        ),
        &[pool("z2", 0, "s1")],
        &[&[pool("z2", 2, "s1")], &[pool("z2", 0, "s1")]],
    );
    situation.at_once = 2;
    situation
}

/// Workers, masters, balancer and zones all go.
fn everything_goes() -> Situation {
    let mut situation = with_groups(
        situation(running_on(Endpoint::Address, "ab"), vec![configuration(alone(""), &[])]),
        &[pool("z1", 1, "s1"), pool("z2", 1, "s1")],
        &[&[pool("z1", 0, "s1"), pool("z2", 0, "s1")]],
    );
    situation.at_once = 2;
    situation
}

/// Masters first, then workers get another version.
fn upgrade_with_workers() -> Situation {
    let newer = Version::new(1, 35, 0);
    let mut masters = desired("a");
    masters.version = newer;
    let workers = |size| node_group::Desired {
        version: newer,
        ..pool("z2", size, "s2")
    };
    with_groups(
        situation(
            running("a"),
            vec![configuration(masters.clone(), &ALL), configuration(masters, &ALL)],
        ),
        &[pool("z2", 1, "s1")],
        &[&[workers(1)], &[workers(0)]],
    )
}

/// All situations, by name.
pub(super) fn all() -> Vec<(&'static str, Situation)> {
    vec![
        ("create", create()),
        ("grow", grow()),
        ("shrink", shrink()),
        ("five", five()),
        ("drop zone", drop_zone()),
        ("upgrade", upgrade()),
        ("replace the only one", replace_the_only_one()),
        ("destroy", destroy()),
        ("swap", swap()),
        ("out of the balancer's zones", out_of_the_balancers_zones()),
        ("out of the name's zones", out_of_the_names_zones()),
        ("narrow balancer", narrow_balancer()),
        ("balancer elsewhere", balancer_elsewhere()),
        ("DNS name", dns_name()),
        ("DNS name, drop zone", dns_name_drops_a_zone()),
        ("shared address", shared_address()),
        ("two of five dead", two_of_five_dead()),
        ("one of three dead, one replaced", one_of_three_dead_and_one_replaced()),
        ("disagreement", disagreement()),
        ("workers with a surge", workers_with_a_surge()),
        ("workers without a surge", workers_without_a_surge()),
        ("zone with workers", zone_with_workers()),
        ("everything comes", everything_comes()),
        ("everything goes", everything_goes()),
        ("upgrade with workers", upgrade_with_workers()),
    ]
}

/// One situation.
pub(super) fn named(name: &str) -> Situation {
    let found = all().into_iter().find(|(other, _)| *other == name);
    found.unwrap_or_else(|| panic!("no situation {name}")).1
}
