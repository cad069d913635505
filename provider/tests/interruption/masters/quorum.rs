//! What etcd has acknowledged is still there, whatever is done to its members; and what is said when it acknowledges
//! nothing any more.  On real etcd where it is installed.

use std::{fs, time::Duration};

use multizone_cloud::Cloud as _;
use multizone_sandbox::process::Etcd;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::{
    A, B, F,
    api::Api,
    change,
    change::Change,
    masters,
    prober::{Prober, Probes, say},
    region,
};
use crate::{
    CONTROL_PLANE,
    faults::Faults,
    operation, with,
    world::{Snapshot, World},
};

/// How long an apply may take that can do nothing: it looks, and looks again.
const AT_ONCE: Duration = Duration::from_mins(1);

/// How many records are kept before masters are lost.
const LONG_BEFORE: usize = 5;

/// The installed etcd; its stand-in, said loudly, where there is none.
pub(crate) fn installed() -> Etcd {
    let etcd = Etcd::found().expect("MULTIZONE_ETCD names an etcd");
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

/// Where the masters are, as `ZONE/NAME`.
fn machines(world: &World) -> Vec<String> {
    let status = world.region.lock().unwrap().status();
    let list = status["machines"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    list.map(|machine| format!("{}/{}", text(&machine["zone"]), text(&machine["name"])))
        .collect()
}

fn three(name: &'static str) -> Change {
    let config = with(masters(&[A, B, F], true), "machine_type", json!("n1-standard-4"));
    Change {
        name,
        operations: vec![operation(name, CONTROL_PLANE, Some(config))],
    }
}

/// Runs a change under writes, none of which may fail.
async fn without_a_failure(world: &mut World, api: &Api, change: &Change, number: usize) -> Probes {
    world.settled().await;
    let prober = Prober::start(api, &format!("writes-{number}"));
    let faults = Faults::at(None);
    change.watched(world, &faults).await;
    let seen = prober.stop();
    seen.saw_no_failure_on_real_etcd(&format!("{} (real etcd)", change.name), &faults);
    seen.are_still_there(api).await;
    seen
}

/// Waits until no write is accepted any more.
pub(crate) async fn refuses_writes(api: &Api) -> String {
    let mut number = 0;
    loop {
        number += 1;
        if let Err(refused) = api.write(&format!("refused-{number}")).await {
            return refused;
        }
    }
}

#[tokio::test]
async fn two_of_three_masters_that_are_lost_are_not_waited_for() {
    let before = region(&[A, B, F], true, Etcd::StandIn).await;
    let again = change("apply", &[A, B, F], true);
    let other = with(masters(&[A, B, F], true), "machine_type", json!("n1-standard-4"));
    two_of_three_are_lost(&before, &again, other).await;
}

#[tokio::test]
async fn every_acknowledged_write_survives_whatever_is_done_to_the_members() {
    let mut world = region(&[A], true, installed()).await.thaw();
    world.settled().await;
    let api = world.api().await.patient();
    api.accepts_writes("before").await;
    let grow = change("grow from one master to three", &[A, B, F], true);
    let mut all = vec![without_a_failure(&mut world, &api, &grow, 1).await];
    let replace = three("replace each of three masters");
    all.push(without_a_failure(&mut world, &api, &replace, 2).await);

    // One is killed: the others go on, and an apply brings it back.
    let prober = Prober::start(&api, "writes-3");
    let victim = machines(&world)[1].clone();
    world.region.lock().unwrap().operate("halt", &victim);
    api.accepts_writes("one-is-dead").await;
    let start = three("start a master that was killed");
    start.watched(&mut world, &Faults::at(None)).await;
    let seen = prober.stop();
    seen.say("one of three masters killed and started again (real etcd)");
    seen.are_still_there(&api).await;
    all.push(seen);

    two_of_three_are_halted(&mut world, &api).await;
    let grown = world.freeze();
    let other = masters(&[A, B, F], true);
    two_of_three_are_lost(&grown, &three("apply"), other).await;

    let mut world = grown.thaw();
    world.settled().await;
    let shrink = Change {
        name: "shrink from three masters to one",
        operations: vec![operation(
            "shrink",
            CONTROL_PLANE,
            Some(with(masters(&[A], true), "machine_type", json!("n1-standard-4"))),
        )],
    };
    api.accepts_writes("before-shrinking").await;
    all.push(without_a_failure(&mut world, &api, &shrink, 4).await);
    let mut acknowledged = 0;
    for seen in &all {
        acknowledged += seen.are_still_there(&api).await;
    }
    say(&format!(
        "etcd: acknowledged writes: {acknowledged}, all of them are still there"
    ));
}

/// Writes are refused, the plan says that the masters are started, and the apply starts them.
async fn two_of_three_are_halted(world: &mut World, api: &Api) {
    for victim in &machines(world)[1..] {
        world.region.lock().unwrap().operate("halt", victim);
    }
    let refused = refuses_writes(api).await;
    println!("with two of three masters halted a write is refused: {refused}");
    let again = three("start two masters that were killed");
    let steps = world.planned(&again.operations[0]).await;
    let starts = steps.iter().filter(|step| step.starts_with("start master"));
    assert_eq!(starts.count(), 2, "{steps:#?}");
    let faults = Faults::at(None);
    let done = world.run_all(&again.operations, &faults).await;
    assert!(matches!(done, Some(Ok(()))), "{done:?}");
    api.accepts_writes("two-were-dead").await;
    let found = world.try_to_converge_all(&again.operations).await;
    found.unwrap_or_else(|trouble| panic!("{trouble}"));
}

/// Nothing is changed, plan and error say what is safe and what to do, and that works.
async fn two_of_three_are_lost(before: &Snapshot, again: &Change, other: Value) {
    let mut world = before.thaw();
    world.settled().await;
    let api = world.api().await;
    for number in 0..LONG_BEFORE {
        api.accepts_writes(&format!("long-before-{number}")).await;
    }
    // The last writes may be on the masters that are lost only; these are no last ones.
    for number in 0..LONG_BEFORE {
        api.accepts_writes(&format!("just-before-{number}")).await;
    }
    let all = machines(&world);
    for victim in &all[1..] {
        let (zone, name) = victim.split_once('/').unwrap();
        world
            .cloud
            .delete_machine(&multizone_cloud::ClusterName::new("demo"), zone, name)
            .await
            .unwrap();
    }
    let refused = refuses_writes(&api).await;
    println!("with two of three masters lost a write is refused: {refused}");
    let left = machines(&world);
    let (survivor, lost): (Vec<_>, Vec<_>) = (vec![left[0].clone()], all[1..].to_vec());
    let says_all = |text: &str| {
        println!("{text}");
        let names = survivor.iter().chain(&lost).map(|path| path.split_once('/').unwrap().1);
        let parts = [
            "quorum of etcd is lost",
            "2 are needed",
            "refused",
            "snapshot",
            "--force-new-cluster",
            "Recovery",
        ];
        for part in names.chain(parts) {
            assert!(text.contains(part), "it does not say {part:?}: {text}");
        }
    };
    says_all(&world.foreseen(&again.operations[0]).await.to_string());
    // Nobody waits for the update's timeout, an hour.
    let change = operation("change the masters", CONTROL_PLANE, Some(other));
    let refused = timeout(AT_ONCE, world.run(&change, &Faults::at(None))).await;
    let Ok(Some(Err(refused))) = refused else {
        panic!("nothing can be changed, and that is said at once: {refused:?}");
    };
    says_all(&refused.to_string());
    assert_eq!(machines(&world), left, "nothing was changed");
    go_on_with_the_survivor(&mut world, &api, again).await;
    let there = api.records().await.unwrap();
    for number in 0..LONG_BEFORE {
        let record = format!("long-before-{number}");
        assert!(there.contains(&record), "{record} is lost");
    }
}

/// What the guide "Recovery" says of a master that is left, and the apply after it.
async fn go_on_with_the_survivor(world: &mut World, api: &Api, again: &Change) {
    let manifest = world.file_of_a_machine("etc/kubernetes/manifests/etcd.yaml");
    let text = fs::read_to_string(&manifest).unwrap();
    fs::remove_file(&manifest).unwrap();
    world.until_etcd_has_ended().await;
    let forced = text.replacen("    - etcd\n", "    - etcd\n    - --force-new-cluster=true\n", 1);
    assert_ne!(forced, text, "the guide's command finds its place in {text}");
    fs::write(&manifest, forced).unwrap();
    api.accepts_writes("with-one-member").await;
    fs::write(&manifest, text).unwrap();
    let steps = world.planned(&again.operations[0]).await;
    let joins = steps.iter().filter(|step| step.contains("wait until it has joined"));
    assert_eq!(joins.count(), 2, "{steps:#?}");
    let found = world.try_to_converge_all(&again.operations).await;
    found.unwrap_or_else(|trouble| panic!("{trouble}"));
    assert_eq!(machines(world).len(), 3);
    api.accepts_writes("with-three-members").await;
    assert!(api.records().await.unwrap().contains(&"with-one-member".to_owned()));
}
