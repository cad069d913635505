//! Pods from templates, for the controllers that make pods.

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::object::{ObjectExt as _, controller_reference};
use crate::objects::Api;

/// Ten letters that change with the template.
pub(super) fn hash(template: &Value) -> String {
    const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    let mut text = String::new();
    write_sorted(template, &mut text);
    let digest = Sha256::digest(text.as_bytes());
    digest
        .iter()
        .take(10)
        .map(|&byte| char::from(ALPHABET[usize::from(byte) % ALPHABET.len()]))
        .collect()
}

/// Text that is the same for equal values, whatever the order of their fields.
fn write_sorted(value: &Value, out: &mut String) {
    match value {
        Value::Object(map) => {
            let mut fields: Vec<_> = map.iter().collect();
            fields.sort_by_key(|(key, _)| *key);
            for (key, value) in fields {
                out.push_str(key);
                out.push('{');
                write_sorted(value, out);
                out.push('}');
            }
        }
        Value::Array(items) => {
            for item in items {
                out.push('[');
                write_sorted(item, out);
                out.push(']');
            }
        }
        other => out.push_str(&other.to_string()),
    }
}

/// Whether an object's controller is this owner.
pub(super) fn is_owned_by(object: &Value, owner: &Value) -> bool {
    object
        .controller()
        .is_some_and(|reference| reference.text("/uid") == owner.uid())
}

/// Whether the owner is still there and wanted.  To be asked after its objects were listed: an owner that is
/// being deleted has its objects set free or removed, which must not look like a lack of them.
pub(super) fn is_wanted(api: &Api, id: &str, owner: &Value) -> bool {
    let found = api.store.get(id, owner.namespace(), owner.name());
    found.is_some_and(|found| found.uid() == owner.uid() && !found.is_deleting())
}

/// A pod of an `apps/v1` owner, from a template.
pub(super) fn pod_of(kind: &str, owner: &Value, template: &Value) -> Value {
    let mut pod = template.clone();
    pod.take_out(&["metadata", "name"]);
    pod.take_out(&["metadata", "creationTimestamp"]);
    pod.put(&["metadata", "generateName"], json!(format!("{}-", owner.name())));
    pod.put(
        &["metadata", "ownerReferences"],
        controller_reference("apps/v1", kind, owner),
    );
    pod
}

/// A number or percentage of `whole`, rounded down or up.
pub(super) fn budget(value: Option<&Value>, whole: i64, up: bool) -> i64 {
    match value {
        Some(Value::Number(number)) => number.as_i64().unwrap_or(0),
        Some(Value::String(text)) => {
            let percent: i64 = text.trim_end_matches('%').parse().unwrap_or(0);
            let product = percent * whole;
            if up { (product + 99) / 100 } else { product / 100 }
        }
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages_round_as_asked() {
        assert_eq!(budget(Some(&json!("25%")), 3, true), 1);
        assert_eq!(budget(Some(&json!("25%")), 3, false), 0);
        assert_eq!(budget(Some(&json!(2)), 3, false), 2);
        assert_eq!(budget(None, 3, true), 0);
    }

    #[test]
    fn templates_that_differ_have_other_hashes() {
        assert_eq!(hash(&json!({"a": 1, "b": 2})), hash(&json!({"b": 2, "a": 1})));
        assert_ne!(hash(&json!({"a": 1})), hash(&json!({"a": 2})));
    }
}
