//! A Terraform configuration with a sandbox region of its own.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use serde_json::Value;
use tempfile::TempDir;

use crate::{Moto, Run, machines::Machines, run};

/// How much faster than a real cloud the suite's sandboxes run.
const SPEED: &str = "600";

/// How much of each machine's console is shown when a test has failed.
const CONSOLE_LINES: usize = 20;

/// What comes before the resources of every configuration that is a test's own.
pub const PROVIDER: &str = r#"
terraform {
  required_providers { multizone = { source = "multizone/multizone" } }
}
provider "multizone" {
  sandbox = { region = "us-central1" }
}
"#;

/// A Terraform configuration with a sandbox region of its own.
#[derive(Debug)]
pub struct Workspace {
    directory: TempDir,
    provider: PathBuf,
    terraform: OsString,
    /// Whether it has a sandbox region, which ends with it.
    sandbox: bool,
    /// The machines of its account, if it is on AWS.
    machines: Option<Arc<Machines>>,
    /// What its commands find in their environment besides.
    environment: Vec<(String, String)>,
}

impl Workspace {
    /// A copy of `examples/<name>`, its sandbox started in `us-central1`.
    pub fn of_example(name: &str) -> Self {
        let workspace = Self::empty();
        workspace.copy_example(name);
        workspace
    }

    /// A copy of `examples/<name>` with another provider block, on AWS as [`Moto`] plays it.
    pub fn of_example_on_aws(moto: &Moto, name: &str) -> Self {
        let workspace = Self::of_account(moto);
        workspace.copy_example(name);
        let main = fs::read_to_string(workspace.path().join("main.tf")).expect("the example has a main.tf");
        workspace.write("main.tf", &on_aws(&main));
        workspace
    }

    fn copy_example(&self, name: &str) {
        let example = checkout().join("examples").join(name);
        for entry in fs::read_dir(&example).unwrap_or_else(|error| panic!("{}: {error}", example.display())) {
            let path = entry.expect("a readable directory entry").path();
            if path.is_file() {
                fs::copy(&path, self.path().join(path.file_name().expect("a file has a name")))
                    .expect("a file that can be copied");
            }
        }
    }

    /// Resources of the test's own in `main.tf`, beside the provider's configuration and the examples' pod network; its
    /// sandbox started in `us-central1`.
    pub fn of(resources: &str) -> Self {
        let workspace = Self::empty();
        workspace.write_pod_network();
        workspace.write("provider.tf", PROVIDER);
        workspace.write("main.tf", resources);
        workspace
    }

    /// No configuration yet; its sandbox started in `us-central1`.
    pub fn empty() -> Self {
        let mut workspace = Self::without_sandbox();
        workspace.sandbox = true;
        let _ = workspace
            .sandbox(&["start", "--region", "us-central1", "--speed", SPEED])
            .succeeded();
        workspace
    }

    /// Resources in `main.tf`, on AWS as [`Moto`] plays it.
    pub fn on_aws(moto: &Moto, resources: &str) -> Self {
        let workspace = Self::of_account(moto);
        workspace.write("provider.tf", &on_aws(PROVIDER));
        workspace.write("main.tf", resources);
        workspace.write_pod_network();
        workspace
    }

    /// No configuration yet, in an account of AWS.
    fn of_account(moto: &Moto) -> Self {
        let mut workspace = Self::without_sandbox();
        workspace.machines = moto.machines();
        let environment = moto.environment().into_iter();
        workspace.environment = environment
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        workspace
    }

    /// From now on, AWS is at this endpoint.
    pub fn reach_aws_at(&mut self, endpoint: &str) {
        for (_, value) in self
            .environment
            .iter_mut()
            .filter(|(name, _)| name == "AWS_ENDPOINT_URL")
        {
            endpoint.clone_into(value);
        }
    }

    /// No configuration yet, and no region.
    fn without_sandbox() -> Self {
        let provider = provider();
        let directory = tempfile::Builder::new()
            .prefix("mz")
            .tempdir()
            .expect("a temporary directory");
        let workspace = Self {
            directory,
            provider,
            terraform: run::terraform(),
            sandbox: false,
            machines: None,
            environment: Vec::new(),
        };
        let overrides = format!(
            "provider_installation {{\n  dev_overrides {{\n    \"multizone/multizone\" = \"{}\"\n  }}\n  direct {{}}\n}}\n",
            workspace
                .provider
                .parent()
                .expect("the binary is in a directory")
                .display()
        );
        workspace.write("terraform.rc", &overrides);
        workspace
    }

    fn write_pod_network(&self) {
        let pod_network = checkout().join("examples/multi-zone/pod-network.yaml");
        fs::copy(pod_network, self.path().join("pod-network.yaml")).expect("a file that can be copied");
    }

    /// The directory that holds the configuration and its state.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Writes a file of the configuration.
    pub fn write(&self, name: &str, content: &str) {
        fs::write(self.path().join(name), content).expect("a writable temporary directory");
    }

    /// A command in this workspace's directory and environment.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(self.path())
            .env("TF_CLI_CONFIG_FILE", self.path().join("terraform.rc"))
            .env("TF_IN_AUTOMATION", "1")
            .env("TF_INPUT", "0")
            .env("CHECKPOINT_DISABLE", "1")
            .env("MULTIZONE_SANDBOX_DIRECTORY", self.path().join("sandbox"))
            .env("KUBECONFIG", self.path().join("kubeconfig"))
            .env("HOME", self.path())
            .env_remove("TF_LOG")
            .envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// From now on, this is `terraform`.
    pub fn use_terraform(&mut self, program: impl Into<OsString>) {
        self.terraform = program.into();
    }

    /// `terraform ARGUMENTS -no-color`, not yet started.
    pub fn terraform_command(&self, arguments: &[&str]) -> Command {
        let mut command = self.command(&self.terraform);
        command.args(arguments).arg("-no-color");
        command
    }

    /// `terraform ARGUMENTS -no-color`.
    pub fn terraform(&self, arguments: &[&str]) -> Run {
        Run::of(&mut self.terraform_command(arguments))
    }

    /// `terraform apply -auto-approve ARGUMENTS`, which must succeed.
    #[track_caller]
    pub fn apply(&self, arguments: &[&str]) -> Run {
        self.terraform(&[&["apply", "-auto-approve"], arguments].concat())
            .succeeded()
    }

    /// Asserts that a plan with these arguments finds nothing to do.
    #[track_caller]
    pub fn assert_empty_plan(&self, arguments: &[&str]) {
        let _ = self
            .terraform(&[&["plan", "-detailed-exitcode"], arguments].concat())
            .exited(0);
    }

    /// The changes of a plan: (address, actions joined by a comma), those without any left out.
    #[track_caller]
    pub fn planned_changes(&self, arguments: &[&str]) -> Vec<(String, String)> {
        let _ = self
            .terraform(&[&["plan", "-out=planned"], arguments].concat())
            .succeeded();
        let plan = self.json(&["show", "-json", "planned"]);
        let changes = plan["resource_changes"].as_array().cloned().unwrap_or_default();
        let mut changes: Vec<_> = changes
            .iter()
            .map(|change| {
                let actions = change["change"]["actions"].as_array().cloned().unwrap_or_default();
                let actions: Vec<_> = actions.iter().filter_map(Value::as_str).collect();
                (
                    change["address"].as_str().unwrap_or_default().to_owned(),
                    actions.join(","),
                )
            })
            .filter(|(_, actions)| actions != "no-op" && actions != "read")
            .collect();
        changes.sort();
        changes
    }

    /// What a `terraform` command prints as JSON.
    #[track_caller]
    pub fn json(&self, arguments: &[&str]) -> Value {
        let run = self.terraform(arguments).succeeded();
        serde_json::from_str(&run.stdout).unwrap_or_else(|error| panic!("{}: {error}\n{}", run.command, run.stdout))
    }

    /// `terraform-provider-multizone sandbox ARGUMENTS` on this workspace's sandbox.
    pub fn sandbox(&self, arguments: &[&str]) -> Run {
        Run::of(self.command(&self.provider).arg("sandbox").args(arguments))
    }

    /// `sandbox status --json`.
    #[track_caller]
    pub fn status(&self) -> Value {
        let run = self.sandbox(&["status", "--json"]).succeeded();
        serde_json::from_str(&run.stdout).unwrap_or_else(|error| panic!("{error}\n{}", run.stdout))
    }

    /// `kubectl ARGUMENTS` as the administrator of a cluster of this workspace.
    pub fn kubectl(&self, cluster: &str, arguments: &[&str]) -> Run {
        match &self.machines {
            Some(machines) => self.write("kubeconfig", &machines.kubeconfig(cluster)),
            None => drop(
                self.sandbox(&["kubeconfig", cluster, "--output", "kubeconfig"])
                    .succeeded(),
            ),
        }
        Run::of(self.command("kubectl").args(arguments))
    }

    /// The provider binary under test.
    pub fn provider(&self) -> &Path {
        &self.provider
    }

    /// What the machines have said last: why a test has failed is often found there only.
    fn print_consoles(&self) {
        let entries = |path: PathBuf| fs::read_dir(path).into_iter().flatten().flatten();
        let regions = entries(self.path().join("sandbox"));
        for disk in regions.flat_map(|region| entries(region.path().join("disks"))) {
            let console = fs::read(disk.path().join("console.log")).unwrap_or_default();
            let console = String::from_utf8_lossy(&console);
            let lines: Vec<_> = console.lines().rev().take(CONSOLE_LINES).collect();
            println!("--- the console of {}", disk.file_name().display());
            lines.iter().rev().for_each(|line| println!("{line}"));
        }
    }
}

impl Drop for Workspace {
    fn drop(&mut self) {
        if !self.sandbox {
            return;
        }
        if std::thread::panicking() {
            self.print_consoles();
        }
        let run = self.sandbox(&["stop", "--delete"]);
        assert!(
            run.code == 0 || std::thread::panicking(),
            "the sandbox did not stop: {}{}",
            run.stdout,
            run.stderr
        );
    }
}

/// The configuration with AWS in its provider block.
fn on_aws(configuration: &str) -> String {
    let sandbox = "sandbox = { region = \"us-central1\" }";
    assert!(configuration.contains(sandbox), "{configuration}");
    configuration.replace(sandbox, "aws = { region = \"us-west-2\" }")
}

pub(crate) fn checkout() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the crate is in the checkout")
        .to_owned()
}

/// The binary that `MULTIZONE_PROVIDER` names, else the one built beside this test.
fn provider() -> PathBuf {
    let binary = std::env::var_os("MULTIZONE_PROVIDER").map_or_else(
        || {
            let test = std::env::current_exe().expect("a test knows its own path");
            let profile = test
                .ancestors()
                .nth(2)
                .expect("tests are built into target/<profile>/deps");
            profile.join("terraform-provider-multizone")
        },
        PathBuf::from,
    );
    assert!(
        binary.is_file(),
        "{} is missing: cargo build -p multizone-provider",
        binary.display()
    );
    binary
}
