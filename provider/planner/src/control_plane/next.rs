//! The engine of single-replica control planes.

use super::{Desired, Machine, Next, Observed, Power, Step, Violation};

/// The next step from what is observed to what is desired.
pub fn next(observed: &Observed, desired: &Desired) -> Next {
    let Some(machine) = &observed.machine else {
        return Next::Step(Step::CreateMaster);
    };
    if machine.specification != desired.specification {
        return Next::Refused(Violation::ReplacesTheOnlyMaster);
    }
    if machine.power == Power::Off {
        return Next::Step(Step::StartMaster);
    }
    if !observed.serving {
        return Next::Step(Step::WaitServing);
    }
    if !observed.access {
        return Next::Step(Step::InstallAccess);
    }
    if desired.pod_network.is_some() && observed.pod_network != desired.pod_network {
        return Next::Step(Step::ApplyPodNetwork);
    }
    if !observed.joined {
        return Next::Step(Step::WaitJoined);
    }
    Next::Done
}

/// The world after a step when nothing goes wrong.
pub fn effect(mut observed: Observed, step: Step, desired: &Desired) -> Observed {
    match step {
        Step::CreateMaster => {
            observed.machine = Some(Machine {
                power: Power::On,
                specification: desired.specification.clone(),
            });
            observed.serving = false;
            observed.access = false;
            observed.pod_network = None;
            observed.joined = false;
        }
        Step::StartMaster => {
            if let Some(machine) = &mut observed.machine {
                machine.power = Power::On;
            }
            observed.serving = false;
            observed.joined = false;
        }
        Step::WaitServing => observed.serving = true,
        Step::InstallAccess => observed.access = true,
        Step::ApplyPodNetwork => observed.pod_network.clone_from(&desired.pod_network),
        Step::WaitJoined => observed.joined = true,
    }
    observed
}
