//! Bad input is refused at plan, with the attribute's path and what would be right.

use multizone_acceptance_tests::{PROVIDER, Workspace, installed};

/// A valid configuration in which each test breaks one thing.
const VALID: &str = r#"
resource "multizone_cluster" "demo" {
  name         = "demo"
  zones        = { "us-central1-a" = {} }
  pod_cidr     = "10.244.0.0/16"
  service_cidr = "10.96.0.0/12"
}
resource "multizone_control_plane" "demo" {
  cluster            = multizone_cluster.demo.name
  kubernetes_version = "1.34.1"
  machine_type       = "n1-standard-2"
  replicas           = { a = { zone = "us-central1-a" } }
}
resource "multizone_node_group" "pool" {
  control_plane      = multizone_control_plane.demo.id
  kubernetes_version = multizone_control_plane.demo.kubernetes_version
  name               = "pool"
  zone               = "us-central1-a"
  size               = 1
  machine_type       = "n1-standard-1"
  labels             = { "team" = "web" }
}
resource "multizone_disk" "data" {
  cluster = multizone_cluster.demo.name
  name    = "data"
  zone    = "us-central1-a"
  size_gb = 5
}
"#;

/// Plans the valid configuration with `from` replaced by `to`, and expects each of `said` in the refusal.
#[track_caller]
fn refused(cases: &[(&str, &str, &[&str])]) {
    if !installed("terraform") {
        return;
    }
    let workspace = Workspace::of("");
    for (from, to, said) in cases {
        let parts = [("provider.tf", PROVIDER), ("main.tf", VALID)];
        let part = parts.iter().find(|(_, text)| text.contains(from));
        let (file, text) = part.expect("the valid configuration has what is to be replaced");
        for (file, text) in parts {
            workspace.write(file, text);
        }
        workspace.write(file, &text.replacen(from, to, 1));
        println!("{from} -> {to}");
        let _ = workspace.terraform(&["plan"]).exited(1).saying(said);
    }
}

#[test]
fn the_valid_configuration_plans() {
    if !installed("terraform") {
        return;
    }
    let workspace = Workspace::of(VALID);
    assert_eq!(workspace.planned_changes(&[]).len(), 4);
}

#[test]
fn zones_must_exist_in_the_region() {
    refused(&[
        (
            r#"zones        = { "us-central1-a" = {} }"#,
            r#"zones = { "us-central1-z" = {} }"#,
            &["zones", "us-central1-z", "us-central1-a"],
        ),
        (
            r#"zones        = { "us-central1-a" = {} }"#,
            r#"zones = { "europe-west1-b" = {} }"#,
            &["zones", "europe-west1-b", "us-central1"],
        ),
        (
            r#"replicas           = { a = { zone = "us-central1-a" } }"#,
            r#"replicas = { a = { zone = "europe-west1-b" } }"#,
            &["replicas", "europe-west1-b"],
        ),
        (
            "zone    = \"us-central1-a\"\n  size_gb",
            "zone    = \"mars-1\"\n  size_gb",
            &["zone", "mars-1"],
        ),
    ]);
}

#[test]
fn ranges_must_be_well_formed_and_apart() {
    refused(&[
        ("10.244.0.0/16", "10.244.0.0", &["pod_cidr", "10.244.0.0/"]),
        ("10.244.0.0/16", "10.244.0.300/16", &["pod_cidr"]),
        (
            "10.244.0.0/16",
            "10.96.0.0/16",
            &["pod_cidr", "10.96.0.0/12", "overlap"],
        ),
        ("10.244.0.0/16", "10.244.0.0/25", &["pod_cidr", "smaller than a /24"]),
        ("10.96.0.0/12", "10.0.0.0/8", &["service_cidr", "larger than a /12"]),
    ]);
}

#[test]
fn disks_are_what_the_cloud_offers_in_zones_that_the_cluster_spans() {
    refused(&[
        (
            "size_gb = 5",
            "size_gb = 5\n  filesystem = \"fat\"",
            &["filesystem", "fat", "ext4, xfs, ext3"],
        ),
        (
            "size_gb = 5",
            "size_gb = 5\n  disk_type = \"floppy\"",
            &["disk_type", "floppy", "pd-balanced"],
        ),
        (
            "size_gb = 5",
            "size_gb = 5\n  storage_class = \"Fast_1\"",
            &["storage_class", "Fast_1"],
        ),
        (
            "zone    = \"us-central1-a\"\n  size_gb",
            "zone    = \"us-central1-b\"\n  size_gb",
            &["zone is us-central1-b", "spans us-central1-a"],
        ),
    ]);
}

#[test]
fn names_must_be_ones_the_cloud_accepts() {
    refused(&[
        (
            r#"name         = "demo""#,
            r#"name = "Demo_1""#,
            &["name", "Demo_1", "lower"],
        ),
        (
            r#"name               = "pool""#,
            r#"name = "-pool""#,
            &["name", "-pool"],
        ),
    ]);
}

#[test]
fn versions_must_be_well_formed_and_supported() {
    refused(&[
        (r#""1.34.1""#, r#""v1.34""#, &["kubernetes_version", "v1.34"]),
        (r#""1.34.1""#, r#""1.28.3""#, &["kubernetes_version", "1.28.3", "1.29"]),
    ]);
}

#[test]
fn machine_types_must_be_on_offer_and_large_enough_for_a_master() {
    refused(&[
        (
            r#"machine_type       = "n1-standard-2""#,
            r#"machine_type = "n1-standard-1""#,
            &["machine_type", "n1-standard-1", "2 CPUs"],
        ),
        (
            r#"machine_type       = "n1-standard-2""#,
            r#"machine_type = "e2-micro""#,
            &["machine_type", "e2-micro", "2 GiB"],
        ),
        (
            r#"machine_type       = "n1-standard-1""#,
            r#"machine_type = "q9-huge""#,
            &["machine_type", "q9-huge", "us-central1-a"],
        ),
    ]);
}

#[test]
fn sizes_must_make_sense() {
    refused(&[
        ("size               = 1", "size = -1", &["size", "-1"]),
        ("size_gb = 5", "size_gb = 0", &["size_gb"]),
    ]);
}

#[test]
fn labels_must_be_ones_that_a_user_may_set() {
    refused(&[
        (
            r#"{ "team" = "web" }"#,
            r#"{ "node-role.kubernetes.io/web" = "" }"#,
            &["labels", "node-role.kubernetes.io/web"],
        ),
        (r#"{ "team" = "web" }"#, r#"{ "team" = "a b" }"#, &["labels", "team"]),
    ]);
}

#[test]
fn exactly_one_cloud_is_configured() {
    refused(&[
        (
            r#"sandbox = { region = "us-central1" }"#,
            "",
            &["sandbox", "compute_engine"],
        ),
        (
            r#"sandbox = { region = "us-central1" }"#,
            "sandbox = { region = \"us-central1\" }\n  compute_engine = { project = \"p\", region = \"us-central1\" }",
            &["sandbox", "compute_engine", "one"],
        ),
        (
            r#"region = "us-central1""#,
            r#"region = "atlantis1""#,
            &["region", "atlantis1", "us-central1"],
        ),
    ]);
}

#[test]
fn a_control_plane_has_masters_that_survive_what_they_are_to_survive() {
    refused(&[
        (
            r#"replicas           = { a = { zone = "us-central1-a" } }"#,
            "replicas = {}",
            &["replicas"],
        ),
        (
            r#"replicas           = { a = { zone = "us-central1-a" } }"#,
            "replicas = { a = { zone = \"us-central1-a\" }, b = { zone = \"us-central1-b\" } }\n  tolerate_zone_loss = true",
            &["replicas", "tolerate_zone_loss", "1 of 2"],
        ),
    ]);
}

#[test]
fn a_disk_never_shrinks() {
    if !installed("terraform") {
        return;
    }
    let disk = r#"
resource "multizone_cluster" "demo" {
  name  = "demo"
  zones = { "us-central1-a" = {}, "us-central1-b" = {} }
}
resource "multizone_disk" "data" {
  cluster = multizone_cluster.demo.name
  name    = "data"
  zone    = "us-central1-a"
  size_gb = 20
}
"#;
    let workspace = Workspace::of(disk);
    let _ = workspace.apply(&[]);
    workspace.write("main.tf", &disk.replace("size_gb = 20", "size_gb = 10"));
    let run = workspace.terraform(&["plan"]).exited(1);
    assert!(run.text().contains("size_gb"), "{}", run.stderr);
    // It grows in place and moves with its data.
    workspace.write("main.tf", &disk.replace("size_gb = 20", "size_gb = 30"));
    assert_eq!(
        workspace.planned_changes(&[]),
        [("multizone_disk.data".to_owned(), "update".to_owned())]
    );
    let _ = workspace.apply(&[]);
    workspace.assert_empty_plan(&[]);
    let moved = disk.replace("size_gb = 20", "size_gb = 30").replace(
        "name    = \"data\"\n  zone    = \"us-central1-a\"",
        "name    = \"data\"\n  zone    = \"us-central1-b\"",
    );
    workspace.write("main.tf", &moved);
    assert_eq!(
        workspace.planned_changes(&[]),
        [("multizone_disk.data".to_owned(), "update".to_owned())]
    );
    let _ = workspace.apply(&[]);
    workspace.assert_empty_plan(&[]);
    let disks = workspace.status()["disks"].as_array().cloned().unwrap_or_default();
    assert_eq!(disks.len(), 1, "the old disk and the snapshot are gone: {disks:?}");
    assert!(
        disks[0]["zone"].as_str().unwrap_or_default().ends_with("us-central1-b"),
        "{disks:?}"
    );
}
