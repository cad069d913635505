//! What Compute Engine refuses, and how it fails: the replies are those of its REST API.

use multizone_cloud::{Cloud as _, CloudError, ClusterName, DiskSpec, Labels, Performance};
use multizone_cloud_compute_engine::ComputeEngine;
use multizone_provider::resources::trouble::{ADOPTED, CONTINUED, STILL_THERE, Situation};
use multizone_schema::Diagnostics;
use serde_json::{Value, json};

use crate::{
    read,
    scripted::{Reply, Server, absent, connect, failed_operation, operation, refusal},
};

const DISK: &str = "GET /compute/v1/projects/p/zones/us-central1-a/disks/data";
const INSERT: &str = "POST /compute/v1/projects/p/zones/us-central1-a/disks";
const DELETE: &str = "DELETE /compute/v1/projects/p/zones/us-central1-a/disks/data";
pub(crate) const UNCHANGED: &str = "Nothing was changed.";
const WAIT: &str = "POST /zones/us-central1-a/operations/operation-1/wait";

/// What the user reads when a disk cannot be made for that reason.
fn told(error: &CloudError) -> Diagnostics {
    told_of("create disk data", ADOPTED, error)
}

pub(crate) fn told_of(doing: &str, left: &str, error: &CloudError) -> Diagnostics {
    Situation { doing, left }.cloud(error)
}

async fn make(cloud: &ComputeEngine) -> CloudError {
    let spec = DiskSpec {
        cluster: ClusterName::new("demo"),
        name: "data".into(),
        zone: "us-central1-a".into(),
        size_gb: 5,
        disk_type: "pd-balanced".into(),
        performance: Performance::default(),
        snapshot: None,
        labels: Labels::new(),
    };
    cloud.ensure_disk(&spec).await.unwrap_err()
}

/// The error of a disk that is not there and whose insert is answered so.
async fn inserting(replies: impl IntoIterator<Item = Reply>) -> CloudError {
    let mut steps = vec![(DISK, absent())];
    steps.extend(replies.into_iter().map(|reply| (INSERT, reply)));
    let server = Server::start(steps).await;
    let error = make(&server.cloud).await;
    server.finish();
    error
}

/// The error of a disk whose operation fails.
async fn failing(code: &str, message: &str) -> CloudError {
    let server = Server::start(vec![
        (DISK, absent()),
        (INSERT, operation("RUNNING")),
        (WAIT, failed_operation(code, message)),
    ])
    .await;
    let error = make(&server.cloud).await;
    server.finish();
    error
}

/// The same refusal for every attempt.
fn each_time(status: u16, reason: &str, message: &str) -> Vec<Reply> {
    (0..3).map(|_| refusal(status, reason, message)).collect()
}

#[tokio::test]
async fn refusals() {
    let quota = "Quota 'SSD_TOTAL_GB' exceeded.  Limit: 500.0 in region us-central1.";
    read!("quota", told(&inserting([refusal(403, "quotaExceeded", quota)]).await));
    let permission = "Required 'compute.disks.create' permission for \
                      'projects/p/zones/us-central1-a/disks/data'";
    read!(
        "forbidden",
        told(&inserting([refusal(403, "forbidden", permission)]).await)
    );
    let disabled = json!({ "error": {
        "code": 403,
        "message": "Compute Engine API has not been used in project p before or it is disabled. Enable it by visiting \
                    https://console.developers.google.com/apis/api/compute.googleapis.com/overview?project=p then retry. \
                    If you enabled this API recently, wait a few minutes for the action to propagate to our systems and \
                    retry.",
        "errors": [{ "reason": "accessNotConfigured", "domain": "usageLimits" }],
        "status": "PERMISSION_DENIED",
        "details": [{ "@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "SERVICE_DISABLED",
                      "domain": "googleapis.com" }],
    } });
    read!("api_disabled", told(&inserting([Reply::Json(403, disabled)]).await));
    let unauthenticated = json!({ "error": {
        "code": 401,
        "message": "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other \
                    valid authentication credential.",
        "errors": [{ "reason": "authError", "domain": "global" }],
        "status": "UNAUTHENTICATED",
    } });
    read!(
        "unauthenticated",
        told(&inserting([Reply::Json(401, unauthenticated)]).await)
    );
    let invalid = "Invalid value for field 'resource.type': 'pd-fast'. The referenced diskType does not exist.";
    read!("invalid", told(&inserting([refusal(400, "invalid", invalid)]).await));
    let missing = "The resource 'projects/p/zones/us-central1-a/diskTypes/pd-fast' was not found";
    read!(
        "needs_what_is_missing",
        told(&inserting([refusal(404, "notFound", missing)]).await)
    );
    read!(
        "no_reason",
        told(&inserting([Reply::Json(400, json!({ "error": {} }))]).await)
    );
}

#[tokio::test]
async fn operations() {
    let stockout = "The zone 'projects/p/zones/us-central1-a' does not have enough resources available to fulfill the \
                    request.  Try a different zone, or try again later.";
    read!(
        "stockout",
        told(&failing("ZONE_RESOURCE_POOL_EXHAUSTED", stockout).await)
    );
    let internal = "Internal error. Please try again or contact Google Support. (Code: '-1234')";
    read!(
        "operation_fails_inside",
        told(&failing("INTERNAL_ERROR", internal).await)
    );
    let forbidden = "Required 'compute.images.useReadOnly' permission for 'projects/p/global/images/own'";
    read!(
        "operation_forbidden",
        told(&failing("PERMISSIONS_ERROR", forbidden).await)
    );
    let mut steps = vec![(DISK, absent()), (INSERT, operation("RUNNING"))];
    steps.extend((0..200).map(|_| (WAIT, operation("RUNNING"))));
    let server = Server::start(steps).await;
    read!(
        "operation_does_not_end",
        told(&in_whole_seconds(make(&server.cloud).await))
    );
    let found = || (DISK, Reply::Json(200, disk("READY", "demo")));
    let mut steps = vec![found(), found()];
    let resize = "POST /zones/us-central1-a/disks/data/resize";
    let not_ready = || refusal(400, "resourceNotReady", "The resource 'data' is not ready");
    steps.extend((0..200).map(|_| (resize, not_ready())));
    let server = Server::start(steps).await;
    let error = server
        .cloud
        .resize_disk(&ClusterName::new("demo"), "us-central1-a", "data", 9)
        .await
        .unwrap_err();
    let error = in_whole_seconds(error);
    read!(
        "operation_before_does_not_end",
        told_of("update disk data", CONTINUED, &error)
    );
}

/// As it is with the time that users wait, which no test does.
pub(crate) fn in_whole_seconds(error: CloudError) -> CloudError {
    match error {
        CloudError::Timeout {
            object, waiting_for, ..
        } => CloudError::Timeout {
            object,
            seconds: 600,
            waiting_for,
        },
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn failures() {
    let limit = "Quota exceeded for quota metric 'Queries' and limit 'Queries per minute' of service \
                 'compute.googleapis.com' for consumer 'project_number:1'.";
    let limited = inserting(each_time(403, "rateLimitExceeded", limit)).await;
    read!("rate_limit", told(&limited));
    let page = "<html><title>502 Bad Gateway</title></html>";
    let gateway = inserting((0..3).map(|_| Reply::Page(502, page))).await;
    read!("bad_gateway", told(&gateway));
    let portal = inserting([Reply::Page(200, "<html>Log in</html>")]).await;
    read!("not_the_cloud", told(&portal));
    let busy = inserting(each_time(503, "backendError", "The service is currently unavailable.")).await;
    read!("busy", told(&busy));
    let broken = inserting(each_time(500, "backendError", "Backend error.")).await;
    read!("broken", told(&broken));
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let CloudError::Unavailable {
        object,
        outage,
        attempts,
        reason,
    } = make(&connect(endpoint.clone()).await).await
    else {
        panic!("there is an answer from {endpoint}");
    };
    let unreachable = CloudError::Unavailable {
        object,
        outage,
        attempts,
        reason: reason.replace(&endpoint, "http://127.0.0.1:4510"),
    };
    read!("unreachable", told(&unreachable));
}

fn disk(status: &str, cluster: &str) -> Value {
    let zone = "https://www.googleapis.com/compute/v1/projects/p/zones/us-central1-a";
    json!({
        "id": "42", "name": "data", "sizeGb": "5", "status": status, "zone": zone,
        "type": format!("{zone}/diskTypes/pd-ssd"), "labels": { "multizone-cluster": cluster },
        "labelFingerprint": "Zmlyc3Q=",
    })
}

#[tokio::test]
async fn disks() {
    let found = async |found: Value| {
        let server = Server::start(vec![(DISK, Reply::Json(200, found))]).await;
        make(&server.cloud).await
    };
    read!("disk_of_another_kind", told(&found(disk("READY", "demo")).await));
    read!("disk_of_another_cluster", told(&found(disk("READY", "other")).await));
    read!("disk_failed", told(&found(disk("FAILED", "demo")).await));
    let message = "The disk resource 'projects/p/zones/us-central1-a/disks/data' is already being used by \
                   'projects/p/zones/us-central1-a/instances/demo-a-1'";
    let server = Server::start(vec![
        (DISK, Reply::Json(200, disk("READY", "demo"))),
        (DELETE, refusal(400, "resourceInUseByAnotherResource", message)),
    ])
    .await;
    let error = server
        .cloud
        .delete_disk(&ClusterName::new("demo"), "us-central1-a", "data")
        .await
        .unwrap_err();
    read!("disk_in_use", told_of("delete disk data", STILL_THERE, &error));
    let server = Server::start(vec![(DISK, absent())]).await;
    let error = server
        .cloud
        .resize_disk(&ClusterName::new("demo"), "us-central1-a", "data", 9)
        .await
        .unwrap_err();
    read!("disk_gone", told_of("update disk data", CONTINUED, &error));
    let found = Reply::Json(200, disk("READY", "demo"));
    let server = Server::start(vec![(DISK, found)]).await;
    let error = server
        .cloud
        .resize_disk(&ClusterName::new("demo"), "us-central1-a", "data", 3)
        .await
        .unwrap_err();
    read!("disk_shrinks", told_of("update disk data", CONTINUED, &error));
}

#[tokio::test]
async fn secrets() {
    const ACCESS: &str = "GET /v1/projects/p/secrets/s/versions/latest:access";
    let damaged = Reply::Json(200, json!({ "payload": { "data": "hidden!" } }));
    let server = Server::start(vec![
        (ACCESS, damaged),
        (ACCESS, Reply::Page(200, "<html>Log in</html>")),
    ])
    .await;
    let read = async || server.cloud.secret("s").await.unwrap_err();
    read!("secret_damaged", told_of("read cluster demo", UNCHANGED, &read().await));
    read!(
        "secret_from_elsewhere",
        told_of("read cluster demo", UNCHANGED, &read().await)
    );
}
