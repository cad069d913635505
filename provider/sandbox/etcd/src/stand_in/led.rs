//! What a member does for its clients once its cluster has a leader.

use std::sync::Arc;
use std::time::Duration;

use multizone_etcd_api::{Member, Refusal, ResponseHeader};
use tokio::time::Instant;

use super::cluster::{Cluster, Inner, eject, seconds, take_the_lead};
use super::command::{Command, Outcome};
use super::state::State;

/// How long members have to be connected before the cluster counts as healthy, in real time.
const HEALTH_INTERVAL: Duration = Duration::from_secs(5);

/// How a lease is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LeaseTime {
    pub(super) granted: i64,
    pub(super) left: i64,
    pub(super) keys: Vec<Vec<u8>>,
}

/// A cluster that has a leader, locked.
pub(super) struct Led<'a> {
    pub(super) cluster: &'a Cluster,
    pub(super) inner: &'a mut Inner,
    pub(super) leader: u64,
    pub(super) asked: u64,
}

impl Led<'_> {
    /// The copy of the member that was asked: with a leader it is as recent as the leader's.
    pub(super) fn state(&self) -> Result<&State, Refusal> {
        let replica = self.inner.replicas.get(&self.asked).ok_or(Refusal::Stopped)?;
        Ok(&replica.state)
    }

    /// What the answer carries.
    pub(super) fn header(&self) -> Result<Option<ResponseHeader>, Refusal> {
        Ok(Some(self.cluster.header(self.asked, self.state()?)))
    }

    /// Carries a command out on all reachable members; it is acknowledged when a quorum of voters has it on disk.
    pub(super) fn commit(&mut self, command: &Command) -> Result<Outcome, Refusal> {
        let mut failed = Vec::new();
        let mut outcome = None;
        for (id, replica) in self.inner.replicas.iter_mut().filter(|(_, replica)| replica.reachable) {
            // All copies are the same: the first one refuses, and nothing has changed, or all agree.
            let (answer, changes) = replica.state.apply(command)?;
            outcome.get_or_insert(answer);
            replica.state.index += 1;
            if let Err(error) = replica.files.write(&changes, &replica.state) {
                failed.push((*id, error));
            }
        }
        for (id, error) in &failed {
            eject(self.inner, *id, error);
        }
        match command {
            Command::Grant { id, ttl } => {
                self.inner.deadlines.insert(*id, Instant::now() + seconds(*ttl));
            }
            Command::Revoke(id) => {
                self.inner.deadlines.remove(id);
            }
            _ => {}
        }
        if command.changes_membership() || !failed.is_empty() {
            self.cluster.settle(self.inner);
        } else {
            self.cluster.tell();
        }
        if !failed.is_empty() && self.inner.leader.is_none() {
            return Err(Refusal::TimedOut);
        }
        outcome.ok_or(Refusal::LeaderChanged)
    }

    /// Starts a lease's time again; answers its length, `None` when there is no such lease.
    pub(super) fn keep_alive(&mut self, lease: i64) -> Result<Option<i64>, Refusal> {
        let ttl = self.state()?.leases.get(&lease).map(|lease| lease.ttl);
        if let Some(ttl) = ttl {
            self.inner.deadlines.insert(lease, Instant::now() + seconds(ttl));
        }
        Ok(ttl)
    }

    /// How a lease is doing; `None` when there is no such lease.
    pub(super) fn lease_time(&self, lease: i64) -> Result<Option<LeaseTime>, Refusal> {
        let deadline = self.inner.deadlines.get(&lease);
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()).as_secs());
        Ok(self.state()?.leases.get(&lease).map(|lease| LeaseTime {
            granted: lease.ttl,
            left: left.and_then(|left| i64::try_from(left).ok()).unwrap_or_default(),
            keys: lease.keys.iter().cloned().collect(),
        }))
    }

    /// Whether a member is reachable, and connected for as long as etcd wants it to be before it calls it healthy. A
    /// member is always connected with itself.
    fn healthy(&self, id: u64) -> bool {
        let interval = HEALTH_INTERVAL.div_f64(self.cluster.speed.max(1.0));
        let replica = self.inner.replicas.get(&id).filter(|replica| replica.reachable);
        replica.is_some_and(|replica| id == self.asked || replica.connected_since.elapsed() >= interval)
    }

    fn reachable(&self, id: u64) -> bool {
        self.inner.replicas.get(&id).is_some_and(|replica| replica.reachable)
    }

    /// Refuses to add a member that would put the quorum at risk (etcd's strict-reconfig-check).
    pub(super) fn check_addition(&self, learner: bool) -> Result<(), Refusal> {
        let state = self.state()?;
        let (all, started) = count(state.voters());
        let restoring = all == 2 && started == 1;
        if !learner && !restoring && started < all / 2 + 1 {
            return Err(Refusal::NotEnoughStartedMembers);
        }
        if state.voters().all(|voter| self.healthy(voter.id)) {
            Ok(())
        } else {
            Err(Refusal::Unhealthy)
        }
    }

    /// Refuses to remove a member that the quorum needs.
    pub(super) fn check_removal(&self, id: u64) -> Result<(), Refusal> {
        let state = self.state()?;
        if state.is_learner(id) {
            return Ok(());
        }
        let (left, started) = count(state.voters().filter(|voter| voter.id != id));
        if started < left / 2 + 1 {
            return Err(Refusal::NotEnoughStartedMembers);
        }
        if id != self.asked && !self.reachable(id) {
            return Ok(());
        }
        // Counted as etcd does.
        let active = state.voters().filter(|voter| self.healthy(voter.id)).count();
        let needed = 1 + state.voters().count().saturating_sub(1) / 2;
        if active.saturating_sub(1) < needed {
            Err(Refusal::Unhealthy)
        } else {
            Ok(())
        }
    }

    /// Refuses to promote a learner that has not started: a started one that is reachable has the leader's copy.
    pub(super) fn check_promotion(&self, id: u64) -> Result<(), Refusal> {
        let state = self.state()?;
        let member = state.members.get(&id).ok_or(Refusal::MemberNotFound)?;
        if !member.is_learner {
            Err(Refusal::MemberNotLearner)
        } else if member.name.is_empty() || !self.reachable(id) {
            Err(Refusal::LearnerNotReady)
        } else {
            Ok(())
        }
    }

    /// Makes a new ID: the cluster never gave it to anyone.
    pub(super) fn new_member_id(&self, peer_urls: &[String]) -> Result<u64, Refusal> {
        let state = self.state()?;
        let salt = format!("{}/{}/{}", self.cluster.id, state.term, state.index);
        Ok(super::bootstrap::hash(
            peer_urls.iter().map(String::as_str).chain([salt.as_str()]),
        ))
    }

    /// Hands leadership from the member that was asked to another.
    pub(super) fn move_leader(&mut self, to: u64) -> Result<(), Refusal> {
        if self.asked != self.leader {
            return Err(Refusal::NotLeader);
        }
        if !self.state()?.voters().any(|voter| voter.id == to) {
            return Err(Refusal::BadLeaderTransferee);
        }
        if to != self.leader {
            if !self.reachable(to) {
                return Err(Refusal::TimedOut);
            }
            take_the_lead(self.inner, to);
            self.cluster.settle(self.inner);
        }
        Ok(())
    }
}

/// How many, and how many of them have started.
fn count<'a>(members: impl Iterator<Item = &'a Member>) -> (usize, usize) {
    members.fold((0, 0), |(all, started), member| {
        (all + 1, started + usize::from(!member.name.is_empty()))
    })
}

/// A member's way to its cluster.
#[derive(Clone, Debug)]
pub(super) struct Seat {
    pub(super) cluster: Arc<Cluster>,
    pub(super) id: u64,
    /// How long a request waits for a quorum.
    pub(super) patience: Duration,
    /// The version that the member says it has.
    pub(super) version: Arc<str>,
}

impl Seat {
    /// Looks at what this member knows, whatever the others know.
    pub(super) fn look<T>(&self, look: impl FnOnce(&State) -> T) -> Result<T, Refusal> {
        self.cluster.read(self.id, look).ok_or(Refusal::Stopped)
    }

    /// The header of an answer from what this member knows.
    pub(super) fn header(&self) -> Result<Option<ResponseHeader>, Refusal> {
        self.look(|state| Some(self.cluster.header(self.id, state)))
    }

    pub(super) fn is_learner(&self) -> bool {
        self.look(|state| state.is_learner(self.id)).unwrap_or_default()
    }

    /// Has a command carried out. The header is of its own revision.
    pub(super) async fn propose(&self, command: &Command) -> Result<(Outcome, Option<ResponseHeader>), Refusal> {
        self.led(Some(self.patience), |led| Ok((led.commit(command)?, led.header()?)))
            .await
    }

    /// Waits for a leader and does it then; see [`Cluster::with_leader`].
    pub(super) async fn led<T>(
        &self,
        patience: Option<Duration>,
        attempt: impl FnMut(&mut Led<'_>) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        self.cluster.with_leader(self.id, patience, attempt).await
    }
}
