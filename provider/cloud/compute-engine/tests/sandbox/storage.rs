//! Disks, snapshots, secrets.

use axum::http::Method;
use multizone_cloud::{Cloud as _, CloudError, ClusterName, DiskSpec, Labels, SecretSpec, label};
use serde_json::json;

use crate::{
    region::Sandbox,
    specs::{ZONE, cluster, disk_spec, inventory, machine_spec, network_spec, secret_spec},
};

#[tokio::test]
async fn disks_and_snapshots() {
    let sandbox = Sandbox::start().await;
    let before = sandbox.everything();
    let cloud = &sandbox.cloud;
    let made = cloud.ensure_disk(&disk_spec()).await.unwrap();
    assert_eq!((made.size_gb, made.disk_type.as_str()), (10, "pd-balanced"));
    let requests = cloud.requests();
    assert_eq!(cloud.ensure_disk(&disk_spec()).await.unwrap(), made);
    assert_eq!(cloud.requests() - requests, 1);
    assert_eq!(inventory(&sandbox).await.disks, [made]);

    cloud.resize_disk(&cluster(), ZONE, "data", 20).await.unwrap();
    cloud.resize_disk(&cluster(), ZONE, "data", 20).await.unwrap();
    let shrink = cloud.resize_disk(&cluster(), ZONE, "data", 10).await.unwrap_err();
    assert!(matches!(shrink, CloudError::Differs { .. }), "{shrink}");
    assert_eq!(
        cloud.ensure_disk(&disk_spec()).await.unwrap().size_gb,
        20,
        "the size is for the caller to compare"
    );
    cloud
        .set_disk_labels(&cluster(), ZONE, "data", &Labels::new())
        .await
        .unwrap();
    let disk = inventory(&sandbox).await.disks.remove(0);
    assert_eq!(
        disk.labels,
        Labels::from([(label::CLUSTER.to_owned(), "demo".to_owned())])
    );

    let owner = Labels::from([(label::CLUSTER.to_owned(), "demo".to_owned())]);
    for _ in 0..2 {
        cloud.ensure_snapshot(ZONE, "data", "demo-move", &owner).await.unwrap();
    }
    assert_eq!(inventory(&sandbox).await.snapshots, ["demo-move"]);
    let moved = DiskSpec {
        zone: "us-central1-b".into(),
        size_gb: 20,
        snapshot: Some("demo-move".into()),
        ..disk_spec()
    };
    assert_eq!(cloud.ensure_disk(&moved).await.unwrap().zone, "us-central1-b");
    let other = cloud
        .ensure_snapshot("us-central1-b", "data", "demo-move", &owner)
        .await
        .unwrap_err();
    assert!(matches!(other, CloudError::Differs { .. }), "{other}");
    let foreign = Labels::from([(label::CLUSTER.to_owned(), "dem".to_owned())]);
    let foreign = cloud
        .ensure_snapshot(ZONE, "data", "demo-move", &foreign)
        .await
        .unwrap_err();
    assert!(matches!(foreign, CloudError::NotOurs { .. }), "{foreign}");
    let nobody = cloud
        .ensure_snapshot(ZONE, "data", "x", &Labels::new())
        .await
        .unwrap_err();
    assert!(matches!(nobody, CloudError::Refused { .. }), "{nobody}");

    for _ in 0..2 {
        cloud.delete_snapshot(&cluster(), "demo-move").await.unwrap();
        cloud.delete_disk(&cluster(), ZONE, "data").await.unwrap();
        cloud.delete_disk(&cluster(), "us-central1-b", "data").await.unwrap();
    }
    assert_eq!(sandbox.everything(), before);
}

#[tokio::test]
async fn a_disk_in_use_stays_and_outlives_its_machine() {
    let sandbox = Sandbox::start().await;
    let cloud = &sandbox.cloud;
    cloud.ensure_network(&network_spec(cluster())).await.unwrap();
    cloud.ensure_machine(&machine_spec("demo-pool-1")).await.unwrap();
    cloud.ensure_disk(&disk_spec()).await.unwrap();
    let attach = json!({ "source": format!("projects/sandbox/zones/{ZONE}/disks/data"), "deviceName": "data" });
    sandbox
        .change(
            Method::POST,
            &format!("zones/{ZONE}/instances/demo-pool-1/attachDisk"),
            Some(attach),
        )
        .await;
    let found = inventory(&sandbox).await;
    assert_eq!(found.disks[0].attached_to, ["demo-pool-1"]);
    assert_eq!(found.machines[0].disks, ["data"]);
    let error = cloud.delete_disk(&cluster(), ZONE, "data").await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "disk data in us-central1-a is in use: attached to demo-pool-1"
    );
    cloud.delete_machine(&cluster(), ZONE, "demo-pool-1").await.unwrap();
    assert_eq!(inventory(&sandbox).await.disks[0].attached_to, [""; 0]);
}

#[tokio::test]
async fn secrets() {
    let sandbox = Sandbox::start().await;
    let before = sandbox.everything();
    let cloud = &sandbox.cloud;
    assert_eq!(cloud.secret("demo-keys").await.unwrap(), None);
    assert_eq!(cloud.ensure_secret(&secret_spec("first")).await.unwrap(), b"first");
    assert_eq!(
        cloud.ensure_secret(&secret_spec("second")).await.unwrap(),
        b"first",
        "what is stored stays"
    );
    assert_eq!(cloud.secret("demo-keys").await.unwrap().unwrap(), b"first");
    assert_eq!(inventory(&sandbox).await.secrets, ["demo-keys"]);
    let stranger = SecretSpec {
        cluster: ClusterName::new("dem"),
        ..secret_spec("x")
    };
    let error = cloud.ensure_secret(&stranger).await.unwrap_err();
    assert!(matches!(error, CloudError::NotOurs { .. }), "{error}");

    let reader = cloud.default_machine_identity(&cluster()).await.unwrap();
    for _ in 0..2 {
        cloud.grant_secret("demo-keys", &reader).await.unwrap();
    }
    let missing = cloud.grant_secret("nothing", &reader).await.unwrap_err();
    assert!(missing.is_not_found(), "{missing}");
    cloud.delete_secret(&cluster(), "demo-keys").await.unwrap();
    cloud.delete_secret(&cluster(), "demo-keys").await.unwrap();
    assert_eq!(sandbox.everything(), before);
}
