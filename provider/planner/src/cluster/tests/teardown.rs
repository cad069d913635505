//! The whole control plane goes.

use super::*;

/// Rules: teardown-extra-replicas-first, teardown-own-mode, etcd-last-member
#[test]
fn extra_masters_go_first_and_in_order_the_last_one_as_it_is() {
    let world = running_alone("abc");
    assert_steps(
        &steps(&world, &alone("")),
        &[
            "stop api c",
            "remove member c",
            "stop c",
            "delete c",
            "forget c",
            "release disk c",
            "stop api b",
            "remove member b",
            "stop b",
            "delete b",
            "forget b",
            "release disk b",
            "stop a",
            "delete a",
            "release disk a",
        ]
        .into_iter()
        .flat_map(|step| match step {
            // Pods are not waited for, so their Nodes are given up.
            "forget c" => vec!["out of service c", "forget c"],
            "forget b" => vec!["out of service b", "forget b"],
            step => vec![step],
        })
        .collect::<Vec<_>>(),
    );
}

/// Rules: teardown-own-mode, removal-order
#[test]
fn behind_a_balancer_each_extra_master_leaves_it_first_and_the_balancer_keeps_the_address() {
    let found = steps(&running("ab"), &desired(""));
    assert_steps(
        &found,
        &[
            "deregister b",
            "stop api b",
            "remove member b",
            "stop b",
            "delete b",
            "out of service b",
            "forget b",
            "release disk b",
            "stop a",
            "delete a",
            "deregister a",
            "release disk a",
        ],
    );
}

/// Rules: teardown-without-quorum
#[test]
fn without_quorum_a_teardown_deletes_the_machines_as_they_are() {
    let world = kill(kill(running_alone("abc"), "b"), "c");
    let found = steps(&world, &alone(""));
    assert_steps(
        &found,
        &[
            "stop a",
            "delete a",
            "release disk a",
            "release disk b",
            "release disk c",
        ],
    );
}

/// Rules: teardown-without-quorum, zone-lost-and-back
#[test]
fn a_teardown_deletes_what_it_can_reach_and_names_the_zone_that_is_out() {
    let world = lose(lose(running_alone("abc"), "z2"), "z3");
    let found = steps(&world, &alone(""));
    assert_steps(&found[..2], &["stop a", "delete a"]);
    assert!(found[2].starts_with("BLOCKED: zone z"), "{}", found[2]);
    assert!(
        found[2].ends_with("Destroy again when the zone is back"),
        "{}",
        found[2]
    );
}

/// Rules: teardown-without-quorum, zone-lost-and-back
#[test]
fn a_teardown_leaves_a_target_in_a_zone_that_is_out_to_the_balancer() {
    let found = steps(&lose(running("abc"), "z3"), &desired(""));
    let of_the_lost = |step: &&String| step.ends_with(" c");
    assert_eq!(found.iter().find(of_the_lost), None, "{found:?}");
    for reached in ["delete a", "delete b"] {
        assert!(found.contains(&reached.to_owned()), "{found:?}");
    }
    let end = found.last().unwrap();
    assert!(
        end.starts_with("BLOCKED: zone z3 is out") && end.contains("m-c"),
        "{end}"
    );
}

/// Rules: teardown-of-nothing
#[test]
fn a_control_plane_that_is_gone_is_done() {
    assert_steps(&steps(&nothing(), &alone("")), &[]);
}

/// Rules: snapshot-before-change
#[test]
fn a_teardown_saves_etcd_first_where_a_place_is_given() {
    let mut desired = alone("");
    desired.backup = Some("s3://backups".to_owned());
    assert_eq!(steps(&running_alone("a"), &desired)[0], "back up");
}

/// Rules: teardown-extra-replicas-first, address-leads-to-a-server
#[test]
fn the_master_behind_the_balancer_goes_last() {
    let mut world = running("abc");
    world.balancer.as_mut().unwrap().targets.retain(|name, _| name == "m-c");
    let found = steps(&settled(world), &desired(""));
    let deleted: Vec<&String> = found.iter().filter(|step| step.starts_with("delete ")).collect();
    assert_eq!(deleted, ["delete b", "delete a", "delete c"]);
    assert!(
        !found[..found.len() - 4].contains(&"deregister c".to_owned()),
        "{found:?}"
    );
}
