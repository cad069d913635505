//! One change, interrupted at every step and every call that changes something: each apply is interrupted once, later than
//! the one before, until none is left to be interrupted.
//!
//! That covers every point at the cost of little more than one run, and more: what an interruption leaves is what the next
//! one finds.  After each the API must accept a write, so that no interruption has cost etcd its quorum or the API its
//! address.

use std::{collections::BTreeSet, time::Instant};

use super::change::Change;
use crate::{
    faults::{Faults, Moment, Place},
    world::{Snapshot, report},
};

/// More interruptions than any change has.
const ENOUGH: usize = 400;
/// The provider is killed.
const KILLED: &[Moment] = &[Moment::KilledBefore, Moment::KilledAfter];
pub(crate) const KILLED_BEFORE: &[Moment] = &[Moment::KilledBefore];
/// A reply is lost.
const REPLY_LOST: &[Moment] = &[Moment::ReplyLost];
/// The sandbox is killed and started again.
const SANDBOX_RESTARTED: &[Moment] = &[Moment::SandboxRestarted];

/// Interrupts a change in every way at every call that changes something; returns how many points that were.
pub(crate) async fn interrupt_one_after_the_other(before: &Snapshot, change: &Change) -> usize {
    interrupt_in(before, change, &[KILLED, REPLY_LOST, SANDBOX_RESTARTED]).await
}

/// Kills the provider before and after every call that changes something; returns how many points that were.
pub(crate) async fn kill_one_after_the_other(before: &Snapshot, change: &Change) -> usize {
    interrupt_in(before, change, &[KILLED]).await
}

/// Kills the provider before every call that changes something, loses the reply to each, and starts the sandbox again
/// before each; returns how many points that were.
///
/// For changes that are long and made of what others are made of: killed after a call is killed before the next one, but
/// for the call's own end.
pub(crate) async fn interrupt_before_each(before: &Snapshot, change: &Change) -> usize {
    interrupt_in(before, change, &[KILLED_BEFORE, REPLY_LOST, SANDBOX_RESTARTED]).await
}

async fn interrupt_in(before: &Snapshot, change: &Change, ways: &[&[Moment]]) -> usize {
    let mut world = before.thaw();
    let expected = change.undisturbed(&mut world).await;
    drop(world);
    let mut all = 0;
    for moments in ways {
        all += interrupt(before, change, moments, &expected).await;
    }
    report(change.name, all);
    all
}

async fn interrupt(before: &Snapshot, change: &Change, moments: &[Moment], expected: &str) -> usize {
    let (name, began) = (change.name, Instant::now());
    let mut world = before.thaw();
    let api = world.api().await;
    let (mut covered, mut applies) = (BTreeSet::new(), 0);
    loop {
        let faults = Faults::at_another(moments, &covered);
        let ended = world.run_all(&change.operations, &faults).await;
        let struck = faults.struck();
        if struck.is_empty() {
            assert!(matches!(ended, Some(Ok(()))), "{name}, {moments:?}: {ended:?}");
            break;
        }
        covered.extend(struck);
        applies += 1;
        assert!(covered.len() < ENOUGH, "{name}: no end of {}", list(&covered));
        api.accepts_writes(&format!("after-{applies}")).await;
    }
    let found = world.try_to_converge_all(&change.operations).await;
    let found = found.unwrap_or_else(|trouble| panic!("{name}, after {}: {trouble}", list(&covered)));
    assert_eq!(found, expected, "{name}, after {}", list(&covered));
    let records = api.records().await.unwrap();
    for number in 1..=applies {
        let record = format!("after-{number}");
        assert!(
            records.contains(&record),
            "{name}: {record} was acknowledged, and is lost"
        );
    }
    println!("{name}, {moments:?}: {:?}:\n{}", began.elapsed(), list(&covered));
    covered.len()
}

fn list(covered: &BTreeSet<Place>) -> String {
    let lines: Vec<String> = covered.iter().map(|place| format!("  {place}")).collect();
    lines.join("\n")
}
