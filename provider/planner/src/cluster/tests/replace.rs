//! Replacing and moving live masters.

use super::*;

fn respecified(mut desired: ControlPlane, keys: &str) -> ControlPlane {
    for key in keys.chars() {
        desired.replicas.get_mut(&key.to_string()).unwrap().specification = "s2".to_owned();
    }
    desired
}

/// Rules: replace-live-add-first
#[test]
fn a_live_master_is_replaced_add_first() {
    assert_steps(
        &steps(&running("abc"), &respecified(desired("abc"), "b")),
        &["join b-2 z2", "register b-2", "-b"],
    );
}

/// Rules: replace-live-add-first, one-membership-change
#[test]
fn a_changed_machine_type_replaces_one_master_after_the_other() {
    let world = running("abc");
    let mut found = steps(&world, &respecified(desired("abc"), "abc"));
    // The leader is a: its leadership moves before it leaves.
    found.retain(|step| !step.starts_with("move leader"));
    assert_steps(
        &found,
        &[
            "join a-2 z1",
            "register a-2",
            "-a",
            "join b-2 z2",
            "register b-2",
            "-b",
            "join c-2 z3",
            "register c-2",
            "-c",
        ],
    );
}

/// Rules: replace-live-add-first, handover-between-replicas
#[test]
fn the_only_master_is_replaced_add_first_and_hands_its_address_to_the_new_one() {
    assert_steps(
        &steps(&running_alone("a"), &respecified(alone("a"), "a")),
        &[
            "join a-2 z1",
            "cordon a",
            "hand over a -> a-2",
            "drain a",
            "move leader a -> a-2",
            "stop api a",
            "remove member a",
            "stop a",
            "delete a",
            "forget a",
            "release disk a",
        ],
    );
}

/// Rules: replace-live-add-first
#[test]
fn a_master_moves_to_another_zone_add_first() {
    let mut desired = desired("abc");
    desired.replicas.get_mut("c").unwrap().zone = "z2".to_owned();
    assert_steps(
        &steps(&running("abc"), &desired),
        &["join c-2 z2", "register c-2", "-c"],
    );
}

/// Rules: machines-by-whole-name
#[test]
fn a_new_master_takes_no_name_that_anything_still_carries() {
    let mut world = running("abc");
    world.endpoints.insert(name("d"));
    world.disks.insert(name("d-2"), Disk { zone: "z1".to_owned() });
    world.zones.get_mut("z1").unwrap().up = true;
    let first = steps(&world, &desired("abcd"));
    assert_eq!(
        first[..3],
        ["await endpoint gone d", "release disk d-2", "join d z1"].map(str::to_owned)
    );
}

/// Rules: fragile-steps
#[test]
fn the_steps_between_which_a_zones_loss_would_stop_writes_are_named() {
    let preview = preview(
        &running("abc"),
        &Operation::ControlPlane(respecified(desired("abc"), "b")),
    );
    assert_eq!(
        preview.warnings,
        [Warning::FragileBetween { first: 1, last: 7 }, Warning::NoBackUp]
    );
    assert_eq!(short(&preview.steps[0]), "join b-2 z2");
    assert_eq!(short(&preview.steps[6]), "remove member b");
}
