//! Objects that are replaced although their configuration stays: `terraform taint`, which holds until Terraform has saved that
//! the object is gone, and `-replace`, which the next run need not repeat.  Terraform destroys the object and creates one of
//! the same name.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::{
    CLUSTER, CONTROL_PLANE, DISK, NODE_GROUP, ZONES, cluster, control_plane, disk,
    faults::{Call, Faults, Moment, Place, Point, SAVE, moments},
    node_group, of_a_cluster, of_a_control_plane, of_a_disk, of_a_node_group, operation,
    world::{Operation, Snapshot, report},
};

/// More interruptions than any replacement has.
const ENOUGH: usize = 400;
/// How a tainted object's replacement is interrupted: in each of these ways from its beginning to its end.
const WAYS: [&[Moment]; 3] = [
    &[Moment::KilledBefore, Moment::KilledAfter],
    &[Moment::ReplyLost],
    &[Moment::SandboxRestarted],
];

/// Replaces an object, interrupted in every way; returns how many points that were.
async fn replaced(
    before: &Snapshot,
    [taint, replace]: [&'static str; 2],
    type_name: &'static str,
    config: Value,
) -> usize {
    let asked = operation(replace, type_name, Some(config.clone()));
    let (all, calls, expected) = tainted(before, &operation(taint, type_name, Some(config)), &WAYS).await;
    all + without_replace(&before.replacing(type_name), &asked, &calls, &expected).await
}

/// Replaces an object that somebody has tainted, interrupted in these ways; returns how many points that were, the calls
/// of a run that is not interrupted, and what there is after it.
pub(crate) async fn tainted(
    before: &Snapshot,
    operation: &Operation,
    ways: &[&[Moment]],
) -> (usize, Vec<Call>, String) {
    let before = before.replacing(operation.type_name);
    let mut world = before.thaw();
    let faults = Faults::at(None);
    let done = world.run(operation, &faults).await;
    assert!(matches!(done, Some(Ok(()))), "{}: {done:?}", operation.name);
    let expected = world.converge(operation).await;
    drop(world);
    let mut all = 0;
    for moments in ways {
        all += one_after_the_other(&before, operation, moments, &expected).await;
    }
    report(operation.name, all);
    (all, faults.calls(), expected)
}

/// Interrupts each apply once, later than the one before, until none is left to be interrupted: the object that is tainted
/// is destroyed and created in so many runs.
async fn one_after_the_other(before: &Snapshot, operation: &Operation, moments: &[Moment], expected: &str) -> usize {
    let name = operation.name;
    let mut world = before.thaw();
    let mut covered: BTreeSet<Place> = BTreeSet::new();
    loop {
        let faults = Faults::at_another(moments, &covered);
        let ended = world.run(operation, &faults).await;
        if faults.struck().is_empty() {
            assert!(matches!(ended, Some(Ok(()))), "{name}, {moments:?}: {ended:?}");
            break;
        }
        covered.extend(faults.struck());
        assert!(covered.len() < ENOUGH, "{name}: no end of {covered:#?}");
    }
    let found = world.try_to_converge(operation).await;
    let found = found.unwrap_or_else(|trouble| panic!("{name}, after {covered:#?}: {trouble}"));
    assert_eq!(found, expected, "{name}, after {covered:#?}");
    covered.len()
}

/// Kills the provider after each call that changes something while the object is destroyed, and applies without -replace:
/// what is left of the object is made whole, or made anew.  What a kill before a call leaves is what the call before it did.
async fn without_replace(before: &Snapshot, operation: &Operation, calls: &[Call], expected: &str) -> usize {
    let name = operation.name;
    let ending = calls.iter().take_while(|(call, _)| call != SAVE);
    let changes = ending.filter(|(call, _)| moments(call).contains(&Moment::KilledAfter) && !call.contains("/leases/"));
    let mut covered = 0;
    for call in changes {
        let point = Point {
            call: call.clone(),
            moment: Moment::KilledAfter,
        };
        let mut world = before.thaw();
        let ended = world.run(operation, &Faults::at(Some(point.clone()))).await;
        assert!(ended.is_none(), "{name}: killed at {point}: {ended:?}");
        world.taint(operation.type_name, false);
        let found = world.try_to_converge(operation).await;
        let found = found.unwrap_or_else(|trouble| panic!("{name}, {point}: {trouble}"));
        assert_eq!(found, expected, "{name}, {point}");
        covered += 1;
    }
    report(name, covered);
    covered
}

#[tokio::test]
async fn of_a_cluster_that_stays_configured_as_it_is() {
    let names = [
        "replace a tainted cluster",
        "replace a cluster by -replace and apply without it",
    ];
    let before = of_a_cluster().await;
    assert!(replaced(&before, names, CLUSTER, cluster(&ZONES)).await > 60);
}

#[tokio::test]
async fn of_a_control_plane_that_stays_configured_as_it_is() {
    let names = [
        "replace a tainted control plane",
        "replace a control plane by -replace and apply without it",
    ];
    let before = of_a_control_plane().await;
    assert!(replaced(&before, names, CONTROL_PLANE, control_plane()).await > 40);
}

#[tokio::test]
async fn of_a_node_group_that_stays_configured_as_it_is() {
    let names = [
        "replace a tainted node group",
        "replace a node group by -replace and apply without it",
    ];
    let before = of_a_node_group(1).await;
    assert!(replaced(&before, names, NODE_GROUP, node_group(1)).await > 20);
}

#[tokio::test]
async fn of_a_disk_that_stays_configured_as_it_is() {
    let names = [
        "replace a tainted disk",
        "replace a disk by -replace and apply without it",
    ];
    let before = of_a_disk().await;
    assert!(replaced(&before, names, DISK, disk()).await > 8);
}
