//! The model check: bounded for every run of the tests, longer under `make model-check`
//! (`MULTIZONE_MODEL_CHECK_DISTURBANCES`, `MULTIZONE_MODEL_CHECK_SECONDS`).

use std::{
    env,
    time::{Duration, Instant},
};

use stateright::{Checker, HasDiscoveries, Model};

use super::model::{Configuration, Situation};
use crate::{
    Version,
    cluster::{
        Cloud, ControlPlane, Endpoint, World,
        gates::Gates,
        tests::{alone, desired, nothing, reached, running, running_alone, with_balancer, zones},
    },
};

fn setting(name: &str, default: u64) -> u64 {
    env::var(name)
        .ok()
        .and_then(|value| value.parse().ok())
        .unwrap_or(default)
}

pub(super) fn saved(mut control_plane: ControlPlane) -> ControlPlane {
    control_plane.backup = Some("somewhere".to_owned());
    control_plane
}

pub(super) fn configuration(control_plane: ControlPlane, names: &[&str]) -> Configuration {
    Configuration {
        control_plane: saved(control_plane),
        zones: zones(names),
        balanced: zones(names),
    }
}

const ALL: [&str; 3] = ["z1", "z2", "z3"];

/// A world in which masters have volumes and zones have workers.
fn in_use(mut world: World) -> World {
    world.nodes.values_mut().for_each(|node| node.volumes = true);
    world.zones.values_mut().for_each(|zone| zone.workers = 1);
    world
}

fn situation(start: World, configurations: Vec<Configuration>) -> Situation {
    Situation {
        start: in_use(start),
        configurations,
        disturbances: u8::try_from(setting("MULTIZONE_MODEL_CHECK_DISTURBANCES", 2)).unwrap(),
        gates: Gates::default(),
        unreachable: false,
    }
}

/// From nothing to three; the user may settle for one.
pub(super) fn create() -> Situation {
    situation(
        nothing(),
        vec![configuration(desired("abc"), &ALL), configuration(alone("a"), &ALL)],
    )
}

/// From one to three with a new balancer, and back underway.
pub(super) fn grow() -> Situation {
    situation(
        running_alone("a"),
        vec![configuration(desired("abc"), &ALL), configuration(alone("a"), &ALL)],
    )
}

/// From three to one without the balancer, in any order of the two, and back underway.
pub(super) fn shrink() -> Situation {
    situation(
        running("abc"),
        vec![configuration(alone("b"), &ALL), configuration(desired("abc"), &ALL)],
    )
}

/// From five to three and back underway.
pub(super) fn five() -> Situation {
    situation(
        running("abcde"),
        vec![
            configuration(desired("abc"), &ALL),
            configuration(desired("abcde"), &ALL),
        ],
    )
}

/// A zone is dropped, its master moves; or the zone stays after all.
pub(super) fn drop_zone() -> Situation {
    let mut moved = desired("abc");
    moved.replicas.get_mut("c").unwrap().zone = "z1".to_owned();
    situation(
        running("abc"),
        vec![configuration(moved, &["z1", "z2"]), configuration(desired("abc"), &ALL)],
    )
}

/// A version change of two masters, with other machines for three underway.
pub(super) fn upgrade() -> Situation {
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
pub(super) fn replace_the_only_one() -> Situation {
    let mut other = alone("a");
    other.replicas.get_mut("a").unwrap().specification = "s2".to_owned();
    let mut behind = other.clone();
    behind.balancer = Some("api".to_owned());
    situation(
        running_alone("a"),
        vec![configuration(other, &ALL), configuration(behind, &ALL)],
    )
}

/// The control plane is destroyed.
pub(super) fn destroy() -> Situation {
    let mut world = with_balancer(running_alone("abc"));
    world.balancer = None;
    situation(world, vec![configuration(alone(""), &ALL)])
}

/// One master stays of two, and then the other one, where nothing but the order keeps the API there.
pub(super) fn swap() -> Situation {
    let cloud = Cloud {
        endpoint: Endpoint::DnsName,
        zonal_subnets: false,
    };
    situation(
        reached(World::empty(cloud, &ALL), &alone("ab")),
        vec![configuration(alone("a"), &ALL), configuration(alone("b"), &ALL)],
    )
}

/// A master moves to a zone that the balancer does not span, which is never reached without cutting the API off.
pub(super) fn out_of_the_balancers_zones() -> Situation {
    let mut moved = desired("a");
    moved.replicas.get_mut("a").unwrap().zone = "z2".to_owned();
    let mut narrow = configuration(moved, &ALL);
    narrow.balanced = zones(&["z1"]);
    let mut situation = situation(running("a"), vec![narrow]);
    situation.unreachable = true;
    situation
}

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
    ]
}

fn check(name: &str, situation: Situation) {
    let begun = Instant::now();
    let limit = Duration::from_secs(setting("MULTIZONE_MODEL_CHECK_SECONDS", 8));
    let disturbances = situation.disturbances;
    let checker = situation
        .checker()
        .threads(2)
        .timeout(limit)
        .finish_when(HasDiscoveries::AnyFailures)
        .spawn_bfs()
        .join();
    println!(
        "{name}: {} states, {} of them unique, up to {} steps deep, {disturbances} disturbances, {:.1} s{}",
        checker.state_count(),
        checker.unique_state_count(),
        checker.max_depth(),
        begun.elapsed().as_secs_f64(),
        if checker.is_done() && begun.elapsed() < limit {
            ", exhausted"
        } else {
            ", cut short"
        },
    );
    let found: Vec<String> = checker
        .discoveries()
        .into_iter()
        .map(|(property, path)| {
            let end = format!("{:?}", path.last_state());
            format!("{property}:\n{:#?}\n{end}", path.into_actions())
        })
        .collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// Rules: model-checked
#[test]
fn creating_three_masters() {
    check("create", create());
}

/// Rules: model-checked
#[test]
fn growing_from_one_to_three() {
    check("grow", grow());
}

/// Rules: model-checked
#[test]
fn shrinking_from_three_to_one() {
    check("shrink", shrink());
}

/// Rules: model-checked
#[test]
fn between_five_and_three() {
    check("five", five());
}

/// Rules: model-checked
#[test]
fn dropping_a_zone() {
    check("drop zone", drop_zone());
}

/// Rules: model-checked
#[test]
fn changing_the_version() {
    check("upgrade", upgrade());
}

/// Rules: model-checked
#[test]
fn replacing_the_only_master() {
    check("replace the only one", replace_the_only_one());
}

/// Rules: model-checked
#[test]
fn swapping_two_masters() {
    check("swap", swap());
}

/// Rules: model-checked
#[test]
fn moving_out_of_the_balancers_zones() {
    check("out of the balancer's zones", out_of_the_balancers_zones());
}

/// Rules: model-checked
#[test]
fn destroying_the_control_plane() {
    check("destroy", destroy());
}
