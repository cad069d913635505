//! The Compute Engine face over HTTP: every collection through its life, in the shapes of the published API.
#![allow(clippy::unwrap_used)]

mod support;

use reqwest::Method;
use serde_json::{Value, json};
use support::{OTHER_ZONE, REGION, TestRegion, ZONE, is_empty, machine, until};

fn names(list: &Value) -> Vec<&str> {
    list["items"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|it| it["name"].as_str().unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_region_offers() {
    let region = TestRegion::start().await;
    let project = region.get("").await;
    assert_eq!(project["name"], "sandbox");
    assert!(
        project["defaultServiceAccount"]
            .as_str()
            .unwrap()
            .ends_with("-compute@developer.gserviceaccount.com")
    );
    assert_eq!(
        names(&region.get("/regions").await),
        ["asia-east1", "europe-west1", "us-central1"]
    );
    let zones = region.get("/zones?filter=name%20eq%20us-central1-.*").await;
    assert_eq!(
        names(&zones),
        ["us-central1-a", "us-central1-b", "us-central1-c", "us-central1-f"]
    );
    let zone = region.get(&format!("/zones/{ZONE}")).await;
    assert_eq!((&zone["status"], &zone["kind"]), (&json!("UP"), &json!("compute#zone")));
    let machine_type = region.get(&format!("/zones/{ZONE}/machineTypes/n1-standard-2")).await;
    assert_eq!(
        (&machine_type["guestCpus"], &machine_type["memoryMb"]),
        (&json!(2), &json!(7680))
    );
    assert_eq!(
        region
            .refused(Method::GET, &format!("/zones/{ZONE}/machineTypes/nope"), None)
            .await
            .1,
        "notFound"
    );
    assert_eq!(
        region.refused(Method::GET, "/zones/nowhere-a", None).await.1,
        "notFound"
    );
    assert_eq!(
        region.refused(Method::GET, "/zones/nowhere-a/instances", None).await.1,
        "invalid"
    );
    let all = region.get("/aggregated/machineTypes?filter=name%3De2-micro").await;
    assert_eq!(
        all["items"]["zones/us-central1-f"]["machineTypes"][0]["name"],
        "e2-micro"
    );

    let images = "/compute/v1/projects/ubuntu-os-cloud/global/images";
    let (status, image) = region
        .call(Method::GET, &format!("{images}/family/ubuntu-2404-lts-amd64"), None)
        .await;
    assert_eq!((status, &image["family"]), (200, &json!("ubuntu-2404-lts-amd64")));
    let (_, same) = region
        .call(
            Method::GET,
            &format!("{images}/{}", image["name"].as_str().unwrap()),
            None,
        )
        .await;
    assert_eq!(image, same);
    assert_eq!(region.call(Method::GET, &format!("{images}/nope"), None).await.0, 404);
    let (status, other) = region.call(Method::GET, "/compute/v1/projects/other/zones", None).await;
    assert_eq!(
        (status, other["error"]["errors"][0]["reason"].as_str()),
        (404, Some("notFound"))
    );
    region.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_lives_and_dies() {
    let region = TestRegion::start().await;
    let instances = format!("/zones/{ZONE}/instances");
    let mut body = machine("m");
    body["labels"] = json!({ "team": "web" });
    body["tags"] = json!({ "items": ["master"] });
    body["metadata"] = json!({ "items": [{ "key": "startup", "value": "x" }] });
    body["serviceAccounts"] =
        json!([{ "email": "default", "scopes": ["https://www.googleapis.com/auth/cloud-platform"] }]);
    let operation = region.post(&instances, body).await;
    assert_eq!(
        (&operation["operationType"], &operation["progress"]),
        (&json!("insert"), &json!(100))
    );
    let machine = region.get(&format!("{instances}/m")).await;
    assert_eq!(machine["kind"], "compute#instance");
    assert_eq!(machine["status"], "RUNNING");
    assert_eq!(machine["id"], operation["targetId"]);
    assert!(
        machine["selfLink"]
            .as_str()
            .unwrap()
            .ends_with("/compute/v1/projects/sandbox/zones/us-central1-a/instances/m")
    );
    assert!(machine["zone"].as_str().unwrap().ends_with("/zones/us-central1-a"));
    assert!(
        machine["machineType"]
            .as_str()
            .unwrap()
            .ends_with("/zones/us-central1-a/machineTypes/n1-standard-2")
    );
    assert!(
        machine["networkInterfaces"][0]["networkIP"]
            .as_str()
            .unwrap()
            .starts_with("127.")
    );
    assert!(
        machine["networkInterfaces"][0]["accessConfigs"][0]["natIP"]
            .as_str()
            .unwrap()
            .contains(".240.")
    );
    assert_eq!(machine["disks"][0]["diskSizeGb"], "20");
    assert_eq!(machine["tags"]["items"], json!(["master"]));
    assert_eq!(machine["metadata"]["items"][0]["value"], "x");
    assert!(
        machine["serviceAccounts"][0]["email"]
            .as_str()
            .unwrap()
            .contains("-compute@")
    );

    let found = region
        .get("/aggregated/instances?filter=labels.team%3Dweb&returnPartialSuccess=true&$alt=json")
        .await;
    assert_eq!(found["items"]["zones/us-central1-a"]["instances"][0]["name"], "m");
    assert_eq!(
        found["items"]["zones/us-central1-b"]["warning"]["code"],
        "NO_RESULTS_ON_PAGE"
    );
    region.delete(&format!("{instances}/m")).await;
    assert_eq!(
        region.refused(Method::GET, &format!("{instances}/m"), None).await.1,
        "notFound"
    );
    assert!(region.get(&format!("/zones/{ZONE}/disks")).await.get("items").is_none());
    let disks = region.directory.path().join("disks");
    until("the disk's content is gone", || is_empty(&disks).then_some(())).await;
    region.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_is_changed() {
    let region = TestRegion::start().await;
    let instances = format!("/zones/{ZONE}/instances");
    let mut body = machine("m");
    body["labels"] = json!({ "team": "web" });
    region.post(&instances, body).await;
    let machine = region.get(&format!("{instances}/m")).await;
    let fingerprint = &machine["labelFingerprint"];
    region
        .post(
            &format!("{instances}/m/setLabels"),
            json!({ "labels": { "team": "db" }, "labelFingerprint": fingerprint }),
        )
        .await;
    let stale = json!({ "labels": {}, "labelFingerprint": fingerprint });
    let (status, reason, _) = region
        .refused(Method::POST, &format!("{instances}/m/setLabels"), Some(stale))
        .await;
    assert_eq!((status, reason.as_str()), (412, "conditionNotMet"));
    assert_eq!(
        region.get(&format!("{instances}/m")).await["labels"],
        json!({ "team": "db" })
    );
    let tags = json!({ "items": ["a", "b"], "fingerprint": machine["tags"]["fingerprint"] });
    region.post(&format!("{instances}/m/setTags"), tags).await;
    let metadata = json!({ "items": [], "fingerprint": machine["metadata"]["fingerprint"] });
    region.post(&format!("{instances}/m/setMetadata"), metadata).await;

    region.post(&format!("{instances}/m/stop"), Value::Null).await;
    assert_eq!(region.get(&format!("{instances}/m")).await["status"], "TERMINATED");
    let wanted = json!({ "machineType": format!("zones/{ZONE}/machineTypes/n1-standard-4") });
    region.post(&format!("{instances}/m/setMachineType"), wanted).await;
    region.post(&format!("{instances}/m/start"), Value::Null).await;
    region.post(&format!("{instances}/m/reset"), Value::Null).await;
    region
        .post(
            &format!("{instances}/m/setDeletionProtection?deletionProtection=true"),
            Value::Null,
        )
        .await;
    assert_eq!(
        region.refused(Method::DELETE, &format!("{instances}/m"), None).await.0,
        400
    );
    region
        .post(
            &format!("{instances}/m/setDeletionProtection?deletionProtection=false"),
            Value::Null,
        )
        .await;
    assert!(region.get(&format!("{instances}/m/serialPort")).await["next"].is_string());

    region.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn disks_and_snapshots_live_and_die() {
    let region = TestRegion::start().await;
    let disks = format!("/zones/{ZONE}/disks");
    let kind = format!("projects/sandbox/zones/{ZONE}/diskTypes/pd-balanced");
    region
        .post(
            &disks,
            json!({ "name": "d", "sizeGb": "5", "type": kind, "labels": { "k": "v" } }),
        )
        .await;
    let disk = region.get(&format!("{disks}/d")).await;
    assert_eq!(
        (&disk["kind"], &disk["sizeGb"], &disk["status"]),
        (&json!("compute#disk"), &json!("5"), &json!("READY"))
    );
    region
        .post(&format!("{disks}/d/resize"), json!({ "sizeGb": "6" }))
        .await;
    assert_eq!(
        region
            .refused(Method::POST, &format!("{disks}/d/resize"), Some(json!({ "sizeGb": 4 })))
            .await
            .1,
        "invalid"
    );
    region
        .post(
            &format!("{disks}/d/setLabels"),
            json!({ "labels": {}, "labelFingerprint": disk["labelFingerprint"] }),
        )
        .await;
    region
        .post(
            &format!("{disks}/d/createSnapshot"),
            json!({ "name": "s", "labels": { "k": "v" } }),
        )
        .await;
    region
        .post(
            "/global/snapshots",
            json!({ "name": "t", "sourceDisk": format!("zones/{ZONE}/disks/d") }),
        )
        .await;
    assert_eq!(names(&region.get("/global/snapshots").await), ["s", "t"]);
    let snapshot = region.get("/global/snapshots/s").await;
    assert_eq!(
        (&snapshot["status"], &snapshot["diskSizeGb"]),
        (&json!("READY"), &json!("6"))
    );
    region
        .post(
            &format!("/zones/{OTHER_ZONE}/disks"),
            json!({ "name": "copy", "sourceSnapshot": "global/snapshots/s" }),
        )
        .await;
    region.delete("/global/snapshots/s").await;

    region.post(&format!("/zones/{ZONE}/instances"), machine("m")).await;
    let attach = format!("/zones/{ZONE}/instances/m/attachDisk");
    let foreign = json!({ "source": format!("zones/{OTHER_ZONE}/disks/copy") });
    assert!(
        region
            .refused(Method::POST, &attach, Some(foreign))
            .await
            .2
            .contains("same zone")
    );
    region
        .post(
            &attach,
            json!({ "source": format!("zones/{ZONE}/disks/d"), "deviceName": "data" }),
        )
        .await;
    assert!(
        region.get(&format!("{disks}/d")).await["users"][0]
            .as_str()
            .unwrap()
            .ends_with("/instances/m")
    );
    let (status, reason, _) = region.refused(Method::DELETE, &format!("{disks}/d"), None).await;
    assert_eq!((status, reason.as_str()), (400, "resourceInUseByAnotherResource"));
    region
        .post(
            &format!("/zones/{ZONE}/instances/m/detachDisk?deviceName=data"),
            Value::Null,
        )
        .await;
    region.delete(&format!("{disks}/d")).await;
    region.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn networks_rules_and_addresses_live_and_die() {
    let region = TestRegion::start().await;
    let status = region.status().await;
    let block = status["network_block"].as_str().unwrap().replace(".0.0/16", "");
    region
        .post(
            "/global/networks",
            json!({ "name": "n", "autoCreateSubnetworks": false }),
        )
        .await;
    let subnetworks = format!("/regions/{REGION}/subnetworks");
    let range = format!("{block}.64.0/20");
    region
        .post(
            &subnetworks,
            json!({ "name": "s", "network": "global/networks/n", "ipCidrRange": range }),
        )
        .await;
    let subnetwork = region.get(&format!("{subnetworks}/s")).await;
    assert_eq!(
        (&subnetwork["ipCidrRange"], &subnetwork["gatewayAddress"]),
        (&json!(range), &json!(format!("{block}.64.1")))
    );
    let patch = json!({ "privateIpGoogleAccess": true, "fingerprint": subnetwork["fingerprint"] });
    region
        .change(Method::PATCH, &format!("{subnetworks}/s"), patch.clone())
        .await;
    assert_eq!(
        region
            .refused(Method::PATCH, &format!("{subnetworks}/s"), Some(patch))
            .await
            .0,
        412
    );
    assert!(
        region.get("/global/networks/n").await["subnetworks"][0]
            .as_str()
            .unwrap()
            .ends_with("/subnetworks/s")
    );

    let rule = json!({
        "name": "api", "network": "global/networks/n", "targetTags": ["master"], "sourceRanges": ["0.0.0.0/0"],
        "allowed": [{ "IPProtocol": "tcp", "ports": ["6443"] }],
    });
    region.post("/global/firewalls", rule.clone()).await;
    region
        .change(
            Method::PATCH,
            "/global/firewalls/api",
            json!({ "sourceRanges": ["10.0.0.0/8"] }),
        )
        .await;
    assert_eq!(
        region.get("/global/firewalls/api").await["sourceRanges"],
        json!(["10.0.0.0/8"])
    );
    region.change(Method::PUT, "/global/firewalls/api", rule).await;
    assert_eq!(
        region.get("/global/firewalls/api").await["sourceRanges"],
        json!(["0.0.0.0/0"])
    );

    let addresses = format!("/regions/{REGION}/addresses");
    region
        .post(&addresses, json!({ "name": "api", "labels": { "k": "v" } }))
        .await;
    let address = region.get(&format!("{addresses}/api")).await;
    assert_eq!(
        (&address["status"], &address["addressType"]),
        (&json!("RESERVED"), &json!("EXTERNAL"))
    );
    let mut body = machine("m");
    body["networkInterfaces"] = json!([{
        "subnetwork": format!("regions/{REGION}/subnetworks/s"), "accessConfigs": [{ "natIP": address["address"] }],
    }]);
    region.post(&format!("/zones/{ZONE}/instances"), body).await;
    assert_eq!(region.get(&format!("{addresses}/api")).await["status"], "IN_USE");
    for path in [
        "/global/networks/n".to_owned(),
        format!("{subnetworks}/s"),
        format!("{addresses}/api"),
    ] {
        assert_eq!(
            region.refused(Method::DELETE, &path, None).await.1,
            "resourceInUseByAnotherResource",
            "{path}"
        );
    }
    let access =
        format!("/zones/{ZONE}/instances/m/deleteAccessConfig?networkInterface=nic0&accessConfig=External%20NAT");
    region.post(&access, Value::Null).await;
    let access = format!("/zones/{ZONE}/instances/m/addAccessConfig?networkInterface=nic0");
    region
        .post(&access, json!({ "natIP": address["address"], "name": "api" }))
        .await;
    region.delete(&format!("/zones/{ZONE}/instances/m")).await;
    region.delete(&format!("{addresses}/api")).await;
    region.delete("/global/firewalls/api").await;
    region.delete(&format!("{subnetworks}/s")).await;
    region.delete("/global/networks/n").await;
    assert_eq!(names(&region.get("/global/networks").await), ["default"]);
    region.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_come_in_pages_and_are_filtered() {
    let region = TestRegion::start().await;
    let disks = format!("/zones/{ZONE}/disks");
    for index in 0..5 {
        let cluster = if index < 3 { "demo" } else { "demo-2" };
        let body = json!({ "name": format!("d{index}"), "sizeGb": 1, "labels": { "multizone-cluster": cluster } });
        region.post(&disks, body).await;
    }
    let mut seen = Vec::new();
    let mut token = String::new();
    loop {
        let page = region
            .get(&format!(
                "{disks}?maxResults=2&filter=labels.multizone-cluster%3Ddemo{token}"
            ))
            .await;
        seen.extend(names(&page).into_iter().map(str::to_owned));
        match page["nextPageToken"].as_str() {
            Some(next) => token = format!("&pageToken={}", next.replace('=', "%3D")),
            None => break,
        }
    }
    assert_eq!(seen, ["d0", "d1", "d2"]);
    assert_eq!(
        region
            .refused(Method::GET, &format!("{disks}?maxResults=501"), None)
            .await
            .1,
        "invalid"
    );
    assert_eq!(
        region
            .refused(Method::GET, &format!("{disks}?filter=name"), None)
            .await
            .1,
        "invalid"
    );
    assert_eq!(
        region
            .refused(Method::GET, &format!("{disks}?pageToken=%21"), None)
            .await
            .1,
        "invalid"
    );
    region.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_with_the_same_token_is_carried_out_once() {
    let region = TestRegion::start().await;
    let path =
        format!("/compute/v1/projects/sandbox/zones/{ZONE}/disks?requestId=5c6b1b62-4b2b-4c5b-9d0f-1a2b3c4d5e6f");
    let body = json!({ "name": "d", "sizeGb": 1 });
    let (status, first) = region.call(Method::POST, &path, Some(body.clone())).await;
    assert_eq!(status, 200, "{first}");
    let (_, again) = region.call(Method::POST, &path, Some(body)).await;
    assert_eq!(first["name"], again["name"]);
    region.done(&first).await;
    let (status, other) = region
        .call(Method::POST, &path, Some(json!({ "name": "e", "sizeGb": 1 })))
        .await;
    assert_eq!(status, 400, "{other}");
    assert_eq!(names(&region.get(&format!("/zones/{ZONE}/disks")).await), ["d"]);
    region.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_with_unknown_or_wrong_fields_are_refused() {
    let region = TestRegion::start().await;
    let disks = format!("/zones/{ZONE}/disks");
    for (body, why) in [
        (json!({ "name": "d", "sizeGB": "5" }), "Unknown name \"sizeGB\""),
        (json!({ "name": "d", "sizeGb": "five" }), "Invalid JSON payload"),
        (json!({ "name": "d", "sizeGb": "-5" }), "Invalid JSON payload"),
        (json!({ "sizeGb": "5" }), "Required field 'resource.name'"),
        (
            json!({ "name": "d", "type": "zones/us-central1-b/diskTypes/pd-ssd" }),
            "disk's zone",
        ),
    ] {
        let (status, _, message) = region.refused(Method::POST, &disks, Some(body)).await;
        assert_eq!(status, 400);
        assert!(message.contains(why), "{message}");
    }
    assert_eq!(region.refused(Method::POST, "/global/nothings", None).await.0, 404);
    region.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operation_that_fails_says_why() {
    let region = TestRegion::start().await;
    let (status, _) = region
        .call(Method::POST, &format!("/sandbox/v1/zones/{ZONE}/outage"), None)
        .await;
    assert_eq!(status, 200);
    assert_eq!(region.get(&format!("/zones/{ZONE}")).await["status"], "DOWN");
    let path = format!("/compute/v1/projects/sandbox/zones/{ZONE}/instances");
    let (status, operation) = region.call(Method::POST, &path, Some(machine("m"))).await;
    assert_eq!((status, &operation["status"]), (200, &json!("DONE")));
    assert_eq!(operation["error"]["errors"][0]["code"], "ZONE_RESOURCE_POOL_EXHAUSTED");
    assert_eq!(operation["httpErrorStatusCode"], 503);
    let body = json!({ "name": "d", "sizeGb": 1 });
    let (status, reason, _) = region
        .refused(Method::POST, &format!("/zones/{ZONE}/disks"), Some(body.clone()))
        .await;
    assert_eq!((status, reason.as_str()), (503, "backendError"));
    region
        .call(Method::POST, &format!("/sandbox/v1/zones/{ZONE}/restore"), None)
        .await;
    region.post(&format!("/zones/{ZONE}/disks"), body).await;
    region.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn operations_are_listed_where_they_belong() {
    let region = TestRegion::start().await;
    let operation = region
        .post(&format!("/zones/{ZONE}/disks"), json!({ "name": "d", "sizeGb": 1 }))
        .await;
    region
        .post(&format!("/regions/{REGION}/addresses"), json!({ "name": "a" }))
        .await;
    region
        .post(
            "/global/networks",
            json!({ "name": "n", "autoCreateSubnetworks": false }),
        )
        .await;
    for (place, verb) in [
        (format!("/zones/{ZONE}"), "disks"),
        (format!("/regions/{REGION}"), "addresses"),
        ("/global".to_owned(), "networks"),
    ] {
        let list = region.get(&format!("{place}/operations")).await;
        assert_eq!(list["items"].as_array().unwrap().len(), 1, "{list}");
        assert!(list["items"][0]["targetLink"].as_str().unwrap().contains(verb));
    }
    let name = operation["name"].as_str().unwrap();
    assert_eq!(region.get(&format!("/zones/{ZONE}/operations/{name}")).await, operation);
    assert_eq!(
        region
            .refused(Method::GET, &format!("/zones/{OTHER_ZONE}/operations/{name}"), None)
            .await
            .1,
        "notFound"
    );
    assert_eq!(
        region
            .refused(Method::POST, "/global/operations/nope/wait", None)
            .await
            .1,
        "notFound"
    );
    region.stop().await;
}
