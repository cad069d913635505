//! Changing the labels and taints that a node group owns, and no others.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Node, Taint as ApiTaint};
use serde_json::{Map, Value, json};

use crate::labels::Taint;

/// The labels and taints of a node that belong to its node group.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct OwnedMetadata {
    /// Labels by key.
    pub labels: BTreeMap<String, String>,
    /// Taints; key and effect are the identity.
    pub taints: Vec<Taint>,
    /// Annotations by key.
    pub annotations: BTreeMap<String, String>,
}

/// The merge patch that takes the node from what was owned to what is to be, or `None` if it is so already.
///
/// What was never owned stays: controllers and people label and taint nodes too. The patch names the version of the
/// node it was made from, so that it fails rather than overwrite a taint that came in between.
pub(super) fn patch(node: &Node, previous: &OwnedMetadata, desired: &OwnedMetadata) -> Option<Value> {
    let empty = BTreeMap::new();
    let current = node.metadata.labels.as_ref().unwrap_or(&empty);
    let mut labels = Map::new();
    for key in previous.labels.keys() {
        if !desired.labels.contains_key(key) && current.contains_key(key) {
            labels.insert(key.clone(), Value::Null);
        }
    }
    for (key, value) in &desired.labels {
        if current.get(key) != Some(value) {
            labels.insert(key.clone(), Value::from(value.clone()));
        }
    }

    let current = node
        .spec
        .as_ref()
        .and_then(|spec| spec.taints.clone())
        .unwrap_or_default();
    let mut taints: Vec<ApiTaint> = current
        .iter()
        .filter(|taint| {
            let is = |other: &Taint| other.key == taint.key && other.effect.as_str() == taint.effect;
            !previous.taints.iter().any(is) || desired.taints.iter().any(is)
        })
        .cloned()
        .collect();
    for taint in &desired.taints {
        let value = Some(taint.value.clone()).filter(|value| !value.is_empty());
        let existing = taints
            .iter_mut()
            .find(|it| it.key == taint.key && it.effect == taint.effect.as_str());
        match existing {
            Some(existing) if existing.value.clone().unwrap_or_default() == taint.value => {}
            Some(existing) => existing.value = value,
            None => taints.push(ApiTaint {
                key: taint.key.clone(),
                value,
                effect: taint.effect.as_str().to_owned(),
                time_added: None,
            }),
        }
    }

    let mut annotations = Map::new();
    let current_annotations = node.metadata.annotations.as_ref().unwrap_or(&empty);
    for key in previous.annotations.keys() {
        if !desired.annotations.contains_key(key) && current_annotations.contains_key(key) {
            annotations.insert(key.clone(), Value::Null);
        }
    }
    for (key, value) in &desired.annotations {
        if current_annotations.get(key) != Some(value) {
            annotations.insert(key.clone(), Value::from(value.clone()));
        }
    }

    let mut patch = json!({ "metadata": { "resourceVersion": node.metadata.resource_version } });
    if labels.is_empty() && annotations.is_empty() && taints == current {
        return None;
    }
    if !annotations.is_empty() {
        patch["metadata"]["annotations"] = annotations.into();
    }
    if !labels.is_empty() {
        patch["metadata"]["labels"] = labels.into();
    }
    if taints != current {
        patch["spec"] = json!({ "taints": if taints.is_empty() { Value::Null } else { json!(taints) } });
    }
    Some(patch)
}

/// A taint with an effect that this provider knows; Kubernetes has had the same three since taints exist.
pub(super) fn known_taint(taint: &ApiTaint) -> Option<Taint> {
    Some(Taint {
        key: taint.key.clone(),
        value: taint.value.clone().unwrap_or_default(),
        effect: taint.effect.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::labels::TaintEffect::{NoExecute, NoSchedule};

    fn node() -> Node {
        serde_json::from_value(json!({
            "metadata": { "name": "n", "resourceVersion": "7", "labels": { "team": "web", "theirs": "x" } },
            "spec": { "taints": [
                { "key": "node.kubernetes.io/unreachable", "effect": "NoExecute", "timeAdded": "2026-01-02T03:04:05Z" },
                { "key": "gpu", "value": "yes", "effect": "NoSchedule" },
            ] },
        }))
        .unwrap()
    }

    fn owned(labels: &[(&str, &str)], taints: &[(&str, &str, crate::labels::TaintEffect)]) -> OwnedMetadata {
        OwnedMetadata {
            labels: labels
                .iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect(),
            taints: taints
                .iter()
                .map(|(key, value, effect)| Taint {
                    key: (*key).into(),
                    value: (*value).into(),
                    effect: *effect,
                })
                .collect(),
            annotations: BTreeMap::new(),
        }
    }

    #[test]
    fn nothing_to_do_is_no_patch() {
        let both = owned(&[("team", "web")], &[("gpu", "yes", NoSchedule)]);
        assert_eq!(patch(&node(), &both, &both), None);
        assert_eq!(
            patch(&node(), &OwnedMetadata::default(), &both),
            None,
            "an interrupted change that had arrived"
        );
        assert_eq!(
            patch(&node(), &owned(&[("gone", "x")], &[]), &OwnedMetadata::default()),
            None
        );
    }

    #[test]
    fn only_owned_labels_are_removed() {
        let patch = patch(
            &node(),
            &owned(&[("team", "web")], &[]),
            &owned(&[("tier", "front")], &[]),
        )
        .unwrap();
        assert_eq!(
            patch,
            json!({ "metadata": { "resourceVersion": "7", "labels": { "team": null, "tier": "front" } } })
        );
    }

    #[test]
    fn only_owned_taints_are_replaced_and_others_stay_as_they_are() {
        let patch = patch(
            &node(),
            &owned(&[], &[("gpu", "yes", NoSchedule)]),
            &owned(&[], &[("spot", "", NoExecute)]),
        )
        .unwrap();
        assert_eq!(
            patch["spec"]["taints"],
            json!([
                { "key": "node.kubernetes.io/unreachable", "effect": "NoExecute", "timeAdded": "2026-01-02T03:04:05Z" },
                { "key": "spot", "effect": "NoExecute" },
            ])
        );
        assert_eq!(
            patch["metadata"]["resourceVersion"], "7",
            "a taint that came in between is not overwritten"
        );
    }

    #[test]
    fn annotations_are_set_and_those_of_others_stay() {
        let record = OwnedMetadata {
            annotations: [("multizone.dev/record".to_owned(), "{}".to_owned())].into(),
            ..OwnedMetadata::default()
        };
        let change = patch(&node(), &OwnedMetadata::default(), &record).unwrap();
        assert_eq!(
            change,
            json!({ "metadata": { "resourceVersion": "7", "annotations": { "multizone.dev/record": "{}" } } })
        );
    }

    #[test]
    fn a_taint_changes_its_value_in_place() {
        let change = patch(
            &node(),
            &owned(&[], &[("gpu", "yes", NoSchedule)]),
            &owned(&[], &[("gpu", "a100", NoSchedule)]),
        )
        .unwrap();
        assert_eq!(change["spec"]["taints"][1]["value"], "a100");
        let last = node();
        let mut only = last.clone();
        only.spec.as_mut().unwrap().taints.as_mut().unwrap().remove(0);
        let change = patch(
            &only,
            &owned(&[], &[("gpu", "yes", NoSchedule)]),
            &OwnedMetadata::default(),
        )
        .unwrap();
        assert_eq!(change["spec"], json!({ "taints": null }));
    }
}
