//! Which changes mean a new object.

use super::{Object, attribute};
use crate::attribute::{Attribute, AttributeKind};
use crate::path::Path;
use crate::schema::Schema;
use crate::value::Value;

/// The attributes whose planned change means a new object, sorted, each once.
///
/// Empty for a creation and for a destruction. An element that is added to or removed from a nested list or map does
/// not replace the whole: only a change of one that stays does. A set's elements do not stay, they come and go.
pub fn requires_replace(schema: &Schema, prior: &Value, planned: &Value) -> Vec<Path> {
    let mut paths = Vec::new();
    if let (Some(prior), Some(planned)) = (prior.as_object(), planned.as_object()) {
        object(&schema.attributes, prior, planned, &Path::root(), &mut paths);
    }
    paths.sort();
    paths.dedup();
    paths
}

fn object(attributes: &[Attribute], prior: &Object, planned: &Object, path: &Path, paths: &mut Vec<Path>) {
    for schema in attributes {
        let prior = attribute(Some(prior), &schema.name);
        let planned = attribute(Some(planned), &schema.name);
        if prior == planned {
            continue;
        }
        let path = path.clone().attribute(&schema.name);
        match (&schema.kind, prior, planned) {
            _ if schema.requires_replace => paths.push(path),
            (AttributeKind::Single(inner), Value::Object(prior), Value::Object(planned)) => {
                object(inner, prior, planned, &path, paths);
            }
            (AttributeKind::List(inner), Value::List(prior), Value::List(planned)) => {
                for (index, (prior, planned)) in prior.iter().zip(planned).enumerate() {
                    element(inner, prior, planned, || path.clone().index(index), paths);
                }
            }
            (AttributeKind::Map(inner), Value::Map(prior), Value::Map(planned)) => {
                for (key, planned) in planned {
                    if let Some(prior) = prior.get(key) {
                        element(inner, prior, planned, || path.clone().key(key), paths);
                    }
                }
            }
            _ => {}
        }
    }
}

fn element(
    attributes: &[Attribute],
    prior: &Value,
    planned: &Value,
    path: impl FnOnce() -> Path,
    paths: &mut Vec<Path>,
) {
    if let (Value::Object(prior), Value::Object(planned)) = (prior, planned) {
        object(attributes, prior, planned, &path(), paths);
    }
}
