//! The first step: configuration, defaults and prior values together.

use std::collections::BTreeMap;
use std::collections::VecDeque;

use super::{Object, attribute};
use crate::attribute::{Attribute, AttributeKind, Mode};
use crate::value::Value;

/// Merges an object's attributes.
pub(super) fn object(attributes: &[Attribute], config: &Object, prior: Option<&Object>) -> Object {
    attributes
        .iter()
        .map(|schema| {
            let name = &schema.name;
            (
                name.clone(),
                value(schema, attribute(Some(config), name), attribute(prior, name)),
            )
        })
        .collect()
}

fn value(schema: &Attribute, config: &Value, prior: &Value) -> Value {
    if schema.write_only {
        return Value::Null;
    }
    if config.is_null() {
        return match &schema.default {
            Some(default) => default.clone(),
            None if schema.mode.is_computed() => prior.clone(),
            None => Value::Null,
        };
    }
    match (&schema.kind, config, prior) {
        (AttributeKind::Single(attributes), Value::Object(config), prior) => {
            Value::Object(object(attributes, config, prior.as_object()))
        }
        (AttributeKind::List(attributes), Value::List(elements), prior) => {
            let prior = prior.as_elements().unwrap_or_default();
            let elements = elements.iter().enumerate();
            Value::List(
                elements
                    .map(|(index, config)| element(attributes, config, prior.get(index)))
                    .collect(),
            )
        }
        (AttributeKind::Map(attributes), Value::Map(elements), prior) => {
            let prior = prior.as_map();
            let elements = elements.iter();
            Value::Map(
                elements
                    .map(|(key, config)| {
                        (
                            key.clone(),
                            element(attributes, config, prior.and_then(|prior| prior.get(key))),
                        )
                    })
                    .collect(),
            )
        }
        (AttributeKind::Set(attributes), Value::Set(elements), prior) => {
            let pairs = pair_set(attributes, elements, prior.as_elements().unwrap_or_default());
            Value::set(
                pairs
                    .into_iter()
                    .map(|(config, prior)| element(attributes, config, prior)),
            )
        }
        // Plain values, and nested ones that are unknown as a whole.
        _ => config.clone(),
    }
}

fn element(attributes: &[Attribute], config: &Value, prior: Option<&Value>) -> Value {
    match config {
        Value::Object(config) => Value::Object(object(attributes, config, prior.and_then(Value::as_object))),
        other => other.clone(),
    }
}

/// Finds for each configured element of a set the prior element it continues, each of them once.
///
/// First those that agree in all that a configuration can set, then those that agree in what it must or else defaults
/// to; the rest is new. Takes O(n log n).
pub(super) fn pair_set<'c, 'p>(
    attributes: &[Attribute],
    config: &'c [Value],
    prior: &'p [Value],
) -> Vec<(&'c Value, Option<&'p Value>)> {
    let mut taken = vec![false; prior.len()];
    let mut pairs: Vec<(&Value, Option<&Value>)> = config.iter().map(|config| (config, None)).collect();
    for erase in [Erase::Computed, Erase::OptionalComputed] {
        let mut index: BTreeMap<Value, VecDeque<usize>> = BTreeMap::new();
        for (position, element) in prior.iter().enumerate().filter(|(position, _)| !taken[*position]) {
            index
                .entry(identity(attributes, element, erase))
                .or_default()
                .push_back(position);
        }
        for (config, pair) in pairs.iter_mut().filter(|(_, pair)| pair.is_none()) {
            let found = index
                .get_mut(&identity(attributes, config, erase))
                .and_then(VecDeque::pop_front);
            if let Some(position) = found {
                taken[position] = true;
                *pair = Some(&prior[position]);
            }
        }
    }
    pairs
}

/// Which attributes do not count when elements are compared.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Erase {
    /// Those that only the provider sets.
    Computed,
    /// Those that the provider may set.
    OptionalComputed,
}

/// What tells an element of a set from others: its values without those of the provider, defaults filled in.
fn identity(attributes: &[Attribute], element: &Value, erase: Erase) -> Value {
    let Value::Object(element) = element else {
        return element.clone();
    };
    Value::Object(
        attributes
            .iter()
            .map(|schema| {
                let value = attribute(Some(element), &schema.name);
                let erased = match schema.mode {
                    Mode::Computed => true,
                    Mode::OptionalComputed => erase == Erase::OptionalComputed && schema.default.is_none(),
                    Mode::Required | Mode::Optional => schema.write_only,
                };
                let value = match (&schema.kind, value) {
                    _ if erased => Value::Null,
                    (_, Value::Null) => schema.default.clone().unwrap_or(Value::Null),
                    (AttributeKind::Single(inner), value) => identity(inner, value, erase),
                    (AttributeKind::List(inner), Value::List(elements)) => {
                        Value::List(elements.iter().map(|element| identity(inner, element, erase)).collect())
                    }
                    (AttributeKind::Set(inner), Value::Set(elements)) => {
                        Value::set(elements.iter().map(|element| identity(inner, element, erase)))
                    }
                    (AttributeKind::Map(inner), Value::Map(elements)) => Value::Map(
                        elements
                            .iter()
                            .map(|(key, element)| (key.clone(), identity(inner, element, erase)))
                            .collect(),
                    ),
                    (_, value) => value.clone(),
                };
                (schema.name.clone(), value)
            })
            .collect(),
    )
}
