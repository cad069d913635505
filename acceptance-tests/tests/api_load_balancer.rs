//! The balancer in front of the API, by itself: made, changed, repaired, imported and destroyed by terraform.

#![allow(clippy::unwrap_used)]

use multizone_acceptance_tests::{Workspace, installed};

/// A cluster with a balancer over these zones.
fn configuration(zones: &str) -> String {
    format!(
        r#"
resource "multizone_cluster" "demo" {{
  name  = "demo"
  zones = {{ "us-central1-a" = {{}}, "us-central1-b" = {{}} }}
}}
resource "multizone_api_load_balancer" "api" {{
  cluster = multizone_cluster.demo.name
  zones   = {zones}
  labels  = {{ team = "web" }}
}}
"#
    )
}

const BOTH: &str = "keys(multizone_cluster.demo.zones)";

#[test]
fn a_balancer_lives_by_terraform() {
    if !installed("terraform") {
        return;
    }
    let workspace = Workspace::of(&configuration(BOTH));
    let _ = workspace.apply(&[]);
    workspace.assert_empty_plan(&[]);
    let state = workspace.json(&["show", "-json"]);
    let resources = state["values"]["root_module"]["resources"].as_array().unwrap();
    let of = |kind: &str| resources.iter().find(|found| found["type"] == kind).unwrap()["values"].clone();
    let (balancer, cluster) = (of("multizone_api_load_balancer"), of("multizone_cluster"));
    assert_eq!(balancer["id"], "us-central1/demo/api");
    assert_eq!(balancer["name"], "api");
    assert_eq!(balancer["address"], cluster["address"], "the API keeps its address");
    assert_eq!(balancer["zones"].as_array().unwrap().len(), 2);

    // A zone less, and again more.
    workspace.write("main.tf", &configuration(r#"["us-central1-b"]"#));
    let _ = workspace.apply(&[]);
    workspace.assert_empty_plan(&[]);
    workspace.write("main.tf", &configuration(BOTH));
    assert_eq!(
        workspace.planned_changes(&[]),
        [("multizone_api_load_balancer.api".to_owned(), "update".to_owned())]
    );
    let _ = workspace.apply(&[]);

    // Forgotten, and found again by its documented ID.
    let _ = workspace
        .terraform(&["state", "rm", "multizone_api_load_balancer.api"])
        .succeeded();
    let refused = workspace.terraform(&["apply", "-auto-approve"]);
    assert_ne!(refused.code, 0);
    assert!(refused.text().contains("exists already"), "{}", refused.text());
    let id = "us-central1/demo/api";
    let _ = workspace
        .terraform(&["import", "multizone_api_load_balancer.api", id])
        .succeeded();
    workspace.assert_empty_plan(&[]);

    // Zones that the region does not have are refused before anything is done.
    workspace.write("main.tf", &configuration(r#"["us-central1-a", "europe-west1-b"]"#));
    let refused = workspace.terraform(&["plan"]);
    assert!(
        refused.text().contains("europe-west1-b") && refused.code == 1,
        "{}",
        refused.text()
    );

    workspace.write("main.tf", &configuration(BOTH));
    let _ = workspace.terraform(&["destroy", "-auto-approve"]).succeeded();
    let left = workspace.status();
    assert_eq!(left["machines"].as_array().map_or(0, Vec::len), 0);
}
