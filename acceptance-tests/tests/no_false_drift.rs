//! No false drift through real terraform: random valid configurations, several objects each, applied one after the other
//! to the same region and each followed by an empty plan.  The same ones every time.
//!
//! Many more of them run without terraform, in the provider's own tests (interruption/configurations.rs).

#![allow(clippy::unwrap_used)]

use multizone_acceptance_tests::{Workspace, installed};
use serde_json::{Value, json};

#[allow(dead_code)]
#[path = "../../provider/tests/interruption/chance.rs"]
mod chance;

use chance::Chance;

const ZONES: [&str; 3] = ["us-central1-a", "us-central1-b", "us-central1-f"];
const CONFIGURATIONS: usize = 3;

/// A cluster and its control plane, which stay, with node groups and disks that come, change and go.
fn configuration(chance: &mut Chance, cluster: &Value, control_plane: &Value) -> Value {
    let mut groups = serde_json::Map::new();
    let mut disks = serde_json::Map::new();
    for (index, zone) in ZONES.iter().enumerate() {
        if index == 0 || chance.flip() {
            let group = json!({
                "control_plane": "${multizone_control_plane.demo.id}", "name": format!("pool-{index}"), "zone": zone,
            });
            let mut group = chance.workers(&group);
            group["size"] = chance.one_of(&[0, 1, 2]).into();
            groups.insert(format!("pool-{index}"), group);
        }
        if chance.flip() {
            let mut disk = chance.disk();
            disk["cluster"] = "${multizone_cluster.demo.name}".into();
            disk["name"] = format!("data-{index}").into();
            disk["zone"] = (*zone).into();
            // What never changes while a disk lives, and what forbids to destroy it.
            for fixed in ["disk_type", "deletion_protection"] {
                disk.as_object_mut().unwrap().remove(fixed);
            }
            disk["size_gb"] = 10.into();
            disks.insert(format!("data-{index}"), disk);
        }
    }
    let mut resources = json!({
        "multizone_cluster": { "demo": cluster },
        "multizone_control_plane": { "demo": control_plane },
        "multizone_node_group": groups,
    });
    if !disks.is_empty() {
        resources["multizone_disk"] = disks.into();
    }
    json!({
        "terraform": { "required_providers": { "multizone": { "source": "multizone/multizone" } } },
        "provider": { "multizone": { "sandbox": { "region": "us-central1" } } },
        "resource": resources,
    })
}

fn quiet(seed: u64) {
    if !installed("terraform") {
        return;
    }
    let mut chance = Chance(seed);
    let zones: serde_json::Map<String, Value> = ZONES.iter().map(|zone| ((*zone).to_owned(), json!({}))).collect();
    let mut cluster = chance.cluster();
    cluster["name"] = "demo".into();
    cluster["zones"] = zones.into();
    let mut control_plane = chance.control_plane();
    control_plane["cluster"] = "${multizone_cluster.demo.name}".into();
    // Every version of the node groups fits this one.
    control_plane["kubernetes_version"] = "1.34.1".into();
    control_plane["replicas"] = json!({ "a": { "zone": chance.one_of(&ZONES) } });
    for config in [&mut cluster, &mut control_plane] {
        config.as_object_mut().unwrap().remove("deletion_protection");
    }
    let workspace = Workspace::empty();
    for number in 1..=CONFIGURATIONS {
        let config = configuration(&mut chance, &cluster, &control_plane);
        println!("seed {seed}, configuration {number}: {config}");
        workspace.write("main.tf.json", &config.to_string());
        let _ = workspace.apply(&[]);
        workspace.assert_empty_plan(&[]);
    }
}

#[test]
fn configurations_1_to_3() {
    quiet(1);
}

#[test]
fn configurations_4_to_6() {
    quiet(2);
}

#[test]
fn configurations_7_to_9() {
    quiet(3);
}

#[test]
fn configurations_10_to_12() {
    quiet(4);
}
