//! What will happen, in order.

use super::{Next, Operation, Step, Warning, World, effect, next, warnings};

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
