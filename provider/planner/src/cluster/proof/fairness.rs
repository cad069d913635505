//! The goal eventually, on every fair path.
//!
//! A path is fair when disturbances end and every operation is called again until it is done.  So from every state that
//! the model check visits, all paths without a further disturbance are followed, whatever order Terraform calls the
//! operations in and whenever zones come back: each must come to an end, which it does when none of them meets a state
//! of its own twice, and the end must be the goal, with an empty next plan.  States that are known to lead there are
//! remembered, so each is followed once.

use std::{
    collections::{HashSet, hash_map::DefaultHasher},
    hash::{Hash, Hasher},
};

use stateright::Model;

use super::model::{Situation, State};

/// Longer than any path: one that is longer has no end, though it may never meet the same state twice.
const LONGEST: usize = 1500;

struct Visit {
    key: u64,
    to_come: Vec<State>,
}

impl Situation {
    /// Why some fair path from a state does not lead to the goal, if one does not.
    pub(super) fn astray(&self, from: &State) -> Option<String> {
        if from.broken.is_some() || from.cut_off {
            return None;
        }
        let mut on_the_way = HashSet::new();
        let mut path: Vec<Visit> = Vec::new();
        let mut arriving = Some(from.clone());
        loop {
            if let Some(mut state) = arriving.take() {
                state.disturbances = 0;
                let key = key(&state);
                if on_the_way.contains(&key) {
                    return Some(format!("goes round in circles after {} steps: {state:?}", path.len()));
                }
                if path.len() > LONGEST {
                    return Some("does not end".to_owned());
                }
                if !self.proven.lock().unwrap().contains(&key) {
                    let to_come = self.next_states(&state);
                    let over = to_come.is_empty() && state.broken.is_none() && !state.cut_off;
                    if let Some(missed) = over.then(|| self.missed(&state)).flatten() {
                        return Some(format!("ends without its goal: {missed}: {state:?}"));
                    }
                    on_the_way.insert(key);
                    path.push(Visit { key, to_come });
                }
            }
            let visit = path.last_mut()?;
            arriving = visit.to_come.pop();
            if arriving.is_none() {
                on_the_way.remove(&visit.key);
                self.proven.lock().unwrap().insert(visit.key);
                path.pop();
            }
        }
    }
}

fn key(state: &State) -> u64 {
    let mut hasher = DefaultHasher::new();
    state.hash(&mut hasher);
    hasher.finish()
}
