//! A disk's life on a region in memory, with every call lost once.

use super::*;

fn disk() -> Disk {
    Disk {
        cluster: "demo".into(),
        name: "data".into(),
        zone: "us-central1-a".into(),
        size_gb: 20,
        disk_type: "pd-balanced".into(),
        iops: None,
        throughput: None,
        labels: None,
        filesystem: "ext4".into(),
        storage_class: String::new(),
        legacy_zone_labels: false,
        deletion_protection: false,
        timeouts: None,
        id: "us-central1/demo/data".into(),
        region: "us-central1".into(),
        labels_all: BTreeMap::new(),
        persistent_volume: String::new(),
    }
}

#[test]
fn a_disk_grows_and_never_shrinks() {
    let planned = |size_gb: i64| DiskPlanned::from(Disk { size_gb, ..disk() });
    assert!(refusals(&disk(), &planned(20)).is_empty());
    assert!(refusals(&disk(), &planned(30)).is_empty());
    let said = refusals(&disk(), &planned(10)).to_string();
    assert!(
        said.contains("at size_gb") && said.contains("size_gb = 20 or more"),
        "{said}"
    );
}

#[test]
fn a_disk_keeps_its_kind() {
    let planned = DiskPlanned::from(Disk {
        disk_type: "pd-ssd".into(),
        ..disk()
    });
    assert!(refusals(&disk(), &planned).to_string().contains("at disk_type"));
}

#[test]
fn names_are_short_enough_for_the_cloud() {
    let long = Disk {
        cluster: "c".repeat(32),
        name: "d".repeat(31),
        ..disk()
    };
    assert!(DiskResource.validate(&long.into()).has_errors());
    assert!(DiskResource.validate(&disk().into()).is_empty());
}

mod in_a_region {
    use multizone_cloud::{Cloud as _, ClusterName, DiskSpec, Performance};
    use multizone_schema::Planned;

    use super::*;
    use crate::resources::{
        cluster::ClusterSettings,
        identity::SecretNames,
        memory_cloud::{Fault, MemoryCloud},
    };

    /// A region with a cluster that spans its zones.
    fn region() -> (std::sync::Arc<MemoryCloud>, Configured) {
        let (cloud, provider) = MemoryCloud::region();
        let zones = ["us-central1-a", "us-central1-b"].map(str::to_owned);
        let settings = ClusterSettings::new(String::new(), String::new(), String::new()).spanning(zones);
        let name = SecretNames::of("us-central1", &ClusterName::new("demo")).settings;
        cloud.tamper_with_secret(&name, Some(&settings.to_json()));
        (cloud, provider)
    }

    fn planned(zone: &str, size_gb: i64) -> DiskPlanned {
        let mut planned = DiskPlanned::from(Disk {
            zone: zone.into(),
            size_gb,
            ..disk()
        });
        planned.id = Planned::Unknown;
        planned.region = Planned::Unknown;
        planned.labels_all = Planned::Unknown;
        planned.persistent_volume = Planned::Unknown;
        planned
    }

    async fn create(provider: &Configured) -> Result<Disk, Diagnostics> {
        Ok(DiskResource
            .create(provider, planned("us-central1-a", 20), &Stop::new())
            .await?
            .state)
    }

    async fn update(provider: &Configured, prior: &Disk, wanted: DiskPlanned) -> Result<Disk, Diagnostics> {
        let updated = DiskResource
            .update(provider, prior.clone(), wanted, Vec::new(), &Stop::new())
            .await;
        updated
            .map(|updated| updated.state)
            .map_err(|failed| failed.diagnostics)
    }

    /// What a new process sees.
    async fn read(provider: &Configured, state: Disk) -> Option<Disk> {
        provider.forget(&ClusterName::new("demo")).await;
        DiskResource
            .read(provider, state, Vec::new(), &Stop::new())
            .await
            .unwrap()
            .map(|(state, _)| state)
    }

    #[tokio::test]
    async fn a_disk_that_has_lost_its_label_is_not_gone() {
        let (cloud, provider) = region();
        let made = create(&provider).await.unwrap();
        cloud.unlabel("demo-data");
        let found = read(&provider, made.clone()).await.unwrap();
        let lost: Vec<_> = made
            .labels_all
            .keys()
            .filter(|key| !found.labels_all.contains_key(*key))
            .collect();
        assert_eq!(lost, [label::CLUSTER], "that is what the plan shows");
        let error = DiskResource
            .delete(&provider, found.clone(), Vec::new(), &Stop::new())
            .await;
        let said = error.unwrap_err().to_string();
        assert!(said.contains("has lost its label multizone-cluster = demo"), "{said}");
        assert_eq!(
            cloud.disk("us-central1-a", "demo-data").await.unwrap().unwrap().size_gb,
            20
        );
        let healed = update(&provider, &found, planned("us-central1-a", 20)).await.unwrap();
        assert_eq!(read(&provider, healed.clone()).await.unwrap(), made);
        cloud.unlabel("demo-data");
        let moved = update(&provider, &healed, planned("us-central1-b", 20)).await.unwrap();
        assert_eq!(moved.zone, "us-central1-b");
        assert_eq!(cloud.all().disks.len(), 1, "the data moved with its label put back");
    }

    #[tokio::test]
    async fn a_disk_that_another_cluster_has_is_neither_gone_nor_taken_back() {
        let (cloud, provider) = region();
        let made = create(&provider).await.unwrap();
        let made = read(&provider, made).await.unwrap();
        cloud.give("demo-data", "other");
        cloud.tamper(|inventory| inventory.disks[0].size_gb = 70);
        let found = read(&provider, made.clone()).await.unwrap();
        let mut shown = made.clone();
        shown.labels_all.insert(label::CLUSTER.to_owned(), "other".to_owned());
        assert_eq!(found, shown, "that is what the plan shows");
        let changes = cloud.changes();
        for wanted in [planned("us-central1-a", 90), planned("us-central1-b", 20)] {
            let said = update(&provider, &found, wanted).await.unwrap_err().to_string();
            assert!(said.contains("belongs to cluster other now"), "{said}");
        }
        let deleted = DiskResource.delete(&provider, found, Vec::new(), &Stop::new()).await;
        let said = deleted.unwrap_err().to_string();
        assert!(said.contains("terraform state rm"), "{said}");
        assert_eq!(cloud.changes(), changes, "nothing was tried");
    }

    #[tokio::test]
    async fn a_disk_of_another_cluster_in_the_new_zone_is_in_the_way_of_a_move() {
        let (cloud, provider) = region();
        let made = create(&provider).await.unwrap();
        let made = read(&provider, made).await.unwrap();
        // Disk a-data of a cluster demo and disk data of a cluster demo-a have one name.
        let (there, name) = ("us-central1-b", "demo-data");
        let others = DiskSpec {
            cluster: ClusterName::new("demo"),
            name: name.to_owned(),
            zone: there.to_owned(),
            size_gb: 7,
            disk_type: "pd-ssd".to_owned(),
            performance: Performance::default(),
            snapshot: None,
            labels: Labels::new(),
        };
        cloud.ensure_disk(&others).await.unwrap();
        cloud.give(&format!("{there}/{name}"), "demo-a");
        let said = update(&provider, &made, planned(there, 20))
            .await
            .unwrap_err()
            .to_string();
        assert!(said.contains("A disk of that name is there already"), "{said}");
        assert!(cloud.disk(there, name).await.unwrap().is_some(), "it is still there");
    }

    #[tokio::test]
    async fn a_disk_says_where_it_is() {
        let (cloud, provider) = region();
        let disk = create(&provider).await.unwrap();
        assert_eq!(disk.labels_all["topology-zone"], "us-central1-a");
        assert_eq!(disk.labels_all["topology-region"], "us-central1");
        assert!(disk.persistent_volume.contains("us-central1-a"));
        assert_eq!(read(&provider, disk.clone()).await, Some(disk.clone()));
        assert_eq!(
            cloud.all().disks[0].labels,
            disk.labels_all,
            "the mark is gone once terraform has the disk"
        );
    }

    #[tokio::test]
    async fn a_disk_that_terraform_is_known_to_have_is_never_adopted() {
        let (_, provider) = region();
        let disk = create(&provider).await.unwrap();
        create(&provider).await.unwrap();
        read(&provider, disk).await.unwrap();
        assert!(
            create(&provider)
                .await
                .unwrap_err()
                .to_string()
                .contains("terraform import multizone_disk.NAME")
        );
    }

    #[tokio::test]
    async fn labels_that_others_add_are_theirs() {
        let (cloud, provider) = region();
        let disk = create(&provider).await.unwrap();
        cloud.tamper(|inventory| {
            inventory.disks[0].labels.insert("backup".into(), "daily".into());
        });
        assert_eq!(read(&provider, disk.clone()).await, Some(disk.clone()));
        update(&provider, &disk, planned("us-central1-a", 30)).await.unwrap();
        assert_eq!(cloud.all().disks[0].labels["backup"], "daily");
    }

    #[tokio::test]
    async fn an_attached_disk_does_not_move() {
        let (cloud, provider) = region();
        let disk = create(&provider).await.unwrap();
        cloud.tamper(|inventory| inventory.disks[0].attached_to.push("demo-pool-x".into()));
        let before = cloud.all();
        let refused = update(&provider, &disk, planned("us-central1-b", 20))
            .await
            .unwrap_err()
            .to_string();
        assert!(refused.contains("attached to demo-pool-x"), "{refused}");
        assert_eq!(cloud.all(), before, "nothing was changed");
    }

    #[tokio::test]
    async fn a_move_whose_every_call_is_lost_once_keeps_the_data_and_leaves_one_disk() {
        let (cloud, provider) = region();
        let disk = create(&provider).await.unwrap();
        let made = cloud.changes();
        update(&provider, &disk, planned("us-central1-b", 20)).await.unwrap();
        let (calls, complete) = (cloud.changes() - made, cloud.all());
        assert_eq!(complete.disks.len(), 1);
        for number in 0..calls {
            for fault in [Fault::Before, Fault::After] {
                let (cloud, provider) = region();
                let disk = create(&provider).await.unwrap();
                cloud.fail(number, fault);
                update(&provider, &disk, planned("us-central1-b", 20))
                    .await
                    .unwrap_err();
                assert!(
                    !cloud.all().disks.is_empty(),
                    "call {number}, {fault:?}: the data is somewhere"
                );
                let seen = read(&provider, disk).await.unwrap();
                update(&provider, &seen, planned("us-central1-b", 20)).await.unwrap();
                assert_eq!(cloud.all(), complete, "call {number}, {fault:?}");
            }
        }
    }

    #[tokio::test]
    async fn a_destroy_takes_what_a_move_has_left() {
        let (cloud, provider) = region();
        let disk = create(&provider).await.unwrap();
        cloud.fail(4, Fault::Before);
        update(&provider, &disk, planned("us-central1-b", 20))
            .await
            .unwrap_err();
        assert_eq!(cloud.all().disks.len(), 2);
        DiskResource
            .delete(&provider, disk, Vec::new(), &Stop::new())
            .await
            .unwrap();
        assert_eq!(cloud.all().disks, []);
        assert!(cloud.all().snapshots.is_empty());
    }

    #[tokio::test]
    async fn what_an_import_cannot_see_is_in_the_disks_labels() {
        let (_, provider) = region();
        let wanted = Disk {
            filesystem: "xfs".into(),
            storage_class: "fast.example".into(),
            legacy_zone_labels: true,
            deletion_protection: true,
            labels: Some([("team".to_owned(), "web".to_owned())].into()),
            ..disk()
        };
        let mut planned = DiskPlanned::from(wanted);
        planned.labels_all = Planned::Unknown;
        planned.persistent_volume = Planned::Unknown;
        let created = DiskResource
            .create(&provider, planned, &Stop::new())
            .await
            .unwrap()
            .state;
        let imported = DiskResource.import(&provider, "us-central1/demo/data").await.unwrap();
        assert_eq!(imported, created);
    }

    #[tokio::test]
    async fn a_disk_in_a_zone_that_the_cluster_does_not_span_is_refused() {
        let (cloud, provider) = region();
        let name = SecretNames::of("us-central1", &ClusterName::new("demo")).settings;
        let settings = ClusterSettings::new(String::new(), String::new(), String::new());
        let spanning = settings.clone().spanning(["us-central1-b".to_owned()]);
        cloud.tamper_with_secret(&name, Some(&spanning.to_json()));
        let refused = create(&provider).await.unwrap_err().to_string();
        assert!(
            refused.contains("at zone") && refused.contains("spans us-central1-b"),
            "{refused}"
        );
        assert_eq!(cloud.all().disks, []);
        // Settings of a release that did not keep the zones.
        cloud.tamper_with_secret(&name, Some(&settings.to_json()));
        create(&provider).await.unwrap();
    }

    #[tokio::test]
    async fn a_plan_refuses_a_zone_that_the_planned_cluster_does_not_span() {
        let (_, provider) = region();
        let config = planned("us-central1-b", 20);
        let plan = async || {
            let request = PlanRequest {
                config: &config,
                prior: None,
                planned: config.clone(),
                prior_private: &[],
            };
            DiskResource.plan(&provider, request).await.diagnostics.to_string()
        };
        assert_eq!(plan().await, "", "the cluster is not planned yet, and may get the zone");
        provider.plan_zones(&ClusterName::new("demo"), ["us-central1-a".to_owned()].into());
        let said = plan().await;
        assert!(said.contains("Zone that the cluster does not span (at zone)"), "{said}");
    }

    #[tokio::test]
    async fn confirming_disks_does_not_look_again() {
        let (cloud, provider) = region();
        let disk = create(&provider).await.unwrap();
        let (looks, stop) = (cloud.looks(), Stop::new());
        for _ in 0..10 {
            let read = DiskResource.read(&provider, disk.clone(), Vec::new(), &stop);
            assert!(read.await.unwrap().is_some());
        }
        assert_eq!(cloud.looks(), looks + 1);
    }

    #[tokio::test]
    async fn a_zone_of_another_region_is_refused_at_plan() {
        let (_, provider) = region();
        let config = planned("mars-1", 5);
        let request = PlanRequest {
            config: &config,
            prior: None,
            planned: config.clone(),
            prior_private: &[],
        };
        let said = DiskResource.plan(&provider, request).await.diagnostics.to_string();
        assert!(said.contains("at zone") && said.contains("mars-1"), "{said}");
    }
}
