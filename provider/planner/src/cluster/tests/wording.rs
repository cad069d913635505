//! The wording, for an operator at 3 a.m.

use std::time::Duration;

use super::*;
use crate::lines;

pub(super) fn timing() -> Timing {
    Timing {
        machines: crate::Timing {
            create_machine: Duration::from_mins(1),
            join: Duration::from_mins(2),
            delete_machine: Duration::from_secs(30),
            drain: Duration::from_secs(30),
        },
        register: Duration::from_secs(30),
        deregister: Duration::from_secs(30),
        handover: Duration::from_secs(15),
        backup: Duration::from_secs(10),
    }
}

pub(super) fn shown(world: &World, operation: &Operation) -> String {
    let preview = preview(world, operation);
    let mut shown = lines(&preview.describe(world, operation, &timing()));
    shown.extend(preview.warnings.iter().map(|warning| format!("Warning: {warning}")));
    match preview.end {
        Next::Done => {}
        Next::Blocked(blocked) => shown.push(format!("Then: {blocked}")),
        Next::Refused(violation) => shown.push(format!("Refused: {violation}")),
        Next::Step(_) => unreachable!(),
    }
    shown.join("\n")
}

fn backed_up(mut desired: ControlPlane) -> Operation {
    desired.backup = Some("s3://backups/demo".to_owned());
    Operation::ControlPlane(desired)
}

/// Rules: preview-in-words, grow-through-two
#[test]
fn growing_from_one_to_three() {
    insta::assert_snapshot!(shown(&with_balancer(running_alone("a")), &backed_up(desired("abc"))));
}

/// Rules: preview-in-words
#[test]
fn shrinking_from_three_to_one_without_the_balancer() {
    insta::assert_snapshot!(shown(&running("abc"), &backed_up(alone("a"))));
}

/// Rules: preview-in-words
#[test]
fn a_version_change() {
    let mut to = desired("ab");
    to.version = Version::new(1, 35, 0);
    insta::assert_snapshot!(shown(&running("ab"), &backed_up(to)));
}

/// Rules: preview-in-words
#[test]
fn a_dead_master_in_a_cluster_with_a_lost_zone() {
    let world = lose(kill(running("abcde"), "a"), "z2");
    insta::assert_snapshot!(shown(&world, &backed_up(desired("abcde"))));
}

/// Rules: preview-in-words
#[test]
fn the_balancer_is_destroyed() {
    insta::assert_snapshot!(shown(&running("abc"), &Operation::RemoveBalancer(balancer_over(&[]))));
}

/// Rules: preview-in-words
#[test]
fn a_zone_leaves() {
    let mut world = running("abc");
    world.cloud.zonal_subnets = true;
    world.zones.values_mut().for_each(|zone| zone.subnet = true);
    world.zones.get_mut("z3").unwrap().leaving = true;
    insta::assert_snapshot!(shown(&world, &backed_up(desired("ab"))));
}

/// Rules: preview-in-words
#[test]
fn a_teardown() {
    insta::assert_snapshot!(shown(&running_alone("ab"), &backed_up(alone(""))));
}

/// Rules: preview-in-words, warn-even-count
#[test]
fn an_even_count() {
    insta::assert_snapshot!(shown(&running("abc"), &backed_up(desired("abcd"))));
}

/// Rules: preview-in-words, warn-three-in-two-zones
#[test]
fn three_masters_in_two_zones() {
    let mut two_zones = desired("abc");
    two_zones.replicas.get_mut("c").unwrap().zone = "z2".to_owned();
    insta::assert_snapshot!(shown(&running("a"), &backed_up(two_zones)));
}

/// Rules: preview-in-words, warn-single-zone-loss
#[test]
fn five_masters_of_which_one_zones_loss_stops_writes() {
    let mut crowded = desired("abcde");
    crowded.replicas.get_mut("b").unwrap().zone = "z1".to_owned();
    insta::assert_snapshot!(shown(
        &nothing(),
        &backed_up(ControlPlane {
            balancer: None,
            ..crowded
        })
    ));
}

/// Rules: preview-in-words, etcd-quorum-to-remove, etcd-two-to-one
#[test]
fn two_to_one_below_quorum() {
    insta::assert_snapshot!(shown(&lose(running("ab"), "z2"), &backed_up(desired("a"))));
}

/// Rules: preview-in-words, no-quorum-way-out
#[test]
fn no_quorum_with_the_way_out() {
    insta::assert_snapshot!(shown(&kill(kill(running("abc"), "b"), "c"), &backed_up(desired("abc"))));
}

/// Rules: preview-in-words, no-quorum-way-out, halted-master-restarts
#[test]
fn no_quorum_and_halted_masters() {
    insta::assert_snapshot!(shown(&halt(halt(running("abc"), "b"), "c"), &backed_up(desired("abc"))));
}

/// Rules: preview-in-words, no-downgrade
#[test]
fn a_downgrade() {
    let mut to = desired("abc");
    to.version = Version::new(1, 33, 9);
    insta::assert_snapshot!(shown(&running("abc"), &backed_up(to)));
}

/// Rules: preview-in-words, one-minor-at-a-time
#[test]
fn two_minors_at_once() {
    let mut to = desired("abc");
    to.version = Version::new(1, 36, 0);
    insta::assert_snapshot!(shown(&running("abc"), &backed_up(to)));
}

/// Rules: preview-in-words, dns-endpoint-no-handover
#[test]
fn a_dns_name_mentions_no_address() {
    let cloud = Cloud {
        endpoint: Endpoint::DnsName,
        zonal_subnets: true,
    };
    let world = reached(with_balancer(World::empty(cloud, &["z1", "z2", "z3"])), &desired("a"));
    let shown = shown(&world, &backed_up(desired("abc")));
    assert!(
        !shown.contains("203.0.113.10") && !shown.contains("hand over"),
        "{shown}"
    );
    insta::assert_snapshot!(shown);
}

/// Rules: preview-in-words, replace-dead-remove-first
#[test]
fn a_dead_master() {
    insta::assert_snapshot!(shown(&kill(running("abc"), "c"), &backed_up(desired("abc"))));
}

/// Rules: preview-in-words
#[test]
fn every_step_names_its_gate() {
    let world = with_balancer(running_alone("a"));
    let operation = backed_up(desired("abc"));
    let preview = preview(&world, &operation);
    assert!(
        preview
            .describe(&world, &operation, &timing())
            .iter()
            .all(|step| !step.gate.is_empty())
    );
}
