//! Control planes that cannot be are refused at plan: each at the attribute that asks for it.

use multizone_acceptance_tests::{Workspace, installed};

/// A valid configuration in which each test breaks one thing.
const VALID: &str = r#"
resource "multizone_cluster" "demo" {
  name  = "demo"
  zones = { "us-central1-a" = {}, "us-central1-b" = {}, "us-central1-f" = {} }
}
resource "multizone_api_load_balancer" "api" {
  cluster = multizone_cluster.demo.name
  zones   = keys(multizone_cluster.demo.zones)
}
resource "multizone_control_plane" "demo" {
  cluster            = multizone_cluster.demo.name
  load_balancer      = multizone_api_load_balancer.api.name
  kubernetes_version = "1.34.1"
  machine_type       = "n1-standard-2"
  tolerate_zone_loss = true
  replica_count      = 3
}
resource "multizone_cluster" "other" {
  name  = "other"
  zones = { "us-central1-a" = {} }
}
resource "multizone_api_load_balancer" "other" {
  cluster = multizone_cluster.other.name
  name    = "front"
  zones   = keys(multizone_cluster.other.zones)
}
"#;

const COUNT: &str = "replica_count      = 3";
const SPREAD: &str = "a = { zone = \"us-central1-a\" }, b = { zone = \"us-central1-b\" }";

/// Plans the valid configuration with `from` replaced by `to`, and expects an error that shows the line `at` and says
/// all of `said`.
#[track_caller]
fn refused(workspace: &Workspace, from: &str, to: &str, at: &str, said: &[&str]) {
    assert!(VALID.contains(from), "the valid configuration has {from}");
    workspace.write("main.tf", &VALID.replacen(from, to, 1));
    println!("{from} -> {to}");
    let run = workspace.terraform(&["plan"]).exited(1).saying(said);
    let line = run.text().split(": ").any(|part| part.starts_with(at));
    assert!(line, "{at:?} is not what is shown in\n{}", run.stderr);
}

#[test]
fn masters_are_given_once_and_there_is_one() {
    if !installed("terraform") {
        return;
    }
    let workspace = Workspace::of(VALID);
    assert_eq!(workspace.planned_changes(&[]).len(), 5);
    for (to, at, said) in [
        ("replicas = {}", "replicas = {}", "replicas is empty"),
        (
            "replica_count = 3\n  replicas = { a = { zone = \"us-central1-a\" } }",
            "replica_count = 3",
            "Both replicas and replica_count are written",
        ),
        (
            "",
            "resource \"multizone_control_plane\"",
            "Neither replicas nor replica_count",
        ),
        ("replica_count = 0", "replica_count = 0", "it must be from 1 to 7"),
        ("replica_count = 8", "replica_count = 8", "it must be from 1 to 7"),
    ] {
        refused(&workspace, COUNT, to, at, &[said]);
    }
}

#[test]
fn masters_are_where_the_cluster_and_its_balancer_are() {
    if !installed("terraform") {
        return;
    }
    let workspace = Workspace::of(VALID);
    let elsewhere = format!("replicas = {{ {SPREAD}, c = {{ zone = \"us-central1-c\" }} }}");
    refused(
        &workspace,
        COUNT,
        &elsewhere,
        "replicas = {",
        &[
            "us-central1-c",
            "cluster demo spans us-central1-a, us-central1-b, us-central1-f",
        ],
    );
    refused(
        &workspace,
        "multizone_api_load_balancer.api.name",
        "multizone_api_load_balancer.other.name",
        "load_balancer =",
        &["cluster demo has no balancer of this name", "load_balancer is front"],
    );
    refused(
        &workspace,
        "zones   = keys(multizone_cluster.demo.zones)",
        "zones   = [\"us-central1-a\", \"us-central1-b\"]",
        "resource \"multizone_control_plane\"",
        &[
            "balancer api of cluster demo spans us-central1-a, us-central1-b",
            "us-central1-f",
        ],
    );
}

#[test]
fn masters_that_are_to_survive_a_zone_can() {
    if !installed("terraform") {
        return;
    }
    let workspace = Workspace::of(VALID);
    let two = format!("replicas = {{ {SPREAD} }}");
    refused(
        &workspace,
        COUNT,
        &two,
        "replicas = {",
        &["tolerate_zone_loss is true", "1 of 2"],
    );
    refused(
        &workspace,
        COUNT,
        "replica_count = 1",
        "replica_count = 1",
        &["tolerate_zone_loss is true", "0 of 1"],
    );
    let zones = "zones = { \"us-central1-a\" = {}, \"us-central1-b\" = {}, \"us-central1-f\" = {} }";
    refused(
        &workspace,
        zones,
        "zones = { \"us-central1-a\" = {}, \"us-central1-b\" = {} }",
        "replica_count =",
        &["tolerate_zone_loss is true", "1 of 3"],
    );
}
