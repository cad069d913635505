//! Restarts, and several regions beside each other.
#![allow(clippy::unwrap_used)]

mod support;

use reqwest::Method;
use serde_json::json;
use support::{TestRegion, ZONE, machine};

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_loses_nothing_and_finishes_what_was_under_way() {
    // So slow that the operation is under way for hours.
    let region = TestRegion::start_in(tempfile::tempdir().unwrap(), 0.001).await;
    let path = format!("/compute/v1/projects/sandbox/zones/{ZONE}/instances");
    let (_, operation) = region.call(Method::POST, &path, Some(machine("m"))).await;
    assert_ne!(operation["status"], "DONE");
    let before = region.status().await;
    let directory = region.stop().await;

    let region = TestRegion::start_in(directory, 0.001).await;
    let after = region.status().await;
    for same in ["endpoint", "network_block", "machines", "disks", "operations_running"] {
        assert_eq!(before[same], after[same], "{same}");
    }
    let name = operation["name"].as_str().unwrap();
    let found = region.get(&format!("/zones/{ZONE}/operations/{name}")).await;
    assert_ne!(found["status"], "DONE");
    region.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn regions_do_not_touch_each_other() {
    let (one, other) = tokio::join!(TestRegion::start(), TestRegion::start());
    assert_ne!(
        one.status().await["network_block"],
        other.status().await["network_block"]
    );
    one.post(&format!("/zones/{ZONE}/disks"), json!({ "name": "d", "sizeGb": 1 }))
        .await;
    assert_eq!(other.status().await["disks"], json!([]));
    let again = multizone_sandbox::process::run(multizone_sandbox::process::RunSettings {
        place: multizone_sandbox::process::Place {
            directory: one.directory.path().to_owned(),
        },
        region: None,
        speed: None,
        etcd: None,
    });
    assert!(again.await.unwrap_err().to_string().contains("running already"));
    tokio::join!(one.stop(), other.stop());
}

#[tokio::test(flavor = "multi_thread")]
async fn every_mutation_is_in_the_event_log() {
    let region = TestRegion::start().await;
    region
        .post(&format!("/zones/{ZONE}/disks"), json!({ "name": "d", "sizeGb": 1 }))
        .await;
    region.delete(&format!("/zones/{ZONE}/disks/d")).await;
    region
        .call(Method::POST, &format!("/sandbox/v1/zones/{ZONE}/outage"), None)
        .await;
    let (_, log) = region.call(Method::GET, "/sandbox/v1/events?after=1", None).await;
    let seen: Vec<(u64, &str, &str)> = log["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| {
            (
                it["sequence"].as_u64().unwrap(),
                it["actor"].as_str().unwrap(),
                it["verb"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        seen,
        [
            (2, "region", "operation.done"),
            (3, "api", "disks.delete"),
            (4, "region", "operation.done"),
            (5, "operator", "zone.outage")
        ]
    );
    assert_eq!(region.status().await["events"], json!(5));
    region.stop().await;
}
