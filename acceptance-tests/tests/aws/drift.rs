//! What somebody changes with boto3 is shown by the plan, and nothing else is; the next apply heals it.

use multizone_acceptance_tests::{Moto, Workspace};
use serde_json::{Value, json};

use super::{CONFIGURATION, TWO};

const TWO_ZONES: [&str; 2] = ["-var", TWO];

/// What a cluster's own objects are, for the programs below.
const OBJECTS: &str = r#"
def tagged(things):
    return [t for t in things if any(tag["Key"] == "multizone-cluster" for tag in t.get("Tags", []))]
vpc = tagged(ec2.describe_vpcs()["Vpcs"])[0]["VpcId"]
subnets = {s["AvailabilityZone"]: s["SubnetId"] for s in tagged(ec2.describe_subnets()["Subnets"])}
tables = ec2.describe_route_tables(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["RouteTables"]
main = [t for t in tables if any(a.get("Main") for a in t["Associations"])][0]
groups = {g["GroupName"].rsplit("-", 1)[1]: g for g in tagged(ec2.describe_security_groups()["SecurityGroups"])}
volume = tagged(ec2.describe_volumes()["Volumes"])[0]
balancers = elbv2.describe_load_balancers()["LoadBalancers"]
targets = elbv2.describe_target_groups()["TargetGroups"]
def attributes():
    found = elbv2.describe_load_balancer_attributes(LoadBalancerArn=balancers[0]["LoadBalancerArn"])["Attributes"]
    found += elbv2.describe_target_group_attributes(TargetGroupArn=targets[0]["TargetGroupArn"])["Attributes"]
    return sorted((a["Key"], a["Value"]) for a in found if a["Key"] in
        ("load_balancing.cross_zone.enabled", "deregistration_delay.timeout_seconds", "preserve_client_ip.enabled"))
"#;

/// What [`OBJECTS`] are like, as far as something below changes them.
const LOOK: &str = r#"
listeners = elbv2.describe_listeners(LoadBalancerArn=balancers[0]["LoadBalancerArn"])["Listeners"]
answer = {
    "way out": sorted(r["DestinationCidrBlock"] for r in main["Routes"]),
    "tables of subnets": sorted(a["SubnetId"] for t in tables for a in t["Associations"] if a.get("SubnetId")),
    "subnets": sorted(subnets),
    "permissions": {role: len(g["IpPermissions"]) for role, g in groups.items()},
    "secrets": sorted(s["Name"] for s in secretsmanager.list_secrets()["SecretList"]),
    "attributes": attributes(),
    "listeners": [l["Port"] for l in listeners],
    "health": targets[0]["HealthCheckPath"],
    "zones": sorted(z["ZoneName"] for z in balancers[0]["AvailabilityZones"]),
    "does": [volume["Iops"], volume["Throughput"]],
    "tags": {t["Key"]: t["Value"] for t in volume["Tags"]},
}
"#;

fn look(moto: &Moto) -> Value {
    moto.boto3(&format!("{OBJECTS}{LOOK}"))
}

fn tamper(moto: &Moto, program: &str) {
    moto.boto3(&format!("{OBJECTS}{program}"));
}

/// What the plan says somebody has changed of a resource.
fn drift(workspace: &Workspace, address: &str) -> Vec<String> {
    let _ = workspace
        .terraform(&[&["plan", "-out=planned"], &TWO_ZONES[..]].concat())
        .succeeded();
    let plan = workspace.json(&["show", "-json", "planned"]);
    let changes = plan["resource_changes"].as_array().unwrap();
    let change = changes.iter().find(|change| change["address"] == address).unwrap();
    let lines = change["change"]["before"]["drift"].as_array().unwrap();
    lines.iter().map(|line| line.as_str().unwrap().to_owned()).collect()
}

/// The plan changes these and nothing else; an apply makes all as it was.
#[track_caller]
fn shown_and_healed(moto: &Moto, workspace: &Workspace, as_made: &Value, changed: &[&str]) {
    let updates: Vec<_> = changed
        .iter()
        .map(|address| ((*address).to_owned(), "update".to_owned()))
        .collect();
    assert_eq!(workspace.planned_changes(&TWO_ZONES), updates);
    let _ = workspace.apply(&TWO_ZONES);
    workspace.assert_empty_plan(&TWO_ZONES);
    assert_eq!(look(moto), *as_made);
}

pub(super) fn what_is_changed_behind_its_back_is_shown_and_healed(moto: &Moto) {
    let workspace = Workspace::on_aws(moto, CONFIGURATION);
    let _ = workspace.apply(&TWO_ZONES);
    workspace.assert_empty_plan(&TWO_ZONES);
    let mut as_made = look(moto);

    a_volume_that_is_attached_and_detached_is_nobodys_concern(moto, &workspace);

    // What somebody adds stays theirs, all along.
    tamper(
        moto,
        "ec2.create_tags(Resources=[volume['VolumeId']], Tags=[{'Key': 'theirs', 'Value': 'x'}])",
    );
    as_made["tags"]["theirs"] = json!("x");
    workspace.assert_empty_plan(&TWO_ZONES);

    tamper(
        moto,
        "ec2.delete_route(RouteTableId=main['RouteTableId'], DestinationCidrBlock='0.0.0.0/0')\n\
         own = ec2.create_route_table(VpcId=vpc)['RouteTable']['RouteTableId']\n\
         ec2.associate_route_table(RouteTableId=own, SubnetId=subnets['us-west-2b'])\n\
         ec2.revoke_security_group_ingress(GroupId=groups['master']['GroupId'],\n\
         \x20 IpPermissions=[p for p in groups['master']['IpPermissions'] if p.get('FromPort') == 6443])\n\
         secret = [s['Name'] for s in secretsmanager.list_secrets()['SecretList'] if s['Name'].endswith('settings')][0]\n\
         secretsmanager.delete_secret(SecretId=secret, ForceDeleteWithoutRecovery=True)\n\
         arn, group = balancers[0]['LoadBalancerArn'], targets[0]['TargetGroupArn']\n\
         elbv2.modify_load_balancer_attributes(LoadBalancerArn=arn,\n\
         \x20 Attributes=[{'Key': 'load_balancing.cross_zone.enabled', 'Value': 'false'}])\n\
         elbv2.modify_target_group_attributes(TargetGroupArn=group,\n\
         \x20 Attributes=[{'Key': 'deregistration_delay.timeout_seconds', 'Value': '300'}])\n\
         elbv2.modify_target_group(TargetGroupArn=group, HealthCheckPath='/healthz')\n\
         ec2.modify_volume(VolumeId=volume['VolumeId'], Iops=3500, Throughput=300)\n\
         ec2.create_tags(Resources=[volume['VolumeId']], Tags=[{'Key': 'topology-zone', 'Value': 'elsewhere'}])",
    );
    let _ = workspace
        .terraform(&[&["plan"], &TWO_ZONES[..]].concat())
        .succeeded()
        .saying(&["- iops = 3500 -> null", "- throughput = 300 -> null", "elsewhere"]);
    let said = drift(&workspace, "multizone_cluster.demo");
    let [network, rule, secret] = &said[..] else {
        panic!("{said:?}")
    };
    assert!(network.contains("its route to the internet is gone, the subnet of zone us-west-2b uses route table rtb-"));
    assert_eq!(rule, "the firewall rule api is gone");
    assert!(secret.contains("with the settings is gone"), "{secret}");
    let said = drift(&workspace, "multizone_api_load_balancer.api").join("\n");
    for words in [
        "its load_balancing.cross_zone.enabled is false, not true",
        "its targets' deregistration_delay.timeout_seconds is 300, not 10",
        "its health check asks for \"/healthz\", not \"/readyz\"",
    ] {
        assert!(said.contains(words), "{words:?} is not in {said}");
    }
    let all = [
        "multizone_api_load_balancer.api",
        "multizone_cluster.demo",
        "multizone_disk.data",
    ];
    shown_and_healed(moto, &workspace, &as_made, &all);

    // Behind the name that the endpoint is, the cluster's own part; and a subnet that is gone takes its zone along there.
    tamper(
        moto,
        "listeners = elbv2.describe_listeners(LoadBalancerArn=balancers[0]['LoadBalancerArn'])['Listeners']\n\
         elbv2.delete_listener(ListenerArn=listeners[0]['ListenerArn'])",
    );
    let said = drift(&workspace, "multizone_api_load_balancer.api").join("\n");
    assert!(said.contains("its listener at port 6443 is gone"), "{said}");
    shown_and_healed(moto, &workspace, &as_made, &["multizone_api_load_balancer.api"]);
    tamper(moto, "ec2.delete_subnet(SubnetId=subnets['us-west-2b'])");
    assert_eq!(
        drift(&workspace, "multizone_cluster.demo"),
        ["the subnet of zone us-west-2b is gone"]
    );
    let _ = workspace.apply(&TWO_ZONES);
    workspace.assert_empty_plan(&TWO_ZONES);
    assert_eq!(look(moto)["subnets"], json!(["us-west-2a", "us-west-2b"]));

    a_subnet_keeps_its_range(&workspace);

    // A disk that is gone is made again.
    tamper(moto, "ec2.delete_volume(VolumeId=volume['VolumeId'])");
    let changes = workspace.planned_changes(&TWO_ZONES);
    assert_eq!(changes, [("multizone_disk.data".to_owned(), "create".to_owned())]);
    let _ = workspace.apply(&TWO_ZONES);
    workspace.assert_empty_plan(&TWO_ZONES);

    a_network_that_has_lost_its_tag_is_not_made_twice(moto, &workspace);
    a_subnet_that_has_lost_its_tag_is_known_or_named(moto, &workspace);
    moto.boto3(
        "for t in ec2.describe_route_tables()['RouteTables']:\n\
         \x20 if not t['Associations']:\n\
         \x20   ec2.delete_route_table(RouteTableId=t['RouteTableId'])",
    );
    let _ = workspace.terraform(&["destroy", "-auto-approve"]).succeeded();
    assert_eq!(moto.left(), json!({}));
}

/// Pods attach and detach volumes: that is no drift.  What would lose what is written is refused.
fn a_volume_that_is_attached_and_detached_is_nobodys_concern(moto: &Moto, workspace: &Workspace) {
    tamper(
        moto,
        "image = ec2.describe_images()['Images'][0]['ImageId']\n\
         i = ec2.run_instances(ImageId=image, MinCount=1, MaxCount=1, InstanceType='t3.medium',\n\
         \x20 Placement={'AvailabilityZone': 'us-west-2a'})\n\
         ec2.attach_volume(VolumeId=volume['VolumeId'], InstanceId=i['Instances'][0]['InstanceId'], Device='/dev/sdf')",
    );
    workspace.assert_empty_plan(&TWO_ZONES);
    let moved = [&TWO_ZONES[..], &["-var", "disk_zone=us-west-2b"]].concat();
    let _ = workspace
        .terraform(&[&["apply", "-auto-approve"], &moved[..]].concat())
        .exited(1)
        .saying(&["The disk is attached", "while it is attached to i-"]);
    tamper(
        moto,
        "holder = volume['Attachments'][0]['InstanceId']\n\
         ec2.detach_volume(VolumeId=volume['VolumeId'], InstanceId=holder, Device='/dev/sdf')\n\
         ec2.terminate_instances(InstanceIds=[holder])",
    );
    workspace.assert_empty_plan(&TWO_ZONES);
}

fn a_subnet_keeps_its_range(workspace: &Workspace) {
    let other = CONFIGURATION.replace("\"10.0.0.0/16\", 8,", "\"10.0.0.0/16\", 7,");
    workspace.write("main.tf", &other);
    let _ = workspace
        .terraform(&[&["plan"], &TWO_ZONES[..]].concat())
        .exited(1)
        .saying(&["A subnet keeps its range"]);
    workspace.write("main.tf", CONFIGURATION);
}

fn a_network_that_has_lost_its_tag_is_not_made_twice(moto: &Moto, workspace: &Workspace) {
    tamper(
        moto,
        "ec2.delete_tags(Resources=[vpc], Tags=[{'Key': 'multizone-cluster'}])",
    );
    let _ = workspace
        .terraform(&[&["apply", "-auto-approve"], &TWO_ZONES[..]].concat())
        .exited(1)
        .saying(&["network vpc-", "does not say that it belongs to this cluster"]);
    moto.boto3(
        "vpc = [v['VpcId'] for v in ec2.describe_vpcs()['Vpcs'] if v.get('Tags')][0]\n\
         ec2.create_tags(Resources=[vpc], Tags=[{'Key': 'multizone-cluster', 'Value': 'demo'}])",
    );
    workspace.assert_empty_plan(&TWO_ZONES);
}

/// It gets its tag back where it is known to be the provider's own by what else it has; otherwise it is named.
fn a_subnet_that_has_lost_its_tag_is_known_or_named(moto: &Moto, workspace: &Workspace) {
    let subnet = moto.boto3(&format!("{OBJECTS}answer = subnets['us-west-2b']"));
    let subnet = subnet.as_str().unwrap();
    let gone = ["the subnet of zone us-west-2b is gone"];
    tamper(
        moto,
        "ec2.delete_tags(Resources=[subnets['us-west-2b']], Tags=[{'Key': 'multizone-cluster'}])",
    );
    assert_eq!(drift(workspace, "multizone_cluster.demo"), gone);
    let _ = workspace.apply(&TWO_ZONES);
    workspace.assert_empty_plan(&TWO_ZONES);
    let same = moto.boto3(&format!("{OBJECTS}answer = subnets['us-west-2b']"));
    assert_eq!(same, subnet, "it is the same subnet");

    tamper(
        moto,
        "ec2.delete_tags(Resources=[subnets['us-west-2b']], Tags=[{'Key': 'multizone-cluster'}, {'Key': 'multizone-name'}])",
    );
    assert_eq!(drift(workspace, "multizone_cluster.demo"), gone);
    let tag = format!("aws ec2 create-tags --resources {subnet} --tags Key=multizone-cluster,Value=demo");
    let _ = workspace
        .terraform(&[&["apply", "-auto-approve"], &TWO_ZONES[..]].concat())
        .exited(1)
        .saying(&[
            &format!("subnet {subnet}: refused (InvalidSubnet.Conflict)"),
            "it has the range 10.0.1.0/24 in zone us-west-2b of this cluster's network vpc-",
            "and lacks the tag multizone-cluster = demo",
            &tag,
        ]);
    moto.boto3(&format!(
        "ec2.create_tags(Resources=['{subnet}'], Tags=[{{'Key': 'multizone-cluster', 'Value': 'demo'}}])"
    ));
    workspace.assert_empty_plan(&TWO_ZONES);
    assert_eq!(look(moto)["subnets"], json!(["us-west-2a", "us-west-2b"]));
}
