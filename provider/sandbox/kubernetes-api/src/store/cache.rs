//! The objects in memory, and their latest changes.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::{Arc, PoisonError, RwLock};

use serde_json::Value;
use tokio::sync::watch;

use super::Key;

/// How many changes a watcher may be behind.
const HISTORY: usize = 4_000;

/// What happened to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EventKind {
    Added,
    Modified,
    Deleted,
}

/// One change, as watchers see it.
#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) revision: u64,
    pub(crate) kind: EventKind,
    pub(crate) key: Key,
    /// The object after the change; for a deletion its last state, at the revision of the deletion.
    pub(crate) object: Arc<Value>,
    /// The object before the change.
    pub(crate) previous: Option<Arc<Value>>,
}

/// The wanted revision has left the history.
#[derive(Debug, thiserror::Error)]
#[error("too old resource version")]
pub(crate) struct Expired;

/// One change, as the keeper of the objects made it.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) key: Key,
    /// The object after the change, or before its end, at the revision of the change.
    pub(super) object: Arc<Value>,
    pub(super) deleted: bool,
}

/// All objects at one revision, and how they came to be what they are.
#[derive(Debug)]
pub(super) struct Cache {
    state: RwLock<State>,
    latest: watch::Sender<Position>,
}

/// How far a cache has come.
#[derive(Clone, Copy, Debug)]
struct Position {
    /// Counts the histories that this cache has begun.
    epoch: u64,
    revision: u64,
}

#[derive(Debug)]
struct State {
    objects: BTreeMap<Key, Arc<Value>>,
    revision: u64,
    epoch: u64,
    history: VecDeque<Arc<Event>>,
    /// Changes after this revision are all in the history.
    complete_after: u64,
}

impl Cache {
    pub(super) fn new(revision: u64, objects: BTreeMap<Key, Arc<Value>>) -> Self {
        let state = State {
            objects,
            revision,
            epoch: 0,
            history: VecDeque::new(),
            complete_after: revision,
        };
        Self {
            state: RwLock::new(state),
            latest: watch::Sender::new(Position { epoch: 0, revision }),
        }
    }

    fn read<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.state.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn get(&self, key: &Key) -> Option<Arc<Value>> {
        self.read(|state| state.objects.get(key).cloned())
    }

    pub(super) fn list(&self, resource: &str, namespace: Option<&str>) -> (Vec<Arc<Value>>, u64) {
        let start = Key::new(resource, namespace.unwrap_or(""), "");
        self.read(|state| {
            let found = state
                .objects
                .range((Bound::Included(start), Bound::Unbounded))
                .take_while(|(key, _)| {
                    key.resource == resource && namespace.is_none_or(|wanted| key.namespace == wanted)
                })
                .map(|(_, object)| Arc::clone(object))
                .collect();
            (found, state.revision)
        })
    }

    pub(super) fn contents(&self, namespace: &str) -> Vec<Key> {
        self.read(|state| {
            state
                .objects
                .keys()
                .filter(|key| key.namespace == namespace)
                .cloned()
                .collect()
        })
    }

    pub(super) fn everything(&self) -> Vec<(Key, Arc<Value>)> {
        self.read(|state| {
            state
                .objects
                .iter()
                .map(|(key, value)| (key.clone(), Arc::clone(value)))
                .collect()
        })
    }

    pub(super) fn revision(&self) -> u64 {
        self.read(|state| state.revision)
    }

    /// Waits until the cache has the revision.
    pub(super) async fn reached(&self, revision: u64) {
        // The sender lives in this cache.
        let _ = self
            .latest
            .subscribe()
            .wait_for(|latest| latest.revision >= revision)
            .await;
    }

    /// Takes over what one revision changed: all of it at once, in order.
    pub(super) fn apply(&self, revision: u64, changes: Vec<Change>) {
        let mut guard = self.state.write().unwrap_or_else(PoisonError::into_inner);
        let state = &mut *guard;
        state.revision = revision;
        for Change { key, object, deleted } in changes {
            let previous = if deleted {
                state.objects.remove(&key)
            } else {
                state.objects.insert(key.clone(), Arc::clone(&object))
            };
            let kind = match (deleted, &previous) {
                (true, _) => EventKind::Deleted,
                (false, None) => EventKind::Added,
                (false, Some(_)) => EventKind::Modified,
            };
            state.history.push_back(Arc::new(Event {
                revision,
                kind,
                key,
                object,
                previous,
            }));
        }
        while state.history.len() > HISTORY
            && let Some(dropped) = state.history.pop_front()
        {
            state.complete_after = dropped.revision;
        }
        let epoch = state.epoch;
        drop(guard);
        self.latest.send_replace(Position { epoch, revision });
    }

    /// Takes over a state whose history is not known: everyone who follows must look anew.
    pub(super) fn replace(&self, revision: u64, objects: BTreeMap<Key, Arc<Value>>) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        let epoch = state.epoch + 1;
        *state = State {
            objects,
            revision,
            epoch,
            history: VecDeque::new(),
            complete_after: revision,
        };
        drop(state);
        self.latest.send_replace(Position { epoch, revision });
    }

    pub(super) fn watch(cache: &Arc<Self>, after: u64) -> Result<Watcher, Expired> {
        let (complete_after, epoch) = cache.read(|state| (state.complete_after, state.epoch));
        if after < complete_after {
            return Err(Expired);
        }
        Ok(Watcher {
            cache: Arc::clone(cache),
            epoch,
            after,
            latest: cache.latest.subscribe(),
        })
    }
}

/// Follows the changes of a store, in order and without gaps.
#[derive(Debug)]
pub(crate) struct Watcher {
    cache: Arc<Cache>,
    epoch: u64,
    after: u64,
    latest: watch::Receiver<Position>,
}

impl Watcher {
    /// The next changes; waits until there is a new revision.  Safe to drop while waiting.
    pub(crate) async fn next(&mut self) -> Result<Vec<Arc<Event>>, Expired> {
        let (epoch, after) = (self.epoch, self.after);
        // The sender lives in the cache that this watcher holds.
        let _ = self
            .latest
            .wait_for(|latest| latest.revision > after || latest.epoch != epoch)
            .await;
        self.cache.read(|state| {
            if self.epoch != state.epoch || self.after < state.complete_after {
                return Err(Expired);
            }
            let start = state.history.partition_point(|event| event.revision <= self.after);
            let events: Vec<_> = state.history.range(start..).cloned().collect();
            self.after = self.after.max(state.revision);
            Ok(events)
        })
    }

    /// The revision that this watcher has seen everything up to.
    pub(crate) fn position(&self) -> u64 {
        self.after
    }
}
