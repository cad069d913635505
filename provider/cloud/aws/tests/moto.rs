//! The trait on moto, an independent implementation of AWS's APIs; what was made is looked at with boto3.
//!
//! moto enforces little: no tokens, nothing in use, states that jump.  What depends on those is said where it is tested.
#![allow(clippy::unwrap_used)]

#[path = "moto/balancers.rs"]
mod balancers;
#[path = "moto/faults.rs"]
mod faults;
#[path = "moto/machines.rs"]
mod machines;
#[path = "moto/networks.rs"]
mod networks;
#[path = "moto/secrets.rs"]
mod secrets;
#[path = "moto/storage.rs"]
mod storage;

use std::time::Duration;

use ipnet::Ipv4Net;
use multizone_acceptance_tests::Moto;
use multizone_cloud::{Cloud as _, ClusterName, FirewallSpec, Labels, NetworkSpec, Role, label};
use multizone_cloud_aws::{Aws, Credentials, Retries, Settings, Timeouts};
use serde_json::Value;

const A: &str = "us-west-2a";
const B: &str = "us-west-2b";
const C: &str = "us-west-2c";

/// An account, and the provider's code on it.
struct Account {
    moto: Moto,
    aws: Aws,
}

impl Account {
    async fn new() -> Option<Self> {
        let moto = Moto::start()?;
        let aws = Aws::connect(settings(moto.endpoint())).await;
        Some(Self { moto, aws })
    }

    fn boto3(&self, program: &str) -> Value {
        self.moto.boto3(program)
    }

    /// A cluster with a network over these zones, and its two firewall rules.
    async fn cluster(&self, name: &str, zones: &[&str]) -> ClusterName {
        let cluster = ClusterName::new(name);
        self.aws.ensure_network(&network(&cluster, zones)).await.unwrap();
        for rule in rules(&cluster) {
            self.aws.ensure_firewall_rule(&rule).await.unwrap();
        }
        cluster
    }

    /// Deletes a cluster's network and asserts that nothing is left of anything.
    async fn finish(&self, cluster: &ClusterName) {
        self.aws.delete_network(cluster).await.unwrap();
        let left = self.aws.inventory(cluster).await.unwrap();
        assert!(left.is_empty(), "{left:?}");
        assert_eq!(self.moto.left(), serde_json::json!({}));
    }
}

/// One account for all, since a server takes longer to start than to be used: each leaves nothing behind.
#[tokio::test]
async fn every_object_is_made_found_changed_and_deleted() {
    let Some(account) = Account::new().await else { return };
    networks::what_cannot_be_is_refused_and_what_is_on_offer_is_told(&account).await;
    networks::a_network_is_made_once_healed_and_left_without_a_trace(&account).await;
    secrets::a_secret_is_stored_once_and_read_by_the_masters_alone(&account).await;
    secrets::of_several_who_change_a_notice_one_does(&account).await;
    storage::a_disk_grows_and_moves_by_a_snapshot(&account).await;
    machines::a_machine_that_cannot_be_made_is_told_why(&account).await;
    machines::a_machine_lives_as_it_should_and_once(&account).await;
    machines::machines_that_are_waited_for_together_share_the_looks(&account).await;
    machines::a_machine_lives_in_a_network_that_exists(&account).await;
    balancers::the_name_stays_while_zones_and_masters_come_and_go(&account).await;
}

fn settings(endpoint: &str) -> Settings {
    Settings {
        endpoint: Some(endpoint.to_owned()),
        credentials: Credentials::Keys {
            id: "test".into(),
            secret: "test".into(),
        },
        default_tags: [("owner".to_owned(), "platform".to_owned())].into(),
        secret_names: |_, cluster| {
            let name = |suffix: &str| format!("{cluster}-{suffix}");
            vec![name("keys"), name("turn")]
        },
        timeouts: Timeouts {
            first_pause: Duration::from_millis(20),
            longest_pause: Duration::from_millis(200),
            ..Timeouts::default()
        },
        retries: Retries {
            first_delay: Duration::from_millis(20),
            ..Retries::default()
        },
        ..Settings::new("us-west-2")
    }
}

fn network(cluster: &ClusterName, zones: &[&str]) -> NetworkSpec {
    let range = |zone: &str| -> Ipv4Net {
        let number = zone.bytes().next_back().unwrap() - b'a';
        format!("10.0.{number}.0/24").parse().unwrap()
    };
    NetworkSpec {
        cluster: cluster.clone(),
        cidr: None,
        zones: zones
            .iter()
            .map(|zone| ((*zone).to_owned(), Some(range(zone))))
            .collect(),
        existing: None,
        labels: labels(cluster),
    }
}

fn labels(cluster: &ClusterName) -> Labels {
    Labels::from([(label::CLUSTER.to_owned(), cluster.to_string())])
}

fn rules(cluster: &ClusterName) -> [FirewallSpec; 2] {
    let api = FirewallSpec {
        cluster: cluster.clone(),
        name: "api".into(),
        source_ranges: vec!["0.0.0.0/0".parse().unwrap()],
        source_roles: Vec::new(),
        target_roles: vec![Role::Master],
        tcp_ports: vec![(6443, 6443)],
        all_protocols: false,
    };
    let internal = FirewallSpec {
        name: "internal".into(),
        source_ranges: vec!["10.244.0.0/16".parse().unwrap()],
        source_roles: vec![Role::Master, Role::Worker],
        target_roles: Vec::new(),
        tcp_ports: Vec::new(),
        all_protocols: true,
        ..api.clone()
    };
    [api, internal]
}
