//! Growing.

use super::*;

/// Rules: pod-network-before-workers, init-endpoint-local
#[test]
fn the_first_master_initialises_then_the_pod_network_comes_then_its_node_is_ready() {
    let desired = ControlPlane {
        pod_network: Some("calico".to_owned()),
        ..alone("a")
    };
    assert_steps(
        &steps(&nothing(), &desired),
        &["init a z1", "access", "pod network calico", "await node a"],
    );
}

/// Rules: balancer-from-the-start, join-one-at-a-time
#[test]
fn three_masters_with_the_balancer_from_the_start_never_hand_the_address_over() {
    assert_steps(
        &steps(&with_balancer(nothing()), &desired("abc")),
        &[
            "hand over nobody -> balancer",
            "init a z1",
            "register a",
            "access",
            "await node a",
            "join b z2",
            "register b",
            "join c z3",
            "register c",
        ],
    );
}

/// Rules: grow-through-two, join-one-at-a-time, handover-to-balancer, joiner-after-readyz
#[test]
fn one_grows_to_three_one_join_at_a_time_without_lingering_at_two_then_the_address_goes_to_the_balancer() {
    let world = with_balancer(running_alone("a"));
    assert_steps(
        &steps(&world, &desired("abc")),
        &[
            "register a",
            "join b z2",
            "register b",
            "join c z3",
            "register c",
            "hand over a -> balancer",
        ],
    );
}

/// Rules: snapshot-before-change
#[test]
fn etcd_is_backed_up_once_before_the_control_plane_changes() {
    let desired = ControlPlane {
        backup: Some("s3://backups".to_owned()),
        ..desired("abc")
    };
    assert_steps(
        &steps(&running("a"), &desired),
        &["back up", "join b z2", "register b", "join c z3", "register c"],
    );
}

/// Rules: spread-masters
#[test]
fn three_grow_to_five_into_the_emptiest_zones_first() {
    assert_steps(
        &steps(&running("abc"), &desired("abcde")),
        &["join d z1", "register d", "join e z2", "register e"],
    );
    let mut uneven = desired("abcde");
    uneven.replicas.get_mut("d").unwrap().zone = "z1".to_owned();
    uneven.replicas.remove("c");
    let world = running("ab");
    assert_steps(
        &steps(&world, &uneven),
        &["join d z1", "register d", "join e z2", "register e"],
    );
}

/// Rules: several-without-balancer
#[test]
fn several_masters_without_a_balancer_are_legal_and_warned_of() {
    let world = running_alone("a");
    let preview = preview(&world, &Operation::ControlPlane(alone("abc")));
    assert_steps(
        &preview.steps.iter().map(short).collect::<Vec<_>>(),
        &["join b z2", "join c z3"],
    );
    assert!(preview.warnings.contains(&Warning::NoBalancer));
}

/// Rules: no-change-no-step
#[test]
fn a_control_plane_as_desired_needs_nothing() {
    assert_steps(&steps(&running("abc"), &desired("abc")), &[]);
    assert_steps(&steps(&running_alone("a"), &alone("a")), &[]);
}
