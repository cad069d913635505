//! Structural checks with the Kubernetes types: wrong shapes are refused, unknown fields dropped or refused.

use serde_json::Value;

use crate::objects::FieldValidation;
use crate::resources::Resource;
use crate::status::ApiError;

/// Checks the object's shape and drops what its type does not know; answers warnings for the client.
pub(crate) fn structure(
    resource: &Resource,
    object: &mut Value,
    validation: FieldValidation,
) -> Result<Vec<String>, ApiError> {
    drop_nulls(object);
    if resource.plural != "customresourcedefinitions" {
        quantities_to_text(object, false);
    }
    let cannot = |why: &str| {
        ApiError::bad_request(format!(
            "{kind} in version \"{version}\" cannot be handled as a {kind}: {why}",
            kind = resource.kind,
            version = resource.version
        ))
    };
    let known = (resource.typed)(object).map_err(|error| cannot(&error.to_string()))?;
    let mut unknown = Vec::new();
    prune(object, &known, "", &mut unknown);
    let messages: Vec<String> = unknown.iter().map(|path| format!("unknown field \"{path}\"")).collect();
    match validation {
        FieldValidation::Strict if !messages.is_empty() => {
            Err(cannot(&format!("strict decoding error: {}", messages.join(", "))))
        }
        FieldValidation::Warn => Ok(messages),
        _ => Ok(Vec::new()),
    }
}

fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, one| !one.is_null());
            map.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

/// Manifests may give quantities as numbers (`cpu: 1`); they are kept as text.
fn quantities_to_text(value: &mut Value, inside: bool) {
    match value {
        Value::Object(map) => {
            for (key, one) in map {
                if let Value::Number(number) = one
                    && (inside || key == "sizeLimit")
                {
                    *one = Value::String(number.to_string());
                }
                let quantities = matches!(
                    key.as_str(),
                    "limits" | "requests" | "capacity" | "allocatable" | "overhead" | "hard"
                );
                quantities_to_text(one, quantities);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|one| quantities_to_text(one, false)),
        _ => {}
    }
}

/// Removes what the typed form has lost, and says where it was.
fn prune(object: &mut Value, known: &Value, path: &str, unknown: &mut Vec<String>) {
    match (object, known) {
        (Value::Object(map), Value::Object(known)) => map.retain(|key, value| {
            let here = if path.is_empty() {
                key.clone()
            } else {
                format!("{path}.{key}")
            };
            if let Some(known) = known.get(key) {
                prune(value, known, &here, unknown);
                return true;
            }
            // Some types leave out what is empty.
            let empty = match value {
                Value::Object(map) => map.is_empty(),
                Value::Array(items) => items.is_empty(),
                _ => false,
            };
            if !empty {
                unknown.push(here);
            }
            empty
        }),
        (Value::Array(items), Value::Array(known)) if items.len() == known.len() => {
            for (at, (item, known)) in items.iter_mut().zip(known).enumerate() {
                prune(item, known, &format!("{path}[{at}]"), unknown);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::resources::known;

    fn pod() -> Value {
        json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "a", "creationTimestamp": null},
            "spec": {"containers": [{"name": "c", "image": "i", "colour": "red", "resources": {"limits": {"cpu": 1}}}]},
        })
    }

    #[test]
    fn unknown_fields_are_dropped_warned_about_or_refused() {
        let mut object = pod();
        let warnings = structure(known("pods"), &mut object, FieldValidation::Warn).unwrap();
        assert_eq!(warnings, ["unknown field \"spec.containers[0].colour\""]);
        assert!(object.pointer("/spec/containers/0/colour").is_none());
        assert_eq!(
            object.pointer("/spec/containers/0/resources/limits/cpu"),
            Some(&json!("1"))
        );
        assert!(
            structure(known("pods"), &mut pod(), FieldValidation::Ignore)
                .unwrap()
                .is_empty()
        );
        let refused = structure(known("pods"), &mut pod(), FieldValidation::Strict).unwrap_err();
        assert_eq!(
            refused.message,
            "Pod in version \"v1\" cannot be handled as a Pod: strict decoding error: unknown field \"spec.containers[0].colour\""
        );
    }

    #[test]
    fn wrong_types_are_refused() {
        let mut object =
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": {"containers": "x"}});
        assert_eq!(
            structure(known("pods"), &mut object, FieldValidation::Ignore)
                .unwrap_err()
                .code,
            400
        );
    }
}
