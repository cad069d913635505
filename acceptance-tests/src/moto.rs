//! moto, an independent implementation of AWS's APIs, as an account that a test has to itself.

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use serde_json::Value;
use tempfile::TempDir;

use crate::{Run, python, workspace::checkout};

/// The region of everything in it.
const REGION: &str = "us-west-2";
/// What was asked of it, in its directory.
const RECORDING: &str = "requests.jsonl";

/// moto's server on a port of loopback; it ends with the test at the latest.
#[derive(Debug)]
pub struct Moto {
    python: PathBuf,
    directory: TempDir,
    server: Server,
}

/// microburst in front of moto: what goes through it fails as its rules say.
#[derive(Debug)]
pub struct Faults {
    server: Server,
}

/// A program that listens on a port of loopback, which it prints, until its standard input ends.
#[derive(Debug)]
struct Server {
    endpoint: String,
    process: Child,
}

impl Moto {
    /// Starts it, an empty account; says loudly which test is skipped when moto is not installed.
    ///
    /// # Panics
    /// When the server does not say where it listens.
    pub fn start() -> Option<Self> {
        let python = python("moto, boto3")?;
        let directory = tempfile::tempdir().expect("a temporary directory");
        let mut command = program(&python, "server.py");
        command
            .env("MOTO_EC2_ENABLE_INSTANCE_TYPE_VALIDATION", "true")
            .env("MOTO_ENABLE_RECORDING", "true")
            .env("MOTO_RECORDER_FILEPATH", directory.path().join(RECORDING));
        Some(Self {
            server: Server::start(&mut command),
            python,
            directory,
        })
    }

    /// Where it answers.
    pub fn endpoint(&self) -> &str {
        &self.server.endpoint
    }

    /// microburst in front of it, with these rules.
    pub fn with_faults(&self, rules: &Value) -> Faults {
        let mut command = program(&self.python, "faults.py");
        command.arg(self.endpoint()).arg(rules.to_string());
        Faults {
            server: Server::start(&mut command),
        }
    }

    /// What Terraform is started with so that the provider reaches it: the credentials, and nobody else's profile.
    pub fn environment(&self) -> [(&'static str, &str); 6] {
        [
            ("AWS_ENDPOINT_URL", self.endpoint()),
            ("AWS_REGION", REGION),
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
            ("AWS_CONFIG_FILE", "/dev/null"),
            ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null"),
        ]
    }

    /// Runs a Python program that has boto3's clients `ec2`, `elbv2`, `secretsmanager` and `iam` of this account, and
    /// gives what it has put into `answer`.
    ///
    /// # Panics
    /// When the program fails.
    #[track_caller]
    pub fn boto3(&self, program: &str) -> Value {
        let mut command = self::program(&self.python, "look.py");
        let run = Run::of(command.arg(program).envs(self.environment())).succeeded();
        serde_json::from_str(&run.stdout).expect("the program's answer is JSON")
    }

    /// The actions that others than [`Moto::boto3`] have called so far, as IAM names them.
    pub fn actions(&self) -> BTreeSet<String> {
        let mut command = program(&self.python, "actions.py");
        let run = Run::of(command.arg(self.directory.path().join(RECORDING))).succeeded();
        run.stdout.lines().map(str::to_owned).collect()
    }
}

/// The actions that the policy in the guide of AWS allows.
///
/// # Panics
/// When the guide has no policy.
pub fn documented_actions() -> BTreeSet<String> {
    let guide = fs::read_to_string(checkout().join("docs/guides/aws.md")).expect("the guide of AWS");
    let policy = guide.split("```json").nth(1).and_then(|rest| rest.split("```").next());
    let policy: Value = serde_json::from_str(policy.expect("a policy")).expect("the policy is JSON");
    let statements = policy["Statement"].as_array().into_iter().flatten();
    let actions = statements.flat_map(|statement| statement["Action"].as_array().into_iter().flatten());
    actions
        .filter_map(|action| action.as_str().map(str::to_owned))
        .collect()
}

impl Faults {
    /// Where it answers.
    pub fn endpoint(&self) -> &str {
        &self.server.endpoint
    }
}

impl Server {
    fn start(command: &mut Command) -> Self {
        let mut process = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python starts");
        let mut port = String::new();
        let said = process.stdout.as_mut().expect("its output is a pipe");
        BufReader::new(said).read_line(&mut port).expect("readable output");
        let port: u16 = port.trim().parse().expect("it says at which port it listens");
        Self {
            endpoint: format!("http://127.0.0.1:{port}"),
            process,
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn program(python: &Path, name: &str) -> Command {
    let mut command = Command::new(python);
    command
        .arg("-B")
        .arg(checkout().join("acceptance-tests/moto").join(name));
    command
}
