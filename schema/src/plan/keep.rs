//! The second step, for an object that changes: which computed values stay, and which are known only after apply.

use super::merge::pair_set;
use super::{Object, attribute};
use crate::attribute::{Attribute, AttributeKind};
use crate::value::Value;

/// Makes an object's computed attributes unknown, except where they keep their prior value.
///
/// `prior` is the same object before, if it existed.
pub(super) fn object(attributes: &[Attribute], config: &Object, mut merged: Object, prior: Option<&Object>) -> Object {
    for schema in attributes {
        let name = &schema.name;
        let Some(planned) = merged.get_mut(name) else { continue };
        let config = attribute(Some(config), name);
        if !config.is_null() {
            *planned = nested(
                schema,
                config,
                std::mem::replace(planned, Value::Null),
                attribute(prior, name),
            );
        } else if schema.mode.is_computed() && schema.default.is_none() && !(schema.keep_prior && prior.is_some()) {
            *planned = Value::Unknown;
        }
    }
    merged
}

/// The same inside an attribute that the configuration sets.
fn nested(schema: &Attribute, config: &Value, planned: Value, prior: &Value) -> Value {
    match (&schema.kind, config, planned) {
        (AttributeKind::Single(attributes), Value::Object(config), Value::Object(planned)) => {
            Value::Object(object(attributes, config, planned, prior.as_object()))
        }
        (AttributeKind::List(attributes), Value::List(config), Value::List(planned)) => {
            let prior = prior.as_elements().unwrap_or_default();
            let elements = config.iter().zip(planned).enumerate();
            Value::List(
                elements
                    .map(|(index, (config, planned))| {
                        // With the prior computed values filled in, an element that differs is another one or has changed.
                        let same = prior.get(index).filter(|prior| **prior == planned);
                        element(attributes, config, planned, same)
                    })
                    .collect(),
            )
        }
        (AttributeKind::Map(attributes), Value::Map(config), Value::Map(planned)) => {
            let prior = prior.as_map();
            let elements = config.iter().zip(planned);
            Value::Map(
                elements
                    .map(|((_, config), (key, planned))| {
                        let prior = prior.and_then(|prior| prior.get(&key));
                        let planned = element(attributes, config, planned, prior);
                        (key, planned)
                    })
                    .collect(),
            )
        }
        (AttributeKind::Set(attributes), Value::Set(config), Value::Set(_)) => {
            let pairs = pair_set(attributes, config, prior.as_elements().unwrap_or_default());
            Value::set(pairs.into_iter().map(|(config, prior)| match config {
                Value::Object(config) => {
                    let prior = prior.and_then(Value::as_object);
                    let merged = super::merge::object(attributes, config, prior);
                    Value::Object(object(attributes, config, merged, prior))
                }
                other => other.clone(),
            }))
        }
        (_, _, planned) => planned,
    }
}

fn element(attributes: &[Attribute], config: &Value, planned: Value, prior: Option<&Value>) -> Value {
    match (config, planned) {
        (Value::Object(config), Value::Object(planned)) => {
            Value::Object(object(attributes, config, planned, prior.and_then(Value::as_object)))
        }
        (_, planned) => planned,
    }
}
