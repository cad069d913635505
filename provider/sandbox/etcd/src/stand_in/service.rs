//! What all services share: who may ask, and when.

use multizone_etcd_api::{AlarmType, REQUIRE_LEADER, Refusal};
use tonic::metadata::MetadataMap;

use super::led::Seat;

/// The services of one member.
#[derive(Clone, Debug)]
pub(super) struct Service {
    pub(super) seat: Seat,
}

impl Service {
    /// Refuses what learners do not serve (`for_learners` says that they do), and requests that want a leader while
    /// there is none.
    pub(super) fn admit(&self, metadata: &MetadataMap, for_learners: bool) -> Result<(), Refusal> {
        if !for_learners && self.seat.is_learner() {
            return Err(Refusal::NotSupportedForLearner);
        }
        if requires_leader(metadata) && self.leader().is_none() {
            return Err(Refusal::NoLeader);
        }
        Ok(())
    }

    /// The leader, as this member sees it.
    pub(super) fn leader(&self) -> Option<u64> {
        self.seat.cluster.leader(self.seat.id)
    }

    /// Refuses to write while an alarm says that the space is used up.
    pub(super) fn check_space(&self) -> Result<(), Refusal> {
        let full = AlarmType::Nospace as i32;
        let alarm = self
            .seat
            .look(|state| state.alarms.iter().any(|(_, alarm)| *alarm == full))?;
        if alarm { Err(Refusal::NoSpace) } else { Ok(()) }
    }
}

/// Whether the request wants an error rather than a wait while there is no leader.
pub(super) fn requires_leader(metadata: &MetadataMap) -> bool {
    metadata.get(REQUIRE_LEADER).is_some_and(|value| value == "true")
}
