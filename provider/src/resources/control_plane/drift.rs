//! What somebody changed behind Terraform's back, beyond what the planner's facts say, and how it is healed.

use std::{collections::BTreeSet, time::Duration};

use multizone_cloud::{Labels, Machine as CloudMachine, label};
use multizone_kubernetes::{
    cluster_access::{NodeFacts, OwnedMetadata},
    kubeadm,
    labels::{CONTROL_PLANE_ROLE, EXCLUDE_FROM_LOAD_BALANCERS, Taint, TaintEffect},
};
use multizone_planner::{
    PreviewedStep, Timing,
    control_plane::{Desired, Observed, Preview, Step},
};
use multizone_schema::{Diagnostic, Diagnostics};
use serde::{Deserialize, Serialize};

use super::{
    ControlPlane,
    machine::{SPECIFICATION, Wanted},
};

/// The label by which an operator keeps a node as it is: with it, a cordon is no drift, nor is a taint that went.
pub(super) const HOLD_LABEL: &str = "multizone.dev/hold";
/// The taint that the cluster autoscaler puts on what it is about to remove, cordoned or not.
const AUTOSCALER_TAINT: &str = "ToBeDeletedByClusterAutoscaler";
/// How long a call to the Kubernetes API usually takes.
const API_CALL: Duration = Duration::from_secs(1);
/// How many altered objects a step names.
const NAMED: usize = 3;

/// What a look has found: what the planner plans from, and what else there is to heal or to say.  Private data keep it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Seen {
    #[serde(flatten)]
    pub(super) observed: Observed,
    #[serde(flatten)]
    pub(super) drift: Drift,
}

impl From<Observed> for Seen {
    fn from(observed: Observed) -> Self {
        Self {
            observed,
            drift: Drift::default(),
        }
    }
}

/// What the planner's facts have no place for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Drift {
    /// Why the Kubernetes API does not answer although the master runs.
    pub(super) silence: Option<String>,
    /// Why the master is not ready, and since when.
    pub(super) not_ready: Option<String>,
    /// The master's machine, when it has lost the label by which it is known as the cluster's.
    pub(super) unlabelled: Option<String>,
    /// The machine type that the master's machine has instead of its own.
    pub(super) other_machine_type: Option<String>,
    /// What of the node groups' rights is gone or changed.
    pub(super) altered_rights: Vec<String>,
    /// What of the pod network's manifest is gone or changed.
    pub(super) altered_pod_network: Vec<String>,
    /// What is put right after the planner's steps.
    pub(super) repairs: BTreeSet<Repair>,
}

/// One thing to put right, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Repair {
    /// The labels of the master's machine.
    Machine,
    /// Somebody cordoned the master.
    Cordon,
    /// Labels and taints of the master's Node.
    Node,
    /// The record of the settings, which imports read.
    Settings,
}

impl Repair {
    /// Whether the state of the master shows it.
    pub(super) fn is_of_the_node(self) -> bool {
        matches!(self, Self::Machine | Self::Cordon | Self::Node)
    }

    pub(super) fn step(self, master: &str) -> PreviewedStep {
        let (text, gate) = match self {
            Self::Machine => (
                format!("give the machine of master {master} its labels again"),
                "somebody changed them",
            ),
            Self::Cordon => (
                format!("let master {master} take pods again that tolerate its taint"),
                "the API serves",
            ),
            Self::Node => (format!("set labels and taints of master {master}"), "the API serves"),
            Self::Settings => (
                "keep the control plane's settings in the cluster again, for imports".to_owned(),
                "the API serves",
            ),
        };
        PreviewedStep {
            text,
            gate,
            expected: API_CALL,
        }
    }
}

impl Drift {
    /// Whether healing it changes what the state shows of the master.
    pub(super) fn concerns_the_node(&self) -> bool {
        self.repairs.iter().any(|repair| repair.is_of_the_node())
    }

    /// The planner's steps and the repairs, in words.
    pub(super) fn steps(&self, preview: &Preview, desired: &Desired, timing: &Timing) -> Vec<PreviewedStep> {
        let mut steps = preview.describe(desired, timing);
        for (step, previewed) in preview.steps.iter().zip(&mut steps) {
            let altered = match step {
                Step::InstallAccess => &self.altered_rights,
                Step::ApplyPodNetwork => &self.altered_pod_network,
                _ => continue,
            };
            again(previewed, altered);
        }
        steps.extend(self.repairs.iter().map(|repair| repair.step(&desired.replica)));
        steps
    }

    /// What a plan says that an apply does not heal.
    pub(super) fn warnings(&self, prior: &ControlPlane) -> Diagnostics {
        let mut diagnostics = Diagnostics::new();
        let master = prior.nodes.iter().next();
        let (name, zone) = master.map_or(("the master", ""), |(name, node)| (name.as_str(), node.zone.as_str()));
        if let Some(machine) = &self.unlabelled {
            diagnostics.push(unlabelled(machine, &prior.cluster));
        }
        if let Some(reason) = &self.silence {
            diagnostics.push(Diagnostic::warning(
                format!("The Kubernetes API of cluster {} does not answer", prior.cluster),
                format!(
                    "It was asked in vain: {reason}.\nMachine {name} in {zone} runs, so an apply does nothing about it, and what changed in the \
                     cluster cannot be seen. If the zone is out, the API comes back with it. Otherwise the machine's \
                     serial console says more; once you stop the machine, the next apply starts it again."
                ),
            ));
        }
        if let Some(reason) = &self.not_ready {
            diagnostics.push(Diagnostic::warning(
                format!("Master {name} is not ready"),
                format!(
                    "In zone {zone}, {reason}.\nIts machine runs, so an apply changes nothing about it. The kubelet's log on \
                     the machine and the pods of the pod network on it say more."
                ),
            ));
        }
        if let Some(other) = &self.other_machine_type {
            diagnostics.push(
                Diagnostic::warning(
                    format!("Master {name} has another machine type"),
                    format!(
                        "Somebody made machine {name} in {zone} a {other}; the configuration says {}. The only master is not \
                         replaced, so an apply leaves it as it is. Stop it and change it back in the cloud.",
                        prior.machine_type
                    ),
                )
                .at("machine_type"),
            );
        }
        diagnostics
    }
}

pub(super) fn unlabelled(machine: &str, cluster: &str) -> Diagnostic {
    Diagnostic::warning(
        format!("The master of cluster {cluster} has lost its label"),
        unlabelled_text(machine, cluster),
    )
}

/// What to do about a machine without the cluster's label: the provider touches nothing that does not carry it.
pub(super) fn unlabelled_text(machine: &str, cluster: &str) -> String {
    format!(
        "A machine holds the address of cluster {cluster}, and none with the label {} = {cluster} is a master: somebody took \
         it from machine {machine}. The provider does not touch what does not carry it. Give the machine the label again, in \
         the cloud; the next apply puts the others right.",
        label::CLUSTER
    )
}

/// A step that was taken before, and why it is again.
pub(super) fn again(previewed: &mut PreviewedStep, altered: &[String]) {
    if !altered.is_empty() {
        previewed.text.push_str(" again: ");
        previewed.text.push_str(&listed(altered));
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
pub(super) fn owned(wanted: &Wanted, region: &str, legacy: bool, node: Option<&NodeFacts>) -> OwnedMetadata {
    let mut labels = kubeadm::topology_labels(region, &wanted.zone, legacy);
    labels.insert(CONTROL_PLANE_ROLE.to_owned(), String::new());
    let mut taints = Vec::new();
    if !node.is_some_and(held) {
        labels.insert(EXCLUDE_FROM_LOAD_BALANCERS.to_owned(), String::new());
        taints.push(Taint {
            key: CONTROL_PLANE_ROLE.to_owned(),
            value: String::new(),
            effect: TaintEffect::NoSchedule,
        });
    }
    OwnedMetadata {
        labels,
        taints,
        ..OwnedMetadata::default()
    }
}

/// What there is to put right about the master's Node.
pub(super) fn of_node(node: &NodeFacts, wanted: &Wanted, region: &str) -> BTreeSet<Repair> {
    let owned = owned(wanted, region, wanted.legacy_zone_labels, Some(node));
    let labelled = owned
        .labels
        .iter()
        .all(|(key, value)| node.labels.get(key) == Some(value));
    let tainted = owned.taints.iter().all(|taint| node.taints.contains(taint));
    let mut repairs = BTreeSet::new();
    if cordoned(node) {
        repairs.insert(Repair::Cordon);
    }
    if !(labelled && tainted) {
        repairs.insert(Repair::Node);
    }
    repairs
}

/// The labels that a master's machine should have, if it has others; `specification` is what it was made from.
pub(super) fn restored(machine: &CloudMachine, wanted: &Wanted, region: &str, specification: &str) -> Option<Labels> {
    let mut ours = wanted.labels(region);
    ours.insert(SPECIFICATION.to_owned(), specification.to_owned());
    if ours.iter().all(|(key, value)| machine.labels.get(key) == Some(value)) {
        return None;
    }
    let mut labels = machine.labels.clone();
    labels.extend(ours);
    Some(labels)
}
