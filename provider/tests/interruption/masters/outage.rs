//! A zone's outage at every step: the apply stops soon and says which zone, what is safe and what to do, and so does the
//! next one while the zone is out; once the zone is back an apply finishes.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use multizone_schema::Diagnostics;
use tokio::time::timeout;

use super::{change::Change, prober::say};
use crate::{
    faults::{Faults, Moment, Point},
    world::{Snapshot, World},
};

/// More outages than any change has calls.
const ENOUGH: usize = 200;
/// How long an apply may take with a zone that is out; the provider's own timeout is an hour.
const PATIENCE: Duration = Duration::from_mins(2);

/// What is done while a zone is out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meanwhile {
    /// Nothing.
    Nothing,
    /// Somebody applies again.
    ApplyAgain,
}

/// Lets each of these zones go dark at every step of a change and at every call in it that changes something, one apply
/// after the other; returns how many outages of each that were.
pub(crate) async fn at_every_step(
    before: &Snapshot,
    change: &Change,
    zones: &[(&'static str, Meanwhile)],
) -> Vec<usize> {
    at_one_place_in(1, before, change, zones).await
}

/// The same at one in so many of these places, for each zone beginning with another of them.
pub(crate) async fn at_one_place_in(
    one_in: usize,
    before: &Snapshot,
    change: &Change,
    zones: &[(&'static str, Meanwhile)],
) -> Vec<usize> {
    let mut world = before.thaw();
    let expected = change.undisturbed(&mut world).await;
    drop(world);
    let mut outages = Vec::new();
    for (number, (zone, meanwhile)) in zones.iter().enumerate() {
        let sample = (one_in, number % one_in);
        outages.push(of_a_zone(before, change, &expected, zone, *meanwhile, sample).await);
    }
    outages
}

async fn of_a_zone(
    before: &Snapshot,
    change: &Change,
    expected: &str,
    zone: &'static str,
    meanwhile: Meanwhile,
    (one_in, first): (usize, usize),
) -> usize {
    let (name, began) = (change.name, Instant::now());
    let mut world = before.thaw();
    world.settled().await;
    let api = world.api().await;
    let (mut covered, mut outages, mut stopped, mut longest) = (BTreeSet::new(), 0, 0, Duration::ZERO);
    loop {
        let passing = if outages == 0 { first } else { one_in - 1 };
        let faults = Faults::at_another_after(&[Moment::Outage(zone)], &covered, passing);
        let since = Instant::now();
        let ended = apply(&mut world, change, &faults, &format!("{covered:#?}")).await;
        longest = longest.max(since.elapsed());
        covered.extend(faults.passed());
        let Some(place) = faults.struck().pop() else {
            assert!(ended.is_ok(), "{name}: {ended:?}");
            break;
        };
        // Without an error, what was left to do did not need the zone.
        if let Err(errors) = ended {
            says_what_to_do(&errors, zone, &format!("{name}, {place}"));
            stopped += 1;
            println!("{name}, {place}: {errors}\n");
            if meanwhile == Meanwhile::ApplyAgain {
                let since = Instant::now();
                let again = apply(&mut world, change, &Faults::at(None), &format!("again after {place}")).await;
                longest = longest.max(since.elapsed());
                if let Err(errors) = again {
                    says_what_to_do(&errors, zone, &format!("{name}, again after {place}"));
                }
            }
        }
        world.region.lock().unwrap().operate("restore", zone);
        covered.insert(place);
        outages += 1;
        assert!(covered.len() < ENOUGH, "{name}: no end of {covered:#?}");
        api.accepts_writes(&format!("after-{outages}")).await;
    }
    let found = world.try_to_converge_all(&change.operations).await;
    let found = found.unwrap_or_else(|trouble| panic!("{name}, {zone}: {trouble}"));
    assert_eq!(found, expected, "{name}, {zone}");
    let records = api.records().await.unwrap();
    for number in 1..=outages {
        let record = format!("after-{number}");
        assert!(
            records.contains(&record),
            "{name}, {zone}: {record} was acknowledged, and is lost"
        );
    }
    let sample = match one_in {
        1 => String::new(),
        one_in => format!(" (one in {one_in} of {} places)", covered.len()),
    };
    say(&format!(
        "outage: {name}, {zone}, {meanwhile:?}: {outages} outages{sample}, {stopped} stopped the apply (the longest took \
         {longest:?}), all finished in {:?}",
        began.elapsed()
    ));
    outages
}

/// Kills the provider in an outage right after it has made the machine of that master.  The next apply stops; the machine
/// switches itself off when kubeadm has failed on it, so that the apply after the outage makes another at once.
pub(crate) async fn killed_in_it(world: &mut World, change: &Change, zone: &'static str, joining: &str) {
    let point = Point {
        call: (format!("ensure_machine demo-master-{joining}"), 1),
        moment: Moment::KilledInOutage(zone),
    };
    let faults = Faults::at(Some(point));
    let killed = world.run_all(&change.operations, &faults).await;
    assert!(killed.is_none() && faults.hit(), "{killed:?}");
    let again = apply(world, change, &Faults::at(None), "killed in an outage").await;
    says_what_to_do(&again.unwrap_err(), zone, "killed in an outage");
    let machine = format!("demo-master-{joining}");
    let deadline = Instant::now() + PATIENCE;
    while !world.is_off(&machine) {
        assert!(Instant::now() < deadline, "{machine} goes on");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    world.region.lock().unwrap().operate("restore", zone);
    let since = Instant::now();
    let faults = Faults::at(None);
    let ended = apply(world, change, &faults, "after the outage").await;
    assert!(ended.is_ok(), "{ended:?}");
    let replaced = format!("delete the machine of master {joining}");
    let steps = faults.executed();
    assert!(steps.iter().any(|step| step.starts_with(&replaced)), "{steps:#?}");
    say(&format!(
        "outage: killed in it: the apply after it took {:?}, and waited for nothing that had failed",
        since.elapsed()
    ));
    let found = world.try_to_converge_all(&change.operations).await;
    found.unwrap_or_else(|trouble| panic!("{trouble}"));
}

/// An apply that must not wait for its timeout.
async fn apply(
    world: &mut World,
    change: &Change,
    faults: &std::sync::Arc<Faults>,
    where_: &str,
) -> Result<(), Diagnostics> {
    let ended = timeout(PATIENCE, world.run_all(&change.operations, faults)).await;
    let Ok(ended) = ended else {
        panic!(
            "{}: no end within {PATIENCE:?}, {:?}, {where_}; steps: {:#?}",
            change.name,
            faults.struck(),
            faults.executed()
        );
    };
    ended.unwrap_or_else(|| panic!("{}: killed, {where_}", change.name))
}

fn says_what_to_do(errors: &Diagnostics, zone: &str, place: &str) {
    let text = errors.to_string();
    assert!(text.contains(zone), "{place}: the error does not say {zone:?}: {text}");
    // A destroy is not applied.
    let next = ["pply again", "un Terraform again"];
    assert!(
        next.iter().any(|next| text.contains(next)),
        "{place}: the error does not say what to do: {text}"
    );
}
