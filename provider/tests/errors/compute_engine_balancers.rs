//! What Compute Engine holds otherwise than it should: the objects that make up a balancer.

use std::collections::BTreeSet;

use multizone_cloud::{AddressHolder, BalancerSpec, Cloud as _, CloudError, Labels};
use multizone_provider::resources::trouble::{CONTINUED, STILL_THERE};
use serde_json::{Value, json};

use crate::{
    compute_engine::{UNCHANGED, in_whole_seconds, told_of},
    compute_engine_network::{demo, done, inventory, ok, owned},
    read,
    scripted::{Reply, Server, absent},
};

const ROOT: &str = "https://www.googleapis.com/compute/v1/projects/p";
const ZONE: &str = "us-central1-a";
const CHECKS: &str = "GET /healthChecks";
const GROUPS: &str = "GET /aggregated/instanceGroups";
const MEMBERS: &str = "POST /listInstances";
const GET_RULE: &str = "GET /forwardingRules/*";

fn spec(zones: &[&str]) -> BalancerSpec {
    BalancerSpec {
        cluster: demo(),
        name: "api".to_owned(),
        zones: zones.iter().map(|zone| (*zone).to_owned()).collect::<BTreeSet<_>>(),
        port: 6443,
        health_path: "/readyz".to_owned(),
        labels: Labels::new(),
    }
}

fn probes(owner: &str) -> Value {
    json!({
        "name": "n", "description": owned(owner, Some("api-probes")), "direction": "INGRESS",
        "network": format!("{ROOT}/global/networks/multizone-demo-us-central1"),
        "sourceRanges": ["10.0.0.0/8"], "allowed": [{ "IPProtocol": "tcp", "ports": ["6443"] }],
    })
}

fn check(name: &str) -> Value {
    let description = json!({
        "multizone-cluster": "demo", "multizone-region": "us-central1", "multizone-name": "api",
        "multizone-port": 6443, "multizone-health-path": "/readyz", "multizone-labels": { "multizone-cluster": "demo" },
    });
    json!({
        "name": name, "description": description.to_string(), "type": "HTTPS", "checkIntervalSec": 5, "timeoutSec": 5,
        "healthyThreshold": 1, "unhealthyThreshold": 2,
        "httpsHealthCheck": { "port": 443, "portSpecification": "USE_FIXED_PORT", "requestPath": "/healthz",
                              "response": "ok" },
    })
}

fn group(zone: &str) -> Value {
    let group =
        json!({ "name": "n", "zone": format!("{ROOT}/zones/{zone}"), "description": owned("demo", Some("api")) });
    json!({ "items": { format!("zones/{zone}"): { "instanceGroups": [group] } } })
}

fn members(machine: &str) -> Value {
    json!({ "items": [{ "instance": format!("{ROOT}/zones/{ZONE}/instances/{machine}") }] })
}

fn with_balancer(documents: &[(&'static str, Value)]) -> Vec<(&'static str, Value)> {
    let mut all = documents.to_vec();
    all.extend([("GET /global/firewalls", json!({ "items": [probes("demo")] }))]);
    all
}

/// The name that the balancer's objects have, as the client asks for them.
async fn name() -> String {
    let server = Server::start(vec![(GET_RULE, absent()), (GROUPS, ok(&json!({})))]).await;
    let _ = server.cloud.delete_balancer(&demo(), "api").await;
    let mut asked = server.asked().into_iter().map(|seen| seen.call);
    let call = asked.find(|call| call.contains("/forwardingRules/")).unwrap();
    call.rsplit('/').next().unwrap().to_owned()
}

/// What the balancer's drift says of a region with these objects.
async fn drift(documents: &[(&'static str, Value)]) -> String {
    let server = inventory(&with_balancer(documents)).await;
    let found = server.cloud.inventory(&demo()).await.unwrap();
    let unexpected = found.balancer("api").unwrap().unexpected.clone().unwrap();
    unexpected
        .replace(", its ", ",\nits ")
        .replace(", it ", ",\nit ")
        .replace(", the ", ",\nthe ")
}

#[tokio::test]
async fn what_somebody_changed() {
    let name = name().await;
    let service = json!({
        "name": name, "description": owned("demo", Some("api")), "protocol": "UDP",
        "loadBalancingScheme": "INTERNAL", "sessionAffinity": "CLIENT_IP",
        "healthChecks": [format!("{ROOT}/regions/us-central1/healthChecks/mine")],
        "connectionDraining": { "drainingTimeoutSec": 300 }, "failoverPolicy": {},
        "backends": [
            { "group": format!("{ROOT}/zones/{ZONE}/instanceGroups/{name}"), "balancingMode": "UTILIZATION" },
            { "group": format!("{ROOT}/zones/{ZONE}/instanceGroups/mine"), "balancingMode": "CONNECTION" },
        ],
    });
    let rule = json!({
        "name": name, "description": owned("demo", Some("api")), "IPProtocol": "UDP", "ports": ["443"],
        "IPAddress": "203.0.113.1", "backendService": format!("{ROOT}/regions/us-central1/backendServices/mine"),
    });
    let changed = [
        (CHECKS, json!({ "items": [check(&name)] })),
        ("GET /backendServices", json!({ "items": [service] })),
        ("GET /forwardingRules", json!({ "items": [rule] })),
    ];
    insta::assert_snapshot!("changed", drift(&changed).await);
    let mut http = check(&name);
    http.as_object_mut().unwrap().remove("type");
    let parts = [
        (CHECKS, json!({ "items": [http] })),
        (GROUPS, group(ZONE)),
        (MEMBERS, members("demo-master-a")),
    ];
    insta::assert_snapshot!("half_deleted", drift(&parts).await);
    insta::assert_snapshot!("almost_deleted", drift(&[]).await);

    let mut probes = probes("demo");
    probes["disabled"] = true.into();
    let mut changed = changed.to_vec();
    changed.push(("GET /global/firewalls", json!({ "items": [probes] })));
    let said = drift(&changed).await;
    insta::assert_snapshot!("probes_changed", said.lines().last().unwrap());
    let address = json!({
        "name": "n", "description": owned("demo", Some("api")), "address": "203.0.113.1",
        "users": [format!("{ROOT}/regions/us-central1/forwardingRules/{name}")],
    });
    changed.pop();
    changed.push(("GET /global/firewalls", json!({})));
    changed.push(("GET /addresses", json!({ "items": [address] })));
    let said = drift(&changed).await;
    insta::assert_snapshot!("probes_gone", said.lines().last().unwrap());
}

#[tokio::test]
async fn updates_that_fail() {
    let told = |error: CloudError| told_of("update balancer api of cluster demo", CONTINUED, &error);
    let name = name().await;
    let server = inventory(&with_balancer(&[
        (CHECKS, json!({ "items": [check(&name)] })),
        (GROUPS, group(ZONE)),
    ]))
    .await;
    let error = server
        .cloud
        .register_target(&demo(), "api", "us-central1-b", "demo-master-b")
        .await
        .unwrap_err();
    read!("zone_not_spanned", told(error));

    let mut steps = vec![(GROUPS, ok(&group(ZONE)))];
    steps.extend((0..200).map(|_| (MEMBERS, ok(&members("demo-master-a")))));
    steps.extend((0..200).map(|_| ("GET /backendServices/*", absent())));
    steps.push(("POST /removeInstances", done()));
    let server = Server::start(steps).await;
    let left = server
        .cloud
        .deregister_target(&demo(), "api", ZONE, "demo-master-a")
        .await;
    read!("target_never_gone", told(in_whole_seconds(left.unwrap_err())));

    let elsewhere = json!({ "name": name, "description": owned("demo", Some("api")), "IPAddress": "203.0.113.9" });
    let address = json!({
        "name": "multizone-demo-api", "description": owned("demo", Some("api")), "address": "203.0.113.1",
    });
    let steps: Vec<(&str, Reply)> = vec![
        ("GET /addresses/*", ok(&address)),
        (CHECKS, ok(&json!({ "items": [check(&name)] }))),
        (CHECKS, ok(&json!({ "items": [check(&name)] }))),
        ("POST /forwardingRules", done()),
        (GET_RULE, ok(&elsewhere)),
    ];
    let server = Server::start(steps).await;
    let balancer = AddressHolder::Balancer { name: "api".to_owned() };
    let attached = server.cloud.attach_address(&demo(), "api", &balancer).await;
    read!("listens_elsewhere", told(attached.unwrap_err()));

    let foreign = json!({ "name": name, "description": "by hand" });
    let steps = [
        ("GET /global/firewalls/*", probes("demo")),
        ("GET /healthChecks/*", foreign),
    ];
    let mut steps: Vec<_> = steps.iter().map(|(call, found)| (*call, ok(found))).collect();
    steps.push(("PUT /global/firewalls/*", done()));
    let server = Server::start(steps).await;
    let error = server.cloud.ensure_balancer(&spec(&[ZONE])).await.unwrap_err();
    read!("check_of_somebody_else", told(error));
}

#[tokio::test]
async fn deletes_that_fail() {
    let told = |error: CloudError| told_of("delete balancer api of cluster demo", STILL_THERE, &error);
    let rule = json!({ "name": "n", "description": owned("demo", Some("api")), "IPAddress": "203.0.113.1" });
    let server = Server::start(vec![(GET_RULE, ok(&rule)), (GROUPS, ok(&group(ZONE)))]).await;
    let error = server.cloud.delete_balancer(&demo(), "api").await.unwrap_err();
    read!("holds_an_address", told(error));
    let steps = vec![
        (GET_RULE, absent()),
        (GROUPS, ok(&group(ZONE))),
        (MEMBERS, ok(&members("demo-master-a"))),
    ];
    let server = Server::start(steps).await;
    let error = server.cloud.delete_balancer(&demo(), "api").await.unwrap_err();
    read!("has_a_target", told(error));
}

#[tokio::test]
async fn reads_that_fail() {
    let name = name().await;
    let rule = json!({ "name": name, "description": owned("demo", Some("api")), "IPAddress": "2001:db8::1" });
    let documents = [
        (CHECKS, json!({ "items": [check(&name)] })),
        ("GET /forwardingRules", json!({ "items": [rule] })),
    ];
    let server = inventory(&with_balancer(&documents)).await;
    let error = server.cloud.inventory(&demo()).await.unwrap_err();
    read!(
        "address_unreadable",
        told_of("read balancer api of cluster demo", UNCHANGED, &error)
    );
}
