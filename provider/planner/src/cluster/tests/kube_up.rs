//! The seven mistakes of kube-up and kube-down (domain-rules.md), each of which cannot happen here.

use super::*;

fn position(steps: &[String], step: &str) -> usize {
    steps
        .iter()
        .position(|found| found == step)
        .unwrap_or_else(|| panic!("no {step} in {steps:?}"))
}

/// Rules: kube-up-1
#[test]
fn mistake_1_the_address_is_not_detached_before_the_balancer_serves() {
    let found = steps(&with_balancer(running_alone("a")), &desired("abc"));
    let handover = position(&found, "hand over a -> balancer");
    for key in ["a", "b", "c"] {
        assert!(position(&found, &format!("register {key}")) < handover);
    }
    // A balancer without a target that serves never gets it, and a failed handover leaves it with a master.
    let mut empty = with_balancer(running_alone("a"));
    empty.balancer.as_mut().unwrap().zones.clear();
    assert_steps(&steps(&empty, &desired("a")), &[]);
    let mut lost = with_balancer(running_alone("a"));
    lost.address.holder = Holder::Nobody;
    assert_eq!(steps(&settled(lost), &desired("a"))[0], "hand over nobody -> a");
}

/// Rules: kube-up-2
#[test]
fn mistake_2_the_member_is_not_removed_before_the_replica_is_off_the_balancer_nor_without_quorum() {
    let found = steps(&running("abc"), &desired("ab"));
    assert!(position(&found, "deregister c") < position(&found, "remove member c"));
    let dead = kill(running("abc"), "b");
    let found = steps(&dead, &desired("ac"));
    assert!(position(&found, "deregister b") < position(&found, "remove member b"));
    let no_quorum = kill(kill(running("abc"), "a"), "b");
    let found = steps(&no_quorum, &desired("c"));
    assert!(found.iter().all(|step| !step.starts_with("remove member")), "{found:?}");
}

/// Rules: kube-up-3
#[test]
fn mistake_3_no_member_is_added_before_its_machine_and_repeated_failures_cost_no_quorum() {
    let operation = Operation::ControlPlane(desired("abc"));
    let mut world = running("ab");
    for _ in 0..5 {
        // The machine comes up, kubeadm adds its learner, and the machine is gone again.
        let Next::Step(Step::Join(new)) = next(&world, &operation) else {
            panic!("{:?}", next(&world, &operation))
        };
        let mut failed = world.clone();
        failed.members.insert(
            50,
            Member {
                machine: Some(new.name.clone()),
                learner: true,
                started: false,
                healthy: false,
                version: Version::new(3, 6, 0),
            },
        );
        world = failed;
        assert_eq!(steps(&world, &desired("abc"))[0], "remove member c");
        let Next::Step(step) = next(&world, &operation) else {
            unreachable!()
        };
        world = effect(world, &step, &operation);
        assert_eq!(world.quorum(), Quorum { voters: 2, healthy: 2 });
    }
}

/// Rules: kube-up-4, machines-by-whole-name
#[test]
fn mistake_4_names_are_compared_whole() {
    let mut world = running("abc");
    world
        .disks
        .insert("m-c-data".to_owned(), Disk { zone: "z1".to_owned() });
    let mut desired = desired("ab");
    desired.prefix = "m-".to_owned();
    let found = steps(&world, &desired);
    assert_eq!(found.iter().filter(|step| *step == "release disk c").count(), 1);
    let (id, member) = world.member_of("m-c").unwrap();
    assert_eq!(
        (id, member.machine.as_deref()),
        (3, Some("m-c")),
        "not of m-c-data, not of another cluster's xm-c"
    );
}

/// Rules: kube-up-5
#[test]
fn mistake_5_the_replica_that_leaves_is_not_the_one_that_is_asked() {
    let mut world = running_alone("ab");
    world.leader = world.member_of("m-a").map(|(id, _)| id);
    let found = steps(&world, &alone("b"));
    let removed = position(&found, "remove member a");
    assert!(position(&found, "hand over a -> b") < removed);
    assert!(position(&found, "move leader a -> b") < removed);
    assert!(position(&found, "stop api a") < removed);
    // Where nobody else could be asked, nobody leaves.
    let mut nobody = running_alone("ab");
    nobody.machines.get_mut("m-b").unwrap().api = ApiServer::Unready;
    assert_eq!(steps(&nobody, &alone("b"))[0], "await healthy b");
}

/// Rules: kube-up-6
#[test]
fn mistake_6_no_master_and_no_worker_is_deleted_without_draining() {
    let found = steps(&running("abc"), &desired("a"));
    for key in ["b", "c"] {
        assert!(position(&found, &format!("drain {key}")) < position(&found, &format!("delete {key}")));
    }
    // Workers: node_group::tests::shrink_cordons_and_drains_before_the_machine_goes.
}

/// Rules: kube-up-7, api-stopped-before-member-removed
#[test]
fn mistake_7_no_stale_api_endpoint_outlives_its_replica() {
    let found = steps(&running("abc"), &desired("ab"));
    assert!(position(&found, "stop api c") < position(&found, "remove member c"));
    assert!(
        !found.contains(&"await endpoint gone c".to_owned()),
        "its record went with it"
    );
    let found = steps(&kill(running("abc"), "c"), &desired("abc"));
    assert!(position(&found, "await endpoint gone c") < position(&found, "join c z3"));
}
