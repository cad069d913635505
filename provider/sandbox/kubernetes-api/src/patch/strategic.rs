//! Strategic merge patches.

use serde_json::{Map, Value, json};

use super::lists::{ListKind, same};
use crate::object::{ObjectExt as _, map_of};

/// Merges a patch into an object.
pub(super) fn merge(object: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else { return };
    if patch.get("$patch").and_then(Value::as_str) == Some("replace") {
        *object = without_directives(patch);
        return;
    }
    let target = map_of(object);
    if let Some(Value::Array(kept)) = patch.get("$retainKeys") {
        target.retain(|key, _| kept.iter().any(|one| one.as_str() == Some(key)));
    }
    for (key, value) in patch {
        if let Some(field) = key.strip_prefix("$deleteFromPrimitiveList/") {
            if let (Some(Value::Array(list)), Value::Array(gone)) = (target.get_mut(field), value) {
                list.retain(|one| !gone.contains(one));
            }
        } else if key.starts_with('$') {
            // $setElementOrder only orders; the other directives are handled where they stand.
        } else if value.is_null() || value.text("/$patch") == "delete" {
            target.remove(key);
        } else if value.is_object() {
            merge(target.entry(key.clone()).or_insert_with(|| json!({})), value);
        } else if let Value::Array(list) = value {
            merge_list(target, key, list);
        } else {
            target.insert(key.clone(), value.clone());
        }
    }
}

fn merge_list(target: &mut Map<String, Value>, field: &str, patch: &[Value]) {
    let real: Vec<Value> = patch
        .iter()
        .filter(|one| one.text("/$patch") != "replace" || has_more(one))
        .cloned()
        .collect();
    let replaces = real.len() != patch.len();
    let existing = target.get(field).and_then(Value::as_array).cloned().unwrap_or_default();
    let kind = if real.is_empty() {
        ListKind::of(field, &existing)
    } else {
        ListKind::of(field, &real)
    };
    let merged = match kind {
        _ if replaces => real.iter().map(clean).collect(),
        ListKind::Atomic => real.iter().map(clean).collect(),
        ListKind::Set => {
            let mut all = existing;
            for one in real {
                if !all.contains(&one) {
                    all.push(one);
                }
            }
            all
        }
        ListKind::Keyed(keys) => {
            let mut all = existing;
            for one in &real {
                let found = all.iter().position(|other| same(other, one, keys));
                match (found, one.text("/$patch") == "delete") {
                    (Some(at), true) => drop(all.remove(at)),
                    (Some(at), false) => merge(&mut all[at], one),
                    (None, true) => {}
                    (None, false) => all.push(clean(one)),
                }
            }
            all
        }
    };
    target.insert(field.to_owned(), Value::Array(merged));
}

fn has_more(element: &Value) -> bool {
    element.as_object().is_some_and(|map| map.len() > 1)
}

/// A value of the patch as it stands in an object: without nulls and directives.
fn clean(value: &Value) -> Value {
    match value {
        Value::Object(map) => without_directives(map),
        Value::Array(list) => Value::Array(list.iter().map(clean).collect()),
        other => other.clone(),
    }
}

fn without_directives(map: &Map<String, Value>) -> Value {
    let kept = map
        .iter()
        .filter(|(key, value)| !key.starts_with('$') && !value.is_null());
    Value::Object(kept.map(|(key, value)| (key.clone(), clean(value))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merged(mut object: Value, patch: &Value) -> Value {
        merge(&mut object, patch);
        object
    }

    #[test]
    fn containers_merge_by_name() {
        let pod = json!({"spec": {"containers": [{"name": "a", "image": "1"}, {"name": "b", "image": "1"}]}});
        let patch = json!({"spec": {
            "$setElementOrder/containers": [{"name": "a"}, {"name": "b"}],
            "containers": [{"name": "b", "image": "2", "env": [{"name": "X", "value": "y"}]}, {"name": "a", "$patch": "delete"}],
        }});
        assert_eq!(
            merged(pod, &patch),
            json!({"spec": {"containers": [{"name": "b", "image": "2", "env": [{"name": "X", "value": "y"}]}]}})
        );
    }

    #[test]
    fn conditions_merge_by_type_and_taints_are_replaced() {
        let node = json!({
            "spec": {"taints": [{"key": "a", "effect": "NoSchedule"}]},
            "status": {"conditions": [{"type": "Ready", "status": "False"}, {"type": "DiskPressure", "status": "False"}]},
        });
        let patch = json!({
            "spec": {"taints": [{"key": "b", "effect": "NoExecute"}]},
            "status": {"conditions": [{"type": "Ready", "status": "True"}]},
        });
        let node = merged(node, &patch);
        assert_eq!(node["spec"]["taints"], json!([{"key": "b", "effect": "NoExecute"}]));
        assert_eq!(
            node["status"]["conditions"],
            json!([{"type": "Ready", "status": "True"}, {"type": "DiskPressure", "status": "False"}])
        );
    }

    #[test]
    fn directives_replace_retain_and_delete() {
        let object = json!({"strategy": {"type": "RollingUpdate", "rollingUpdate": {}}, "labels": {"a": "1"}, "finalizers": ["x", "y"]});
        let patch = json!({
            "strategy": {"$retainKeys": ["type"], "type": "Recreate"},
            "labels": {"$patch": "replace", "b": "2"},
            "$deleteFromPrimitiveList/finalizers": ["x"],
        });
        assert_eq!(
            merged(object, &patch),
            json!({"strategy": {"type": "Recreate"}, "labels": {"b": "2"}, "finalizers": ["y"]})
        );
    }

    #[test]
    fn nulls_remove_and_service_ports_keep_their_protocols() {
        let service =
            json!({"spec": {"ports": [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}], "x": 1}});
        let patch = json!({"spec": {"x": null, "ports": [{"port": 53, "name": "dns", "protocol": "UDP"}]}});
        assert_eq!(
            merged(service, &patch),
            json!({"spec": {"ports": [{"port": 53, "protocol": "UDP", "name": "dns"}, {"port": 53, "protocol": "TCP"}]}})
        );
    }
}
