//! Reading and writing Kubernetes objects held as plain JSON.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

/// Short ways to read and write the parts of an object that the server and its controllers look at.
///
/// Pointers are JSON pointers (`/spec/nodeName`).  What is missing reads as empty.
pub(crate) trait ObjectExt {
    fn text(&self, pointer: &str) -> &str;
    fn number(&self, pointer: &str) -> Option<i64>;
    fn flag(&self, pointer: &str) -> bool;
    fn items(&self, pointer: &str) -> &[Value];
    fn entries(&self, pointer: &str) -> BTreeMap<&str, &str>;
    fn put(&mut self, path: &[&str], value: Value);
    fn put_default(&mut self, path: &[&str], value: Value);
    fn take_out(&mut self, path: &[&str]) -> Option<Value>;

    fn name(&self) -> &str {
        self.text("/metadata/name")
    }
    fn namespace(&self) -> &str {
        self.text("/metadata/namespace")
    }
    fn uid(&self) -> &str {
        self.text("/metadata/uid")
    }
    fn labels(&self) -> BTreeMap<&str, &str> {
        self.entries("/metadata/labels")
    }
    fn annotation(&self, key: &str) -> Option<&str> {
        self.entries("/metadata/annotations").get(key).copied()
    }
    fn is_deleting(&self) -> bool {
        !self.text("/metadata/deletionTimestamp").is_empty()
    }
    fn revision(&self) -> u64 {
        self.text("/metadata/resourceVersion").parse().unwrap_or(0)
    }
    fn controller(&self) -> Option<&Value> {
        self.items("/metadata/ownerReferences")
            .iter()
            .find(|owner| owner.flag("/controller"))
    }
}

impl ObjectExt for Value {
    fn text(&self, pointer: &str) -> &str {
        self.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
    }

    fn number(&self, pointer: &str) -> Option<i64> {
        self.pointer(pointer).and_then(Value::as_i64)
    }

    fn flag(&self, pointer: &str) -> bool {
        self.pointer(pointer).and_then(Value::as_bool).unwrap_or(false)
    }

    fn items(&self, pointer: &str) -> &[Value] {
        self.pointer(pointer)
            .and_then(Value::as_array)
            .map_or(&[], Vec::as_slice)
    }

    fn entries(&self, pointer: &str) -> BTreeMap<&str, &str> {
        let map = self.pointer(pointer).and_then(Value::as_object);
        map.into_iter()
            .flatten()
            .filter_map(|(key, value)| Some((key.as_str(), value.as_str()?)))
            .collect()
    }

    fn put(&mut self, path: &[&str], value: Value) {
        let Some((last, parents)) = path.split_last() else {
            return;
        };
        let mut here = self;
        for step in parents {
            if !here.is_object() {
                *here = json!({});
            }
            let Value::Object(map) = here else { return };
            here = map.entry(*step).or_insert_with(|| json!({}));
        }
        if !here.is_object() {
            *here = json!({});
        }
        if let Value::Object(map) = here {
            map.insert((*last).to_owned(), value);
        }
    }

    fn put_default(&mut self, path: &[&str], value: Value) {
        let pointer: String = path
            .iter()
            .fold(String::new(), |so_far, step| so_far + "/" + &escape(step));
        if self.pointer(&pointer).is_none_or(Value::is_null) {
            self.put(path, value);
        }
    }

    fn take_out(&mut self, path: &[&str]) -> Option<Value> {
        let (last, parents) = path.split_last()?;
        let mut here = self;
        for step in parents {
            here = here.get_mut(*step)?;
        }
        here.as_object_mut()?.remove(*last)
    }
}

/// One step of a JSON pointer, escaped.
pub(crate) fn escape(step: &str) -> String {
    step.replace('~', "~0").replace('/', "~1")
}

/// The value as an object's map, made one if it is not.
pub(crate) fn map_of(value: &mut Value) -> &mut Map<String, Value> {
    if !value.is_object() {
        *value = json!({});
    }
    value.as_object_mut().expect("made an object just above")
}

/// A reference to the controller that owns an object.
pub(crate) fn controller_reference(api_version: &str, kind: &str, owner: &Value) -> Value {
    json!([{
        "apiVersion": api_version, "kind": kind, "name": owner.name(), "uid": owner.uid(),
        "controller": true, "blockOwnerDeletion": true,
    }])
}

/// Whether a condition of that type stands at "True".
pub(crate) fn condition_is(object: &Value, condition: &str, status: &str) -> bool {
    object
        .items("/status/conditions")
        .iter()
        .any(|one| one.text("/type") == condition && one.text("/status") == status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn puts_into_missing_parents_and_takes_out_again() {
        let mut object = json!({"metadata": {"name": "a"}});
        object.put(&["metadata", "labels", "example.com/x"], json!("1"));
        assert_eq!(object.labels(), BTreeMap::from([("example.com/x", "1")]));
        object.put_default(&["metadata", "labels", "example.com/x"], json!("2"));
        assert_eq!(object.labels()["example.com/x"], "1");
        assert_eq!(
            object.take_out(&["metadata", "labels", "example.com/x"]),
            Some(json!("1"))
        );
        assert!(object.labels().is_empty());
    }
}
