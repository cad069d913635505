//! Whether a value is what the schema says, attribute by attribute.

use std::collections::BTreeMap;

use multizone_schema::{Attribute, AttributeKind, Path, Schema, Type, Value};

use super::{Breach, Rule};

/// Whether unknown values are in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unknowns {
    /// In plans.
    Allowed,
    /// Everywhere else.
    Refused,
}

/// Everything in which an answer differs from its schema. A null answer is in order.
pub fn shape(schema: &Schema, value: &Value, unknowns: Unknowns) -> Vec<Breach> {
    let mut checking = Checking {
        unknowns,
        breaches: Vec::new(),
    };
    match value {
        Value::Null => {}
        Value::Object(object) => checking.object(&schema.attributes, object, &Path::root()),
        // Also an unknown one: even a plan is an object.
        other => checking.kind(&"an object", other, &Path::root()),
    }
    checking.breaches
}

struct Checking {
    unknowns: Unknowns,
    breaches: Vec<Breach>,
}

impl Checking {
    fn breach(&mut self, path: &Path, rule: Rule) {
        self.breaches.push(Breach::new(path, rule));
    }

    fn kind(&mut self, wanted: &dyn ToString, found: &Value, path: &Path) {
        let rule = Rule::Kind {
            wanted: wanted.to_string(),
            found: found.kind(),
        };
        self.breach(path, rule);
    }

    /// Whether there is more to look at in there.
    fn goes_on(&mut self, value: &Value, path: &Path) -> bool {
        match value {
            Value::Unknown => {
                if self.unknowns == Unknowns::Refused {
                    self.breach(path, Rule::Unknown);
                }
                false
            }
            value => *value != Value::Null,
        }
    }

    fn object(&mut self, attributes: &[Attribute], object: &BTreeMap<String, Value>, path: &Path) {
        for name in object
            .keys()
            .filter(|name| attributes.iter().all(|attribute| attribute.name != **name))
        {
            self.breach(&path.clone().attribute(name), Rule::Superfluous);
        }
        for attribute in attributes {
            let path = path.clone().attribute(&attribute.name);
            match object.get(&attribute.name) {
                None => self.breach(&path, Rule::Missing),
                Some(Value::Null) => {}
                Some(_) if attribute.write_only => self.breach(&path, Rule::WriteOnly),
                Some(value) => self.attribute(&attribute.kind, value, &path),
            }
        }
    }

    fn attribute(&mut self, kind: &AttributeKind, value: &Value, path: &Path) {
        if let AttributeKind::Plain(type_) = kind {
            return self.plain(type_, value, path);
        }
        if !self.goes_on(value, path) {
            return;
        }
        match (kind, value) {
            (AttributeKind::Single(inner), value) => self.element(inner, value, path),
            (AttributeKind::List(inner), Value::List(elements)) => {
                for (index, element) in elements.iter().enumerate() {
                    self.element(inner, element, &path.clone().index(index));
                }
            }
            (AttributeKind::Set(inner), Value::Set(elements)) => {
                for element in elements {
                    self.element(inner, element, path);
                }
            }
            (AttributeKind::Map(inner), Value::Map(elements)) => {
                for (key, element) in elements {
                    self.element(inner, element, &path.clone().key(key));
                }
            }
            (kind, value) => self.kind(&kind.type_(), value, path),
        }
    }

    fn element(&mut self, attributes: &[Attribute], value: &Value, path: &Path) {
        match value {
            Value::Object(object) => self.object(attributes, object, path),
            other if self.goes_on(other, path) => self.kind(&"an object", other, path),
            _ => {}
        }
    }

    fn plain(&mut self, type_: &Type, value: &Value, path: &Path) {
        if !self.goes_on(value, path) {
            return;
        }
        match (type_, value) {
            (Type::String, Value::String(_)) | (Type::Number, Value::Number(_)) | (Type::Bool, Value::Bool(_)) => {}
            (Type::Dynamic, Value::Dynamic(actual, value)) => self.plain(actual, value, path),
            (Type::List(element), Value::List(elements)) => {
                for (index, value) in elements.iter().enumerate() {
                    self.plain(element, value, &path.clone().index(index));
                }
            }
            (Type::Set(element), Value::Set(elements)) => {
                for value in elements {
                    self.plain(element, value, path);
                }
            }
            (Type::Tuple(members), Value::Tuple(elements)) if members.len() == elements.len() => {
                for (index, (type_, value)) in members.iter().zip(elements).enumerate() {
                    self.plain(type_, value, &path.clone().index(index));
                }
            }
            (Type::Map(element), Value::Map(elements)) => {
                for (key, value) in elements {
                    self.plain(element, value, &path.clone().key(key));
                }
            }
            (Type::Object(members), Value::Object(attributes)) => {
                for name in attributes.keys().filter(|name| !members.contains_key(*name)) {
                    self.breach(&path.clone().attribute(name), Rule::Superfluous);
                }
                for (name, type_) in members {
                    let path = path.clone().attribute(name);
                    match attributes.get(name) {
                        None => self.breach(&path, Rule::Missing),
                        Some(value) => self.plain(type_, value, &path),
                    }
                }
            }
            (type_, value) => self.kind(type_, value, path),
        }
    }
}
