//! What the engine answers: a step, the end, or why it goes no further.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::facts::Holder;
use crate::Version;

/// One idempotent action.  What must be true before it is its [`gate`](super::gate); what it does is its
/// [`effect`](super::effect).
///
/// Nobody has a shell on a machine.  What happens there happens by user data (`Init`, `Join`), by stopping or starting
/// the machine (`StopMachine`, `StartMachine`), or by a short-lived privileged pod on it (`StopApiServer`,
/// `StartApiServer`: it moves the static pod's manifest away, or back).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Step {
    /// Save a snapshot of etcd.
    BackUp,
    /// Make the first master's machine and wait until the API serves; it initialises the cluster.
    Init(NewMachine),
    /// Make a master's machine and wait until it has joined: kubeadm adds the learner, starts and promotes it.
    Join(NewMachine),
    /// Wait until kubeadm, at work on a machine since before, is done.
    AwaitJoin(String),
    /// Start a halted master and wait until it serves.
    StartMachine(String),
    /// Wait until a running master's member and API server are healthy.
    AwaitHealthy(String),
    /// Put the cluster-wide settings in place.
    ApplySettings(Version, String),
    /// Bring kubeadm's addons, kube-proxy and `CoreDNS`, to a version and to what is chosen.
    ApplyAddons(Version, String),
    /// Give the node groups' user its rights.
    InstallAccess,
    /// Apply the pod network's manifest.
    ApplyPodNetwork(String),
    /// Wait until a master's own Node has joined.
    AwaitNode(String),
    /// Put a master behind the balancer and wait until it serves there.
    Register(String),
    /// Take a master off the balancer and wait until it is gone, not merely draining.
    Deregister(String),
    /// Move the API's address and ask through it.
    HandOver(Holder, Holder),
    /// Move the API's address away from a holder on which it did not answer, and remember that in this operation.
    RollBack(Holder, Holder),
    /// Wait until a request through the API's address is answered, where no other holder could take it.
    AwaitAnswer(Holder),
    /// Take the address off a machine or balancer that goes, when nothing can take it.
    Release(Holder),
    /// Cordon a master that leaves, and mark it as leaving.
    Cordon(String),
    /// Let a master that was leaving take pods again.
    Uncordon(String),
    /// Evict a master's pods.
    Drain(String),
    /// Wait until no volume is attached to a master's machine.
    AwaitDetached(String),
    /// Taint the Node of a machine that is confirmed off, so that its pods and volumes are given up.
    MarkOutOfService(String),
    /// Move etcd's leadership from one master to another.
    MoveLeader(String, String),
    /// Stop a leaving master's API server gracefully, so that its endpoint record goes with it.
    StopApiServer(String),
    /// Start a stopped API server again on a master that stays after all, and wait until it serves.
    StartApiServer(String),
    /// Remove a member of etcd, by its ID, which was on that machine.
    RemoveMember(u64, Option<String>),
    /// Stop a master's machine, and with it what is left on it.
    StopMachine(String),
    /// Delete a master's machine.
    DeleteMachine(String),
    /// Delete the Node object of a master that is gone.
    DeleteNode(String),
    /// Wait until a dead API server's endpoint record has expired.
    AwaitEndpointGone(String),
    /// Delete a gone master's zonal disk.
    ReleaseDisk(String),
    /// Make the balancer.
    CreateBalancer,
    /// Let the balancer span a zone.
    Span(String),
    /// Take a zone from the balancer.
    Unspan(String),
    /// Delete the balancer.
    DeleteBalancer,
    /// Add a zone to the cluster, with its subnet where it has its own, or let one stay that was leaving.
    AddZone(String),
    /// Mark a zone as leaving: nothing new is made in it.
    MarkLeaving(String),
    /// Remove an empty zone, with its subnet where it has its own.
    RemoveZone(String),
}

impl Step {
    /// Whether the step changes nothing by itself.
    pub fn only_waits(&self) -> bool {
        matches!(
            self,
            Self::AwaitJoin(_)
                | Self::AwaitHealthy(_)
                | Self::AwaitNode(_)
                | Self::AwaitDetached(_)
                | Self::AwaitEndpointGone(_)
                | Self::AwaitAnswer(_)
        )
    }

    /// Whether etcd is to be backed up before.  Repairs that only bring something back are not held up by it.
    pub(super) fn puts_etcd_at_risk(&self) -> bool {
        matches!(
            self,
            Self::Join(_)
                | Self::ApplySettings(..)
                | Self::Cordon(_)
                | Self::Drain(_)
                | Self::MoveLeader(..)
                | Self::StopApiServer(_)
                | Self::RemoveMember(..)
                | Self::StopMachine(_)
                | Self::DeleteMachine(_)
        )
    }
}

/// A machine to be made.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct NewMachine {
    /// Its name.
    pub name: String,
    /// Key of its replica.
    pub replica: String,
    /// Its zone.
    pub zone: String,
    /// What it is made from.
    pub specification: String,
    /// Its Kubernetes version.
    pub version: Version,
}

/// The engine's answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Next {
    /// Carry this out, then ask again.
    Step(Step),
    /// The operation has done its part.
    Done,
    /// Nothing can be done now.
    Blocked(Blocked),
    /// What is asked for is never right.
    Refused(Violation),
}

/// Why nothing can be done now, what is safe, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Blocked {
    /// etcd cannot commit, and nothing that could be started would change that.
    #[error(
        "the quorum of etcd is lost: of its {} {} {} {} gone ({}), {} {} left{}, and {majority} are needed. Writes to the \
         API are refused, and no member can be added or removed. Bring back what can come back and \
         apply again. If that is lost for good: {} The guide \"Recovery\" has each command; it is never done \
         automatically",
        gone.len() + left.len(),
        if gone.len() + left.len() == 1 { "voter" } else { "voters" },
        gone.len(),
        are(gone.len()),
        gone.join(", "),
        left.len(),
        are(left.len()),
        in_brackets(left),
        way_out(left)
    )]
    NoQuorum {
        /// Voters whose machines are gone.
        gone: Vec<String>,
        /// Voters whose machines are there.
        left: Vec<String>,
        /// Voters needed.
        majority: usize,
    },
    /// All masters are gone, and with them etcd.
    #[error(
        "no master is left, and with the masters went etcd. The cluster is not initialised anew over lost data: restore \
         etcd from a snapshot as the guide \"Recovery\" describes, or destroy the control plane and create another"
    )]
    EverythingLost,
    /// A zone that is needed is out.
    #[error(
        "zone {zone} is out, and with it {what}. {} Apply again when the zone is back{}",
        if *.writes { "What the others serve goes on; nothing more is changed meanwhile." }
        else { "Without it etcd has no quorum: the API accepts no writes, and nothing can be changed." },
        if *.writes { ", or move the replica to another zone" }
        else { "; should it never come back, the guide \"Recovery\" says how etcd goes on without it" }
    )]
    ZoneOut {
        /// The zone.
        zone: String,
        /// What is in it.
        what: String,
        /// Whether etcd has its quorum all the same.
        writes: bool,
    },
    /// What is to be deleted is in a zone that is out.
    #[error(
        "zone {zone} is out, and with it {what}, which cannot be deleted before the zone is back. It stays in Terraform's \
         state, so that nothing is left behind. Destroy again when the zone is back"
    )]
    OutOfReach {
        /// The zone.
        zone: String,
        /// What is in it.
        what: String,
    },
    /// A replica is wanted in a zone that the cluster does not have (any more).
    #[error(
        "replica {replica} is to be in zone {zone}, which {}. Give the replica another zone, or {} the cluster's zones",
        if *.leaving { "is leaving the cluster" } else { "the cluster does not span" },
        if *.leaving { "keep this one among" } else { "add this one to" }
    )]
    NotInThisZone {
        /// The replica.
        replica: String,
        /// The zone.
        zone: String,
        /// Whether the zone is leaving.
        leaving: bool,
    },
    /// A replica is wanted in a zone whose subnet is not there.
    #[error(
        "replica {replica} is to be in zone {zone}, which has no subnet of the cluster yet. Apply the cluster first: it \
         makes the subnet"
    )]
    NoSubnet {
        /// The replica.
        replica: String,
        /// The zone.
        zone: String,
    },
    /// A removal that etcd would not survive, or could not commit.
    #[error(
        "master {machine} stays: without it {healthy} of {voters} etcd members would be healthy, and {} are needed. \
         Bring the masters back that do not answer, then apply again",
        voters / 2 + 1
    )]
    WouldLoseQuorum {
        /// The machine.
        machine: String,
        /// Healthy voters without it.
        healthy: usize,
        /// Voters without it.
        voters: usize,
    },
    /// No other master serves the API.
    #[error("master {0} stays: no other master serves the API in its place. Bring another one back, then apply again")]
    NobodyElseServes(String),
    /// etcd's membership cannot be read.
    #[error(
        "etcd's membership cannot be read, so no removal can be proven safe. Allow access to etcd through the API server \
         or directly, and apply again"
    )]
    MembershipUnknown,
    /// A handover that did not work was rolled back.
    #[error(
        "the API did not answer at its address on {holder}, so the address stays where it was. Find out why {holder} \
         does not answer there (its firewall, its /readyz), then apply again: that tries once more",
        holder = who(.0)
    )]
    HandoverFailed(Holder),
    /// The only serving target is in a zone that the balancer is to leave.
    #[error(
        "the balancer stays in {0}: no target in another zone serves. Put a master into another zone that the balancer \
         spans first"
    )]
    OnlyServingTarget(String),
    /// Something still stands in a zone of a cluster that is to go.
    #[error("zone {0} is not empty: destroy the node groups, disks and masters in it first")]
    ZoneInUse(String),
    /// The engine's own safety net: a sequence without an end.
    #[error("the order of changes does not come to an end; this is a defect of the provider, and nothing was changed")]
    NoEnd,
}

/// Which rule the configuration breaks, whatever the state of the world.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Violation {
    /// A version older than the one that runs.
    #[error(
        "the control plane runs {from}: it cannot go back to {to}. Ask for {from} or later; an earlier version takes a \
         new cluster"
    )]
    Downgrade {
        /// What runs.
        from: Version,
        /// What is asked for.
        to: Version,
    },
    /// More than one minor at once.
    #[error("the control plane runs {from}: go one minor version at a time, to {}.{} first", from.major, from.minor + 1)]
    SkipsAMinor {
        /// What runs.
        from: Version,
        /// What is asked for.
        to: Version,
    },
    /// Workers that would be too old.
    #[error(
        "workers run {worker}: an API server of {to} serves kubelets at most three minor versions older. Upgrade the node groups first"
    )]
    WorkersTooOld {
        /// The oldest worker's version.
        worker: Version,
        /// What is asked for.
        to: Version,
    },
    /// etcd that cannot be followed by 3.6.
    #[error(
        "etcd is at {etcd}, and Kubernetes 1.34 brings etcd 3.6, which follows 3.5.26 or later only. Take the newest \
         patch of the present minor version first"
    )]
    EtcdTooOld {
        /// The oldest member's version.
        etcd: Version,
    },
    /// The endpoint's name is the balancer's.
    #[error(
        "the API's endpoint is the balancer's name: without the balancer nothing reaches the masters. Keep it, or \
         destroy the control plane first"
    )]
    CutsOffTheApi,
}

fn are(count: usize) -> &'static str {
    if count == 1 { "is" } else { "are" }
}

fn in_brackets(names: &[String]) -> String {
    if names.is_empty() {
        return String::new();
    }
    format!(" ({})", names.join(", "))
}

/// How a cluster goes on whose the quorum of etcd is lost for good.
fn way_out(left: &[String]) -> String {
    let of_a_snapshot = "a snapshot of etcd";
    match left.first() {
        Some(name) => format!(
            "make {name} etcd's only member, from its own data (--force-new-cluster) or from {of_a_snapshot}; then apply \
             again, and the missing masters are made anew."
        ),
        None => format!("restore {of_a_snapshot} on a new first master."),
    }
}

/// A holder in words.
pub(super) fn who(holder: &Holder) -> impl fmt::Display + '_ {
    struct Who<'a>(&'a Holder);
    impl fmt::Display for Who<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            match self.0 {
                Holder::Nobody => f.write_str("nobody"),
                Holder::Machine(name) => write!(f, "master {name}"),
                Holder::Balancer => f.write_str("the balancer"),
            }
        }
    }
    Who(holder)
}
