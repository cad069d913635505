//! Balancers on the Compute Engine face over HTTP, in the shapes of the published API.
#![allow(clippy::unwrap_used)]

mod support;

use reqwest::Method;
use serde_json::{Value, json};
use std::net::{Ipv4Addr, TcpListener};
use std::time::{Duration, Instant};
use support::{OTHER_ZONE, REGION, TestRegion, ZONE, machine};

const CHECKS: &str = "/regions/us-central1/healthChecks";
const SERVICES: &str = "/regions/us-central1/backendServices";
const RULES: &str = "/regions/us-central1/forwardingRules";
const GROUPS: &str = "/zones/us-central1-a/instanceGroups";

fn check(name: &str) -> Value {
    json!({
        "name": name, "type": "HTTPS", "checkIntervalSec": 5, "timeoutSec": 5,
        "httpsHealthCheck": { "port": 6443, "requestPath": "/readyz" },
    })
}

fn service(name: &str) -> Value {
    json!({
        "name": name, "loadBalancingScheme": "EXTERNAL", "protocol": "TCP",
        "healthChecks": [format!("projects/sandbox/regions/{REGION}/healthChecks/lb")],
        "connectionDraining": { "drainingTimeoutSec": 30 },
        "backends": [{ "group": format!("projects/sandbox/zones/{ZONE}/instanceGroups/lb"), "balancingMode": "CONNECTION" }],
    })
}

fn rule(address: &str) -> Value {
    json!({
        "name": "lb", "loadBalancingScheme": "EXTERNAL", "IPProtocol": "TCP", "IPAddress": address, "ports": ["6443"],
        "backendService": format!("https://www.googleapis.com/compute/v1/projects/sandbox{SERVICES}/lb"),
        "labels": { "multizone-cluster": "demo" },
    })
}

fn member(name: &str) -> Value {
    json!({ "instances": [{ "instance": format!("projects/sandbox/zones/{ZONE}/instances/{name}") }] })
}

/// A machine in a group behind a service; answers the machine's own address and that of the reservation `api`.
async fn prepare(region: &TestRegion) -> (Ipv4Addr, String) {
    region.post(&format!("/zones/{ZONE}/instances"), machine("m")).await;
    region
        .post(&format!("/regions/{REGION}/addresses"), json!({ "name": "api" }))
        .await;
    region.post(CHECKS, check("lb")).await;
    region.post(GROUPS, json!({ "name": "lb" })).await;
    region.post(SERVICES, service("lb")).await;
    region.post(&format!("{GROUPS}/lb/addInstances"), member("m")).await;
    let m = region.get(&format!("/zones/{ZONE}/instances/m")).await;
    let own = m["networkInterfaces"][0]["networkIP"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    let api = region.get(&format!("/regions/{REGION}/addresses/api")).await;
    (own, api["address"].as_str().unwrap().to_owned())
}

async fn health(region: &TestRegion) -> Value {
    let group = json!({ "group": format!("projects/sandbox/zones/{ZONE}/instanceGroups/lb") });
    let path = format!("/compute/v1/projects/sandbox{SERVICES}/lb/getHealth");
    let (status, answer) = region.call(Method::POST, &path, Some(group)).await;
    assert_eq!(
        (status, &answer["kind"]),
        (200, &json!("compute#backendServiceGroupHealth"))
    );
    answer["healthStatus"].clone()
}

async fn health_becomes(region: &TestRegion, wanted: &str) {
    let deadline = Instant::now() + Duration::from_mins(1);
    loop {
        let seen = health(region).await;
        if seen[0]["healthState"] == wanted {
            return;
        }
        assert!(Instant::now() < deadline, "waited too long for {wanted}: {seen}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_objects_of_a_balancer_have_the_shapes_of_the_api() {
    let region = TestRegion::start().await;
    let (own, api) = prepare(&region).await;
    let made = region.post(RULES, rule(&api)).await;
    assert_eq!(made["operationType"], "insert");

    let check = region.get(&format!("{CHECKS}/lb")).await;
    assert_eq!(
        (&check["kind"], &check["type"]),
        (&json!("compute#healthCheck"), &json!("HTTPS"))
    );
    assert_eq!(check["httpsHealthCheck"]["requestPath"], "/readyz");
    assert_eq!(
        (&check["healthyThreshold"], &check["unhealthyThreshold"]),
        (&json!(2), &json!(2))
    );

    let group = region.get(&format!("{GROUPS}/lb")).await;
    assert_eq!(
        (&group["kind"], &group["size"]),
        (&json!("compute#instanceGroup"), &json!(1))
    );
    assert!(group["network"].as_str().unwrap().ends_with("/global/networks/default"));
    let (status, members) = region
        .call(
            Method::POST,
            &format!("/compute/v1/projects/sandbox{GROUPS}/lb/listInstances"),
            None,
        )
        .await;
    assert_eq!(
        (status, &members["kind"]),
        (200, &json!("compute#instanceGroupsListInstances"))
    );
    assert_eq!(members["items"][0]["status"], "RUNNING");
    assert!(
        members["items"][0]["instance"]
            .as_str()
            .unwrap()
            .ends_with("/instances/m")
    );

    let service = region.get(&format!("{SERVICES}/lb")).await;
    assert_eq!(service["kind"], "compute#backendService");
    assert_eq!(service["connectionDraining"]["drainingTimeoutSec"], 30);
    assert_eq!(service["backends"][0]["balancingMode"], "CONNECTION");
    assert!(
        service["healthChecks"][0]
            .as_str()
            .unwrap()
            .ends_with("/healthChecks/lb")
    );

    let rule = region.get(&format!("{RULES}/lb")).await;
    assert_eq!(
        (&rule["kind"], &rule["IPAddress"]),
        (&json!("compute#forwardingRule"), &json!(api))
    );
    assert_eq!((&rule["ports"], &rule["IPProtocol"]), (&json!(["6443"]), &json!("TCP")));
    assert!(rule["id"].is_string(), "64-bit numbers are strings");
    let address = region.get(&format!("/regions/{REGION}/addresses/api")).await;
    assert_eq!(address["status"], "IN_USE");
    assert_eq!(address["users"], json!([rule["selfLink"]]));
    let labels = json!({ "labels": { "a": "b" }, "labelFingerprint": rule["labelFingerprint"] });
    region.post(&format!("{RULES}/lb/setLabels"), labels).await;
    assert_eq!(region.get(&format!("{RULES}/lb")).await["labels"], json!({ "a": "b" }));

    let seen = health(&region).await;
    assert_eq!(
        (&seen[0]["healthState"], &seen[0]["ipAddress"]),
        (&json!("UNHEALTHY"), &json!(own.to_string()))
    );
    assert_eq!(
        (&seen[0]["forwardingRuleIp"], &seen[0]["forwardingRule"]),
        (&json!(api), &rule["selfLink"])
    );

    for (collection, scope) in [
        ("healthChecks", "regions/us-central1"),
        ("backendServices", "regions/us-central1"),
        ("forwardingRules", "regions/us-central1"),
        ("instanceGroups", "zones/us-central1-a"),
    ] {
        let listed = region
            .get(&format!("/{scope}/{collection}?filter=name%3Dlb&maxResults=1"))
            .await;
        assert_eq!(listed["items"][0]["name"], "lb", "{listed}");
        let none = region.get(&format!("/{scope}/{collection}?filter=name%3Dother")).await;
        assert!(none.get("items").is_none(), "{none}");
        let all = region
            .get(&format!("/aggregated/{collection}?returnPartialSuccess=true"))
            .await;
        assert_eq!(all["items"][scope][collection][0]["name"], "lb", "{all}");
        if collection != "instanceGroups" {
            assert!(
                region
                    .get(&format!("/global/{collection}"))
                    .await
                    .get("items")
                    .is_none()
            );
        }
    }
    region.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn health_follows_what_the_machine_answers_and_status_shows_it() {
    let region = TestRegion::start().await;
    let (own, api) = prepare(&region).await;
    let tcp = json!({ "type": "TCP", "tcpHealthCheck": { "port": 6443 } });
    region.change(Method::PATCH, &format!("{CHECKS}/lb"), tcp).await;
    let open = json!({
        "name": "probes", "network": "global/networks/default", "sourceRanges": ["35.191.0.0/16"],
        "allowed": [{ "IPProtocol": "tcp", "ports": ["6443"] }],
    });
    region.post("/global/firewalls", open).await;
    region.post(RULES, rule(&api)).await;
    health_becomes(&region, "UNHEALTHY").await;
    let listener = TcpListener::bind((own, 6443)).unwrap();
    health_becomes(&region, "HEALTHY").await;

    let status = region.status().await;
    let balancer = &status["balancers"][0];
    assert_eq!(
        (&balancer["name"], &balancer["address"], &balancer["active"]),
        (&json!("lb"), &json!(api), &json!(true))
    );
    assert_eq!(
        balancer["targets"],
        json!([{ "zone": ZONE, "machine": "m", "health": "SERVING" }])
    );
    assert_eq!(status["addresses"][0]["balancer"], format!("{REGION}/lb"));

    region
        .change(Method::PATCH, "/global/firewalls/probes", json!({ "disabled": true }))
        .await;
    health_becomes(&region, "UNHEALTHY").await;
    region
        .change(Method::PATCH, "/global/firewalls/probes", json!({ "disabled": false }))
        .await;
    health_becomes(&region, "HEALTHY").await;
    drop(listener);
    health_becomes(&region, "UNHEALTHY").await;

    region.post(&format!("{GROUPS}/lb/removeInstances"), member("m")).await;
    assert_eq!(
        health(&region).await,
        Value::Null,
        "the operation ends when the target is gone"
    );
    region.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_api_refuses_is_refused() {
    let region = TestRegion::start().await;
    let (_, api) = prepare(&region).await;
    region.post(RULES, rule(&api)).await;
    let (status, reason, _) = region.refused(Method::POST, CHECKS, Some(check("lb"))).await;
    assert_eq!((status, reason.as_str()), (409, "alreadyExists"));
    for path in [format!("{CHECKS}/lb"), format!("{SERVICES}/lb"), format!("{GROUPS}/lb")] {
        let (status, reason, _) = region.refused(Method::DELETE, &path, None).await;
        assert_eq!(
            (status, reason.as_str()),
            (400, "resourceInUseByAnotherResource"),
            "{path}"
        );
    }
    let (_, reason, _) = region
        .refused(Method::POST, &format!("{GROUPS}/lb/addInstances"), Some(member("m")))
        .await;
    assert_eq!(reason, "memberAlreadyExists");
    let (status, reason, _) = region
        .refused(
            Method::PATCH,
            &format!("{SERVICES}/lb"),
            Some(json!({ "timeoutSec": 10 })),
        )
        .await;
    assert_eq!((status, reason.as_str()), (412, "conditionNotMet"));
    let elsewhere = format!("/zones/{OTHER_ZONE}/instanceGroups");
    region.post(&elsewhere, json!({ "name": "other" })).await;
    let (_, _, message) = region
        .refused(
            Method::POST,
            &format!("{elsewhere}/other/addInstances"),
            Some(member("m")),
        )
        .await;
    assert!(message.contains("is in the zone"), "{message}");

    for (path, body, wrong) in [
        (
            CHECKS,
            json!({ "name": "x", "type": "GRPC", "grpcHealthCheck": {} }),
            "grpcHealthCheck",
        ),
        (
            CHECKS,
            json!({ "name": "x", "type": "TCP", "httpsHealthCheck": {} }),
            "resource.type",
        ),
        (
            CHECKS,
            json!({ "name": "x", "type": "HTTPS", "httpsHealthCheck": { "path": "/" } }),
            "at 'httpsHealthCheck'",
        ),
        (
            SERVICES,
            json!({ "name": "x", "backends": [{ "mode": "CONNECTION" }] }),
            "at 'backends[0]'",
        ),
        (
            SERVICES,
            json!({ "name": "x", "failoverPolicy": { "failoverRatio": 0.5 } }),
            "failoverPolicy",
        ),
        (
            SERVICES,
            json!({ "name": "x", "backends": [{ "group": format!("zones/{ZONE}/instanceGroups/lb"), "maxRate": 5 }] }),
            "maxRate",
        ),
        (
            RULES,
            json!({ "name": "x", "ports": ["1"], "portRange": "1-2" }),
            "resource.ports",
        ),
        (
            RULES,
            json!({ "name": "x", "target": "targetPools/x", "ports": ["1"] }),
            "resource.target",
        ),
        (
            GROUPS,
            json!({ "name": "x", "members": [] }),
            "Unknown name \"members\"",
        ),
    ] {
        let (status, _, message) = region.refused(Method::POST, path, Some(body)).await;
        assert_eq!(status, 400, "{message}");
        assert!(message.contains(wrong), "{wrong}: {message}");
    }
    for path in [
        format!("{RULES}?nonsense=1"),
        format!("{RULES}/lb?filter=x"),
        format!("/zones/{ZONE}/disks?zone=x"),
    ] {
        let (status, _, message) = region.refused(Method::GET, &path, None).await;
        assert_eq!(status, 400, "{path}: {message}");
        assert!(message.contains("Cannot bind query parameter"), "{message}");
    }
    region.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_moves_between_a_machine_and_a_balancer() {
    let region = TestRegion::start().await;
    let (_, api) = prepare(&region).await;
    let instance = format!("/zones/{ZONE}/instances/m");
    let detach = format!("{instance}/deleteAccessConfig?networkInterface=nic0&accessConfig=External%20NAT");
    let attach = format!("{instance}/addAccessConfig?networkInterface=nic0");
    region.post(&detach, Value::Null).await;
    region
        .post(&attach, json!({ "type": "ONE_TO_ONE_NAT", "natIP": api }))
        .await;
    let (_, _, message) = region.refused(Method::POST, RULES, Some(rule(&api))).await;
    assert!(message.contains("in-use"), "{message}");
    region.post(&detach, Value::Null).await;
    region.post(RULES, rule("regions/us-central1/addresses/api")).await;
    let (_, _, message) = region
        .refused(Method::POST, &attach, Some(json!({ "natIP": api })))
        .await;
    assert!(message.contains("already in-use"), "{message}");
    region.delete(&format!("{RULES}/lb")).await;
    region.post(&attach, json!({ "natIP": api })).await;
    let user = region.get(&format!("/regions/{REGION}/addresses/api")).await["users"][0].clone();
    assert!(user.as_str().unwrap().ends_with("/instances/m"), "{user}");
    region.stop().await;
}
