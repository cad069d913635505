//! Errors of balancers.

use multizone_cloud::{AddressHolder, BalancerTarget, Cloud as _, CloudError, Labels, Role, TargetHealth, label};
use serde_json::{Value, json};

use crate::{
    cluster::CLUSTER,
    memory_cloud::{Fault, MemoryCloud, machine},
    read,
    run::{Run, check},
};

const BALANCER: &str = "multizone_api_load_balancer";
const KEYS: &str = "multizone-us-central1-demo-keys";
const A: &str = "us-central1-a";
const B: &str = "us-central1-b";

fn balancer() -> Value {
    json!({ "cluster": "demo", "zones": [A, B] })
}

fn with(name: &str, value: impl Into<Value>) -> Value {
    let mut config = balancer();
    config[name] = value.into();
    config
}

/// A region with a cluster over two zones, at whose address nobody answers.
async fn region() -> Run {
    let zones = json!({ A: { "subnet_cidr": null, "existing_subnet": null }, B: { "subnet_cidr": null, "existing_subnet": null } });
    let run = Run::with(&[(CLUSTER, &json!({ "name": "demo", "zones": zones }))]).await;
    run.cloud
        .tamper(|inventory| inventory.addresses[0].address = [127, 255, 255, 254].into());
    run
}

/// The same with a balancer that holds the address, and these masters behind it, one in each zone.
async fn balanced(masters: &[(&str, &str, TargetHealth)]) -> Run {
    let mut run = region().await;
    let said = run.apply(BALANCER, Some(&balancer())).await;
    assert!(said.is_empty(), "{said}");
    run.cloud.tamper(|inventory| {
        let balancer = &mut inventory.balancers[0];
        for (zone, name, health) in masters {
            let labels = Labels::from([(label::ROLE.to_owned(), Role::Master.as_str().to_owned())]);
            inventory.machines.push(machine(zone, name, labels));
            balancer.targets.push(BalancerTarget {
                zone: (*zone).to_owned(),
                machine: (*name).to_owned(),
                health: *health,
            });
        }
    });
    assert!(run.read(BALANCER).await.is_empty());
    run
}

const SERVES: (&str, &str, TargetHealth) = (A, "demo-master-a", TargetHealth::Serving);
const SICK: (&str, &str, TargetHealth) = (B, "demo-master-b", TargetHealth::Unhealthy);

#[test]
fn configurations_that_are_refused() {
    read!("name_too_long", check(BALANCER, &with("name", "b".repeat(17))));
    read!("name", check(BALANCER, &with("name", "Api_1")));
    read!("no_zones", check(BALANCER, &with("zones", json!([]))));
}

#[tokio::test]
async fn plans() {
    let mut run = region().await;
    let elsewhere = with("zones", json!([A, "europe-west1-b"]));
    read!("zone_of_nowhere", run.plan(BALANCER, Some(&elsewhere)).await);
    let mut run = balanced(&[SERVES, SICK]).await;
    read!("destroy_moves_the_address", run.plan(BALANCER, None).await);
}

// The first call of an operation takes the cluster's turn.
#[tokio::test]
async fn one_that_is_tainted() {
    let mut run = balanced(&[SERVES, SICK]).await;
    assert!(run.read(BALANCER).await.is_empty());
    // Terraform plans its replacement as a create.
    run.state.remove(BALANCER);
    read!("made_anew", run.plan(BALANCER, Some(&balancer())).await);
}

#[tokio::test]
async fn creates_that_fail() {
    let mut run = Run::new();
    read!("no_cluster", run.apply(BALANCER, Some(&balancer())).await);
    let mut run = Run::with(&[(CLUSTER, &crate::cluster::cluster())]).await;
    run.provider.forget(&multizone_cloud::ClusterName::new("demo")).await;
    read!("zone_not_spanned", run.apply(BALANCER, Some(&balancer())).await);
    let mut run = region().await;
    run.cloud.fail(1, Fault::Before);
    read!("create_lost", run.apply(BALANCER, Some(&balancer())).await);
    let mut run = region().await;
    run.stop.request();
    read!("stopped", run.apply(BALANCER, Some(&balancer())).await);
    let mut run = balanced(&[]).await;
    run.state.remove(BALANCER);
    read!("exists", run.apply(BALANCER, Some(&balancer())).await);
}

#[tokio::test]
async fn updates_that_fail() {
    let mut run = balanced(&[SERVES, SICK]).await;
    let only_b = with("zones", json!([B]));
    read!("only_target_that_serves", run.apply(BALANCER, Some(&only_b)).await);
    run.cloud.fail(1, Fault::Before);
    let labelled = with("labels", json!({ "team": "web" }));
    read!("update_lost", run.apply(BALANCER, Some(&labelled)).await);
}

#[tokio::test]
async fn destroys_that_fail() {
    let mut run = balanced(&[]).await;
    run.cloud.refuse(
        1,
        CloudError::InUse {
            object: "address api".to_owned(),
            reason: "forwarding rule demo-api uses it".to_owned(),
        },
    );
    read!("release_refused", run.apply(BALANCER, None).await);

    let mut run = balanced(&[SERVES]).await;
    run.cloud.tamper_with_secret(KEYS, None);
    read!("destroy_without_keys", run.apply(BALANCER, None).await);

    let mut run = balanced(&[]).await;
    run.cloud.forget_changes();
    read!("nothing_shows_it", run.apply(BALANCER, None).await);

    // The address moves to the master, is not answered there in time, and moves back.
    let mut run = balanced(&[SERVES]).await;
    let timeouts = json!({ "create": null, "update": null, "delete": "500ms" });
    run.amend(BALANCER, "timeouts", &timeouts);
    read!("handover_failed", run.apply(BALANCER, None).await);
    let inventory = run.cloud.all();
    let holder = inventory.address("api").and_then(|address| address.holder.clone());
    assert_eq!(holder, Some(AddressHolder::Balancer { name: "api".into() }));
}

#[tokio::test]
async fn a_balancer_whose_name_is_the_endpoint_stays_while_there_are_masters() {
    let mut run = balanced(&[SERVES]).await;
    // Its name is no address that could be handed over.
    let (cloud, provider) = MemoryCloud::region_of_names();
    cloud.tamper(|inventory| *inventory = run.cloud.all());
    for name in run.cloud.all().secrets {
        let secret = run.cloud.secret(&name).await.unwrap();
        cloud.tamper_with_secret(&name, secret.as_deref());
    }
    (run.cloud, run.provider) = (cloud, provider);
    assert!(run.read(BALANCER).await.is_empty());
    read!("destroy_of_the_endpoint", run.apply(BALANCER, None).await);
    assert_eq!(run.cloud.all().balancers.len(), 1);
}

#[tokio::test]
async fn what_somebody_changed() {
    let mut run = balanced(&[]).await;
    run.cloud.tamper(|inventory| {
        let balancer = &mut inventory.balancers[0];
        balancer.unexpected = Some("its session affinity is CLIENT_IP, not NONE".to_owned());
        balancer.labels.insert("team".to_owned(), "other".to_owned());
    });
    run.read(BALANCER).await;
    let drift = run.state[BALANCER].value.attribute("drift").unwrap();
    let lines = drift.as_elements().unwrap().iter().map(|line| line.as_str().unwrap());
    insta::assert_snapshot!("drift", lines.collect::<Vec<_>>().join("\n"));
}

#[tokio::test]
async fn reads_and_imports_that_fail() {
    let mut run = balanced(&[]).await;
    read!("import_malformed", run.import(BALANCER, "demo").await);
    read!(
        "import_other_region",
        run.import(BALANCER, "europe-west1/demo/api").await
    );
    read!("import_nothing", run.import(BALANCER, "us-central1/demo/b").await);
    run.cloud.hide(Some(CloudError::Forbidden {
        object: "the balancers".to_owned(),
        reason: "compute.forwardingRules.list is missing".to_owned(),
    }));
    read!("read_forbidden", run.read(BALANCER).await);
    read!("import_forbidden", run.import(BALANCER, "us-central1/demo/api").await);
}
