//! moto, an independent implementation of AWS's APIs, as an account that a test has to itself.

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
};

use serde_json::Value;
use tempfile::TempDir;

use crate::{
    Run,
    machines::{Machines, Range, SPEED},
    python,
    workspace::checkout,
};

/// The region of everything in it.
pub(crate) const REGION: &str = "us-west-2";
/// What was asked of it, in its directory.
const RECORDING: &str = "requests.jsonl";

/// Everything that an empty account does not have.
const LEFT: &str = r#"
found = {
    "instances": [i["InstanceId"] for r in ec2.describe_instances()["Reservations"] for i in r["Instances"]
                  if i["State"]["Name"] != "terminated"],
    "volumes": [v["VolumeId"] for v in ec2.describe_volumes()["Volumes"]],
    "snapshots": [s["SnapshotId"] for s in ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"] if s.get("Tags")],
    "vpcs": [v["VpcId"] for v in ec2.describe_vpcs()["Vpcs"] if not v["IsDefault"]],
    "subnets": [s["SubnetId"] for s in ec2.describe_subnets()["Subnets"] if s.get("Tags")],
    "gateways": [g["InternetGatewayId"] for g in ec2.describe_internet_gateways()["InternetGateways"] if g["Tags"]],
    "groups": [g["GroupId"] for g in ec2.describe_security_groups()["SecurityGroups"] if g.get("Tags")],
    "load balancers": [b["LoadBalancerName"] for b in elbv2.describe_load_balancers()["LoadBalancers"]],
    "target groups": [g["TargetGroupName"] for g in elbv2.describe_target_groups()["TargetGroups"]],
    "secrets": [s["Name"] for s in secretsmanager.list_secrets()["SecretList"]],
    "roles": [r["RoleName"] for r in iam.list_roles()["Roles"]],
    "profiles": [p["InstanceProfileName"] for p in iam.list_instance_profiles()["InstanceProfiles"]],
}
answer = {kind: things for kind, things in found.items() if things}
"#;

/// moto's server on a port of loopback; it ends with the test at the latest.
#[derive(Debug)]
pub struct Moto {
    python: PathBuf,
    directory: TempDir,
    machines: Option<Arc<Machines>>,
    server: Server,
}

/// microburst in front of moto: what goes through it fails as its rules say.
#[derive(Debug)]
pub struct Faults {
    directory: TempDir,
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
        Self::start_in(None)
    }

    /// The same, whose instances are machines that do what their user data says.
    ///
    /// # Panics
    /// As [`Moto::start`].
    pub fn start_with_machines() -> Option<Self> {
        Self::start_in(Some(Range::claim()))
    }

    fn start_in(range: Option<Range>) -> Option<Self> {
        let python = python("moto, boto3")?;
        let directory = tempfile::tempdir().expect("a temporary directory");
        let mut command = program(&python, "server.py");
        command
            .env("MOTO_EC2_ENABLE_INSTANCE_TYPE_VALIDATION", "true")
            .env("MOTO_ENABLE_RECORDING", "true")
            .env("MOTO_RECORDER_FILEPATH", directory.path().join(RECORDING));
        if let Some(range) = &range {
            command.env("MOTO_AMIS_PATH", checkout().join("acceptance-tests/moto/images.json"));
            command.args([range.block.number().to_string(), SPEED.to_string()]);
        }
        let server = Server::start(&mut command);
        let machines = range.map(|range| Arc::new(Machines::run(server.address(), range)));
        Some(Self {
            python,
            directory,
            machines,
            server,
        })
    }

    /// The range that is free for networks of machines.
    ///
    /// # Panics
    /// When there are no machines here.
    pub fn networks(&self) -> String {
        self.machines.as_ref().expect("it runs machines").networks()
    }

    pub(crate) fn machines(&self) -> Option<Arc<Machines>> {
        self.machines.clone()
    }

    /// Where it answers.
    pub fn endpoint(&self) -> &str {
        &self.server.endpoint
    }

    /// The file of what it is asked, a line of JSON each.
    pub fn recording(&self) -> PathBuf {
        self.directory.path().join(RECORDING)
    }

    /// microburst in front of it, with these rules.
    pub fn with_faults(&self, rules: &Value) -> Faults {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let mut command = program(&self.python, "faults.py");
        command.arg(self.endpoint()).arg(rules.to_string());
        command.arg(directory.path().join(RECORDING));
        Faults {
            server: Server::start(&mut command),
            directory,
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

    /// What is in it that an empty account does not have, by its kind.
    ///
    /// # Panics
    /// When it does not answer.
    #[track_caller]
    pub fn left(&self) -> Value {
        self.boto3(LEFT)
    }

    /// The actions that others than [`Moto::boto3`] have called so far, as IAM names them.
    pub fn actions(&self) -> BTreeSet<String> {
        let mut command = program(&self.python, "actions.py");
        let run = Run::of(command.arg(self.recording())).succeeded();
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

    /// The requests of an action so far, by their parameters, those among them that a rule has stopped.
    ///
    /// # Panics
    /// When what it writes cannot be read.
    pub fn asked(&self, action: &str) -> Vec<Value> {
        let recording = fs::read_to_string(self.directory.path().join(RECORDING)).expect("its recording");
        let requests = recording
            .lines()
            .map(|line| serde_json::from_str(line).expect("a request as JSON"));
        requests.filter(|request: &Value| request["Action"] == action).collect()
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

    fn address(&self) -> SocketAddr {
        let address = self.endpoint.strip_prefix("http://");
        address
            .and_then(|address| address.parse().ok())
            .expect("it is on loopback")
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
