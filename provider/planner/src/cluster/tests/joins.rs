//! Joins that were interrupted, each at its place.

use super::*;

/// Master c is being made: kubeadm is at work on its machine, or has given up.
fn joining(joining: bool, member: Option<(bool, bool)>) -> World {
    let mut world = running("ab");
    world.machines.insert(
        name("c"),
        Machine {
            replica: "c".to_owned(),
            zone: "z3".to_owned(),
            specification: "s1".to_owned(),
            version: V,
            power: Power::On,
            joining,
            api: ApiServer::Unready,
        },
    );
    world.disks.insert(name("c"), Disk { zone: "z3".to_owned() });
    if let Some((learner, started)) = member {
        world.members.insert(
            7,
            Member {
                machine: Some(name("c")),
                learner,
                started,
                healthy: started,
                version: Version::new(3, 6, 0),
            },
        );
    }
    world.settle();
    world
}

/// Rules: kubeadm-owns-the-learner, one-membership-change
#[test]
fn a_join_that_kubeadm_is_at_work_on_is_waited_for_wherever_it_is() {
    for member in [None, Some((true, false)), Some((true, true)), Some((false, true))] {
        let found = steps(&joining(true, member), &desired("abc"));
        assert_steps(&found, &["await join c", "register c"]);
    }
}

/// Rules: joining-machine-is-left-alone
#[test]
fn a_joining_master_that_is_not_wanted_any_more_joins_first_and_then_leaves() {
    let found = steps(&joining(true, Some((true, true))), &desired("ab"));
    assert_steps(
        &found,
        &[
            "await join c",
            "cordon c",
            "drain c",
            "stop api c",
            "remove member c",
            "stop c",
            "delete c",
            "forget c",
            "release disk c",
        ],
    );
}

/// Rules: kubeadm-owns-the-learner
#[test]
fn interrupted_before_the_machine_nothing_is_there_and_the_join_begins_anew() {
    assert_steps(&steps(&running("ab"), &desired("abc")), &["join c z3", "register c"]);
    // Its disk was made, and its machine was not.
    let mut world = running("ab");
    world.disks.insert(name("c"), Disk { zone: "z3".to_owned() });
    assert_steps(
        &steps(&world, &desired("abc")),
        &["release disk c", "join c z3", "register c"],
    );
}

/// Rules: kubeadm-owns-the-learner
#[test]
fn interrupted_before_the_member_the_machine_is_made_anew() {
    assert_steps(
        &steps(&joining(false, None), &desired("abc")),
        &["stop c", "delete c", "release disk c", "join c z3", "register c"],
    );
}

/// Rules: failed-join-is-off
#[test]
fn a_machine_whose_join_has_failed_is_off_and_made_anew_at_once() {
    let off = |member| {
        let mut world = joining(true, member);
        world.machines.get_mut(&name("c")).unwrap().power = Power::Off;
        world.settle();
        steps(&world, &desired("abc"))
    };
    let anew = ["delete c", "release disk c", "join c z3", "register c"];
    assert_steps(&off(None), &anew);
    let learner = off(Some((true, true)));
    assert_steps(&learner, &[&["remove member c"], &anew[..]].concat());
}

/// Rules: unstarted-learner-by-id, kubeadm-owns-the-learner
#[test]
fn an_unstarted_learner_is_removed_by_its_id_and_never_promoted() {
    let mut world = joining(false, Some((true, false)));
    assert_steps(
        &steps(&world, &desired("abc"))[..3],
        &["remove member c", "stop c", "delete c"],
    );
    world.members.get_mut(&7).unwrap().machine = None;
    let Next::Step(step) = next(&world, &Operation::ControlPlane(desired("abc"))) else {
        unreachable!()
    };
    assert_eq!(step, Step::RemoveMember(7, None));
}

/// Rules: kubeadm-owns-the-learner
#[test]
fn interrupted_before_promotion_the_learner_is_removed_and_the_machine_made_anew() {
    assert_steps(
        &steps(&joining(false, Some((true, true))), &desired("abc")),
        &[
            "remove member c",
            "stop c",
            "delete c",
            "release disk c",
            "join c z3",
            "register c",
        ],
    );
}

/// Rules: joiner-after-readyz
#[test]
fn interrupted_before_the_balancer_the_master_is_put_behind_it() {
    let mut world = running("abc");
    world.balancer.as_mut().unwrap().targets.remove("m-c");
    assert_steps(&steps(&world, &desired("abc")), &["register c"]);
    world.machines.get_mut("m-c").unwrap().api = ApiServer::Unready;
    assert_steps(&steps(&world, &desired("abc")), &["await healthy c", "register c"]);
}

/// Rules: kubeadm-owns-the-learner, dead-out-before-join
#[test]
fn a_learner_whose_machine_is_gone_is_removed() {
    let mut world = joining(true, Some((true, true)));
    world.machines.remove("m-c");
    world.disks.remove("m-c");
    let found = steps(&settled(world), &desired("abc"));
    assert_steps(&found, &["remove member c", "join c z3", "register c"]);
}

/// Rules: init-resumes
#[test]
fn an_interrupted_first_master_is_waited_for_or_made_anew() {
    let mut world = nothing();
    let mut machine = joining(true, None).machines["m-c"].clone();
    machine.replica = "a".to_owned();
    machine.zone = "z1".to_owned();
    world.machines.insert(name("a"), machine.clone());
    assert_steps(&steps(&world, &alone("a")), &["await join a", "access", "await node a"]);
    machine.joining = false;
    world.machines.insert(name("a"), machine);
    assert_steps(
        &steps(&world, &alone("a")),
        &["stop a", "delete a", "init a z1", "access", "await node a"],
    );
}
