//! Shrinking.

use super::*;

/// Rules: removal-order, leader-moves-before-removal, detached-before-termination
#[test]
fn a_master_leaves_in_the_order_of_the_rules() {
    let mut world = running("abc");
    world.leader = world.member_of("m-c").map(|(id, _)| id);
    world.nodes.get_mut("m-c").unwrap().volumes = true;
    let desired = ControlPlane {
        backup: Some("s3://backups".to_owned()),
        ..desired("ab")
    };
    assert_steps(
        &steps(&world, &desired),
        &[
            "back up",
            "cordon c",
            "deregister c",
            "drain c",
            "await detached c",
            "move leader c -> a",
            "stop api c",
            "remove member c",
            "stop c",
            "delete c",
            "forget c",
            "release disk c",
        ],
    );
}

/// Rules: extra-replicas-first, one-membership-change
#[test]
fn five_shrink_to_one_one_after_the_other() {
    assert_steps(&steps(&running("abcde"), &desired("a")), &["-e", "-d", "-c", "-b"]);
}

/// Rules: handover-to-replica
#[test]
fn the_address_goes_back_to_the_master_that_stays_while_the_others_still_serve() {
    assert_steps(
        &steps(&running("abc"), &alone("b")),
        &[
            "hand over balancer -> b",
            "deregister a",
            "deregister b",
            "deregister c",
            "cordon c",
            "drain c",
            "stop api c",
            "remove member c",
            "stop c",
            "delete c",
            "forget c",
            "release disk c",
            "cordon a",
            "drain a",
            "move leader a -> b",
            "stop api a",
            "remove member a",
            "stop a",
            "delete a",
            "forget a",
            "release disk a",
        ],
    );
}

/// Rules: removal-resumes
#[test]
fn a_removal_that_was_interrupted_goes_on_where_it_was() {
    let desired = desired("ab");
    let operation = Operation::ControlPlane(desired.clone());
    let mut world = running("abc");
    let mut left = steps(&world, &desired);
    while let Next::Step(step) = next(&world, &operation) {
        assert_eq!(steps(&world, &desired), left);
        world = effect(world, &step, &operation);
        left.remove(0);
    }
    assert_eq!(left, Vec::<String>::new());
}

/// Rules: removal-reversed
#[test]
fn a_master_that_is_to_stay_after_all_serves_again() {
    let operation = Operation::ControlPlane(desired("ab"));
    let mut world = running("abc");
    for _ in 0..4 {
        let Next::Step(step) = next(&world, &operation) else {
            unreachable!()
        };
        world = effect(world, &step, &operation);
    }
    assert_steps(
        &steps(&world, &desired("abc")),
        &["start api c", "register c", "uncordon c"],
    );
}

/// Rules: rejoin-with-empty-data
#[test]
fn a_master_whose_member_is_out_already_does_not_come_back_with_its_old_data() {
    let operation = Operation::ControlPlane(desired("ab"));
    let mut world = running("abc");
    for _ in 0..5 {
        let Next::Step(step) = next(&world, &operation) else {
            unreachable!()
        };
        world = effect(world, &step, &operation);
    }
    assert_steps(
        &steps(&world, &desired("abc")),
        &[
            "stop c",
            "delete c",
            "forget c",
            "release disk c",
            "join c z3",
            "register c",
        ],
    );
}

/// Rules: etcd-two-to-one
#[test]
fn two_go_to_one_only_while_both_are_healthy() {
    assert_steps(&steps(&running("ab"), &desired("a")), &["-b"]);
    let halted = halt(running("ab"), "a");
    assert_steps(&steps(&halted, &desired("a"))[..1], &["start a"]);
    let dead = kill(running("ab"), "b");
    assert!(
        steps(&dead, &desired("a"))[0].starts_with("BLOCKED: the quorum of etcd is lost: of its 2 voters 1 is gone")
    );
}

/// Rules: target-gone-not-draining
#[test]
fn a_target_that_is_merely_draining_is_waited_for_until_it_is_gone() {
    let mut world = running("abc");
    world.nodes.get_mut("m-c").unwrap().leaving = true;
    world.set_target("m-c", Some(Target::Draining));
    assert_steps(&steps(&world, &desired("ab"))[..2], &["deregister c", "drain c"]);
}

/// Rules: only-replica-stays-registered
#[test]
fn the_only_master_behind_the_balancer_is_not_taken_off_it() {
    let mut world = running("ab");
    world.balancer.as_mut().unwrap().zones = zones(&["z1"]);
    world.balancer.as_mut().unwrap().targets.remove("m-b");
    // A master that stays takes the address, and the balancer is not in use any more.
    assert_steps(
        &steps(&world, &desired("b"))[..3],
        &["cordon a", "hand over balancer -> b", "deregister a"],
    );
    // Where the endpoint is a name, nothing could take it.
    world.cloud.endpoint = Endpoint::DnsName;
    world.address.holder = Holder::Nobody;
    let found = steps(&settled(world), &desired("b"));
    assert_eq!(found[0], "cordon a");
    assert!(found[1].starts_with("BLOCKED: master m-a stays"), "{found:?}");
}
