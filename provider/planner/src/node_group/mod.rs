//! The workers of one node group.
//!
//! # Flow
//! [`next`] compares the machines and Node objects that exist with the group's configuration and says what to do:
//!
//! 1. Node objects whose machine is gone are deleted: they hold pods that run nowhere.
//! 2. Machines that serve nothing and are not to stay (halted, or never joined and unable to) are deleted at once:
//!    there is nothing to drain.
//! 3. Halted machines that are to stay are started.
//! 4. Nodes that were leaving and are to stay after all are let back in.
//! 5. Labels and taints are patched in place.
//! 6. Missing machines are created, at most `size + max_surge` at a time.
//! 7. They are waited for.
//! 8. Machines that are not to stay (surplus, or of an earlier specification) leave: cordon, drain, delete the machine,
//!    delete the Node.  At least `size - max_unavailable` workers stay available meanwhile.
//!
//! A step names every machine it concerns; those are worked on at the same time.
//!
//! # Guarantees, in every state, after a crash between any two steps too
//! - No machine that serves is deleted before it was cordoned and drained, unless the user said `force` or there is no
//!   control plane any more (domain-rules.md, kube-up's mistake 6).
//! - Never more than `size + max_surge` machines are created, and no joined worker is taken away while fewer than
//!   `size - max_unavailable` would be left.
//! - The same facts give the same step; every sequence ends.
//!
//! `next.rs` has the order, `gates.rs` what must be true before each step, `group.rs` what is known of each worker and
//! who goes first.  `rules.md` in this crate lists the rules with their tests.

mod effect;
mod gates;
mod group;
#[cfg(test)]
pub(crate) mod invariants;
mod name;
mod next;
mod preview;
#[cfg(test)]
pub(crate) mod properties;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::Version;

pub use effect::effect;
pub use gates::Gate;
#[cfg(test)]
pub(crate) use gates::Gates;
pub use name::{NAME_OVERHEAD, Names};
pub use next::next;
#[cfg(test)]
pub(crate) use next::next_with;
pub use preview::{Preview, preview};

/// Labels of a Node.
pub type Labels = BTreeMap<String, String>;

/// What there is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Observed {
    /// Whether the Kubernetes API answers.
    pub api: Api,
    /// The API server's version, when it answers.
    pub api_version: Option<Version>,
    /// Machines and Node objects of the group, by name.
    pub members: BTreeMap<String, Member>,
}

/// The state of the Kubernetes API, seen from where the provider runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Api {
    /// It answers.
    Serving,
    /// It does not answer, and a master exists.
    Silent,
    /// No master exists: nothing is left that could schedule, evict or join.
    Gone,
}

/// A machine, its Node object, or both: they have the same name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Member {
    /// The machine.
    pub machine: Option<Machine>,
    /// The Node object.
    pub node: Option<Node>,
    /// The executor has drained it in this operation.
    pub drained: bool,
}

/// A machine.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Machine {
    /// Whether it runs.
    pub power: Power,
    /// What it was made from, as a fingerprint.
    pub specification: String,
    /// When it was made, in seconds of any epoch; only the order counts.
    pub created: i64,
    /// It has not joined and still can: this operation made it and its bootstrap token lives.
    pub joinable: bool,
    /// Somebody changed the labels by which the cloud knows it as one of the group's.
    #[serde(default)]
    pub mislabelled: bool,
}

/// Whether a machine runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Power {
    /// Running, or on its way there.
    On,
    /// Halted, or on its way there.
    Off,
}

/// A Node object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Node {
    /// It counts as joined: Ready, or registered where no pod network was asked for.
    pub joined: bool,
    /// Why it is not Ready, and since when; `None` when it is.
    #[serde(default)]
    pub not_ready: Option<String>,
    /// This provider has cordoned it because it is to leave.
    pub leaving: bool,
    /// Somebody else cordoned it, and neither asked for it to be kept so nor is an autoscaler.
    #[serde(default)]
    pub cordoned: bool,
    /// The record of the group's settings that it carries, for imports.
    #[serde(default)]
    pub record: Option<String>,
    /// Its labels.
    pub labels: Labels,
    /// Its taints.
    pub taints: BTreeSet<Taint>,
}

/// A taint.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Taint {
    /// Key.
    pub key: String,
    /// Value; empty for none.
    pub value: String,
    /// `NoSchedule`, `PreferNoSchedule` or `NoExecute`.
    pub effect: String,
}

/// What the configuration asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Desired {
    /// How the machines are called.
    pub names: Names,
    /// The zone, for the wording.
    pub zone: String,
    /// How many workers; zero when the group is to go.
    pub size: usize,
    /// Version of the kubelet.
    pub version: Version,
    /// What machines are made from, as a fingerprint.
    pub specification: String,
    /// Labels that every Node carries.
    pub labels: Labels,
    /// Keys of labels that no Node carries: those an earlier configuration set.
    pub absent_labels: BTreeSet<String>,
    /// The record of the group's settings that every Node carries.
    pub record: Option<String>,
    /// Taints that every Node carries.
    pub taints: BTreeSet<Taint>,
    /// Taints that no Node carries: those an earlier configuration set.
    pub absent_taints: BTreeSet<Taint>,
    /// How many machines beyond `size` may exist during a replacement.
    pub max_surge: usize,
    /// How many of `size` workers may be missing during a replacement.
    pub max_unavailable: usize,
    /// When the group goes (`size` is 0): take its machines away without draining them.
    pub force: bool,
}

/// One idempotent action on some of the group's machines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Give machines the labels back by which the cloud knows them as the group's.
    Relabel(BTreeSet<String>),
    /// Delete Node objects whose machine is gone.
    DeleteNodes(BTreeSet<String>),
    /// Delete machines: drained, dead, or to be forced.
    DeleteMachines(BTreeSet<String>),
    /// Start halted machines.
    StartMachines(BTreeSet<String>),
    /// Let nodes back in that were leaving, or that somebody cordoned.
    Keep(BTreeSet<String>),
    /// Set labels and taints of nodes in place.
    Patch(BTreeSet<String>),
    /// Make machines.
    CreateMachines(BTreeSet<String>),
    /// Wait until machines have joined.
    WaitJoined(BTreeSet<String>),
    /// Cordon nodes and mark them as leaving.
    Cordon(BTreeSet<String>),
    /// Evict the pods of nodes.
    Drain(BTreeSet<String>),
}

impl Step {
    /// The machines it concerns.
    pub fn names(&self) -> &BTreeSet<String> {
        match self {
            Self::Relabel(names)
            | Self::DeleteNodes(names)
            | Self::DeleteMachines(names)
            | Self::StartMachines(names)
            | Self::Keep(names)
            | Self::Patch(names)
            | Self::CreateMachines(names)
            | Self::WaitJoined(names)
            | Self::Cordon(names)
            | Self::Drain(names) => names,
        }
    }

    /// Whether the step changes nothing by itself.
    pub fn only_waits(&self) -> bool {
        matches!(self, Self::WaitJoined(_))
    }
}

/// The engine's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Carry this out, then ask again.
    Step(Step),
    /// The group is as it is to be.
    Done,
    /// Nothing can be done now.
    Blocked(Blocked),
    /// What is asked for is never right.
    Refused(Violation),
}

/// Why nothing can be done now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Blocked {
    /// Nodes can neither be drained nor joined.
    #[error(
        "the Kubernetes API does not answer, so workers can neither be drained nor join. Bring the control plane back, \
         then apply again; a group that is destroyed can go without being drained by force"
    )]
    ApiSilent,
    /// There is nothing to join.
    #[error("the cluster has no control plane, so workers have nothing to join")]
    ControlPlaneGone,
}

/// Which rule the configuration breaks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// A replacement could never begin.
    #[error("max_surge and max_unavailable are both 0, so no worker could ever be replaced")]
    NoRoomToReplace,
    /// Version skew.
    #[error(
        "workers of version {kubelet} cannot talk to an API server of version {api}: a kubelet is never newer than the \
         API server, and at most three minor versions older"
    )]
    VersionSkew {
        /// The workers' version.
        kubelet: Version,
        /// The API server's version.
        api: Version,
    },
}
