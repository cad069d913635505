//! A balancer's life on a region in memory, with every call lost once.

use multizone_cloud::{AddressHolder, AddressSpec, Cloud as _, Machine, SecretSpec, TargetHealth};
use multizone_kubernetes::pki::ClusterPki;

use super::*;
use crate::resources::{
    cluster::ClusterSettings,
    identity::SecretNames,
    memory_cloud::{Fault, MemoryCloud},
    world::tests::{Answers, master},
};

const A: &str = "us-central1-a";
const B: &str = "us-central1-b";

fn demo() -> ClusterName {
    ClusterName::new("demo")
}

/// A region with what a cluster has before its first master.
async fn region() -> (Arc<MemoryCloud>, Configured) {
    let (cloud, provider) = MemoryCloud::region();
    let pki = ClusterPki::generate(provider.now()).unwrap();
    let settings = ClusterSettings::new(
        "10.244.0.0/16".into(),
        "10.96.0.0/12".into(),
        pki.ca.certificate_pem.clone(),
    );
    let names = SecretNames::of("us-central1", &demo());
    for (name, content) in [(names.settings, settings.to_json()), (names.keys, pki.to_secret())] {
        let content = content.as_slice().to_vec();
        let spec = SecretSpec {
            cluster: demo(),
            name,
            content,
            labels: Labels::new(),
        };
        cloud.ensure_secret(&spec).await.unwrap();
    }
    let spec = AddressSpec {
        cluster: demo(),
        name: API_ADDRESS.into(),
        labels: Labels::new(),
    };
    cloud.ensure_address(&spec).await.unwrap();
    (cloud, provider)
}

fn planned(zones: &[&str]) -> ApiLoadBalancerPlanned {
    ApiLoadBalancerPlanned {
        cluster: "demo".into(),
        zones: Planned::Known(zones.iter().map(|zone| Planned::Known((*zone).to_owned())).collect()),
        name: "api".into(),
        labels: Planned::Null,
        timeouts: Planned::Null,
        id: Planned::Unknown,
        region: Planned::Unknown,
        address: Planned::Unknown,
        drift: Planned::Unknown,
    }
}

async fn create(provider: &Configured) -> Result<ApiLoadBalancer, Diagnostics> {
    Ok(ApiLoadBalancerResource
        .create(provider, planned(&[A, B]), &Stop::new())
        .await?
        .state)
}

/// What a new process sees, and keeps.
async fn read(provider: &Configured, state: ApiLoadBalancer) -> Option<(ApiLoadBalancer, Vec<u8>)> {
    provider.forget(&demo()).await;
    ApiLoadBalancerResource
        .read(provider, state, Vec::new(), &Stop::new())
        .await
        .unwrap()
}

fn holder(cloud: &MemoryCloud) -> Option<AddressHolder> {
    cloud.all().address(API_ADDRESS).unwrap().holder.clone()
}

fn the_balancer() -> AddressHolder {
    AddressHolder::Balancer { name: "api".into() }
}

fn on(replica: &str) -> AddressHolder {
    let Machine { zone, name, .. } = master(if replica == "a" { A } else { B }, replica);
    AddressHolder::Machine { zone, name }
}

#[tokio::test]
async fn a_balancer_before_the_first_master_takes_the_address() {
    let (cloud, provider) = region().await;
    let state = create(&provider).await.unwrap();
    assert_eq!(
        (state.id.as_str(), state.address.as_str()),
        ("us-central1/demo/api", "203.0.113.10")
    );
    let made = cloud.all().balancer("api").cloned().unwrap();
    assert_eq!(made.zones, [A, B].map(str::to_owned).into());
    assert_eq!(holder(&cloud), Some(the_balancer()));
    assert!(made.creating(), "no state is known to have it");
    let (read, _) = read(&provider, state.clone()).await.unwrap();
    assert_eq!(read, state);
    assert!(!cloud.all().balancer("api").unwrap().creating());
    let refused = create(&provider).await.unwrap_err().to_string();
    assert!(
        refused.contains("terraform import multizone_api_load_balancer.NAME us-central1/demo/api"),
        "{refused}"
    );
}

#[tokio::test]
async fn a_create_that_lost_any_call_is_finished_by_the_next_one() {
    for fault in [Fault::Before, Fault::After] {
        for call in 0.. {
            let (cloud, provider) = region().await;
            cloud.fail(call, fault);
            let first = create(&provider).await;
            let state = match first {
                Ok(state) => state,
                Err(_) => create(&provider).await.unwrap(),
            };
            let (again, _) = read(&provider, state.clone()).await.unwrap();
            assert_eq!(again, state, "{fault:?} {call}");
            assert_eq!(holder(&cloud), Some(the_balancer()));
            if cloud.changes() < call {
                break;
            }
        }
    }
}

#[tokio::test]
async fn what_another_configuration_has_finished_is_not_adopted() {
    let (_, provider) = region().await;
    create(&provider).await.unwrap();
    let other = ApiLoadBalancerResource
        .create(&provider, planned(&[A]), &Stop::new())
        .await;
    assert!(other.unwrap_err().to_string().contains("exists already"));
    assert!(
        create(&provider).await.is_ok(),
        "the same one's state may have been lost"
    );
}

#[tokio::test]
async fn drift_is_shown_and_repaired() {
    let (cloud, provider) = region().await;
    let state = create(&provider).await.unwrap();
    let (state, _) = read(&provider, state).await.unwrap();
    cloud.tamper(|inventory| {
        let balancer = inventory.balancers.first_mut().unwrap();
        balancer.unexpected = Some("its session affinity is CLIENT_IP, not NONE".into());
        balancer.zones.remove(B);
    });
    let (drifted, private) = read(&provider, state.clone()).await.unwrap();
    assert_eq!(drifted.zones.len(), 1);
    assert!(drifted.drift[0].contains("CLIENT_IP"), "{:?}", drifted.drift);
    let wanted = ApiLoadBalancerPlanned::from(state.clone());
    let updated = ApiLoadBalancerResource
        .update(&provider, drifted, wanted, private, &Stop::new())
        .await
        .unwrap();
    assert_eq!(updated.state, state);
    assert_eq!(read(&provider, updated.state).await.unwrap().0, state);
    cloud.tamper(|inventory| inventory.balancers.clear());
    assert!(read(&provider, state).await.is_none());
}

#[tokio::test]
async fn an_import_finds_all_of_it() {
    let (_, provider) = region().await;
    let state = create(&provider).await.unwrap();
    let (state, _) = read(&provider, state).await.unwrap();
    let imported = ApiLoadBalancerResource
        .import(&provider, "us-central1/demo/api")
        .await
        .unwrap();
    assert_eq!(imported, state);
    for (id, why) in [
        ("demo", "no ID"),
        ("europe-west1/demo/api", "not on europe-west1"),
        ("us-central1/demo/b", "no balancer b"),
    ] {
        let refused = ApiLoadBalancerResource
            .import(&provider, id)
            .await
            .unwrap_err()
            .to_string();
        assert!(refused.contains(why), "{refused}");
    }
}

#[tokio::test]
async fn zones_of_another_region_are_refused_at_plan() {
    let (_, provider) = MemoryCloud::region();
    let config = planned(&[A, "europe-west1-b"]);
    let request = PlanRequest {
        config: &config,
        prior: None,
        planned: config.clone(),
        prior_private: &[],
    };
    let said = ApiLoadBalancerResource
        .plan(&provider, request)
        .await
        .diagnostics
        .to_string();
    assert!(
        said.contains("europe-west1-b") && said.contains("us-central1-a"),
        "{said}"
    );
}

/// Masters a and b behind a balancer that holds the address, in Terraform's state.
async fn running() -> (Arc<MemoryCloud>, Configured, ApiLoadBalancer, Vec<u8>) {
    let (cloud, provider) = region().await;
    let state = create(&provider).await.unwrap();
    cloud.tamper(|inventory| inventory.machines.extend([master(A, "a"), master(B, "b")]));
    for (zone, replica) in [(A, "a"), (B, "b")] {
        cloud
            .register_target(&demo(), "api", zone, &format!("demo-master-{replica}"))
            .await
            .unwrap();
    }
    let (state, private) = read(&provider, state).await.unwrap();
    (cloud, provider, state, private)
}

async fn run(provider: &Configured, operation: Operation, asks: Answers) -> Result<(), Diagnostics> {
    let (cluster, stop) = (demo(), Stop::new());
    let executor = Executor {
        provider,
        cluster: &cluster,
        operation,
        finally: None,
        labels: Labels::new(),
        spanned: None,
        asks: Arc::new(asks),
        patience: Duration::ZERO,
        deadline: tokio::time::Instant::now() + Duration::from_mins(1),
        stop: &stop,
        situation: Situation {
            doing: "delete balancer api of cluster demo",
            left: STILL_THERE,
        },
    };
    executor.run().await.map(drop)
}

async fn remove(provider: &Configured, state: &ApiLoadBalancer, asks: Answers) -> Result<(), Diagnostics> {
    run(provider, Operation::RemoveBalancer(intent(state)), asks).await
}

#[tokio::test]
async fn a_balancer_that_is_destroyed_hands_the_address_back_and_says_so_in_the_plan() {
    let (cloud, provider, state, private) = running().await;
    let warned = ApiLoadBalancerResource
        .plan_destroy(&provider, &state, &private)
        .await
        .to_string();
    assert!(
        warned.contains("hand over 203.0.113.10 from balancer api to master demo-master-a"),
        "{warned}"
    );
    remove(&provider, &state, Answers::new(&[], &[true])).await.unwrap();
    assert_eq!(holder(&cloud), Some(on("a")));
    assert!(cloud.all().balancers.is_empty());
}

#[tokio::test]
async fn a_removal_that_lost_any_call_is_finished_by_the_next_one() {
    for fault in [Fault::Before, Fault::After] {
        for call in 0.. {
            let (cloud, provider, state, _) = running().await;
            let before = cloud.changes();
            cloud.fail(call, fault);
            let first = remove(
                &provider,
                &state,
                Answers::new(&["demo-master-a", "demo-master-b"], &[true]),
            )
            .await;
            if first.is_err() {
                remove(
                    &provider,
                    &state,
                    Answers::new(&["demo-master-a", "demo-master-b"], &[true]),
                )
                .await
                .unwrap();
            }
            assert!(
                matches!(holder(&cloud), Some(AddressHolder::Machine { .. })),
                "{fault:?} {call}"
            );
            assert!(cloud.all().balancers.is_empty(), "{fault:?} {call}");
            if cloud.changes() < before + call {
                break;
            }
        }
    }
}

#[tokio::test]
async fn a_master_that_does_not_answer_at_the_address_loses_it_again() {
    let (cloud, provider, state, _) = running().await;
    // It answers on the balancer; not on a; back on the balancer; on b.
    remove(&provider, &state, Answers::new(&[], &[true, false, true, true]))
        .await
        .unwrap();
    assert_eq!(holder(&cloud), Some(on("b")));
    assert!(cloud.all().balancers.is_empty());
}

#[tokio::test]
async fn when_no_master_answers_the_balancer_keeps_the_address() {
    let (cloud, provider, state, _) = running().await;
    cloud.tamper(|inventory| inventory.machines.retain(|machine| machine.zone == A));
    let error = remove(&provider, &state, Answers::new(&[], &[true, false, true]))
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("did not answer at its address on master demo-master-a"),
        "{error}"
    );
    assert!(
        error.contains("stays in Terraform's state") && error.contains("firewall"),
        "{error}"
    );
    assert_eq!(holder(&cloud), Some(the_balancer()));
}

#[tokio::test]
async fn the_last_to_go_releases_the_address() {
    let (cloud, provider, state, _) = running().await;
    cloud.tamper(|inventory| {
        inventory.machines.clear();
        inventory.balancers.first_mut().unwrap().targets.clear();
    });
    let deleted = ApiLoadBalancerResource
        .delete(&provider, state.clone(), Vec::new(), &Stop::new())
        .await;
    assert!(deleted.unwrap().is_empty());
    assert_eq!(holder(&cloud), None);
    assert!(cloud.all().balancers.is_empty());
    let again = ApiLoadBalancerResource
        .delete(&provider, state, Vec::new(), &Stop::new())
        .await;
    assert!(again.is_ok(), "gone is gone");
}

#[tokio::test]
async fn a_zone_is_left_while_others_serve_and_kept_while_they_do_not() {
    let (cloud, provider, state, _) = running().await;
    let only_a = Operation::Balancer(BalancerIntent {
        zones: [A.to_owned()].into(),
        ..intent(&state)
    });
    run(&provider, only_a.clone(), Answers::new(&[], &[true]))
        .await
        .unwrap();
    let left = cloud.all().balancer("api").cloned().unwrap();
    assert_eq!((left.zones.len(), left.targets.len()), (1, 1));

    let (cloud, provider, _, _) = running().await;
    cloud.tamper(|inventory| inventory.balancers.first_mut().unwrap().targets[0].health = TargetHealth::Unhealthy);
    let kept = run(&provider, only_a, Answers::new(&[], &[true]))
        .await
        .unwrap_err()
        .to_string();
    assert!(
        kept.contains("stays in us-central1-b") && kept.contains("Keep the zone"),
        "{kept}"
    );
    assert_eq!(cloud.all().balancer("api").unwrap().targets.len(), 2);
}
