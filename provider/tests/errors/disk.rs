//! Errors of disks.

use multizone_cloud::{CloudError, ClusterName};
use multizone_schema::{Diagnostic, Diagnostics, Severity};
use serde_json::{Value, json};

use crate::{
    cluster::{CLUSTER, cluster},
    memory_cloud::Fault,
    read,
    run::{Run, check},
};

const DISK: &str = "multizone_disk";

fn disk() -> Value {
    json!({ "cluster": "demo", "name": "data", "zone": "us-central1-a", "size_gb": 20 })
}

fn with(name: &str, value: impl Into<Value>) -> Value {
    let mut config = disk();
    config[name] = value.into();
    config
}

fn spanning() -> Value {
    let mut spanning = cluster();
    spanning["zones"] = json!({ "us-central1-a": { "subnet_cidr": null, "existing_subnet": null }, "us-central1-b": { "subnet_cidr": null, "existing_subnet": null } });
    spanning
}

async fn existing() -> Run {
    Run::with(&[(CLUSTER, &spanning()), (DISK, &disk())]).await
}

fn errors(said: Diagnostics) -> Diagnostics {
    let is_error = |said: &Diagnostic| said.severity == Severity::Error;
    said.into_iter().filter(is_error).collect()
}

#[test]
fn configurations_that_are_refused() {
    let refused = |name: &str, value: Value| check(DISK, &with(name, value));
    read!("name_too_long", {
        let mut config = with("name", "d".repeat(31));
        config["cluster"] = "c".repeat(32).into();
        check(DISK, &config)
    });
    read!("name_with_dots", refused("name", "a.b".into()));
    read!("size_of_nothing", refused("size_gb", json!(0)));
    read!("size_of_a_fraction", refused("size_gb", json!(1.5)));
    read!("size_of_much", refused("size_gb", json!(70_000)));
    read!("unknown_filesystem", refused("filesystem", "fat".into()));
    read!("unknown_kind", refused("disk_type", "floppy".into()));
    read!("malformed_storage_class", refused("storage_class", "Fast_1".into()));
    let labels = json!({ "multizone-cluster": "x", "Team": "x", "team": "Web" });
    read!("labels", refused("labels", labels));
}

#[tokio::test]
async fn plans_that_are_refused() {
    let mut run = existing().await;
    read!("shrinks", run.plan(DISK, Some(&with("size_gb", 10))).await);
    read!("kind_of_another_cloud", {
        let mut new = Run::with(&[(CLUSTER, &spanning())]).await;
        new.plan(DISK, Some(&with("disk_type", "gp3"))).await
    });
    read!(
        "iops_that_nobody_chooses",
        run.plan(DISK, Some(&with("iops", 4000))).await
    );
    read!("another_kind", run.plan(DISK, Some(&with("disk_type", "pd-ssd"))).await);
    read!("zone_of_nowhere", run.plan(DISK, Some(&with("zone", "mars-1"))).await);
    run.cloud.hide(Some(CloudError::Timeout {
        object: "the zones".to_owned(),
        seconds: 10,
        waiting_for: "the cloud's answer".to_owned(),
    }));
    let mut unasked = Run::new();
    unasked.cloud.hide(Some(CloudError::Forbidden {
        object: "the zones".to_owned(),
        reason: "compute.zones.list".to_owned(),
    }));
    read!("zones_that_nobody_tells", unasked.plan(DISK, Some(&disk())).await);
    let mut run = Run::with(&[(CLUSTER, &spanning()), (DISK, &with("deletion_protection", true))]).await;
    read!("protected", run.plan(DISK, None).await);
}

#[tokio::test]
async fn zones_that_the_cluster_does_not_span() {
    let elsewhere = with("zone", "us-central1-b");
    let mut run = Run::with(&[(CLUSTER, &cluster())]).await;
    run.provider
        .plan_zones(&ClusterName::new("demo"), ["us-central1-a".to_owned()].into());
    read!("zone_not_spanned_at_plan", run.plan(DISK, Some(&elsewhere)).await);
    let mut run = Run::with(&[(CLUSTER, &spanning())]).await;
    run.apply(CLUSTER, Some(&cluster())).await;
    // Another process, in which the cluster is not planned.
    run.provider = multizone_provider::configuration::Configured::new(
        run.cloud.clone(),
        multizone_provider::configuration::Destroy::default(),
    );
    read!("zone_not_spanned", run.apply(DISK, Some(&elsewhere)).await);
    read!("no_cluster", Run::new().apply(DISK, Some(&disk())).await);
}

#[tokio::test]
async fn creates_that_fail() {
    let mut run = existing().await;
    run.state.remove(DISK);
    read!("exists", run.apply(DISK, Some(&disk())).await);
    let mut run = Run::with(&[(CLUSTER, &spanning())]).await;
    run.cloud.fail(0, Fault::After);
    read!("create_lost", run.apply(DISK, Some(&disk())).await);
}

#[tokio::test]
async fn changes_that_fail() {
    let moved = with("zone", "us-central1-b");
    let mut run = existing().await;
    run.cloud.fail(0, Fault::Before);
    read!("grow_lost", run.apply(DISK, Some(&with("size_gb", 30))).await);
    run.stop.request();
    read!("move_stopped", run.apply(DISK, Some(&moved)).await);
    let mut run = existing().await;
    run.cloud.tamper(|inventory| {
        let mut other = inventory.disks[0].clone();
        other.zone = "us-central1-b".to_owned();
        inventory.disks.push(other);
    });
    read!("move_to_where_one_is", run.apply(DISK, Some(&moved)).await);
    let mut run = existing().await;
    run.cloud
        .tamper(|inventory| inventory.disks[0].attached_to.push("demo-pool-x".into()));
    read!("moves_while_attached", run.apply(DISK, Some(&moved)).await);
    read!("destroyed_while_attached", run.apply(DISK, None).await);
    let mut run = existing().await;
    run.cloud.unlabel("demo-data");
    run.read(DISK).await;
    read!("destroyed_without_its_label", run.apply(DISK, None).await);
    let mut run = existing().await;
    run.cloud.tamper(|inventory| inventory.disks.clear());
    read!(
        "gone_before_the_update",
        run.apply(DISK, Some(&with("size_gb", 30))).await
    );
    read!("gone_before_the_move", run.apply(DISK, Some(&moved)).await);
}

#[tokio::test]
async fn a_disk_that_another_cluster_has_now() {
    let mut run = existing().await;
    run.cloud.give("demo-data", "other");
    let before = run.cloud.all();
    let said = run.read(DISK).await;
    assert!(said.is_empty(), "{said}");
    read!("plan_of_anothers_disk", run.plan(DISK, Some(&disk())).await);
    read!("destroy_plan_of_anothers_disk", run.plan(DISK, None).await);
    read!("update_of_anothers_disk", errors(run.apply(DISK, Some(&disk())).await));
    // The move to another zone does not begin, either.
    let moved = errors(run.apply(DISK, Some(&with("zone", "us-central1-b"))).await);
    assert!(moved.to_string().contains("belongs to cluster other now"), "{moved}");
    read!("destroy_of_anothers_disk", errors(run.apply(DISK, None).await));
    assert_eq!(run.cloud.all(), before, "nothing was changed");
    assert!(run.state.contains_key(DISK));
}

#[tokio::test]
async fn reads_and_imports_that_fail() {
    let mut run = existing().await;
    read!("import_of_a_malformed_id", run.import(DISK, "us-central1/data").await);
    read!(
        "import_from_another_region",
        run.import(DISK, "europe-west1/demo/data").await
    );
    read!("import_of_nothing", run.import(DISK, "us-central1/demo/logs").await);
    run.cloud.hide(Some(CloudError::Forbidden {
        object: "the inventory of cluster demo".to_owned(),
        reason: "compute.disks.list".to_owned(),
    }));
    read!("read_of_nothing", run.read(DISK).await);
    read!("import_from_nowhere", run.import(DISK, "us-central1/demo/data").await);
}
