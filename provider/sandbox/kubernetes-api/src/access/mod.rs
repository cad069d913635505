//! Who asks, and whether they may.

mod admission;
mod authentication;
mod bootstrap;
mod node;
mod rbac;
mod roles;

pub(crate) use admission::{admit_creation, admit_update};
pub(crate) use authentication::{TOKEN_TYPE, authenticate_token, has_expired, identity_of_certificate, token_field};
pub(crate) use bootstrap::install_default_roles;
pub(crate) use rbac::{Attributes, authorize, rules_for};

use std::collections::BTreeMap;

/// Someone who asks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) user: String,
    pub(crate) groups: Vec<String>,
    pub(crate) extra: BTreeMap<String, Vec<String>>,
}

impl Identity {
    pub(crate) fn new(user: &str, groups: &[&str]) -> Self {
        let groups = groups.iter().map(|&one| one.to_owned()).collect();
        Self {
            user: user.to_owned(),
            groups,
            extra: BTreeMap::new(),
        }
    }

    /// Someone who showed nothing.
    pub(crate) fn anonymous() -> Self {
        Self::new("system:anonymous", &["system:unauthenticated"])
    }

    /// The controllers inside.
    pub(crate) fn controller() -> Self {
        Self::new(
            "system:kube-controller-manager",
            &["system:masters", "system:authenticated"],
        )
    }

    pub(crate) fn is_in(&self, group: &str) -> bool {
        self.groups.iter().any(|one| one == group)
    }

    /// The node whose kubelet this is.
    pub(crate) fn node(&self) -> Option<&str> {
        if self.is_in("system:nodes") {
            self.user.strip_prefix("system:node:")
        } else {
            None
        }
    }
}
