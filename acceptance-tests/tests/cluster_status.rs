//! `multizone_cluster_status` of a highly available cluster: before it is there, healthy, with a master halted, with a
//! zone out, with nobody left to ask, and when it is gone.

#![allow(clippy::unwrap_used)]

use std::time::{Duration, Instant};

use multizone_acceptance_tests::{Workspace, installed};
use serde_json::{Value, json};

/// How long the cluster may take to get to where it is expected to go.
const PATIENCE: Duration = Duration::from_mins(2);

const STATUS: &str = r#"
data "multizone_cluster_status" "now" {
  cluster = "demo"
}
output "status" {
  value = data.multizone_cluster_status.now
}
"#;

fn status(workspace: &Workspace) -> Value {
    let _ = workspace.terraform(&["refresh"]).succeeded();
    workspace.json(&["output", "-json", "status"])
}

/// The status once it is as expected.
#[track_caller]
fn eventually(workspace: &Workspace, expected: impl Fn(&Value) -> bool) -> Value {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let status = status(workspace);
        if expected(&status) {
            return status;
        }
        assert!(Instant::now() < deadline, "{status:#}");
    }
}

#[test]
fn a_clusters_status_is_what_the_cloud_the_balancer_etcd_and_the_nodes_say() {
    if !installed("terraform") {
        return;
    }
    let workspace = Workspace::of_example("highly-available");
    workspace.write("status.tf", STATUS);
    let status = workspace.terraform(&["plan"]).succeeded();
    assert!(status.text().contains("exists = false"), "{}", status.stdout);
    let _ = workspace.apply(&[]);

    let healthy = eventually(&workspace, |status| status["disagreements"] == json!([]));
    assert_eq!(healthy["not_asked"], json!([]));
    assert_eq!(healthy["quorum_margin"], 1);
    assert_eq!(
        healthy["survives_loss_of"],
        json!(["us-central1-a", "us-central1-b", "us-central1-f"])
    );
    assert_eq!(healthy["address_holder"], "balancer api");
    assert_eq!(healthy["masters"].as_object().unwrap().len(), 3);
    assert_eq!(healthy["workers"].as_object().unwrap().len(), 3);
    for (name, master) in healthy["masters"].as_object().unwrap() {
        for (attribute, expected) in [
            ("machine", "running"),
            ("api_server", "serving"),
            ("target", "serving"),
            ("node", "ready"),
        ] {
            assert_eq!(master[attribute], expected, "{attribute} of {name}");
        }
        assert_eq!(master["zone"], master["node_zone"]);
        assert!(master["certificate_expires_at"].is_string(), "{master}");
    }

    let _ = workspace.sandbox(&["halt", "us-central1-b/demo-master-b"]).succeeded();
    // Its member may have led: for a moment, nobody can say who the members are.
    let halted = eventually(&workspace, |status| {
        status["masters"]["demo-master-b"]["target"] == "unhealthy" && status["quorum_margin"] == 0
    });
    assert_eq!(halted["api_answers"], true);
    assert_eq!(halted["survives_loss_of"], json!(["us-central1-b"]));
    assert_eq!(halted["masters"]["demo-master-b"]["machine"], "halted");
    assert_eq!(halted["masters"]["demo-master-b"]["etcd"], "unhealthy");
    let said = halted["disagreements"].as_array().unwrap();
    assert!(
        said.contains(&json!("master demo-master-b in us-central1-b is halted")),
        "{said:?}"
    );

    let _ = workspace.sandbox(&["boot", "us-central1-b/demo-master-b"]).succeeded();
    let _ = eventually(&workspace, |status| status["quorum_margin"] == 1);
    let _ = workspace.sandbox(&["outage", "us-central1-f"]).succeeded();
    let out = eventually(&workspace, |status| {
        status["zones"]["us-central1-f"]["up"] == false && status["quorum_margin"] == 0
    });
    let out_in_words = out["disagreements"][0].as_str().unwrap();
    assert!(
        out_in_words.starts_with("zone us-central1-f is out, and with it demo-master-f, demo-pool-us-central1-f-"),
        "{out_in_words}"
    );
    assert_eq!(out["api_answers"], true);
    assert_eq!(out["zones"]["us-central1-a"]["writes_go_on"], false);

    let _ = workspace.sandbox(&["outage", "us-central1-a"]).succeeded();
    let _ = workspace.sandbox(&["outage", "us-central1-b"]).succeeded();
    let nobody = self::status(&workspace);
    assert_eq!(
        nobody["masters"].as_object().unwrap().len(),
        3,
        "what the cloud says is still shown"
    );
    assert_eq!((&nobody["quorum_margin"], &nobody["etcd"]), (&json!(-1), &Value::Null));
    let reason = "etcd's members and the Nodes: none of the masters says that it is ready";
    assert_eq!(nobody["not_asked"], json!([reason]));

    for zone in ["us-central1-a", "us-central1-b", "us-central1-f"] {
        let _ = workspace.sandbox(&["restore", zone]).succeeded();
    }
    let _ = eventually(&workspace, |status| status["disagreements"] == json!([]));
    let _ = workspace.terraform(&["destroy", "-auto-approve"]).succeeded();
    assert!(workspace.status()["machines"].as_array().unwrap().is_empty());
}
