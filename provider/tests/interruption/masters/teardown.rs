//! Everything goes although etcd has lost its quorum, or a zone is out: nothing hangs, nothing is left behind, and what
//! cannot go yet is named and stays in the state.

use std::time::{Duration, Instant};

use multizone_cloud::{Cloud as _, ClusterName};
use multizone_provider::configuration::Destroy;
use multizone_sandbox::process::Etcd;
use multizone_schema::Diagnostics;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::{A, B, BALANCER, F, api::Api, prober::say, region};
use crate::{
    CLUSTER, CONTROL_PLANE, DISK, NODE_GROUP, disk, node_group, operation, with,
    world::{Snapshot, World},
};

/// How long a destroy may take that can do nothing, or has hardly anything to wait for.
const SOON: Duration = Duration::from_mins(1);

/// Three masters behind a balancer, a worker and a disk, and the zones of the last two.
async fn all() -> Snapshot {
    let masters = region(&[A, B, F], true, Etcd::StandIn).await;
    let workers = masters.with(NODE_GROUP, &node_group(1)).await;
    workers.with(DISK, &with(disk(), "zone", Value::from(F.1))).await
}

/// `terraform destroy` of one object, without draining where that is `forced`.
async fn destroy(world: &mut World, type_name: &'static str, forced: bool) -> Result<(), Diagnostics> {
    let destroy = operation("destroy it", type_name, None);
    let settings = Destroy {
        force: forced,
        ..Destroy::default()
    };
    let began = Instant::now();
    let ended = timeout(SOON, world.run_with(&destroy, settings)).await;
    let ended = ended.unwrap_or_else(|_| panic!("{type_name}: no end within {SOON:?}"));
    println!("destroy of {type_name}: {:?}: {ended:?}", began.elapsed());
    ended
}

async fn is_destroyed(world: &mut World, types: &[&'static str]) {
    for type_name in types {
        let destroyed = destroy(world, type_name, false).await;
        assert!(destroyed.is_ok(), "{type_name}: {destroyed:?}");
    }
}

fn says(errors: &Result<(), Diagnostics>, parts: &[&str]) {
    let text = errors.as_ref().unwrap_err().to_string();
    for part in parts {
        assert!(text.contains(part), "it does not say {part:?}: {text}");
    }
}

/// What there is, is another cluster's.
fn nothing_is_left(world: &World) {
    let there = world.everything();
    assert!(there.lines().all(|line| line.contains("demo-2")), "{there}");
}

/// The machines that there are, by name.
fn machines(world: &World) -> Vec<String> {
    let status = world.region.lock().unwrap().status();
    let list = status["machines"].as_array().unwrap().iter();
    list.map(|machine| machine["name"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn a_destroy_ends_without_quorum_and_while_zones_are_out() {
    let before = all().await;
    let began = Instant::now();
    without_two_machines(&before).await;
    while_two_zones_are_out(&before).await;
    while_one_zone_is_out(&before).await;
    say(&format!(
        "teardown: without quorum, while two zones are out, while one is: {:?} in all",
        began.elapsed()
    ));
}

/// Somebody has deleted two of three masters.
async fn without_two_machines(before: &Snapshot) {
    let mut world = before.thaw();
    world.settled().await;
    for (key, zone) in [B, F] {
        let name = format!("demo-master-{key}");
        let cluster = ClusterName::new("demo");
        world.cloud.delete_machine(&cluster, zone, &name).await.unwrap();
    }
    let forced = destroy(&mut world, NODE_GROUP, true).await;
    assert!(forced.is_ok(), "{forced:?}");
    is_destroyed(&mut world, &[DISK, CONTROL_PLANE, BALANCER, CLUSTER]).await;
    nothing_is_left(&world);
}

/// Two of three masters are in zones that are out.
async fn while_two_zones_are_out(before: &Snapshot) {
    let mut world = before.thaw();
    world.settled().await;
    for (_, zone) in [B, F] {
        world.region.lock().unwrap().operate("outage", zone);
    }
    let silent = destroy(&mut world, NODE_GROUP, false).await;
    says(
        &silent,
        &[
            "2 of the cluster's 3 masters",
            B.1,
            F.1,
            "force = true",
            "destroy again",
        ],
    );
    let forced = destroy(&mut world, NODE_GROUP, true).await;
    assert!(forced.is_ok(), "{forced:?}");
    let kept = destroy(&mut world, DISK, false).await;
    says(&kept, &[F.1, "un Terraform again"]);
    let left = destroy(&mut world, CONTROL_PLANE, false).await;
    says(
        &left,
        &[
            "is out",
            "cannot be deleted",
            "stays in Terraform's state",
            "Destroy again",
        ],
    );
    assert_eq!(
        machines(&world),
        ["demo-master-b", "demo-master-f"],
        "what can be reached is gone"
    );
    for (_, zone) in [B, F] {
        world.region.lock().unwrap().operate("restore", zone);
    }
    is_destroyed(&mut world, &[DISK, CONTROL_PLANE, BALANCER, CLUSTER]).await;
    nothing_is_left(&world);
}

/// One master is in a zone that is out; the others serve.
async fn while_one_zone_is_out(before: &Snapshot) {
    let mut world = before.thaw();
    world.settled().await;
    a_group_that_is_out_is_not_drained(&mut world).await;
    world.settled().await;
    world.region.lock().unwrap().operate("outage", F.1);
    is_destroyed(&mut world, &[NODE_GROUP]).await;
    let kept = destroy(&mut world, DISK, false).await;
    says(&kept, &[F.1, "un Terraform again"]);
    let left = destroy(&mut world, CONTROL_PLANE, false).await;
    says(
        &left,
        &[F.1, "cannot be deleted", "stays in Terraform's state", "Destroy again"],
    );
    assert_eq!(machines(&world), ["demo-master-f"], "what can be reached is gone");
    world.region.lock().unwrap().operate("restore", F.1);
    is_destroyed(&mut world, &[DISK, CONTROL_PLANE, BALANCER, CLUSTER]).await;
    nothing_is_left(&world);
}

/// The pod of a worker that cannot be reached never ends, so nobody waits for the drain's own time, a quarter of an hour.
async fn a_group_that_is_out_is_not_drained(world: &mut World) {
    let api = world.api().await;
    let nodes = api.request("GET", "/api/v1/nodes", &Value::Null).await.unwrap();
    let names = nodes["items"].as_array().unwrap().iter();
    let mut names = names.map(|node| node["metadata"]["name"].as_str().unwrap());
    let worker = names.find(|name| name.starts_with("demo-pool-")).unwrap();
    let labels = json!({ "app": "stuck" });
    let spec = json!({ "nodeName": worker, "containers": [{ "name": "it", "image": "busybox" }] });
    let deployment = json!({
        "metadata": { "name": "stuck" },
        "spec": { "selector": { "matchLabels": labels }, "template": { "metadata": { "labels": labels }, "spec": spec } },
    });
    let path = "/apis/apps/v1/namespaces/default/deployments";
    api.request("POST", path, &deployment).await.unwrap();
    let deadline = Instant::now() + SOON;
    while !has_a_pod(&api).await {
        assert!(Instant::now() < deadline, "no pod comes");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    world.region.lock().unwrap().operate("outage", A.1);
    api.accepts_writes("without-the-worker").await;
    let out = destroy(world, NODE_GROUP, false).await;
    says(&out, &[A.1, "is out", "un Terraform again"]);
    world.region.lock().unwrap().operate("restore", A.1);
    api.request("DELETE", &format!("{path}/stuck"), &Value::Null)
        .await
        .unwrap();
}

async fn has_a_pod(api: &Api) -> bool {
    let pods = api
        .request("GET", "/api/v1/namespaces/default/pods", &Value::Null)
        .await;
    pods.is_ok_and(|pods| pods["items"].as_array().is_some_and(|pods| !pods.is_empty()))
}
