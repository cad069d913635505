//! The API's address.

use super::*;

/// Rules: handover-to-balancer
#[test]
fn the_address_goes_to_the_balancer_once_the_master_serves_behind_it() {
    assert_steps(
        &steps(&with_balancer(running_alone("a")), &desired("a")),
        &["register a", "hand over a -> balancer"],
    );
}

/// Rules: handover-to-replica
#[test]
fn the_address_goes_back_to_the_only_master_and_the_balancer_is_emptied() {
    assert_steps(
        &steps(&running("a"), &alone("a")),
        &["hand over balancer -> a", "deregister a"],
    );
}

/// Rules: handover-between-replicas, address-fails-over
#[test]
fn the_address_goes_from_a_master_that_leaves_to_one_that_stays() {
    let found = steps(&running_alone("ab"), &alone("b"));
    assert_steps(&found[..3], &["cordon a", "hand over a -> b", "drain a"]);
}

/// Rules: address-fails-over
#[test]
fn the_address_leaves_a_halted_master_for_one_that_serves_before_anything_else() {
    let world = halt(running_alone("abc"), "a");
    assert_steps(&steps(&world, &alone("abc")), &["hand over a -> b", "start a"]);
}

/// Rules: handover-interrupted
#[test]
fn an_interrupted_handover_ends_at_the_new_holder_or_where_it_was() {
    let mut world = with_balancer(running_alone("a"));
    world.address.holder = Holder::Nobody;
    world.settle();
    assert_steps(
        &steps(&world, &desired("a")),
        &["hand over nobody -> a", "register a", "hand over a -> balancer"],
    );
    let mut world = running("a");
    world.address.holder = Holder::Nobody;
    world.settle();
    assert_steps(&steps(&world, &desired("a")), &["hand over nobody -> balancer"]);
}

/// Rules: handover-rolled-back
#[test]
fn a_new_holder_that_does_not_answer_loses_the_address_and_is_not_tried_again() {
    let mut world = running("abc");
    world.address.answers = false;
    let found = steps(&world, &desired("abc"));
    assert_eq!(found[0], "roll back balancer -> a");
    assert!(
        found[1].starts_with("BLOCKED: the API did not answer at its address on the balancer"),
        "{}",
        found[1]
    );
    let mut only = running_alone("a");
    only.address.answers = false;
    assert_steps(&steps(&only, &alone("a")), &["await answer a"]);
    let mut back = running_alone("a");
    back.address.failed = Some(Holder::Machine(name("b")));
    let found = steps(&back, &alone("b"));
    assert_steps(&found[..2], &["join b z2", "cordon a"]);
    assert!(
        found[2].starts_with("BLOCKED: the API did not answer at its address on master m-b"),
        "{}",
        found[2]
    );
}

/// Rules: dns-endpoint-no-handover, zone-subnet-with-the-cluster
#[test]
fn a_dns_endpoint_is_never_handed_over() {
    let cloud = Cloud {
        endpoint: Endpoint::DnsName,
        zonal_subnets: true,
    };
    let start = with_balancer(World::empty(cloud, &["z1", "z2", "z3"]));
    assert_steps(
        &steps(&start, &desired("a")),
        &["init a z1", "register a", "access", "await node a"],
    );
    let world = reached(start, &desired("a"));
    assert_steps(
        &steps(&world, &desired("abc")),
        &["join b z2", "register b", "join c z3", "register c"],
    );
    let three = reached(world.clone(), &desired("abc"));
    assert_steps(
        &steps(&three, &desired("b")),
        &[
            "-c",
            "cordon a",
            "deregister a",
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
    let mut replaced = desired("a");
    replaced.replicas.get_mut("a").unwrap().specification = "s2".to_owned();
    assert_steps(
        &steps(&world, &replaced)[..4],
        &["join a-2 z1", "register a-2", "cordon a", "deregister a"],
    );
}

/// Rules: one-holder, handover-to-balancer
#[test]
fn an_address_that_two_can_answer_on_is_handed_over_without_a_gap() {
    let mut world = with_balancer(running_alone("a"));
    assert_steps(
        &steps(&world, &desired("a")),
        &["register a", "hand over a -> balancer"],
    );
    let gap = "the API does not answer for";
    assert!(super::wording::shown(&world, &Operation::ControlPlane(desired("a"))).contains(gap));
    world.cloud.endpoint = Endpoint::SharedAddress;
    assert_steps(
        &steps(&world, &desired("a")),
        &["register a", "hand over a -> balancer"],
    );
    assert!(!super::wording::shown(&world, &Operation::ControlPlane(desired("a"))).contains(gap));
}

/// Rules: address-leads-to-a-server, address-fails-over
#[test]
fn whatever_is_to_change_the_address_leads_to_a_master_that_serves_first() {
    let world = halt(running_alone("abc"), "a");
    for keys in ["abc", "ab", "bc", "b", "abcde"] {
        assert_eq!(steps(&world, &alone(keys))[0], "hand over a -> b", "{keys}");
    }
    // Behind a balancer that leads nowhere, a master that serves is registered; that is quicker, and has no gap.
    let mut world = running("abc");
    world.balancer.as_mut().unwrap().targets.clear();
    assert_steps(
        &steps(&settled(world), &desired("ab"))[..2],
        &["register a", "register b"],
    );
}

/// Rules: balancer-spans-fewer-zones
#[test]
fn a_master_in_a_zone_that_the_balancer_does_not_span_is_warned_of_and_not_put_behind_it() {
    let mut world = running("ab");
    world.balancer.as_mut().unwrap().zones.remove("z3");
    let preview = preview(&world, &Operation::ControlPlane(desired("abc")));
    assert_steps(&preview.steps.iter().map(short).collect::<Vec<_>>(), &["join c z3"]);
    assert!(preview.warnings.contains(&Warning::BalancerMissesZone("z3".to_owned())));
}

/// Rules: balancer-spans-fewer-zones, only-replica-stays-registered
#[test]
fn the_only_master_behind_the_balancer_leaves_last_so_that_another_can_come_to_stand_there() {
    let mut world = running("abc");
    world.balancer.as_mut().unwrap().zones = zones(&["z1", "z2"]);
    world.balancer.as_mut().unwrap().targets.retain(|name, _| name == "m-b");
    let mut moved = desired("a");
    moved.replicas.get_mut("a").unwrap().specification = "s2".to_owned();
    let found = steps(&settled(world), &moved);
    let position = |step: &str| found.iter().position(|found| found == step).unwrap();
    assert!(position("cordon c") < position("cordon b"), "{found:?}");
    assert!(position("delete a") < position("join a z1"), "{found:?}");
    assert!(position("register a") < position("deregister b"), "{found:?}");
}
