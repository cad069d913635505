//! AWS when it is not well: microburst between the provider's code and moto.

use multizone_acceptance_tests::Faults;
use multizone_cloud::{
    AddressSpec, BalancerSpec, Cloud as _, CloudError, ClusterName, DiskSpec, MachineSpec, Performance, Role,
    SecretSpec, label,
};
use multizone_cloud_aws::Aws;
use serde_json::{Value, json};

use super::{A, Account, B, labels, network, rules, settings};

/// Everything that a cluster may have, one of each.
const MADE: &str = r#"
def named(things):
    return len([t for t in things if t.get("Tags")])
instances = [i for r in ec2.describe_instances()["Reservations"] for i in r["Instances"]]
balancers = elbv2.describe_load_balancers()["LoadBalancers"]
answer = {
    "instances": len([i for i in instances if i["State"]["Name"] != "terminated"]),
    "disks": len([v for v in ec2.describe_volumes()["Volumes"] if not v["Attachments"]]),
    "snapshots": named(ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"]),
    "vpcs": named(ec2.describe_vpcs()["Vpcs"]),
    "subnets": named(ec2.describe_subnets()["Subnets"]),
    "gateways": named(ec2.describe_internet_gateways()["InternetGateways"]),
    "groups": named(ec2.describe_security_groups()["SecurityGroups"]),
    "balancers": len(balancers),
    "listeners": sum(len(elbv2.describe_listeners(LoadBalancerArn=b["LoadBalancerArn"])["Listeners"]) for b in balancers),
    "target groups": len(elbv2.describe_target_groups()["TargetGroups"]),
    "secrets": len(secretsmanager.list_secrets()["SecretList"]),
    "roles": len(iam.list_roles()["Roles"]),
    "profiles": len(iam.list_instance_profiles()["InstanceProfiles"]),
}
"#;

/// What [`live`] makes.
fn made() -> Value {
    json!({
        "instances": 1, "disks": 1, "snapshots": 1, "vpcs": 1, "subnets": 2, "gateways": 1, "groups": 2, "balancers": 1,
        "listeners": 1, "target groups": 1, "secrets": 1, "roles": 1, "profiles": 1,
    })
}

/// An account, microburst in front of it, and the provider's code on that.
struct Unwell<'a> {
    account: &'a Account,
    faults: Faults,
    aws: Aws,
}

impl<'a> Unwell<'a> {
    async fn with(account: &'a Account, rules: &Value) -> Self {
        let faults = account.moto.with_faults(rules);
        Self {
            aws: Aws::connect(settings(faults.endpoint())).await,
            faults,
            account,
        }
    }

    /// One of everything.
    async fn live(&self) -> ClusterName {
        let (aws, cluster) = (&self.aws, ClusterName::new("demo"));
        aws.ensure_network(&network(&cluster, &[A, B])).await.unwrap();
        for rule in rules(&cluster) {
            aws.ensure_firewall_rule(&rule).await.unwrap();
        }
        let address = AddressSpec {
            cluster: cluster.clone(),
            name: "api".into(),
            labels: labels(&cluster),
        };
        aws.ensure_address(&address).await.unwrap();
        let balancer = BalancerSpec {
            cluster: cluster.clone(),
            name: "api".into(),
            zones: [A, B].map(ToOwned::to_owned).into(),
            port: 6443,
            health_path: "/readyz".into(),
            labels: labels(&cluster),
        };
        aws.ensure_balancer(&balancer).await.unwrap();
        let secret = SecretSpec {
            cluster: cluster.clone(),
            name: "demo-keys".into(),
            content: b"keys".to_vec(),
            labels: labels(&cluster),
        };
        assert_eq!(aws.ensure_secret(&secret).await.unwrap(), b"keys");
        let identity = aws.default_machine_identity(&cluster).await.unwrap();
        aws.grant_secret("demo-keys", &identity).await.unwrap();
        let mut machine = master(&cluster);
        machine.identity = Some(identity);
        aws.ensure_machine(&machine).await.unwrap();
        aws.register_target(&cluster, "api", A, &machine.name).await.unwrap();
        let disk = disk(&cluster, "demo-data");
        aws.ensure_disk(&disk).await.unwrap();
        aws.ensure_snapshot(A, &disk.name, "move", &disk.labels).await.unwrap();
        cluster
    }

    /// Deletes all of it, through the same faults.
    async fn end(&self, cluster: &ClusterName) {
        let aws = &self.aws;
        aws.delete_snapshot(cluster, "move").await.unwrap();
        aws.delete_disk(cluster, A, "demo-data").await.unwrap();
        aws.deregister_target(cluster, "api", A, &master(cluster).name)
            .await
            .unwrap();
        aws.delete_machine(cluster, A, &master(cluster).name).await.unwrap();
        aws.delete_balancer(cluster, "api").await.unwrap();
        aws.delete_address(cluster, "api").await.unwrap();
        aws.delete_secret(cluster, "demo-keys").await.unwrap();
        self.account.finish(cluster).await;
    }
}

fn disk(cluster: &ClusterName, name: &str) -> DiskSpec {
    DiskSpec {
        cluster: cluster.clone(),
        name: name.to_owned(),
        zone: A.to_owned(),
        size_gb: 10,
        disk_type: "gp3".into(),
        performance: Performance::default(),
        snapshot: None,
        labels: labels(cluster),
    }
}

fn master(cluster: &ClusterName) -> MachineSpec {
    let mut labels = labels(cluster);
    labels.insert(label::ROLE.to_owned(), Role::Master.as_str().to_owned());
    MachineSpec {
        cluster: cluster.clone(),
        name: format!("{cluster}-master-a"),
        zone: A.to_owned(),
        role: Role::Master,
        machine_type: "t3.medium".into(),
        image: Some("self/ubuntu-test".into()),
        boot_disk_gb: 20,
        user_data: "#cloud-config\n".into(),
        identity: None,
        address: None,
        labels,
    }
}

/// One account for all: each leaves nothing behind.
#[tokio::test]
async fn faults_leave_neither_too_much_nor_too_little() {
    let Some(account) = Account::new().await else { return };
    account.boto3(
        "ec2.register_image(Name='ubuntu-test', RootDeviceName='/dev/sda1', Architecture='x86_64',\n\
         BlockDeviceMappings=[{'DeviceName': '/dev/sda1', 'Ebs': {'VolumeSize': 8}}])",
    );
    throttling_and_faults_of_the_cloud_are_outlasted(&account).await;
    lost_replies_and_resets_make_nothing_twice(&account).await;
    a_zone_without_capacity_is_said_with_the_others_and_nothing_is_left(&account).await;
    a_permission_that_is_missing_is_named(&account).await;
    a_request_keeps_its_token_and_another_has_another(&account).await;
}

async fn throttling_and_faults_of_the_cloud_are_outlasted(account: &Account) {
    // Every service fails one call, then lets two pass.
    let fails = |service: &str, code: &str, status: u16| {
        json!({
            "service": service,
            "sequence": { "fail": 1, "pass": 2 },
            "error": { "code": code, "status": status },
        })
    };
    let rules = json!([
        fails("ec2", "RequestLimitExceeded", 503),
        fails("elbv2", "Throttling", 400),
        fails("iam", "ServiceFailure", 500),
        fails("secretsmanager", "InternalServiceError", 500),
    ]);
    let unwell = Unwell::with(account, &rules).await;
    let cluster = unwell.live().await;
    assert_eq!(unwell.account.boto3(MADE), made());
    unwell.end(&cluster).await;
}

async fn lost_replies_and_resets_make_nothing_twice(account: &Account) {
    // The call is carried out, and its reply is cut off; afterwards, connections are reset before anything is read.
    let creates = [
        ("ec2", "CreateVpc"),
        ("ec2", "CreateSubnet"),
        ("ec2", "CreateInternetGateway"),
        ("ec2", "CreateSecurityGroup"),
        ("ec2", "RunInstances"),
        ("ec2", "CreateVolume"),
        ("ec2", "CreateSnapshot"),
        ("elbv2", "CreateLoadBalancer"),
        ("elbv2", "CreateTargetGroup"),
        ("elbv2", "CreateListener"),
        ("secretsmanager", "CreateSecret"),
        ("iam", "CreateRole"),
        ("iam", "CreateInstanceProfile"),
    ];
    let lost = |(service, operation): (&str, &str)| {
        json!({
            "service": service, "operation": operation, "times": 1, "response": { "abort_frac": 0.0 },
        })
    };
    let mut rules: Vec<Value> = creates.map(lost).into();
    for service in ["ec2", "elbv2", "iam", "secretsmanager"] {
        rules.push(json!({ "service": service, "sequence": { "fail": 1, "pass": 4 }, "reset": true }));
    }
    let unwell = Unwell::with(account, &rules.into()).await;
    let cluster = unwell.live().await;
    assert_eq!(unwell.account.boto3(MADE), made());
    unwell.end(&cluster).await;
}

async fn a_zone_without_capacity_is_said_with_the_others_and_nothing_is_left(account: &Account) {
    let rules = json!([{
        "service": "ec2",
        "operation": "RunInstances",
        "error": { "code": "InsufficientInstanceCapacity", "status": 500, "message": "We do not have enough t3.medium." },
    }]);
    let unwell = Unwell::with(account, &rules).await;
    let cluster = unwell.account.cluster("demo", &[A, B]).await;
    let error = unwell.aws.ensure_machine(&master(&cluster)).await.unwrap_err();
    let said = error.to_string();
    for words in ["InsufficientInstanceCapacity", "t3.medium", A, B] {
        assert!(said.contains(words), "{words:?} is not in {said}");
    }
    unwell.account.finish(&cluster).await;
}

async fn a_permission_that_is_missing_is_named(account: &Account) {
    let rules = json!([{
        "service": "ec2",
        "operation": "CreateVolume",
        "error": { "code": "UnauthorizedOperation", "status": 403, "message": "You are not authorized." },
    }]);
    let unwell = Unwell::with(account, &rules).await;
    let cluster = ClusterName::new("demo");
    let disk = disk(&cluster, "demo-data");
    let error = unwell.aws.ensure_disk(&disk).await.unwrap_err();
    assert!(matches!(error, CloudError::Forbidden { .. }), "{error:?}");
    assert!(error.to_string().contains("ec2:CreateVolume"), "{error}");
}

/// moto knows no tokens; what EC2 does with them, the requests have to fit: the same one and the same parameters when a
/// request is sent again, another for another machine, and for another machine of the same name.
async fn a_request_keeps_its_token_and_another_has_another(account: &Account) {
    let too_fast = |operation: &str| {
        json!({
            "service": "ec2", "operation": operation, "times": 2,
            "error": { "code": "RequestLimitExceeded", "status": 503 },
        })
    };
    let unwell = Unwell::with(account, &json!([too_fast("RunInstances"), too_fast("CreateVolume")])).await;
    let cluster = account.cluster("demo", &[A, B]).await;
    let (first, other) = (
        master(&cluster),
        MachineSpec {
            name: "demo-master-b".into(),
            zone: B.to_owned(),
            ..master(&cluster)
        },
    );
    unwell.aws.ensure_machine(&first).await.unwrap();
    unwell.aws.ensure_machine(&other).await.unwrap();
    let launches = unwell.faults.asked("RunInstances");
    assert_eq!(launches.len(), 4, "{launches:?}");
    assert!(
        launches[0]["ClientToken"]
            .as_str()
            .is_some_and(|token| token.len() >= 32)
    );
    assert!(launches[..3].iter().all(|again| *again == launches[0]), "{launches:?}");
    assert_ne!(launches[3]["ClientToken"], launches[0]["ClientToken"]);

    for name in ["demo-one", "demo-two"] {
        unwell.aws.ensure_disk(&disk(&cluster, name)).await.unwrap();
    }
    let volumes = unwell.faults.asked("CreateVolume");
    assert_eq!(volumes.len(), 4, "{volumes:?}");
    assert!(volumes[0]["ClientToken"].is_string());
    assert!(volumes[..3].iter().all(|again| *again == volumes[0]), "{volumes:?}");
    assert_ne!(volumes[3]["ClientToken"], volumes[0]["ClientToken"]);

    // EC2 knows the token of an earlier machine of that name: the next one is taken, once that machine is not found.
    unwell.aws.delete_machine(&cluster, A, &first.name).await.unwrap();
    let mismatch = json!([{
        "service": "ec2", "operation": "RunInstances", "times": 1,
        "error": { "code": "IdempotentParameterMismatch", "status": 400 },
    }]);
    let later = Unwell::with(account, &mismatch).await;
    later.aws.ensure_machine(&first).await.unwrap();
    let relaunches = later.faults.asked("RunInstances");
    assert_eq!(relaunches.len(), 2, "{relaunches:?}");
    assert_eq!(relaunches[0]["ClientToken"], launches[0]["ClientToken"]);
    assert_ne!(relaunches[1]["ClientToken"], relaunches[0]["ClientToken"]);

    for (zone, name) in [(A, &first.name), (B, &other.name)] {
        account.aws.delete_machine(&cluster, zone, name).await.unwrap();
    }
    for name in ["demo-one", "demo-two"] {
        account.aws.delete_disk(&cluster, A, name).await.unwrap();
    }
    account.finish(&cluster).await;
}
