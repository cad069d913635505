//! The resources on AWS's code, by real `terraform` against moto: created, read, changed behind Terraform's back and healed,
//! updated, imported, destroyed, and nothing left.  What is there is looked at with boto3, an independent client.
//!
//! moto runs no machines, so there are no masters here that come up.
#![allow(clippy::unwrap_used)]

#[path = "aws/drift.rs"]
mod drift;
#[path = "aws/existing.rs"]
mod existing;
#[path = "aws/faults.rs"]
mod faults;

use multizone_acceptance_tests::{Moto, Workspace, documented_actions, installed};
use serde_json::{Value, json};

const CONFIGURATION: &str = r#"
variable "zones" {
  type    = list(string)
  default = ["us-west-2a"]
}
variable "size_gb" {
  type    = number
  default = 10
}
variable "disk_zone" {
  type    = string
  default = "us-west-2a"
}
variable "iops" {
  type    = number
  default = null
}
resource "multizone_cluster" "demo" {
  name  = "demo"
  zones = { for zone in var.zones : zone => { subnet_cidr = cidrsubnet("10.0.0.0/16", 8, index(["us-west-2a", "us-west-2b", "us-west-2c"], zone)) } }
}
resource "multizone_api_load_balancer" "api" {
  cluster = multizone_cluster.demo.name
  zones   = keys(multizone_cluster.demo.zones)
}
resource "multizone_disk" "data" {
  cluster = multizone_cluster.demo.name
  name    = "data"
  zone    = var.disk_zone
  size_gb = var.size_gb
  iops    = var.iops
}
"#;

/// One machine more than a subnet of sixteen addresses has room for, beside AWS's own five and the load balancer's.
const MACHINES: &str = r#"
resource "multizone_control_plane" "demo" {
  cluster            = multizone_cluster.demo.name
  kubernetes_version = "1.33.4"
  machine_type       = "t3.medium"
  replicas           = { a = { zone = "us-west-2a" } }
}
resource "multizone_node_group" "pool" {
  control_plane      = multizone_control_plane.demo.id
  kubernetes_version = multizone_control_plane.demo.kubernetes_version
  name               = "pool"
  zone               = "us-west-2a"
  size               = 10
  machine_type       = "t3.medium"
}
"#;

const THREE: &str = "zones=[\"us-west-2a\",\"us-west-2b\",\"us-west-2c\"]";
const TWO: &str = "zones=[\"us-west-2a\",\"us-west-2b\"]";

fn zones_of(moto: &Moto) -> Value {
    moto.boto3(
        "answer = [sorted(s['AvailabilityZone'] for s in ec2.describe_subnets()['Subnets'] if s.get('Tags')),\n\
         sorted(z['ZoneName'] for z in elbv2.describe_load_balancers()['LoadBalancers'][0]['AvailabilityZones'])]",
    )
}

fn attribute(workspace: &Workspace, address: &str, name: &str) -> Value {
    let state = workspace.json(&["show", "-json"]);
    let resources = state["values"]["root_module"]["resources"].as_array().unwrap().clone();
    let found = resources
        .iter()
        .find(|resource| resource["address"] == address)
        .unwrap();
    found["values"][name].clone()
}

#[test]
fn a_cluster_grows_over_zones_shrinks_and_goes() {
    if !installed("terraform") {
        return;
    }
    let Some(moto) = Moto::start() else { return };
    let workspace = Workspace::on_aws(&moto, CONFIGURATION);
    let first = workspace.apply(&[]).text();
    for spoken in ["hand over", "handover", "attach"] {
        assert!(!first.contains(spoken), "nothing is handed over on AWS: {first}");
    }
    workspace.assert_empty_plan(&[]);
    let endpoint = attribute(&workspace, "multizone_cluster.demo", "endpoint");
    let name = attribute(&workspace, "multizone_api_load_balancer.api", "address");
    let name = name.as_str().unwrap();
    assert!(name.ends_with(".amazonaws.com"), "{name}");
    assert_eq!(endpoint, format!("https://{name}:6443"));
    assert_eq!(attribute(&workspace, "multizone_disk.data", "disk_type"), "gp3");
    let volume = attribute(&workspace, "multizone_disk.data", "persistent_volume");
    let id = moto.boto3("answer = ec2.describe_volumes()['Volumes'][0]['VolumeId']");
    assert!(volume.as_str().unwrap().contains(id.as_str().unwrap()), "{volume}");

    // Size and IOPS in one change: EBS takes few of them in a day.
    let faster = ["-var", THREE, "-var", "size_gb=20", "-var", "iops=4000"];
    let _ = workspace.apply(&faster);
    workspace.assert_empty_plan(&faster);
    let volumes = "v = ec2.describe_volumes()['Volumes'][0]\n\
                   m = ec2.describe_volumes_modifications()['VolumesModifications']\n\
                   answer = [v['Size'], v['Iops'], v['Throughput'], len(m)]";
    assert_eq!(moto.boto3(volumes), json!([20, 4000, 125, 1]));
    let all = json!(["us-west-2a", "us-west-2b", "us-west-2c"]);
    assert_eq!(zones_of(&moto), json!([all, all]));
    assert_eq!(attribute(&workspace, "multizone_cluster.demo", "endpoint"), endpoint);

    // The disk's data move with it; then a zone is left by all.
    let moved = [&faster[..], &["-var", "disk_zone=us-west-2b"]].concat();
    let _ = workspace.apply(&moved);
    workspace.assert_empty_plan(&moved);
    let smaller = [&["-var", TWO], &moved[2..]].concat();
    let _ = workspace.apply(&smaller);
    workspace.assert_empty_plan(&smaller);
    let two = json!(["us-west-2a", "us-west-2b"]);
    assert_eq!(zones_of(&moto), json!([two, two]));

    // Forgotten and imported, nothing is to be done.
    for (address, id) in [
        ("multizone_cluster.demo", "us-west-2/demo"),
        ("multizone_api_load_balancer.api", "us-west-2/demo/api"),
        ("multizone_disk.data", "us-west-2/demo/data"),
    ] {
        let _ = workspace.terraform(&["state", "rm", address]).succeeded();
        let _ = workspace
            .terraform(&[&["import"], &smaller[..], &[address, id]].concat())
            .succeeded();
    }
    workspace.assert_empty_plan(&smaller);

    let _ = workspace
        .terraform(&[&["destroy", "-auto-approve"], &smaller[..]].concat())
        .succeeded();
    assert_eq!(moto.left(), json!({}));
    let unpermitted: Vec<_> = moto.actions().difference(&documented_actions()).cloned().collect();
    assert!(unpermitted.is_empty(), "the guide's policy lacks {unpermitted:?}");
}

/// One account for all: a server takes longer to start than most of what is asked of it.
#[test]
fn what_is_not_as_it_should_be_is_shown() {
    if !installed("terraform") {
        return;
    }
    let Some(moto) = Moto::start() else { return };
    what_aws_has_otherwise_is_told_by_the_plan(&moto);
    drift::what_is_changed_behind_its_back_is_shown_and_healed(&moto);
}

#[test]
fn what_aws_does_badly_is_got_over() {
    if !installed("terraform") {
        return;
    }
    let Some(moto) = Moto::start() else { return };
    faults::faults_leave_neither_too_much_nor_too_little(&moto);
}

#[test]
fn a_network_that_exists_is_lived_in_and_left_as_it_was() {
    if !installed("terraform") {
        return;
    }
    let Some(moto) = Moto::start() else { return };
    existing::a_network_that_exists_is_lived_in_and_left_as_it_was(&moto);
}

fn what_aws_has_otherwise_is_told_by_the_plan(moto: &Moto) {
    let cluster =
        |zones: &str| format!("resource \"multizone_cluster\" \"demo\" {{\n  name = \"demo\"\n  zones = {zones}\n}}\n");
    let workspace = Workspace::on_aws(moto, &cluster("{ \"us-west-2a\" = {} }"));
    let plan = || workspace.terraform(&["plan"]).exited(1).text();
    let said = plan();
    assert!(
        said.contains("Zone us-west-2a needs zones[\"us-west-2a\"].subnet_cidr"),
        "{said}"
    );
    workspace.write(
        "main.tf",
        &cluster("{ \"us-west-2z\" = { subnet_cidr = \"10.0.0.0/24\" } }"),
    );
    let said = plan();
    assert!(
        said.contains("\"us-west-2z\" is not a zone of region us-west-2"),
        "{said}"
    );
    let pool = "{ \"us-west-2a\" = { subnet_cidr = \"10.244.0.0/24\" } }";
    workspace.write("main.tf", &cluster(pool));
    let said = plan();
    assert!(said.contains("Overlapping ranges"), "{said}");
    let outside = "{ \"us-west-2a\" = { subnet_cidr = \"10.9.0.0/24\" } }\n  network_cidr = \"10.0.0.0/16\"";
    workspace.write("main.tf", &cluster(outside));
    let said = plan();
    assert!(said.contains("is not within network_cidr = 10.0.0.0/16"), "{said}");
    let disk = |arguments: &str| {
        let cluster = cluster("{ \"us-west-2a\" = { subnet_cidr = \"10.0.0.0/24\" } }");
        format!(
            "{cluster}resource \"multizone_disk\" \"data\" {{\n  cluster = multizone_cluster.demo.name\n  name = \"data\"\n  \
             zone = \"us-west-2a\"\n  {arguments}\n}}\n"
        )
    };
    for (arguments, words) in [
        (
            "size_gb = 5\n  disk_type = \"pd-ssd\"",
            "AWS has no disks of kind \"pd-ssd\"",
        ),
        (
            "size_gb = 10\n  iops = 6000",
            "iops: a volume of kind gp3 has at most 500 IOPS for each GiB on AWS: 10 GiB have 5000, and 6000 need 12 GiB",
        ),
        (
            "size_gb = 100\n  disk_type = \"io2\"\n  throughput = 500",
            "throughput: the throughput of volumes of kind io2 cannot be chosen on AWS; those of gp3 can",
        ),
        (
            "size_gb = 3\n  disk_type = \"io2\"",
            "size_gb: a volume of kind io2 has 4 to 65536 GiB on AWS",
        ),
    ] {
        workspace.write("main.tf", &disk(arguments));
        let said = plan();
        assert!(said.contains(words), "{words:?} is not in {said}");
    }
    workspace.write(
        "main.tf",
        &format!(
            "{}{MACHINES}",
            cluster("{ \"us-west-2a\" = { subnet_cidr = \"10.0.0.0/28\" } }")
        ),
    );
    let said = plan();
    let words = "11 new machines are planned in zone us-west-2a of cluster demo, whose subnet has 10 free addresses";
    assert!(said.contains(words), "{said}");
}
