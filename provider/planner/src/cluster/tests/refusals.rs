//! What is refused, and what is warned of.

use super::*;

fn warnings(keys: &str, place: impl Fn(char) -> String) -> Vec<Warning> {
    let mut desired = desired(keys);
    for (key, replica) in &mut desired.replicas {
        replica.zone = place(key.chars().next().unwrap());
    }
    desired.backup = Some("s3://backups".to_owned());
    let world = reached(with_balancer(nothing()), &desired);
    preview(&world, &Operation::ControlPlane(desired)).warnings
}

/// Rules: warn-even-count
#[test]
fn even_counts_are_warned_of() {
    let found = warnings("abcd", zone_of);
    assert!(found.contains(&Warning::EvenCount(4)), "{found:?}");
    assert_eq!(warnings("abc", zone_of), []);
    assert_eq!(warnings("abcde", zone_of), []);
}

/// Rules: warn-three-in-two-zones
#[test]
fn three_masters_in_two_zones_are_warned_of() {
    let place = |key| if key == 'c' { "z2".to_owned() } else { zone_of(key) };
    let found = warnings("abc", place);
    assert_eq!(
        found,
        [Warning::ZoneStopsWrites {
            zone: "z2".to_owned(),
            masters: 2,
            of: 3
        }]
    );
    insta::assert_snapshot!(found[0], @"2 of 3 masters are in z2: losing that zone stops all writes until it is back; spread the masters over three zones");
}

/// Rules: warn-single-zone-loss
#[test]
fn a_single_master_is_warned_of() {
    assert_eq!(warnings("a", zone_of), [Warning::SingleMaster]);
}

/// Rules: etcd-quorum-to-remove
#[test]
fn a_removal_below_quorum_is_blocked_and_says_what_would_be_left() {
    let rollout_world = {
        let mut world = running("abcd");
        // b is sick and stays; c is gone and its removal is fine; then three voters are left, two of them healthy.
        let (id, _) = world.member_of("m-b").unwrap();
        world.members.get_mut(&id).unwrap().healthy = false;
        settled(world)
    };
    let found = steps(&rollout_world, &desired("abc"));
    assert_eq!(
        found[0], "await healthy b",
        "nobody leaves while one that stays is sick: {found:?}"
    );
    let blocked = Blocked::WouldLoseQuorum {
        machine: "c".to_owned(),
        healthy: 1,
        voters: 2,
    };
    insta::assert_snapshot!(blocked, @"master c stays: without it 1 of 2 etcd members would be healthy, and 2 are needed. Bring the masters back that do not answer, then apply again");
}

/// Rules: no-backup-warning
#[test]
fn a_change_without_a_place_for_snapshots_is_warned_of() {
    let preview = preview(&running("ab"), &Operation::ControlPlane(desired("abc")));
    assert!(preview.warnings.contains(&Warning::NoBackUp));
}
