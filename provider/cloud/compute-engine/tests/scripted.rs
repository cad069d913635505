//! How calls are retried, how replies that were lost are survived, and how refusals are told.

#![allow(clippy::unwrap_used)]

#[path = "scripted/server.rs"]
mod server;

use multizone_cloud::{Cloud as _, CloudError, ClusterName, DiskSpec, Labels, Performance, SecretSpec};
use serde_json::{Value, json};
use server::{Reply, Server, absent, connect, exists, failed_operation, operation, refusal};

const DISK: &str = "GET /compute/v1/projects/p/zones/us-central1-a/disks/data";
const INSERT_DISK: &str = "POST /compute/v1/projects/p/zones/us-central1-a/disks";
const WAIT: &str = "POST /zones/us-central1-a/operations/operation-1/wait";

fn disk_spec() -> DiskSpec {
    DiskSpec {
        cluster: ClusterName::new("demo"),
        name: "data".into(),
        zone: "us-central1-a".into(),
        size_gb: 5,
        disk_type: "pd-balanced".into(),
        performance: Performance::default(),
        snapshot: None,
        labels: Labels::from([("team".into(), "web".into())]),
    }
}

fn demo() -> ClusterName {
    ClusterName::new("demo")
}

fn disk(cluster: &str, kind: &str) -> Reply {
    let zone = "https://www.googleapis.com/compute/v1/projects/p/zones/us-central1-a";
    Reply::Json(
        200,
        json!({
            "id": "42", "name": "data", "sizeGb": "5", "status": "READY", "zone": zone,
            "type": format!("{zone}/diskTypes/{kind}"), "labels": { "multizone-cluster": cluster },
            "labelFingerprint": "Zmlyc3Q=",
        }),
    )
}

fn zones() -> Reply {
    let region = "https://www.googleapis.com/compute/v1/projects/p/regions/us-central1";
    let zone = |name: &str, status: &str, region: &str| json!({ "name": name, "status": status, "region": region });
    Reply::Json(
        200,
        json!({ "items": [
            zone("us-central1-b", "DOWN", region),
            zone("us-central1-a", "UP", region),
            zone("us-east1-b", "UP", "https://www.googleapis.com/compute/v1/projects/p/regions/us-east1"),
        ] }),
    )
}

#[tokio::test]
async fn a_busy_cloud_is_asked_again() {
    let server = Server::start(vec![
        ("GET /zones", refusal(503, "backendError", "busy")),
        (
            "GET /zones",
            Reply::Later(429, 1, json!({ "error": { "code": 429, "message": "slow down" } })),
        ),
        ("GET /zones", zones()),
    ])
    .await;
    let found = server.cloud.zones().await.unwrap();
    let found: Vec<_> = found.iter().map(|zone| (zone.name.as_str(), zone.up)).collect();
    assert_eq!(found, [("us-central1-a", true), ("us-central1-b", false)]);
    assert_eq!(server.cloud.requests(), 3);
    server.finish();
}

#[tokio::test]
async fn a_request_is_given_up_after_so_many_attempts() {
    let server = Server::start(
        (0..3)
            .map(|_| ("GET /zones", refusal(500, "internalError", "oops")))
            .collect(),
    )
    .await;
    let error = server.cloud.zones().await.unwrap_err();
    assert!(
        matches!(error, CloudError::Unavailable { attempts: 3, ref reason, .. } if reason.contains("oops")),
        "{error}"
    );
    server.finish();
}

#[tokio::test]
async fn a_page_in_place_of_a_reply_is_not_taken_for_a_refusal() {
    let server = Server::start(vec![
        ("GET /zones", Reply::Page(502, "<html>Bad Gateway</html>")),
        (
            "GET /zones",
            Reply::Page(200, "<html>Log in to the hotel's network</html>"),
        ),
    ])
    .await;
    let error = server.cloud.zones().await.unwrap_err();
    assert!(matches!(error, CloudError::Unreadable { .. }), "{error}");
    server.finish();
}

#[tokio::test]
async fn a_cloud_out_of_reach_is_unavailable() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let error = connect(endpoint).await.zones().await.unwrap_err();
    assert!(matches!(error, CloudError::Unavailable { attempts: 3, .. }), "{error}");
}

#[tokio::test]
async fn what_is_refused_is_not_asked_again() {
    let message = "Required 'compute.zones.list' permission for 'projects/p'";
    let server = Server::start(vec![("GET /zones", refusal(403, "forbidden", message))]).await;
    let error = server.cloud.zones().await.unwrap_err().to_string();
    assert!(error.contains("lacks the permission compute.zones.list"), "{error}");
    server.finish();
}

#[tokio::test]
async fn an_operation_is_waited_for() {
    let server = Server::start(vec![
        ("GET /disks/data", absent()),
        (INSERT_DISK, operation("PENDING")),
        (WAIT, operation("RUNNING")),
        (WAIT, refusal(503, "backendError", "busy")),
        (WAIT, operation("DONE")),
        ("GET /disks/data", disk("demo", "pd-balanced")),
    ])
    .await;
    let made = server.cloud.ensure_disk(&disk_spec()).await.unwrap();
    assert_eq!(
        (made.id.as_str(), made.size_gb, made.zone.as_str()),
        ("42", 5, "us-central1-a")
    );
    let insert = server
        .finish()
        .into_iter()
        .find(|seen| seen.call == INSERT_DISK)
        .unwrap();
    assert_eq!(
        insert.body["labels"],
        json!({ "multizone-cluster": "demo", "team": "web" })
    );
    assert_eq!(insert.body["sizeGb"], "5");
}

#[tokio::test]
async fn an_operation_that_does_not_end_is_a_timeout() {
    let mut steps = vec![(DISK, absent()), (INSERT_DISK, operation("RUNNING"))];
    steps.extend((0..200).map(|_| (WAIT, operation("RUNNING"))));
    let server = Server::start(steps).await;
    let error = server.cloud.ensure_disk(&disk_spec()).await.unwrap_err();
    assert!(
        matches!(error, CloudError::Timeout { ref waiting_for, .. } if waiting_for.contains("operation-1")),
        "{error}"
    );
}

#[tokio::test]
async fn an_operation_that_the_cloud_forgot_is_judged_by_its_object() {
    let server = Server::start(vec![
        (DISK, absent()),
        (INSERT_DISK, operation("RUNNING")),
        (WAIT, absent()),
        (DISK, disk("demo", "pd-balanced")),
    ])
    .await;
    server.cloud.ensure_disk(&disk_spec()).await.unwrap();
    server.finish();
}

#[tokio::test]
async fn an_operation_that_fails_says_why() {
    let message = "The zone does not have enough resources available";
    let server = Server::start(vec![
        (DISK, absent()),
        (INSERT_DISK, operation("RUNNING")),
        (WAIT, failed_operation("ZONE_RESOURCE_POOL_EXHAUSTED", message)),
    ])
    .await;
    let error = server.cloud.ensure_disk(&disk_spec()).await.unwrap_err();
    assert!(
        matches!(error, CloudError::Capacity { ref reason, .. } if reason.contains(message)),
        "{error}"
    );
    assert_eq!(error.object(), "disk data in us-central1-a");
    server.finish();
}

#[tokio::test]
async fn a_lost_reply_does_not_make_a_second_object() {
    let server = Server::start(vec![
        (DISK, absent()),
        (INSERT_DISK, Reply::Lost),
        (INSERT_DISK, exists()),
        (DISK, disk("demo", "pd-balanced")),
    ])
    .await;
    server.cloud.ensure_disk(&disk_spec()).await.unwrap();
    let seen = server.finish();
    let tokens: Vec<_> = seen
        .iter()
        .filter(|seen| seen.call == INSERT_DISK)
        .map(|seen| seen.query["requestId"].clone())
        .collect();
    assert_eq!(tokens.len(), 2);
    assert_eq!(tokens[0], tokens[1], "the same request carries the same token");
    assert_eq!(tokens[0].len(), 36, "a UUID: {}", tokens[0]);
}

#[tokio::test]
async fn another_request_carries_another_token() {
    let server = Server::start(vec![
        (DISK, absent()),
        (INSERT_DISK, operation("DONE")),
        (DISK, disk("demo", "pd-balanced")),
        (DISK, absent()),
        (INSERT_DISK, operation("DONE")),
        (DISK, disk("demo", "pd-balanced")),
    ])
    .await;
    server.cloud.ensure_disk(&disk_spec()).await.unwrap();
    server.cloud.ensure_disk(&disk_spec()).await.unwrap();
    let seen = server.finish();
    let tokens: Vec<_> = seen.iter().filter_map(|seen| seen.query.get("requestId")).collect();
    assert_ne!(tokens[0], tokens[1], "the object may have been deleted meanwhile");
}

#[tokio::test]
async fn an_object_of_another_cluster_is_not_adopted() {
    for owner in ["demo-2", "dem"] {
        let server = Server::start(vec![(DISK, disk(owner, "pd-balanced"))]).await;
        let error = server.cloud.ensure_disk(&disk_spec()).await.unwrap_err();
        assert!(matches!(error, CloudError::NotOurs { .. }), "{error}");
        server.finish();
    }
}

#[tokio::test]
async fn an_object_of_another_kind_is_not_taken_for_the_wanted_one() {
    let server = Server::start(vec![(DISK, disk("demo", "pd-ssd"))]).await;
    let error = server.cloud.ensure_disk(&disk_spec()).await.unwrap_err();
    let expected =
        "disk data in us-central1-a exists and differs from what is wanted: its kind is pd-ssd, not pd-balanced";
    assert_eq!(error.to_string(), expected);
    server.finish();
}

#[tokio::test]
async fn labels_are_set_again_when_somebody_else_was_quicker() {
    const SET: &str = "POST /disks/data/setLabels";
    let server = Server::start(vec![
        (DISK, disk("demo", "pd-balanced")),
        (
            SET,
            refusal(
                412,
                "conditionNotMet",
                "Labels fingerprint either invalid or resource labels have changed",
            ),
        ),
        (DISK, disk("demo", "pd-balanced")),
        (SET, operation("DONE")),
    ])
    .await;
    let labels = Labels::from([("team".into(), "data".into())]);
    server
        .cloud
        .set_disk_labels(&demo(), "us-central1-a", "data", &labels)
        .await
        .unwrap();
    let seen = server.finish();
    let last = &seen.last().unwrap().body;
    assert_eq!(
        last["labels"],
        json!({ "multizone-cluster": "demo", "team": "data" }),
        "the owner stays"
    );
    assert_eq!(last["labelFingerprint"], "Zmlyc3Q=");
}

#[tokio::test]
async fn deleting_twice_is_fine_and_deleting_what_is_not_ours_is_not() {
    const DELETE: &str = "DELETE /disks/data";
    let server = Server::start(vec![
        (DISK, disk("demo", "pd-balanced")),
        (DELETE, Reply::Lost),
        (DELETE, absent()),
        (DISK, absent()),
        (DISK, Reply::Json(200, json!({ "name": "data", "status": "READY" }))),
        (DISK, disk("dem", "pd-balanced")),
    ])
    .await;
    server
        .cloud
        .delete_disk(&demo(), "us-central1-a", "data")
        .await
        .unwrap();
    server
        .cloud
        .delete_disk(&demo(), "us-central1-a", "data")
        .await
        .unwrap();
    for _ in 0..2 {
        let error = server
            .cloud
            .delete_disk(&demo(), "us-central1-a", "data")
            .await
            .unwrap_err();
        assert!(matches!(error, CloudError::NotOurs { .. }), "{error}");
    }
    server.finish();
}

#[tokio::test]
async fn a_change_waits_for_an_earlier_one() {
    const RESIZE: &str = "POST /disks/data/resize";
    let not_ready = || refusal(400, "resourceNotReady", "The resource is not ready");
    let mut steps = vec![(DISK, disk("demo", "pd-balanced"))];
    // More often than a request is retried: an operation takes as long as it takes.
    steps.extend((0..6).map(|_| (RESIZE, not_ready())));
    steps.push((RESIZE, operation("DONE")));
    let server = Server::start(steps).await;
    server
        .cloud
        .resize_disk(&demo(), "us-central1-a", "data", 20)
        .await
        .unwrap();
    server.finish();
}

#[tokio::test]
async fn only_the_boot_disk_goes_with_its_machine() {
    const MACHINE: &str = "/zones/us-central1-a/instances/m";
    const SET: &str = "POST /zones/us-central1-a/instances/m/setDiskAutoDelete";
    let mut found = machine("m", "demo");
    found["disks"] = json!([
        { "boot": true, "autoDelete": false, "deviceName": "boot" },
        { "boot": false, "autoDelete": true, "deviceName": "data" },
        { "boot": false, "autoDelete": false, "deviceName": "more" },
    ]);
    let server = Server::start(vec![
        (&format!("GET {MACHINE}"), Reply::Json(200, found)),
        (SET, operation("DONE")),
        (SET, operation("DONE")),
        (&format!("DELETE {MACHINE}"), operation("DONE")),
    ])
    .await;
    server
        .cloud
        .delete_machine(&demo(), "us-central1-a", "m")
        .await
        .unwrap();
    let seen = server.finish();
    let set: Vec<_> = seen
        .iter()
        .filter(|seen| seen.call.ends_with("setDiskAutoDelete"))
        .map(|seen| (seen.query["deviceName"].as_str(), seen.query["autoDelete"].as_str()))
        .collect();
    assert_eq!(set, [("boot", "true"), ("data", "false")]);
}

fn scope(collection: &str, items: &[Value]) -> Value {
    json!({ "zones/us-central1-a": { collection: items } })
}

fn list(items: &Value, next: Option<&str>) -> Reply {
    let mut page = json!({ "items": items });
    if let Some(next) = next {
        page["nextPageToken"] = next.into();
    }
    Reply::Json(200, page)
}

fn machine(name: &str, cluster: &str) -> Value {
    let zone = "https://www.googleapis.com/compute/v1/projects/p/zones/us-central1-a";
    json!({
        "id": "1", "name": name, "zone": zone, "status": "RUNNING", "machineType": format!("{zone}/machineTypes/n1-standard-2"),
        "labels": { "multizone-cluster": cluster }, "disks": [{ "boot": true, "source": format!("{zone}/disks/{name}") }],
    })
}

fn rest_of_an_empty_inventory() -> Vec<(&'static str, Reply)> {
    vec![
        ("GET /networks/multizone-demo-us-central1", absent()),
        ("GET /subnetworks/multizone-demo-us-central1", absent()),
        ("GET /firewalls", list(&json!([]), None)),
        ("GET /addresses", list(&json!([]), None)),
        ("GET /snapshots", list(&json!([]), None)),
        ("GET /secrets", Reply::Json(200, json!({}))),
    ]
}

#[tokio::test]
async fn the_inventory_reads_pages_and_leaves_out_what_is_not_the_clusters() {
    let mut elsewhere = machine("m-elsewhere", "demo");
    elsewhere["zone"] = "https://www.googleapis.com/compute/v1/projects/p/zones/us-east1-b".into();
    let mut first = scope("instances", &[machine("m-2", "demo"), machine("m-3", "demo-2")]);
    first["zones/us-east1-b"] = json!({ "instances": [elsewhere] });
    let zone = "https://www.googleapis.com/compute/v1/projects/p/zones/us-central1-a";
    let labels = json!({ "multizone-cluster": "demo" });
    let disks = [
        json!({ "name": "m-1", "zone": zone, "sizeGb": "30", "labels": labels }),
        json!({ "name": "m-9", "zone": zone, "labels": { "multizone-cluster": "demo", "multizone-boot": "true" } }),
        json!({ "id": "7", "name": "data", "zone": zone, "sizeGb": "5", "type": format!("{zone}/diskTypes/pd-ssd"),
                "labels": labels, "users": [format!("{zone}/instances/m-2")] }),
    ];
    let mut steps = rest_of_an_empty_inventory();
    steps.extend([
        ("GET /aggregated/instances", list(&first, Some("next page"))),
        (
            "GET /aggregated/instances",
            list(&scope("instances", &[machine("m-1", "demo")]), None),
        ),
        ("GET /aggregated/disks", list(&scope("disks", &disks), None)),
    ]);
    let server = Server::start(steps).await;
    let inventory = server.cloud.inventory(&ClusterName::new("demo")).await.unwrap();
    let machines: Vec<_> = inventory.machines.iter().map(|machine| machine.name.as_str()).collect();
    assert_eq!(machines, ["m-1", "m-2"]);
    let disks: Vec<_> = inventory.disks.iter().map(|disk| disk.name.as_str()).collect();
    assert_eq!(disks, ["data"], "the disks that machines boot from are not the user's");
    let disk = &inventory.disks[0];
    assert_eq!(disk.attached_to, ["m-2"]);
    assert_eq!(
        (
            disk.id.as_str(),
            disk.zone.as_str(),
            disk.size_gb,
            disk.disk_type.as_str()
        ),
        ("7", "us-central1-a", 5, "pd-ssd")
    );
    let seen = server.finish();
    let pages: Vec<_> = seen
        .iter()
        .filter(|seen| seen.call.ends_with("/aggregated/instances"))
        .collect();
    assert_eq!(pages[0].query["filter"], "labels.multizone-cluster%3Ddemo");
    assert_eq!(pages[1].query["pageToken"], "next+page");
    assert_eq!(server.cloud.requests(), 9, "calls depend on pages");
}

#[tokio::test]
async fn a_zone_that_cannot_be_read_is_not_taken_for_empty() {
    let unreachable = |collection: &str| {
        let mut page = json!({ "items": scope(collection, &[]) });
        page["unreachables"] = json!(["zones/us-central1-a"]);
        Reply::Json(200, page)
    };
    let mut steps = rest_of_an_empty_inventory();
    steps.push(("GET /aggregated/instances", unreachable("instances")));
    steps.push(("GET /aggregated/disks", unreachable("disks")));
    let server = Server::start(steps).await;
    let error = server.cloud.inventory(&ClusterName::new("demo")).await.unwrap_err();
    assert!(
        matches!(error, CloudError::Unavailable { ref reason, .. } if reason.contains("us-central1-a")),
        "{error}"
    );
}

#[tokio::test]
async fn a_secret_is_stored_once_and_never_shown() {
    let labels = json!({ "multizone-cluster": "demo", "topology-region": "us-central1" });
    let mine = json!({ "name": "projects/7/secrets/s", "labels": labels });
    let server = Server::start(vec![
        ("GET /v1/projects/p/secrets/s", absent()),
        ("POST /v1/projects/p/secrets", Reply::Lost),
        (
            "POST /v1/projects/p/secrets",
            refusal(409, "ALREADY_EXISTS", "Secret [s] already exists."),
        ),
        ("GET /v1/projects/p/secrets/s", Reply::Json(200, mine)),
        ("GET /v1/projects/p/secrets/s/versions/latest:access", absent()),
        (
            "POST /v1/projects/p/secrets/s:addVersion",
            Reply::Json(200, json!({ "name": "projects/7/secrets/s/versions/1" })),
        ),
        (
            "GET /v1/projects/p/secrets/s/versions/latest:access",
            Reply::Json(200, json!({ "payload": { "data": "aGlkZGVu" } })),
        ),
        (
            "GET /v1/projects/p/secrets/t/versions/latest:access",
            Reply::Json(200, json!({ "payload": { "data": "hidden!" } })),
        ),
    ])
    .await;
    let spec = SecretSpec {
        cluster: ClusterName::new("demo"),
        name: "s".into(),
        content: b"hidden".to_vec(),
        labels: Labels::new(),
    };
    assert_eq!(server.cloud.ensure_secret(&spec).await.unwrap(), b"hidden");
    let unreadable = server.cloud.secret("t").await.unwrap_err().to_string();
    assert!(!unreadable.contains("hidden!"), "{unreadable}");
    server.finish();
}
