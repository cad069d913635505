//! `make install` lays the provider out so that a plain `terraform init` finds it.

#![allow(clippy::unwrap_used)]

use std::{path::Path, process::Command};

use multizone_acceptance_tests::{Run, Workspace, installed};

#[test]
fn a_plain_init_finds_the_installed_provider() {
    if !installed("terraform") || !installed("bash") {
        return;
    }
    let workspace = Workspace::of_example("multi-zone");
    let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let plugins = workspace.path().join(".terraform.d/plugins");
    let script = format!(
        ". {0}/scripts/terraform-environment.sh; binary={1}; lay_out_mirror {2}",
        checkout.display(),
        workspace.provider().display(),
        plugins.display()
    );
    let _ = Run::of(Command::new("bash").args(["-euo", "pipefail", "-c", &script])).succeeded();
    // A home directory of the test's own: terraform's implied mirror is below it.
    let terraform = |arguments: &[&str]| {
        Run::of(
            workspace
                .command("terraform")
                .args(arguments)
                .env_remove("TF_CLI_CONFIG_FILE")
                .arg("-no-color"),
        )
    };
    let _ = terraform(&["init"]).succeeded();
    let _ = terraform(&["validate"]).succeeded();
}
