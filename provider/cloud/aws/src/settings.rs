//! What the user can set.

use std::{collections::BTreeMap, fmt, time::Duration};

use multizone_cloud::{ClusterName, Retries};

/// How to reach one region of one account.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Region, for example `us-west-2`.
    pub region: String,
    /// Base URL of all of AWS's APIs; `None` is AWS's own.
    pub endpoint: Option<String>,
    /// Who calls.
    pub credentials: Credentials,
    /// Tags that every object gets beside its own.
    pub default_tags: BTreeMap<String, String>,
    /// The names that a cluster's secrets have, by region and cluster: a list of secrets is minutes behind on AWS, so that
    /// an inventory asks for each of them.
    pub secret_names: fn(&str, &ClusterName) -> Vec<String>,
    /// How long to wait.
    pub timeouts: Timeouts,
    /// How often to try.
    pub retries: Retries,
}

impl Settings {
    /// Settings for AWS's own endpoints with the SDK's chain of credentials.
    pub fn new(region: impl Into<String>) -> Self {
        Self {
            region: region.into(),
            endpoint: None,
            credentials: Credentials::default(),
            default_tags: BTreeMap::new(),
            secret_names: |_, _| Vec::new(),
            timeouts: Timeouts::default(),
            retries: Retries::default(),
        }
    }
}

/// Who calls.  `Debug` shows no key.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    /// The SDK's chain: the environment, the shared files, single sign-on, a container's or the machine's role.
    Chain {
        /// Profile of the shared files; `None` is `AWS_PROFILE`'s or the default one.
        profile: Option<String>,
        /// Role to assume with them, by its ARN.
        assume_role: Option<String>,
    },
    /// These keys.
    Keys {
        /// Access key ID.
        id: String,
        /// Secret access key.
        secret: String,
    },
}

impl Default for Credentials {
    fn default() -> Self {
        Self::Chain {
            profile: None,
            assume_role: None,
        }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Chain { profile, assume_role } => f
                .debug_struct("Chain")
                .field("profile", profile)
                .field("assume_role", assume_role)
                .finish(),
            Self::Keys { id, .. } => f.debug_struct("Keys").field("id", id).finish_non_exhaustive(),
        }
    }
}

/// How long to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For the reply to one request.
    pub request: Duration,
    /// For an object to become usable, or to go.
    pub operation: Duration,
    /// The first pause between two looks at something that is waited for; it doubles up to the longest.
    pub first_pause: Duration,
    /// The longest such pause.
    pub longest_pause: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            request: Duration::from_secs(30),
            operation: Duration::from_mins(10),
            first_pause: Duration::from_millis(250),
            longest_pause: Duration::from_secs(5),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_not_printed() {
        let settings = Settings {
            credentials: Credentials::Keys {
                id: "AKIA".into(),
                secret: "hidden".into(),
            },
            ..Settings::new("us-west-2")
        };
        let printed = format!("{settings:?}");
        assert!(printed.contains("AKIA") && !printed.contains("hidden"), "{printed}");
    }
}
