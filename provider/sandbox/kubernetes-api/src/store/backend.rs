//! What the store needs of the thing that keeps its objects.

use serde_json::Value;

use super::Key;

/// One change to keep.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Change<'a> {
    pub(crate) key: &'a Key,
    /// The object, or nothing when it goes.
    pub(crate) object: Option<&'a Value>,
    /// The revision that the change makes.
    pub(crate) revision: u64,
}

/// The keeper failed; the change is not made.
#[derive(Debug, thiserror::Error)]
#[error("the cluster's storage failed: {0}")]
pub(crate) struct BackendError(pub(crate) String);

/// Keeps objects durably.  A change that `commit` has acknowledged is there after a restart.
#[async_trait::async_trait]
pub(crate) trait Backend: Send + std::fmt::Debug {
    /// Everything kept, and the revision of the last change.
    async fn load(&mut self) -> Result<(u64, Vec<(Key, Value)>), BackendError>;

    /// Makes one change durable.
    async fn commit(&mut self, change: Change<'_>) -> Result<(), BackendError>;
}
