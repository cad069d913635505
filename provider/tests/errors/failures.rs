//! Errors of API servers and members of etcd that fail between two calls: somebody halts a master there.

use multizone_schema::Diagnostics;
use serde_json::{Value, json};

use crate::{
    cluster::{CLUSTER, cluster},
    control_plane::CONTROL_PLANE,
    faults::{Faults, Moment, Point},
    node_group::{NODE_GROUP, group, networked, redacted, serving},
    read,
    world::{Operation, Snapshot},
};

const FIRST: &str = "us-central1-a/demo-master-a";
const SUCCESSOR: &str = "us-central1-a/demo-master-a-2";
/// How long an operation waits for an API that does not come back.
const PATIENCE: &str = "20s";

/// What applying it to a region of its own says when that machine is halted as the call, or the step, begins.
async fn halted(
    before: &Snapshot,
    type_name: &'static str,
    config: Value,
    call: &str,
    machine: &'static str,
) -> Diagnostics {
    let apply = Operation {
        name: "apply it",
        type_name,
        config: Some(config),
    };
    let faults = Faults::at(Some(Point {
        call: (call.to_owned(), 1),
        moment: Moment::Meddled("halt", machine),
    }));
    let done = before.thaw().run(&apply, &faults).await;
    assert!(faults.hit(), "{call} was made: {:#?}", faults.calls());
    told_once(&redacted(&done.unwrap().unwrap_err()))
}

/// Without how a connection ends, which differs from run to run, and without the IDs of tokens.
fn told_once(said: &Diagnostics) -> Diagnostics {
    let mut told = Diagnostics::new();
    for mut one in said.iter().cloned() {
        let lines = one.detail.lines().map(|line| {
            let silent = line
                .find("does not answer (")
                .and_then(|at| Some(at + line[at..].find("): ")? + 3));
            let line = silent.map_or_else(|| line.to_owned(), |reason| format!("{}REASON.", &line[..reason]));
            match line.split_once("to make bootstrap token ") {
                Some((before, token)) => {
                    let after = token.find(')').unwrap_or_default();
                    format!("{before}to make bootstrap token ID{}", &token[after..])
                }
                None => line,
            }
        });
        one.detail = lines.collect::<Vec<_>>().join("\n");
        told.push(one);
    }
    told
}

/// A control plane with one thing changed.
fn changed(name: &str, value: impl Into<Value>) -> Value {
    let mut config = networked();
    config[name] = value.into();
    config
}

fn patient(mut config: Value) -> Value {
    config["timeouts"] = json!({ "create": PATIENCE, "update": PATIENCE, "delete": null });
    config
}

#[tokio::test]
async fn masters_that_fail_at_a_step() {
    let before = serving().await;
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path().to_str().unwrap();
    let mut larger = changed("machine_type", "n1-standard-4");
    let cordon = halted(
        &before,
        CONTROL_PLANE,
        larger.clone(),
        "step cordon master a",
        SUCCESSOR,
    );
    read!("cordon_in_vain", cordon.await);
    larger["etcd_backup"] = directory.into();
    let back_up = format!("step back up etcd to {directory}");
    let snapshot = halted(&before, CONTROL_PLANE, larger, &back_up, FIRST);
    read!("no_snapshot", snapshot.await);

    let a = json!({ "zone": "us-central1-a" });
    let two = changed("replicas", json!({ "a": a, "b": a }));
    let join = "step create master b in us-central1-a, wait until it has joined";
    read!(
        "no_token_for_a_master",
        halted(&before, CONTROL_PLANE, two, join, FIRST).await
    );
    let token = "POST /api/v1/namespaces/kube-system/secrets";
    read!(
        "no_token_for_workers",
        halted(&before, NODE_GROUP, group(), token, FIRST).await
    );
}

#[tokio::test]
async fn the_api_falls_silent_before_the_rights_of_node_groups() {
    let before = Snapshot::of_an_empty_region().await.with(CLUSTER, &cluster()).await;
    let rights = "step let node groups join, label and drain nodes";
    read!(
        "no_rights",
        halted(&before, CONTROL_PLANE, patient(networked()), rights, FIRST).await
    );
}

#[tokio::test]
async fn the_api_falls_silent_before_the_record_of_the_settings() {
    let before = serving().await;
    let record = "PATCH /api/v1/namespaces/kube-system/configmaps/multizone-control-plane";
    let config = patient(changed("etcd_backup", "/var/backups"));
    read!("no_record", halted(&before, CONTROL_PLANE, config, record, FIRST).await);
}

#[tokio::test]
async fn the_api_falls_silent_before_an_object_is_deleted() {
    let before = serving().await;
    let manifest = networked()["pod_network_manifest"].as_str().unwrap().to_owned();
    // Its namespace is left.
    let shorter = manifest.split("---").next().unwrap().to_owned();
    let delete = "DELETE /api/v1/namespaces/kube-flannel/configmaps/flannel";
    let config = patient(changed("pod_network_manifest", shorter));
    read!(
        "not_deleted",
        halted(&before, CONTROL_PLANE, config, delete, FIRST).await
    );
}

#[tokio::test]
async fn the_api_falls_silent_before_the_turn_is_taken() {
    let before = serving().await;
    let turn = "PUT /apis/coordination.k8s.io/v1/namespaces/kube-system/leases/multizone-rollout";
    let config = patient(changed("machine_type", "n1-standard-4"));
    read!("no_turn", halted(&before, CONTROL_PLANE, config, turn, FIRST).await);
}
