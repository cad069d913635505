//! The gates: what must be true before a step, each with the rule it keeps.
//!
//! A gate can be switched off in one way only, from the tests of this crate: the model checker shows for each gate that
//! without it something breaks.

/// A gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Gate {
    /// A voter is removed only when a majority is healthy before and after.
    QuorumBeforeAndAfter,
    /// A join begins only when every member of etcd is healthy: a dead one goes out first.
    AllHealthyBeforeJoin,
    /// While kubeadm is at work on a machine, nothing else changes the membership.
    OneChangeAtATime,
    /// A live master is replaced add-first.
    AddBeforeRemove,
    /// A master is put behind the balancer only after its own `/readyz`.
    ReadyBeforeRegistered,
    /// The address goes only to who serves.
    ServesBeforeHandover,
    /// The address leaves a master before the master leaves.
    AddressBeforeLeaving,
    /// A master is cordoned before it is drained.
    CordonedBeforeDrained,
    /// A master is off the balancer before it is drained and stopped.
    OffBalancerBeforeLeaving,
    /// A master is drained before it leaves etcd.
    DrainedBeforeLeaving,
    /// Its volumes are detached before it leaves etcd.
    DetachedBeforeLeaving,
    /// Leadership moves away before the leader is removed.
    LeaderMovedBeforeRemoval,
    /// The API server is stopped gracefully before its member is removed.
    ApiStoppedBeforeRemoval,
    /// A machine is stopped and deleted only when its member is out.
    OutOfEtcdBeforeTermination,
    /// A target is deregistered only while another serves.
    AnotherTargetServes,
    /// A master leaves only while another serves the API.
    AnotherMasterServes,
    /// Cluster-wide settings are in place before machines of a new version join.
    SettingsBeforeMachines,
    /// kube-proxy is never newer than an API server: addons follow the last master of an earlier version.
    MastersBeforeAddons,
    /// etcd is backed up before the control plane changes.
    BackUpBeforeChange,
    /// The Node object is deleted only when its machine is gone.
    MachineBeforeNode,
    /// The balancer goes only when it does not hold the address and has no target.
    BalancerUnusedBeforeDeletion,
    /// A zone's subnet goes only when nothing is left in the zone.
    ZoneEmptyBeforeRemoval,
    /// A first master is never made again once the cluster was initialised.
    InitOnce,
    /// Nothing new is made in a zone that leaves, or is out.
    ZoneUsableBeforeJoin,
}

impl Gate {
    /// All gates.
    pub const ALL: [Self; 24] = [
        Self::QuorumBeforeAndAfter,
        Self::AllHealthyBeforeJoin,
        Self::OneChangeAtATime,
        Self::AddBeforeRemove,
        Self::ReadyBeforeRegistered,
        Self::ServesBeforeHandover,
        Self::AddressBeforeLeaving,
        Self::CordonedBeforeDrained,
        Self::OffBalancerBeforeLeaving,
        Self::DrainedBeforeLeaving,
        Self::DetachedBeforeLeaving,
        Self::LeaderMovedBeforeRemoval,
        Self::ApiStoppedBeforeRemoval,
        Self::OutOfEtcdBeforeTermination,
        Self::AnotherTargetServes,
        Self::AnotherMasterServes,
        Self::SettingsBeforeMachines,
        Self::MastersBeforeAddons,
        Self::BackUpBeforeChange,
        Self::MachineBeforeNode,
        Self::BalancerUnusedBeforeDeletion,
        Self::ZoneEmptyBeforeRemoval,
        Self::InitOnce,
        Self::ZoneUsableBeforeJoin,
    ];
}

/// Which gates are closed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Gates {
    open: Option<Gate>,
}

impl Gates {
    /// All gates but one.  For tests that show what the one is for.
    #[cfg(test)]
    pub(super) fn without(gate: Gate) -> Self {
        Self { open: Some(gate) }
    }

    /// Whether a gate lets a step through.
    pub(super) fn holds(self, gate: Gate, condition: bool) -> bool {
        condition || self.open == Some(gate)
    }
}
