//! The newest Terraform beside the one on the PATH: what only newer versions have, and states that go from one version to
//! the other.
//!
//! `terraform-versions/terraform` runs it, once `scripts/python-environment.sh terraform-versions` has installed it.
//! `scripts/terraform-versions.sh` also runs the suite's core with it, by `MULTIZONE_TERRAFORM`.

#![allow(clippy::unwrap_used)]

use std::{
    fs,
    path::{Path, PathBuf},
};

use multizone_acceptance_tests::{PROVIDER, Run, Workspace, installed};
use serde_json::{Value, json};

const ONE_ZONE: &[&str] = &[r#"-var=zones=["us-central1-a"]"#, "-var=nodes_per_zone=1"];

/// The resources of `examples/multi-zone`, whose import blocks the documentation shows.
const RESOURCES: [(&str, &str); 4] = [
    ("multizone_cluster", "multizone_cluster.demo"),
    ("multizone_control_plane", "multizone_control_plane.demo"),
    ("multizone_node_group", r#"multizone_node_group.pool["us-central1-a"]"#),
    ("multizone_disk", "multizone_disk.data"),
];

/// A cluster's network and a disk: everything that takes no machine.
const DISK: &str = r#"
resource "multizone_cluster" "demo" {
  name  = "demo"
  zones = { "us-central1-a" = {} }
}
resource "multizone_disk" "data" {
  cluster = multizone_cluster.demo.name
  name    = "data"
  zone    = "us-central1-a"
  size_gb = 5
}
"#;

/// The command that is the newest Terraform, or the one under test that `MULTIZONE_TERRAFORM` names; says loudly which
/// test is skipped where there is none.
fn newest() -> Option<PathBuf> {
    let command = std::env::var_os("MULTIZONE_TERRAFORM").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("terraform-versions/terraform"),
        PathBuf::from,
    );
    let run = Run::of(std::process::Command::new(&command).arg("version"));
    if run.code == 0 {
        println!("{}", run.stdout.lines().next().unwrap_or_default());
        return Some(command);
    }
    println!("SKIPPED: {}", run.stderr.trim());
    None
}

/// A workspace of the newest Terraform.
fn on_newest(make: impl FnOnce() -> Workspace) -> Option<Workspace> {
    let newest = newest()?;
    let mut workspace = make();
    workspace.use_terraform(newest);
    Some(workspace)
}

/// Major and minor.
fn version(workspace: &Workspace) -> (u64, u64) {
    let version = workspace.json(&["version", "-json"]);
    let version = version["terraform_version"].as_str().unwrap().to_owned();
    println!("Terraform {version}");
    let mut numbers = version.split('.').map(|number| number.parse().unwrap());
    (numbers.next().unwrap(), numbers.next().unwrap())
}

/// What the state says names an object.
fn identity(workspace: &Workspace, address: &str) -> Value {
    let state = workspace.json(&["show", "-json"]);
    let resources = state["values"]["root_module"]["resources"].as_array().unwrap();
    let resource = resources.iter().find(|resource| resource["address"] == address);
    resource.unwrap()["identity"].clone()
}

fn disk(name: &str) -> Value {
    json!({ "region": "us-central1", "cluster": "demo", "name": name })
}

#[test]
fn the_newest_terraform_behaves_as_a_command() {
    let Some(workspace) = on_newest(|| Workspace::of(DISK)) else {
        return;
    };
    assert!(version(&workspace) >= (1, 12), "identities came with 1.12");
    let run = workspace.terraform(&["plan", "-detailed-exitcode"]).exited(2);
    assert!(run.stdout.contains("2 to add"), "{}", run.stdout);
    let run = workspace.terraform(&["plan", "-var=none=1"]).exited(1);
    assert!(
        run.stderr.contains("undeclared variable") && !run.stdout.contains("undeclared variable"),
        "{run:?}"
    );
    let run = Run::of(
        workspace
            .terraform_command(&["plan"])
            .env("TF_CLI_ARGS_plan", "-detailed-exitcode"),
    );
    assert_eq!(run.code, 2, "{run:?}");
}

/// Applies the example, forgets what it made, and writes the documentation's import blocks.
fn forgotten() -> Option<Workspace> {
    let workspace = on_newest(|| Workspace::of_example("multi-zone"))?;
    let _ = workspace.apply(ONE_ZONE);
    workspace.assert_empty_plan(ONE_ZONE);
    let addresses = RESOURCES.map(|(_, address)| address);
    let _ = workspace
        .terraform(&[&["state", "rm"], &addresses[..]].concat())
        .succeeded();
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/resources");
    let blocks = RESOURCES.map(|(name, _)| {
        let example = examples.join(name).join("import-by-identity.tf");
        fs::read_to_string(&example).unwrap_or_else(|error| panic!("{}: {error}", example.display()))
    });
    workspace.write("import.tf", &blocks.concat());
    Some(workspace)
}

#[test]
fn an_import_block_names_every_resource_by_its_identity() {
    let Some(workspace) = forgotten() else {
        return;
    };
    // What no cloud keeps (the pod network's manifest) is new to the state: a change that changes nothing in the region.
    let text = workspace.apply(ONE_ZONE).text();
    assert!(
        text.contains("4 imported, 0 added") && text.contains("0 destroyed"),
        "{text}"
    );
    workspace.assert_empty_plan(ONE_ZONE);
    assert_eq!(identity(&workspace, "multizone_disk.data"), disk("data"));
    let cluster = json!({ "region": "us-central1", "cluster": "demo" });
    assert_eq!(identity(&workspace, "multizone_control_plane.demo"), cluster);
}

#[test]
fn the_configuration_of_what_is_imported_can_be_generated() {
    let Some(workspace) = forgotten() else {
        return;
    };
    let blocks = fs::read_to_string(workspace.path().join("import.tf")).unwrap();
    for entry in fs::read_dir(workspace.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "tf") {
            fs::remove_file(path).unwrap();
        }
    }
    // Terraform generates nothing for an address with a key.
    let blocks = blocks.replace(r#"pool["us-central1-a"]"#, "pool");
    workspace.write("main.tf", &format!("{PROVIDER}{blocks}"));
    let text = workspace
        .terraform(&["plan", "-generate-config-out=generated.tf"])
        .succeeded()
        .text();
    assert!(
        text.contains("4 to import, 0 to add, 0 to change, 0 to destroy"),
        "{text}"
    );
    let text = workspace.apply(&[]).text();
    assert!(text.contains("4 imported, 0 added, 0 changed, 0 destroyed"), "{text}");
    workspace.assert_empty_plan(&[]);
}

#[test]
fn an_identity_that_names_nothing_is_refused() {
    let Some(workspace) = on_newest(|| Workspace::of(DISK)) else {
        return;
    };
    let _ = workspace.apply(&[]);
    let _ = workspace.terraform(&["state", "rm", "multizone_disk.data"]).succeeded();
    for (identity, said) in [
        (
            r#"region = "us-central1", cluster = "demo", name = "other""#,
            "Cluster demo has no disk other in us-central1",
        ),
        (
            r#"region = "europe-west1", cluster = "demo", name = "data""#,
            "The provider works on region us-central1, not on europe-west1",
        ),
        (
            r#"region = "us-central1", cluster = "demo/data", name = "data""#,
            "neither empty nor with a slash",
        ),
        (
            r#"region = "us-central1", cluster = "demo""#,
            r#"attribute "name" is required"#,
        ),
    ] {
        let block = format!("import {{\n  to = multizone_disk.data\n  identity = {{ {identity} }}\n}}\n");
        workspace.write("import.tf", &block);
        let run = workspace.terraform(&["plan"]).exited(1);
        assert!(run.text().contains(said), "{identity}: {}", run.stderr);
    }
}

#[test]
fn an_identity_stays_through_an_update_and_changes_with_a_replacement() {
    let Some(workspace) = on_newest(|| Workspace::of(DISK)) else {
        return;
    };
    let address = "multizone_disk.data";
    let changed = |configuration: &str, action: &str| {
        workspace.write("main.tf", configuration);
        assert_eq!(
            workspace.planned_changes(&[]),
            [(address.to_owned(), action.to_owned())]
        );
        let _ = workspace.apply(&[]);
        workspace.assert_empty_plan(&[]);
        identity(&workspace, address)
    };
    let _ = workspace.apply(&[]);
    assert_eq!(identity(&workspace, address), disk("data"));
    let larger = DISK.replace("size_gb = 5", "size_gb = 6");
    assert_eq!(changed(&larger, "update"), disk("data"));
    let renamed = larger.replace(r#"name    = "data""#, r#"name    = "logs""#);
    assert_eq!(changed(&renamed, "delete,create"), disk("logs"));
}

#[test]
fn a_state_goes_to_the_newest_version_and_back() {
    let Some(mut workspace) = on_newest(|| Workspace::of(DISK)) else {
        return;
    };
    if !installed("terraform") {
        return;
    }
    let newest = newest().unwrap();
    workspace.use_terraform("terraform");
    let _ = workspace.apply(&[]);
    if version(&workspace) < (1, 12) {
        assert_eq!(identity(&workspace, "multizone_disk.data"), Value::Null);
    }
    workspace.use_terraform(&newest);
    workspace.assert_empty_plan(&[]);
    workspace.write("main.tf", &DISK.replace("size_gb = 5", "size_gb = 6"));
    let _ = workspace.apply(&[]);
    assert_eq!(identity(&workspace, "multizone_disk.data"), disk("data"));
    workspace.use_terraform("terraform");
    workspace.assert_empty_plan(&[]);
    let _ = workspace.terraform(&["destroy", "-auto-approve"]).succeeded();
}
