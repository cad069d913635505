//! What will happen, in order and in words.

use super::{Desired, Next, Observed, Step, effect, next};
use crate::{PreviewedStep, Timing, timing::API_CALL};

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

    /// The steps in words.
    pub fn describe(&self, desired: &Desired, timing: &Timing) -> Vec<PreviewedStep> {
        self.steps.iter().map(|step| describe(*step, desired, timing)).collect()
    }
}

/// Iterates [`next`] over the steps' own effects.
pub fn preview(observed: &Observed, desired: &Desired) -> Preview {
    let mut world = observed.clone();
    let mut steps = Vec::new();
    loop {
        match next(&world, desired) {
            Next::Step(step) => {
                world = effect(world, step, desired);
                steps.push(step);
            }
            end => return Preview { steps, end },
        }
    }
}

/// One step in words, with its gate and its usual duration.
fn describe(step: Step, desired: &Desired, timing: &Timing) -> PreviewedStep {
    let Desired {
        replica,
        zone,
        endpoint,
        ..
    } = desired;
    let endpoint = endpoint.as_deref().unwrap_or("the cluster's address");
    let (text, gate, expected) = match step {
        Step::CreateMaster => (
            format!("create master {replica} in {zone}, which initialises the cluster"),
            "the network, the address and the keys exist",
            timing.create_machine,
        ),
        Step::StartMaster => (
            format!("start master {replica} in {zone}"),
            "the machine is halted",
            timing.create_machine,
        ),
        Step::WaitServing => (
            format!("wait until the API serves at {endpoint}"),
            "the machine runs",
            timing.join,
        ),
        Step::InstallAccess => (
            "let node groups join, label and drain nodes".to_owned(),
            "the API serves",
            API_CALL,
        ),
        Step::ApplyPodNetwork => (
            "apply the pod network's manifest".to_owned(),
            "the API serves",
            API_CALL,
        ),
        Step::WaitJoined => (
            format!(
                "wait until master {replica} is {}",
                if desired.pod_network.is_some() {
                    "Ready"
                } else {
                    "registered"
                }
            ),
            "a pod network is there, or is left to you",
            timing.join / 4,
        ),
    };
    PreviewedStep { text, gate, expected }
}
