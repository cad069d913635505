//! What gcloud and our own client say to the sandbox, and what it answers, is validated message by message against
//! Google's discovery documents: the sandbox speaks the real API and not a dialect that only our client understands.
//!
//! A recording proxy stands between client and region; `wire-truth/validate.py` judges what went through it.  The
//! packages come from `scripts/python-environment.sh`; what was validated is also written to `.work/wire-truth/`.
#![allow(clippy::unwrap_used)]

use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use multizone_acceptance_tests::{Run, Workspace, installed, python};
use serde_json::Value;

fn checkout() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn wire_truth() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("wire-truth")
}

/// What reads the discovery documents, and validates by them.
const DISCOVERY: &str = "googleapiclient, jsonschema_rs";

/// The proxy in front of a workspace's sandbox, and what went through it.  It ends with its standard input.
struct Recording {
    name: &'static str,
    python: PathBuf,
    file: PathBuf,
    endpoint: String,
    proxy: Child,
}

impl Recording {
    fn start(name: &'static str, python: PathBuf, workspace: &Workspace) -> Self {
        let file = workspace.path().join("exchanges.jsonl");
        let upstream = workspace.status()["endpoint"].as_str().unwrap().to_owned();
        let mut proxy = Command::new(&python)
            .arg("-B")
            .arg(wire_truth().join("record.py"))
            .arg(upstream)
            .arg(&file)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut endpoint = String::new();
        BufReader::new(proxy.stdout.take().unwrap())
            .read_line(&mut endpoint)
            .unwrap();
        let endpoint = endpoint.trim().to_owned();
        assert!(endpoint.starts_with("http://127.0.0.1:"), "the proxy said {endpoint:?}");
        Self {
            name,
            python,
            file,
            endpoint,
            proxy,
        }
    }

    /// A call of the test's own, which is recorded like the others; `null` is no body.
    fn call(&self, verb: &str, path: &str, body: &Value) -> Value {
        let run = Run::of(Command::new(&self.python).args([
            "-B",
            "-c",
            CALL,
            verb,
            &format!("{}{path}", self.endpoint),
            &body.to_string(),
        ]))
        .succeeded();
        serde_json::from_str(&run.stdout).unwrap()
    }

    /// Validates what was recorded: every exchange is right, and there are at least this many.
    fn validate(&self, at_least: usize) {
        let run = Run::of(
            Command::new(&self.python)
                .arg("-B")
                .arg(wire_truth().join("validate.py"))
                .args(["--at-least", &at_least.to_string()])
                .arg(&self.file),
        )
        .succeeded();
        println!("{}: {}", self.name, run.stdout);
        let reports = checkout().join(".work/wire-truth");
        fs::create_dir_all(&reports).unwrap();
        fs::write(reports.join(format!("{}.txt", self.name)), run.stdout).unwrap();
    }
}

const CALL: &str = "
import sys, urllib.request
verb, url, body = sys.argv[1:]
data = None if body == 'null' else body.encode()
request = urllib.request.Request(url, data, {'Content-Type': 'application/json'}, method=verb)
print(urllib.request.urlopen(request).read().decode())
";

impl Drop for Recording {
    fn drop(&mut self) {
        drop(self.proxy.stdin.take());
        let _ = self.proxy.wait();
    }
}

#[test]
fn the_validator_notices_every_kind_of_mistake() {
    let Some(python) = python(DISCOVERY) else { return };
    let run = Run::of(
        Command::new(python)
            .args(["-B", "-m", "unittest", "-v"])
            .current_dir(wire_truth()),
    )
    .succeeded();
    assert!(run.stderr.contains("test_routes"), "{}", run.stderr);
}

/// gcloud, which talks to the region through the recording.
struct Gcloud<'a> {
    workspace: &'a Workspace,
    endpoint: &'a str,
}

impl Gcloud<'_> {
    fn run(&self, arguments: &str) -> Run {
        let compute = format!("{}/compute/v1/", self.endpoint);
        let others = format!("{}/", self.endpoint);
        Run::of(
            self.workspace
                .command("gcloud")
                .args(arguments.split(' '))
                .arg("--format=json")
                .env("CLOUDSDK_CONFIG", self.workspace.path().join("gcloud"))
                .env("CLOUDSDK_AUTH_DISABLE_CREDENTIALS", "true")
                .env("CLOUDSDK_CORE_DISABLE_PROMPTS", "1")
                .env("CLOUDSDK_CORE_DISABLE_USAGE_REPORTING", "1")
                .env("CLOUDSDK_CORE_CHECK_GCE_METADATA", "false")
                .env("CLOUDSDK_COMPONENT_MANAGER_DISABLE_UPDATE_CHECK", "1")
                .env("CLOUDSDK_CORE_PROJECT", "sandbox")
                .env("CLOUDSDK_COMPUTE_ZONE", "us-central1-a")
                .env("CLOUDSDK_COMPUTE_REGION", "us-central1")
                .env("CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE", compute)
                .env("CLOUDSDK_API_ENDPOINT_OVERRIDES_SECRETMANAGER", &others)
                .env("CLOUDSDK_API_ENDPOINT_OVERRIDES_IAM", others),
        )
    }

    /// What a command that must succeed prints as JSON.
    #[track_caller]
    fn ok(&self, arguments: &str) -> Value {
        let run = self.run(arguments).succeeded();
        serde_json::from_str(&run.stdout).unwrap_or(Value::Null)
    }

    #[track_caller]
    fn all(&self, commands: &[&str]) {
        for command in commands {
            let _ = self.ok(command);
        }
    }

    /// A command that the region must refuse with these words.
    #[track_caller]
    fn refused(&self, arguments: &str, words: &str) {
        let run = self.run(arguments);
        assert_ne!(run.code, 0, "gcloud {arguments}");
        assert!(run.text().contains(words), "gcloud {arguments}: {}", run.text());
    }
}

#[test]
fn what_gcloud_and_the_sandbox_say_fits_googles_description() {
    let Some(python) = python(DISCOVERY) else { return };
    if !installed("gcloud") {
        return;
    }
    let workspace = Workspace::empty();
    let recording = Recording::start("gcloud", python, &workspace);
    let gcloud = Gcloud {
        workspace: &workspace,
        endpoint: &recording.endpoint,
    };
    look_around(&gcloud);
    build_a_network(&gcloud, workspace.status()["cluster_range"].as_str().unwrap());
    use_disks(&gcloud);
    use_machines(&gcloud);
    balance(&gcloud);
    follow_operations(&gcloud);
    clear_away(&gcloud);
    use_secrets(&gcloud);
    recording.validate(240);
}

fn look_around(gcloud: &Gcloud<'_>) {
    gcloud.all(&[
        "compute project-info describe",
        "compute regions list",
        "compute regions describe us-central1",
        "compute zones list --filter=region:us-central1",
        "compute zones describe us-central1-a",
        "compute machine-types list --filter=zone:us-central1-a",
        "compute machine-types describe n1-standard-2",
        "compute disk-types list",
        "compute disk-types describe pd-balanced",
        "compute images describe-from-family debian-12 --project=debian-cloud",
    ]);
    // Asks the projects of all publishers in one batch.
    assert!(gcloud.ok("compute images list").as_array().unwrap().len() > 1);
    gcloud.refused("compute zones describe mars-north1-a", "was not found");
}

fn build_a_network(gcloud: &Gcloud<'_>, range: &str) {
    let subnet = format!("compute networks subnets create sub --network=net --range={range}");
    gcloud.all(&[
        "compute networks create net --subnet-mode=custom",
        "compute networks list",
        &subnet,
        "compute networks subnets list",
        "compute networks subnets update sub --enable-private-ip-google-access",
        "compute firewall-rules create ssh --network=net --allow=tcp:22,icmp --source-ranges=0.0.0.0/0 --target-tags=ssh",
        "compute firewall-rules list",
        "compute firewall-rules update ssh --allow=tcp:22 --priority=900",
        "compute addresses create outside",
        "compute addresses create inside --subnet=sub",
        "compute addresses list",
        "compute addresses describe inside",
    ]);
    let subnet = gcloud.ok("compute networks subnets describe sub");
    assert_eq!(subnet["privateIpGoogleAccess"], true);
    let rule = gcloud.ok("compute firewall-rules describe ssh");
    assert_eq!(rule["priority"], 900);
    assert_eq!(
        gcloud.ok("compute networks describe net")["subnetworks"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
}

fn use_disks(gcloud: &Gcloud<'_>) {
    gcloud.all(&[
        "compute disks create data --size=10GB --type=pd-balanced --labels=a=b",
        "compute disks create elsewhere --size=10GB --zone=us-central1-b",
        "compute disks list",
        "compute disks resize data --size=20GB",
        "compute disks add-labels data --labels=c=d",
        "compute disks remove-labels data --labels=a",
        "compute disks snapshot data --snapshot-names=data-1 --labels=x=y",
        "compute snapshots create data-2 --source-disk=data --source-disk-zone=us-central1-a",
        "compute snapshots list",
        "compute snapshots describe data-1",
        "compute snapshots add-labels data-1 --labels=k=v",
        "compute disks create restored --source-snapshot=data-1",
    ]);
    let disk = gcloud.ok("compute disks describe data");
    assert_eq!(disk["sizeGb"], "20");
    assert_eq!(disk["labels"], serde_json::json!({ "c": "d" }));
    gcloud.refused("compute disks resize data --size=15GB", "disks do not shrink");
    gcloud.refused("compute disks create Bad_Name --size=10GB", "Must be a match of regex");
}

fn use_machines(gcloud: &Gcloud<'_>) {
    gcloud.all(&[
        "compute instances create web --machine-type=e2-medium --image-family=debian-12 --image-project=debian-cloud \
         --network=net --subnet=sub --address=outside --tags=ssh --labels=role=web --metadata=foo=bar \
         --create-disk=name=extra,size=10GB,auto-delete=yes",
        "compute instances create plain --machine-type=e2-medium --image-family=debian-12 --image-project=debian-cloud \
         --network=net --subnet=sub --no-address --boot-disk-size=20GB --boot-disk-type=pd-ssd",
        "compute instances list --filter=labels.role=web --limit=1",
        "compute instances get-serial-port-output web",
        "compute instances attach-disk web --disk=data --device-name=data",
        "compute instances set-disk-auto-delete web --device-name=data --auto-delete",
        "compute instances detach-disk web --disk=data",
        "compute instances add-labels web --labels=t=1",
        "compute instances remove-labels web --labels=role",
        "compute instances update web --update-labels=z=1",
        "compute instances add-metadata web --metadata=a=b",
        "compute instances remove-metadata web --keys=foo",
        "compute instances add-tags web --tags=http",
        "compute instances remove-tags web --tags=ssh",
        "compute instances delete-access-config web --access-config-name=external-nat",
        "compute instances add-access-config web",
        "compute instances stop web",
        "compute instances set-machine-type web --machine-type=e2-standard-2",
        "compute instances start web",
        "compute instances reset web",
        "compute instances update web --deletion-protection",
    ]);
    let machine = gcloud.ok("compute instances describe web");
    assert_eq!(machine["labels"], serde_json::json!({ "t": "1", "z": "1" }));
    assert_eq!(machine["tags"]["items"], serde_json::json!(["http"]));
    assert_eq!(
        machine["metadata"]["items"],
        serde_json::json!([{ "key": "a", "value": "b" }])
    );
    assert_eq!(machine["disks"].as_array().unwrap().len(), 2);
    assert!(machine["machineType"].as_str().unwrap().ends_with("/e2-standard-2"));
    gcloud.refused("compute instances delete web", "protected against deletion");
    gcloud.refused("compute instances attach-disk web --disk=elsewhere", "was not found");
    gcloud.refused(
        "compute instances create x --machine-type=e2-huge --network=net --subnet=sub",
        "e2-huge",
    );
    gcloud.refused("compute instances describe nobody", "was not found");
    gcloud.refused("compute networks subnets delete sub", "already being used by");
    gcloud.all(&["compute instances update web --no-deletion-protection"]);
}

/// A balancer in front of a machine, from its health check to the address that leaves it again.
fn balance(gcloud: &Gcloud<'_>) {
    let service = "compute backend-services create lb --region=us-central1 --load-balancing-scheme=external --protocol=tcp \
                   --health-checks=lb --health-checks-region=us-central1 --connection-draining-timeout=10";
    let rule = "compute forwarding-rules create lb --region=us-central1 --load-balancing-scheme=external --ports=6443 \
                --address=balanced --backend-service=lb --backend-service-region=us-central1";
    gcloud.all(&[
        "compute addresses create balanced",
        "compute health-checks create https lb --region=us-central1 --port=6443 --request-path=/readyz",
        "compute health-checks update https lb --region=us-central1 --check-interval=10s",
        "compute health-checks list",
        "compute health-checks describe lb --region=us-central1",
        "compute instance-groups unmanaged create lb",
        "compute instance-groups unmanaged add-instances lb --instances=web",
        "compute instance-groups unmanaged list",
        "compute instance-groups unmanaged describe lb",
        service,
        "compute backend-services add-backend lb --region=us-central1 --instance-group=lb \
         --instance-group-zone=us-central1-a",
        "compute backend-services update lb --region=us-central1 --connection-draining-timeout=20",
        "compute backend-services list",
        "compute backend-services describe lb --region=us-central1",
        rule,
        "compute forwarding-rules list",
        "compute forwarding-rules update lb --region=us-central1 --update-labels=a=b",
    ]);
    let members = gcloud.ok("compute instance-groups unmanaged list-instances lb");
    assert_eq!(members[0]["status"], "RUNNING");
    let health = gcloud.ok("compute backend-services get-health lb --region=us-central1");
    assert_eq!(health[0]["status"]["healthStatus"][0]["healthState"], "UNHEALTHY");
    let address = gcloud.ok("compute addresses describe balanced");
    let user = address["users"][0].as_str().unwrap();
    assert!(user.ends_with("/forwardingRules/lb"), "{user}");
    gcloud.refused("compute addresses delete balanced", "already being used by");
    gcloud.refused(
        "compute backend-services delete lb --region=us-central1",
        "already being used by",
    );
    gcloud.all(&[
        "compute forwarding-rules delete lb --region=us-central1",
        "compute instance-groups unmanaged remove-instances lb --instances=web",
        "compute backend-services remove-backend lb --region=us-central1 --instance-group=lb \
         --instance-group-zone=us-central1-a",
        "compute backend-services delete lb --region=us-central1",
        "compute health-checks delete lb --region=us-central1",
        "compute instance-groups unmanaged delete lb",
        "compute addresses delete balanced",
    ]);
}

fn follow_operations(gcloud: &Gcloud<'_>) {
    gcloud.all(&[
        "compute operations list --global",
        "compute operations list --regions=us-central1",
        "compute operations list --limit=5",
    ]);
    let operations = gcloud.ok("compute operations list --zones=us-central1-a --limit=1");
    let name = operations[0]["name"].as_str().unwrap();
    let operation = gcloud.ok(&format!("compute operations describe {name} --zone=us-central1-a"));
    assert_eq!(operation["status"], "DONE");
}

/// Each command about several objects is a batch.
fn clear_away(gcloud: &Gcloud<'_>) {
    gcloud.all(&[
        "compute instances delete web plain",
        "compute disks delete data restored",
        "compute disks delete elsewhere --zone=us-central1-b",
        "compute snapshots delete data-1 data-2",
        "compute addresses delete outside inside",
        "compute firewall-rules delete ssh",
        "compute networks subnets delete sub",
        "compute networks delete net",
    ]);
    assert_eq!(gcloud.ok("compute instances list"), serde_json::json!([]));
    assert_eq!(gcloud.ok("compute disks list"), serde_json::json!([]));
}

fn use_secrets(gcloud: &Gcloud<'_>) {
    gcloud.workspace.write("payload", "hello");
    let robot = "robot-one@sandbox.iam.gserviceaccount.com";
    let grant = format!(
        "secrets add-iam-policy-binding s --member=serviceAccount:{robot} --role=roles/secretmanager.secretAccessor"
    );
    gcloud.all(&[
        "iam service-accounts create robot-one --display-name=Robot",
        "iam service-accounts list",
        &format!("iam service-accounts describe {robot}"),
        "secrets create s --replication-policy=automatic --labels=a=b",
        "secrets versions add s --data-file=payload",
        "secrets list",
        "secrets update s --update-labels=x=y",
        &grant,
        "secrets get-iam-policy s",
        "secrets versions list s",
        "secrets versions disable 1 --secret=s",
        "secrets versions enable 1 --secret=s",
    ]);
    let payload = &gcloud.ok("secrets versions access latest --secret=s")["payload"]["data"];
    assert_eq!(payload, "aGVsbG8=");
    gcloud.refused("secrets versions access 7 --secret=s", "not found");
    gcloud.all(&[
        "secrets versions destroy 1 --secret=s",
        "secrets delete s",
        &format!("iam service-accounts delete {robot}"),
    ]);
}

/// What somebody may do behind Terraform's back, and what the next apply must mend.
fn meddle(recording: &Recording, workspace: &Workspace) {
    let project = "/compute/v1/projects/sandbox";
    let rules = recording.call("GET", &format!("{project}/global/firewalls"), &Value::Null);
    let mut rule = rules["items"]
        .as_array()
        .unwrap()
        .iter()
        .find(|it| !it["network"].as_str().unwrap().ends_with("/default"))
        .unwrap()
        .clone();
    rule["allowed"] = serde_json::json!([{ "IPProtocol": "tcp", "ports": ["1"] }]);
    let rule: serde_json::Map<_, _> = [
        "name",
        "network",
        "allowed",
        "targetTags",
        "sourceRanges",
        "sourceTags",
        "description",
    ]
    .iter()
    .filter_map(|field| rule.get(*field).map(|value| ((*field).to_owned(), value.clone())))
    .collect();
    let name = rule["name"].as_str().unwrap().to_owned();
    recording.call("PUT", &format!("{project}/global/firewalls/{name}"), &rule.into());
    let machines = workspace.status()["machines"].as_array().unwrap().clone();
    let worker = machines
        .iter()
        .find(|it| it["zone"] == "us-central1-b")
        .map(|it| it["name"].as_str().unwrap().to_owned())
        .unwrap();
    let path = format!("{project}/zones/us-central1-b/instances/{worker}");
    let machine = recording.call("GET", &path, &Value::Null);
    let device = machine["disks"][0]["deviceName"].as_str().unwrap();
    recording.call(
        "POST",
        &format!("{path}/setDiskAutoDelete?deviceName={device}&autoDelete=false"),
        &Value::Null,
    );
    let _ = workspace.sandbox(&["halt", &worker]).succeeded();
}

#[test]
fn what_the_provider_and_the_sandbox_say_fits_googles_description() {
    let Some(python) = python(DISCOVERY) else { return };
    if !installed("terraform") {
        return;
    }
    let workspace = Workspace::of_example("multi-zone");
    let recording = Recording::start("provider", python, &workspace);
    // The example as it is, on the Compute Engine client instead of the sandbox by name.
    let settings = |disk_zone: &str, disk_size: u32, labels: &str, machine_type: &str| {
        format!(
            r#"
            provider "multizone" {{
              sandbox        = null
              compute_engine = {{ project = "sandbox", region = "us-central1", endpoint = "{}", anonymous = true }}
            }}
            resource "multizone_cluster" "demo" {{
              network_cidr = "{}"
            }}
            resource "multizone_node_group" "pool" {{
              labels       = {labels}
              machine_type = "{machine_type}"
            }}
            resource "multizone_disk" "data" {{
              zone    = "{disk_zone}"
              size_gb = {disk_size}
            }}
            "#,
            recording.endpoint,
            workspace.status()["cluster_range"].as_str().unwrap(),
        )
    };
    let (a, ab) = (
        r#"-var=zones=["us-central1-a"]"#,
        r#"-var=zones=["us-central1-a","us-central1-b"]"#,
    );
    let nodes = "-var=nodes_per_zone=1";

    let web = r#"{ team = "web" }"#;
    let before = settings("us-central1-a", 5, web, "n1-standard-2");
    workspace.write("override.tf", &before);
    let _ = workspace.apply(&[a, nodes]);
    let _ = workspace.apply(&[ab, nodes]);
    meddle(&recording, &workspace);
    let _ = workspace.apply(&[ab, nodes]);
    workspace.assert_empty_plan(&[ab, nodes]);
    // Moves the disk through a snapshot, grows it, relabels nodes in place, then replaces them.
    workspace.write("override.tf", &settings("us-central1-b", 5, web, "n1-standard-2"));
    let _ = workspace.apply(&[ab, nodes]);
    let db = r#"{ team = "db" }"#;
    workspace.write("override.tf", &settings("us-central1-b", 8, db, "n1-standard-2"));
    let _ = workspace.apply(&[ab, nodes]);
    workspace.write("override.tf", &settings("us-central1-b", 8, db, "n1-standard-4"));
    let _ = workspace.apply(&[ab, nodes]);
    workspace.assert_empty_plan(&[ab, nodes]);
    workspace.write("override.tf", &settings("us-central1-a", 8, db, "n1-standard-4"));
    let _ = workspace.apply(&[ab, nodes]);
    let _ = workspace.apply(&[a, nodes]);
    let _ = workspace.terraform(&["destroy", "-auto-approve", a, nodes]).succeeded();
    recording.validate(300);
}

#[test]
fn what_is_said_of_a_balancer_fits_googles_description() {
    let Some(python) = python(DISCOVERY) else { return };
    if !installed("terraform") {
        return;
    }
    let workspace = Workspace::empty();
    let recording = Recording::start("balancer", python, &workspace);
    let write = |zones: &str, team: &str| {
        let configuration = format!(
            r#"
            terraform {{
              required_providers {{ multizone = {{ source = "multizone/multizone" }} }}
            }}
            provider "multizone" {{
              compute_engine = {{ project = "sandbox", region = "us-central1", endpoint = "{}", anonymous = true }}
            }}
            resource "multizone_cluster" "demo" {{
              name         = "demo"
              zones        = {{ "us-central1-a" = {{}}, "us-central1-b" = {{}} }}
              network_cidr = "{}"
            }}
            resource "multizone_api_load_balancer" "api" {{
              cluster = multizone_cluster.demo.name
              zones   = {zones}
              labels  = {{ team = "{team}" }}
            }}
            "#,
            recording.endpoint,
            workspace.status()["cluster_range"].as_str().unwrap(),
        );
        workspace.write("main.tf", &configuration);
    };
    write(r#"["us-central1-a"]"#, "web");
    let _ = workspace.apply(&[]);
    write(r#"["us-central1-a", "us-central1-b"]"#, "db");
    let _ = workspace.apply(&[]);
    workspace.assert_empty_plan(&[]);
    // Somebody else's changes, which the next apply puts right.
    let region = "/compute/v1/projects/sandbox/regions/us-central1";
    let listed = recording.call("GET", &format!("{region}/backendServices"), &Value::Null);
    let service = &listed["items"][0];
    let name = service["name"].as_str().unwrap();
    let draining = serde_json::json!({
        "connectionDraining": { "drainingTimeoutSec": 300 }, "fingerprint": service["fingerprint"],
    });
    recording.call("PATCH", &format!("{region}/backendServices/{name}"), &draining);
    let path = serde_json::json!({ "httpsHealthCheck": { "requestPath": "/livez", "port": 6443 } });
    recording.call("PATCH", &format!("{region}/healthChecks/{name}"), &path);
    let _ = workspace.terraform(&["plan", "-detailed-exitcode"]).exited(2);
    let _ = workspace.apply(&[]);
    workspace.assert_empty_plan(&[]);
    write(r#"["us-central1-b"]"#, "db");
    let _ = workspace.apply(&[]);
    let _ = workspace.terraform(&["destroy", "-auto-approve"]).succeeded();
    recording.validate(100);
}
