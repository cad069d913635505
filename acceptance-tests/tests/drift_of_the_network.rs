//! What becomes of a cluster's own objects behind Terraform's back, where apply cannot heal it by itself: the plan says so, and
//! a destroy is not in its way.

#![allow(clippy::unwrap_used)]

use multizone_acceptance_tests::{Region, Workspace, installed};

const CONFIGURATION: &str = r#"
resource "multizone_cluster" "demo" {
  name  = "demo"
  zones = { "us-central1-a" = {} }
}
"#;

#[test]
fn lost_keys_are_told_by_the_plan_and_do_not_stand_in_the_way_of_a_destroy() {
    if !installed("terraform") {
        return;
    }
    let workspace = Workspace::of(CONFIGURATION);
    let _ = workspace.apply(&[]);
    Region::of(&workspace).delete_secret("multizone-us-central1-demo-keys");
    let _ = workspace
        .terraform(&["plan"])
        .succeeded()
        .saying(&["The cluster's keys are gone", "Restore it in the secret store"]);
    let _ = workspace.terraform(&["destroy", "-auto-approve"]).succeeded();
    let networks = workspace.status()["networks"].as_array().cloned().unwrap_or_default();
    assert_eq!(networks.len(), 0, "{networks:?}");
}

#[test]
fn a_zone_that_the_same_apply_adds_can_be_used_at_once() {
    if !installed("terraform") {
        return;
    }
    let workspace = Workspace::of(CONFIGURATION);
    let _ = workspace.apply(&[]);
    let disk = r#"
resource "multizone_disk" "data" {
  cluster = multizone_cluster.demo.name
  name    = "data"
  zone    = "us-central1-b"
  size_gb = 5
}
"#;
    workspace.write("disk.tf", disk);
    let refused = workspace.terraform(&["plan"]).exited(1).text();
    assert!(refused.contains("spans us-central1-a"), "{refused}");
    // By its literal name the plan cannot know; apply asks.
    workspace.write("disk.tf", &disk.replace("multizone_cluster.demo.name", "\"demo\""));
    let refused = workspace.terraform(&["apply", "-auto-approve"]).exited(1).text();
    assert!(refused.contains("spans us-central1-a"), "{refused}");
    workspace.write("disk.tf", disk);
    let wider = CONFIGURATION.replace(
        "{ \"us-central1-a\" = {} }",
        "{ \"us-central1-a\" = {}, \"us-central1-b\" = {} }",
    );
    workspace.write("main.tf", &wider);
    let _ = workspace.apply(&[]);
    workspace.assert_empty_plan(&[]);
}
