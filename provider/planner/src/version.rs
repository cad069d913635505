//! A Kubernetes version, as far as order and skew are concerned.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A Kubernetes version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Version {
    /// Major, 1.
    pub major: u64,
    /// Minor.
    pub minor: u64,
    /// Patch.
    pub patch: u64,
}

impl Version {
    /// A version from its three numbers.
    pub const fn new(major: u64, minor: u64, patch: u64) -> Self {
        Self { major, minor, patch }
    }

    /// Whether a kubelet of this version may talk to an API server of version `api`: never newer, and at most three
    /// minors older (domain-rules.md, kubeadm, skew).
    pub fn kubelet_may_talk_to(self, api: Self) -> bool {
        self.major == api.major && self.minor <= api.minor && self.minor + 3 >= api.minor
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kubelet_is_never_newer_than_the_api_server_and_at_most_three_minors_older() {
        let api = Version::new(1, 34, 1);
        assert!(Version::new(1, 34, 7).kubelet_may_talk_to(api));
        assert!(Version::new(1, 31, 0).kubelet_may_talk_to(api));
        assert!(!Version::new(1, 30, 9).kubelet_may_talk_to(api));
        assert!(!Version::new(1, 35, 0).kubelet_may_talk_to(api));
    }
}
