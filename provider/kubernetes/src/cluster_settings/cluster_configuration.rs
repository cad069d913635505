//! The `ClusterConfiguration` in kubeadm-config.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::kubeadm::{
    Arguments, Component, Customisation, DEFAULT_IMAGE_REPOSITORY, extra_arguments, pairs, uses_lists,
};
use crate::version::KubernetesVersion;

/// What of it is this provider's, apart from the version.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Overlay {
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    components: BTreeMap<String, Part>,
    #[serde(skip_serializing_if = "Option::is_none")]
    image_repository: Option<String>,
}

/// One component's part.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Part {
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    arguments: Arguments,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    volumes: BTreeMap<String, Value>,
}

impl Overlay {
    pub(super) fn of(customisation: &Customisation) -> Self {
        let part = |component: Component| {
            let part = Part {
                arguments: customisation.arguments(component),
                volumes: customisation.volumes(component),
            };
            (component.field().to_owned(), part)
        };
        Self {
            components: Component::ALL
                .into_iter()
                .map(part)
                .filter(|(_, part)| *part != Part::default())
                .collect(),
            image_repository: customisation.image_repository.clone(),
        }
    }

    /// What was noted when it was applied; nothing when nothing is noted.
    pub(super) fn noted(note: Option<&str>) -> Self {
        note.and_then(|note| serde_json::from_str(note).ok())
            .unwrap_or_default()
    }

    pub(super) fn note(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// The document that a version's kubeadm reads, with what is wanted in it and without what no longer is.
pub(super) fn merge(present: &Value, previous: &Overlay, wanted: &Overlay, version: KubernetesVersion) -> Value {
    let mut merged = present.clone();
    let as_list = uses_lists(version);
    merged["apiVersion"] = Value::from(version.kubeadm_api());
    merged["kind"] = Value::from("ClusterConfiguration");
    merged["kubernetesVersion"] = Value::from(format!("v{version}"));
    match (&wanted.image_repository, &previous.image_repository) {
        (Some(repository), _) => merged["imageRepository"] = Value::from(repository.clone()),
        (None, Some(_)) => merged["imageRepository"] = Value::from(DEFAULT_IMAGE_REPOSITORY),
        (None, None) => {}
    }
    let nothing = Part::default();
    for component in Component::ALL {
        let field = component.field();
        let previous = previous.components.get(field).unwrap_or(&nothing);
        let wanted = wanted.components.get(field).unwrap_or(&nothing);
        let place = match component {
            Component::Etcd => merged.pointer("/etcd/local"),
            _ => merged.get(field),
        };
        let present = place.and_then(Value::as_object).cloned();
        let mut part = present.clone().unwrap_or_default();
        set_arguments(&mut part, previous, wanted, as_list);
        set_volumes(&mut part, previous, wanted);
        if as_list {
            // Where it moved to, joins have it in their own document.
            part.remove("timeoutForControlPlane");
        }
        if part.is_empty() && present.is_none() {
            continue;
        }
        match component {
            Component::Etcd => merged["etcd"] = json!({ "local": part }),
            _ => merged[field] = Value::from(part),
        }
    }
    merged
}

fn set_arguments(part: &mut Map<String, Value>, previous: &Part, wanted: &Part, as_list: bool) {
    let present = part.get("extraArgs").map(read_arguments).unwrap_or_default();
    let ours = |name: &String| previous.arguments.contains_key(name) || wanted.arguments.contains_key(name);
    let mut all: Vec<(String, String)> = present.iter().filter(|(name, _)| !ours(name)).cloned().collect();
    all.extend(pairs(&wanted.arguments));
    // An argument's own values keep their order.
    all.sort_by(|left, right| left.0.cmp(&right.0));
    let mut sorted = present;
    sorted.sort_by(|left, right| left.0.cmp(&right.0));
    let in_shape = part
        .get("extraArgs")
        .is_none_or(|arguments| arguments.is_array() == as_list);
    if all == sorted && in_shape {
        return;
    }
    if all.is_empty() {
        part.remove("extraArgs");
    } else {
        part.insert("extraArgs".to_owned(), extra_arguments(as_list, all));
    }
}

/// A list of names and values, or a map.
fn read_arguments(arguments: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    match arguments {
        Value::Array(arguments) => arguments
            .iter()
            .map(|one| (text(&one["name"]), text(&one["value"])))
            .collect(),
        Value::Object(map) => map.iter().map(|(name, value)| (name.clone(), text(value))).collect(),
        _ => Vec::new(),
    }
}

fn set_volumes(part: &mut Map<String, Value>, previous: &Part, wanted: &Part) {
    let present = part.get("extraVolumes").and_then(Value::as_array).cloned();
    let present = present.unwrap_or_default();
    let ours = |volume: &Value| {
        let name = volume["name"].as_str().unwrap_or_default();
        previous.volumes.contains_key(name) || wanted.volumes.contains_key(name)
    };
    let mut all: Vec<Value> = present.iter().filter(|volume| !ours(volume)).cloned().collect();
    all.extend(wanted.volumes.values().cloned());
    let same = all.len() == present.len() && all.iter().all(|volume| present.contains(volume));
    if same {
        return;
    }
    if all.is_empty() {
        part.remove("extraVolumes");
    } else {
        part.insert("extraVolumes".to_owned(), Value::from(all));
    }
}
