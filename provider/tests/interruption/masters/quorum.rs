//! What etcd has acknowledged is still there when its members are replaced under continuous writes, and no request fails
//! behind a balancer that was there from the start.  On real etcd where it is installed.

use multizone_sandbox::process::Etcd;
use serde_json::json;

use super::{
    A, B, F,
    api::Api,
    change,
    change::Change,
    masters,
    prober::{Prober, say},
    region,
};
use crate::{CONTROL_PLANE, faults::Faults, operation, with, world::World};

/// The installed etcd; its stand-in, said loudly, where there is none.
fn installed() -> Etcd {
    let etcd = Etcd::found();
    match &etcd {
        Etcd::StandIn => println!("SKIPPED: real etcd: it is not installed, so its stand-in keeps the writes"),
        Etcd::Process(program) => {
            let version = std::process::Command::new(program).arg("--version").output().unwrap();
            let version = String::from_utf8_lossy(&version.stdout).into_owned();
            println!("on {}", version.lines().next().unwrap_or_default());
        }
    }
    etcd
}

fn three(name: &'static str) -> Change {
    let config = with(masters(&[A, B, F], true), "machine_type", json!("n1-standard-4"));
    Change {
        name,
        operations: vec![operation(name, CONTROL_PLANE, Some(config))],
    }
}

/// Runs a change under writes, none of which may fail.
async fn without_a_failure(world: &mut World, api: &Api, change: &Change, number: usize) -> usize {
    world.settled().await;
    let prober = Prober::start(api, &format!("writes-{number}"));
    let faults = Faults::at(None);
    change.watched(world, &faults).await;
    let seen = prober.stop();
    seen.saw_no_failure(&format!("{} (real etcd)", change.name), &faults);
    seen.are_still_there(api).await
}

#[tokio::test]
async fn every_acknowledged_write_survives_growth_and_the_replacement_of_each_member() {
    let mut world = region(&[A], true, installed()).await.thaw();
    world.settled().await;
    let api = world.api().await;
    api.accepts_writes("before").await;
    let grow = change("grow from one master to three", &[A, B, F], true);
    let mut acknowledged = without_a_failure(&mut world, &api, &grow, 1).await;
    let replace = three("replace each of three masters");
    acknowledged += without_a_failure(&mut world, &api, &replace, 2).await;

    say(&format!(
        "etcd: acknowledged writes: {acknowledged}, all of them are still there"
    ));
}
