//! What somebody changed behind Terraform's back, beyond what the planner's facts say, and how it is told and healed.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use multizone_cloud::{Labels, label};
use multizone_kubernetes::{
    cluster_access::{AppliedObject, NodeFacts, OwnedMetadata},
    kubeadm,
    labels::{CONTROL_PLANE_ROLE, EXCLUDE_FROM_LOAD_BALANCERS, Taint, TaintEffect},
};
use multizone_planner::{
    PreviewedStep,
    cluster::{Machine, Operation, Preview, Step, Timing, World},
};
use multizone_schema::{Diagnostic, Diagnostics};
use serde::{Deserialize, Serialize};

use super::{
    ControlPlane, MasterNode,
    wanted::{Marks, Master},
};

/// The label by which an operator keeps a node as it is: with it, a cordon is no drift, nor is a taint that went.
pub(super) const HOLD_LABEL: &str = "multizone.dev/hold";
/// The taint that the cluster autoscaler puts on what it is about to remove, cordoned or not.
const AUTOSCALER_TAINT: &str = "ToBeDeletedByClusterAutoscaler";
/// How long a call to the Kubernetes API usually takes.
const API_CALL: Duration = Duration::from_secs(1);
/// How many altered objects a step names.
const NAMED: usize = 3;
/// Between what a machine was made from and what somebody made of it.
const NOW: &str = ", now ";

/// What the planner's facts have no place for.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Drift {
    /// Why nothing answers although a master runs.
    pub(super) silence: Option<String>,
    /// A machine that has lost the label by which it is known as the cluster's.
    pub(super) unlabelled: Option<String>,
    /// Why masters are not ready, by name.
    pub(super) not_ready: BTreeMap<String, String>,
    /// What of the node groups' rights is gone or changed.
    pub(super) altered_rights: Vec<String>,
    /// What of the pod network's manifest is gone or changed.
    pub(super) altered_pod_network: Vec<String>,
    /// What is put right about each master after the planner's steps.
    pub(super) repairs: BTreeMap<String, BTreeSet<Repair>>,
    /// Whether the record of the settings was changed.
    pub(super) settings: bool,
}

/// One thing to put right, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Repair {
    /// The machine's way out of the network: without it, it reaches nothing outside, and is not reached.
    WayOut,
    /// The labels of the master's machine.
    Machine,
    /// Somebody cordoned the master.
    Cordon,
    /// Labels and taints of the master's Node.
    Node,
}

impl Repair {
    fn step(self, master: &str) -> PreviewedStep {
        let (text, gate) = match self {
            Self::WayOut => (
                format!("give the machine of master {master} an external address again"),
                "it has none: a move of the API's address was interrupted, or somebody took it",
            ),
            Self::Machine => (
                format!("give the machine of master {master} its labels again"),
                "somebody changed them",
            ),
            Self::Cordon => (
                format!("let master {master} take pods again that tolerate its taint"),
                "the API serves",
            ),
            Self::Node => (format!("set labels and taints of master {master}"), "the API serves"),
        };
        PreviewedStep {
            text,
            gate,
            expected: API_CALL,
        }
    }
}

impl Drift {
    /// Whether there is anything to put right.
    pub(super) fn heals(&self) -> bool {
        self.settings || self.concerns_nodes()
    }

    /// Whether that concerns what the state shows of masters.
    pub(super) fn concerns_nodes(&self) -> bool {
        self.repairs.values().any(|repairs| !repairs.is_empty())
    }

    /// The planner's steps and the repairs, in words.
    pub(super) fn steps(
        &self,
        preview: &Preview,
        world: &World,
        operation: &Operation,
        timing: &Timing,
    ) -> Vec<PreviewedStep> {
        let mut steps = preview.describe(world, operation, timing);
        for (step, previewed) in preview.steps.iter().zip(&mut steps) {
            let altered = match step {
                Step::InstallAccess => &self.altered_rights,
                Step::ApplyPodNetwork(_) => &self.altered_pod_network,
                _ => continue,
            };
            again(previewed, altered);
        }
        for (machine, repairs) in &self.repairs {
            let replica = world.machines.get(machine).map_or(machine, |machine| &machine.replica);
            steps.extend(repairs.iter().map(|repair| repair.step(replica)));
        }
        if self.settings {
            steps.push(PreviewedStep {
                text: "keep the control plane's settings in the cluster again, for imports".to_owned(),
                gate: "the API serves",
                expected: API_CALL,
            });
        }
        steps
    }

    /// What a plan says that an apply does not heal, or heals by more than a user may expect.
    pub(super) fn warnings(&self, world: &World, prior: &ControlPlane) -> Diagnostics {
        let mut diagnostics = Diagnostics::new();
        if let Some(machine) = &self.unlabelled {
            let which = if prior.replicas.len() == 1 { "The" } else { "A" };
            diagnostics.push(Diagnostic::warning(
                format!("{which} master of cluster {} has lost its label", prior.cluster),
                unlabelled_text(machine, &prior.cluster),
            ));
        }
        if let Some(reason) = &self.silence {
            diagnostics.push(silent(reason, prior));
        }
        for (name, reason) in &self.not_ready {
            let zone = prior.nodes.get(name).map_or("its zone", |node| node.zone.as_str());
            diagnostics.push(Diagnostic::warning(
                format!("Master {name} is not ready"),
                format!(
                    "In {zone}, {reason}.\nIts machine runs, so an apply changes nothing about it. The kubelet's log on the \
                     machine and the pods of the pod network on it say more."
                ),
            ));
        }
        for (name, machine) in &world.machines {
            let Some(other) = retyped(&machine.specification) else {
                continue;
            };
            diagnostics.push(
                Diagnostic::warning(
                    format!("Master {name} has another machine type"),
                    format!(
                        "Somebody made machine {name} in {} a {other}; the configuration says {}. An apply replaces it; \
                         stop it and change its type back in the cloud to keep it.",
                        machine.zone, prior.machine_type
                    ),
                )
                .at("machine_type"),
            );
        }
        diagnostics
    }
}

fn silent(reason: &str, prior: &ControlPlane) -> Diagnostic {
    let runs = |(_, node): &(&String, &MasterNode)| node.state != "halted";
    let running: Vec<_> = prior.nodes.iter().filter(runs).collect();
    let places = running.iter().map(|(name, node)| format!("{name} in {}", node.zone));
    let places = places.collect::<Vec<_>>().join(", ");
    let (subject, zone, it, machine) = match running.len() {
        1 => (format!("Machine {places} runs"), "the zone is out", "it", "the machine"),
        _ => (format!("Machines {places} run"), "zones are out", "them", "a machine"),
    };
    Diagnostic::warning(
        format!("The Kubernetes API of cluster {} does not answer", prior.cluster),
        format!(
            "It was asked in vain: {reason}.\n{subject}, so an apply does nothing about it, and what changed in the cluster \
             cannot be seen. If {zone}, the API comes back with {it}. Otherwise the serial console of {machine} says more; once \
             you stop {machine}, the next apply starts it again."
        ),
    )
}

/// What to do about a machine without the cluster's label: the provider touches nothing that does not carry it.
pub(super) fn unlabelled_text(machine: &str, cluster: &str) -> String {
    format!(
        "Master {machine} of cluster {cluster} is there, and no machine with the label {} = {cluster} is it: somebody took \
         the label from machine {machine}, or gave it another cluster's. The provider does not touch what does not carry it. Give the machine the label \
         again, in the cloud; the next apply puts the others right.",
        label::CLUSTER
    )
}

/// A step that was taken before, and why it is again.
fn again(previewed: &mut PreviewedStep, altered: &[String]) {
    if !altered.is_empty() {
        previewed.text.push_str(" again: ");
        previewed.text.push_str(&listed(altered));
    }
}

/// What the step that applies another pod network deletes.
pub(super) fn dropping(steps: &mut [PreviewedStep], preview: &Preview, dropped: &[AppliedObject]) {
    if dropped.is_empty() {
        return;
    }
    let dropped: Vec<_> = dropped.iter().map(ToString::to_string).collect();
    for (step, previewed) in preview.steps.iter().zip(steps) {
        if let Step::ApplyPodNetwork(_) = step {
            let text = format!(", and delete what it no longer has: {}", listed(&dropped));
            previewed.text.push_str(&text);
        }
    }
}

fn listed(altered: &[String]) -> String {
    let named = altered.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
    match altered.len().saturating_sub(NAMED) {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}

/// Whether somebody cordoned a node, and neither asked for it to stay so nor is an autoscaler.
pub(in crate::resources) fn cordoned(node: &NodeFacts) -> bool {
    node.unschedulable && !held(node) && !node.taints.iter().any(|taint| taint.key == AUTOSCALER_TAINT)
}

/// Whether an operator wants a node to stay as it is.
fn held(node: &NodeFacts) -> bool {
    node.labels.contains_key(HOLD_LABEL)
}

/// The labels and taints of a master's Node that are the provider's or kubeadm's.
pub(super) fn owned(zone: &str, region: &str, legacy: bool, marks: Marks, node: &NodeFacts) -> OwnedMetadata {
    let mut labels = kubeadm::topology_labels(region, zone, legacy);
    labels.insert(CONTROL_PLANE_ROLE.to_owned(), String::new());
    let mut taints = Vec::new();
    if marks.excluded && !held(node) {
        labels.insert(EXCLUDE_FROM_LOAD_BALANCERS.to_owned(), String::new());
    }
    if marks.taint && !held(node) {
        taints.push(control_plane_taint());
    }
    OwnedMetadata {
        labels,
        taints,
        ..OwnedMetadata::default()
    }
}

/// kubeadm's taint of masters.
fn control_plane_taint() -> Taint {
    Taint {
        key: CONTROL_PLANE_ROLE.to_owned(),
        value: String::new(),
        effect: TaintEffect::NoSchedule,
    }
}

/// Whether a Node has a mark that it is not to have. kubeadm labels every master that joins, whatever is chosen.
fn marked_too_much(node: &NodeFacts, marks: Marks) -> bool {
    let excluded = node.labels.contains_key(EXCLUDE_FROM_LOAD_BALANCERS);
    let tainted = node.taints.contains(&control_plane_taint());
    !held(node) && ((excluded && !marks.excluded) || (tainted && !marks.taint))
}

/// What there is to put right about a master's Node.
pub(super) fn of_node(node: &NodeFacts, master: &Master<'_>, region: &str) -> BTreeSet<Repair> {
    let marks = master.wanted.marks;
    let owned = owned(master.zone, region, master.wanted.legacy_zone_labels, marks, node);
    let labelled = owned
        .labels
        .iter()
        .all(|(key, value)| node.labels.get(key) == Some(value));
    let tainted = owned.taints.iter().all(|taint| node.taints.contains(taint));
    let mut repairs = BTreeSet::new();
    if cordoned(node) {
        repairs.insert(Repair::Cordon);
    }
    if !(labelled && tainted) || marked_too_much(node, marks) {
        repairs.insert(Repair::Node);
    }
    repairs
}

/// The labels that a master's machine should have, if it is found with others.
pub(super) fn restored(found: &Labels, master: &Master<'_>, region: &str, facts: &Machine) -> Option<Labels> {
    let ours = master.labels(region, made_from(&facts.specification), facts.version);
    if ours.iter().all(|(key, value)| found.get(key) == Some(value)) {
        return None;
    }
    let mut labels = found.clone();
    labels.extend(ours);
    Some(labels)
}

/// The specification of a machine that was made from one and that somebody gave another machine type: it is replaced.
pub(super) fn retyped_as(specification: &str, machine_type: &str) -> String {
    format!("{specification}{NOW}{machine_type}")
}

/// The machine type that somebody gave a machine.
fn retyped(specification: &str) -> Option<&str> {
    specification.split_once(NOW).map(|(_, machine_type)| machine_type)
}

/// What a machine was made from.
pub(super) fn made_from(specification: &str) -> &str {
    specification.split_once(NOW).map_or(specification, |(made, _)| made)
}
