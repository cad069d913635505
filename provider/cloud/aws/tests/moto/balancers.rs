//! The cluster's address and the balancer at it.

use std::collections::BTreeSet;

use multizone_cloud::{
    Address, AddressHolder, AddressSpec, BalancerSpec, Cloud as _, CloudError, ClusterName, Host, MachineSpec, Role,
    TargetHealth, label,
};
use serde_json::json;

use super::{A, Account, B, C, labels, network};

pub(super) async fn the_name_stays_while_zones_and_masters_come_and_go(account: &Account) {
    let (aws, cluster) = (&account.aws, account.cluster("demo", &[A, B, C]).await);
    let address = made(account, &cluster).await;
    leads_to_the_machines_that_were_given_it(account, &cluster).await;
    let wanted = declared(account, &cluster, &address.address).await;
    healed(account, &wanted).await;
    left(account, &cluster).await;
    let inventory = aws.inventory(&cluster).await.unwrap();
    assert!(inventory.balancers.is_empty());
    assert_eq!(
        inventory.addresses[0].address, address.address,
        "its name stays the endpoint"
    );
    aws.delete_address(&cluster, "api").await.unwrap();
    account.finish(&cluster).await;
}

/// The address, and how it is set.
async fn made(account: &Account, cluster: &ClusterName) -> Address {
    let aws = &account.aws;
    let spec = AddressSpec {
        cluster: cluster.clone(),
        name: "api".into(),
        labels: labels(cluster),
    };
    let address = aws.ensure_address(&spec).await.unwrap();
    let Host::Name(name) = &address.address else {
        panic!("{address:?}")
    };
    assert!(name.ends_with(".amazonaws.com"), "{name}");
    assert_eq!(aws.ensure_address(&spec).await.unwrap(), address);
    let set = account.boto3(
        "b = elbv2.describe_load_balancers()['LoadBalancers'][0]\n\
         g = elbv2.describe_target_groups()['TargetGroups'][0]\n\
         a = elbv2.describe_load_balancer_attributes(LoadBalancerArn=b['LoadBalancerArn'])['Attributes']\n\
         t = elbv2.describe_target_group_attributes(TargetGroupArn=g['TargetGroupArn'])['Attributes']\n\
         s = {x['Key']: x['Value'] for x in t + a}\n\
         answer = [b['Type'], b['Scheme'], len(b['AvailabilityZones']), g['HealthCheckProtocol'], g['HealthCheckPath'],\n\
         s['load_balancing.cross_zone.enabled'], s['preserve_client_ip.enabled'],\n\
         s['deregistration_delay.timeout_seconds'],\n\
         [x['Port'] for x in elbv2.describe_listeners(LoadBalancerArn=b['LoadBalancerArn'])['Listeners']]]",
    );
    let expected = json!([
        "network",
        "internet-facing",
        3,
        "HTTPS",
        "/readyz",
        "true",
        "false",
        "10",
        [6443]
    ]);
    assert_eq!(set, expected);
    address
}

/// Without a balancer.
async fn leads_to_the_machines_that_were_given_it(account: &Account, cluster: &ClusterName) {
    let aws = &account.aws;
    account.boto3(
        "ec2.register_image(Name='ubuntu-test', RootDeviceName='/dev/sda1', Architecture='x86_64',\n\
         BlockDeviceMappings=[{'DeviceName': '/dev/sda1', 'Ebs': {'VolumeSize': 8}}])",
    );
    let mut machine_labels = labels(cluster);
    machine_labels.insert(label::ROLE.to_owned(), Role::Master.as_str().to_owned());
    let master = |zone: &str, name: &str, address: Option<&str>| MachineSpec {
        cluster: cluster.clone(),
        name: name.to_owned(),
        zone: zone.to_owned(),
        role: Role::Master,
        machine_type: "t3.medium".into(),
        image: Some("self/ubuntu-test".into()),
        boot_disk_gb: 20,
        user_data: "#cloud-config\n".into(),
        identity: None,
        address: address.map(ToOwned::to_owned),
        labels: machine_labels.clone(),
    };
    aws.ensure_machine(&master(A, "m-a", Some("api"))).await.unwrap();
    aws.ensure_machine(&master(C, "m-c", None)).await.unwrap();
    let holder = aws.inventory(cluster).await.unwrap().addresses[0].holder.clone();
    assert_eq!(
        holder,
        Some(AddressHolder::Machine {
            zone: A.into(),
            name: "m-a".into()
        })
    );
    let used = aws.delete_address(cluster, "api").await.unwrap_err();
    assert!(matches!(used, CloudError::InUse { .. }), "{used}");
}

/// A balancer over all of it that leaves a zone.
async fn declared(account: &Account, cluster: &ClusterName, name: &Host) -> BalancerSpec {
    let aws = &account.aws;
    let mut wanted = BalancerSpec {
        cluster: cluster.clone(),
        name: "api".into(),
        zones: BTreeSet::new(),
        port: 6443,
        health_path: "/readyz".into(),
        labels: labels(cluster),
    };
    wanted.labels.insert("team".into(), "web".into());
    let made = aws.ensure_balancer(&wanted).await.unwrap();
    assert_eq!(
        (made.labels.clone(), made.dns_name.map(Host::Name)),
        (wanted.labels.clone(), Some(name.clone()))
    );
    assert_eq!(made.targets.len(), 1, "the master that it led to stays");
    aws.register_target(cluster, "api", C, "m-c").await.unwrap();
    aws.register_target(cluster, "api", C, "m-c").await.unwrap();
    let found = aws.inventory(cluster).await.unwrap().balancers.remove(0);
    assert_eq!(found.target(C, "m-c").unwrap().health, TargetHealth::Serving);
    wanted.zones = BTreeSet::from([A, B].map(ToOwned::to_owned));
    let used = aws.ensure_balancer(&wanted).await.unwrap_err();
    assert!(matches!(used, CloudError::InUse { .. }), "{used}");
    aws.deregister_target(cluster, "api", C, "m-c").await.unwrap();
    assert_eq!(aws.ensure_balancer(&wanted).await.unwrap().zones, wanted.zones);
    wanted
}

/// What somebody has changed is told and put right.
async fn healed(account: &Account, wanted: &BalancerSpec) {
    let (aws, cluster) = (&account.aws, &wanted.cluster);
    account.boto3(
        "b = elbv2.describe_load_balancers()['LoadBalancers'][0]['LoadBalancerArn']\n\
         elbv2.modify_load_balancer_attributes(LoadBalancerArn=b,\n\
         Attributes=[{'Key': 'load_balancing.cross_zone.enabled', 'Value': 'false'}])\n\
         l = elbv2.describe_listeners(LoadBalancerArn=b)['Listeners'][0]['ListenerArn']\n\
         elbv2.delete_listener(ListenerArn=l)",
    );
    let found = aws.inventory(cluster).await.unwrap().balancers.remove(0);
    let said = found.unexpected.unwrap();
    assert!(
        said.contains("listener at port 6443 is gone") && said.contains("cross_zone"),
        "{said}"
    );
    assert_eq!(aws.ensure_balancer(wanted).await.unwrap().unexpected, None);
}

/// The zone's subnet goes only after balancer and machines have left it.
async fn left(account: &Account, cluster: &ClusterName) {
    let aws = &account.aws;
    let left = aws.ensure_network(&network(cluster, &[A, B])).await.unwrap();
    assert_eq!(left.subnets.len(), 3, "m-c is in it");
    aws.delete_machine(cluster, C, "m-c").await.unwrap();
    aws.delete_subnet(cluster, C).await.unwrap();
    aws.delete_subnet(cluster, C).await.unwrap();
    let used = aws.delete_balancer(cluster, "api").await.unwrap_err();
    assert!(matches!(used, CloudError::InUse { .. }), "{used}");
    aws.delete_machine(cluster, A, "m-a").await.unwrap();
    assert!(aws.inventory(cluster).await.unwrap().balancers[0].targets.is_empty());
    aws.delete_balancer(cluster, "api").await.unwrap();
    aws.delete_balancer(cluster, "api").await.unwrap();
}
