//! Errors of disks.

use multizone_schema::Diagnostics;
use serde_json::{Value, json};

use crate::{
    cluster::{CLUSTER, cluster},
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

async fn region() -> Run {
    let both = json!({ "us-central1-a": { "subnet_cidr": null }, "us-central1-b": { "subnet_cidr": null } });
    let mut spanning = cluster();
    spanning["zones"] = both;
    Run::with(&[(CLUSTER, &spanning), (DISK, &disk())]).await
}

#[test]
fn configurations_that_are_refused() {
    let refused = |name: &str, value: Value| check(DISK, &with(name, value));
    read!("name_too_long", {
        let mut config = with("name", "d".repeat(31));
        config["cluster"] = "c".repeat(32).into();
        check(DISK, &config)
    });
    read!("size_of_nothing", refused("size_gb", json!(0)));
    read!("size_of_a_fraction", refused("size_gb", json!(1.5)));
    let labels = json!({ "multizone-cluster": "x", "Team": "x", "team": "Web" });
    read!("labels", refused("labels", labels));
}

#[tokio::test]
async fn changes_that_cannot_be_made() {
    let mut run = region().await;
    let mut said = Diagnostics::new();
    said.extend(run.plan(DISK, Some(&with("size_gb", 10))).await);
    read!("shrinks", said);
    read!("another_kind", run.plan(DISK, Some(&with("disk_type", "pd-ssd"))).await);
    run.cloud
        .tamper(|inventory| inventory.disks[0].attached_to.push("demo-pool-x".into()));
    read!(
        "moves_while_attached",
        run.apply(DISK, Some(&with("zone", "us-central1-b"))).await
    );
    read!("destroyed_while_attached", run.apply(DISK, None).await);
}
