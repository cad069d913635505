//! The model check has teeth: without any one of the gates it finds what goes wrong, and each property finds what it is
//! there for.

use std::time::Duration;

use stateright::{Checker, HasDiscoveries, Model};

use super::{
    model::Situation,
    situations::{all, named},
};
use crate::{
    cluster::{Gate, Step},
    node_group,
};

/// What the model check finds in a situation.
fn found(situation: Situation) -> Option<String> {
    let checker = situation
        .checker()
        .threads(2)
        .timeout(Duration::from_secs(30))
        .finish_when(HasDiscoveries::AnyFailures)
        .spawn_bfs()
        .join();
    let (property, path) = checker.discoveries().into_iter().next()?;
    Some(path.last_state().broken.unwrap_or(property).to_owned())
}

/// The situation and the finding that show what a gate is for: where it is known to be found, else anywhere.
fn finding(known: &[(&str, u8)], open: impl Fn(Situation) -> Situation) -> Option<String> {
    let known = known
        .iter()
        .map(|(name, disturbances)| (*disturbances, *name, named(name)));
    // Breadth first with few disturbances finds the shortest way to a violation.
    let anywhere = (0..=2).flat_map(|disturbances| {
        let situations = all().into_iter();
        situations.map(move |(name, situation)| (disturbances, name, situation))
    });
    known.chain(anywhere).find_map(|(disturbances, name, mut situation)| {
        situation.disturbances = disturbances;
        let found = found(open(situation))?;
        Some(format!("{name}, {disturbances} disturbances: {found}"))
    })
}

/// Rules: model-checked
#[test]
fn every_gate_is_needed() {
    let mut needless = Vec::new();
    for gate in Gate::ALL {
        match finding(&[], |situation| situation.without(gate)) {
            Some(found) => println!("without {gate:?}: {found}"),
            None => needless.push(gate),
        }
    }
    assert!(needless.is_empty(), "nothing breaks without {needless:?}");
}

/// Rules: model-checked
#[test]
fn every_gate_of_the_node_groups_is_needed() {
    let mut needless = Vec::new();
    for gate in node_group::Gate::ALL {
        let known = [
            ("workers with a surge", 0),
            ("workers without a surge", 0),
            ("everything goes", 1),
        ];
        match finding(&known, |situation| situation.without_worker_gate(gate)) {
            Some(found) => println!("without {gate:?}: {found}"),
            None => needless.push(gate),
        }
    }
    assert!(needless.is_empty(), "nothing breaks without {needless:?}");
}

/// The address is watched in every state: with nothing else looked at, it shows where these gates are missing.
///
/// Rules: model-checked, address-leads-to-a-server
#[test]
fn the_address_alone_shows_what_cuts_the_api_off() {
    for (gate, name, disturbances) in [
        (Gate::AddressBeforeLeaving, "replace the only one", 0),
        (Gate::AnotherTargetServes, "out of the balancer's zones", 0),
        (Gate::BalancerUnusedBeforeDeletion, "shrink", 0),
        (Gate::ServesBeforeHandover, "balancer elsewhere", 0),
    ] {
        let mut situation = named(name).without(gate);
        situation.disturbances = disturbances;
        situation.only_the_address = true;
        situation.unreachable = true;
        let found = found(situation);
        assert_eq!(
            found.as_deref(),
            Some("the API's address leads to a master that serves whenever one serves"),
            "without {gate:?}"
        );
    }
}

/// A step that never has its effect is asked for again and again: a path that is fair and has no end.
///
/// Rules: model-checked
#[test]
fn a_path_that_goes_round_in_circles_is_found() {
    let mut situation = named("grow");
    situation.disturbances = 0;
    situation.futile = Some(|step| matches!(step, Step::Register(_)));
    let found = found(situation);
    assert_eq!(found.as_deref(), Some("the goal eventually on every fair path"));
}
