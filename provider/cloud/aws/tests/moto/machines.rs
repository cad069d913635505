//! Machines.

use futures::future::join_all;
use multizone_cloud::{
    Cloud as _, CloudError, ClusterName, ExistingNetwork, MachineSpec, MachineState, NetworkSpec, Role, label,
};
use multizone_cloud_aws::Aws;
use serde_json::json;

use super::{A, Account, labels, network, settings};

fn master(cluster: &multizone_cloud::ClusterName, image: &str) -> MachineSpec {
    let mut labels = labels(cluster);
    labels.insert(label::ROLE.to_owned(), Role::Master.as_str().to_owned());
    MachineSpec {
        cluster: cluster.clone(),
        name: format!("{cluster}-master-a"),
        zone: A.to_owned(),
        role: Role::Master,
        machine_type: "t3.medium".into(),
        image: Some(image.to_owned()),
        boot_disk_gb: 20,
        user_data: "#cloud-config\n".into(),
        identity: None,
        address: None,
        labels,
    }
}

pub(super) async fn a_machine_lives_as_it_should_and_once(account: &Account) {
    let (aws, cluster) = (&account.aws, account.cluster("demo", &[A]).await);
    let image = account.boto3(
        "i = ec2.describe_images()['Images'][0]['ImageId']\n\
         ec2.register_image(Name='ubuntu-test-1', RootDeviceName='/dev/sda1', Architecture='x86_64',\n\
         BlockDeviceMappings=[{'DeviceName': '/dev/sda1', 'Ebs': {'VolumeSize': 8}}])\n\
         answer = i",
    );
    assert!(image.is_string());
    let mut spec = master(&cluster, "self/ubuntu-test-*");
    spec.identity = Some(aws.default_machine_identity(&cluster).await.unwrap());
    let made = aws.ensure_machine(&spec).await.unwrap();
    assert_eq!((made.name.as_str(), made.zone.as_str()), ("demo-master-a", A));
    assert_eq!(made.state, MachineState::Running);
    assert!(made.address.is_some() && made.external_address.is_some(), "{made:?}");
    assert_eq!(
        made.labels, spec.labels,
        "the default tags and the names are none of them"
    );
    assert_eq!(aws.ensure_machine(&spec).await.unwrap(), made, "it is there already");
    assert_eq!(aws.provider_id_of(&made), format!("aws:///{A}/{}", made.id));

    let found = account.boto3(
        "i = [i for r in ec2.describe_instances()['Reservations'] for i in r['Instances']]\n\
         v = ec2.describe_volumes()['Volumes']\n\
         import base64\n\
         u = ec2.describe_instance_attribute(InstanceId=i[0]['InstanceId'], Attribute='userData')['UserData']['Value']\n\
         answer = [len(i), i[0]['MetadataOptions']['HttpTokens'], i[0]['MetadataOptions']['HttpPutResponseHopLimit'],\n\
         [(x['VolumeType'], x['Encrypted'], x['Size']) for x in v], base64.b64decode(u).decode(),\n\
         i[0]['IamInstanceProfile']['Arn'].rsplit('/')[-1], i[0]['SourceDestCheck'],\n\
         {t['Key']: t['Value'] for t in v[0]['Tags']}.get('multizone-boot')]",
    );
    let volumes = json!([["gp3", true, 20]]);
    let expected = json!([
        1,
        "required",
        1,
        volumes,
        "#cloud-config\n",
        "multizone-us-west-2-demo",
        false,
        "true"
    ]);
    assert_eq!(found, expected);
    assert!(
        aws.inventory(&cluster).await.unwrap().disks.is_empty(),
        "its boot volume is no disk"
    );

    aws.stop_machine(&cluster, A, &spec.name).await.unwrap();
    assert_eq!(
        aws.machine(A, &spec.name).await.unwrap().unwrap().state,
        MachineState::Halted
    );
    aws.start_machine(&cluster, A, &spec.name).await.unwrap();
    let mut labels = spec.labels.clone();
    labels.insert("team".into(), "web".into());
    aws.set_machine_labels(&cluster, A, &spec.name, &labels).await.unwrap();
    assert_eq!(aws.machine(A, &spec.name).await.unwrap().unwrap().labels, labels);
    aws.set_machine_labels(&cluster, A, &spec.name, &spec.labels)
        .await
        .unwrap();
    let now = aws.inventory(&cluster).await.unwrap().machines.remove(0);
    assert_eq!(
        (&now.id, &now.labels, &now.created),
        (&made.id, &made.labels, &made.created)
    );

    let bigger = MachineSpec {
        machine_type: "t3.large".into(),
        ..spec.clone()
    };
    let refused = aws.ensure_machine(&bigger).await.unwrap_err();
    assert!(matches!(refused, CloudError::Differs { .. }), "{refused}");
    account.boto3(&format!(
        "ec2.delete_tags(Resources=['{}'], Tags=[{{'Key': 'multizone-cluster'}}])",
        made.id
    ));
    assert!(matches!(
        aws.ensure_machine(&spec).await,
        Err(CloudError::NotOurs { .. })
    ));
    assert!(matches!(
        aws.delete_machine(&cluster, A, &spec.name).await,
        Err(CloudError::NotOurs { .. })
    ));
    aws.set_machine_labels(&cluster, A, &spec.name, &spec.labels)
        .await
        .unwrap();
    let used = aws.delete_network(&cluster).await.unwrap_err();
    assert!(matches!(used, CloudError::InUse { .. }), "{used}");

    not_a_strangers(account, &spec).await;
    aws.delete_machine(&cluster, A, &spec.name).await.unwrap();
    aws.delete_machine(&cluster, A, &spec.name).await.unwrap();
    assert_eq!(aws.machine(A, &spec.name).await.unwrap(), None);
    // One of the same name again: it is another.
    let again = aws.ensure_machine(&spec).await.unwrap();
    assert_ne!(again.id, made.id);
    aws.delete_machine(&cluster, A, &spec.name).await.unwrap();
    account.finish(&cluster).await;
}

/// Another cluster, whose name begins like this one's, cannot touch the machine.
async fn not_a_strangers(account: &Account, spec: &MachineSpec) {
    let (aws, stranger) = (&account.aws, ClusterName::new("demo-2"));
    for refused in [
        aws.stop_machine(&stranger, A, &spec.name).await,
        aws.start_machine(&stranger, A, &spec.name).await,
        aws.set_machine_labels(&stranger, A, &spec.name, &spec.labels).await,
        aws.delete_machine(&stranger, A, &spec.name).await,
    ] {
        assert!(matches!(refused, Err(CloudError::NotOurs { .. })), "{refused:?}");
    }
}

pub(super) async fn a_machine_that_cannot_be_made_is_told_why(account: &Account) {
    let (aws, cluster) = (&account.aws, account.cluster("demo", &[A]).await);
    let none = aws
        .ensure_machine(&master(&cluster, "ami-0123456789abcdef0"))
        .await
        .unwrap_err();
    assert!(none.to_string().contains("OWNER/NAME"), "{none}");
    let elsewhere = MachineSpec {
        zone: "us-west-2b".into(),
        ..master(&cluster, "ami-0123456789abcdef0")
    };
    let refused = aws.ensure_machine(&elsewhere).await.unwrap_err();
    assert_eq!(refused.object(), "subnet of cluster demo in us-west-2b");
    account.finish(&cluster).await;
}

/// Each is looked at again and again while it starts, all of them by the same calls.
pub(super) async fn machines_that_are_waited_for_together_share_the_looks(account: &Account) {
    let cluster = account.cluster("demo", &[A]).await;
    let image = account.boto3("answer = ec2.describe_images()['Images'][0]['ImageId']");
    let slow = json!([{ "service": "ec2", "operation": "DescribeInstances", "latency": 100 }]);
    let faults = account.moto.with_faults(&slow);
    let aws = Aws::connect(settings(faults.endpoint())).await;
    let machines: Vec<_> = (0..6)
        .map(|number| MachineSpec {
            name: format!("demo-pool-{number}"),
            role: Role::Worker,
            ..master(&cluster, image.as_str().unwrap())
        })
        .collect();
    for machine in &machines {
        aws.ensure_machine(machine).await.unwrap();
        aws.stop_machine(&cluster, A, &machine.name).await.unwrap();
    }
    let looks = || {
        let asked = faults.asked("DescribeInstances");
        asked
            .iter()
            .filter(|asked| asked["Filter.1.Name"] == "instance-id")
            .count()
    };
    let before = looks();
    let started = join_all(
        machines
            .iter()
            .map(|machine| aws.start_machine(&cluster, A, &machine.name)),
    )
    .await;
    assert!(started.iter().all(Result::is_ok), "{started:?}");
    // Each by itself would look twice: before it is started, and once it runs.
    assert!(looks() - before < 2 * machines.len(), "{}", looks() - before);
    let deleted = join_all(
        machines
            .iter()
            .map(|machine| aws.delete_machine(&cluster, A, &machine.name)),
    )
    .await;
    assert!(deleted.iter().all(Result::is_ok), "{deleted:?}");
    account.finish(&cluster).await;
}

/// In somebody else's network nothing but the cluster's own goes with the cluster.
pub(super) async fn a_machine_lives_in_a_network_that_exists(account: &Account) {
    let (aws, cluster) = (&account.aws, ClusterName::new("demo"));
    let given = account.boto3(
        "vpc = ec2.create_vpc(CidrBlock='10.20.0.0/16')['Vpc']['VpcId']\n\
         subnet = ec2.create_subnet(VpcId=vpc, AvailabilityZone='us-west-2a', CidrBlock='10.20.0.0/24')['Subnet']['SubnetId']\n\
         answer = [vpc, subnet, ec2.describe_images()['Images'][0]['ImageId']]",
    );
    let [vpc, subnet, image] = [0, 1, 2].map(|index| given[index].as_str().unwrap().to_owned());
    let spec = NetworkSpec {
        zones: vec![(A.to_owned(), None)],
        existing: Some(ExistingNetwork {
            id: vpc.clone(),
            subnets: [(A.to_owned(), subnet.clone())].into(),
        }),
        ..network(&cluster, &[A])
    };
    let made = aws.ensure_network(&spec).await.unwrap();
    assert_eq!((&made.name, made.existing), (&vpc, true));
    assert_eq!(aws.ensure_network(&spec).await.unwrap(), made);
    let machine = master(&cluster, &image);
    aws.ensure_machine(&machine).await.unwrap();
    let lives = "answer = [i['SubnetId'] for r in ec2.describe_instances()['Reservations'] for i in r['Instances']\n\
                 \x20 if i['State']['Name'] == 'running']";
    assert_eq!(account.boto3(lives), json!([subnet]));
    assert_eq!(aws.free_addresses(&cluster, A).await.unwrap(), Some(250));
    let used = aws.delete_network(&cluster).await.unwrap_err();
    assert!(matches!(used, CloudError::InUse { .. }), "{used}");
    let used = aws.delete_subnet(&cluster, A).await.unwrap_err();
    assert!(matches!(used, CloudError::InUse { .. }), "{used}");
    aws.delete_machine(&cluster, A, &machine.name).await.unwrap();
    aws.delete_network(&cluster).await.unwrap();
    account.boto3(&format!(
        "ec2.delete_subnet(SubnetId='{subnet}')\nec2.delete_vpc(VpcId='{vpc}')"
    ));
    account.finish(&cluster).await;
}
