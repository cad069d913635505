//! What one member knows, and what a command does to it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use multizone_etcd_api::{DeleteRangeRequest, DeleteRangeResponse, KeyValue, Member, PutRequest, PutResponse, Refusal};

use super::command::{Change, Command, Outcome};
use super::store::{Store, Version};
use super::transaction;

/// A lease: how long it was granted for, in seconds, and the keys that go with it.
#[derive(Clone, Debug, Default)]
pub(super) struct Lease {
    pub(super) ttl: i64,
    pub(super) keys: BTreeSet<Vec<u8>>,
}

/// A member's copy of everything the members agree on.
#[derive(Clone, Debug, Default)]
pub(super) struct State {
    /// How often a leader was chosen.
    pub(super) term: u64,
    /// How many commands were carried out.
    pub(super) index: u64,
    pub(super) store: Store,
    pub(super) leases: BTreeMap<i64, Lease>,
    pub(super) members: BTreeMap<u64, Member>,
    pub(super) removed: BTreeSet<u64>,
    /// Member and kind of alarm.
    pub(super) alarms: BTreeSet<(u64, i32)>,
}

impl State {
    /// How recent it is: of two states of one cluster the later one has everything that was acknowledged.
    pub(super) fn age(&self) -> (u64, u64) {
        (self.term, self.index)
    }

    pub(super) fn voters(&self) -> impl Iterator<Item = &Member> {
        self.members.values().filter(|member| !member.is_learner)
    }

    pub(super) fn quorum(&self) -> usize {
        self.voters().count() / 2 + 1
    }

    pub(super) fn is_learner(&self, member: u64) -> bool {
        self.members.get(&member).is_some_and(|member| member.is_learner)
    }

    /// Carries out a command and says what it changed; a refused command changes nothing.
    pub(super) fn apply(&mut self, command: &Command) -> Result<(Outcome, Vec<Change>), Refusal> {
        match command {
            Command::Put(request) => {
                transaction::check_put(self, request)?;
                let mut writer = Writer::begin(self);
                let answer = writer.put(request);
                Ok((Outcome::Put(answer), writer.end()))
            }
            Command::Delete(request) => {
                let mut writer = Writer::begin(self);
                let answer = writer.delete(request);
                Ok((Outcome::Delete(answer), writer.end()))
            }
            Command::Txn(request) => {
                let choice = transaction::choose(&self.store, request);
                transaction::check(self, request, &choice)?;
                let mut writer = Writer::begin(self);
                let answer = transaction::run(&mut writer, request, &choice);
                Ok((Outcome::Txn(answer), writer.end()))
            }
            Command::Compact(revision) => {
                let forgotten = self.store.compact(*revision)?;
                let changes = forgotten.into_iter().map(|(main, sub)| Change::Forgotten(main, sub));
                Ok((Outcome::Done, changes.collect()))
            }
            Command::Grant { id, ttl } => {
                if self.leases.contains_key(id) {
                    return Err(Refusal::LeaseExists);
                }
                let lease = Lease {
                    ttl: *ttl,
                    keys: BTreeSet::new(),
                };
                self.leases.insert(*id, lease);
                Ok((Outcome::Done, vec![Change::Lease(*id, Some(*ttl))]))
            }
            Command::Revoke(id) => self.revoke(*id),
            Command::Alarm { member, alarm, active } => {
                let entry = (*member, *alarm);
                if *active {
                    self.alarms.insert(entry);
                } else {
                    self.alarms.remove(&entry);
                }
                let (member, alarm, active) = (*member, *alarm, *active);
                Ok((Outcome::Done, vec![Change::Alarm { member, alarm, active }]))
            }
            Command::AddMember(_)
            | Command::RemoveMember(_)
            | Command::UpdateMember { .. }
            | Command::Promote(_)
            | Command::Publish { .. } => self.change_members(command).map(|change| (Outcome::Done, vec![change])),
        }
    }

    fn revoke(&mut self, id: i64) -> Result<(Outcome, Vec<Change>), Refusal> {
        let lease = self.leases.remove(&id).ok_or(Refusal::LeaseNotFound)?;
        let mut writer = Writer::begin(self);
        for key in lease.keys {
            writer.delete(&DeleteRangeRequest {
                key,
                ..DeleteRangeRequest::default()
            });
        }
        let mut changes = writer.end();
        changes.push(Change::Lease(id, None));
        Ok((Outcome::Done, changes))
    }

    fn change_members(&mut self, command: &Command) -> Result<Change, Refusal> {
        match command {
            Command::AddMember(member) => {
                if self.members.contains_key(&member.id) || self.removed.contains(&member.id) {
                    return Err(Refusal::MemberIdExists);
                }
                let taken = |url: &String| self.members.values().any(|other| other.peer_urls.contains(url));
                if member.peer_urls.iter().any(taken) {
                    return Err(Refusal::PeerUrlExists);
                }
                if member.is_learner && self.members.values().any(|other| other.is_learner) {
                    return Err(Refusal::TooManyLearners);
                }
                self.members.insert(member.id, member.clone());
                Ok(Change::Member(member.clone()))
            }
            Command::RemoveMember(id) => {
                self.members.remove(id).ok_or(Refusal::MemberNotFound)?;
                self.removed.insert(*id);
                Ok(Change::MemberRemoved(*id))
            }
            Command::UpdateMember { id, peer_urls } => {
                let mut others = self.members.values().filter(|member| member.id != *id);
                if others.any(|other| peer_urls.iter().any(|url| other.peer_urls.contains(url))) {
                    return Err(Refusal::PeerUrlExists);
                }
                self.edit(*id, |member| member.peer_urls.clone_from(peer_urls))
            }
            Command::Promote(id) => {
                let member = self.members.get(id).ok_or(Refusal::MemberNotFound)?;
                if !member.is_learner {
                    return Err(Refusal::MemberNotLearner);
                }
                self.edit(*id, |member| member.is_learner = false)
            }
            Command::Publish { id, name, client_urls } => self.edit(*id, |member| {
                member.name.clone_from(name);
                member.client_urls.clone_from(client_urls);
            }),
            _ => Err(Refusal::MemberNotFound),
        }
    }

    fn edit(&mut self, id: u64, change: impl FnOnce(&mut Member)) -> Result<Change, Refusal> {
        let member = self.members.get_mut(&id).ok_or(Refusal::MemberNotFound)?;
        change(member);
        Ok(Change::Member(member.clone()))
    }
}

/// Makes the changes of one revision.
pub(super) struct Writer<'a> {
    state: &'a mut State,
    /// The revision being made; reads in the same transaction see it.
    revision: i64,
    changes: Vec<Change>,
    sub: i64,
}

impl<'a> Writer<'a> {
    pub(super) fn begin(state: &'a mut State) -> Self {
        let revision = state.store.revision() + 1;
        Self {
            state,
            revision,
            changes: Vec::new(),
            sub: 0,
        }
    }

    /// Makes the revision visible, if anything was written.
    pub(super) fn end(self) -> Vec<Change> {
        if self.sub > 0 {
            self.state.store.advance(self.revision);
        }
        self.changes
    }

    pub(super) fn store(&self) -> &Store {
        &self.state.store
    }

    /// The revision that answers inside a transaction carry.
    pub(super) fn revision(&self) -> i64 {
        if self.sub > 0 { self.revision } else { self.revision - 1 }
    }

    pub(super) fn put(&mut self, request: &PutRequest) -> PutResponse {
        let previous = self.state.store.latest(&request.key).cloned();
        let old = previous.as_ref().map(|version| &version.pair);
        let kept = |keep: bool| old.filter(|_| keep);
        let pair = KeyValue {
            key: request.key.clone(),
            create_revision: old.map_or(self.revision, |old| old.create_revision),
            mod_revision: self.revision,
            version: old.map_or(1, |old| old.version + 1),
            value: kept(request.ignore_value).map_or_else(|| request.value.clone(), |old| old.value.clone()),
            lease: kept(request.ignore_lease).map_or(request.lease, |old| old.lease),
        };
        if let Some(old) = old {
            self.detach(old.lease, &request.key);
        }
        if let Some(lease) = self.state.leases.get_mut(&pair.lease) {
            lease.keys.insert(request.key.clone());
        }
        self.write(pair);
        PutResponse {
            header: None,
            prev_kv: previous.filter(|_| request.prev_kv).map(|version| version.pair.clone()),
        }
    }

    pub(super) fn delete(&mut self, request: &DeleteRangeRequest) -> DeleteRangeResponse {
        let store = &self.state.store;
        let found: Vec<_> = store
            .all_at(&request.key, &request.range_end, i64::MAX)
            .cloned()
            .collect();
        for version in &found {
            self.detach(version.pair.lease, &version.pair.key);
            self.write(KeyValue {
                key: version.pair.key.clone(),
                mod_revision: self.revision,
                ..KeyValue::default()
            });
        }
        DeleteRangeResponse {
            header: None,
            deleted: i64::try_from(found.len()).unwrap_or(i64::MAX),
            prev_kvs: if request.prev_kv {
                found.iter().map(|version| version.pair.clone()).collect()
            } else {
                Vec::new()
            },
        }
    }

    fn detach(&mut self, lease: i64, key: &[u8]) {
        if let Some(lease) = self.state.leases.get_mut(&lease) {
            lease.keys.remove(key);
        }
    }

    fn write(&mut self, pair: KeyValue) {
        let version = Arc::new(Version { sub: self.sub, pair });
        self.sub += 1;
        self.state.store.insert(Arc::clone(&version));
        self.changes.push(Change::Version(version));
    }
}
