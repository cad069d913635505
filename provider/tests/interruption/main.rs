//! Every operation interrupted at every point: the provider killed before and after each call to the cloud and to the
//! Kubernetes API, a call's reply lost, the sandbox killed and started again, Terraform killed before it saves its state.
//!
//! Each time the next apply must converge: the same objects as after an uninterrupted run, no duplicate, no orphan,
//! nothing of others touched, and an empty plan.  The region runs in this process; it is copied for every interruption.

#![allow(clippy::unwrap_used, missing_docs)]

mod abandoned;
mod aws;
mod chance;
mod cloud;
mod configurations;
mod faults;
mod masters;
mod region;
mod replacement;
mod terraform;
mod world;

use serde_json::{Value, json};

use abandoned::{abandon_everywhere, another_configuration_is_refused};
use chance::ZONES;
use world::{Operation, Snapshot, interrupt_everywhere};

const CLUSTER: &str = "multizone_cluster";
const CONTROL_PLANE: &str = "multizone_control_plane";
const NODE_GROUP: &str = "multizone_node_group";
const DISK: &str = "multizone_disk";

fn cluster(zones: &[&str]) -> Value {
    let zones: serde_json::Map<String, Value> = zones
        .iter()
        .map(|zone| {
            (
                (*zone).to_owned(),
                json!({ "subnet_cidr": null, "existing_subnet": null }),
            )
        })
        .collect();
    json!({ "name": "demo", "zones": zones })
}

fn control_plane() -> Value {
    json!({
        "cluster": "demo",
        "kubernetes_version": "1.34.1",
        "machine_type": "n1-standard-2",
        "replicas": { "a": { "zone": "us-central1-a" } },
        "pod_network_manifest": include_str!("../../../examples/multi-zone/pod-network.yaml"),
    })
}

fn node_group(size: i64) -> Value {
    json!({
        "control_plane": "us-central1/demo",
        "kubernetes_version": "1.34.1",
        "name": "pool",
        "zone": "us-central1-a",
        "size": size,
        "machine_type": "n1-standard-2",
        "labels": { "team": "web" },
    })
}

fn disk() -> Value {
    json!({ "cluster": "demo", "name": "data", "zone": "us-central1-a", "size_gb": 5 })
}

fn with(mut config: Value, name: &str, value: Value) -> Value {
    config[name] = value;
    config
}

/// A cluster that spans every zone of the region.
async fn of_a_cluster() -> Snapshot {
    let empty = Snapshot::of_an_empty_region().await;
    empty.with(CLUSTER, &cluster(&ZONES)).await
}

async fn of_a_control_plane() -> Snapshot {
    of_a_cluster().await.with(CONTROL_PLANE, &control_plane()).await
}

async fn of_a_node_group(size: i64) -> Snapshot {
    of_a_control_plane().await.with(NODE_GROUP, &node_group(size)).await
}

async fn of_a_disk() -> Snapshot {
    of_a_cluster().await.with(DISK, &disk()).await
}

fn operation(name: &'static str, type_name: &'static str, config: Option<Value>) -> Operation {
    Operation {
        name,
        type_name,
        config,
    }
}

#[tokio::test]
async fn creating_a_cluster() {
    let before = Snapshot::of_an_empty_region().await;
    let create = operation("create a cluster", CLUSTER, Some(cluster(&["us-central1-a"])));
    assert!(interrupt_everywhere(&before, &create).await > 30);
}

#[tokio::test]
async fn updating_a_cluster() {
    let empty = Snapshot::of_an_empty_region().await;
    let before = empty.with(CLUSTER, &cluster(&["us-central1-a"])).await;
    let zones = cluster(&["us-central1-a", "us-central1-b"]);
    let update = operation("add a zone to a cluster", CLUSTER, Some(zones));
    assert!(interrupt_everywhere(&before, &update).await > 10);
}

#[tokio::test]
async fn replacing_a_cluster() {
    let before = of_a_cluster().await;
    let other = with(cluster(&["us-central1-a"]), "pod_cidr", json!("10.245.0.0/16"));
    let replace = operation("replace a cluster", CLUSTER, Some(other));
    assert!(interrupt_everywhere(&before, &replace).await > 60);
}

#[tokio::test]
async fn deleting_a_cluster() {
    let before = of_a_cluster().await;
    let delete = operation("delete a cluster", CLUSTER, None);
    assert!(interrupt_everywhere(&before, &delete).await > 30);
}

#[tokio::test]
async fn creating_a_control_plane() {
    let before = of_a_cluster().await;
    let create = operation("create a control plane", CONTROL_PLANE, Some(control_plane()));
    assert!(interrupt_everywhere(&before, &create).await > 10);
}

#[tokio::test]
async fn updating_a_control_plane() {
    let before = of_a_control_plane().await;
    let labelled = with(control_plane(), "legacy_zone_labels", json!(true));
    let manifest = format!("{}\n", control_plane()["pod_network_manifest"].as_str().unwrap());
    let update = operation(
        "update a control plane",
        CONTROL_PLANE,
        Some(with(labelled, "pod_network_manifest", json!(manifest))),
    );
    assert!(interrupt_everywhere(&before, &update).await > 4);
}

#[tokio::test]
async fn deleting_a_control_plane() {
    let before = of_a_control_plane().await;
    let delete = operation("delete a control plane", CONTROL_PLANE, None);
    assert!(interrupt_everywhere(&before, &delete).await > 4);
}

#[tokio::test]
async fn creating_a_node_group() {
    let before = of_a_control_plane().await;
    let create = operation("create a node group", NODE_GROUP, Some(node_group(2)));
    assert!(interrupt_everywhere(&before, &create).await > 10);
}

#[tokio::test]
async fn changing_the_nodes_of_a_node_group_in_place() {
    let before = of_a_node_group(1).await;
    let update = operation(
        "relabel a node group",
        NODE_GROUP,
        Some(with(node_group(1), "labels", json!({ "team": "data" }))),
    );
    assert!(interrupt_everywhere(&before, &update).await > 2);
}

#[tokio::test]
async fn shrinking_a_node_group() {
    let before = of_a_node_group(2).await;
    let update = operation("shrink a node group", NODE_GROUP, Some(node_group(1)));
    assert!(interrupt_everywhere(&before, &update).await > 8);
}

#[tokio::test]
async fn rolling_a_node_group() {
    let before = of_a_node_group(1).await;
    let update = operation(
        "roll a node group",
        NODE_GROUP,
        Some(with(node_group(1), "machine_type", json!("n1-standard-4"))),
    );
    assert!(interrupt_everywhere(&before, &update).await > 15);
}

#[tokio::test]
async fn replacing_a_node_group() {
    let before = of_a_node_group(1).await;
    let replace = operation(
        "replace a node group",
        NODE_GROUP,
        Some(with(node_group(1), "zone", json!("us-central1-b"))),
    );
    assert!(interrupt_everywhere(&before, &replace).await > 15);
}

#[tokio::test]
async fn deleting_a_node_group() {
    let before = of_a_node_group(1).await;
    let delete = operation("delete a node group", NODE_GROUP, None);
    assert!(interrupt_everywhere(&before, &delete).await > 8);
}

#[tokio::test]
async fn creating_a_disk() {
    let before = of_a_cluster().await;
    let create = operation("create a disk", DISK, Some(disk()));
    assert!(interrupt_everywhere(&before, &create).await > 4);
}

#[tokio::test]
async fn changing_a_disk_in_place() {
    let before = of_a_disk().await;
    let larger = with(disk(), "size_gb", json!(9));
    let update = operation(
        "grow and relabel a disk",
        DISK,
        Some(with(larger, "labels", json!({ "team": "web" }))),
    );
    assert!(interrupt_everywhere(&before, &update).await > 8);
}

#[tokio::test]
async fn moving_a_disk() {
    let before = of_a_disk().await;
    let update = operation("move a disk", DISK, Some(with(disk(), "zone", json!("us-central1-b"))));
    assert!(interrupt_everywhere(&before, &update).await > 16);
}

#[tokio::test]
async fn replacing_a_disk() {
    let before = of_a_disk().await;
    let replace = operation("replace a disk", DISK, Some(with(disk(), "name", json!("other"))));
    assert!(interrupt_everywhere(&before, &replace).await > 8);
}

#[tokio::test]
async fn deleting_a_disk() {
    let before = of_a_disk().await;
    let delete = operation("delete a disk", DISK, None);
    assert!(interrupt_everywhere(&before, &delete).await > 4);
}

#[tokio::test]
async fn abandoning_a_control_plane() {
    let before = of_a_cluster().await;
    let create = operation("create a control plane", CONTROL_PLANE, Some(control_plane()));
    let deletes = [operation("delete the cluster", CLUSTER, None)];
    assert!(abandon_everywhere(&before, &create, &deletes).await > 3);
}

#[tokio::test]
async fn abandoning_a_node_group() {
    let before = of_a_control_plane().await;
    let create = operation("create a node group", NODE_GROUP, Some(node_group(2)));
    let deletes = [
        operation("delete the control plane", CONTROL_PLANE, None),
        operation("delete the cluster", CLUSTER, None),
    ];
    assert!(abandon_everywhere(&before, &create, &deletes).await > 3);
}

#[tokio::test]
async fn what_another_configuration_has_finished_is_not_adopted() {
    let empty = Snapshot::of_an_empty_region().await;
    let zones = &["us-central1-a"];
    let create = |type_name, config| operation("create it", type_name, Some(config));
    let other = |type_name, config| operation("create another", type_name, Some(config));
    another_configuration_is_refused(
        &empty,
        &create(CLUSTER, cluster(zones)),
        &other(CLUSTER, with(cluster(zones), "pod_cidr", json!("10.245.0.0/16"))),
    )
    .await;
    let with_cluster = empty.with(CLUSTER, &cluster(zones)).await;
    another_configuration_is_refused(
        &with_cluster,
        &create(DISK, disk()),
        &other(DISK, with(disk(), "size_gb", json!(9))),
    )
    .await;
    another_configuration_is_refused(
        &with_cluster,
        &create(CONTROL_PLANE, control_plane()),
        &other(CONTROL_PLANE, with(control_plane(), "legacy_zone_labels", json!(true))),
    )
    .await;
    let with_control_plane = with_cluster.with(CONTROL_PLANE, &control_plane()).await;
    another_configuration_is_refused(
        &with_control_plane,
        &create(NODE_GROUP, node_group(1)),
        &other(NODE_GROUP, with(node_group(1), "machine_type", json!("n1-standard-4"))),
    )
    .await;
}
