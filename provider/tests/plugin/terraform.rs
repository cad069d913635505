//! The real terraform, where it is installed.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use crate::host::BINARY;

const PROVIDER: &str = "registry.terraform.io/multizone/multizone";

/// A directory with a configuration that uses the built provider.
struct Workspace(tempfile::TempDir);

impl Workspace {
    /// `None`, and a loud word, where there is no terraform.
    #[allow(clippy::print_stderr)]
    fn new(configuration: &str) -> Option<Self> {
        if Command::new("terraform").arg("version").output().is_err() {
            eprintln!("SKIPPED: the tests against terraform: it is not installed");
            return None;
        }
        let directory = tempfile::tempdir().unwrap();
        let binaries = Path::new(BINARY).parent().unwrap();
        let overrides = format!(
            "provider_installation {{\n  dev_overrides {{\n    \"multizone/multizone\" = \"{}\"\n  }}\n  direct {{}}\n}}\n",
            binaries.display()
        );
        std::fs::write(directory.path().join("terraform.rc"), overrides).unwrap();
        let required =
            "terraform {\n  required_providers {\n    multizone = { source = \"multizone/multizone\" }\n  }\n}\n";
        std::fs::write(directory.path().join("main.tf"), format!("{required}{configuration}")).unwrap();
        Some(Self(directory))
    }

    fn terraform(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("terraform");
        for name in [
            "TF_LOG",
            "TF_LOG_PROVIDER",
            "TF_REATTACH_PROVIDERS",
            "TF_CLI_ARGS",
            "TF_DATA_DIR",
        ] {
            command.env_remove(name);
        }
        command
            .current_dir(self.0.path())
            .env("TF_CLI_CONFIG_FILE", self.0.path().join("terraform.rc"))
            .env("CHECKPOINT_DISABLE", "1")
            .args(arguments);
        command
    }
}

fn text(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

#[test]
fn terraform_reads_the_schemas() {
    let Some(workspace) = Workspace::new("") else { return };
    let output = workspace.terraform(&["providers", "schema", "-json"]);
    assert!(output.status.success(), "{}", text(&output));
    let schemas: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let provider = &schemas["provider_schemas"][PROVIDER];
    assert!(provider["provider"]["block"]["attributes"].is_object());
    for (name, schema) in provider["resource_schemas"].as_object().into_iter().flatten() {
        assert!(name.starts_with("multizone_"));
        assert_eq!(schema["block"]["description_kind"], "markdown", "{name}");
    }
}

#[test]
fn terraform_plans_with_the_providers_functions() {
    let configuration = "output \"voters\" {\n  value = provider::multizone::quorum_size(5)\n}\n";
    let Some(workspace) = Workspace::new(configuration) else {
        return;
    };
    let output = workspace.terraform(&["plan", "-no-color", "-input=false"]);
    assert!(output.status.success(), "{}", text(&output));
    assert!(text(&output).contains("+ voters = 3"), "{}", text(&output));
}

#[test]
fn terraform_shows_a_refusal_with_its_place() {
    let Some(workspace) = Workspace::new("provider \"multizone\" {}\ndata \"multizone_zones\" \"all\" {}\n") else {
        return;
    };
    let output = workspace.terraform(&["plan", "-no-color", "-input=false"]);
    assert!(!output.status.success(), "{}", text(&output));
    let said = text(&output);
    assert!(
        said.contains("No cloud configured") && said.contains("main.tf line"),
        "{said}"
    );
}

#[test]
fn terraform_shows_where_deep_inside_an_attribute_an_error_is() {
    let configuration = r#"
resource "multizone_cluster" "this" {
  name  = "a"
  zones = { "us-central1-a" = {} }
  timeouts = {
    create = "soon"
  }
}
"#;
    let Some(workspace) = Workspace::new(configuration) else {
        return;
    };
    let output = workspace.terraform(&["validate", "-no-color"]);
    assert!(!output.status.success(), "{}", text(&output));
    let said = text(&output);
    assert!(
        said.contains("timeouts.create") && said.contains("timeouts = {"),
        "{said}"
    );
}

/// A process that does not outlive its test.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // Fails when it has ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn terraform_connects_to_a_provider_that_runs_by_hand() {
    let configuration = "output \"voters\" {\n  value = provider::multizone::quorum_size(5)\n}\n";
    let Some(workspace) = Workspace::new(configuration) else {
        return;
    };
    let mut provider = Killed(
        Command::new(BINARY)
            .arg("--debug")
            .env("TMPDIR", workspace.0.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap(),
    );
    let lines = BufReader::new(provider.0.stdout.take().unwrap()).lines();
    let variable = lines.map(Result::unwrap).find_map(|line| {
        let (_, value) = line.split_once("TF_REATTACH_PROVIDERS=")?;
        Some(value.trim_matches('\'').to_owned())
    });
    for _ in 0..2 {
        let mut command = workspace.command(&["plan", "-no-color", "-input=false"]);
        let output = command
            .env("TF_REATTACH_PROVIDERS", variable.as_ref().unwrap())
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", text(&output));
        assert!(text(&output).contains("+ voters = 3"), "{}", text(&output));
        assert!(
            provider.0.try_wait().unwrap().is_none(),
            "the provider ended with terraform"
        );
    }
    let process = rustix::process::Pid::from_child(&provider.0);
    rustix::process::kill_process(process, rustix::process::Signal::INT).unwrap();
    assert!(provider.0.wait().unwrap().success());
}
