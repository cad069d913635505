//! The walk-through of the Kubernetes documentation's "running in multiple zones" on `examples/multi-zone`
//! (domain-rules.md, source document 1).

#![allow(clippy::unwrap_used)]

use multizone_acceptance_tests::{Workspace, installed};
use serde_json::Value;

const A: &str = r#"-var=zones=["us-central1-a"]"#;
const AB: &str = r#"-var=zones=["us-central1-a","us-central1-b"]"#;
const ABF: &str = r#"-var=zones=["us-central1-a","us-central1-b","us-central1-f"]"#;

fn nodes(workspace: &Workspace) -> Vec<Value> {
    let run = workspace.kubectl("demo", &["get", "nodes", "-o", "json"]).succeeded();
    let list: Value = serde_json::from_str(&run.stdout).unwrap();
    list["items"].as_array().unwrap().clone()
}

fn zone_of(node: &Value) -> &str {
    node["metadata"]["labels"]["topology.kubernetes.io/zone"]
        .as_str()
        .unwrap_or_default()
}

fn ready(node: &Value) -> bool {
    let conditions = node["status"]["conditions"].as_array().unwrap();
    conditions
        .iter()
        .any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}

fn assert_nodes_per_zone(workspace: &Workspace, expected: &[(&str, usize)]) {
    let nodes = nodes(workspace);
    for (zone, count) in expected {
        assert_eq!(
            nodes.iter().filter(|node| zone_of(node) == *zone).count(),
            *count,
            "nodes in {zone}"
        );
    }
    assert_eq!(
        nodes.len(),
        expected.iter().map(|(_, count)| count).sum::<usize>(),
        "nodes in all"
    );
    for node in &nodes {
        let labels = &node["metadata"]["labels"];
        assert_eq!(labels["topology.kubernetes.io/region"], "us-central1");
        let provider_id = node["spec"]["providerID"].as_str().unwrap();
        assert!(
            provider_id.contains(zone_of(node)),
            "{provider_id} names the zone {}",
            zone_of(node)
        );
        assert!(ready(node), "{} is Ready", node["metadata"]["name"]);
    }
}

fn assert_only_additions(workspace: &Workspace, zones: &str, zone: &str) {
    let changes = workspace.planned_changes(&[zones]);
    let expected = vec![
        ("multizone_cluster.demo".to_owned(), "update".to_owned()),
        (format!("multizone_node_group.pool[\"{zone}\"]"), "create".to_owned()),
    ];
    assert_eq!(
        changes, expected,
        "the plan shows the cluster's new zone and its nodes, and touches nothing else"
    );
}

#[test]
fn a_cluster_grows_zone_by_zone_and_shrinks_in_reverse_leaving_nothing() {
    if !installed("terraform") || !installed("kubectl") {
        return;
    }
    let workspace = Workspace::of_example("multi-zone");
    let _ = workspace.apply(&[A]);
    assert_nodes_per_zone(&workspace, &[("us-central1-a", 4)]);
    workspace.assert_empty_plan(&[A]);
    let machines_before = nodes(&workspace);

    assert_only_additions(&workspace, AB, "us-central1-b");
    let _ = workspace.apply(&[AB]);
    assert_nodes_per_zone(&workspace, &[("us-central1-a", 4), ("us-central1-b", 3)]);
    workspace.assert_empty_plan(&[AB]);

    assert_only_additions(&workspace, ABF, "us-central1-f");
    let _ = workspace.apply(&[ABF]);
    assert_nodes_per_zone(
        &workspace,
        &[("us-central1-a", 4), ("us-central1-b", 3), ("us-central1-f", 3)],
    );
    workspace.assert_empty_plan(&[ABF]);

    let now = nodes(&workspace);
    for before in &machines_before {
        assert!(
            now.iter()
                .any(|node| node["metadata"]["uid"] == before["metadata"]["uid"]),
            "{} was not touched by adding zones",
            before["metadata"]["name"]
        );
    }

    let _ = workspace.apply(&[AB]);
    assert_nodes_per_zone(&workspace, &[("us-central1-a", 4), ("us-central1-b", 3)]);
    workspace.assert_empty_plan(&[AB]);
    let _ = workspace.apply(&[A]);
    assert_nodes_per_zone(&workspace, &[("us-central1-a", 4)]);
    let _ = workspace.terraform(&["destroy", "-auto-approve", A]).succeeded();
    assert_nothing_left(&workspace);
}

fn assert_nothing_left(workspace: &Workspace) {
    let status = workspace.status();
    for kind in [
        "machines",
        "disks",
        "addresses",
        "networks",
        "subnetworks",
        "firewalls",
        "secrets",
        "snapshots",
    ] {
        if let Some(objects) = status[kind].as_array() {
            assert!(objects.is_empty(), "{kind} left after destroy: {objects:?}");
        }
    }
    let readable = workspace.sandbox(&["status"]).succeeded();
    assert!(readable.text().contains("nothing here"), "{}", readable.stdout);
}

#[test]
fn destroy_of_three_zones_at_once_leaves_nothing() {
    if !installed("terraform") {
        return;
    }
    let workspace = Workspace::of_example("multi-zone");
    let _ = workspace.apply(&["-var=nodes_per_zone=1"]);
    let _ = workspace
        .terraform(&["destroy", "-auto-approve", "-var=nodes_per_zone=1"])
        .succeeded();
    assert_nothing_left(&workspace);
}

#[test]
fn legacy_zone_labels_are_on_every_node_when_asked_for() {
    if !installed("terraform") || !installed("kubectl") {
        return;
    }
    let workspace = Workspace::of_example("multi-zone");
    let _ = workspace.apply(&[A, "-var=nodes_per_zone=1", "-var=legacy_zone_labels=true"]);
    for node in nodes(&workspace) {
        let labels = &node["metadata"]["labels"];
        assert_eq!(labels["failure-domain.beta.kubernetes.io/zone"], "us-central1-a");
        assert_eq!(labels["failure-domain.beta.kubernetes.io/region"], "us-central1");
    }
}

#[test]
fn the_disk_is_labelled_and_kubectl_accepts_its_persistent_volume() {
    if !installed("terraform") || !installed("kubectl") {
        return;
    }
    let workspace = Workspace::of_example("multi-zone");
    let _ = workspace.apply(&[A, "-var=nodes_per_zone=1"]);
    let volume = workspace
        .terraform(&["output", "-raw", "persistent_volume"])
        .succeeded()
        .stdout;
    workspace.write("volume.yaml", &volume);
    let _ = workspace.kubectl("demo", &["apply", "-f", "volume.yaml"]).succeeded();
    let run = workspace.kubectl("demo", &["get", "pv", "-o", "json"]).succeeded();
    let list: Value = serde_json::from_str(&run.stdout).unwrap();
    let volume = &list["items"][0];
    assert_eq!(
        volume["metadata"]["labels"]["topology.kubernetes.io/zone"],
        "us-central1-a"
    );
    assert_eq!(
        volume["metadata"]["labels"]["topology.kubernetes.io/region"],
        "us-central1"
    );
    let terms = &volume["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"];
    assert_eq!(terms[0]["matchExpressions"][0]["values"][0], "us-central1-a");
}

#[test]
fn the_state_holds_no_private_key_and_no_token() {
    if !installed("terraform") {
        return;
    }
    let workspace = Workspace::of_example("multi-zone");
    let _ = workspace.apply(&[A, "-var=nodes_per_zone=1"]);
    let state = workspace.terraform(&["show", "-json"]).succeeded().stdout;
    let raw = std::fs::read_to_string(workspace.path().join("terraform.tfstate")).unwrap();
    for text in [&state, &raw] {
        assert!(!text.contains("PRIVATE KEY"), "no private key");
        let token = text.as_bytes().windows(23).any(|window| {
            let (id, rest) = window.split_at(6);
            rest[0] == b'.'
                && id
                    .iter()
                    .chain(&rest[1..])
                    .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
                && rest[1..].len() == 16
                && id.iter().any(u8::is_ascii_digit)
        });
        assert!(!token, "nothing that looks like a bootstrap token");
    }
}
