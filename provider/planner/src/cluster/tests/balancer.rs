//! The balancer's own operations, in whatever order Terraform calls them.

use super::*;

fn apply(world: &World, names: &[&str]) -> Vec<String> {
    steps_of(world, &Operation::Balancer(balancer_over(names)))
}

fn remove(world: &World) -> Vec<String> {
    steps_of(world, &Operation::RemoveBalancer(balancer_over(&[])))
}

/// Rules: balancer-from-the-start
#[test]
fn a_balancer_before_the_first_master_takes_the_address() {
    assert_steps(
        &apply(&nothing(), &["z1", "z2"]),
        &["create balancer", "span z1", "span z2", "hand over nobody -> balancer"],
    );
}

/// Rules: handover-to-balancer
#[test]
fn a_balancer_after_the_first_master_leaves_the_handover_to_the_control_plane() {
    assert_steps(
        &apply(&running_alone("a"), &["z1", "z2"]),
        &["create balancer", "span z1", "span z2"],
    );
}

/// Rules: handover-to-replica, terraform-order
#[test]
fn a_balancer_that_is_destroyed_first_hands_the_address_back_itself() {
    assert_steps(
        &remove(&running("abc")),
        &[
            "hand over balancer -> a",
            "deregister a",
            "deregister b",
            "deregister c",
            "delete balancer",
        ],
    );
}

/// Rules: terraform-order
#[test]
fn a_balancer_is_destroyed_after_the_control_plane_and_when_nobody_serves() {
    let mut gone = with_balancer(nothing());
    gone.address.holder = Holder::Balancer;
    assert_steps(&remove(&gone), &["release balancer", "delete balancer"]);
    let halted = halt(running("a"), "a");
    assert_steps(
        &remove(&halted),
        &["hand over balancer -> a", "deregister a", "delete balancer"],
    );
    assert_steps(&remove(&nothing()), &[]);
}

/// Rules: handover-to-replica, terraform-order
#[test]
fn an_address_that_an_interrupted_handover_left_with_nobody_goes_to_a_master() {
    let mut world = running("a");
    world.address.holder = Holder::Nobody;
    world.settle();
    assert_steps(
        &remove(&world),
        &["hand over nobody -> a", "deregister a", "delete balancer"],
    );
}

/// Rules: balancer-leaves-zone-while-others-serve
#[test]
fn the_balancer_leaves_a_zone_at_once_where_others_serve() {
    let mut world = running("abc");
    world.zones.get_mut("z3").unwrap().leaving = true;
    assert_steps(&apply(&world, &["z1", "z2"]), &["deregister c", "unspan z3"]);
}

/// Rules: balancer-leaves-zone-while-others-serve, last-one-cleans-up
#[test]
fn where_nobody_else_serves_a_leaving_zone_is_left_to_the_control_plane() {
    let mut world = running("c");
    world.zones.get_mut("z3").unwrap().leaving = true;
    assert_steps(&apply(&world, &["z1", "z2"]), &[]);
    let mut moved = desired("c");
    moved.replicas.get_mut("c").unwrap().zone = "z1".to_owned();
    let found = steps(&world, &moved);
    assert_steps(&found[found.len() - 2..], &["unspan z3", "remove zone z3"]);
    world.zones.get_mut("z3").unwrap().leaving = false;
    let found = apply(&world, &["z1", "z2"]);
    assert!(
        found[0].starts_with("BLOCKED: the balancer stays in z3"),
        "{}",
        found[0]
    );
}

/// Rules: dns-endpoint-no-handover
#[test]
fn a_balancer_whose_name_is_the_endpoint_is_not_destroyed_under_a_cluster() {
    let mut world = running("abc");
    world.cloud.endpoint = Endpoint::DnsName;
    assert!(remove(&world)[0].starts_with("REFUSED: the API's endpoint is the balancer's name"));
}
