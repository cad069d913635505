//! Objects with revisions, optimistic concurrency and a history that watchers follow.
//!
//! All objects are in memory, in a [`Cache`] that every read looks at.  What keeps them is etcd, which several servers
//! share, which orders the changes, and whose watch feeds the cache.  One revision counter covers everything.  A watcher
//! that asks for what has left the history is told so (410 Gone) and lists again.

mod cache;
mod etcd;

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use cache::Cache;
pub(crate) use cache::{Event, EventKind, Expired, Watcher};
pub(crate) use etcd::{Etcd, EtcdError, KEPT, LeaseId, compact};

use crate::object::ObjectExt as _;

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

/// The resource of the records by which the API servers of a cluster know each other.  Nothing serves it.
pub(crate) const SERVERS: &str = "masterleases";

/// How long a request that asks for a revision waits for it, as in Kubernetes.
const FRESHNESS: Duration = Duration::from_secs(3);

/// Why a change was not made, or the present not found out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    #[error("an object of that name exists")]
    Exists,
    #[error("the object does not exist")]
    Missing,
    #[error("the object has changed since it was read")]
    Changed,
    #[error(transparent)]
    Etcd(#[from] EtcdError),
}

/// The store.  Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    cache: Arc<Cache>,
    etcd: Arc<Etcd>,
}

impl Store {
    /// Opens the store over etcd, and follows etcd until `stopping`.
    pub(crate) async fn open(etcd: Etcd, stopping: &CancellationToken) -> Result<Self, EtcdError> {
        let cache = etcd::follow(&etcd, stopping).await?;
        Ok(Self {
            cache,
            etcd: Arc::new(etcd),
        })
    }

    /// The etcd that keeps the objects.
    pub(crate) fn etcd(&self) -> &Etcd {
        &self.etcd
    }

    /// Waits until reads see everything that anybody had written before this call.
    pub(crate) async fn catch_up(&self) -> Result<(), StoreError> {
        let revision = self.etcd.current_revision().await?;
        self.reach(revision).await
    }

    /// Waits a little until reads see the revision; answers whether they do.
    pub(crate) async fn has(&self, revision: u64) -> bool {
        tokio::time::timeout(FRESHNESS, self.cache.reached(revision))
            .await
            .is_ok()
    }

    async fn reach(&self, revision: u64) -> Result<(), StoreError> {
        let reached = tokio::time::timeout(self.etcd.patience(), self.cache.reached(revision)).await;
        reached.map_err(|_| EtcdError::Deadline.into())
    }

    pub(crate) fn get(&self, resource: &str, namespace: &str, name: &str) -> Option<Arc<Value>> {
        self.cache.get(&Key::new(resource, namespace, name))
    }

    /// All objects of a resource, of one namespace or of all, by namespace and name, and the revision of the answer.
    pub(crate) fn list(&self, resource: &str, namespace: Option<&str>) -> (Vec<Arc<Value>>, u64) {
        self.cache.list(resource, namespace)
    }

    /// All objects of a resource in all namespaces.
    pub(crate) fn all(&self, resource: &str) -> Vec<Arc<Value>> {
        self.list(resource, None).0
    }

    /// The resources that have objects in a namespace.
    pub(crate) fn contents(&self, namespace: &str) -> Vec<Key> {
        self.cache.contents(namespace)
    }

    /// Every object with its key.
    pub(crate) fn everything(&self) -> Vec<(Key, Arc<Value>)> {
        self.cache.everything()
    }

    pub(crate) fn revision(&self) -> u64 {
        self.cache.revision()
    }

    /// Follows every change after revision `after`.
    pub(crate) fn watch(&self, after: u64) -> Result<Watcher, Expired> {
        Cache::watch(&self.cache, after)
    }

    pub(crate) async fn create(&self, key: Key, object: Value) -> Result<Arc<Value>, StoreError> {
        match self.etcd.put(&key, 0, &object).await? {
            etcd::Outcome::Done(revision) => Ok(self.written(object, revision).await),
            etcd::Outcome::Refused { revision, .. } => {
                self.reach(revision).await?;
                Err(StoreError::Exists)
            }
        }
    }

    /// Replaces the object if it still has the revision `expected`.
    pub(crate) async fn update(&self, key: Key, expected: u64, object: Value) -> Result<Arc<Value>, StoreError> {
        let outcome = self.etcd.put(&key, expected, &object).await?;
        self.settle(outcome, object).await
    }

    /// Removes the object if it still has the revision `expected`; answers its last state.
    pub(crate) async fn delete(&self, key: Key, expected: u64) -> Result<Arc<Value>, StoreError> {
        // What was read with that revision is what is deleted, or nothing is.
        let last = self.expect(&key, expected)?;
        let outcome = self.etcd.delete(&key, expected).await?;
        self.settle(outcome, (*last).clone()).await
    }

    async fn settle(&self, outcome: etcd::Outcome, object: Value) -> Result<Arc<Value>, StoreError> {
        match outcome {
            etcd::Outcome::Done(revision) => Ok(self.written(object, revision).await),
            etcd::Outcome::Refused { revision, exists } => {
                // Whoever tries again must see what was in the way.
                self.reach(revision).await?;
                Err(if exists {
                    StoreError::Changed
                } else {
                    StoreError::Missing
                })
            }
        }
    }

    /// The object as it was written; answered once reads here see it.
    async fn written(&self, mut object: Value, revision: u64) -> Arc<Value> {
        at_revision(&mut object, revision);
        if self.reach(revision).await.is_err() {
            // It is written all the same: etcd has said so.
            tracing::warn!(revision, "etcd's watch is behind a write of this server");
        }
        Arc::new(object)
    }

    fn expect(&self, key: &Key, expected: u64) -> Result<Arc<Value>, StoreError> {
        let found = self.cache.get(key).ok_or(StoreError::Missing)?;
        if found.revision() == expected {
            Ok(found)
        } else {
            Err(StoreError::Changed)
        }
    }
}

fn at_revision(object: &mut Value, revision: u64) {
    object.put(&["metadata", "resourceVersion"], json!(revision.to_string()));
}

#[cfg(test)]
mod tests;
