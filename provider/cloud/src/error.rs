//! What can go wrong at a cloud, with the facts a user needs.

/// An error from a cloud.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CloudError {
    /// The object is not there.
    #[error("{object} does not exist")]
    NotFound {
        /// Kind and name.
        object: String,
    },
    /// An object of that name exists and is not ours.
    #[error("{object} exists and does not belong to this cluster; import it or choose another name")]
    NotOurs {
        /// Kind and name.
        object: String,
    },
    /// The object is in use.
    #[error("{object} is in use: {reason}")]
    InUse {
        /// Kind and name.
        object: String,
        /// The cloud's words.
        reason: String,
    },
    /// The zone has no capacity for it, or a quota is used up.
    #[error("{object}: no capacity: {reason}")]
    Capacity {
        /// Kind and name.
        object: String,
        /// The cloud's words.
        reason: String,
    },
    /// The caller may not do that.
    #[error("{object}: not allowed: {reason}")]
    Forbidden {
        /// Kind and name.
        object: String,
        /// The cloud's words.
        reason: String,
    },
    /// The cloud refuses the request as it stands.
    #[error("{object}: refused ({code}): {reason}")]
    Refused {
        /// Kind and name.
        object: String,
        /// The cloud's error code.
        code: String,
        /// The cloud's words.
        reason: String,
    },
    /// The cloud could not be reached or kept failing after retries.
    #[error("{object}: the cloud did not answer after {attempts} attempts: {reason}")]
    Unavailable {
        /// Kind and name.
        object: String,
        /// Attempts made.
        attempts: u32,
        /// The last failure.
        reason: String,
    },
    /// An operation did not finish in time; it may still finish.
    #[error("{object}: still not done after {seconds} s: {waiting_for}")]
    Timeout {
        /// Kind and name.
        object: String,
        /// How long was waited.
        seconds: u64,
        /// What was waited for.
        waiting_for: String,
    },
}
