//! Errors of clusters.

use multizone_cloud::{AddressHolder, CloudError, Labels, Outage, Role, label};
use multizone_schema::Diagnostics;
use serde_json::{Value, json};

use crate::{
    memory_cloud::{Fault, machine},
    read,
    run::{Run, check},
};

pub(crate) const CLUSTER: &str = "multizone_cluster";
const KEYS: &str = "multizone-us-central1-demo-keys";
const SETTINGS: &str = "multizone-us-central1-demo-settings";

pub(crate) fn cluster() -> Value {
    json!({ "name": "demo", "zones": { "us-central1-a": { "subnet_cidr": null, "existing_subnet": null } } })
}

fn with(name: &str, value: impl Into<Value>) -> Value {
    let mut config = cluster();
    config[name] = value.into();
    config
}

async fn existing() -> Run {
    Run::with(&[(CLUSTER, &cluster())]).await
}

#[test]
fn configurations_that_are_refused() {
    let refused = |name: &str, value: Value| check(CLUSTER, &with(name, value));
    read!("name_with_capitals", refused("name", "Demo_1".into()));
    read!("name_too_long", refused("name", "d".repeat(33).into()));
    read!("name_starts_wrong", refused("name", "-demo".into()));
    read!("name_ends_wrong", refused("name", "demo-".into()));
    read!("name_empty", refused("name", "".into()));
    read!("no_zones", refused("zones", json!({})));
    read!("range_without_prefix", refused("pod_cidr", "10.244.0.0".into()));
    read!("range_within_another", refused("pod_cidr", "10.244.1.0/16".into()));
    read!("range_malformed", refused("pod_cidr", "10.244.0.300/16".into()));
    read!("range_too_large", refused("service_cidr", "10.0.0.0/11".into()));
    read!("range_too_small", refused("pod_cidr", "10.0.0.0/25".into()));
    read!("ranges_overlap", {
        let mut config = with("service_cidr", "10.128.0.0/20");
        config["pod_cidr"] = "10.128.0.0/16".into();
        check(CLUSTER, &config)
    });
    read!(
        "range_overlaps_a_default",
        refused("network_cidr", "10.244.128.0/20".into())
    );
    let in_a_network = |network: Value, range: Value, subnet: Value| {
        let zones = json!({ "us-central1-a": { "subnet_cidr": range.clone(), "existing_subnet": subnet } });
        let mut config = with("zones", zones);
        config["existing_network"] = network;
        config["network_cidr"] = range;
        check(CLUSTER, &config)
    };
    read!(
        "subnet_without_network",
        in_a_network(Value::Null, Value::Null, "subnet-1".into())
    );
    read!(
        "network_without_subnet",
        in_a_network("vpc-1".into(), Value::Null, Value::Null)
    );
    read!(
        "ranges_of_what_exists",
        in_a_network("vpc-1".into(), "10.9.0.0/16".into(), "subnet-1".into())
    );
    let timeout = |text: &str| json!({ "create": text, "update": null, "delete": null });
    read!("timeout_malformed", refused("timeouts", timeout("5")));
    read!("timeout_of_nothing", refused("timeouts", timeout("0s")));
}

#[tokio::test]
async fn plans_that_are_refused() {
    let mut run = Run::new();
    let zones = |name: &str, subnet: Value| {
        with(
            "zones",
            json!({ name: { "subnet_cidr": subnet, "existing_subnet": null } }),
        )
    };
    let elsewhere = zones("europe-west1-b", Value::Null);
    read!("unknown_zone", run.plan(CLUSTER, Some(&elsewhere)).await);
    let subnet = zones("us-central1-a", "10.0.0.0/20".into());
    read!("subnet_of_a_zone", run.plan(CLUSTER, Some(&subnet)).await);
    let mut within = with("existing_network", "vpc-1");
    within["zones"] = json!({ "us-central1-a": { "subnet_cidr": null, "existing_subnet": "subnet-1" } });
    read!("existing_network", run.plan(CLUSTER, Some(&within)).await);
    let protected = with("deletion_protection", true);
    let mut run = Run::with(&[(CLUSTER, &protected)]).await;
    read!("protected", run.plan(CLUSTER, None).await);
}

#[tokio::test]
async fn what_exists_already() {
    let mut run = existing().await;
    run.state.clear();
    read!("exists", run.apply(CLUSTER, Some(&cluster())).await);
    let mut run = Run::new();
    run.apply(CLUSTER, Some(&cluster())).await;
    run.state.clear();
    read!(
        "made_by_another_configuration",
        run.apply(CLUSTER, Some(&with("pod_cidr", "10.245.0.0/16"))).await
    );
    let mut run = existing().await;
    run.state.clear();
    run.cloud.tamper(|inventory| {
        for number in 0..12 {
            let name = format!("demo-pool-{number}");
            inventory.machines.push(machine("us-central1-a", &name, Labels::new()));
        }
    });
    read!("exists_with_much", run.apply(CLUSTER, Some(&cluster())).await);
}

#[tokio::test]
async fn creates_that_fail() {
    let mut run = Run::new();
    run.cloud.fail(0, Fault::Before);
    read!("create_never_began", run.apply(CLUSTER, Some(&cluster())).await);
    let mut run = Run::new();
    run.cloud.fail(5, Fault::Before);
    read!("create_half_done", run.apply(CLUSTER, Some(&cluster())).await);
    let mut run = Run::new();
    run.cloud.lose(3);
    read!("create_in_the_dark", run.apply(CLUSTER, Some(&cluster())).await);
    let mut run = Run::new();
    run.stop.request();
    read!("create_stopped", run.apply(CLUSTER, Some(&cluster())).await);
}

#[tokio::test]
async fn what_the_cloud_refuses() {
    let object = || "network multizone-demo".to_owned();
    let reason = || "the cloud's own words".to_owned();
    let errors = [
        CloudError::NotFound { object: object() },
        CloudError::NotOurs { object: object() },
        CloudError::Differs {
            object: object(),
            difference: "its range is 10.0.0.0/20, not 10.1.0.0/20".to_owned(),
        },
        CloudError::InUse {
            object: object(),
            reason: reason(),
        },
        CloudError::Capacity {
            object: object(),
            reason: reason(),
        },
        CloudError::Forbidden {
            object: object(),
            reason: reason(),
        },
        CloudError::Refused {
            object: object(),
            code: "invalid".to_owned(),
            reason: reason(),
        },
        CloudError::Timeout {
            object: object(),
            seconds: 600,
            waiting_for: "operation-1 to finish".to_owned(),
        },
    ];
    let mut all = Diagnostics::new();
    for error in errors {
        let mut run = existing().await;
        run.cloud.refuse(0, error);
        run.cloud.tamper(|inventory| inventory.firewall_rules.clear());
        run.read(CLUSTER).await;
        all.extend(run.apply(CLUSTER, Some(&cluster())).await);
    }
    read!("refusals_of_the_cloud", all);
}

#[tokio::test]
async fn keys_and_settings() {
    let changed = with("deletion_protection", true);
    let mut run = existing().await;
    run.cloud.tamper_with_secret(KEYS, None);
    run.read(CLUSTER).await;
    read!("keys_gone", run.apply(CLUSTER, Some(&cluster())).await);
    run.cloud.tamper_with_secret(KEYS, Some(b"garbage"));
    read!("keys_unreadable", run.apply(CLUSTER, Some(&changed)).await);
    run.cloud.tamper_with_secret(SETTINGS, Some(br#"{"format": 2}"#));
    read!("settings_unreadable", run.import(CLUSTER, "us-central1/demo").await);
    let later = br#"{"format": 7, "pod_cidr": "", "service_cidr": "", "ca_certificate": ""}"#;
    run.cloud.tamper_with_secret(SETTINGS, Some(later));
    read!(
        "settings_of_a_later_release",
        run.import(CLUSTER, "us-central1/demo").await
    );
}

#[tokio::test]
async fn changes_behind_terraforms_back() {
    let mut run = existing().await;
    run.cloud.tamper(|inventory| {
        inventory.firewall_rules[0].unexpected = Some("it is disabled".to_owned());
        inventory.firewall_rules[1].spec.all_protocols = false;
        inventory.network.as_mut().unwrap().subnets.clear();
    });
    run.cloud.unlabel(SETTINGS);
    run.cloud
        .tamper_with_secret("multizone-us-central1-demo-node-credential", None);
    run.read(CLUSTER).await;
    insta::assert_snapshot!("drift", drift(&run));
    read!("secret_without_label", run.apply(CLUSTER, Some(&cluster())).await);
    run.cloud.tamper(|inventory| {
        inventory.firewall_rules.clear();
        inventory.network = None;
        inventory.addresses.clear();
    });
    run.read(CLUSTER).await;
    insta::assert_snapshot!("much_drift", drift(&run));
    read!("address_gone", run.plan(CLUSTER, Some(&cluster())).await);
    let deleting = "multizone-us-central1-demo-deleting";
    run.cloud.tamper_with_secret(deleting, Some(b"{}"));
    run.read(CLUSTER).await;
    insta::assert_snapshot!("half_deleted", drift(&run));
}

#[tokio::test]
async fn an_address_that_somebody_took() {
    let mut run = existing().await;
    run.cloud.tamper(|inventory| {
        let master = Labels::from([(label::ROLE.to_owned(), Role::Master.as_str().to_owned())]);
        inventory
            .machines
            .push(machine("us-central1-a", "demo-master-a", master));
        inventory.addresses[0].holder = Some(AddressHolder::Machine {
            zone: "us-central1-b".to_owned(),
            name: "web".to_owned(),
        });
    });
    run.read(CLUSTER).await;
    read!("address_with_a_stranger", run.plan(CLUSTER, Some(&cluster())).await);
    run.cloud.tamper(|inventory| {
        inventory.addresses[0].holder = Some(AddressHolder::Machine {
            zone: "us-central1-a".to_owned(),
            name: "demo-master-a".to_owned(),
        });
    });
    run.read(CLUSTER).await;
    assert!(run.plan(CLUSTER, Some(&cluster())).await.is_empty());
}

/// The attribute `drift`, line by line.
fn drift(run: &Run) -> String {
    let drift = run.state[CLUSTER].value.attribute("drift").unwrap();
    let lines = drift.as_elements().unwrap().iter();
    lines.map(|line| line.as_str().unwrap()).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn reads_and_imports_that_fail() {
    let mut run = existing().await;
    let unreachable = CloudError::Unavailable {
        object: "the inventory of cluster demo".to_owned(),
        outage: Outage::Silent,
        attempts: 5,
        reason: "connection refused".to_owned(),
    };
    run.cloud.hide(Some(unreachable));
    read!("read_of_nothing", run.read(CLUSTER).await);
    read!("import_from_nowhere", run.import(CLUSTER, "us-central1/demo").await);
    run.cloud.hide(None);
    read!("import_of_a_malformed_id", run.import(CLUSTER, "demo").await);
    read!(
        "import_from_another_region",
        run.import(CLUSTER, "europe-west1/demo").await
    );
    read!(
        "import_of_nothing",
        Run::new().import(CLUSTER, "us-central1/demo").await
    );
    run.cloud.tamper(|inventory| inventory.addresses.clear());
    read!("import_without_address", run.import(CLUSTER, "us-central1/demo").await);
}

#[tokio::test]
async fn destroys_that_fail() {
    let mut run = existing().await;
    run.cloud.tamper(|inventory| {
        inventory
            .machines
            .push(machine("us-central1-a", "demo-pool-x", Labels::new()));
    });
    read!("destroy_occupied", run.apply(CLUSTER, None).await);
    run.cloud.tamper(|inventory| inventory.machines.clear());
    run.cloud.fail(2, Fault::Before);
    read!("destroy_half_done", run.apply(CLUSTER, None).await);
}
