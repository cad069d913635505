//! Objects that are replaced although their configuration stays: `terraform taint`, which holds until the object is gone, and
//! `-replace`, which the next run need not repeat.  Terraform destroys the object and creates one of the same name.

use serde_json::Value;

use crate::{
    CLUSTER, CONTROL_PLANE, DISK, NODE_GROUP, ZONES, cluster, control_plane, disk, node_group, of_a_cluster,
    of_a_control_plane, of_a_disk, of_a_node_group, operation,
    world::{Rerun, Snapshot, interrupt_and_rerun},
};

/// Interrupts both kinds of replacement at every point; returns how many points that were.
async fn replaced(
    before: &Snapshot,
    [taint, replace]: [&'static str; 2],
    type_name: &'static str,
    config: Value,
) -> usize {
    let before = before.replacing(type_name);
    let tainted = operation(taint, type_name, Some(config.clone()));
    let covered = interrupt_and_rerun(&before, &tainted, Rerun::Same).await;
    let asked = operation(replace, type_name, Some(config));
    covered + interrupt_and_rerun(&before, &asked, Rerun::WithoutReplace).await
}

#[tokio::test]
async fn of_a_cluster_that_stays_configured_as_it_is() {
    let names = [
        "replace a tainted cluster",
        "replace a cluster by -replace and apply without it",
    ];
    let before = of_a_cluster().await;
    assert!(replaced(&before, names, CLUSTER, cluster(&ZONES)).await > 120);
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
    assert!(replaced(&before, names, NODE_GROUP, node_group(1)).await > 30);
}

#[tokio::test]
async fn of_a_disk_that_stays_configured_as_it_is() {
    let names = [
        "replace a tainted disk",
        "replace a disk by -replace and apply without it",
    ];
    let before = of_a_disk().await;
    assert!(replaced(&before, names, DISK, disk()).await > 16);
}
