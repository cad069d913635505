//! Version changes.

use super::*;

fn at(version: Version, mut desired: ControlPlane) -> ControlPlane {
    desired.version = version;
    desired
}

/// Rules: settings-before-machines, replace-live-add-first, one-membership-change, upgrade-starts-with-settings,
/// addons-after-masters
#[test]
fn a_version_change_starts_with_the_settings_replaces_one_master_after_the_other_and_ends_with_the_addons() {
    let mut desired = at(Version::new(1, 35, 0), desired("abc"));
    desired.backup = Some("s3://backups".to_owned());
    let mut found = steps(&running("abc"), &desired);
    found.retain(|step| !step.starts_with("move leader"));
    assert_steps(
        &found,
        &[
            "back up",
            "settings 1.35.0 k1",
            "join a-2 z1",
            "register a-2",
            "-a",
            "join b-2 z2",
            "register b-2",
            "-b",
            "join c-2 z3",
            "register c-2",
            "-c",
            "addons 1.35.0 p1",
        ],
    );
}

/// Rules: settings-before-machines
#[test]
fn other_settings_alone_replace_nothing() {
    let mut desired = desired("abc");
    desired.settings = "k2".to_owned();
    assert_steps(&steps(&running("abc"), &desired), &["settings 1.34.1 k2"]);
}

/// Rules: addons-after-masters
#[test]
fn other_addons_alone_replace_nothing() {
    let mut desired = desired("abc");
    desired.addons = "p2".to_owned();
    assert_steps(&steps(&running("abc"), &desired), &["addons 1.34.1 p2"]);
}

/// Rules: addons-after-masters
#[test]
fn addons_of_others_are_left_alone() {
    let mut world = running("abc");
    world.addons = None;
    let found = steps(&world, &at(Version::new(1, 34, 2), desired("abc")));
    assert!(!found.iter().any(|step| step.starts_with("addons")), "{found:#?}");
}

/// Rules: addons-after-masters
#[test]
fn kube_proxy_is_never_newer_than_an_api_server() {
    for version in [Version::new(1, 34, 2), Version::new(1, 35, 0)] {
        let operation = Operation::ControlPlane(at(version, desired("abc")));
        let mut world = running("abc");
        while let Next::Step(step) = next(&world, &operation) {
            world = effect(world, &step, &operation);
            let oldest = world.machines.values().map(|machine| machine.version).min();
            assert!(world.addons.as_ref().map(|addons| addons.version) <= oldest, "{step:?}");
        }
        assert_eq!(world.addons.map(|addons| addons.version), Some(version));
    }
}

/// An upgrade that stopped before its last step is finished by the next apply.
///
/// Rules: addons-after-masters
#[test]
fn addons_that_were_left_behind_are_brought_to_the_version() {
    let to = Version::new(1, 35, 0);
    let mut world = reached(running("abc"), &at(to, desired("abc")));
    world.addons.as_mut().unwrap().version = V;
    assert_steps(&steps(&world, &at(to, desired("abc"))), &["addons 1.35.0 p1"]);
}

/// Rules: one-minor-at-a-time
#[test]
fn two_minors_at_once_are_refused_with_the_one_to_take_first() {
    let found = steps(&running("abc"), &at(Version::new(1, 36, 0), desired("abc")));
    assert_eq!(
        found,
        ["REFUSED: the control plane runs 1.34.1: go one minor version at a time, to 1.35 first"]
    );
}

/// Rules: one-minor-at-a-time
#[test]
fn an_interrupted_version_change_must_end_before_the_next_minor() {
    let to = at(Version::new(1, 35, 0), desired("abc"));
    let operation = Operation::ControlPlane(to.clone());
    let mut world = running("abc");
    for _ in 0..2 {
        let Next::Step(step) = next(&world, &operation) else {
            unreachable!()
        };
        world = effect(world, &step, &operation);
    }
    assert!(steps(&world, &at(Version::new(1, 36, 0), desired("abc")))[0].starts_with("REFUSED"));
    assert_eq!(steps(&world, &to)[0], "register a-2");
}

/// Rules: no-downgrade
#[test]
fn a_downgrade_is_refused() {
    for version in [Version::new(1, 33, 9), Version::new(1, 34, 0)] {
        let found = steps(&running("abc"), &at(version, desired("abc")));
        assert_eq!(
            found,
            [format!(
                "REFUSED: the control plane runs 1.34.1: it cannot go back to {version}. Ask for 1.34.1 or later; an \
                 earlier version takes a new cluster"
            )]
        );
    }
}

/// Rules: etcd-3-6-after-3-5-26
#[test]
fn etcd_3_6_follows_3_5_26_or_later() {
    let before = Version::new(1, 33, 4);
    let mut world = reached(with_balancer(nothing()), &at(before, desired("abc")));
    assert_eq!(steps(&world, &desired("abc"))[0], "settings 1.34.1 k1");
    world
        .members
        .values_mut()
        .for_each(|member| member.version = Version::new(3, 5, 15));
    assert!(steps(&world, &desired("abc"))[0].starts_with("REFUSED: etcd is at 3.5.15"));
    assert_steps(&steps(&world, &at(before, desired("abc"))), &[]);
}

/// Rules: kubelet-skew
#[test]
fn workers_are_never_left_more_than_three_minors_behind() {
    let mut world = running("abc");
    world.oldest_worker = Some(Version::new(1, 31, 0));
    assert_eq!(steps(&world, &desired("abc")), Vec::<String>::new());
    let found = steps(&world, &at(Version::new(1, 35, 0), desired("abc")));
    assert!(found[0].starts_with("REFUSED: workers run 1.31.0"), "{}", found[0]);
}

/// Rules: api-servers-within-one-minor
#[test]
fn api_servers_stay_within_one_minor_throughout() {
    let operation = Operation::ControlPlane(at(Version::new(1, 35, 0), desired("abc")));
    let mut world = running("abc");
    while let Next::Step(step) = next(&world, &operation) {
        world = effect(world, &step, &operation);
        let minors = || world.machines.values().map(|machine| machine.version.minor);
        assert!(minors().max().unwrap() - minors().min().unwrap() <= 1);
    }
}
