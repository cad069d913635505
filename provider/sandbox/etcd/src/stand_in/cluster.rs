//! One cluster: the copies of its members, who of them is reachable, who leads, and what they agree on.
//!
//! Commands are carried out by all reachable members at once, under one lock, and only while the reachable voters are a
//! quorum. Each member keeps its own copy on its own disk. Any two quorums share a member, so the most recent of the
//! copies of a quorum has everything that was ever acknowledged; that one leads, and the others take its copy over.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use multizone_etcd_api::{Member, Refusal, ResponseHeader};
use tokio::sync::watch;
use tokio::time::Instant;

use super::command::Command;
use super::files::{Files, Identity};
use super::led::Led;
use super::state::State;

/// Why a member has to end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ejection {
    /// It was removed from the cluster.
    Removed,
    /// Its disk failed.
    Disk(String),
}

/// A cluster, shared by its members that are started.
#[derive(Debug)]
pub(super) struct Cluster {
    pub(super) id: u64,
    pub(super) speed: f64,
    inner: Mutex<Inner>,
    /// Counts whatever changes: data, leadership, reachability.
    changed: watch::Sender<u64>,
}

#[derive(Debug, Default)]
pub(super) struct Inner {
    pub(super) replicas: BTreeMap<u64, Replica>,
    pub(super) leader: Option<u64>,
    /// When each lease ends; the leader counts.
    pub(super) deadlines: BTreeMap<i64, Instant>,
}

#[derive(Debug)]
pub(super) struct Replica {
    pub(super) state: State,
    pub(super) files: Files,
    pub(super) reachable: bool,
    pub(super) connected_since: Instant,
    ejected: watch::Sender<Option<Ejection>>,
}

impl Cluster {
    pub(super) fn new(id: u64, speed: f64) -> Self {
        Self {
            id,
            speed,
            inner: Mutex::new(Inner::default()),
            changed: watch::Sender::new(0),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says that something changed. Subscribe first, then look, then wait.
    pub(super) fn subscribe(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    pub(super) fn tell(&self) {
        self.changed.send_modify(|count| *count += 1);
    }

    /// Lets a started member take part; `None` when a member with its ID does already.
    pub(super) fn attach(&self, id: u64, state: State, files: Files) -> Option<watch::Receiver<Option<Ejection>>> {
        let mut inner = self.lock();
        if inner.replicas.contains_key(&id) {
            return None;
        }
        let (ejected, ejection) = watch::channel(None);
        let replica = Replica {
            state,
            files,
            reachable: true,
            connected_since: Instant::now(),
            ejected,
        };
        inner.replicas.insert(id, replica);
        self.settle(&mut inner);
        Some(ejection)
    }

    /// A member has ended.
    pub(super) fn detach(&self, id: u64) {
        let mut inner = self.lock();
        inner.replicas.remove(&id);
        self.settle(&mut inner);
    }

    /// A member stands still, or goes on.
    pub(super) fn set_reachable(&self, id: u64, reachable: bool) {
        let mut inner = self.lock();
        if let Some(replica) = inner.replicas.get_mut(&id)
            && replica.reachable != reachable
        {
            replica.reachable = reachable;
            replica.connected_since = Instant::now();
            self.settle(&mut inner);
        }
    }

    /// What a member knows; `None` when it has ended.
    pub(super) fn read<T>(&self, id: u64, look: impl FnOnce(&State) -> T) -> Option<T> {
        self.lock().replicas.get(&id).map(|replica| look(&replica.state))
    }

    /// Uses a member's files; `None` when it has ended.
    pub(super) fn files<T>(&self, id: u64, using: impl FnOnce(&Files) -> T) -> Option<T> {
        self.lock().replicas.get(&id).map(|replica| using(&replica.files))
    }

    /// The leader, as this member sees it.
    pub(super) fn leader(&self, id: u64) -> Option<u64> {
        let inner = self.lock();
        let reachable = inner.replicas.get(&id).is_some_and(|replica| replica.reachable);
        inner.leader.filter(|_| reachable)
    }

    /// The members as a reachable one of them knows them: what a joiner is told.
    pub(super) fn members_for_joiner(&self, asked: u64) -> Option<Vec<Member>> {
        let inner = self.lock();
        let replica = inner.replicas.get(&asked).filter(|replica| replica.reachable)?;
        Some(replica.state.members.values().cloned().collect())
    }

    /// What an answer of a member from this state carries.
    pub(super) fn header(&self, id: u64, state: &State) -> ResponseHeader {
        ResponseHeader {
            cluster_id: self.id,
            member_id: id,
            revision: state.store.revision(),
            raft_term: state.term,
        }
    }

    /// Waits until there is a leader that the member reaches, for this long at most (for ever: `None`), then does it.
    pub(super) async fn with_leader<T>(
        &self,
        id: u64,
        patience: Option<Duration>,
        mut attempt: impl FnMut(&mut Led<'_>) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        let deadline = patience.map(|patience| Instant::now() + patience);
        let mut changed = self.subscribe();
        loop {
            {
                let mut inner = self.lock();
                let member = inner.replicas.get(&id).ok_or(Refusal::Stopped)?;
                if let (true, Some(leader)) = (member.reachable, inner.leader) {
                    let mut led = Led {
                        cluster: self,
                        inner: &mut inner,
                        leader,
                        asked: id,
                    };
                    return attempt(&mut led);
                }
            }
            let waited = match deadline {
                Some(deadline) => tokio::time::timeout_at(deadline, changed.changed()).await,
                None => Ok(changed.changed().await),
            };
            match waited {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return Err(Refusal::Stopped),
                Err(_) => return Err(Refusal::TimedOut),
            }
        }
    }

    /// When the next lease ends, if this member leads and there are leases.
    pub(super) fn next_expiry(&self, id: u64) -> Option<Instant> {
        let inner = self.lock();
        inner
            .deadlines
            .values()
            .min()
            .copied()
            .filter(|_| inner.leader == Some(id))
    }

    /// Revokes the leases that have ended, if this member leads.
    pub(super) fn expire(&self, id: u64) {
        let mut inner = self.lock();
        let now = Instant::now();
        while inner.leader == Some(id) {
            let ended = inner.deadlines.iter().find(|(_, deadline)| **deadline <= now);
            let Some(lease) = ended.map(|(lease, _)| *lease) else {
                return;
            };
            let mut led = Led {
                cluster: self,
                inner: &mut inner,
                leader: id,
                asked: id,
            };
            if let Err(refusal) = led.commit(&Command::Revoke(lease)) {
                tracing::debug!(lease, %refusal, "an ended lease was not revoked");
                inner.deadlines.remove(&lease);
            }
        }
    }

    /// After reachability or membership changed: who leads, who catches up, who has to go.
    pub(super) fn settle(&self, inner: &mut Inner) {
        self.elect(inner);
        let most_recent = inner.replicas.values().filter(|replica| replica.reachable);
        let removed = most_recent
            .max_by_key(|replica| replica.state.age())
            .map(|replica| replica.state.removed.clone())
            .unwrap_or_default();
        for (id, replica) in &inner.replicas {
            if replica.reachable && removed.contains(id) {
                replica.ejected.send_replace(Some(Ejection::Removed));
            }
        }
        inner.replicas.retain(|_, replica| replica.ejected.borrow().is_none());
        self.tell();
    }

    fn elect(&self, inner: &mut Inner) {
        // Until every disk works or the quorum is lost: a failed disk is a lost member.
        loop {
            let reachable = || inner.replicas.iter().filter(|(_, replica)| replica.reachable);
            let known = reachable().max_by_key(|(_, replica)| replica.state.age());
            let voters = known.map(|(_, known)| {
                let is_voter = |id: &u64| known.state.members.get(id).is_some_and(|member| !member.is_learner);
                let voters: Vec<u64> = reachable().map(|(id, _)| *id).filter(is_voter).collect();
                (voters.len() >= known.state.quorum()).then_some(voters)
            });
            let Some(Some(voters)) = voters else {
                inner.leader = None;
                inner.deadlines.clear();
                return;
            };
            let stays = inner.leader.filter(|leader| voters.contains(leader));
            let age = |id: &u64| inner.replicas.get(id).map(|replica| replica.state.age());
            let Some(leader) = stays.or_else(|| voters.iter().copied().max_by_key(|id| (age(id), u64::MAX - id)))
            else {
                return;
            };
            if stays.is_none() {
                take_the_lead(inner, leader);
            }
            if self.catch_up(inner, leader) {
                return;
            }
        }
    }

    /// Gives every reachable member the leader's copy; false when a disk failed on the way.
    fn catch_up(&self, inner: &mut Inner, leader: u64) -> bool {
        let Some(state) = inner.replicas.get(&leader).map(|replica| replica.state.clone()) else {
            return false;
        };
        let mut failed = Vec::new();
        for (id, replica) in &mut inner.replicas {
            if replica.reachable && replica.state.age() != state.age() {
                let identity = Identity {
                    cluster: self.id,
                    member: *id,
                };
                match replica.files.replace(identity, &state) {
                    Ok(()) => replica.state = state.clone(),
                    Err(error) => failed.push((*id, error)),
                }
            }
        }
        for (id, error) in &failed {
            eject(inner, *id, error);
        }
        failed.is_empty()
    }
}

/// Begins a new term.
pub(super) fn take_the_lead(inner: &mut Inner, leader: u64) {
    let reachable = inner.replicas.values().filter(|replica| replica.reachable);
    let term = reachable.map(|replica| replica.state.term).max().unwrap_or_default() + 1;
    inner.leader = Some(leader);
    let now = Instant::now();
    if let Some(replica) = inner.replicas.get_mut(&leader) {
        replica.state.term = term;
        replica.state.index += 1;
        // The new leader does not know how much time was left: every lease begins again.
        let leases = replica.state.leases.iter();
        inner.deadlines = leases.map(|(id, lease)| (*id, now + seconds(lease.ttl))).collect();
        if let Err(error) = replica.files.write(&[], &replica.state) {
            eject(inner, leader, &error);
        }
    }
}

/// A member's disk failed: it is lost.
pub(super) fn eject(inner: &mut Inner, id: u64, error: &rusqlite::Error) {
    if let Some(replica) = inner.replicas.remove(&id) {
        replica.ejected.send_replace(Some(Ejection::Disk(error.to_string())));
    }
    inner.leader = inner.leader.filter(|leader| *leader != id);
}

/// A lease's length.
pub(super) fn seconds(ttl: i64) -> Duration {
    Duration::from_secs(ttl.unsigned_abs())
}
