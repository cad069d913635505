//! What can go wrong at a cloud, with the facts a user needs.
//!
//! `object` is always the kind and the name as the user would look for them, for example `machine demo-master-a in
//! us-central1-a`.

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
    #[error("{object} exists and does not say that it belongs to this cluster")]
    NotOurs {
        /// Kind and name.
        object: String,
    },
    /// The object exists, is ours, and is not what was asked for in something that cannot be changed in place.
    #[error("{object} exists and differs from what is wanted: {difference}")]
    Differs {
        /// Kind and name.
        object: String,
        /// What differs: how it is and how it should be.
        difference: String,
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
    /// The cloud does not know who calls, or could not be asked for want of credentials.
    #[error("{object}: no usable credentials: {reason}")]
    Credentials {
        /// Kind and name.
        object: String,
        /// What is wrong with them.
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
    /// What answered did not do it as the cloud's API promises.
    #[error("{object}: the reply is not that of the cloud's API: {reason}")]
    Unreadable {
        /// Kind and name.
        object: String,
        /// What is wrong with the reply.
        reason: String,
    },
    /// The cloud could not be reached or kept failing after retries.
    #[error("{object}: the cloud {}: {reason}", outcome(*attempts))]
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

impl CloudError {
    /// The kind and name of the object that the call was about.
    pub fn object(&self) -> &str {
        match self {
            Self::NotFound { object }
            | Self::NotOurs { object }
            | Self::Differs { object, .. }
            | Self::InUse { object, .. }
            | Self::Capacity { object, .. }
            | Self::Forbidden { object, .. }
            | Self::Credentials { object, .. }
            | Self::Refused { object, .. }
            | Self::Unreadable { object, .. }
            | Self::Unavailable { object, .. }
            | Self::Timeout { object, .. } => object,
        }
    }

    /// Whether the object is not there.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound { .. })
    }

    /// What the user can do next, as a sentence for a diagnostic.
    pub fn advice(&self) -> &'static str {
        match self {
            Self::NotFound { .. } => "Run terraform apply again: what is missing is made again.",
            Self::NotOurs { .. } => {
                "If it is this cluster's, put its label multizone-cluster back (or the description, where there are no labels) and \
                 run terraform apply again; otherwise choose another name."
            }
            Self::Differs { .. } => "Change the configuration to what exists, or delete the object and apply again.",
            Self::InUse { .. } => "Release it from what uses it, then run terraform apply again.",
            Self::Capacity { .. } => {
                "Choose another zone or machine type, or raise the quota, then run terraform apply again."
            }
            Self::Forbidden { .. } => {
                "Give the caller's identity the permission that is missing, then run terraform apply again."
            }
            Self::Credentials { .. } => {
                "Correct the credentials in the provider block or, where it has none, those of the environment; then run \
                 Terraform again."
            }
            Self::Refused { .. } => "Correct what the cloud names in its refusal.",
            Self::Unreadable { .. } => {
                "Check that the endpoint is the cloud's and that no proxy answers in its place, then run Terraform again: it \
                 finds what was made."
            }
            Self::Unavailable { .. } => {
                "Nothing is lost: run terraform apply again when the cloud answers; it continues where it stopped."
            }
            Self::Timeout { .. } => {
                "The operation may still finish: run terraform apply again; it finds what was made and continues."
            }
        }
    }
}

/// What is not worth another attempt has failed; the rest was tried again until it was given up.
fn outcome(attempts: u32) -> String {
    match attempts {
        0 | 1 => "failed".to_owned(),
        attempts => format!("did not answer after {attempts} attempts"),
    }
}

#[cfg(test)]
mod tests {
    use super::CloudError;

    #[test]
    fn an_error_names_its_object_and_the_cause() {
        let error = CloudError::InUse {
            object: "disk data in z".into(),
            reason: "attached to m".into(),
        };
        assert_eq!(error.to_string(), "disk data in z is in use: attached to m");
        assert_eq!(error.object(), "disk data in z");
        assert!(!error.is_not_found());
        assert!(CloudError::NotFound { object: "x".into() }.is_not_found());
    }
}
