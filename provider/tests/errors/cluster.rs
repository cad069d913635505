//! Errors of clusters.

use multizone_cloud::Labels;
use serde_json::{Value, json};

use crate::{
    memory_cloud::{Fault, machine},
    read,
    run::{Run, check},
};

pub(crate) const CLUSTER: &str = "multizone_cluster";

pub(crate) fn cluster() -> Value {
    json!({ "name": "demo", "zones": { "us-central1-a": { "subnet_cidr": null } } })
}

fn with(name: &str, value: impl Into<Value>) -> Value {
    let mut config = cluster();
    config[name] = value.into();
    config
}

#[test]
fn configurations_that_are_refused() {
    read!("name_with_capitals", check(CLUSTER, &with("name", "Demo_1")));
    read!("name_too_long", check(CLUSTER, &with("name", "d".repeat(33))));
    read!("name_starts_wrong", check(CLUSTER, &with("name", "-demo")));
    read!("name_ends_wrong", check(CLUSTER, &with("name", "demo-")));
    read!("name_empty", check(CLUSTER, &with("name", "")));
    read!("no_zones", check(CLUSTER, &with("zones", json!({}))));
    read!("range_without_prefix", check(CLUSTER, &with("pod_cidr", "10.244.0.0")));
    read!(
        "range_within_another",
        check(CLUSTER, &with("pod_cidr", "10.244.1.0/16"))
    );
    read!("range_malformed", check(CLUSTER, &with("pod_cidr", "10.244.0.300/16")));
    read!("range_too_large", check(CLUSTER, &with("pod_cidr", "10.0.0.0/7")));
    read!("range_too_small", check(CLUSTER, &with("service_cidr", "10.0.0.0/30")));
    read!("ranges_overlap", check(CLUSTER, &with("service_cidr", "10.244.0.0/20")));
    read!(
        "range_overlaps_a_default",
        check(CLUSTER, &with("network_cidr", "10.244.128.0/20"))
    );
    read!(
        "timeout_malformed",
        check(
            CLUSTER,
            &with("timeouts", json!({ "create": "5", "update": null, "delete": null }))
        )
    );
}

#[tokio::test]
async fn an_existing_cluster() {
    let mut run = Run::with(&[(CLUSTER, &cluster())]).await;
    run.state.clear();
    read!("exists", run.apply(CLUSTER, Some(&cluster())).await);
}

#[tokio::test]
async fn a_create_that_fails() {
    let mut run = Run::new();
    run.cloud.fail(1, Fault::Before);
    read!("create_lost", run.apply(CLUSTER, Some(&cluster())).await);
}

#[tokio::test]
async fn what_a_destroy_finds() {
    let mut run = Run::with(&[(CLUSTER, &cluster())]).await;
    run.cloud.tamper(|inventory| {
        inventory
            .machines
            .push(machine("us-central1-a", "demo-pool-x", Labels::new()))
    });
    read!("destroy_occupied", run.apply(CLUSTER, None).await);
}
