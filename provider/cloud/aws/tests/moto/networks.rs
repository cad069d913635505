//! Networks, subnets, firewall rules, and what there is on offer.

use multizone_cloud::{Cloud as _, CloudError, NetworkSpec};
use serde_json::json;

use super::{A, Account, B, network, rules};

pub(super) async fn a_network_is_made_once_healed_and_left_without_a_trace(account: &Account) {
    let (aws, cluster) = (&account.aws, account.cluster("demo", &[A, B]).await);
    aws.ensure_network(&network(&cluster, &[A, B])).await.unwrap();
    let found = account.boto3(
        "vpcs = [v for v in ec2.describe_vpcs()['Vpcs'] if not v['IsDefault']]\n\
         tags = {t['Key']: t['Value'] for t in vpcs[0]['Tags']}\n\
         answer = [[v['CidrBlock'] for v in vpcs], tags['multizone-cluster'], tags['owner'],\n\
         sorted((s['AvailabilityZone'], s['CidrBlock']) for s in ec2.describe_subnets()['Subnets'] if s.get('Tags'))]",
    );
    let subnets = json!([[A, "10.0.0.0/24"], [B, "10.0.1.0/24"]]);
    assert_eq!(found, json!([["10.0.0.0/16"], "demo", "platform", subnets]));
    let inventory = aws.inventory(&cluster).await.unwrap();
    assert_eq!(inventory.network.as_ref().unwrap().unexpected, None);
    assert_eq!(inventory.firewall_rules.len(), 2, "{:?}", inventory.firewall_rules);
    for (found, wanted) in inventory.firewall_rules.iter().zip(rules(&cluster)) {
        assert_eq!((&found.spec, &found.unexpected), (&wanted, &None));
    }

    account.boto3(
        "for t in ec2.describe_route_tables()['RouteTables']:\n\
         \x20 for r in t['Routes']:\n\
         \x20   if r.get('GatewayId', '').startswith('igw-'):\n\
         \x20     ec2.delete_route(RouteTableId=t['RouteTableId'], DestinationCidrBlock='0.0.0.0/0')\n\
         for g in ec2.describe_security_groups()['SecurityGroups']:\n\
         \x20 if g['GroupName'] == 'multizone-demo-master':\n\
         \x20   ec2.revoke_security_group_ingress(GroupId=g['GroupId'], IpPermissions=[p for p in g['IpPermissions']\n\
         \x20     if p.get('FromPort') == 6443])",
    );
    let inventory = aws.inventory(&cluster).await.unwrap();
    let said = inventory.network.unwrap().unexpected.unwrap();
    assert!(said.contains("route to the internet is gone"), "{said}");
    assert!(inventory.firewall_rules.iter().all(|rule| rule.name != "api"));
    account.cluster("demo", &[A, B]).await;
    let inventory = aws.inventory(&cluster).await.unwrap();
    assert_eq!(inventory.network.unwrap().unexpected, None);
    assert_eq!(inventory.firewall_rules.len(), 2);

    // A zone that is dropped takes its subnet along.
    let smaller = aws.ensure_network(&network(&cluster, &[A])).await.unwrap();
    assert_eq!(smaller.subnets.len(), 1);
    aws.delete_firewall_rule(&cluster, "api").await.unwrap();
    let rules = aws.inventory(&cluster).await.unwrap().firewall_rules;
    assert_eq!(
        rules.iter().map(|rule| rule.name.as_str()).collect::<Vec<_>>(),
        ["internal"]
    );
    account.finish(&cluster).await;
}

pub(super) async fn what_cannot_be_is_refused_and_what_is_on_offer_is_told(account: &Account) {
    let (aws, cluster) = (&account.aws, account.cluster("demo", &[A]).await);
    let moved = NetworkSpec {
        zones: vec![(A.to_owned(), Some("10.0.9.0/24".parse().unwrap()))],
        ..network(&cluster, &[A])
    };
    let refused = aws.ensure_network(&moved).await.unwrap_err();
    assert!(matches!(refused, CloudError::Differs { .. }), "{refused}");
    let bare = NetworkSpec {
        zones: vec![(B.to_owned(), None)],
        ..network(&cluster, &[A])
    };
    let refused = aws.ensure_network(&bare).await.unwrap_err();
    assert!(refused.to_string().contains("subnet_cidr"), "{refused}");
    let outside = NetworkSpec {
        zones: vec![(B.to_owned(), Some("192.168.0.0/24".parse().unwrap()))],
        ..network(&cluster, &[A])
    };
    let refused = aws.ensure_network(&outside).await.unwrap_err();
    let CloudError::Refused { code, reason, .. } = &refused else {
        panic!("{refused}")
    };
    assert_eq!(code, "InvalidSubnet.Range");
    assert!(reason.contains("request "), "{reason}");

    let free = |zone: &'static str| aws.free_addresses(&cluster, zone);
    assert_eq!(free(A).await.unwrap(), Some(251), "five of 256 are AWS's");
    assert_eq!(free(B).await.unwrap(), None);
    assert_eq!(aws.room(&"10.0.0.0/28".parse().unwrap()), Some(10));

    let zones = aws.zones().await.unwrap();
    assert!(zones.iter().any(|zone| zone.name == A && zone.up), "{zones:?}");
    let medium = aws.machine_type(A, "t3.medium").await.unwrap().unwrap();
    assert_eq!((medium.cpus, medium.memory_mib), (2, 4096));
    assert_eq!(aws.machine_type(A, "t3.huge").await.unwrap(), None);
    assert!(
        aws.machine_type("us-west-2z", "t3.medium")
            .await
            .unwrap_err()
            .is_not_found()
    );
    account.finish(&cluster).await;
}
