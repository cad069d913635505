//! Labels and taints of nodes: what is well-formed, what a kubelet may set on its own node, and what belongs to this
//! provider.

use std::fmt;
use std::str::FromStr;

/// The zone label every node and volume carries.
pub const ZONE: &str = "topology.kubernetes.io/zone";
/// The region label every node and volume carries.
pub const REGION: &str = "topology.kubernetes.io/region";
/// The zone label that Kubernetes read before 1.17; written beside [`ZONE`] on request.
pub const LEGACY_ZONE: &str = "failure-domain.beta.kubernetes.io/zone";
/// The region label that Kubernetes read before 1.17; written beside [`REGION`] on request.
pub const LEGACY_REGION: &str = "failure-domain.beta.kubernetes.io/region";
/// The label of control-plane nodes, set by kubeadm with an administrator's rights.
pub const CONTROL_PLANE_ROLE: &str = "node-role.kubernetes.io/control-plane";
/// Keeps load balancers from sending service traffic to control-plane nodes; set by kubeadm.
pub const EXCLUDE_FROM_LOAD_BALANCERS: &str = "node.kubernetes.io/exclude-from-external-load-balancers";
/// The machine type, as the kubelet may report it.
pub const INSTANCE_TYPE: &str = "node.kubernetes.io/instance-type";

/// Labels that this provider or the kubelet gives a node; a user cannot set them.
const GIVEN: [&str; 8] = [
    ZONE,
    REGION,
    LEGACY_ZONE,
    LEGACY_REGION,
    "kubernetes.io/hostname",
    "kubernetes.io/os",
    "kubernetes.io/arch",
    INSTANCE_TYPE,
];

/// Labels below kubernetes.io and k8s.io that a kubelet may set on its own node, besides whole prefixes.
///
/// Source: k8s.io/kubelet `pkg/apis/well_known_labels.go`, enforced by the kubelet itself and by the `NodeRestriction`
/// admission plugin.
const KUBELET_LABELS: [&str; 11] = [
    "kubernetes.io/hostname",
    "kubernetes.io/os",
    "kubernetes.io/arch",
    "beta.kubernetes.io/os",
    "beta.kubernetes.io/arch",
    "beta.kubernetes.io/instance-type",
    INSTANCE_TYPE,
    ZONE,
    REGION,
    LEGACY_ZONE,
    LEGACY_REGION,
];

/// Prefixes below which a kubelet may set any label.
const KUBELET_PREFIXES: [&str; 2] = ["kubelet.kubernetes.io", "node.kubernetes.io"];

/// Why a label or a taint is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LabelError {
    /// The key's syntax.
    #[error("label key {key:?}: {reason}")]
    Key {
        /// The key.
        key: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The value's syntax.
    #[error("value {value:?} of label {key:?}: {reason}")]
    Value {
        /// The key.
        key: String,
        /// The value.
        value: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A key that only a privileged client may set.
    #[error(
        "label {key:?} cannot be set by a kubelet: below kubernetes.io and k8s.io a node may label itself only with \
         kubelet.kubernetes.io/*, node.kubernetes.io/* and a few well-known keys; use a prefix of your own, such as \
         example.com/role"
    )]
    Restricted {
        /// The key.
        key: String,
    },
    /// A key that is set without the user's doing.
    #[error("label {key:?} is set by the provider or the kubelet and cannot be chosen")]
    Given {
        /// The key.
        key: String,
    },
    /// The effect of a taint.
    #[error("taint effect {effect:?} is unknown: use NoSchedule, PreferNoSchedule or NoExecute")]
    Effect {
        /// What was given.
        effect: String,
    },
}

/// What a taint does to pods that do not tolerate it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TaintEffect {
    /// New pods are not scheduled.
    NoSchedule,
    /// New pods are scheduled elsewhere where possible.
    PreferNoSchedule,
    /// Running pods are evicted too.
    NoExecute,
}

impl TaintEffect {
    /// The name in the Kubernetes API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoSchedule => "NoSchedule",
            Self::PreferNoSchedule => "PreferNoSchedule",
            Self::NoExecute => "NoExecute",
        }
    }
}

impl FromStr for TaintEffect {
    type Err = LabelError;

    fn from_str(effect: &str) -> Result<Self, LabelError> {
        [Self::NoSchedule, Self::PreferNoSchedule, Self::NoExecute]
            .into_iter()
            .find(|known| known.as_str() == effect)
            .ok_or_else(|| LabelError::Effect {
                effect: effect.to_owned(),
            })
    }
}

/// A taint of a node; key and effect together are its identity.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Taint {
    /// The key, written as a label key.
    pub key: String,
    /// The value, often empty.
    pub value: String,
    /// What it does.
    pub effect: TaintEffect,
}

impl Taint {
    /// Whether key and value are well-formed.
    pub fn check(&self) -> Result<(), LabelError> {
        check_key(&self.key)?;
        check_value(&self.key, &self.value)
    }
}

impl fmt::Display for Taint {
    /// `key=value:Effect`, as kubectl writes it.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.key)?;
        if !self.value.is_empty() {
            write!(formatter, "={}", self.value)?;
        }
        write!(formatter, ":{}", self.effect.as_str())
    }
}

/// The taint that tells the cluster that a node's machine is off for good, so that its pods and volumes are let go.
///
/// Only for a machine that is confirmed to be off: a volume could be written from two machines otherwise.
pub fn out_of_service() -> Taint {
    Taint {
        key: "node.kubernetes.io/out-of-service".to_owned(),
        value: "nodeshutdown".to_owned(),
        effect: TaintEffect::NoExecute,
    }
}

/// Whether a user may give a node group this label: well-formed, allowed to the kubelet, and not given anyway.
pub fn check_node_label(key: &str, value: &str) -> Result<(), LabelError> {
    check_key(key)?;
    check_value(key, value)?;
    if GIVEN.contains(&key) {
        return Err(LabelError::Given { key: key.to_owned() });
    }
    check_kubelet_may_set(key)
}

/// Rule: the kubelet may label itself with topology zone and region, not with node-role or unknown kubernetes.io labels.
pub fn check_kubelet_may_set(key: &str) -> Result<(), LabelError> {
    let prefix = key.split_once('/').map_or("", |(prefix, _)| prefix);
    let below =
        |domain: &str| prefix == domain || prefix.strip_suffix(domain).is_some_and(|start| start.ends_with('.'));
    let restricted = below("kubernetes.io") || below("k8s.io");
    let allowed = KUBELET_LABELS.contains(&key) || KUBELET_PREFIXES.iter().any(|domain| below(domain));
    if restricted && !allowed {
        return Err(LabelError::Restricted { key: key.to_owned() });
    }
    Ok(())
}

/// Whether this is a label key: an optional DNS prefix of at most 253 characters and a name of at most 63.
pub fn check_key(key: &str) -> Result<(), LabelError> {
    let refuse = |reason| {
        Err(LabelError::Key {
            key: key.to_owned(),
            reason,
        })
    };
    let (prefix, name) = match key.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, key),
    };
    if name.contains('/') {
        return refuse("it has more than one slash");
    }
    if let Some(prefix) = prefix {
        if prefix.is_empty() {
            return refuse("the prefix before the slash is empty");
        }
        if prefix.len() > 253 {
            return refuse("the prefix is longer than 253 characters");
        }
        if !prefix.split('.').all(is_dns_label) {
            return refuse("the prefix is not a DNS name of lower-case letters, digits, hyphens and dots");
        }
    }
    match name_problem(name) {
        Some(reason) => refuse(reason),
        None => Ok(()),
    }
}

/// Whether this is a label value: empty, or at most 63 characters like a key's name.
pub fn check_value(key: &str, value: &str) -> Result<(), LabelError> {
    match name_problem(value) {
        Some(reason) if !value.is_empty() => Err(LabelError::Value {
            key: key.to_owned(),
            value: value.to_owned(),
            reason,
        }),
        _ => Ok(()),
    }
}

fn name_problem(name: &str) -> Option<&'static str> {
    if name.is_empty() {
        return Some("it is empty");
    }
    if name.len() > 63 {
        return Some("it is longer than 63 characters");
    }
    if !name
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    {
        return Some("only letters, digits, hyphens, underscores and dots are allowed");
    }
    let edge = |character: Option<char>| character.is_some_and(|character| character.is_ascii_alphanumeric());
    if !edge(name.chars().next()) || !edge(name.chars().last()) {
        return Some("it must begin and end with a letter or a digit");
    }
    None
}

fn is_dns_label(label: &str) -> bool {
    !label.is_empty()
        && label
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        && !label.starts_with('-')
        && !label.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rule_the_kubelet_may_set_topology_labels_but_no_roles() {
        for allowed in [
            ZONE,
            REGION,
            LEGACY_ZONE,
            LEGACY_REGION,
            INSTANCE_TYPE,
            "team",
            "example.com/team",
            "node.kubernetes.io/anything",
            "pool.node.kubernetes.io/anything",
            "notkubernetes.io/x",
        ] {
            assert_eq!(check_kubelet_may_set(allowed), Ok(()), "{allowed}");
        }
        for refused in [
            CONTROL_PLANE_ROLE,
            "node-role.kubernetes.io/worker",
            "kubernetes.io/role",
            "node-restriction.kubernetes.io/x",
            "x.k8s.io/y",
        ] {
            assert!(check_kubelet_may_set(refused).is_err(), "{refused}");
        }
    }

    #[test]
    fn a_user_cannot_choose_what_is_given() {
        assert!(matches!(
            check_node_label(ZONE, "us-central1-a"),
            Err(LabelError::Given { .. })
        ));
        assert!(matches!(
            check_node_label("kubernetes.io/hostname", "x"),
            Err(LabelError::Given { .. })
        ));
        assert_eq!(check_node_label("team", "web"), Ok(()));
        assert_eq!(check_node_label("team", ""), Ok(()));
    }

    #[test]
    fn keys_and_values_have_a_syntax() {
        for (key, reason) in [
            ("", "empty"),
            ("a/b/c", "more than one slash"),
            ("/a", "prefix before the slash"),
            ("Example.com/a", "not a DNS name"),
            ("a b", "only letters"),
            ("-a", "begin and end"),
            ("a.", "begin and end"),
        ] {
            let error = check_key(key).unwrap_err().to_string();
            assert!(error.contains(reason), "{key:?}: {error}");
        }
        assert!(check_key(&"a".repeat(63)).is_ok());
        assert!(check_key(&"a".repeat(64)).is_err());
        assert!(check_key(&format!("{}/a", "a.".repeat(126) + "a")).is_ok());
        assert!(check_key(&format!("{}/a", "a.".repeat(127) + "a")).is_err());
        assert!(check_value("a", "no spaces").is_err());
        assert!(
            check_value("a", "a,b").is_err(),
            "a comma would split the kubelet's list of labels"
        );
    }

    #[test]
    fn taints_are_written_as_kubectl_writes_them() {
        let mut taint = Taint {
            key: "gpu".into(),
            value: "yes".into(),
            effect: TaintEffect::NoExecute,
        };
        assert_eq!(taint.to_string(), "gpu=yes:NoExecute");
        taint.value.clear();
        assert_eq!(taint.to_string(), "gpu:NoExecute");
        assert!("noschedule".parse::<TaintEffect>().is_err());
        assert_eq!("NoSchedule".parse(), Ok(TaintEffect::NoSchedule));
    }
}
