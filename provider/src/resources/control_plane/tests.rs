//! What a plan shows and refuses: from nothing, from a single master, and of what does not change.

use std::collections::BTreeMap;

use multizone_planner::cluster::{Next, Operation, World, effect, next};
use multizone_schema::{Diagnostics, Path};

use super::{
    ControlPlane, ControlPlanePlanned, ControlPlaneResource, MasterNode, Replica, Stop, drift::Drift, kubeadm::Kubeadm,
    manifest, plan::blank, seen, wanted::Wanted,
};
use crate::{
    configuration::Configured,
    resources::{PlanRequest, Planning, Resource as _, memory_cloud::MemoryCloud},
};

pub(super) fn control_plane(zones: &[(&str, &str)]) -> ControlPlane {
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

/// Three masters, as they are wanted.
pub(super) fn wanted() -> Wanted {
    Wanted::of(&control_plane(&THREE).into()).unwrap()
}

/// The region of these tests has two zones.
const THREE: [(&str, &str); 3] = [("a", "us-central1-a"), ("b", "us-central1-b"), ("c", "us-central1-a")];

async fn plan(prior: Option<&ControlPlane>, private: &[u8], wanted: ControlPlane) -> Planning<ControlPlane> {
    let (_, provider) = MemoryCloud::region();
    plan_in(&provider, prior, private, wanted).await
}

async fn plan_in(
    provider: &Configured,
    prior: Option<&ControlPlane>,
    private: &[u8],
    wanted: ControlPlane,
) -> Planning<ControlPlane> {
    let planned = ControlPlanePlanned::from(wanted);
    let config = planned.clone();
    let request = PlanRequest {
        config: &config,
        prior,
        planned,
        prior_private: private,
    };
    ControlPlaneResource.plan(provider, request).await
}

fn rollout(planning: &Planning<ControlPlane>) -> Vec<String> {
    let lines = planning.planned.rollout.known().cloned().unwrap_or_default();
    let text = |line: &str| line.split('~').next().unwrap_or_default().trim().to_owned();
    lines
        .iter()
        .map(|line| text(line.known().map_or("", String::as_str)))
        .collect()
}

/// The world after an apply without faults.
pub(super) fn reached(wanted: &ControlPlane) -> World {
    let (_, provider) = MemoryCloud::region();
    let wanted = Wanted::of(&wanted.clone().into()).unwrap();
    let mut world = seen::nothing(provider.cloud().capabilities()).world;
    seen::expect_the_others(&mut world, &wanted);
    let operation: Operation = wanted.operation(None);
    while let Next::Step(step) = next(&world, &operation) {
        world = effect(world, &step, &operation);
    }
    // A master's disk goes with its machine.
    world.disks.clear();
    world
}

/// A single master without a balancer.
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
                certificate_expires_at: None,
            },
        )]),
        endpoint: "https://203.0.113.10:6443".into(),
        id: "us-central1/demo".into(),
        ..control_plane(&THREE[..1])
    };
    let seen = seen::Seen {
        world: reached(&prior),
        drift: Drift::default(),
        read: String::new(),
    };
    (prior, seen::encode(&seen))
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
            .any(|step| step.contains("hand over 203.0.113.10 from master a to balancer api")),
        "{steps:#?}"
    );
    let said = planning.diagnostics.to_string();
    assert!(said.contains("no backup of etcd"), "{said}");
}

#[tokio::test]
async fn a_single_masters_other_machine_type_is_an_ordered_replacement() {
    let (prior, private) = single();
    let wanted = ControlPlane {
        machine_type: "n1-standard-4".into(),
        ..prior.clone()
    };
    let planning = plan(Some(&prior), &private, wanted).await;
    assert_eq!(
        rollout(&planning),
        [
            "1. create master a-2 in us-central1-a to replace master a, wait until it has joined",
            "2. cordon master a",
            "3. hand over 203.0.113.10 from master a to master a-2\n    (the API does not answer for about 1 s)",
            "4. drain master a, PodDisruptionBudgets permitting",
            "5. move etcd's leadership from master a to master a-2",
            "6. stop the API server of master a gracefully, by a pod on it",
            "7. remove master a from etcd",
            "8. stop the machine of master a",
            "9. delete the machine of master a",
            "10. delete the Node object of master a",
        ]
    );
    let said = planning.diagnostics.to_string();
    assert!(!planning.diagnostics.has_errors(), "{said}");
    assert!(said.contains("no backup of etcd"), "{said}");
}

#[tokio::test]
async fn a_master_that_is_replaced_needs_an_address_for_the_one_that_joins_first() {
    let (prior, private) = single();
    let wanted = ControlPlane {
        machine_type: "n1-standard-4".into(),
        ..prior.clone()
    };
    let (_, provider) = MemoryCloud::region_with_free_addresses(0);
    let said = plan_in(&provider, Some(&prior), &private, wanted.clone())
        .await
        .diagnostics;
    let words = "1 new machine is planned in zone us-central1-a of cluster demo, whose subnet has 0 free addresses. \
                 Of these, 1 only while others are replaced";
    assert!(said.to_string().contains(words), "{said}");
    let said = plan_in(&provider, Some(&prior), &private, prior.clone())
        .await
        .diagnostics;
    assert!(!said.has_errors(), "nothing is to be made: {said}");
    let (_, provider) = MemoryCloud::region_with_free_addresses(1);
    let said = plan_in(&provider, Some(&prior), &private, wanted).await.diagnostics;
    assert!(!said.has_errors(), "{said}");
}

#[tokio::test]
async fn what_changes_in_place_replaces_nothing() {
    let (prior, private) = single();
    let labelled = ControlPlane {
        legacy_zone_labels: true,
        ..prior.clone()
    };
    assert_eq!(rollout(&plan(Some(&prior), &private, labelled).await), [""; 0]);
    let networked = ControlPlane {
        pod_network_manifest: Some("apiVersion: v1".into()),
        ..prior.clone()
    };
    let planning = plan(Some(&prior), &private, networked).await;
    assert_eq!(rollout(&planning), ["1. apply the pod network's manifest"]);
    let said = planning.diagnostics.to_string();
    assert!(
        !said.contains("no backup of etcd"),
        "nothing in etcd is at risk: {said}"
    );
}

#[tokio::test]
async fn private_data_that_nobody_can_read_break_no_plan() {
    let (prior, _) = single();
    for private in [
        &b""[..],
        b"null",
        br#"{"world": 3}"#,
        br#"{"machine": null, "serving": true}"#,
    ] {
        let planning = plan(Some(&prior), private, prior.clone()).await;
        assert_eq!(planning.planned, prior.clone().into());
        assert_eq!(planning.diagnostics.to_string(), "");
        let wanted = ControlPlane {
            machine_type: "n1-standard-4".into(),
            ..prior.clone()
        };
        let planning = plan(Some(&prior), private, wanted).await;
        assert!(planning.planned.rollout.is_unknown() || planning.planned.rollout.known().is_some_and(Vec::is_empty));
        assert!(!planning.diagnostics.has_errors());
    }
}

#[tokio::test]
async fn the_steps_between_which_a_zone_must_not_be_lost_are_named() {
    let fragile = |world: &World, wanted: &ControlPlane| {
        let wanted = Wanted::of(&wanted.clone().into()).unwrap();
        let preview = multizone_planner::cluster::preview(world, &wanted.operation(None));
        let warnings = preview.warnings.iter();
        warnings
            .map(|warning| super::plan::warned(warning, &wanted).to_string())
            .collect::<String>()
    };
    let zones = [("a", "us-central1-a"), ("b", "us-central1-b"), ("f", "us-central1-f")];
    let three = control_plane(&zones);
    let other = ControlPlane {
        machine_type: "n1-standard-4".into(),
        ..three.clone()
    };
    let said = fragile(&reached(&three), &other);
    assert!(said.contains("steps not to stop between"), "{said}");
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
async fn what_is_said_of_several_masters() {
    let two_zones = control_plane(&THREE);
    let said = plan(None, &[], two_zones.clone()).await.diagnostics.to_string();
    assert!(
        said.contains("masters that do not survive the loss of a zone"),
        "{said}"
    );
    let five = ["a", "b", "c", "d", "e"].map(|key| (key, if key < "d" { "us-central1-a" } else { "us-central1-b" }));
    let said = plan(None, &[], control_plane(&five)).await.diagnostics.to_string();
    assert!(
        said.contains("masters that do not survive the loss of a zone"),
        "{said}"
    );

    let node = |zone: &str, state: &str| MasterNode {
        replica: String::new(),
        zone: zone.into(),
        address: String::new(),
        provider_id: String::new(),
        state: state.into(),
        certificate_expires_at: None,
    };
    let prior = ControlPlane {
        nodes: BTreeMap::from([
            ("demo-master-a".to_owned(), node("us-central1-a", "ready")),
            ("demo-master-b".to_owned(), node("us-central1-b", "unknown")),
            ("demo-master-c".to_owned(), node("us-central1-a", "halted")),
        ]),
        ..two_zones
    };
    let drift = Drift {
        silence: Some("nobody answers".to_owned()),
        ..Drift::default()
    };
    let said = drift.warnings(&reached(&prior), &prior).to_string();
    let machines =
        "Machines demo-master-a in us-central1-a, demo-master-b in us-central1-b run, so an apply does nothing";
    assert!(said.contains(machines), "{said}");
    assert!(said.contains("If zones are out"), "{said}");
    let said = super::plan::destroyed(&prior).to_string();
    assert!(
        said.contains("The disks of demo-master-a, demo-master-b, demo-master-c are"),
        "{said}"
    );
    let lost = ControlPlane {
        nodes: BTreeMap::new(),
        ..prior
    };
    let said = super::plan::destroyed(&lost).to_string();
    assert!(said.contains("The masters' disks are the only copies"), "{said}");
}

#[tokio::test]
async fn rule_upgrade_starts_with_settings_and_ends_with_the_addons() {
    let (prior, private) = single();
    let wanted = ControlPlane {
        kubernetes_version: "1.35.2".into(),
        ..prior.clone()
    };
    let planning = plan(Some(&prior), &private, wanted).await;
    let rollout = rollout(&planning);
    assert_eq!(
        rollout[0],
        "1. set the cluster-wide settings to 1.35.2: kubeadm, kubelet"
    );
    assert_eq!(
        rollout[1],
        "2. create master a-2 in us-central1-a to replace master a, wait until it has joined"
    );
    let last = rollout.last().unwrap();
    assert!(
        last.ends_with(". bring kube-proxy and CoreDNS to 1.35.2"),
        "{rollout:#?}"
    );
    assert!(!planning.diagnostics.has_errors(), "{}", planning.diagnostics);
}

#[tokio::test]
async fn rule_no_downgrade_and_one_minor_at_a_time() {
    let (prior, private) = single();
    for (version, why) in [
        ("1.34.0", "cannot go back"),
        ("1.33.9", "cannot go back"),
        ("1.36.0", "to 1.35 first"),
    ] {
        let wanted = ControlPlane {
            kubernetes_version: version.into(),
            ..prior.clone()
        };
        let planning = plan(Some(&prior), &private, wanted).await;
        let said = planning.diagnostics.to_string();
        assert!(said.contains("at kubernetes_version") && said.contains(why), "{said}");
        assert_eq!(rollout(&planning), [""; 0], "nothing is planned");
    }
}

#[tokio::test]
async fn other_settings_change_the_cluster_first_and_then_the_machines() {
    let (prior, private) = single();
    let chosen = |kubeadm: Kubeadm| ControlPlane {
        kubeadm: Some(kubeadm),
        ..prior.clone()
    };
    let kube_proxy = chosen(Kubeadm {
        kube_proxy_configuration: Some("mode: nftables".to_owned()),
        ..Kubeadm::default()
    });
    let planning = plan(Some(&prior), &private, kube_proxy).await;
    let addons = "1. bring kube-proxy and CoreDNS to 1.34.1";
    assert_eq!(rollout(&planning), [addons], "kube-proxy is the cluster's alone");
    let kubelets = chosen(Kubeadm {
        kubelet_configuration: Some("maxPods: 200".to_owned()),
        ..Kubeadm::default()
    });
    let planning = plan(Some(&prior), &private, kubelets).await;
    let rollout = rollout(&planning);
    assert_eq!(
        rollout[0],
        "1. set the cluster-wide settings to 1.34.1: kubeadm, kubelet"
    );
    assert_eq!(
        rollout[1],
        "2. create master a-2 in us-central1-a to replace master a, wait until it has joined"
    );
}

#[tokio::test]
async fn an_empty_choice_changes_nothing() {
    let (prior, private) = single();
    let wanted = ControlPlane {
        kubeadm: Some(Kubeadm::default()),
        ..prior.clone()
    };
    let planning = plan(Some(&prior), &private, wanted).await;
    assert_eq!(rollout(&planning), prior.rollout);
}

#[tokio::test]
async fn a_zone_of_another_region_is_refused_for_a_master_that_is_to_come() {
    let (prior, private) = single();
    let wanted = control_plane(&[("a", "us-central1-a"), ("b", "europe-west1-b"), ("f", "us-central1-b")]);
    let said = plan(Some(&prior), &private, wanted).await.diagnostics.to_string();
    assert!(said.contains("at replicas[\"b\"].zone"), "{said}");
    assert!(!said.contains("replicas[\"a\"]"), "it is there already: {said}");
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

#[test]
fn a_control_plane_has_a_master() {
    let with = |keys: &[&str]| {
        let replica = Replica {
            zone: "us-central1-a".into(),
        };
        let replicas = keys.iter().map(|key| ((*key).to_owned(), replica.clone())).collect();
        ControlPlaneResource
            .validate(&ControlPlane { replicas, ..single().0 }.into())
            .to_string()
    };
    assert_eq!(with(&["a"]), "");
    assert!(with(&[]).contains("at replicas"));
    assert_eq!(with(&["a", "b"]), "");
}

#[test]
fn a_manifest_must_be_one() {
    let mut diagnostics = Diagnostics::new();
    manifest(
        &"apiVersion: v1\nkind: Namespace\nmetadata: { name: x }\n".into(),
        &Path::from("x"),
        &mut diagnostics,
    );
    assert!(diagnostics.is_empty(), "{diagnostics}");
    manifest(&"just text".into(), &Path::from("x"), &mut diagnostics);
    assert!(diagnostics.has_errors());
}

mod in_a_region {
    use super::*;
    use crate::resources::memory_cloud::MemoryCloud;

    async fn said(change: impl FnOnce(&mut ControlPlane)) -> String {
        let (_, provider) = MemoryCloud::region();
        let mut wanted = single().0;
        change(&mut wanted);
        let planned = ControlPlanePlanned::from(wanted);
        let config = planned.clone();
        let request = PlanRequest {
            config: &config,
            prior: None,
            planned,
            prior_private: &[],
        };
        ControlPlaneResource
            .plan(&provider, request)
            .await
            .diagnostics
            .to_string()
    }

    #[tokio::test]
    async fn a_master_needs_two_cpus_and_two_gib() {
        assert!(!said(|_| {}).await.contains("machine_type"));
        let small = said(|wanted| wanted.machine_type = "n1-standard-1".into()).await;
        assert!(small.contains("at machine_type") && small.contains("2 CPUs"), "{small}");
        let small = said(|wanted| wanted.machine_type = "e2-micro".into()).await;
        assert!(small.contains("2 GiB"), "{small}");
        let unknown = said(|wanted| wanted.machine_type = "q9-huge".into()).await;
        assert!(unknown.contains("us-central1-a"), "{unknown}");
    }

    #[tokio::test]
    async fn a_zone_of_another_region_is_refused_at_plan() {
        let elsewhere = Replica {
            zone: "europe-west1-b".into(),
        };
        let said = said(|wanted| wanted.replicas = [("a".to_owned(), elsewhere)].into()).await;
        assert!(said.contains("at replicas[\"a\"].zone"), "{said}");
    }

    #[tokio::test]
    async fn a_control_plane_needs_its_cluster() {
        let (_, provider) = MemoryCloud::region();
        let planned = ControlPlanePlanned::from(single().0);
        let failed = ControlPlaneResource
            .create(&provider, planned, &Stop::new())
            .await
            .unwrap_err();
        assert!(failed.to_string().contains("multizone_cluster.NAME.name"), "{failed}");
    }
}
