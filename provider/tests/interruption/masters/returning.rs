//! A master that was leaving stays after all: its API server, stopped already, is started again.

use multizone_sandbox::process::Etcd;
use serde_json::{Value, json};

use super::{A, B, F, change::Change, masters, region_of};
use crate::{
    CONTROL_PLANE,
    faults::{Faults, Moment, Point, STEP},
    operation, with,
};

/// Masters whose kubelets talk to the API's endpoint: those of 1.33 and later talk to their own API server alone, so that
/// nobody can tell them to start it again before the hold's own time is over.
fn of_1_32(zones: &[(&str, &str)]) -> Value {
    with(masters(zones, true), "kubernetes_version", json!("1.32.9"))
}

fn to(name: &'static str, zones: &[(&str, &str)]) -> Change {
    Change {
        name,
        operations: vec![operation(name, CONTROL_PLANE, Some(of_1_32(zones)))],
    }
}

#[tokio::test]
async fn a_stopped_api_server_is_started_again_on_a_master_that_stays() {
    let mut world = region_of(&of_1_32(&[A, B, F]), Etcd::StandIn).await.thaw();
    world.settled().await;
    let api = world.api().await;
    let shrink = to("three masters are to be one", &[A]);
    let steps = world.planned(&shrink.operations[0]).await;
    let stop = steps
        .iter()
        .position(|step| step.starts_with("stop the API server of master "));
    let stop = stop.unwrap();
    let master = steps[stop]
        .strip_prefix("stop the API server of master ")
        .and_then(|step| step.split(' ').next())
        .unwrap()
        .to_owned();

    // The provider dies when the API server has ended and the member is still there.
    let removed = Point {
        call: (format!("{STEP} {}", steps[stop + 1]), 1),
        moment: Moment::KilledBefore,
    };
    let faults = Faults::at(Some(removed));
    let killed = world.run_all(&shrink.operations, &faults).await;
    assert!(killed.is_none() && faults.hit(), "{killed:?}: {:#?}", faults.executed());
    assert_eq!(faults.executed()[stop], steps[stop]);

    // All three are to stay.
    let stay = to("three masters are to stay", &[A, B, F]);
    let faults = Faults::at(None);
    stay.watched(&mut world, &faults).await;
    let executed = faults.executed();
    let starts = format!("start the API server of master {master} again");
    assert!(executed.iter().any(|step| step.starts_with(&starts)), "{executed:#?}");
    let takes_pods = format!("let master {master} take pods again");
    assert!(
        executed.iter().any(|step| step.starts_with(&takes_pods)),
        "{executed:#?}"
    );
    assert!(
        !executed.iter().any(|step| step.starts_with("create ")),
        "nothing is made anew: {executed:#?}"
    );
    world.settled().await;
    api.accepts_writes("all-three-serve").await;
}
