//! Control planes of several masters: growing, replacing, shrinking and handing the address over, disturbed in every way
//! that a cloud and its users know.

mod api;
mod change;
mod handover;
mod outage;
mod prober;
mod quorum;
mod relay;
mod restore;
mod returning;
mod rollback;
mod teardown;
mod upgrade;

use multizone_sandbox::process::Etcd;
use serde_json::{Value, json};

use crate::{
    CLUSTER, CONTROL_PLANE, ZONES, cluster, control_plane,
    faults::Faults,
    operation,
    replacement::tainted,
    with,
    world::{Operation, Snapshot},
};
use change::Change;
use handover::measured;
use outage::Meanwhile;
use prober::Prober;
use relay::{KILLED_BEFORE, interrupt_one_after_the_other, kill_one_after_the_other};

const BALANCER: &str = "multizone_api_load_balancer";
const A: (&str, &str) = ("a", "us-central1-a");
const B: (&str, &str) = ("b", "us-central1-b");
const C: (&str, &str) = ("c", "us-central1-c");
const F: (&str, &str) = ("f", "us-central1-f");

fn balancer() -> Value {
    json!({ "cluster": "demo", "zones": ["us-central1-a", "us-central1-b", "us-central1-c", "us-central1-f"] })
}

/// Masters in these zones.
fn masters(zones: &[(&str, &str)], balancer: bool) -> Value {
    let mut config = control_plane();
    let replicas: serde_json::Map<String, Value> = zones
        .iter()
        .map(|(key, zone)| ((*key).to_owned(), json!({ "zone": zone })))
        .collect();
    config["replicas"] = replicas.into();
    if balancer {
        config["load_balancer"] = json!("api");
    }
    config
}

/// The masters change, nothing else does.
fn change(name: &'static str, zones: &[(&str, &str)], balancer: bool) -> Change {
    Change {
        name,
        operations: vec![of_masters(name, zones, balancer)],
    }
}

fn of_masters(name: &'static str, zones: &[(&str, &str)], balancer: bool) -> Operation {
    operation(name, CONTROL_PLANE, Some(masters(zones, balancer)))
}

fn of_the_balancer(name: &'static str, there: bool) -> Operation {
    operation(name, BALANCER, there.then(balancer))
}

/// Masters in these zones, behind a balancer from the start or without one, on this etcd.
async fn region(zones: &[(&str, &str)], with_balancer: bool, etcd: Etcd) -> Snapshot {
    region_of(&masters(zones, with_balancer), etcd).await
}

/// The same, of masters that are configured so.
async fn region_of(masters: &Value, etcd: Etcd) -> Snapshot {
    let empty = Snapshot::of_an_empty_region_on(Some(etcd)).await;
    let mut snapshot = empty.with(CLUSTER, &cluster(&ZONES)).await;
    if !masters["load_balancer"].is_null() {
        snapshot = snapshot.with(BALANCER, &balancer()).await;
    }
    snapshot.with(CONTROL_PLANE, masters).await
}

#[tokio::test]
async fn growing() {
    let before = region(&[A], true, Etcd::StandIn).await;
    let grow = change("grow from one master to three", &[A, B, F], true);
    assert!(interrupt_one_after_the_other(&before, &grow).await > 25);
}

#[tokio::test]
async fn growing_with_a_balancer_that_is_new() {
    let before = region(&[A], false, Etcd::StandIn).await;
    let name = "grow from one master to three and put a balancer before them";
    let grow = Change {
        name,
        operations: vec![of_the_balancer(name, true), of_masters(name, &[A, B, F], true)],
    };
    assert!(kill_one_after_the_other(&before, &grow).await > 20);
}

#[tokio::test]
async fn replacing() {
    let before = region(&[A, B, F], true, Etcd::StandIn).await;
    let replace = change("replace one of three masters", &[A, B, C], true);
    assert!(interrupt_one_after_the_other(&before, &replace).await > 40);
}

#[tokio::test]
async fn replacing_the_only_master_behind_a_balancer_fails_no_request() {
    let mut world = region(&[A], true, Etcd::StandIn).await.thaw();
    world.settled().await;
    let api = world.api().await;
    api.accepts_writes("before").await;
    let bigger = with(masters(&[A], true), "machine_type", json!("n1-standard-4"));
    let name = "replace the only master behind a balancer";
    let replace = Change {
        name,
        operations: vec![operation(name, CONTROL_PLANE, Some(bigger))],
    };
    let prober = Prober::start(&api, "writes");
    let faults = Faults::at(None);
    replace.watched(&mut world, &faults).await;
    let seen = prober.stop();
    seen.saw_no_failure(name, &faults);
    seen.are_still_there(&api).await;
    // The new one gets requests before the old one gets none, and the old one serves until then.
    let steps = faults.executed();
    let at = |begins: &str| steps.iter().position(|step| step.starts_with(begins)).unwrap();
    assert!(at("put master a-2 behind") < at("take master a off"), "{steps:#?}");
    assert!(
        at("take master a off") < at("stop the API server of master a"),
        "{steps:#?}"
    );
}

#[tokio::test]
async fn shrinking() {
    let before = region(&[A, B, F], true, Etcd::StandIn).await;
    let shrink = change("shrink from three masters to one", &[A], true);
    assert!(interrupt_one_after_the_other(&before, &shrink).await > 40);
}

#[tokio::test]
async fn shrinking_with_the_balancer_destroyed_before() {
    let before = region(&[A, B, F], true, Etcd::StandIn).await;
    let name = "shrink from three masters to one, the balancer destroyed before";
    let shrink = Change {
        name,
        operations: vec![of_the_balancer(name, false), of_masters(name, &[A], false)],
    };
    assert!(kill_one_after_the_other(&before, &shrink).await > 20);
}

#[tokio::test]
async fn shrinking_with_the_balancer_destroyed_after() {
    let before = region(&[A, B, F], true, Etcd::StandIn).await;
    let name = "shrink from three masters to one, the balancer destroyed after (create_before_destroy)";
    let shrink = Change {
        name,
        operations: vec![of_masters(name, &[A], false), of_the_balancer(name, false)],
    };
    assert!(kill_one_after_the_other(&before, &shrink).await > 20);
}

/// Every master goes before the first one is made again: there is no quorum to keep, and nothing but the balancer and the
/// cluster's keys outlives them.  Killed after a call is killed before the next one.
#[tokio::test]
async fn replacing_all_of_them_by_taint() {
    let before = region(&[A, B, F], true, Etcd::StandIn).await;
    let name = "replace a tainted control plane of three masters behind a balancer";
    let (covered, ..) = tainted(&before, &of_masters(name, &[A, B, F], true), &[KILLED_BEFORE]).await;
    assert!(covered > 40, "{covered}");
}

#[tokio::test]
async fn outages_while_growing() {
    let before = region(&[A], true, Etcd::StandIn).await;
    let grow = change("grow from one master to three", &[A, B, F], true);
    let zones = [
        (A.1, Meanwhile::Nothing),
        (B.1, Meanwhile::ApplyAgain),
        (F.1, Meanwhile::Nothing),
    ];
    let outages = outage::at_every_step(&before, &grow, &zones).await;
    assert!(outages.iter().all(|count| *count > 6), "{outages:?}");
}

#[tokio::test]
async fn outages_while_shrinking() {
    let before = region(&[A, B, F], true, Etcd::StandIn).await;
    let shrink = change("shrink from three masters to one", &[A], true);
    let zones = [
        (A.1, Meanwhile::Nothing),
        (B.1, Meanwhile::ApplyAgain),
        (F.1, Meanwhile::Nothing),
    ];
    let outages = outage::at_every_step(&before, &shrink, &zones).await;
    assert!(outages[0] > 20 && outages.iter().all(|count| *count > 8), "{outages:?}");
}

#[tokio::test]
async fn outages_while_replacing() {
    let before = region(&[A, B, F], true, Etcd::StandIn).await;
    let replace = change("replace one of three masters", &[A, B, C], true);
    let zones = [
        (A.1, Meanwhile::Nothing),
        (F.1, Meanwhile::ApplyAgain),
        (C.1, Meanwhile::Nothing),
        (B.1, Meanwhile::ApplyAgain),
    ];
    let outages = outage::at_one_place_in(4, &before, &replace, &zones).await;
    assert!(outages.iter().all(|count| *count > 3), "{outages:?}");
}

/// kubeadm gives its join up while the first master's zone is out, and nobody is there to note it.
#[tokio::test]
async fn a_join_that_fails_unseen_is_not_waited_for() {
    let mut world = region(&[A], true, Etcd::StandIn).await.thaw();
    world.settled().await;
    let api = world.api().await;
    let grow = change("grow from one master to three", &[A, B, F], true);
    outage::killed_in_it(&mut world, &grow, A.1, B.0).await;
    api.accepts_writes("after").await;
}

#[tokio::test]
async fn outages_during_a_handover_to_the_balancer() {
    let before = region(&[A], false, Etcd::StandIn).await;
    let name = "from a single master onto a balancer";
    let onto = Change {
        name,
        operations: vec![of_the_balancer(name, true), of_masters(name, &[A], true)],
    };
    let zones = [(A.1, Meanwhile::ApplyAgain), (B.1, Meanwhile::Nothing)];
    let outages = outage::at_every_step(&before, &onto, &zones).await;
    assert!(outages[0] > 7 && outages[1] > 2, "{outages:?}");
}

#[tokio::test]
async fn outages_during_a_handover_from_the_balancer() {
    let before = region(&[A], true, Etcd::StandIn).await;
    let name = "from a balancer that is destroyed back to a single master";
    let destroyed = Change {
        name,
        operations: vec![of_the_balancer(name, false), of_masters(name, &[A], false)],
    };
    let zones = [(A.1, Meanwhile::ApplyAgain), (B.1, Meanwhile::Nothing)];
    let outages = outage::at_every_step(&before, &destroyed, &zones).await;
    assert!(outages.iter().all(|count| *count > 3), "{outages:?}");

    let name = "from a balancer that is not used any more back to a single master";
    let left = Change {
        name,
        operations: vec![of_masters(name, &[A], false), of_the_balancer(name, false)],
    };
    let outages = outage::at_every_step(&before, &left, &zones).await;
    assert!(outages.iter().all(|count| *count > 3), "{outages:?}");
}

#[tokio::test]
async fn handovers() {
    let single = region(&[A], false, Etcd::StandIn).await;
    let name = "from a single master onto a balancer";
    let onto = Change {
        name,
        operations: vec![of_the_balancer(name, true), of_masters(name, &[A], true)],
    };
    let balanced = measured(&single, &onto, "instances/", "forwardingRules/")
        .await
        .freeze();

    let name = "from a balancer that is destroyed back to a single master";
    let back = Change {
        name,
        operations: vec![of_the_balancer(name, false), of_masters(name, &[A], false)],
    };
    measured(&balanced, &back, "forwardingRules/", "instances/").await;

    let name = "from a balancer that is not used any more back to a single master";
    let back = Change {
        name,
        operations: vec![of_masters(name, &[A], false), of_the_balancer(name, false)],
    };
    measured(&balanced, &back, "forwardingRules/", "instances/").await;

    let replace = change("from a single master to the one that replaces it", &[B], false);
    measured(&single, &replace, "instances/demo-master-a", "instances/demo-master-b").await;
}
