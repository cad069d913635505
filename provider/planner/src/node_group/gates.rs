//! The gates of a node group's steps: what must be true before each.
//!
//! As with the cluster's gates, one can be switched off from the tests of this crate only: the model check shows for
//! each that without it something breaks.

/// A gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Gate {
    /// Workers go only while the API answers, so that they can be drained; or by force, or when no master is left.
    ApiBeforeDeletion,
    /// A machine is made only while there are fewer than `size + max_surge`.
    RoomBeforeCreation,
    /// New workers have joined before old ones leave.
    JoinedBeforeOthersLeave,
    /// A worker that serves is taken away only while `size - max_unavailable` others serve.
    EnoughStayAvailable,
    /// A worker is cordoned before it is drained.
    CordonedBeforeDrained,
    /// A worker is drained before its machine is deleted.
    DrainedBeforeDeletion,
    /// A Node object is deleted only when its machine is gone.
    MachineBeforeNode,
}

impl Gate {
    /// All gates.
    pub const ALL: [Self; 7] = [
        Self::ApiBeforeDeletion,
        Self::RoomBeforeCreation,
        Self::JoinedBeforeOthersLeave,
        Self::EnoughStayAvailable,
        Self::CordonedBeforeDrained,
        Self::DrainedBeforeDeletion,
        Self::MachineBeforeNode,
    ];
}

/// Which gates are closed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Gates {
    open: Option<Gate>,
}

impl Gates {
    /// All gates but one.  For tests that show what the one is for.
    #[cfg(test)]
    pub(crate) fn without(gate: Gate) -> Self {
        Self { open: Some(gate) }
    }

    /// Whether a gate lets a step through.
    pub(super) fn holds(self, gate: Gate, condition: bool) -> bool {
        condition || self.open == Some(gate)
    }
}
