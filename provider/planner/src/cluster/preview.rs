//! What will happen, in order.

use std::collections::BTreeMap;

use super::{Machine, Next, Operation, Step, Warning, World, effect, next, warnings};
use crate::Growth;

/// More steps than any change needs: 7 masters take about a dozen each.
const LIMIT: usize = 1000;

/// The steps that will be taken when nothing goes wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preview {
    /// The steps.
    pub steps: Vec<Step>,
    /// How it ends: never with a step.
    pub end: Next,
    /// What the user should know before.
    pub warnings: Vec<Warning>,
}

impl Preview {
    /// Whether it changes anything: waiting alone does not.
    pub fn changes_anything(&self) -> bool {
        self.steps.iter().any(|step| !step.only_waits())
    }

    /// How many masters more there are in each zone while the steps are taken, and after them; `world` is what it was made from.
    pub fn growth(&self, world: &World) -> BTreeMap<String, Growth> {
        let zone = |(name, machine): (&String, &Machine)| (name.clone(), machine.zone.clone());
        let mut zones: BTreeMap<String, String> = world.machines.iter().map(zone).collect();
        let mut growth: BTreeMap<String, Growth> = BTreeMap::new();
        for step in &self.steps {
            match step {
                Step::Init(machine) | Step::Join(machine) => {
                    growth.entry(machine.zone.clone()).or_default().make(1);
                    zones.insert(machine.name.clone(), machine.zone.clone());
                }
                Step::DeleteMachine(name) => {
                    if let Some(zone) = zones.remove(name) {
                        growth.entry(zone).or_default().delete(1);
                    }
                }
                _ => {}
            }
        }
        growth
    }
}

/// Iterates [`next`] over the steps' own effects.
pub fn preview(world: &World, operation: &Operation) -> Preview {
    let mut warnings = warnings::Watch::new(operation);
    let mut now = world.clone();
    let mut steps = Vec::new();
    let end = loop {
        match next(&now, operation) {
            Next::Step(_) if steps.len() == LIMIT => break Next::Blocked(super::Blocked::NoEnd),
            Next::Step(step) => {
                now = effect(now, &step, operation);
                warnings.after(&step, steps.len() + 1, &now);
                steps.push(step);
            }
            end => break end,
        }
    };
    Preview {
        steps,
        end,
        warnings: warnings.at_the_end(&now),
    }
}
