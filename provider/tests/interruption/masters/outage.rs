//! A zone's outage at every step: the apply stops and says which zone, what is safe and what to do; once the zone is back
//! the next apply finishes.

use std::{collections::BTreeSet, time::Instant};

use super::{change::Change, prober::say};
use crate::{
    faults::{Faults, Moment},
    world::Snapshot,
};

/// More outages than any change has calls.
const ENOUGH: usize = 200;

/// Lets a zone go dark at every step and call of a change that changes something, one apply after the other; returns how
/// many outages that were.
pub(crate) async fn at_every_step(before: &Snapshot, change: &Change, zone: &'static str) -> usize {
    let (name, began) = (change.name, Instant::now());
    let mut world = before.thaw();
    let expected = change.undisturbed(&mut world).await;
    drop(world);

    let mut world = before.thaw();
    let api = world.api().await;
    let (mut covered, mut stopped) = (BTreeSet::new(), 0);
    loop {
        let faults = Faults::at_another(&[Moment::Outage(zone)], &covered);
        let ended = world.run_all(&change.operations, &faults).await;
        let Some(place) = faults.struck().pop() else {
            assert!(matches!(ended, Some(Ok(()))), "{name}: {ended:?}");
            break;
        };
        match ended {
            // What was left to do did not need the zone.
            Some(Ok(())) => {}
            Some(Err(errors)) => {
                let text = errors.to_string();
                for part in [zone, "pply again"] {
                    assert!(
                        text.contains(part),
                        "{name}, {place}: the error does not say {part:?}: {text}"
                    );
                }
                stopped += 1;
                println!("{name}, {place}: {text}\n");
            }
            None => panic!("{name}, {place}: killed"),
        }
        world.region.lock().unwrap().operate("restore", zone);
        covered.insert(place);
        assert!(covered.len() < ENOUGH, "{name}: no end of {covered:#?}");
        api.accepts_writes(&format!("after-{}", covered.len())).await;
    }
    let found = world.try_to_converge_all(&change.operations).await;
    let found = found.unwrap_or_else(|trouble| panic!("{name}, {zone}: {trouble}"));
    assert_eq!(found, expected, "{name}, {zone}");
    say(&format!(
        "outage: {name}, {zone}: {} outages, {stopped} stopped the apply, all finished in {:?}",
        covered.len(),
        began.elapsed()
    ));
    covered.len()
}
