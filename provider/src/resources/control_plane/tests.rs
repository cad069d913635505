//! What is refused by itself, and what changes in place.

use multizone_schema::Path;

use super::*;

fn control_plane() -> ControlPlane {
    ControlPlane {
        cluster: "demo".into(),
        kubernetes_version: "1.34.1".into(),
        machine_type: "n1-standard-2".into(),
        replicas: BTreeMap::from([(
            "a".into(),
            Replica {
                zone: "us-central1-a".into(),
            },
        )]),
        ..blank()
    }
}

#[test]
fn a_control_plane_has_a_master() {
    let with = |keys: &[&str]| {
        let replica = Replica {
            zone: "us-central1-a".into(),
        };
        let replicas = keys.iter().map(|key| ((*key).to_owned(), replica.clone())).collect();
        ControlPlaneResource
            .validate(
                &ControlPlane {
                    replicas,
                    ..control_plane()
                }
                .into(),
            )
            .to_string()
    };
    assert_eq!(with(&["a"]), "");
    assert!(with(&[]).contains("at replicas"));
    assert_eq!(with(&["a", "b"]), "");
}

#[test]
fn what_would_replace_the_only_master_is_refused() {
    let refused = |changed: ControlPlane| refusals(&control_plane(), &changed.into()).to_string();
    assert_eq!(refused(control_plane()), "");
    assert_eq!(
        refused(ControlPlane {
            legacy_zone_labels: true,
            ..control_plane()
        }),
        ""
    );
    assert_eq!(
        refused(ControlPlane {
            pod_network_manifest: Some("x".into()),
            ..control_plane()
        }),
        ""
    );
    for (path, changed) in [
        (
            "machine_type",
            ControlPlane {
                machine_type: "n1-standard-4".into(),
                ..control_plane()
            },
        ),
        (
            "kubernetes_version",
            ControlPlane {
                kubernetes_version: "1.34.2".into(),
                ..control_plane()
            },
        ),
        (
            "image",
            ControlPlane {
                image: Some("other".into()),
                ..control_plane()
            },
        ),
        (
            "boot_disk_gb",
            ControlPlane {
                boot_disk_gb: 50,
                ..control_plane()
            },
        ),
        (
            "replicas[\"a\"].zone",
            ControlPlane {
                replicas: BTreeMap::from([(
                    "a".into(),
                    Replica {
                        zone: "us-central1-b".into(),
                    },
                )]),
                ..control_plane()
            },
        ),
        (
            "replicas",
            ControlPlane {
                replicas: BTreeMap::new(),
                ..control_plane()
            },
        ),
    ] {
        let said = refused(changed);
        assert!(said.contains(&format!("(at {path})")), "{path}: {said}");
        assert!(said.contains("only copy of etcd"));
    }
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
        let mut wanted = control_plane();
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
        assert_eq!(said(|_| {}).await, "");
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
        let planned = ControlPlanePlanned::from(control_plane());
        let failed = ControlPlaneResource
            .create(&provider, planned, &Stop::new())
            .await
            .unwrap_err();
        assert!(failed.to_string().contains("multizone_cluster.NAME.name"), "{failed}");
    }
}
