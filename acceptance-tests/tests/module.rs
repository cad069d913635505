//! `modules/highly-available-cluster`: its own `terraform test` suite on the sandbox, and its checks when a master is
//! halted.

#![allow(clippy::unwrap_used)]

use std::{
    fs,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use multizone_acceptance_tests::{Run, Workspace, installed};

/// How long etcd may take to have a leader again.
const PATIENCE: Duration = Duration::from_mins(1);

const MODULE: &str = "modules/highly-available-cluster";

fn checkout() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap();
        if path.is_file() {
            fs::copy(&path, to.join(name)).unwrap();
        } else if name != ".terraform" {
            copy(&path, &to.join(name));
        }
    }
}

/// A workspace with a copy of the module, in which a plain `terraform init` finds the provider.
fn workspace() -> Workspace {
    let workspace = Workspace::empty();
    copy(&checkout().join(MODULE), &workspace.path().join("module"));
    let script = format!(
        ". {0}/scripts/terraform-environment.sh; binary={1}; lay_out_mirror {2}",
        checkout().display(),
        workspace.provider().display(),
        workspace.path().join(".terraform.d/plugins").display()
    );
    let _ = Run::of(Command::new("bash").args(["-euo", "pipefail", "-c", &script])).succeeded();
    workspace
}

/// Terraform in a directory of the workspace, with the mirror below the workspace's own home directory.
fn terraform(workspace: &Workspace, directory: &str, arguments: &[&str]) -> Run {
    let mut command = workspace.terraform_command(arguments);
    command
        .current_dir(workspace.path().join(directory))
        .env_remove("TF_CLI_CONFIG_FILE");
    Run::of(&mut command)
}

#[test]
fn the_modules_own_tests_pass() {
    if !installed("terraform") || !installed("bash") {
        return;
    }
    let workspace = workspace();
    let _ = terraform(&workspace, "module", &["init"]).succeeded();
    let run = terraform(&workspace, "module", &["test"]).succeeded();
    assert!(run.text().contains("0 failed"), "{}", run.stdout);
    assert_eq!(workspace.status()["machines"], serde_json::json!([]), "nothing is left");
}

#[test]
fn a_check_says_what_is_wrong_while_masters_are_halted() {
    if !installed("terraform") || !installed("bash") {
        return;
    }
    let workspace = workspace();
    let configuration = r#"
terraform {
  required_providers { multizone = { source = "multizone/multizone" } }
}
provider "multizone" {
  sandbox = { region = "us-central1" }
}
module "demo" {
  source      = "./module"
  name        = "demo"
  zones       = ["us-central1-a", "us-central1-b", "us-central1-f"]
  node_groups = {}
}
"#;
    workspace.write("main.tf", configuration);
    let _ = terraform(&workspace, ".", &["init"]).succeeded();
    let applied = terraform(&workspace, ".", &["apply", "-auto-approve"]).succeeded();
    assert!(!applied.text().contains("Check block"), "{}", applied.stdout);
    let _ = workspace.sandbox(&["halt", "us-central1-b/demo-master-b"]).succeeded();
    // Its member may have led: for a moment, there is no leader, and nobody can say who the members are.
    let deadline = Instant::now() + PATIENCE;
    let without_a_leader = |said: &str| said.contains("nobody could say") || said.contains("had no quorum");
    let said = loop {
        let run = terraform(&workspace, ".", &["plan"]).succeeded();
        if !without_a_leader(&run.text()) || Instant::now() >= deadline {
            break run;
        }
    };
    let _ = said.saying(&[
        "Check block assertion failed",
        "0 etcd members of cluster demo could fail before writes stop; it should be 1.",
        "master demo-master-b in us-central1-b is halted",
    ]);
    let _ = workspace.sandbox(&["halt", "us-central1-f/demo-master-c"]).succeeded();
    let _ = terraform(&workspace, ".", &["plan"]).succeeded().saying(&[
        "Check block assertion failed",
        "When this was planned, etcd of cluster demo had no quorum: writes had stopped.",
        "1 of 3 masters run where they can be reached",
    ]);
    let healed = terraform(&workspace, ".", &["apply", "-auto-approve"]).succeeded();
    let planned = terraform(&workspace, ".", &["plan", "-detailed-exitcode"]).exited(0);
    assert!(
        !planned.text().contains("Check block"),
        "{}\n{}",
        healed.stdout,
        planned.stdout
    );
    let _ = terraform(&workspace, ".", &["destroy", "-auto-approve"]).succeeded();
}
