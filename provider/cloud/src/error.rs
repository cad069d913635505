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
    #[error("{object}: the cloud {}: {reason}", outage.words(*attempts))]
    Unavailable {
        /// Kind and name.
        object: String,
        /// How it fails.
        outage: Outage,
        /// Attempts made.
        attempts: u32,
        /// The last failure.
        reason: String,
    },
    /// An operation did not finish in time; it may still finish.
    #[error("{object}: after {seconds} s still waiting for {waiting_for}")]
    Timeout {
        /// Kind and name.
        object: String,
        /// How long was waited.
        seconds: u64,
        /// What was waited for.
        waiting_for: String,
    },
}

/// How a cloud fails that may do better later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outage {
    /// No answer came, or only that of a gateway in front of it.
    Silent,
    /// It answered that something is wrong with itself.
    Failing,
    /// It answered that it takes no requests for now.
    Refusing,
    /// It takes fewer requests in a time than were made.
    Limiting,
}

impl Outage {
    /// What the cloud did at each of that many attempts, as in `the cloud did not answer`.
    fn words(self, attempts: u32) -> String {
        match (self, attempts) {
            (Self::Silent, 0 | 1) => "did not answer".to_owned(),
            (Self::Silent, _) => format!("did not answer after {attempts} attempts"),
            (Self::Failing, 0 | 1) => "failed".to_owned(),
            (Self::Failing, _) => format!("failed, {attempts} times"),
            (Self::Refusing, 0 | 1) => "refused for now".to_owned(),
            (Self::Refusing, _) => format!("refused for now, {attempts} times"),
            (Self::Limiting, 0 | 1) => "limits the rate of requests".to_owned(),
            (Self::Limiting, _) => format!("limits the rate of requests, and refused {attempts} times"),
        }
    }

    fn advice(self) -> &'static str {
        match self {
            Self::Silent => {
                "Nothing is lost: run terraform apply again when the cloud answers; it continues where it stopped."
            }
            Self::Failing | Self::Refusing => {
                "Nothing is lost: run terraform apply again in a few minutes; it continues where it stopped."
            }
            Self::Limiting => {
                "Nothing is lost: run terraform apply again in a few minutes; it continues where it stopped. With \
                 -parallelism=2 it makes fewer requests at once."
            }
        }
    }
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

    /// The same error, and what has come of it, as in `nobody holds it now`.
    #[must_use]
    pub fn and(self, more: &str) -> Self {
        let refused = |object, code: &str, what: &str| Self::Refused {
            object,
            code: code.to_owned(),
            reason: format!("{what}; {more}"),
        };
        let mut error = match self {
            Self::NotFound { object } => return refused(object, "not found", "it does not exist"),
            Self::NotOurs { object } => {
                return refused(object, "not ours", "it does not say that it belongs to this cluster");
            }
            error => error,
        };
        if let Self::Differs { difference: said, .. }
        | Self::InUse { reason: said, .. }
        | Self::Capacity { reason: said, .. }
        | Self::Forbidden { reason: said, .. }
        | Self::Credentials { reason: said, .. }
        | Self::Refused { reason: said, .. }
        | Self::Unreadable { reason: said, .. }
        | Self::Unavailable { reason: said, .. }
        | Self::Timeout { waiting_for: said, .. } = &mut error
        {
            said.push_str("; ");
            said.push_str(more);
        }
        error
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
            Self::Unavailable { outage, .. } => outage.advice(),
            Self::Timeout { .. } => {
                "The operation may still finish: run terraform apply again; it finds what was made and continues."
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{CloudError, Outage};

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

    #[test]
    fn what_came_of_an_error_is_said_after_it() {
        let gone = CloudError::NotFound {
            object: "machine m in z".into(),
        }
        .and("nobody holds the address now");
        assert_eq!(
            gone.to_string(),
            "machine m in z: refused (not found): it does not exist; nobody holds the address now"
        );
        let late = CloudError::Timeout {
            object: "machine m in z".into(),
            seconds: 5,
            waiting_for: "it to run".into(),
        };
        let said = late.and("its address is free").to_string();
        assert_eq!(
            said,
            "machine m in z: after 5 s still waiting for it to run; its address is free"
        );
    }

    #[test]
    fn a_cloud_that_refuses_for_now_is_not_said_to_be_silent() {
        let error = |outage, attempts| CloudError::Unavailable {
            object: "disk d".into(),
            outage,
            attempts,
            reason: "x".into(),
        };
        for (outage, once, often) in [
            (Outage::Silent, "did not answer", "did not answer after 3 attempts"),
            (Outage::Failing, "failed", "failed, 3 times"),
            (Outage::Refusing, "refused for now", "refused for now, 3 times"),
            (
                Outage::Limiting,
                "limits the rate of requests",
                "limits the rate of requests, and refused 3 times",
            ),
        ] {
            assert_eq!(error(outage, 1).to_string(), format!("disk d: the cloud {once}: x"));
            assert_eq!(error(outage, 3).to_string(), format!("disk d: the cloud {often}: x"));
        }
        assert!(error(Outage::Limiting, 3).advice().contains("-parallelism=2"));
    }
}
