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
    faults::{Faults, Moment},
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
    let mut world = before.thaw();
    let expected = change.undisturbed(&mut world).await;
    drop(world);
    let mut outages = Vec::new();
    for (zone, meanwhile) in zones {
        outages.push(of_a_zone(before, change, &expected, zone, *meanwhile).await);
    }
    outages
}

async fn of_a_zone(
    before: &Snapshot,
    change: &Change,
    expected: &str,
    zone: &'static str,
    meanwhile: Meanwhile,
) -> usize {
    let (name, began) = (change.name, Instant::now());
    let mut world = before.thaw();
    world.settled().await;
    let api = world.api().await;
    let (mut covered, mut stopped, mut longest) = (BTreeSet::new(), 0, Duration::ZERO);
    loop {
        let faults = Faults::at_another(&[Moment::Outage(zone)], &covered);
        let since = Instant::now();
        let ended = apply(&mut world, change, &faults, &format!("{covered:#?}")).await;
        longest = longest.max(since.elapsed());
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
        assert!(covered.len() < ENOUGH, "{name}: no end of {covered:#?}");
        api.accepts_writes(&format!("after-{}", covered.len())).await;
    }
    let found = world.try_to_converge_all(&change.operations).await;
    let found = found.unwrap_or_else(|trouble| panic!("{name}, {zone}: {trouble}"));
    assert_eq!(found, expected, "{name}, {zone}");
    let records = api.records().await.unwrap();
    for number in 1..=covered.len() {
        let record = format!("after-{number}");
        assert!(
            records.contains(&record),
            "{name}, {zone}: {record} was acknowledged, and is lost"
        );
    }
    say(&format!(
        "outage: {name}, {zone}, {meanwhile:?}: {} outages, {stopped} stopped the apply (the longest took {longest:?}), all \
         finished in {:?}",
        covered.len(),
        began.elapsed()
    ));
    covered.len()
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
    for part in [zone, "pply again"] {
        assert!(text.contains(part), "{place}: the error does not say {part:?}: {text}");
    }
}
