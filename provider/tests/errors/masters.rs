//! Errors of the steps that change masters, and of what is in their way.

use multizone_cloud::{Cloud as _, ClusterName};
use serde_json::{Value, json};

use crate::{
    cluster::{CLUSTER, cluster},
    control_plane::{CONTROL_PLANE, control_plane, made, region, seen_otherwise, standing, state, with},
    faults::{Faults, Moment, Point},
    memory_cloud::MemoryCloud,
    node_group::{applied, networked, of, redacted, serving},
    read,
    rendering::rendered,
    run::Run,
    world::{Operation, Snapshot},
};

fn node(zone: &str) -> Value {
    json!({
        "replica": "x", "zone": zone, "address": "10.0.0.2", "provider_id": "x", "state": "ready",
        "certificate_expires_at": null,
    })
}

/// A cluster over two zones.
fn spanning() -> Value {
    let mut spanning = cluster();
    spanning["zones"] = json!({ "us-central1-a": { "subnet_cidr": null, "existing_subnet": null }, "us-central1-b": { "subnet_cidr": null, "existing_subnet": null } });
    spanning
}

/// Masters in these zones.
fn spread(zones: &[&str]) -> Value {
    let keys = ["a", "b", "c"].iter().zip(zones);
    let replicas: serde_json::Map<String, Value> = keys
        .map(|(key, zone)| ((*key).to_owned(), json!({ "zone": zone })))
        .collect();
    with("replicas", replicas)
}

#[tokio::test]
async fn what_plans_say_of_several_masters() {
    let mut run = Run::with(&[(CLUSTER, &spanning())]).await;
    let zones = ["us-central1-a", "us-central1-b", "us-central1-b"];
    read!(
        "three_in_two_zones",
        run.plan(CONTROL_PLANE, Some(&spread(&zones))).await
    );
    let mut run = region().await;
    let nodes = json!({ "demo-master-a": node("us-central1-a"), "demo-master-b": node("us-central1-b") });
    let silence = "the Kubernetes API at https://127.255.255.254:6443 does not answer (to ask whether it is ready)";
    state(&mut run, &made(), &json!({ "silence": silence }));
    run.amend(CONTROL_PLANE, "nodes", &nodes);
    let said = run.plan(CONTROL_PLANE, Some(&control_plane())).await;
    read!("two_are_silent", of(&said, "does not answer"));
    state(&mut run, &made(), &json!({}));
    run.amend(CONTROL_PLANE, "nodes", &nodes);
    read!("destroy_of_two", run.plan(CONTROL_PLANE, None).await);
    run.amend(CONTROL_PLANE, "nodes", &json!({}));
    read!("destroy_of_those_never_seen", run.plan(CONTROL_PLANE, None).await);
}

#[tokio::test]
async fn a_change_that_a_zone_is_in_the_way_of() {
    let mut run = region().await;
    state(&mut run, &made(), &json!({}));
    seen_otherwise(&mut run, |seen| {
        let world = &mut seen["world"];
        world["machines"]["demo-master-a"]["power"] = "Off".into();
        world["machines"]["demo-master-a"]["api"] = "Unready".into();
        world["members"]["1"]["healthy"] = false.into();
        world["address"]["answers"] = false.into();
        let zone = json!({ "up": false, "leaving": false, "subnet": false, "workers": 0, "disks": 0 });
        world["zones"] = json!({ "us-central1-a": zone });
    });
    read!("zone_out", run.plan(CONTROL_PLANE, Some(&control_plane())).await);
}

#[tokio::test]
async fn turns_that_others_have() {
    let cluster = ClusterName::new("demo");
    let mut run = region().await;
    let says = json!({ "holder": "build-7/4711/1767323045000", "renewal": 3 }).to_string();
    let name = "multizone-us-central1-demo-turn";
    let posted = run.cloud.post_notice(&cluster, name, &says, None).await;
    assert!(posted.unwrap().is_some());
    let impatient = with("timeouts", json!({ "create": "0s", "update": null, "delete": null }));
    read!("turn_of_another_run", run.apply(CONTROL_PLANE, Some(&impatient)).await);

    // Two operations of one run; the first waits for a master that never serves.
    let mut first = region().await;
    let mut second = region().await;
    let patient = with("timeouts", json!({ "create": "2s", "update": null, "delete": null }));
    let cloud = first.cloud.clone();
    let second = async {
        until_there_is_a_machine(&cloud).await;
        second.apply(CONTROL_PLANE, Some(&impatient)).await
    };
    let (_, said) = futures::future::join(first.apply(CONTROL_PLANE, Some(&patient)), second).await;
    read!("turn_of_the_same_run", said);
}

async fn until_there_is_a_machine(cloud: &MemoryCloud) {
    while cloud.all().machines.is_empty() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_cloud_that_confirms_and_does_nothing() {
    let mut run = standing().await;
    run.cloud.forget_changes();
    let said = run.apply(CONTROL_PLANE, None).await;
    read!("nothing_shows_it", of(&said, "Cannot delete"));
}

#[tokio::test]
async fn a_machine_that_vanishes_while_it_is_waited_for() {
    let mut run = region().await;
    let cloud = run.cloud.clone();
    let vanish = async {
        until_there_is_a_machine(&cloud).await;
        cloud.tamper(|inventory| inventory.machines.clear());
    };
    let patient = with("timeouts", json!({ "create": "1s", "update": null, "delete": null }));
    let (said, ()) = futures::future::join(run.apply(CONTROL_PLANE, Some(&patient)), vanish).await;
    read!("machine_gone_while_it_boots", redacted(&said));
}

/// What applying it says while somebody does this right after a call.
async fn meddled(
    before: &Snapshot,
    config: Value,
    call: &str,
    (verb, machine): (&'static str, &'static str),
) -> String {
    let apply = Operation {
        name: "apply it",
        type_name: CONTROL_PLANE,
        config: Some(config),
    };
    let faults = Faults::at(Some(Point {
        call: (call.to_owned(), 1),
        moment: Moment::Meddled(verb, machine),
    }));
    let done = before.thaw().run(&apply, &faults).await;
    assert!(faults.hit(), "{call} was made");
    rendered(&redacted(&done.unwrap().unwrap_err()))
}

#[tokio::test]
async fn machines_that_are_halted_while_they_are_waited_for() {
    let empty = Snapshot::of_an_empty_region().await;
    let before = empty.with(CLUSTER, &cluster()).await;
    let patient = |name: &str| {
        let mut timeouts = json!({ "create": null, "update": null, "delete": null });
        timeouts[name] = "4s".into();
        timeouts
    };
    let config = with("timeouts", patient("create"));
    let halt = ("halt", "us-central1-a/demo-master-a");
    let said = meddled(&before, config, "ensure_machine demo-master-a", halt).await;
    insta::assert_snapshot!("first_master_halted", said);

    let before = empty.with(CLUSTER, &spanning()).await;
    let before = before.with(CONTROL_PLANE, &networked()).await;
    let mut config = networked();
    config["replicas"] = spread(&["us-central1-a", "us-central1-b"])["replicas"].clone();
    config["timeouts"] = patient("update");
    let halt = ("halt", "us-central1-b/demo-master-b");
    let said = meddled(&before, config, "ensure_machine demo-master-b", halt).await;
    insta::assert_snapshot!("second_master_halted", said);
}

#[tokio::test]
async fn steps_that_fail_before_a_master_is_replaced() {
    let before = serving().await;
    let mut config = networked();
    config["machine_type"] = "n1-standard-4".into();
    config["etcd_backup"] = "/dev/null/backups".into();
    read!(
        "backup_that_cannot_be_saved",
        applied(&before, CONTROL_PLANE, config).await
    );
}
