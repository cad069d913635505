//! AWS when it is not well, by real `terraform`: microburst between the provider and moto.

use multizone_acceptance_tests::{Moto, Workspace};
use serde_json::{Value, json};

use super::{CONFIGURATION, TWO};

const TWO_ZONES: [&str; 2] = ["-var", TWO];

/// How many there are of what [`CONFIGURATION`] is made of, but for secrets.
const MADE: &str = r#"
def named(things):
    return len([t for t in things if t.get("Tags")])
balancers = elbv2.describe_load_balancers()["LoadBalancers"]
answer = {
    "disks": len(ec2.describe_volumes()["Volumes"]),
    "vpcs": named(ec2.describe_vpcs()["Vpcs"]),
    "subnets": named(ec2.describe_subnets()["Subnets"]),
    "gateways": named(ec2.describe_internet_gateways()["InternetGateways"]),
    "groups": named(ec2.describe_security_groups()["SecurityGroups"]),
    "balancers": len(balancers),
    "listeners": sum(len(elbv2.describe_listeners(LoadBalancerArn=b["LoadBalancerArn"])["Listeners"]) for b in balancers),
    "target groups": len(elbv2.describe_target_groups()["TargetGroups"]),
}
"#;

const MASTER: &str = r#"
resource "multizone_control_plane" "demo" {
  cluster            = multizone_cluster.demo.name
  kubernetes_version = "1.33.4"
  machine_type       = "t3.medium"
  image              = "self/ubuntu-test"
  replicas           = { a = { zone = "us-west-2a" } }
}
"#;

pub(super) fn faults_leave_neither_too_much_nor_too_little(moto: &Moto) {
    moto.boto3(
        "ec2.register_image(Name='ubuntu-test', RootDeviceName='/dev/sda1', Architecture='x86_64',\n\
         BlockDeviceMappings=[{'DeviceName': '/dev/sda1', 'Ebs': {'VolumeSize': 8}}])",
    );
    everything_is_made_and_deleted_once(moto);
    what_a_zone_lacks_is_said_and_made_up_for(moto);
    moto.boto3(
        "for i in ec2.describe_images(Owners=['self'])['Images']:\n\x20 ec2.deregister_image(ImageId=i['ImageId'])",
    );
}

/// Throttling, failures, slow replies, replies that are lost after the deed, and connections that are reset: all at once.
fn everything_is_made_and_deleted_once(moto: &Moto) {
    let lost = |(service, operation): (&str, &str)| json!({ "service": service, "operation": operation, "times": 1, "response": { "abort_frac": 0.0 } });
    let made = [
        ("ec2", "CreateVpc"),
        ("ec2", "CreateSubnet"),
        ("ec2", "CreateInternetGateway"),
        ("ec2", "CreateSecurityGroup"),
        ("ec2", "CreateVolume"),
        ("elbv2", "CreateLoadBalancer"),
        ("elbv2", "CreateTargetGroup"),
        ("elbv2", "CreateListener"),
        ("secretsmanager", "CreateSecret"),
    ];
    let mut rules: Vec<Value> = made.map(lost).into();
    rules.push(json!({ "service": "ec2", "operation": "DescribeSubnets", "times": 3, "latency": 400 }));
    for (service, code, status) in [
        ("ec2", "RequestLimitExceeded", 503),
        ("elbv2", "Throttling", 400),
        ("secretsmanager", "InternalServiceError", 500),
    ] {
        let error = json!({ "code": code, "status": status });
        rules.push(json!({ "service": service, "sequence": { "fail": 1, "pass": 9 }, "error": error }));
        rules.push(json!({ "service": service, "sequence": { "fail": 1, "pass": 12 }, "reset": true }));
    }
    let faults = moto.with_faults(&rules.into());
    let mut workspace = Workspace::on_aws(moto, CONFIGURATION);
    workspace.reach_aws_at(faults.endpoint());
    let _ = workspace.apply(&TWO_ZONES);
    workspace.assert_empty_plan(&TWO_ZONES);
    let once = json!({
        "disks": 1, "vpcs": 1, "subnets": 2, "gateways": 1, "groups": 2, "balancers": 1, "listeners": 1, "target groups": 1,
    });
    assert_eq!(moto.boto3(MADE), once);
    for (_, operation) in made {
        assert!(!faults.asked(operation).is_empty(), "{operation} was not asked for");
    }
    let _ = workspace
        .terraform(&[&["destroy", "-auto-approve"], &TWO_ZONES[..]].concat())
        .succeeded();
    assert_eq!(moto.left(), json!({}));
}

/// A zone has no capacity for a machine, and none for a disk: both are said, what was made stays known, and the next apply
/// makes the rest.
fn what_a_zone_lacks_is_said_and_made_up_for(moto: &Moto) {
    let lacking = |operation: &str, code: &str| {
        json!({
            "service": "ec2", "operation": operation,
            "error": { "code": code, "status": 500, "message": "We do not have enough of it." },
        })
    };
    let rules = json!([
        lacking("RunInstances", "InsufficientInstanceCapacity"),
        lacking("CreateVolume", "InsufficientVolumeCapacity"),
    ]);
    let faults = moto.with_faults(&rules);
    let mut workspace = Workspace::on_aws(moto, &format!("{CONFIGURATION}{MASTER}"));
    workspace.reach_aws_at(faults.endpoint());
    let _ = workspace
        .terraform(&[&["apply", "-auto-approve"], &TWO_ZONES[..]].concat())
        .exited(1)
        .saying(&[
            "machine demo-master-a",
            "in us-west-2a: no capacity: We do not have enough of it (InsufficientInstanceCapacity, request",
            "t3.medium is on offer in us-west-2b, us-west-2c",
            "disk demo-data in us-west-2a: no capacity",
            "InsufficientVolumeCapacity",
        ]);
    assert_eq!(faults.asked("RunInstances").len(), 1, "asking again makes no capacity");
    let found = moto.boto3(&format!(
        "{MADE}answer = [answer['disks'], answer['balancers'], answer['subnets']]"
    ));
    assert_eq!(found, json!([0, 1, 2]));

    // The machine is given up; the disk comes once the zone has room.
    workspace.reach_aws_at(moto.endpoint());
    workspace.write("main.tf", CONFIGURATION);
    let changes = workspace.planned_changes(&TWO_ZONES);
    assert_eq!(changes, [("multizone_disk.data".to_owned(), "create".to_owned())]);
    let _ = workspace.apply(&TWO_ZONES);
    workspace.assert_empty_plan(&TWO_ZONES);
    let _ = workspace
        .terraform(&[&["destroy", "-auto-approve"], &TWO_ZONES[..]].concat())
        .succeeded();
    assert_eq!(moto.left(), json!({}));
}
