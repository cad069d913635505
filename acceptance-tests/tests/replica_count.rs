//! Masters by their number: spread over the zones, in the plan already; when the zones or the number change, only those
//! move that must.

#![allow(clippy::unwrap_used)]

use multizone_acceptance_tests::{Run, Workspace, installed};
use serde_json::{Value, json};

const CONFIGURATION: &str = r#"
variable "zones" {
  type    = list(string)
  default = ["us-central1-a", "us-central1-b", "us-central1-f"]
}
variable "masters" {
  type    = number
  default = 3
}
resource "multizone_cluster" "demo" {
  name  = "demo"
  zones = { for zone in var.zones : zone => {} }
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
  replica_count      = var.masters
}
"#;

const OTHER_ZONES: &str = r#"-var=zones=["us-central1-a","us-central1-b","us-central1-c"]"#;

/// The zone of each master as a plan says, or as the state has it.
fn replicas(of: &Value) -> Value {
    let replicas = of["replicas"].as_object().unwrap();
    replicas
        .iter()
        .map(|(key, replica)| (key.clone(), replica["zone"].clone()))
        .collect()
}

fn planned(workspace: &Workspace, arguments: &[&str]) -> Value {
    let _ = workspace
        .terraform(&[&["plan", "-out=planned"], arguments].concat())
        .succeeded();
    let plan = workspace.json(&["show", "-json", "planned"]);
    let changes = plan["resource_changes"].as_array().unwrap();
    let masters = changes
        .iter()
        .find(|change| change["address"] == "multizone_control_plane.demo");
    replicas(&masters.unwrap()["change"]["after"])
}

fn applied(workspace: &Workspace) -> Value {
    let _ = workspace.terraform(&["apply", "planned"]).succeeded();
    let state = workspace.json(&["show", "-json"]);
    let resources = state["values"]["root_module"]["resources"].as_array().unwrap();
    let masters = resources
        .iter()
        .find(|found| found["address"] == "multizone_control_plane.demo");
    replicas(&masters.unwrap()["values"])
}

#[test]
fn masters_are_spread_over_the_zones_and_move_only_where_they_must() {
    if !installed("terraform") {
        return;
    }
    let workspace = Workspace::of(CONFIGURATION);
    // The cluster does not change in the apply that makes the masters: both of its plans choose alike.
    let _ = workspace.apply(&["-target=multizone_cluster.demo"]);
    let one = planned(&workspace, &["-var=masters=1"]);
    assert_eq!(one, json!({ "a": "us-central1-a" }));
    assert_eq!(applied(&workspace), one);
    workspace.assert_empty_plan(&["-var=masters=1"]);

    let three = planned(&workspace, &[]);
    assert_eq!(
        three,
        json!({ "a": "us-central1-a", "b": "us-central1-b", "c": "us-central1-f" })
    );
    assert_eq!(applied(&workspace), three);
    workspace.assert_empty_plan(&[]);

    let moved = planned(&workspace, &[OTHER_ZONES]);
    assert_eq!(
        moved,
        json!({ "a": "us-central1-a", "b": "us-central1-b", "c": "us-central1-c" })
    );
    assert_eq!(applied(&workspace), moved);
    workspace.assert_empty_plan(&[OTHER_ZONES]);
    let machines = workspace.status()["machines"].as_array().cloned().unwrap();
    assert_eq!(machines.len(), 3, "{machines:?}");

    // Written out, the same masters are the same masters.
    let written = CONFIGURATION.replace(
        "replica_count      = var.masters",
        "replicas = { for key, zone in zipmap([\"a\", \"b\", \"c\"], var.zones) : key => { zone = zone } }",
    );
    workspace.write("main.tf", &written);
    assert_eq!(planned(&workspace, &[OTHER_ZONES]), moved);
    assert_eq!(applied(&workspace), moved);
    workspace.assert_empty_plan(&[OTHER_ZONES]);
    let _ = workspace
        .terraform(&["destroy", "-auto-approve", OTHER_ZONES])
        .succeeded();
}

const ALONE: &str = r#"
variable "zones" {
  type    = list(string)
  default = ["us-central1-a"]
}
resource "multizone_cluster" "demo" {
  name  = "demo"
  zones = { for zone in var.zones : zone => {} }
}
resource "multizone_control_plane" "demo" {
  cluster            = multizone_cluster.demo.name
  kubernetes_version = "1.34.1"
  machine_type       = "n1-standard-2"
  replica_count      = 1
}
"#;

#[test]
fn masters_that_name_their_cluster_by_a_literal_do_not_follow_a_change_of_its_zones() {
    if !installed("terraform") {
        return;
    }
    let workspace = Workspace::of(ALONE);
    let _ = workspace.apply(&[]);
    workspace.write(
        "main.tf",
        &ALONE.replace("cluster            = multizone_cluster.demo.name", "cluster = \"demo\""),
    );
    workspace.assert_empty_plan(&[]);
    let elsewhere = r#"-var=zones=["us-central1-b"]"#;
    let refused = workspace.terraform(&["plan", elsewhere]).exited(1).text();
    for part in [
        "Masters that do not wait for their cluster's zones",
        "Write cluster = multizone_cluster.NAME.name",
    ] {
        assert!(refused.contains(part), "{part}: {refused}");
    }
    workspace.write("main.tf", ALONE);
    // Without a refresh nobody sees that they wait.
    let unread = workspace
        .terraform(&["plan", "-refresh=false", elsewhere])
        .exited(1)
        .text();
    assert!(unread.contains("Plan without -refresh=false"), "{unread}");
    workspace.assert_empty_plan(&["-refresh=false"]);
    assert_eq!(planned(&workspace, &[elsewhere]), json!({ "a": "us-central1-b" }));
}

/// Terraform plans the cluster, and masters that name it by a literal, in any order: each of these runs may end otherwise,
/// but none in what Terraform calls a bug in the provider.
#[test]
fn new_masters_of_a_new_cluster_wait_for_it_or_are_refused() {
    if !installed("terraform") {
        return;
    }
    let workspace = Workspace::of(ALONE);
    let one = planned(&workspace, &[]);
    assert_eq!(one, json!({ "a": "us-central1-a" }), "a reference is an order");
    assert_eq!(applied(&workspace), one);
    workspace.assert_empty_plan(&[]);
    let _ = workspace.terraform(&["destroy", "-auto-approve"]).succeeded();

    let literal = ALONE.replace("cluster            = multizone_cluster.demo.name", "cluster = \"demo\"");
    workspace.write("main.tf", &literal);
    for attempt in 0..8 {
        let parallelism = ["-parallelism=1", "-parallelism=10"][attempt % 2];
        let plan = workspace.terraform(&["plan", "-out=planned", parallelism]);
        if plan.code != 0 {
            assert_do_not_wait(&plan);
            continue;
        }
        let apply = workspace.terraform(&["apply", parallelism, "planned"]);
        if apply.code != 0 {
            assert_do_not_wait(&apply);
        }
        break;
    }
    let _ = workspace.apply(&["-target=multizone_cluster.demo"]);
    let _ = workspace.apply(&[]);
    workspace.assert_empty_plan(&[]);
}

/// A plan is refused, or the second plan during an apply, or the create of masters that were begun before their cluster.
#[track_caller]
fn assert_do_not_wait(run: &Run) {
    let said = run.text();
    let refused = said.contains("Masters that do not wait for their cluster")
        && said.contains("write cluster = multizone_cluster.NAME.name");
    let failed = said.contains("Cannot create the control plane of cluster demo")
        && said.contains("refer to it as multizone_cluster.NAME.name");
    assert!(refused || failed, "{said}");
    assert!(!said.contains("inconsistent"), "{said}");
}
