//! The model check has teeth: without any one of the gates it finds what goes wrong.

use std::time::Duration;

use stateright::{Checker, HasDiscoveries, Model};

use super::model_check::all;
use crate::cluster::Gate;

/// The situation and the finding that show what a gate is for.
fn finding(gate: Gate) -> Option<(&'static str, String)> {
    // Breadth first with few disturbances finds the shortest way to a violation.
    for disturbances in 0..=2 {
        for (name, mut situation) in all() {
            situation.disturbances = disturbances;
            let checker = situation
                .without(gate)
                .checker()
                .threads(2)
                .timeout(Duration::from_secs(20))
                .finish_when(HasDiscoveries::AnyFailures)
                .spawn_bfs()
                .join();
            if let Some((property, path)) = checker.discoveries().into_iter().next() {
                let broken = path.last_state().broken.unwrap_or(property);
                return Some((name, format!("{disturbances} disturbances: {broken}")));
            }
        }
    }
    None
}

/// Rules: model-checked
#[test]
fn every_gate_is_needed() {
    let mut needless = Vec::new();
    for gate in Gate::ALL {
        match finding(gate) {
            Some((situation, found)) => println!("without {gate:?}: {situation}, {found}"),
            None => needless.push(gate),
        }
    }
    assert!(needless.is_empty(), "nothing breaks without {needless:?}");
}
