//! Every resource is imported by its documented ID, by command and by block, and the plan that follows is empty: nothing is
//! configured by other values than it has.

#![allow(clippy::unwrap_used)]

use multizone_acceptance_tests::{Workspace, installed};

const CONFIGURATION: &str = r#"
resource "multizone_cluster" "demo" {
  name         = "demo"
  # Nothing is in the last one.
  zones        = { "us-central1-a" = {}, "us-central1-b" = {}, "us-central1-c" = {} }
  pod_cidr     = "10.244.0.0/16"
  service_cidr = "10.100.0.0/16"
  deletion_protection = true
}
resource "multizone_control_plane" "demo" {
  cluster              = multizone_cluster.demo.name
  kubernetes_version   = "1.34.1"
  machine_type         = "n1-standard-2"
  boot_disk_gb         = 40
  replicas             = { a = { zone = "us-central1-a" } }
  pod_network_manifest = file("pod-network.yaml")
  legacy_zone_labels   = true
  deletion_protection  = false
}
resource "multizone_node_group" "pool" {
  control_plane      = multizone_control_plane.demo.id
  kubernetes_version = "1.34.1"
  name               = "pool"
  zone               = "us-central1-b"
  size               = 2
  machine_type       = "n1-standard-1"
  labels             = { "team" = "web", "tier" = "front" }
  taints             = [
    { key = "dedicated", value = "web", effect = "NoSchedule" },
    { key = "spot", effect = "PreferNoSchedule" },
  ]
  legacy_zone_labels = true
  boot_disk_gb       = 50
  max_surge          = 2
  max_unavailable    = 1
  drain_timeout      = "7m"
}
resource "multizone_node_group" "plain" {
  control_plane      = multizone_control_plane.demo.id
  kubernetes_version = "1.34.1"
  name               = "plain"
  zone               = "us-central1-a"
  size               = 1
  machine_type       = "n1-standard-1"
  taints             = []
}
resource "multizone_disk" "data" {
  cluster   = multizone_cluster.demo.name
  name      = "data"
  zone      = "us-central1-a"
  size_gb   = 7
  disk_type = "pd-ssd"
  labels    = { "team" = "web" }
  filesystem          = "xfs"
  storage_class       = "fast.example"
  legacy_zone_labels  = true
  deletion_protection = true
}
"#;

const IDS: [(&str, &str); 5] = [
    ("multizone_cluster.demo", "us-central1/demo"),
    ("multizone_control_plane.demo", "us-central1/demo"),
    ("multizone_node_group.pool", "us-central1/demo/pool"),
    ("multizone_node_group.plain", "us-central1/demo/plain"),
    ("multizone_disk.data", "us-central1/demo/data"),
];

#[test]
fn what_is_imported_is_what_was_configured() {
    if !installed("terraform") || !installed("kubectl") {
        return;
    }
    let workspace = Workspace::of(CONFIGURATION);
    let _ = workspace.apply(&[]);
    // Labels and taints of others are not taken for the group's.
    let worker = workspace
        .kubectl(
            "demo",
            &["get", "nodes", "-l", "multizone.dev/node-group=pool", "-o", "name"],
        )
        .succeeded();
    let worker = worker
        .stdout
        .lines()
        .next()
        .unwrap()
        .trim_start_matches("node/")
        .to_owned();
    let _ = workspace
        .kubectl("demo", &["label", "node", &worker, "their=label"])
        .succeeded();
    let _ = workspace
        .kubectl("demo", &["taint", "node", &worker, "their=taint:PreferNoSchedule"])
        .succeeded();

    let forget = || {
        let addresses = IDS.map(|(address, _)| address);
        let _ = workspace
            .terraform(&[&["state", "rm"], &addresses[..]].concat())
            .succeeded();
    };
    forget();
    for (address, id) in IDS {
        let _ = workspace.terraform(&["import", address, id]).succeeded();
    }
    workspace.assert_empty_plan(&[]);

    forget();
    let blocks = IDS.map(|(address, id)| format!("import {{\n  to = {address}\n  id = \"{id}\"\n}}\n"));
    workspace.write("import.tf", &blocks.concat());
    let text = workspace.apply(&[]).text();
    assert!(text.contains("5 imported, 0 added, 0 changed, 0 destroyed"), "{text}");
    workspace.assert_empty_plan(&[]);
}

#[test]
fn an_id_of_nothing_is_refused() {
    if !installed("terraform") {
        return;
    }
    let workspace = Workspace::of(CONFIGURATION);
    workspace.write("pod-network.yaml", "");
    let configuration = CONFIGURATION.replace("file(\"pod-network.yaml\")", "null");
    workspace.write("main.tf", &configuration);
    for (address, id, said) in [
        (
            "multizone_cluster.demo",
            "us-central1/demo",
            "Cluster demo in region us-central1 has no settings",
        ),
        (
            "multizone_cluster.demo",
            "europe-west1/demo",
            "works on region us-central1, not on europe-west1",
        ),
        (
            "multizone_disk.data",
            "us-central1/demo/data",
            "has no disk data in us-central1",
        ),
        ("multizone_node_group.pool", "us-central1/demo", "us-central1/demo"),
    ] {
        let text = workspace.terraform(&["import", address, id]).exited(1).text();
        assert!(text.contains(said), "{address} {id}: {text}");
    }
}
