//! What is dead, halted or lost.

use super::*;

/// Rules: replace-dead-remove-first, dead-out-before-join
#[test]
fn a_dead_master_is_removed_then_added() {
    assert_steps(
        &steps(&kill(running("abc"), "c"), &desired("abc")),
        &[
            "deregister c",
            "remove member c",
            "out of service c",
            "forget c",
            "await endpoint gone c",
            "release disk c",
            "join c z3",
            "register c",
        ],
    );
}

/// Rules: dead-out-before-join, etcd-quorum-to-remove
#[test]
fn five_with_two_dead_lose_both_before_anything_is_added() {
    let world = kill(kill(running("abcde"), "d"), "e");
    assert_steps(
        &steps(&world, &desired("abcde")),
        &[
            "deregister d",
            "remove member d",
            "deregister e",
            "remove member e",
            "out of service d",
            "forget d",
            "out of service e",
            "forget e",
            "await endpoint gone d",
            "await endpoint gone e",
            "release disk d",
            "release disk e",
            "join d z1",
            "register d",
            "join e z2",
            "register e",
        ],
    );
}

/// Rules: dead-out-before-join, replace-live-add-first
#[test]
fn three_with_one_dead_and_one_being_replaced_lose_the_dead_first() {
    let mut desired = desired("abc");
    desired.replicas.get_mut("b").unwrap().specification = "s2".to_owned();
    assert_steps(
        &steps(&kill(running("abc"), "c"), &desired),
        &[
            "deregister c",
            "remove member c",
            "out of service c",
            "forget c",
            "await endpoint gone c",
            "release disk c",
            "join c z3",
            "register c",
            "join b-2 z2",
            "register b-2",
            "-b",
        ],
    );
}

/// Rules: halted-master-restarts
#[test]
fn a_halted_master_is_started_and_rejoins() {
    assert_steps(&steps(&halt(running("abc"), "b"), &desired("abc")), &["start b"]);
    assert_steps(&steps(&halt(running_alone("a"), "a"), &alone("a")), &["start a"]);
}

/// Rules: halted-master-restarts, no-quorum-way-out
#[test]
fn halted_masters_bring_the_quorum_back() {
    let world = halt(halt(running("abc"), "b"), "c");
    assert_steps(&steps(&world, &desired("abc")), &["start b", "start c"]);
}

/// Rules: out-of-service-taint, removal-order
#[test]
fn a_halted_master_that_is_to_go_is_given_up_and_not_drained() {
    let world = halt(running("abc"), "c");
    assert_steps(
        &steps(&world, &desired("ab")),
        &[
            "cordon c",
            "deregister c",
            "out of service c",
            "remove member c",
            "delete c",
            "forget c",
            "await endpoint gone c",
            "release disk c",
        ],
    );
}

/// Rules: no-quorum-way-out, never-force-new-cluster
#[test]
fn without_quorum_nothing_is_done_and_the_way_out_is_said() {
    let world = kill(kill(running("abc"), "b"), "c");
    let found = steps(&world, &desired("abc"));
    assert_eq!(found.len(), 1);
    for word in [
        "of its 3 voters 2 are gone (m-b, m-c), 1 is left (m-a)",
        "2 are needed",
        "snapshot",
        "--force-new-cluster",
        "never done automatically",
    ] {
        assert!(found[0].contains(word), "{}", found[0]);
    }
}

/// Rules: no-quorum-way-out, etcd-unknown-no-removal
#[test]
fn a_quorum_that_is_lost_for_good_is_not_waited_for_though_nobody_answers() {
    let mut world = kill(kill(running("abc"), "b"), "c");
    world.membership_known = false;
    world.members.values_mut().for_each(|member| member.healthy = false);
    world.machines.get_mut("m-a").unwrap().api = ApiServer::Unready;
    for power in [Power::On, Power::Off] {
        world.machines.get_mut("m-a").unwrap().power = power;
        let found = steps(&world, &desired("abc"));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains("the quorum of etcd is lost"), "{}", found[0]);
    }
    let one_is_gone = kill(running("abc"), "c");
    let dark = |mut world: World| {
        world.membership_known = false;
        world.members.values_mut().for_each(|member| member.healthy = false);
        world
            .machines
            .values_mut()
            .for_each(|machine| machine.api = ApiServer::Unready);
        world
    };
    assert_eq!(steps(&dark(one_is_gone), &desired("abc"))[0], "await healthy a");
}

/// Rules: never-force-new-cluster
#[test]
fn a_cluster_that_lost_everything_is_never_initialised_anew() {
    let world = kill(running_alone("a"), "a");
    let found = steps(&world, &alone("a"));
    assert_eq!(found.len(), 1);
    assert!(found[0].contains("not initialised anew"), "{}", found[0]);
}

/// Rules: zone-lost-and-back
#[test]
fn a_lost_zone_blocks_with_its_name_and_afterwards_nothing_is_left_to_do() {
    let world = lose(running("abc"), "z2");
    let found = steps(&world, &desired("abc"));
    assert_eq!(found.len(), 1);
    assert!(
        found[0].starts_with("BLOCKED: zone z2 is out, and with it master m-b"),
        "{}",
        found[0]
    );
}

/// Rules: zone-lost-and-back, replace-dead-remove-first
#[test]
fn a_master_moves_out_of_a_lost_zone_and_its_machine_goes_when_the_zone_is_back() {
    let mut desired = desired("abc");
    desired.replicas.get_mut("b").unwrap().zone = "z1".to_owned();
    let world = lose(running("abc"), "z2");
    let found = steps(&world, &desired);
    assert_steps(
        &found[..6],
        &[
            "cordon b",
            "deregister b",
            "remove member b",
            "join b-2 z1",
            "register b-2",
            &found[5],
        ],
    );
    assert!(
        found[5].starts_with("BLOCKED: zone z2 is out, and with it master m-b"),
        "{}",
        found[5]
    );
}

/// Rules: etcd-unknown-no-removal
#[test]
fn removals_that_cannot_be_proven_safe_are_not_tried() {
    let mut world = running("abc");
    world.membership_known = false;
    world.members.clear();
    let found = steps(&world, &desired("ab"));
    assert_eq!(found.len(), 1);
    assert!(found[0].contains("membership cannot be read"), "{}", found[0]);
}

/// Rules: disagreement
#[test]
fn what_is_left_of_gone_masters_is_cleared_away() {
    let mut world = running("abc");
    world
        .balancer
        .as_mut()
        .unwrap()
        .targets
        .insert(name("x"), Target::Draining);
    world.nodes.insert(name("y"), Node::default());
    world.endpoints.insert(name("z"));
    world.disks.insert(name("w"), Disk { zone: "z1".to_owned() });
    assert_steps(
        &steps(&world, &desired("abc")),
        &["deregister x", "forget y", "await endpoint gone z", "release disk w"],
    );
}

/// Rules: disagreement
#[test]
fn a_member_that_belongs_to_no_machine_is_removed_by_its_id() {
    let mut world = running("abc");
    world.members.insert(
        99,
        Member {
            machine: None,
            learner: false,
            started: true,
            healthy: false,
            version: Version::new(3, 6, 0),
        },
    );
    assert_steps(&steps(&settled(world), &desired("abc")), &["remove member #99"]);
}

/// Rules: removal-reversed, address-leads-to-a-server
#[test]
fn where_nobody_serves_an_api_server_that_was_stopped_is_started_again() {
    // b was to leave and its API server was stopped; then the other master was taken out by hand.
    let mut world = running_alone("ab");
    world.machines.get_mut("m-b").unwrap().api = ApiServer::Stopped;
    let (id, _) = world.member_of("m-a").unwrap();
    world.members.remove(&id);
    let world = halt(settled(world), "a");
    assert_eq!(
        steps(&world, &alone("a"))[..2],
        ["start api b", "hand over a -> b"].map(str::to_owned)
    );
}

/// Rules: removal-resumes, address-leads-to-a-server
#[test]
fn of_several_that_go_the_only_one_that_serves_goes_last() {
    let mut world = running_alone("ac");
    world.machines.get_mut("m-a").unwrap().api = ApiServer::Stopped;
    let mut other = alone("a");
    other.replicas.get_mut("a").unwrap().specification = "s2".to_owned();
    let found = steps(&settled(world), &other);
    let removed: Vec<&String> = found.iter().filter(|step| step.starts_with("remove member")).collect();
    assert_eq!(removed, ["remove member a", "remove member c"], "{found:?}");
}
