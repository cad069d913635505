//! The API's address on its way: from a single master to a balancer and back, and from one master to another.
//!
//! Compute Engine lets one resource use an address at a time, so there is a gap.  It is to be the detaching and the
//! attaching, with nothing between them; what the region's own log says of it is measured, and no request fails at any
//! other time.

use jiff::Timestamp;
use serde_json::Value;

use super::{
    change::Change,
    prober::{Prober, say},
};
use crate::world::{Snapshot, World};

/// A handover as the region has seen it.
#[derive(Debug)]
struct Gap {
    /// When detaching began and was done.
    detach: (Timestamp, Timestamp),
    /// When attaching began and was done.
    attach: (Timestamp, Timestamp),
}

impl Gap {
    /// The last one in this log from an object whose path has `from` in it to one whose path has `to` in it.
    fn of(events: &[Value], from: &str, to: &str) -> Self {
        let text = |event: &Value, name: &str| event[name].as_str().unwrap_or_default().to_owned();
        let at = |event: &Value| text(event, "at").parse::<Timestamp>().unwrap();
        let asked = |event: &Value, verbs: [&str; 2], object: &str| {
            text(event, "actor") == "api"
                && verbs.contains(&text(event, "verb").as_str())
                && text(event, "object").contains(object)
        };
        let done = |begun: &Value| {
            let end = events
                .iter()
                .find(|event| event["verb"] == "operation.done" && event["operation"] == begun["operation"]);
            at(end.unwrap_or_else(|| panic!("{begun} has no end")))
        };
        let give = ["instances.addAccessConfig", "forwardingRules.insert"];
        let take = ["instances.deleteAccessConfig", "forwardingRules.delete"];
        let taken = events.iter().rposition(|event| asked(event, take, from)).unwrap();
        let given = events[taken..].iter().position(|event| asked(event, give, to)).unwrap() + taken;
        let between: Vec<&Value> = events[taken + 1..given]
            .iter()
            .filter(|event| event["actor"] == "api")
            .collect();
        assert!(
            between.is_empty(),
            "nothing else is changed while nobody has the address: {between:#?}"
        );
        Self {
            detach: (at(&events[taken]), done(&events[taken])),
            attach: (at(&events[given]), done(&events[given])),
        }
    }
}

/// Runs a change that hands the address over, and measures the gap.
pub(crate) async fn measured(before: &Snapshot, change: &Change, from: &str, to: &str) -> World {
    let mut world = before.thaw();
    world.settled().await;
    let api = world.api().await;
    api.accepts_writes("before").await;
    let first = world.region.lock().unwrap().status()["events"].as_u64().unwrap();
    let prober = Prober::start(&api, &format!("prober-after-{first}"));
    change.undisturbed(&mut world).await;
    let seen = prober.stop();
    let events = world.region.lock().unwrap().events(first);
    let gap = Gap::of(&events, from, to);
    let milliseconds = |from: Timestamp, to: Timestamp| to.as_millisecond() - from.as_millisecond();
    say(&format!(
        "handover: {}: detach {} ms, then after {} ms attach {} ms: {} ms in all",
        change.name,
        milliseconds(gap.detach.0, gap.detach.1),
        milliseconds(gap.detach.1, gap.attach.0),
        milliseconds(gap.attach.0, gap.attach.1),
        milliseconds(gap.detach.0, gap.attach.1),
    ));
    seen.say(change.name);
    // None fails before the address is detached, and none after one was answered by the new holder.
    for probe in seen.failed() {
        let answered_again = seen.first_answered_since(gap.attach.1);
        let within = probe.to >= gap.detach.0 && probe.from <= answered_again;
        assert!(within, "{}: {probe:?} failed outside of {gap:?}", change.name);
    }
    seen.are_still_there(&api).await;
    world
}
