//! Plans of several masters: from nothing, from a single master, and of what does not change.

use std::collections::BTreeMap;

use multizone_planner::control_plane::{Machine, Observed, Power};

use super::super::{
    ControlPlane, ControlPlanePlanned, ControlPlaneResource, MasterNode, Replica, drift, machine::Wanted, plan::blank,
};
use crate::resources::{PlanRequest, Planning, Resource as _, memory_cloud::MemoryCloud};

fn control_plane(zones: &[(&str, &str)]) -> ControlPlane {
    let replica = |(key, zone): &(&str, &str)| {
        let replica = Replica {
            zone: (*zone).to_owned(),
        };
        ((*key).to_owned(), replica)
    };
    ControlPlane {
        cluster: "demo".into(),
        kubernetes_version: "1.34.1".into(),
        machine_type: "n1-standard-2".into(),
        replicas: zones.iter().map(replica).collect(),
        load_balancer: Some("api".into()),
        ..blank()
    }
}

/// The region of these tests has two zones.
const THREE: [(&str, &str); 3] = [("a", "us-central1-a"), ("b", "us-central1-b"), ("c", "us-central1-a")];

async fn plan(prior: Option<&ControlPlane>, private: &[u8], wanted: ControlPlane) -> Planning<ControlPlane> {
    let (_, provider) = MemoryCloud::region();
    let planned = ControlPlanePlanned::from(wanted);
    let config = planned.clone();
    let request = PlanRequest {
        config: &config,
        prior,
        planned,
        prior_private: private,
    };
    ControlPlaneResource.plan(&provider, request).await
}

fn rollout(planning: &Planning<ControlPlane>) -> Vec<String> {
    let lines = planning.planned.rollout.known().cloned().unwrap_or_default();
    let text = |line: &str| line.split('~').next().unwrap_or_default().trim().to_owned();
    lines
        .iter()
        .map(|line| text(line.known().map_or("", String::as_str)))
        .collect()
}

/// A single master without a balancer, as its own kind of private data has it.
fn single() -> (ControlPlane, Vec<u8>) {
    let prior = ControlPlane {
        load_balancer: None,
        nodes: BTreeMap::from([(
            "demo-master-a".to_owned(),
            MasterNode {
                replica: "a".into(),
                zone: "us-central1-a".into(),
                address: "10.128.0.2".into(),
                provider_id: "gce://p/us-central1-a/demo-master-a".into(),
                state: "ready".into(),
            },
        )]),
        endpoint: "https://203.0.113.10:6443".into(),
        id: "us-central1/demo".into(),
        ..control_plane(&THREE[..1])
    };
    let specification = Wanted::of(&prior.clone().into()).unwrap().specification();
    let observed = Observed {
        machine: Some(Machine {
            power: Power::On,
            specification,
        }),
        serving: true,
        access: true,
        pod_network: None,
        joined: true,
    };
    let private = serde_json::to_vec(&drift::Seen::from(observed)).unwrap();
    (prior, private)
}

#[tokio::test]
async fn three_masters_behind_a_balancer_are_made_one_after_the_other() {
    let planning = plan(None, &[], control_plane(&THREE)).await;
    assert_eq!(
        rollout(&planning),
        [
            "1. create master a in us-central1-a, which initialises the cluster, wait until the API serves",
            "2. put master a behind balancer api, wait until it serves",
            "3. let node groups join, label and drain nodes",
            "4. wait until the node of master a has joined",
            "5. create master b in us-central1-b, wait until it has joined",
            "6. put master b behind balancer api, wait until it serves",
            "7. create master c in us-central1-a, wait until it has joined",
            "8. put master c behind balancer api, wait until it serves",
        ]
    );
    assert!(!planning.diagnostics.has_errors(), "{}", planning.diagnostics);
    let said = planning.diagnostics.to_string();
    assert!(
        !said.contains("backup"),
        "nothing is there yet that could be lost: {said}"
    );
}

#[tokio::test]
async fn a_single_master_grows_and_its_address_goes_onto_the_balancer() {
    let (prior, private) = single();
    let planning = plan(Some(&prior), &private, control_plane(&THREE)).await;
    let steps = rollout(&planning);
    assert_eq!(steps[0], "1. put master a behind balancer api, wait until it serves");
    assert!(
        steps
            .iter()
            .any(|step| step.contains("hand over https://203.0.113.10:6443 from master a to balancer api")),
        "{steps:#?}"
    );
    let said = planning.diagnostics.to_string();
    assert!(said.contains("no backup of etcd"), "{said}");
}

#[tokio::test]
async fn two_masters_are_warned_of_and_several_without_a_balancer() {
    let wanted = ControlPlane {
        load_balancer: None,
        ..control_plane(&THREE[..2])
    };
    let said = plan(None, &[], wanted).await.diagnostics.to_string();
    assert!(said.contains("an even number of masters"), "{said}");
    assert!(said.contains("several masters without a balancer"), "{said}");
}

#[tokio::test]
async fn another_version_is_refused() {
    let (prior, private) = single();
    let wanted = ControlPlane {
        kubernetes_version: "1.34.2".into(),
        ..control_plane(&THREE)
    };
    let said = plan(Some(&prior), &private, wanted).await.diagnostics.to_string();
    assert!(said.contains("at kubernetes_version"), "{said}");
}

#[tokio::test]
async fn a_zone_of_another_region_is_refused_for_a_master_that_is_to_come() {
    let (prior, private) = single();
    let wanted = control_plane(&[("a", "us-central1-a"), ("b", "europe-west1-b"), ("f", "us-central1-b")]);
    let said = plan(Some(&prior), &private, wanted).await.diagnostics.to_string();
    assert!(said.contains("at replicas[\"b\"].zone"), "{said}");
}

#[test]
fn the_loss_of_a_zone_is_survived_where_that_is_asked_for() {
    let said = |zones: &[(&str, &str)]| {
        let wanted = ControlPlane {
            tolerate_zone_loss: Some(true),
            ..control_plane(zones)
        };
        ControlPlaneResource.validate(&wanted.into()).to_string()
    };
    let three_zones = [("a", "us-central1-a"), ("b", "us-central1-b"), ("f", "us-central1-f")];
    assert_eq!(said(&three_zones), "");
    assert!(said(&THREE[..2]).contains("1 of 2 masters"));
    let two_zones = said(&[("a", "us-central1-a"), ("b", "us-central1-a"), ("f", "us-central1-f")]);
    assert!(two_zones.contains("without us-central1-a 1 of 3"), "{two_zones}");
}
