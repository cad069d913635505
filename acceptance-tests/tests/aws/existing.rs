//! A cluster in a network that exists: checked by the plan, lived in, and left as it was.

use multizone_acceptance_tests::{Moto, Workspace};
use serde_json::{Value, json};

/// Somebody's network with a subnet in each of three zones, somebody's machine in one of them, and another network.
const THEIRS: &str = r#"
vpc = ec2.create_vpc(CidrBlock="10.20.0.0/16")["Vpc"]["VpcId"]
gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
table = ec2.describe_route_tables(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["RouteTables"][0]["RouteTableId"]
ec2.create_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway)
def subnet(vpc, zone, cidr):
    return ec2.create_subnet(VpcId=vpc, AvailabilityZone=zone, CidrBlock=cidr)["Subnet"]["SubnetId"]
subnets = [subnet(vpc, f"us-west-2{zone}", f"10.20.{number}.0/24") for number, zone in enumerate("abc")]
image = ec2.describe_images()["Images"][0]["ImageId"]
ec2.run_instances(ImageId=image, MinCount=1, MaxCount=1, InstanceType="t3.medium", SubnetId=subnets[1])
other = ec2.create_vpc(CidrBlock="10.244.0.0/16")["Vpc"]["VpcId"]
answer = [vpc, *subnets, subnet(other, "us-west-2a", "10.244.1.0/24"), other]
"#;

/// All of it, but for what machines and load balancers take of it.
const AS_IT_IS: &str = r#"
vpcs = [v for v in ec2.describe_vpcs()["Vpcs"] if not v["IsDefault"]]
ids = [v["VpcId"] for v in vpcs]
within = [{"Name": "vpc-id", "Values": ids}]
subnets = ec2.describe_subnets(Filters=within)["Subnets"]
for subnet in subnets:
    del subnet["AvailableIpAddressCount"]
answer = [vpcs, subnets, ec2.describe_route_tables(Filters=within)["RouteTables"],
          ec2.describe_internet_gateways()["InternetGateways"]]
"#;

/// Where the cluster is: the zones and subnets of its load balancer, the networks of its security groups.
const WHERE: &str = r#"
groups = [g for g in ec2.describe_security_groups()["SecurityGroups"] if g.get("Tags")]
spanned = elbv2.describe_load_balancers()["LoadBalancers"][0]["AvailabilityZones"]
answer = [sorted(z["SubnetId"] for z in spanned), sorted({g["VpcId"] for g in groups}), len(groups)]
"#;

fn configuration(network: &str, zones: &[(&str, &str)]) -> String {
    let zones: Vec<String> = zones
        .iter()
        .map(|(zone, subnet)| format!("    \"us-west-2{zone}\" = {{ {subnet} }}\n"))
        .collect();
    let zones = zones.concat();
    format!(
        "resource \"multizone_cluster\" \"demo\" {{\n  name = \"demo\"\n  {network}\n  zones = {{\n{zones}  }}\n}}\nresource \
         \"multizone_api_load_balancer\" \"api\" {{\n  cluster = multizone_cluster.demo.name\n  zones   = \
         keys(multizone_cluster.demo.zones)\n}}\n"
    )
}

pub(super) fn a_network_that_exists_is_lived_in_and_left_as_it_was(moto: &Moto) {
    let ids: Vec<String> = serde_json::from_value(moto.boto3(THEIRS)).unwrap();
    let [vpc, a, b, c, elsewhere, other] = &ids[..] else {
        panic!("{ids:?}")
    };
    let as_it_was = moto.boto3(AS_IT_IS);
    let network = format!("existing_network = \"{vpc}\"");
    let subnet = |id: &str| format!("existing_subnet = \"{id}\"");
    let (in_a, in_b, in_c) = (subnet(a), subnet(b), subnet(c));
    let two = configuration(&network, &[("a", &in_a), ("b", &in_b)]);
    let workspace = Workspace::on_aws(moto, &two);

    for (network, zone, words) in [
        (
            &network,
            subnet(b),
            format!("{b} is in zone us-west-2b, not in us-west-2a"),
        ),
        (
            &network,
            subnet(elsewhere),
            format!("{elsewhere} is in network {other}, not in {vpc}"),
        ),
        (
            &format!("existing_network = \"{other}\""),
            subnet(elsewhere),
            format!("{elsewhere} has the range 10.244.1.0/24, which overlaps pod_cidr = 10.244.0.0/16"),
        ),
        (
            &network,
            subnet("subnet-0"),
            "there is no subnet subnet-0 in region us-west-2".to_owned(),
        ),
        (
            &network,
            "subnet_cidr = \"10.20.9.0/24\"".to_owned(),
            "Zone us-west-2a needs".to_owned(),
        ),
        (
            &String::new(),
            in_a.clone(),
            "existing_network names no network".to_owned(),
        ),
    ] {
        workspace.write("main.tf", &configuration(network, &[("a", &zone)]));
        let said = workspace.terraform(&["plan"]).exited(1).text();
        assert!(said.contains(&words), "{words:?} is not in {said}");
    }

    workspace.write("main.tf", &two);
    let _ = workspace.apply(&[]);
    workspace.assert_empty_plan(&[]);
    let is = |subnets: &[&String]| {
        let mut subnets = subnets.to_vec();
        subnets.sort();
        json!([subnets, [vpc], 2])
    };
    assert_eq!(moto.boto3(WHERE), is(&[a, b]));
    assert_eq!(moto.boto3(AS_IT_IS), as_it_was);

    // A zone comes, what says so is lost and comes back, a zone goes; somebody else's machine in it is no hindrance.
    workspace.write(
        "main.tf",
        &configuration(&network, &[("a", &in_a), ("b", &in_b), ("c", &in_c)]),
    );
    let _ = workspace.apply(&[]);
    workspace.assert_empty_plan(&[]);
    assert_eq!(moto.boto3(WHERE), is(&[a, b, c]));
    moto.boto3(
        "for g in ec2.describe_security_groups()['SecurityGroups']:\n\
         \x20 if g.get('Tags'):\n\
         \x20   ec2.delete_tags(Resources=[g['GroupId']], Tags=[{'Key': 'multizone-subnet-us-west-2c'}])",
    );
    let _ = workspace
        .terraform(&["plan"])
        .succeeded()
        .saying(&["the subnet of zone us-west-2c is gone"]);
    let _ = workspace.apply(&[]);
    workspace.assert_empty_plan(&[]);
    workspace.write("main.tf", &configuration(&network, &[("a", &in_a), ("c", &in_c)]));
    let _ = workspace.apply(&[]);
    workspace.assert_empty_plan(&[]);
    assert_eq!(moto.boto3(WHERE), is(&[a, c]));
    workspace.write("main.tf", &configuration(&network, &[("a", &in_b), ("c", &in_c)]));
    let _ = workspace
        .terraform(&["plan"])
        .exited(1)
        .saying(&["A zone keeps its subnet"]);
    workspace.write("main.tf", &configuration(&network, &[("a", &in_a), ("c", &in_c)]));

    let _ = workspace
        .terraform(&["state", "rm", "multizone_cluster.demo"])
        .succeeded();
    let _ = workspace
        .terraform(&["import", "multizone_cluster.demo", "us-west-2/demo"])
        .succeeded();
    workspace.assert_empty_plan(&[]);

    let _ = workspace.terraform(&["destroy", "-auto-approve"]).succeeded();
    assert_eq!(moto.boto3(AS_IT_IS), as_it_was);
    moto.boto3(
        "for r in ec2.describe_instances()['Reservations']:\n\
         \x20 ec2.terminate_instances(InstanceIds=[i['InstanceId'] for i in r['Instances']])",
    );
    let left: Value = moto.left();
    let kinds: Vec<&String> = left.as_object().unwrap().keys().collect();
    assert_eq!(kinds, ["vpcs"], "what was theirs: {left}");
}
