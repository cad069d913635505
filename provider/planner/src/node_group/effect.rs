//! What a step does to the world when nothing goes wrong: the preview's world.

use super::{Desired, Machine, Node, Observed, Power, Step};

/// The world after a step.
pub fn effect(mut observed: Observed, step: &Step, desired: &Desired) -> Observed {
    let created = match step {
        Step::CreateMachines(_) => youngest(&observed) + 1,
        _ => 0,
    };
    for name in step.names() {
        let member = observed.members.entry(name.clone()).or_default();
        match step {
            Step::Relabel(_) => {
                if let Some(machine) = &mut member.machine {
                    machine.mislabelled = false;
                }
            }
            Step::DeleteNodes(_) => member.node = None,
            Step::DeleteMachines(_) => {
                member.machine = None;
                member.drained = false;
            }
            Step::StartMachines(_) => {
                if let Some(machine) = &mut member.machine {
                    machine.power = Power::On;
                }
            }
            Step::Keep(_) => {
                if let Some(node) = &mut member.node {
                    node.leaving = false;
                    node.cordoned = false;
                }
            }
            Step::Patch(_) => {
                if let Some(node) = &mut member.node {
                    patch(node, desired);
                }
            }
            Step::CreateMachines(_) => {
                member.machine = Some(Machine {
                    power: Power::On,
                    specification: desired.specification.clone(),
                    created,
                    joinable: true,
                    mislabelled: false,
                });
            }
            Step::WaitJoined(_) => {
                let node = member.node.get_or_insert_default();
                node.joined = true;
                patch(node, desired);
            }
            Step::Cordon(_) => {
                if let Some(node) = &mut member.node {
                    node.leaving = true;
                }
            }
            Step::Drain(_) => member.drained = true,
        }
    }
    if matches!(step, Step::DeleteNodes(_) | Step::DeleteMachines(_)) {
        observed
            .members
            .retain(|_, member| member.machine.is_some() || member.node.is_some());
    }
    observed
}

/// When the youngest machine was made.
fn youngest(observed: &Observed) -> i64 {
    let machines = observed.members.values().filter_map(|member| member.machine.as_ref());
    let youngest = machines.map(|machine| machine.created).max();
    youngest.unwrap_or(0).min(i64::MAX - 1)
}

fn patch(node: &mut Node, desired: &Desired) {
    node.labels.retain(|key, _| !desired.absent_labels.contains(key));
    node.labels.extend(desired.labels.clone());
    node.taints.retain(|taint| !desired.absent_taints.contains(taint));
    node.taints.extend(desired.taints.iter().cloned());
    node.record.clone_from(&desired.record);
}
