//! Machines.

use multizone_cloud::{Cloud as _, CloudError, ClusterName, MachineSpec, MachineState, Role, label};
use serde_json::json;

use super::{A, Account, labels};

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
