//! Server-side apply with simple ownership.
//!
//! What each applying manager set is kept in `metadata.managedFields`, in Kubernetes' own format.  An apply merges
//! its object into the stored one, and removes what the same manager applied before and does not any more, unless
//! another one applies it too.  A value that another manager applied differently is a conflict, unless forced.
//! Writes other than applies own nothing here.

use serde_json::{Map, Value, json};

use super::lists::{ListKind, key_value, same};
use crate::object::{ObjectExt as _, map_of};
use crate::status::ApiError;
use crate::time;

/// The stored object after `applied`, or a conflict.
pub(super) fn apply(
    live: &Value,
    applied: &Value,
    manager: &str,
    force: bool,
    api_version: &str,
) -> Result<Value, ApiError> {
    let fields = fields_of_object(applied);
    let mut entries = live.items("/metadata/managedFields").to_vec();
    let is_ours = |entry: &Value| entry.text("/manager") == manager && entry.text("/operation") == "Apply";
    let previous = entries
        .iter()
        .find(|entry| is_ours(entry))
        .map(|entry| entry["fieldsV1"].clone());
    entries.retain(|entry| !is_ours(entry));

    let mut conflicts = Vec::new();
    for entry in &mut entries {
        let other = entry.text("/manager").to_owned();
        let mut disputed = Vec::new();
        disputes(&mut entry["fieldsV1"], &fields, live, applied, "", force, &mut disputed);
        conflicts.extend(disputed.into_iter().map(|path| (other.clone(), path)));
    }
    if !force && !conflicts.is_empty() {
        return Err(conflict(&conflicts));
    }

    let mut new = live.clone();
    merge(&mut new, applied);
    if let Some(previous) = previous {
        let others: Vec<&Value> = entries.iter().map(|entry| &entry["fieldsV1"]).collect();
        remove_dropped(&previous, Some(&fields), &others, &mut new);
    }
    entries.push(json!({
        "manager": manager, "operation": "Apply", "apiVersion": api_version, "fieldsType": "FieldsV1",
        "time": time::seconds(jiff::Timestamp::now()), "fieldsV1": fields,
    }));
    // Only the time differs: keep the old entries, so that nothing changes.
    let old = live.items("/metadata/managedFields");
    let without_time = |entries: &[Value]| -> Vec<Value> {
        entries
            .iter()
            .map(|entry| {
                let mut entry = entry.clone();
                entry.take_out(&["time"]);
                entry
            })
            .collect()
    };
    let same_entries =
        old.len() == entries.len() && without_time(old).iter().all(|one| without_time(&entries).contains(one));
    let entries = if same_entries { old.to_vec() } else { entries };
    new.put(&["metadata", "managedFields"], Value::Array(entries));
    if let Some(revision) = live.pointer("/metadata/resourceVersion")
        && applied.pointer("/metadata/resourceVersion").is_none()
    {
        new.put(&["metadata", "resourceVersion"], revision.clone());
    }
    Ok(new)
}

fn conflict(conflicts: &[(String, String)]) -> ApiError {
    let list: Vec<String> = conflicts
        .iter()
        .map(|(who, path)| format!("conflict with \"{who}\": {path}"))
        .collect();
    let plural = if conflicts.len() == 1 { "" } else { "s" };
    let message = format!(
        "Apply failed with {} conflict{plural}: {}",
        conflicts.len(),
        list.join(", ")
    );
    let mut error = ApiError::new(409, "Conflict", message);
    let causes: Vec<Value> = conflicts
        .iter()
        .map(|(who, path)| {
            json!({"reason": "FieldManagerConflict", "message": format!("conflict with \"{who}\""), "field": path})
        })
        .collect();
    error.details = Some(json!({"causes": causes}));
    error
}

/// The fields that an applied object sets, as `FieldsV1`.
fn fields_of_object(object: &Value) -> Value {
    let mut own = object.clone();
    for field in ["apiVersion", "kind"] {
        own.take_out(&[field]);
    }
    for field in [
        "name",
        "namespace",
        "uid",
        "resourceVersion",
        "creationTimestamp",
        "generation",
        "managedFields",
    ] {
        own.take_out(&["metadata", field]);
    }
    if own
        .get("metadata")
        .and_then(Value::as_object)
        .is_some_and(Map::is_empty)
    {
        own.take_out(&["metadata"]);
    }
    fields_of(&own, "")
}

fn fields_of(value: &Value, field: &str) -> Value {
    let mut fields = Map::new();
    match value {
        Value::Object(map) => {
            for (key, value) in map.iter().filter(|(_, value)| !value.is_null()) {
                fields.insert(format!("f:{key}"), fields_of(value, key));
            }
        }
        Value::Array(list) => match ListKind::of(field, list) {
            ListKind::Keyed(keys) if !list.is_empty() => {
                for element in list {
                    let mut inner = fields_of(element, "");
                    map_of(&mut inner).insert(".".to_owned(), json!({}));
                    fields.insert(format!("k:{}", element_key(element, keys)), inner);
                }
            }
            ListKind::Set => {
                for element in list {
                    fields.insert(format!("v:{element}"), json!({}));
                }
            }
            _ => {}
        },
        _ => {}
    }
    Value::Object(fields)
}

fn element_key(element: &Value, keys: &[&str]) -> Value {
    Value::Object(
        keys.iter()
            .map(|key| ((*key).to_owned(), key_value(element, key)))
            .collect(),
    )
}

/// Merges what is applied into the stored object.
fn merge(object: &mut Value, applied: &Value) {
    let Value::Object(applied) = applied else { return };
    let target = map_of(object);
    for (key, value) in applied {
        match value {
            Value::Null => {}
            Value::Object(_) => merge(target.entry(key.clone()).or_insert_with(|| json!({})), value),
            Value::Array(list) => {
                let existing = target.entry(key.clone()).or_insert_with(|| json!([]));
                merge_list(existing, key, list);
            }
            other => drop(target.insert(key.clone(), other.clone())),
        }
    }
}

fn merge_list(existing: &mut Value, field: &str, list: &[Value]) {
    let old = existing.as_array().cloned().unwrap_or_default();
    let merged = match ListKind::of(field, list) {
        ListKind::Keyed(keys) => {
            let mut all = old;
            for one in list {
                match all.iter_mut().find(|other| same(other, one, keys)) {
                    Some(found) => merge(found, one),
                    None => all.push(one.clone()),
                }
            }
            all
        }
        ListKind::Set => {
            let mut all = old;
            for one in list {
                if !all.contains(one) {
                    all.push(one.clone());
                }
            }
            all
        }
        ListKind::Atomic => list.to_vec(),
    };
    *existing = Value::Array(merged);
}

/// The value that a step of `FieldsV1` leads to.
fn step_into<'a>(value: &'a Value, step: &str) -> Option<&'a Value> {
    if let Some(field) = step.strip_prefix("f:") {
        return value.get(field);
    }
    let key: Map<String, Value> = serde_json::from_str(step.strip_prefix("k:")?).ok()?;
    value
        .as_array()?
        .iter()
        .find(|element| key.iter().all(|(field, wanted)| key_value(element, field) == *wanted))
}

/// Finds fields that another manager applied with another value; with `force` takes them from it.
fn disputes(
    theirs: &mut Value,
    ours: &Value,
    live: &Value,
    applied: &Value,
    path: &str,
    force: bool,
    found: &mut Vec<String>,
) {
    let (Some(theirs), Some(ours)) = (theirs.as_object_mut(), ours.as_object()) else {
        return;
    };
    let mut taken = Vec::new();
    for (step, inner) in theirs.iter_mut() {
        let Some(our_inner) = ours.get(step) else { continue };
        if step == "." || step.starts_with("v:") {
            continue;
        }
        let (Some(live), Some(applied)) = (step_into(live, step), step_into(applied, step)) else {
            continue;
        };
        let here = match step.strip_prefix("f:") {
            Some(field) => format!("{path}.{field}"),
            None => format!("{path}[{}]", step.trim_start_matches("k:")),
        };
        let leaf = |fields: &Value| fields.as_object().is_none_or(Map::is_empty);
        if leaf(inner) || leaf(our_inner) {
            if live != applied {
                found.push(here);
                taken.push(step.clone());
            }
        } else {
            disputes(inner, our_inner, live, applied, &here, force, found);
            // An owner of nothing inside owns it not at all; an empty entry would stand for the whole field.
            if inner.as_object().is_some_and(Map::is_empty) {
                taken.push(step.clone());
            }
        }
    }
    if force {
        for step in taken {
            theirs.remove(&step);
        }
    }
}

/// Removes from `object` what `previous` holds, `current` does not, and no other manager does.
fn remove_dropped(previous: &Value, current: Option<&Value>, others: &[&Value], object: &mut Value) {
    let Some(previous) = previous.as_object() else { return };
    for (step, inner) in previous {
        if step == "." {
            continue;
        }
        let current = current.and_then(|fields| fields.get(step));
        let others: Vec<&Value> = others.iter().filter_map(|fields| fields.get(step)).collect();
        let leaf = inner.as_object().is_none_or(Map::is_empty);
        let whole = leaf || inner.get(".").is_some();
        if current.is_none() && others.is_empty() && whole {
            remove_step(object, step);
            continue;
        }
        if leaf {
            continue;
        }
        let Some(child) = step_into_mut(object, step) else {
            continue;
        };
        remove_dropped(inner, current, &others, child);
        let empty = match &*child {
            Value::Object(map) => map.is_empty(),
            Value::Array(list) => list.is_empty(),
            _ => false,
        };
        if current.is_none() && empty {
            remove_step(object, step);
        }
    }
}

fn step_into_mut<'a>(value: &'a mut Value, step: &str) -> Option<&'a mut Value> {
    if let Some(field) = step.strip_prefix("f:") {
        return value.get_mut(field);
    }
    let key: Map<String, Value> = serde_json::from_str(step.strip_prefix("k:")?).ok()?;
    value
        .as_array_mut()?
        .iter_mut()
        .find(|element| key.iter().all(|(field, wanted)| key_value(element, field) == *wanted))
}

fn remove_step(object: &mut Value, step: &str) {
    if let Some(field) = step.strip_prefix("f:") {
        object.take_out(&[field]);
    } else if let (Some(list), Some(key)) = (object.as_array_mut(), step.strip_prefix("k:")) {
        let key: Map<String, Value> = serde_json::from_str(key).unwrap_or_default();
        list.retain(|element| !key.iter().all(|(field, wanted)| key_value(element, field) == *wanted));
    } else if let (Some(list), Some(value)) = (object.as_array_mut(), step.strip_prefix("v:")) {
        let value: Value = serde_json::from_str(value).unwrap_or_default();
        list.retain(|element| *element != value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(live: &Value, object: &Value, manager: &str, force: bool) -> Result<Value, ApiError> {
        apply(live, object, manager, force, "v1")
    }

    fn labels(object: &Value) -> Vec<String> {
        object
            .labels()
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect()
    }

    #[test]
    fn what_a_manager_does_not_apply_any_more_goes() {
        let first = applied(
            &json!({}),
            &json!({"metadata": {"name": "n", "labels": {"a": "1", "b": "1"}}}),
            "m",
            false,
        )
        .unwrap();
        let second = applied(
            &first,
            &json!({"metadata": {"name": "n", "labels": {"b": "2"}}}),
            "m",
            false,
        )
        .unwrap();
        assert_eq!(labels(&second), ["b=2"]);
    }

    #[test]
    fn what_others_set_stays() {
        let live = json!({"metadata": {"name": "n", "labels": {"theirs": "1"}}});
        let first = applied(&live, &json!({"metadata": {"labels": {"ours": "1"}}}), "m", false).unwrap();
        let second = applied(&first, &json!({"metadata": {"labels": {"third": "1"}}}), "other", false).unwrap();
        let third = applied(&second, &json!({"metadata": {}}), "m", false).unwrap();
        assert_eq!(labels(&third), ["theirs=1", "third=1"]);
    }

    #[test]
    fn another_value_is_a_conflict_unless_forced() {
        let first = applied(&json!({}), &json!({"spec": {"replicas": 1}}), "a", false).unwrap();
        let refused = applied(&first, &json!({"spec": {"replicas": 2}}), "b", false).unwrap_err();
        assert_eq!(
            refused.message,
            "Apply failed with 1 conflict: conflict with \"a\": .spec.replicas"
        );
        let forced = applied(&first, &json!({"spec": {"replicas": 2}}), "b", true).unwrap();
        assert_eq!(forced["spec"]["replicas"], json!(2));
        assert!(applied(&forced, &json!({"spec": {"replicas": 3}}), "b", false).is_ok());
    }

    #[test]
    fn keyed_lists_merge_and_lose_elements() {
        let container = |name: &str, image: &str| json!({"name": name, "image": image});
        let first = json!({"spec": {"containers": [container("a", "1"), container("b", "1")]}});
        let first = applied(&json!({}), &first, "m", false).unwrap();
        let second = applied(
            &first,
            &json!({"spec": {"containers": [container("b", "2")]}}),
            "m",
            false,
        )
        .unwrap();
        assert_eq!(second["spec"]["containers"], json!([container("b", "2")]));
    }

    #[test]
    fn applying_the_same_again_changes_nothing() {
        let object = json!({"metadata": {"name": "n"}, "spec": {"a": 1}});
        let first = applied(&json!({}), &object, "m", false).unwrap();
        assert_eq!(applied(&first, &object, "m", false).unwrap(), first);
    }
}
