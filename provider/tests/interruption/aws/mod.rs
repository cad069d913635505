//! The same on AWS's code: a cluster is created on moto, an independent implementation of AWS's APIs, and every call that changes
//! something is interrupted on the wire: the provider is killed once it is carried out, or, at the first of each kind, its reply
//! is lost.
//!
//! To be killed before a call is to be killed after the one before: only looks are between them.  Every third of what has
//! healed is destroyed as well, and leaves nothing; the others are forgotten.

mod wire;

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use multizone_acceptance_tests::Moto;
use multizone_cloud_aws::{Aws, Credentials, Retries, Settings, Timeouts};
use multizone_provider::{
    configuration::{Configured, Destroy},
    resources::identity::SecretNames,
};
use multizone_schema::Diagnostics;
use serde_json::{Value, json};

use crate::{
    CLUSTER,
    faults::{Faults, Moment, Point, SAVE, until_killed},
    terraform::{State, Terraform},
    world::report,
};
use wire::{Wire, look};

const REGION: &str = "us-west-2";

/// Service, action, and what is in its answer for each object.
const KINDS: [(&str, &str, &str); 10] = [
    ("ec2", "DescribeVpcs", "<cidrBlock>"),
    ("ec2", "DescribeSubnets", "<subnetId>"),
    ("ec2", "DescribeInternetGateways", "<internetGatewayId>"),
    ("ec2", "DescribeRouteTables", "<destinationCidrBlock>"),
    ("ec2", "DescribeSecurityGroups", "<groupDescription>"),
    ("ec2", "DescribeSecurityGroups", "<ipProtocol>"),
    ("elasticloadbalancing", "DescribeLoadBalancers", "<LoadBalancerName>"),
    ("elasticloadbalancing", "DescribeTargetGroups", "<TargetGroupName>"),
    ("iam", "ListRoles", "<RoleName>"),
    ("iam", "ListInstanceProfiles", "<InstanceProfileName>"),
];

/// An account, and Terraform's state of what is in it.
struct Account {
    moto: Moto,
    state: State,
}

/// What there is of each kind.
type Counts = BTreeMap<String, usize>;

impl Account {
    fn address(&self) -> SocketAddr {
        self.moto.endpoint().strip_prefix("http://").unwrap().parse().unwrap()
    }

    /// A run of Terraform with a new process of the provider; `None` when that was killed.
    async fn run(&mut self, config: Option<&Value>, faults: &Arc<Faults>) -> Option<Result<(), Diagnostics>> {
        let wire = Wire::to(self.address(), faults).await;
        let provider = provider(&wire).await;
        let mut terraform = Terraform {
            provider,
            state: &mut self.state,
            faults: Arc::clone(faults),
        };
        until_killed(faults, terraform.apply(CLUSTER, config)).await
    }

    /// Applies, and finds nothing left to do; returns what there is then.
    async fn converge(&mut self, config: Option<&Value>) -> Result<Counts, String> {
        match self.run(config, &Faults::at(None)).await {
            Some(Ok(())) => {}
            Some(Err(errors)) => return Err(format!("the next apply failed: {errors}")),
            None => return Err("the next apply was killed".to_owned()),
        }
        let faults = Faults::at(None);
        let wire = Wire::to(self.address(), &faults).await;
        let mut terraform = Terraform {
            provider: provider(&wire).await,
            state: &mut self.state,
            faults,
        };
        let pending = terraform.pending(CLUSTER, config).await;
        let pending = pending.map_err(|errors| format!("the plan after it failed: {errors}"))?;
        if pending.is_empty() {
            return Ok(self.counts().await);
        }
        Err(format!("the plan after it changes {}", pending.join(", ")))
    }

    /// Empties it.
    async fn forget(&mut self) {
        wire::forget(self.address()).await;
        self.state.clear();
    }

    /// What is there, whoever's it is: asked without the provider's code, and without the SDK.
    async fn counts(&self) -> Counts {
        let cloud = self.address();
        let mut counts = Counts::new();
        let form = "Content-Type: application/x-www-form-urlencoded";
        let mut balancers = String::new();
        for (service, action, sign) in KINDS {
            let version = match service {
                "ec2" => "2016-11-15",
                "iam" => "2010-05-08",
                _ => "2015-12-01",
            };
            let answer = look(cloud, service, form, &format!("Action={action}&Version={version}")).await;
            assert!(
                answer.starts_with("HTTP/1.1 200") || answer.starts_with("HTTP/1.0 200"),
                "{answer}"
            );
            counts.insert(format!("{action} {sign}"), answer.matches(sign).count());
            if action == "DescribeLoadBalancers" {
                balancers = answer;
            }
        }
        let arns = balancers.split("<LoadBalancerArn>").skip(1);
        for arn in arns.filter_map(|rest| rest.split('<').next()) {
            let body = format!("Action=DescribeListeners&Version=2015-12-01&LoadBalancerArn={arn}");
            let answer = look(cloud, "elasticloadbalancing", form, &body).await;
            *counts.entry("listeners".to_owned()).or_default() += answer.matches("<ListenerArn>").count();
        }
        let json = "Content-Type: application/x-amz-json-1.1\r\nX-Amz-Target: secretsmanager.ListSecrets";
        let answer = look(cloud, "secretsmanager", json, "{}").await;
        counts.insert("secrets".to_owned(), answer.matches("\"ARN\"").count());
        counts
    }
}

async fn provider(wire: &Wire) -> Configured {
    let settings = Settings {
        endpoint: Some(wire.endpoint.clone()),
        credentials: Credentials::Keys {
            id: "test".into(),
            secret: "test".into(),
        },
        secret_names: |region, cluster| SecretNames::of(region, cluster).all(),
        timeouts: Timeouts {
            first_pause: Duration::from_millis(5),
            ..Timeouts::default()
        },
        retries: Retries {
            first_delay: Duration::from_millis(5),
            longest_delay: Duration::from_millis(50),
            ..Retries::default()
        },
        ..Settings::new(REGION)
    };
    Configured::new(Arc::new(Aws::connect(settings).await), Destroy::default())
}

fn cluster() -> Value {
    json!({
        "name": "demo",
        "zones": {
            "us-west-2a": { "subnet_cidr": "10.0.0.0/24", "existing_subnet": null },
            "us-west-2b": { "subnet_cidr": "10.0.1.0/24", "existing_subnet": null },
        },
    })
}

#[tokio::test]
async fn creating_a_cluster_on_aws() {
    let Some(moto) = Moto::start() else { return };
    let mut account = Account {
        moto,
        state: State::new(),
    };
    let config = cluster();
    let empty = account.counts().await;
    let faults = Faults::at(None);
    let done = account.run(Some(&config), &faults).await;
    assert!(matches!(done, Some(Ok(()))), "{done:?}");
    let expected = account.converge(Some(&config)).await.unwrap();
    assert_ne!(expected, empty);
    assert_eq!(account.converge(None).await.unwrap(), empty);
    assert_eq!(account.moto.left(), json!({}));

    let mut covered = 0;
    for call in faults.calls() {
        let moments: &[Moment] = match call.0.as_str() {
            SAVE => &[Moment::KilledBefore],
            _ if call.1 == 1 => &[Moment::KilledAfter, Moment::ReplyLost],
            _ => &[Moment::KilledAfter],
        };
        for moment in moments {
            let point = Point {
                call: call.clone(),
                moment: *moment,
            };
            let faults = Faults::at(Some(point.clone()));
            let ended = account.run(Some(&config), &faults).await;
            assert!(faults.hit(), "{point} was not reached");
            covered += 1;
            let healed = account.converge(Some(&config)).await;
            let healed = healed.unwrap_or_else(|trouble| panic!("{point} (which ended it with {ended:?}): {trouble}"));
            assert_eq!(healed, expected, "{point}");
            if covered % 3 != 0 {
                account.forget().await;
                continue;
            }
            let gone = account.converge(None).await;
            let gone = gone.unwrap_or_else(|trouble| panic!("{point}, then destroyed: {trouble}"));
            assert_eq!(gone, empty, "{point}, then destroyed");
        }
    }
    report("create a cluster on AWS", covered);
    assert!(covered > 30, "{covered}");
}
