//! What will happen, in order and in words.

use std::{collections::BTreeSet, time::Duration};

use super::{Desired, Next, Observed, Step, effect, gates::Gates, group::Group, next, next::without_group};
use crate::{
    Growth, PreviewedStep, Timing,
    timing::API_CALL,
    wording::{listed, workers},
};

/// The steps that will be taken when nothing goes wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preview {
    /// The steps.
    pub steps: Vec<Step>,
    /// How it ends: never with a step.
    pub end: Next,
}

impl Preview {
    /// Whether it changes anything: waiting alone does not.
    pub fn changes_anything(&self) -> bool {
        self.steps.iter().any(|step| !step.only_waits())
    }

    /// How many machines more there are while the steps are taken, and after them.
    pub fn growth(&self) -> Growth {
        let mut growth = Growth::default();
        for step in &self.steps {
            match step {
                Step::CreateMachines(names) => growth.make(names.len()),
                Step::DeleteMachines(names) => growth.delete(names.len()),
                _ => {}
            }
        }
        growth
    }

    /// The steps in words.
    pub fn describe(&self, desired: &Desired, timing: &Timing) -> Vec<PreviewedStep> {
        self.steps.iter().map(|step| describe(step, desired, timing)).collect()
    }
}

/// Iterates [`next`] over the steps' own effects.
pub fn preview(observed: &Observed, desired: &Desired) -> Preview {
    let mut steps = Vec::new();
    if without_group(observed, desired, Gates::default()).is_some() {
        // A teardown of a step or two.
        let mut world = observed.clone();
        loop {
            match next(&world, desired) {
                Next::Step(step) => {
                    world = effect(world, &step, desired);
                    steps.push(step);
                }
                end => return Preview { steps, end },
            }
        }
    }
    let mut group = Group::new(observed, desired, Gates::default());
    loop {
        match group.next() {
            Next::Step(step) => {
                group.apply(&step);
                steps.push(step);
            }
            end => return Preview { steps, end },
        }
    }
}

/// One step in words, with its gate and its usual duration.
fn describe(step: &Step, desired: &Desired, timing: &Timing) -> PreviewedStep {
    let zone = &desired.zone;
    let (text, gate, expected): (String, &'static str, Duration) = match step {
        Step::DeleteNodes(names) => (
            format!("delete the Node object{} {}", plural(names), listed(names)),
            "the machine is gone",
            API_CALL,
        ),
        Step::DeleteMachines(names) => (
            format!("delete the machine{} of {}", plural(names), workers(names)),
            "drained, or nothing runs there, or forced",
            timing.delete_machine,
        ),
        Step::Relabel(names) => (
            format!(
                "give the machine{} of {} the group's labels again",
                plural(names),
                workers(names)
            ),
            "somebody changed them",
            API_CALL,
        ),
        Step::StartMachines(names) => (
            format!("start {} in {zone}", workers(names)),
            "the machine is halted",
            timing.create_machine,
        ),
        Step::Keep(names) => (
            format!("let {} take pods again", workers(names)),
            "the API serves",
            API_CALL,
        ),
        Step::Patch(names) => (
            format!("set labels and taints of {}", workers(names)),
            "the API serves",
            API_CALL,
        ),
        Step::CreateMachines(names) => (
            format!("create {} in {zone}", workers(names)),
            "the API serves",
            timing.create_machine,
        ),
        Step::WaitJoined(names) => (
            format!("wait until {}", have_joined(names)),
            "the machine runs",
            timing.join,
        ),
        Step::Cordon(names) => (
            format!("cordon {}", workers(names)),
            "enough other workers are Ready",
            API_CALL,
        ),
        Step::Drain(names) => (
            format!("drain {}, PodDisruptionBudgets permitting", workers(names)),
            "cordoned",
            timing.drain,
        ),
    };
    PreviewedStep { text, gate, expected }
}

fn have_joined(names: &BTreeSet<String>) -> String {
    let has = if names.len() == 1 { "has" } else { "have" };
    format!("{} {has} joined", workers(names))
}

fn plural(names: &BTreeSet<String>) -> &'static str {
    if names.len() == 1 { "" } else { "s" }
}
