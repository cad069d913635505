//! `NodeRestriction`: what a kubelet may write into its own objects.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Identity;
use crate::object::ObjectExt as _;
use crate::resources::Resource;
use crate::status::ApiError;

/// Labels under kubernetes.io and k8s.io that a kubelet may set on its node.
const KUBELET_LABELS: &[&str] = &[
    "kubernetes.io/hostname",
    "kubernetes.io/os",
    "kubernetes.io/arch",
    "beta.kubernetes.io/os",
    "beta.kubernetes.io/arch",
    "beta.kubernetes.io/instance-type",
    "node.kubernetes.io/instance-type",
    "node.kubernetes.io/windows-build",
    "topology.kubernetes.io/region",
    "topology.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
];

/// Refuses what a kubelet may not create.
pub(crate) fn admit_creation(who: &Identity, resource: &Resource, object: &Value) -> Result<(), ApiError> {
    let Some(node) = who.node() else { return Ok(()) };
    match (resource.group, resource.plural) {
        ("", "nodes") => {
            if object.name() != node {
                let why = format!("node \"{node}\" is not allowed to modify node \"{}\"", object.name());
                return Err(ApiError::forbidden_object(resource, object.name(), &why));
            }
            check_labels(resource, node, &BTreeMap::new(), object)
        }
        ("", "pods") => {
            if object.annotation("kubernetes.io/config.mirror").is_none() {
                let why = format!(
                    "pod does not have \"kubernetes.io/config.mirror\" annotation, node \"{node}\" can only create mirror pods"
                );
                return Err(ApiError::forbidden_object(resource, object.name(), &why));
            }
            if object.text("/spec/nodeName") != node {
                let why = format!("node \"{node}\" can only create pods with spec.nodeName set to itself");
                return Err(ApiError::forbidden_object(resource, object.name(), &why));
            }
            Ok(())
        }
        ("coordination.k8s.io", "leases") if object.name() != node => {
            let why = format!("can only access node lease with the same name as the requesting node \"{node}\"");
            Err(ApiError::forbidden_object(resource, object.name(), &why))
        }
        _ => Ok(()),
    }
}

/// Refuses changes that a kubelet may not make.
pub(crate) fn admit_update(who: &Identity, resource: &Resource, old: &Value, new: &Value) -> Result<(), ApiError> {
    let Some(node) = who.node() else { return Ok(()) };
    if !resource.is_core("nodes") {
        return Ok(());
    }
    if old.items("/spec/taints") != new.items("/spec/taints") {
        let why = format!("node \"{node}\" is not allowed to modify taints");
        return Err(ApiError::forbidden_object(resource, new.name(), &why));
    }
    check_labels(resource, node, &old.labels(), new)
}

fn check_labels(resource: &Resource, node: &str, old: &BTreeMap<&str, &str>, new: &Value) -> Result<(), ApiError> {
    let labels = new.labels();
    let changed = labels
        .iter()
        .filter(|(key, value)| old.get(*key) != Some(*value))
        .map(|(key, _)| *key);
    let removed = old.keys().filter(|key| !labels.contains_key(*key)).copied();
    let refused: Vec<&str> = changed.chain(removed).filter(|key| !may_set(key)).collect();
    if refused.is_empty() {
        return Ok(());
    }
    let why = format!("is not allowed to modify labels: {}", refused.join(", "));
    Err(ApiError::forbidden_object(
        resource,
        new.name(),
        &format!("node \"{node}\" {why}"),
    ))
}

/// Whether a kubelet may set the label on its node.
fn may_set(label: &str) -> bool {
    let Some((prefix, _)) = label.split_once('/') else {
        return true;
    };
    let under = |domain: &str| prefix == domain || prefix.ends_with(&format!(".{domain}"));
    if under("node-restriction.kubernetes.io") {
        return false;
    }
    if !under("kubernetes.io") && !under("k8s.io") {
        return true;
    }
    under("kubelet.kubernetes.io") || under("node.kubernetes.io") || KUBELET_LABELS.contains(&label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kubelets_label_topology_but_not_roles() {
        assert!(may_set("topology.kubernetes.io/zone"));
        assert!(may_set("failure-domain.beta.kubernetes.io/zone"));
        assert!(may_set("team"));
        assert!(may_set("example.com/team"));
        assert!(!may_set("node-role.kubernetes.io/control-plane"));
        assert!(!may_set("node-restriction.kubernetes.io/tier"));
    }
}
