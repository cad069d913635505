//! Which zones are chosen, from what, and that both plans of one apply choose alike.

use multizone_planner::cluster::Zone;

use super::*;
use crate::resources::{
    PlanRequest, Planning, Resource as _,
    cluster::{self, ClusterSettings},
    control_plane::{
        ControlPlaneResource,
        drift::Drift,
        tests::{control_plane, reached},
    },
    memory_cloud::MemoryCloud,
};

const A: &str = "us-central1-a";
const B: &str = "us-central1-b";

fn demo() -> ClusterName {
    ClusterName::new("demo")
}

fn names(zones: &[&str]) -> BTreeSet<String> {
    zones.iter().map(|zone| (*zone).to_owned()).collect()
}

/// So many masters, as Terraform proposes them.
fn counted(prior: Option<&ControlPlane>, count: i64) -> (ControlPlanePlanned, ControlPlanePlanned) {
    let mut config = ControlPlanePlanned::from(control_plane(&[]));
    config.replica_count = Planned::Known(count);
    config.replicas = Planned::Null;
    let mut planned = config.clone();
    planned.replicas = match prior {
        Some(prior) if prior.replica_count == Some(count) => ControlPlanePlanned::from(prior.clone()).replicas,
        _ => Planned::Unknown,
    };
    (config, planned)
}

async fn plan(
    provider: &Configured,
    prior: Option<(&ControlPlane, &[u8])>,
    config: &ControlPlanePlanned,
    planned: ControlPlanePlanned,
) -> Planning<ControlPlane> {
    let request = PlanRequest {
        config,
        prior: prior.map(|(prior, _)| prior),
        planned,
        prior_private: prior.map(|(_, private)| private).unwrap_or_default(),
    };
    ControlPlaneResource.plan(provider, request).await
}

/// The key and zone of each master; `None` when the plan does not say.
fn chosen(planning: &Planning<ControlPlane>) -> Option<Vec<(String, String)>> {
    let replicas = planning.planned.replicas.known()?;
    let zone = |replica: &Planned<super::super::ReplicaPlanned>| replica.known()?.zone.known().cloned();
    replicas
        .iter()
        .map(|(key, replica)| Some((key.clone(), zone(replica)?)))
        .collect()
}

fn in_zones(zones: &[(&str, &str)]) -> Vec<(String, String)> {
    let owned = |(key, zone): &(&str, &str)| ((*key).to_owned(), (*zone).to_owned());
    zones.iter().map(owned).collect()
}

/// Three masters that exist, and what private data keep: a cluster over the two zones.
fn three() -> (ControlPlane, Vec<u8>) {
    let prior = ControlPlane {
        replica_count: Some(3),
        endpoint: "https://203.0.113.10:6443".into(),
        ..control_plane(&[("a", A), ("b", B), ("c", A)])
    };
    let seen = seen::Seen {
        world: reached(&prior),
        drift: Drift::default(),
        read: String::new(),
    };
    (prior, seen::encode(&seen))
}

#[tokio::test]
async fn a_first_plan_shows_the_zones_and_the_steps_of_a_cluster_planned_before() {
    let (_, provider) = MemoryCloud::region();
    provider.plan_zones(&demo(), names(&[A, B]));
    provider.plan_balancer(&demo(), "api", Some(names(&[A, B])));
    let (config, planned) = counted(None, 3);
    let planning = plan(&provider, None, &config, planned).await;
    assert!(!planning.diagnostics.has_errors(), "{}", planning.diagnostics);
    assert_eq!(chosen(&planning), Some(in_zones(&[("a", A), ("b", B), ("c", A)])));
    assert_eq!(planning.planned.rollout.known().map(Vec::len), Some(8));
}

#[tokio::test]
async fn where_nobody_knows_the_zones_the_apply_chooses() {
    let (_, provider) = MemoryCloud::region();
    // Over zones that are not known yet.
    provider.cluster_is_planned(&demo());
    let (config, planned) = counted(None, 3);
    let planning = plan(&provider, None, &config, planned).await;
    assert!(planning.planned.replicas.is_unknown() && planning.planned.rollout.is_unknown());
    let situation = Situation {
        doing: "create the control plane of cluster demo",
        left: "Nothing was changed.",
    };
    let failed = resolve(&provider, None, planning.planned, &situation)
        .await
        .unwrap_err();
    assert!(
        failed.to_string().contains("Create it with multizone_cluster first"),
        "{failed}"
    );
}

/// What is stored beside the keys of a cluster that spans these zones, or none that are known.
fn store(cloud: &MemoryCloud, zones: Option<&[&str]>) {
    let settings = ClusterSettings::new(String::new(), String::new(), String::new());
    let settings = match zones {
        Some(zones) => settings.spanning(names(zones)),
        None => settings,
    };
    cloud.tamper_with_secret("multizone-us-central1-demo-settings", Some(&settings.to_json()));
}

/// Masters and a cluster that are made together, and the masters name it by a literal: whichever of the two Terraform plans
/// first, in the plan or in the apply, what was chosen once is never taken back.
#[tokio::test]
async fn new_masters_that_are_planned_before_their_new_cluster_are_refused() {
    let (config, planned) = counted(None, 3);
    let (_, provider) = MemoryCloud::region();
    let masters_first = plan(&provider, None, &config, planned.clone()).await;
    let said = masters_first.diagnostics.to_string();
    assert!(
        said.contains("at cluster") && said.contains("multizone_cluster.NAME.name"),
        "{said}"
    );
    // One that is there has its zones.
    let (cloud, provider) = MemoryCloud::region();
    provider.plan_balancer(&demo(), "api", Some(names(&[A, B])));
    store(&cloud, Some(&[A, B]));
    let planning = plan(&provider, None, &config, planned).await;
    assert!(!planning.diagnostics.has_errors(), "{}", planning.diagnostics);
    assert_eq!(chosen(&planning), Some(in_zones(&[("a", A), ("b", B), ("c", A)])));
}

/// The same, when Terraform plans both at the same time, which it does where neither refers to the other: masters that have
/// asked what is stored see the cluster that was planned while they waited for the answer.
#[tokio::test]
async fn new_masters_that_are_planned_with_their_new_cluster_choose_from_its_zones() {
    let (config, masters) = counted(None, 3);
    let (_, provider) = MemoryCloud::region();
    provider.plan_balancer(&demo(), "api", Some(names(&[A, B])));
    let (masters, cluster) = tokio::join!(
        plan(&provider, None, &config, masters),
        cluster::tests::plan(&provider, cluster::tests::planned(&[A, B]), None)
    );
    assert!(!cluster.diagnostics.has_errors(), "{}", cluster.diagnostics);
    assert!(!masters.diagnostics.has_errors(), "{}", masters.diagnostics);
    assert_eq!(chosen(&masters), Some(in_zones(&[("a", A), ("b", B), ("c", A)])));
}

/// The first masters of a cluster that is there, in the plan that changes its zones.
#[tokio::test]
async fn new_masters_of_a_cluster_whose_zones_change_are_spread_by_the_apply() {
    let (config, planned) = counted(None, 3);
    for stored in [Some(&[A][..]), None] {
        let (cloud, provider) = MemoryCloud::region();
        store(&cloud, stored);
        provider.plan_zones(&demo(), names(&[A, B]));
        provider.plan_balancer(&demo(), "api", Some(names(&[A, B])));
        let first = plan(&provider, None, &config, planned.clone()).await;
        assert!(first.planned.replicas.is_unknown(), "{stored:?}");
        assert!(!first.diagnostics.has_errors(), "{}", first.diagnostics);
        // The second plan of masters that wait for their cluster.
        provider.cluster_is_applied(&demo());
        let second = plan(&provider, None, &config, planned.clone()).await;
        assert_eq!(chosen(&second), Some(in_zones(&[("a", A), ("b", B), ("c", A)])));
    }
    // Of masters that do not, the cluster is told.
    let (cloud, provider) = MemoryCloud::region();
    store(&cloud, Some(&[A]));
    let masters_first = plan(&provider, None, &config, planned).await;
    assert_eq!(chosen(&masters_first), Some(in_zones(&[("a", A), ("b", A), ("c", A)])));
    assert!(provider.counted_were_spread_over_others(&demo(), &names(&[A, B])));
}

#[tokio::test]
async fn both_plans_of_one_apply_choose_alike() {
    let (prior, private) = three();
    let (config, planned) = counted(Some(&prior), 1);
    // A cluster that does not change is planned in the first process, not in the second.
    let (_, first) = MemoryCloud::region();
    first.plan_zones(&demo(), names(&[A, B]));
    let (_, second) = MemoryCloud::region();
    let known = Some((&prior, private.as_slice()));
    let (first, second) = (
        plan(&first, known, &config, planned.clone()).await,
        plan(&second, known, &config, planned).await,
    );
    assert_eq!(chosen(&first), Some(in_zones(&[("a", A)])));
    assert_eq!(chosen(&first), chosen(&second));
}

#[tokio::test]
async fn what_does_not_change_stays_and_a_zone_that_goes_moves_its_masters_only() {
    let (prior, private) = three();
    let (config, planned) = counted(Some(&prior), 3);
    let (_, provider) = MemoryCloud::region();
    let known = Some((&prior, private.as_slice()));
    let planning = plan(&provider, known, &config, planned.clone()).await;
    assert_eq!(
        planning.planned.replicas,
        ControlPlanePlanned::from(prior.clone()).replicas
    );
    provider.plan_zones(&demo(), names(&[A]));
    provider.plan_balancer(&demo(), "api", Some(names(&[A])));
    provider.read_counted(&demo());
    let planning = plan(&provider, known, &config, planned).await;
    assert_eq!(chosen(&planning), Some(in_zones(&[("a", A), ("b", A), ("c", A)])));
}

#[tokio::test]
async fn a_zone_that_is_leaving_gets_no_master() {
    let (prior, private) = three();
    let mut seen = seen::decode(&private).unwrap();
    let left: &mut Zone = seen.world.zones.get_mut(B).unwrap();
    left.leaving = true;
    let (config, planned) = counted(Some(&prior), 3);
    let (_, provider) = MemoryCloud::region();
    let private = seen::encode(&seen);
    let planning = plan(&provider, Some((&prior, &private)), &config, planned).await;
    assert_eq!(chosen(&planning), Some(in_zones(&[("a", A), ("b", A), ("c", A)])));
}

#[tokio::test]
async fn a_number_that_cannot_survive_a_zone_is_refused_where_that_is_asked_for() {
    let (_, provider) = MemoryCloud::region();
    provider.plan_zones(&demo(), names(&[A, B]));
    let (mut config, mut planned) = counted(None, 3);
    config.tolerate_zone_loss = Planned::Known(true);
    planned.tolerate_zone_loss = Planned::Known(true);
    let said = plan(&provider, None, &config, planned).await.diagnostics.to_string();
    assert!(said.contains("(at replica_count)") && said.contains("1 of 3"), "{said}");
}

#[tokio::test]
async fn a_balancer_of_another_cluster_is_refused() {
    let (_, provider) = MemoryCloud::region();
    provider.plan_zones(&demo(), names(&[A, B]));
    provider.plan_balancer(&ClusterName::new("other"), "api", Some(names(&[A, B])));
    let (config, planned) = counted(None, 1);
    let said = plan(&provider, None, &config, planned).await.diagnostics.to_string();
    assert!(
        said.contains("(at load_balancer)") && said.contains("no balancer of this name"),
        "{said}"
    );
}

#[tokio::test]
async fn a_balancer_that_misses_a_masters_zone_is_refused_for_a_master_that_is_to_come() {
    let (_, provider) = MemoryCloud::region();
    provider.plan_zones(&demo(), names(&[A, B]));
    provider.plan_balancer(&demo(), "api", Some(names(&[A])));
    let wanted = ControlPlanePlanned::from(control_plane(&[("a", A), ("b", B)]));
    let said = plan(&provider, None, &wanted, wanted.clone())
        .await
        .diagnostics
        .to_string();
    assert!(
        said.contains("(at replicas[\"b\"].zone)") && said.contains("spans us-central1-a"),
        "{said}"
    );
    // A master that is there is none that this plan makes.
    let (prior, private) = three();
    let wanted = ControlPlanePlanned::from(ControlPlane {
        boot_disk_gb: 40,
        ..prior.clone()
    });
    let planning = plan(&provider, Some((&prior, &private)), &wanted, wanted.clone()).await;
    assert!(!planning.diagnostics.has_errors(), "{}", planning.diagnostics);
}

#[test]
fn masters_are_given_by_their_keys_or_by_their_number() {
    let said = |replicas: &[(&str, &str)], count: Option<i64>| {
        let mut config = ControlPlanePlanned::from(ControlPlane {
            replica_count: count,
            ..control_plane(replicas)
        });
        if replicas.is_empty() {
            config.replicas = Planned::Null;
        }
        validate(&config).to_string()
    };
    assert_eq!(said(&[], Some(3)), "");
    assert_eq!(said(&[("a", A)], None), "");
    assert!(said(&[("a", A)], Some(1)).contains("(at replica_count)"));
    assert!(said(&[], None).contains("(at replicas)"));
    for wrong in [0, -1, 8] {
        assert!(said(&[], Some(wrong)).contains("from 1 to 7"), "{wrong}");
    }
}

/// Masters that name their cluster by a literal: Terraform reads and plans them before the cluster, or after it.
#[tokio::test]
async fn a_change_of_zones_for_which_the_masters_do_not_wait_is_refused_in_either_order() {
    let (prior, private) = three();
    let (config, planned) = counted(Some(&prior), 3);

    let (_, provider) = MemoryCloud::region();
    provider.read_counted(&demo());
    provider.plan_zones(&demo(), names(&[A]));
    let masters_last = plan(&provider, Some((&prior, &private)), &config, planned.clone()).await;
    let said = masters_last.diagnostics.to_string();
    assert!(said.contains("at cluster") && said.contains("do not wait"), "{said}");

    let (_, provider) = MemoryCloud::region();
    provider.read_counted(&demo());
    let masters_first = plan(&provider, Some((&prior, &private)), &config, planned.clone()).await;
    let said = masters_first.diagnostics.to_string();
    assert!(!said.contains("do not wait"), "{said}");
    assert!(provider.counted_were_spread_over_others(&demo(), &names(&[A])));
    assert!(!provider.counted_were_spread_over_others(&demo(), &names(&[A, B])));

    // What refers to the cluster is read after it was planned.
    let (_, provider) = MemoryCloud::region();
    provider.plan_zones(&demo(), names(&[A]));
    provider.read_counted(&demo());
    let waits = plan(&provider, Some((&prior, &private)), &config, planned).await;
    let said = waits.diagnostics.to_string();
    assert!(!said.contains("do not wait"), "{said}");
}

/// `-refresh=false`: nobody sees whether they wait, until the cluster is applied before they are planned again.
#[tokio::test]
async fn a_change_of_zones_is_refused_where_nothing_was_read_before_it() {
    let (prior, private) = three();
    let (config, planned) = counted(Some(&prior), 3);
    let (_, provider) = MemoryCloud::region();
    provider.plan_zones(&demo(), names(&[A]));
    provider.plan_balancer(&demo(), "api", Some(names(&[A])));
    let unread = plan(&provider, Some((&prior, &private)), &config, planned.clone()).await;
    let said = unread.diagnostics.to_string();
    assert!(
        said.contains("(at replica_count)") && said.contains("-refresh=false"),
        "{said}"
    );
    // The second plan of an apply reads nothing either.
    provider.cluster_is_applied(&demo());
    let planning = plan(&provider, Some((&prior, &private)), &config, planned.clone()).await;
    assert_eq!(chosen(&planning), Some(in_zones(&[("a", A), ("b", A), ("c", A)])));
    // Zones that stay may be planned at any time.
    let (_, provider) = MemoryCloud::region();
    provider.plan_zones(&demo(), names(&[A, B]));
    let planning = plan(&provider, Some((&prior, &private)), &config, planned).await;
    assert!(!planning.diagnostics.has_errors(), "{}", planning.diagnostics);
}
