//! What Compute Engine holds otherwise than it should: networks, firewall rules, addresses, machines, snapshots.

use multizone_cloud::{
    AddressHolder, AddressSpec, Cloud as _, CloudError, ClusterName, FirewallSpec, Labels, MachineSpec, NetworkSpec,
    Role, label,
};
use multizone_provider::resources::trouble::{ADOPTED, CONTINUED};
use serde_json::{Value, json};

use crate::{
    compute_engine::{UNCHANGED, in_whole_seconds, told_of},
    read,
    scripted::{Reply, Server, absent, operation, refusal},
};

const ROOT: &str = "https://www.googleapis.com/compute/v1/projects/p";
const ZONE: &str = "us-central1-a";
const NETWORK: &str = "multizone-demo-us-central1";
const GET_RULE: &str = "GET /global/firewalls/*";
const GET_ADDRESS: &str = "GET /regions/us-central1/addresses/*";
const GET_MACHINE: &str = "GET /zones/us-central1-a/instances/*";
const GET_SNAPSHOT: &str = "GET /global/snapshots/*";

pub(crate) fn demo() -> ClusterName {
    ClusterName::new("demo")
}

pub(crate) fn ok(document: &Value) -> Reply {
    Reply::Json(200, document.clone())
}

/// A global operation, or one of the region, that is done.
pub(crate) fn done() -> Reply {
    ok(&json!({ "name": "operation-1", "status": "DONE" }))
}

/// The document by which an object of a cluster is known.
pub(crate) fn owned(cluster: &str, name: Option<&str>) -> String {
    let mut document = json!({ "multizone-cluster": cluster, "multizone-region": "us-central1" });
    if let Some(name) = name {
        document["multizone-name"] = name.into();
    }
    document.to_string()
}

/// A server that answers so.
async fn answering(calls: &[(&str, &Value)]) -> Server {
    Server::start(calls.iter().map(|(call, found)| (*call, ok(found))).collect()).await
}

#[tokio::test]
async fn networks() {
    const GET_NETWORK: &str = "GET /global/networks/*";
    const GET_SUBNET: &str = "GET /regions/us-central1/subnetworks/*";
    let network = |owner: &str| json!({ "name": NETWORK, "description": owned(owner, None) });
    let with_range = |range: &str| {
        let mut found = network("demo");
        found["ipCidrRange"] = range.into();
        found
    };
    let spec = NetworkSpec {
        cluster: demo(),
        cidr: None,
        zones: Vec::new(),
        existing: None,
        labels: Labels::new(),
    };
    let told = |error: CloudError| told_of("create cluster demo", ADOPTED, &error);
    let server = answering(&[(GET_NETWORK, &network("other"))]).await;
    let error = server.cloud.ensure_network(&spec).await.unwrap_err();
    read!("network_of_another_cluster", told(error));
    let subnet = async |found: Value| {
        let server = answering(&[(GET_NETWORK, &network("demo")), (GET_SUBNET, &found)]).await;
        server.cloud.ensure_network(&spec).await.unwrap_err()
    };
    read!("subnet_of_another_range", told(subnet(with_range("10.1.0.0/16")).await));
    read!("subnet_unreadable", told(subnet(with_range("everything")).await));
    read!("subnet_of_another_cluster", told(subnet(network("other")).await));
}

fn rule(network: &str) -> Value {
    json!({
        "name": "multizone-demo-api", "description": owned("demo", Some("api")),
        "network": format!("{ROOT}/global/networks/{network}"), "direction": "INGRESS",
        "sourceRanges": ["0.0.0.0/0"], "allowed": [{ "IPProtocol": "tcp", "ports": ["6443"] }],
    })
}

fn rule_spec() -> FirewallSpec {
    FirewallSpec {
        cluster: demo(),
        name: "api".to_owned(),
        source_ranges: vec!["0.0.0.0/0".parse().unwrap()],
        source_roles: Vec::new(),
        target_roles: vec![Role::Master],
        tcp_ports: vec![(6443, 6443)],
        all_protocols: false,
    }
}

#[tokio::test]
async fn firewall_rules() {
    let server = answering(&[(GET_RULE, &rule("default"))]).await;
    let error = server.cloud.ensure_firewall_rule(&rule_spec()).await.unwrap_err();
    read!(
        "rule_in_another_network",
        told_of("create cluster demo", ADOPTED, &error)
    );
    let mut changed = rule(NETWORK);
    changed["disabled"] = true.into();
    changed["direction"] = "EGRESS".into();
    changed["sourceTags"] = json!(["web"]);
    changed["sourceServiceAccounts"] = json!(["a@p"]);
    changed["targetServiceAccounts"] = json!(["a@p"]);
    changed["destinationRanges"] = json!(["10.0.0.0/8"]);
    changed["denied"] = json!([{ "IPProtocol": "icmp" }]);
    changed["allowed"] = json!([{ "IPProtocol": "udp" }, { "IPProtocol": "tcp", "ports": ["ssh"] }]);
    changed["sourceRanges"] = json!(["2001:db8::/32"]);
    let server = inventory(&[("GET /global/firewalls", json!({ "items": [changed] }))]).await;
    let found = server.cloud.inventory(&demo()).await.unwrap();
    let found = found.firewall_rule("api").unwrap();
    // What the cluster's drift says of it.
    insta::assert_snapshot!("rule_changed", found.unexpected.clone().unwrap().replace(", ", "\n"));
}

/// A region that has nothing of the cluster but these.
pub(crate) async fn inventory(found: &[(&'static str, Value)]) -> Server {
    let mut steps: Vec<(&str, Reply)> = found.iter().map(|(call, document)| (*call, ok(document))).collect();
    steps.extend([("GET /global/networks/*", absent()), ("GET /subnetworks/*", absent())]);
    let lists = [
        "GET /global/firewalls",
        "GET /addresses",
        "GET /aggregated/instances",
        "GET /aggregated/disks",
        "GET /global/snapshots",
        "GET /secrets",
        "GET /healthChecks",
        "GET /backendServices",
        "GET /forwardingRules",
        "GET /aggregated/instanceGroups",
    ];
    steps.extend(lists.map(|call| (call, ok(&json!({})))));
    Server::start(steps).await
}

fn address(cluster: &str, value: &str, user: Option<&str>) -> Value {
    json!({
        "name": "multizone-demo-api", "description": owned(cluster, Some("api")), "address": value,
        "users": user.map(|user| format!("{ROOT}/{user}")).into_iter().collect::<Vec<_>>(),
        "labels": { "multizone-cluster": cluster, "multizone-address": "api" },
    })
}

fn machine(name: &str, status: &str, accesses: &Value) -> Value {
    json!({
        "name": name, "status": status, "zone": format!("{ROOT}/zones/{ZONE}"),
        "machineType": format!("{ROOT}/zones/{ZONE}/machineTypes/n1-standard-1"),
        "labels": { "multizone-cluster": "demo" }, "networkInterfaces": [{ "accessConfigs": accesses }],
    })
}

fn on_b() -> AddressHolder {
    AddressHolder::Machine {
        zone: ZONE.to_owned(),
        name: "demo-master-b".to_owned(),
    }
}

#[tokio::test]
async fn addresses() {
    let held = address(
        "demo",
        "203.0.113.1",
        Some("zones/us-central1-a/instances/demo-master-a"),
    );
    let server = answering(&[(GET_ADDRESS, &held)]).await;
    let error = server.cloud.attach_address(&demo(), "api", &on_b()).await.unwrap_err();
    read!("address_in_use", told_of("create control plane demo", ADOPTED, &error));
    let server = answering(&[(GET_ADDRESS, &address("other", "203.0.113.1", None))]).await;
    let error = server.cloud.detach_address(&demo(), "api").await.unwrap_err();
    let moving = |error: &CloudError| told_of("update control plane demo", CONTINUED, error);
    read!("address_of_another_cluster", moving(&error));
    let spec = AddressSpec {
        cluster: demo(),
        name: "api".to_owned(),
        labels: Labels::new(),
    };
    let never = address("demo", "", None);
    let server = Server::start((0..200).map(|_| (GET_ADDRESS, ok(&never))).collect()).await;
    let error = in_whole_seconds(server.cloud.ensure_address(&spec).await.unwrap_err());
    read!(
        "address_never_reserved",
        told_of("create cluster demo", ADOPTED, &error)
    );
    let server = inventory(&[(
        "GET /addresses",
        json!({ "items": [address("demo", "2001:db8::1", None)] }),
    )])
    .await;
    let error = server.cloud.inventory(&demo()).await.unwrap_err();
    read!("address_unreadable", told_of("read cluster demo", UNCHANGED, &error));
}

/// What a move of the address to the second master says that cannot take it; the first takes it back, or cannot.
async fn moving(taken_back: Reply, then: &[(&'static str, Value)]) -> CloudError {
    const ADD: &str = "POST /addAccessConfig";
    let nat = json!([{ "name": "External NAT", "natIP": "203.0.113.1" }]);
    let (a, b) = (
        machine("demo-master-a", "RUNNING", &nat),
        machine("demo-master-b", "RUNNING", &json!([])),
    );
    let held = address(
        "demo",
        "203.0.113.1",
        Some("zones/us-central1-a/instances/demo-master-a"),
    );
    let mut steps = vec![
        (GET_ADDRESS, ok(&held)),
        (GET_MACHINE, ok(&b)),
        (GET_MACHINE, ok(&a)),
        ("POST /deleteAccessConfig", done()),
        (ADD, refusal(400, "invalid", "The machine is being deleted.")),
        (GET_MACHINE, ok(&b)),
        (ADD, taken_back),
    ];
    steps.extend(then.iter().map(|(call, found)| (*call, ok(found))));
    // The machine that was to take it reaches the outside again.
    steps.extend([(GET_MACHINE, ok(&b)), (ADD, done())]);
    let server = Server::start(steps).await;
    let error = server.cloud.move_address(&demo(), "api", &on_b()).await.unwrap_err();
    server.finish();
    error
}

#[tokio::test]
async fn addresses_that_cannot_move() {
    let told = |error: CloudError| told_of("update control plane demo", CONTINUED, &error);
    read!("address_came_back", told(moving(done(), &[]).await));
    let a = machine("demo-master-a", "RUNNING", &json!([]));
    let halted = refusal(400, "invalid", "The machine is halted.");
    read!("address_with_nobody", told(moving(halted, &[(GET_MACHINE, a)]).await));
}

#[tokio::test]
async fn machines() {
    let spec = MachineSpec {
        cluster: demo(),
        name: "demo-master-a".to_owned(),
        zone: ZONE.to_owned(),
        role: Role::Master,
        machine_type: "n1-standard-2".to_owned(),
        image: None,
        boot_disk_gb: 20,
        user_data: String::new(),
        identity: None,
        address: None,
        labels: Labels::new(),
    };
    let server = answering(&[(GET_MACHINE, &machine("demo-master-a", "RUNNING", &json!([])))]).await;
    let error = server.cloud.ensure_machine(&spec).await.unwrap_err();
    read!(
        "machine_of_another_type",
        told_of("create control plane demo", ADOPTED, &error)
    );
    let server = answering(&[(GET_MACHINE, &json!({ "name": "demo-master-a", "status": "RUNNING" }))]).await;
    let error = server
        .cloud
        .delete_machine(&demo(), ZONE, "demo-master-a")
        .await
        .unwrap_err();
    read!(
        "machine_without_its_label",
        told_of("delete control plane demo", CONTINUED, &error)
    );
    let starting = machine("demo-master-a", "STAGING", &json!([]));
    let server = Server::start((0..200).map(|_| (GET_MACHINE, ok(&starting))).collect()).await;
    let error = server
        .cloud
        .start_machine(&demo(), ZONE, "demo-master-a")
        .await
        .unwrap_err();
    let error = in_whole_seconds(error);
    read!(
        "machine_never_runs",
        told_of("update control plane demo", CONTINUED, &error)
    );
}

#[tokio::test]
async fn snapshots() {
    let labels = Labels::from([(label::CLUSTER.to_owned(), "demo".to_owned())]);
    let snapshot = |status: &str, of: &str| {
        json!({ "name": "s", "status": status, "sourceDisk": format!("{ROOT}/zones/{of}"),
                "labels": { "multizone-cluster": "demo" } })
    };
    let own = "us-central1-a/disks/data";
    let told = |error: CloudError| told_of("update disk data", CONTINUED, &error);
    let take = async |server: Server| {
        let taken = server.cloud.ensure_snapshot(ZONE, "data", "s", &labels).await;
        taken.unwrap_err()
    };
    let other = snapshot("READY", "us-central1-b/disks/data");
    read!(
        "snapshot_of_another_disk",
        told(take(answering(&[(GET_SNAPSHOT, &other)]).await).await)
    );
    let failed = snapshot("FAILED", own);
    read!(
        "snapshot_failed",
        told(take(answering(&[(GET_SNAPSHOT, &failed)]).await).await)
    );
    let going: Vec<_> = (0..200)
        .map(|_| (GET_SNAPSHOT, ok(&snapshot("DELETING", own))))
        .collect();
    let error = in_whole_seconds(take(Server::start(going).await).await);
    read!("snapshot_on_its_way_out", told(error));
    let coming: Vec<_> = (0..200)
        .map(|_| (GET_SNAPSHOT, ok(&snapshot("UPLOADING", own))))
        .collect();
    let error = in_whole_seconds(take(Server::start(coming).await).await);
    read!("snapshot_never_ready", told(error));
}

#[tokio::test]
async fn regions() {
    let told = |error: CloudError| told_of("read cluster demo", UNCHANGED, &error);
    let disks =
        json!({ "unreachables": [format!("{ROOT}/zones/us-central1-b"), format!("{ROOT}/zones/us-central1-c")] });
    let server = inventory(&[("GET /aggregated/disks", disks)]).await;
    read!(
        "zone_unreachable",
        told(server.cloud.inventory(&demo()).await.unwrap_err())
    );
    let disk = json!({ "name": "demo-data", "sizeGb": "many", "labels": { "multizone-cluster": "demo" } });
    let disks = json!({ "items": { "zones/us-central1-a": { "disks": [disk] } } });
    let server = inventory(&[("GET /aggregated/disks", disks)]).await;
    read!(
        "disk_unreadable",
        told(server.cloud.inventory(&demo()).await.unwrap_err())
    );
    let forbidden = || {
        refusal(
            403,
            "forbidden",
            "Required 'compute.zones.list' permission for 'projects/p'",
        )
    };
    let server = Server::start(vec![("GET /projects/p/zones", forbidden())]).await;
    read!("zones_forbidden", told(server.cloud.zones().await.unwrap_err()));
    let forbidden = refusal(
        403,
        "forbidden",
        "Required 'compute.machineTypes.get' permission for 'projects/p'",
    );
    let server = Server::start(vec![("GET /machineTypes/*", forbidden)]).await;
    let error = server.cloud.machine_type(ZONE, "n1-standard-1").await.unwrap_err();
    read!("machine_type_forbidden", told(error));
    let server = answering(&[("GET /projects/p", &json!({ "name": "p" }))]).await;
    let error = server.cloud.default_machine_identity(&demo()).await.unwrap_err();
    read!(
        "no_default_service_account",
        told_of("create control plane demo", ADOPTED, &error)
    );
}

/// An operation in a zone that never ends would be one too; this one is of an address.
#[tokio::test]
async fn what_was_waited_for_is_named() {
    let released = address("demo", "203.0.113.1", None);
    let mut steps = vec![
        (GET_ADDRESS, ok(&released)),
        ("DELETE /addresses/*", operation("RUNNING")),
    ];
    steps.extend((0..200).map(|_| {
        (
            "POST /zones/us-central1-a/operations/operation-1/wait",
            operation("RUNNING"),
        )
    }));
    let server = Server::start(steps).await;
    let error = in_whole_seconds(server.cloud.delete_address(&demo(), "api").await.unwrap_err());
    read!(
        "address_never_released",
        told_of("delete cluster demo", CONTINUED, &error)
    );
}
