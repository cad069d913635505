//! Errors of node groups.

use multizone_cloud::{CloudError, Labels, MachineState, Role, label};
use multizone_provider::configuration::Configured;
use multizone_schema::Diagnostics;
use serde_json::{Value, json};

use crate::{
    cluster::{CLUSTER, cluster},
    configuration::Destroy,
    control_plane::{CONTROL_PLANE, control_plane},
    faults::Faults,
    memory_cloud::{Fault, machine},
    read,
    run::{Run, check},
    world::{Operation, Snapshot},
};

pub(crate) const NODE_GROUP: &str = "multizone_node_group";

pub(crate) fn group() -> Value {
    json!({
        "control_plane": "us-central1/demo",
        "kubernetes_version": "1.34.1",
        "name": "pool",
        "zone": "us-central1-a",
        "size": 2,
        "machine_type": "n1-standard-2",
    })
}

fn with(name: &str, value: impl Into<Value>) -> Value {
    let mut config = group();
    config[name] = value.into();
    config
}

/// A region where a control plane once was: a cluster whose address nobody answers at, and these machines.
async fn region(machines: &[(&str, Role, MachineState)]) -> Run {
    let run = Run::with(&[(CLUSTER, &cluster())]).await;
    run.cloud.tamper(|inventory| {
        inventory.addresses[0].address = [127, 255, 255, 254].into();
        for (name, role, state) in machines {
            let labels = Labels::from([
                (label::ROLE.to_owned(), role.as_str().to_owned()),
                (label::NODE_GROUP.to_owned(), "pool".to_owned()),
            ]);
            let mut machine = machine("us-central1-a", name, labels);
            machine.state = *state;
            inventory.machines.push(machine);
        }
    });
    run
}

const MASTER: (&str, Role, MachineState) = ("demo-master-a", Role::Master, MachineState::Running);
const HALTED: (&str, Role, MachineState) = ("demo-master-a", Role::Master, MachineState::Halted);
const WORKER: (&str, Role, MachineState) = ("demo-pool-x7k2", Role::Worker, MachineState::Running);

/// The group in Terraform's state, with what was last seen of it.
fn state(run: &mut Run, node: &Value, api: &str) {
    let mut saved = group();
    saved["id"] = "us-central1/demo/pool".into();
    saved["region"] = "us-central1".into();
    saved["max_surge"] = 1.into();
    saved["max_unavailable"] = 0.into();
    saved["drain_timeout"] = "15m".into();
    saved["boot_disk_gb"] = 30.into();
    saved["legacy_zone_labels"] = false.into();
    saved["nodes"] = json!({});
    saved["rollout"] = json!([]);
    let machine = json!({ "power": "On", "specification": "s", "created": 0, "joinable": false });
    let seen = json!({
        "api": api,
        "api_version": { "major": 1, "minor": 34, "patch": 1 },
        "members": { "demo-pool-x7k2": { "machine": machine, "node": node, "drained": false } },
    });
    run.put(NODE_GROUP, &saved, &seen);
}

#[test]
fn configurations_that_are_refused() {
    read!("name", check(NODE_GROUP, &with("name", "Pool_1")));
    read!("name_too_long", check(NODE_GROUP, &with("name", "p".repeat(54))));
    read!("no_control_plane", check(NODE_GROUP, &with("control_plane", "demo")));
    read!("version", check(NODE_GROUP, &with("kubernetes_version", "1.34")));
    read!(
        "version_too_old",
        check(NODE_GROUP, &with("kubernetes_version", "1.20.0"))
    );
    read!("size", check(NODE_GROUP, &with("size", -1)));
    read!("boot_disk", check(NODE_GROUP, &with("boot_disk_gb", 5)));
    read!("drain_timeout", check(NODE_GROUP, &with("drain_timeout", "15")));
    read!("no_room", check(NODE_GROUP, &with("max_surge", 0)));
    let labels =
        json!({ "node-role.kubernetes.io/web": "", "topology.kubernetes.io/zone": "z", "team": "a b", "-x": "" });
    read!("labels", check(NODE_GROUP, &with("labels", labels)));
    let taint = |key: &str, effect: &str| json!({ "key": key, "value": null, "effect": effect });
    let taints = json!([taint("a b", "NoSchedule"), taint("a", "Never")]);
    read!("taints", check(NODE_GROUP, &with("taints", taints)));
    let taints = json!([taint("a", "NoSchedule"), taint("a", "NoSchedule")]);
    read!("taint_twice", check(NODE_GROUP, &with("taints", taints)));
}

#[tokio::test]
async fn plans_that_are_refused() {
    let mut run = Run::new();
    let mut plan = async |config: Value| run.plan(NODE_GROUP, Some(&config)).await;
    read!("zone", plan(with("zone", "europe-west1-b")).await);
    read!("machine_type", plan(with("machine_type", "q9-huge")).await);
    read!("other_region", plan(with("control_plane", "asia-east1/demo")).await);

    let mut run = region(&[MASTER]).await;
    let said = run.plan(CONTROL_PLANE, Some(&control_plane())).await;
    assert!(!said.has_errors(), "{said}");
    let newer = with("kubernetes_version", "1.35.0");
    read!("newer_than_planned", run.plan(NODE_GROUP, Some(&newer)).await);
    let first = run.plan_without(NODE_GROUP, &newer, "control_plane").await;
    read!("newer_than_planned_at_first", first);
}

#[tokio::test]
async fn what_plans_warn_of() {
    let node = |not_ready: &str| json!({ "joined": false, "not_ready": not_ready, "leaving": false, "labels": {}, "taints": [] });
    let mut run = region(&[MASTER, WORKER]).await;
    let stopped = "since 2026-01-02T03:04:05Z: NodeStatusUnknown: Kubelet stopped posting node status.";
    state(&mut run, &node(stopped), "Serving");
    read!("not_ready", run.plan(NODE_GROUP, Some(&group())).await);
    let network =
        "KubeletNotReady: container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady";
    state(&mut run, &node(network), "Serving");
    let taints = json!([{ "key": "dedicated", "value": "db", "effect": "NoExecute" }]);
    run.amend(NODE_GROUP, "taints", &taints);
    read!(
        "taint_keeps_the_network_away",
        run.plan(NODE_GROUP, Some(&with("taints", taints))).await
    );
    state(&mut run, &Value::Null, "Silent");
    read!("unseen", run.plan(NODE_GROUP, Some(&group())).await);
    state(&mut run, &Value::Null, "Serving");
    read!(
        "newer_than_seen",
        run.plan(NODE_GROUP, Some(&with("kubernetes_version", "1.35.0"))).await
    );
    read!("destroy_takes_steps", run.plan(NODE_GROUP, None).await);
}

#[tokio::test]
async fn a_machine_that_another_cluster_has_now() {
    let mut run = region(&[MASTER, WORKER]).await;
    let node = json!({ "joined": true, "not_ready": null, "leaving": false, "labels": {}, "taints": [] });
    state(&mut run, &node, "Serving");
    run.cloud.give("demo-pool-x7k2", "other");
    let said = run.read(NODE_GROUP).await;
    assert!(said.is_empty(), "{said}");
    let plan = run.plan(NODE_GROUP, Some(&group())).await;
    read!("plan_of_anothers_machine", of(&plan, "belongs to"));
    let plan = run.plan(NODE_GROUP, None).await;
    assert!(plan.to_string().contains("belongs to cluster other now"), "{plan}");
}

/// Of what is said, what has this in its summary.
pub(crate) fn of(said: &Diagnostics, summary: &str) -> Diagnostics {
    said.iter()
        .filter(|said| said.summary.contains(summary))
        .cloned()
        .collect()
}

#[tokio::test]
async fn creates_that_fail() {
    let mut run = region(&[]).await;
    read!("no_control_plane_yet", run.apply(NODE_GROUP, Some(&group())).await);
    let mut run = region(&[MASTER, WORKER]).await;
    read!("exists", run.apply(NODE_GROUP, Some(&group())).await);
    let mut run = region(&[MASTER]).await;
    let impatient = with("timeouts", json!({ "create": "0s", "update": null, "delete": null }));
    read!("api_silent", run.apply(NODE_GROUP, Some(&impatient)).await);
    let mut run = region(&[HALTED]).await;
    read!("master_halted", run.apply(NODE_GROUP, Some(&group())).await);
    let mut run = region(&[MASTER]).await;
    run.stop.request();
    read!("stopped", run.apply(NODE_GROUP, Some(&group())).await);
}

#[tokio::test]
async fn what_is_missing_for_workers_to_join() {
    let impatient = with("timeouts", json!({ "create": "0s", "update": "0s", "delete": null }));
    let mut run = region(&[MASTER]).await;
    run.cloud
        .tamper_with_secret("multizone-us-central1-demo-node-credential", None);
    read!("no_credential", run.apply(NODE_GROUP, Some(&impatient)).await);
    let mut run = region(&[MASTER]).await;
    run.cloud.tamper(|inventory| inventory.addresses.clear());
    read!("no_address", run.apply(NODE_GROUP, Some(&impatient)).await);
    let mut run = region(&[MASTER, WORKER]).await;
    state(&mut run, &Value::Null, "Serving");
    let mut larger = impatient;
    larger["size"] = 3.into();
    read!("update_api_silent", run.apply(NODE_GROUP, Some(&larger)).await);
}

#[tokio::test]
async fn reads_that_fail() {
    let mut run = region(&[MASTER, WORKER]).await;
    state(&mut run, &Value::Null, "Serving");
    run.cloud.hide(Some(CloudError::Forbidden {
        object: "the machines".into(),
        reason: "compute.instances.list is missing".into(),
    }));
    read!("read_forbidden", run.read(NODE_GROUP).await);
    run.cloud.hide(None);
    run.amend(NODE_GROUP, "control_plane", &json!("demo"));
    read!("state_without_control_plane", run.read(NODE_GROUP).await);
}

#[tokio::test]
async fn destroys_that_fail() {
    let mut run = region(&[HALTED, WORKER]).await;
    state(&mut run, &Value::Null, "Serving");
    read!("destroy_while_the_master_is_halted", run.apply(NODE_GROUP, None).await);
    let force = Destroy {
        drain_timeout: None,
        force: true,
    };
    run.provider = Configured::new(run.cloud.clone(), force);
    run.cloud.fail(0, Fault::Before);
    read!("delete_lost", run.apply(NODE_GROUP, None).await);
}

#[tokio::test]
async fn imports_that_fail() {
    let run = region(&[MASTER, WORKER]).await;
    read!("import_malformed", run.import(NODE_GROUP, "us-central1/demo").await);
    read!(
        "import_other_region",
        run.import(NODE_GROUP, "asia-east1/demo/pool").await
    );
    read!("import_nothing", run.import(NODE_GROUP, "us-central1/demo/other").await);
    read!("import_silent", run.import(NODE_GROUP, "us-central1/demo/pool").await);
}

/// What differs from run to run: addresses, and how long something took.
pub(crate) fn redacted(said: &Diagnostics) -> Diagnostics {
    let mut redacted = Diagnostics::new();
    for mut one in said.iter().cloned() {
        let words = one.detail.split(' ').map(|word| {
            let address = word.find("127.").map(|start| {
                let end = word[start..].find(|c: char| !(c.is_ascii_digit() || c == '.'));
                let (before, rest) = word.split_at(start);
                format!("{before}ADDRESS{}", end.map_or("", |end| &rest[end..]))
            });
            let number = word.chars().all(|c| c.is_ascii_digit()).then(|| "N".to_owned());
            let time = word.starts_with("20") && word.contains('T') && word.contains("Z:");
            let time = time.then(|| "TIME:".to_owned());
            let file = word
                .split_once("-etcd-20")
                .map(|(before, _)| format!("{before}-etcd-TIME.db:"));
            address.or(number).or(time).or(file).unwrap_or_else(|| word.to_owned())
        });
        one.detail = words.collect::<Vec<_>>().join(" ");
        redacted.push(one);
    }
    redacted
}

/// A control plane with a pod network that tolerates no taint of a group.
pub(crate) fn networked() -> Value {
    let network = include_str!("../../../examples/multi-zone/pod-network.yaml");
    let network = network.replace("- operator: Exists", "- { operator: Exists, effect: NoSchedule }");
    let mut config = control_plane();
    config["pod_network_manifest"] = network.into();
    config
}

/// A region whose control plane serves.
pub(crate) async fn serving() -> Snapshot {
    let empty = Snapshot::of_an_empty_region().await;
    let with_cluster = empty.with(CLUSTER, &cluster()).await;
    with_cluster.with(CONTROL_PLANE, &networked()).await
}

/// What applying it to a region of its own says.
pub(crate) async fn applied(before: &Snapshot, type_name: &'static str, config: Value) -> Diagnostics {
    let apply = Operation {
        name: "apply it",
        type_name,
        config: Some(config),
    };
    let done = before.thaw().run(&apply, &Faults::at(None)).await;
    redacted(&done.unwrap().unwrap_err())
}

#[tokio::test]
async fn what_becomes_of_workers() {
    let before = serving().await;
    let taints = json!([{ "key": "dedicated", "value": "db", "effect": "NoExecute" }]);
    let mut config = with("taints", taints);
    config["size"] = 1.into();
    config["timeouts"] = json!({ "create": "20s", "update": null, "delete": null });
    read!("not_joined", applied(&before, NODE_GROUP, config).await);
    let newer = with("kubernetes_version", "1.35.0");
    read!("newer_than_the_api_server", applied(&before, NODE_GROUP, newer).await);
}
