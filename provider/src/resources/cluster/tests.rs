//! A cluster's life on a region in memory, with every call lost once.

use multizone_cloud::{Labels, MachineState, label};

use super::*;
use crate::resources::memory_cloud::{Fault, MemoryCloud, machine};

/// A cluster as it is planned before it exists.
pub(crate) fn planned(zones: &[&str]) -> ClusterPlanned {
    ClusterPlanned {
        name: "demo".into(),
        zones: zones
            .iter()
            .map(|zone| ((*zone).to_owned(), Planned::Known(Zone::default().into())))
            .collect::<BTreeMap<_, _>>()
            .into(),
        pod_cidr: "10.244.0.0/16".into(),
        service_cidr: "10.96.0.0/12".into(),
        network_cidr: Planned::Unknown,
        existing_network: Planned::Null,
        deletion_protection: false.into(),
        timeouts: Planned::Null,
        id: Planned::Unknown,
        region: Planned::Unknown,
        endpoint: Planned::Unknown,
        address: Planned::Unknown,
        ca_certificate: Planned::Unknown,
        network: Planned::Unknown,
        drift: Planned::Unknown,
    }
}

pub(crate) async fn plan(provider: &Configured, planned: ClusterPlanned, prior: Option<&Cluster>) -> Planning<Cluster> {
    let config = planned.clone();
    let request = PlanRequest {
        config: &config,
        prior,
        planned,
        prior_private: &[],
    };
    ClusterResource.plan(provider, request).await
}

async fn create(provider: &Configured) -> Result<Cluster, Diagnostics> {
    let planned = planned(&["us-central1-a"]);
    Ok(ClusterResource.create(provider, planned, &Stop::new()).await?.state)
}

/// What a new process sees.
async fn read(provider: &Configured, state: Cluster) -> Option<Cluster> {
    provider.forget(&ClusterName::new("demo")).await;
    let found = ClusterResource
        .read(provider, state, Vec::new(), &Stop::new())
        .await
        .unwrap();
    found.map(|(state, _)| state)
}

#[tokio::test]
async fn zones_of_another_region_are_refused_at_plan() {
    let (_, provider) = MemoryCloud::region();
    let good = plan(&provider, planned(&["us-central1-a"]), None).await;
    assert!(good.diagnostics.is_empty(), "{}", good.diagnostics);
    let bad = plan(&provider, planned(&["europe-west1-b"]), None)
        .await
        .diagnostics
        .to_string();
    for part in ["at zones[\"europe-west1-b\"]", "us-central1-a, us-central1-b"] {
        assert!(bad.contains(part), "{part}: {bad}");
    }
}

#[tokio::test]
async fn what_was_made_is_read_back_without_drift() {
    let (_, provider) = MemoryCloud::region();
    let cluster = create(&provider).await.unwrap();
    assert_eq!(cluster.endpoint, "https://203.0.113.10:6443");
    assert!(cluster.ca_certificate.contains("BEGIN CERTIFICATE"));
    assert!(!format!("{cluster:?}").contains("PRIVATE KEY"));
    assert_eq!(read(&provider, cluster.clone()).await, Some(cluster));
}

#[tokio::test]
async fn a_create_whose_every_call_is_lost_once_is_adopted_by_the_next_one() {
    let (cloud, provider) = MemoryCloud::region();
    create(&provider).await.unwrap();
    let (calls, complete) = (cloud.changes(), cloud.all());
    for number in 0..calls {
        for fault in [Fault::Before, Fault::After] {
            let (cloud, provider) = MemoryCloud::region();
            cloud.fail(number, fault);
            create(&provider).await.unwrap_err();
            create(&provider)
                .await
                .unwrap_or_else(|errors| panic!("call {number}, {fault:?}: {errors}"));
            assert_eq!(cloud.all(), complete, "call {number}, {fault:?}");
        }
    }
}

#[tokio::test]
async fn a_cluster_that_terraform_is_known_to_have_is_never_adopted() {
    let (cloud, provider) = MemoryCloud::region();
    let cluster = create(&provider).await.unwrap();
    create(&provider)
        .await
        .unwrap_or_else(|errors| panic!("terraform may not have saved its state yet: {errors}"));
    read(&provider, cluster).await.unwrap();
    let before = cloud.all();
    let refused = create(&provider).await.unwrap_err().to_string();
    assert!(
        refused.contains("terraform import multizone_cluster.NAME us-central1/demo"),
        "{refused}"
    );
    assert_eq!(cloud.all(), before, "nothing was changed");
}

#[tokio::test]
async fn drift_is_shown_and_repaired() {
    let (cloud, provider) = MemoryCloud::region();
    let cluster = create(&provider).await.unwrap();
    let cluster = read(&provider, cluster).await.unwrap();
    let complete = cloud.all();
    cloud.tamper(|inventory| inventory.firewall_rules.retain(|rule| rule.name != "api"));
    let cluster_seen = read(&provider, cluster).await.unwrap();
    assert_eq!(cluster_seen.drift, ["the firewall rule api is gone"]);
    let planning = plan(&provider, cluster_seen.clone().into(), Some(&cluster_seen)).await;
    assert_eq!(
        planning.planned.drift,
        Planned::Known(Vec::new()),
        "the plan shows that it is repaired"
    );
    let planned = planning.planned;
    ClusterResource
        .update(&provider, cluster_seen, planned, Vec::new(), &Stop::new())
        .await
        .unwrap();
    let mut repaired = cloud.all();
    repaired.firewall_rules.sort_by(|one, other| one.name.cmp(&other.name));
    assert_eq!(repaired, complete);
}

#[tokio::test]
async fn lost_keys_are_never_made_anew() {
    let (cloud, provider) = MemoryCloud::region();
    let cluster = create(&provider).await.unwrap();
    let cluster = read(&provider, cluster).await.unwrap();
    let demo = multizone_cloud::ClusterName::new("demo");
    multizone_cloud::Cloud::delete_secret(&*cloud, &demo, "multizone-us-central1-demo-keys")
        .await
        .unwrap();
    let planned = cluster.clone().into();
    let failed = ClusterResource
        .update(&provider, cluster, planned, Vec::new(), &Stop::new())
        .await
        .unwrap_err();
    assert!(failed.diagnostics.to_string().contains("lock every node out"));
}

#[tokio::test]
async fn a_zone_that_is_left_over_is_shown_until_it_is_empty() {
    let (cloud, provider) = MemoryCloud::region();
    let cluster = create(&provider).await.unwrap();
    cloud.tamper(|inventory| {
        inventory
            .machines
            .push(machine("us-central1-b", "demo-pool-x", Labels::new()));
    });
    let seen = read(&provider, cluster).await.unwrap();
    assert_eq!(
        seen.zones.into_keys().collect::<Vec<_>>(),
        ["us-central1-a", "us-central1-b"]
    );
}

#[tokio::test]
async fn a_destroy_names_what_is_left_and_then_leaves_nothing() {
    let (cloud, provider) = MemoryCloud::region();
    let cluster = create(&provider).await.unwrap();
    cloud.tamper(|inventory| {
        inventory
            .machines
            .push(machine("us-central1-a", "demo-pool-x", Labels::new()));
    });
    let stop = Stop::new();
    let delete = || ClusterResource.delete(&provider, cluster.clone(), Vec::new(), &stop);
    let refused = delete().await.unwrap_err().to_string();
    assert!(refused.contains("machine demo-pool-x in us-central1-a"), "{refused}");
    cloud.tamper(|inventory| inventory.machines.clear());
    delete().await.unwrap();
    assert!(cloud.all().is_empty(), "{:?}", cloud.all());
}

#[tokio::test]
async fn a_destroy_clears_away_machines_of_creates_that_never_finished() {
    let (cloud, provider) = MemoryCloud::region();
    let cluster = create(&provider).await.unwrap();
    let marked = Labels::from([(label::CREATING.to_owned(), "true".to_owned())]);
    cloud.tamper(|inventory| {
        inventory
            .machines
            .push(machine("us-central1-a", "demo-master-a", marked));
        inventory.machines[0].state = MachineState::Halted;
    });
    ClusterResource
        .delete(&provider, cluster, Vec::new(), &Stop::new())
        .await
        .unwrap();
    assert!(cloud.all().is_empty());
}

#[tokio::test]
async fn a_destroy_whose_every_call_is_lost_once_finishes_the_next_time() {
    let (cloud, provider) = MemoryCloud::region();
    let cluster = create(&provider).await.unwrap();
    let made = cloud.changes();
    ClusterResource
        .delete(&provider, cluster, Vec::new(), &Stop::new())
        .await
        .unwrap();
    for number in 0..cloud.changes() - made {
        for fault in [Fault::Before, Fault::After] {
            let (cloud, provider) = MemoryCloud::region();
            let cluster = create(&provider).await.unwrap();
            cloud.fail(number, fault);
            let stop = Stop::new();
            let delete = || ClusterResource.delete(&provider, cluster.clone(), Vec::new(), &stop);
            delete().await.unwrap_err();
            delete().await.unwrap();
            assert!(cloud.all().is_empty(), "call {number}, {fault:?}");
        }
    }
}

#[tokio::test]
async fn a_protected_cluster_is_refused_at_plan_and_at_apply() {
    let (_, provider) = MemoryCloud::region();
    let cluster = Cluster {
        deletion_protection: true,
        ..create(&provider).await.unwrap()
    };
    assert!(
        ClusterResource
            .plan_destroy(&provider, &cluster, &[])
            .await
            .has_errors()
    );
    assert!(
        ClusterResource
            .delete(&provider, cluster, Vec::new(), &Stop::new())
            .await
            .is_err()
    );
}

#[test]
fn ranges_are_checked_against_the_defaults_too() {
    let config = || ClusterPlanned {
        pod_cidr: Planned::Null,
        service_cidr: Planned::Null,
        ..planned(&[])
    };
    assert!(ClusterResource.validate(&config()).is_empty());
    let overlapping = ClusterPlanned {
        pod_cidr: "10.96.0.0/16".into(),
        ..config()
    };
    let said = ClusterResource.validate(&overlapping).to_string();
    assert!(said.contains("service_cidr = 10.96.0.0/12"), "{said}");
    let network = ClusterPlanned {
        network_cidr: "10.244.128.0/20".into(),
        ..config()
    };
    assert!(ClusterResource.validate(&network).has_errors());
}

#[tokio::test]
async fn a_lost_address_needs_another_cluster_and_does_not_stand_in_the_way_of_a_destroy() {
    let (cloud, provider) = MemoryCloud::region();
    let cluster = create(&provider).await.unwrap();
    cloud.tamper(|inventory| inventory.addresses.clear());
    let seen = read(&provider, cluster).await.unwrap();
    let planning = plan(&provider, seen.clone().into(), Some(&seen)).await;
    assert!(!planning.diagnostics.has_errors(), "{}", planning.diagnostics);
    assert!(
        planning.diagnostics.to_string().contains("destroy = { force = true }"),
        "{}",
        planning.diagnostics
    );
    assert_eq!(planning.requires_replace, [Path::from("address")]);
}

#[tokio::test]
async fn what_an_interrupted_destroy_has_left_is_read_until_it_is_gone() {
    let (cloud, provider) = MemoryCloud::region();
    let cluster = create(&provider).await.unwrap();
    let cluster = read(&provider, cluster).await.unwrap();
    // The mark, two rules and the address go; the reply to the network's deletion is lost.
    cloud.fail(4, Fault::After);
    let stop = Stop::new();
    ClusterResource
        .delete(&provider, cluster.clone(), Vec::new(), &stop)
        .await
        .unwrap_err();
    let left = read(&provider, cluster).await.unwrap();
    assert_eq!(left.drift, ["its deletion has begun and has not finished"]);
    let planning = plan(&provider, left.clone().into(), Some(&left)).await;
    assert_eq!(planning.requires_replace, [Path::from("drift")]);
    let again = create(&provider).await.unwrap();
    assert_eq!(read(&provider, again.clone()).await, Some(again));
}

#[tokio::test]
async fn what_an_import_cannot_see_is_in_the_settings() {
    let (_, provider) = MemoryCloud::region();
    let planned = ClusterPlanned {
        deletion_protection: true.into(),
        ..planned(&["us-central1-a", "us-central1-b"])
    };
    let stop = Stop::new();
    let created = ClusterResource.create(&provider, planned, &stop).await.unwrap().state;
    let imported = || ClusterResource.import(&provider, "us-central1/demo");
    assert_eq!(imported().await.unwrap(), created);
    let mut narrower = ClusterPlanned::from(created.clone());
    narrower.zones = ClusterPlanned::from(Cluster {
        zones: [("us-central1-b".to_owned(), Zone::default())].into(),
        ..created.clone()
    })
    .zones;
    narrower.deletion_protection = false.into();
    let updated = ClusterResource
        .update(&provider, created, narrower, Vec::new(), &stop)
        .await
        .unwrap()
        .state;
    assert_eq!(imported().await.unwrap(), updated);
}

#[tokio::test]
async fn lost_keys_are_a_warning_of_the_plan() {
    let (cloud, provider) = MemoryCloud::region();
    let cluster = create(&provider).await.unwrap();
    cloud.tamper_with_secret("multizone-us-central1-demo-keys", None);
    let seen = read(&provider, cluster).await.unwrap();
    let said = plan(&provider, seen.clone().into(), Some(&seen)).await.diagnostics;
    assert!(
        !said.has_errors() && said.to_string().contains("Restore it in the secret store"),
        "{said}"
    );
}
