//! Objects with revisions, optimistic concurrency and a history that watchers follow.
//!
//! All objects are in memory; every change is first made durable by a [`Backend`].  One revision counter covers
//! everything, as etcd's does.  The history is a ring: a watcher that asks for what has left it is told so
//! (410 Gone) and lists again, exactly as with etcd's compaction.

mod backend;
mod sqlite;

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::{Arc, PoisonError, RwLock};

use serde_json::{Value, json};
use tokio::sync::{Mutex, watch};

pub(crate) use backend::{Backend, BackendError, Change};
pub(crate) use sqlite::SqliteBackend;

use crate::object::ObjectExt as _;

/// How many changes a watcher may be behind.
const HISTORY: usize = 4_000;

/// Where an object is kept: resource (`pods`, `deployments.apps`), namespace (empty when there is none), name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key {
    pub(crate) resource: String,
    pub(crate) namespace: String,
    pub(crate) name: String,
}

impl Key {
    pub(crate) fn new(resource: &str, namespace: &str, name: &str) -> Self {
        Self {
            resource: resource.to_owned(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }
    }
}

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

/// Why a change was not made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    #[error("an object of that name exists")]
    Exists,
    #[error("the object does not exist")]
    Missing,
    #[error("the object has changed since it was read")]
    Changed,
    #[error(transparent)]
    Backend(#[from] BackendError),
}

/// The wanted revision has left the history.
#[derive(Debug, thiserror::Error)]
#[error("too old resource version")]
pub(crate) struct Expired;

#[derive(Debug)]
struct State {
    objects: BTreeMap<Key, Arc<Value>>,
    revision: u64,
    history: VecDeque<Arc<Event>>,
    /// Changes after this revision are all in the history.
    complete_after: u64,
}

/// The store.  Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    state: RwLock<State>,
    /// Held over a whole change, so that revisions become visible in order.
    backend: Mutex<Box<dyn Backend>>,
    latest: watch::Sender<u64>,
}

impl Store {
    /// Opens the store over what the backend holds.
    pub(crate) async fn open(mut backend: Box<dyn Backend>) -> Result<Self, BackendError> {
        let (revision, rows) = backend.load().await?;
        let mut objects = BTreeMap::new();
        for (key, value) in rows {
            objects.insert(key, Arc::new(value));
        }
        let state = State {
            objects,
            revision,
            history: VecDeque::new(),
            complete_after: revision,
        };
        Ok(Self {
            inner: Arc::new(Inner {
                state: RwLock::new(state),
                backend: Mutex::new(backend),
                latest: watch::Sender::new(revision),
            }),
        })
    }

    fn read<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.inner.state.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn get(&self, resource: &str, namespace: &str, name: &str) -> Option<Arc<Value>> {
        let key = Key::new(resource, namespace, name);
        self.read(|state| state.objects.get(&key).cloned())
    }

    /// All objects of a resource, of one namespace or of all, by namespace and name, and the revision of the answer.
    pub(crate) fn list(&self, resource: &str, namespace: Option<&str>) -> (Vec<Arc<Value>>, u64) {
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

    /// All objects of a resource in all namespaces.
    pub(crate) fn all(&self, resource: &str) -> Vec<Arc<Value>> {
        self.list(resource, None).0
    }

    /// The resources that have objects in a namespace.
    pub(crate) fn contents(&self, namespace: &str) -> Vec<Key> {
        self.read(|state| {
            state
                .objects
                .keys()
                .filter(|key| key.namespace == namespace)
                .cloned()
                .collect()
        })
    }

    /// Every object with its key.
    pub(crate) fn everything(&self) -> Vec<(Key, Arc<Value>)> {
        self.read(|state| {
            state
                .objects
                .iter()
                .map(|(key, value)| (key.clone(), Arc::clone(value)))
                .collect()
        })
    }

    pub(crate) fn revision(&self) -> u64 {
        self.read(|state| state.revision)
    }

    pub(crate) async fn create(&self, key: Key, object: Value) -> Result<Arc<Value>, StoreError> {
        let backend = self.inner.backend.lock().await;
        if self.read(|state| state.objects.contains_key(&key)) {
            return Err(StoreError::Exists);
        }
        self.commit(backend, key, EventKind::Added, object, None).await
    }

    /// Replaces the object if it still has the revision `expected`.
    pub(crate) async fn update(&self, key: Key, expected: u64, object: Value) -> Result<Arc<Value>, StoreError> {
        let backend = self.inner.backend.lock().await;
        let previous = self.expect(&key, expected)?;
        self.commit(backend, key, EventKind::Modified, object, Some(previous))
            .await
    }

    /// Removes the object if it still has the revision `expected`; answers its last state.
    pub(crate) async fn delete(&self, key: Key, expected: u64) -> Result<Arc<Value>, StoreError> {
        let backend = self.inner.backend.lock().await;
        let previous = self.expect(&key, expected)?;
        let last = (*previous).clone();
        self.commit(backend, key, EventKind::Deleted, last, Some(previous))
            .await
    }

    fn expect(&self, key: &Key, expected: u64) -> Result<Arc<Value>, StoreError> {
        let found = self
            .read(|state| state.objects.get(key).cloned())
            .ok_or(StoreError::Missing)?;
        if found.revision() == expected {
            Ok(found)
        } else {
            Err(StoreError::Changed)
        }
    }

    async fn commit(
        &self,
        mut backend: tokio::sync::MutexGuard<'_, Box<dyn Backend>>,
        key: Key,
        kind: EventKind,
        mut object: Value,
        previous: Option<Arc<Value>>,
    ) -> Result<Arc<Value>, StoreError> {
        let revision = self.revision() + 1;
        object.put(&["metadata", "resourceVersion"], json!(revision.to_string()));
        let object = Arc::new(object);
        let change = Change {
            key: &key,
            object: (kind != EventKind::Deleted).then_some(&*object),
            revision,
        };
        backend.commit(change).await?;
        let mut state = self.inner.state.write().unwrap_or_else(PoisonError::into_inner);
        state.revision = revision;
        if kind == EventKind::Deleted {
            state.objects.remove(&key);
        } else {
            state.objects.insert(key.clone(), Arc::clone(&object));
        }
        state.history.push_back(Arc::new(Event {
            revision,
            kind,
            key,
            object: Arc::clone(&object),
            previous,
        }));
        if state.history.len() > HISTORY
            && let Some(dropped) = state.history.pop_front()
        {
            state.complete_after = dropped.revision;
        }
        drop(state);
        self.inner.latest.send_replace(revision);
        Ok(object)
    }

    /// Follows every change after revision `after`.
    pub(crate) fn watch(&self, after: u64) -> Result<Watcher, Expired> {
        let complete_after = self.read(|state| state.complete_after);
        if after < complete_after {
            return Err(Expired);
        }
        Ok(Watcher {
            store: self.clone(),
            after,
            latest: self.inner.latest.subscribe(),
        })
    }
}

/// Follows the changes of a store, in order and without gaps.
#[derive(Debug)]
pub(crate) struct Watcher {
    store: Store,
    after: u64,
    latest: watch::Receiver<u64>,
}

impl Watcher {
    /// The next changes; waits until there is one.  Safe to drop while waiting.
    pub(crate) async fn next(&mut self) -> Result<Vec<Arc<Event>>, Expired> {
        let after = self.after;
        // The sender lives in the store that this watcher holds.
        let _ = self.latest.wait_for(|latest| *latest > after).await;
        self.store.read(|state| {
            if self.after < state.complete_after {
                return Err(Expired);
            }
            let start = state.history.partition_point(|event| event.revision <= self.after);
            let events: Vec<_> = state.history.range(start..).cloned().collect();
            if let Some(last) = events.last() {
                self.after = last.revision;
            }
            Ok(events)
        })
    }

    /// The revision that this watcher has seen everything up to.
    pub(crate) fn position(&self) -> u64 {
        self.after
    }
}

#[cfg(test)]
mod tests;
