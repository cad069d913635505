//! The attributes' own checks of a configuration.

use std::collections::BTreeMap;

use crate::attribute::{Attribute, AttributeKind};
use crate::diagnostic::Diagnostics;
use crate::path::Path;
use crate::schema::Schema;
use crate::value::Value;

/// Runs every validator on its attribute's value, nested ones included, where the value is neither null nor unknown.
///
/// Also refuses null elements of collections, which Terraform lets pass and no model can hold.
///
/// Missing and superfluous attributes and wrong types are Terraform's to refuse, and it warns of deprecated ones.
pub fn validate(schema: &Schema, config: &Value) -> Diagnostics {
    let mut diagnostics = Diagnostics::new();
    if let Some(config) = config.as_object() {
        object(&schema.attributes, config, &Path::root(), &mut diagnostics);
    }
    diagnostics
}

fn object(attributes: &[Attribute], config: &BTreeMap<String, Value>, path: &Path, diagnostics: &mut Diagnostics) {
    for schema in attributes {
        let Some(value) = config
            .get(&schema.name)
            .filter(|value| !value.is_null() && !value.is_unknown())
        else {
            continue;
        };
        let path = path.clone().attribute(&schema.name);
        for validator in &schema.validators {
            validator(value, &path, diagnostics);
        }
        null_elements(value, &path, diagnostics);
        let mut element = |attributes: &[Attribute], element: &Value, path: &Path| {
            if let Value::Object(element) = element {
                object(attributes, element, path, diagnostics);
            }
        };
        match (&schema.kind, value) {
            (AttributeKind::Single(inner), value) => element(inner, value, &path),
            (AttributeKind::List(inner), Value::List(elements)) => {
                for (index, value) in elements.iter().enumerate() {
                    element(inner, value, &path.clone().index(index));
                }
            }
            (AttributeKind::Map(inner), Value::Map(elements)) => {
                for (key, value) in elements {
                    element(inner, value, &path.clone().key(key));
                }
            }
            (AttributeKind::Set(inner), Value::Set(elements)) => {
                for value in elements {
                    element(inner, value, &path);
                }
            }
            _ => {}
        }
    }
}

/// Refuses the null elements of a list, set or map, and of those inside it.
fn null_elements(value: &Value, path: &Path, diagnostics: &mut Diagnostics) {
    let mut element = |element: &Value, path: &Path| {
        if element.is_null() {
            diagnostics.error(
                path,
                "Null element",
                "An element cannot be null here. Leave it out, or give it a value.",
            );
        } else {
            null_elements(element, path, diagnostics);
        }
    };
    match value {
        Value::List(elements) => {
            for (index, value) in elements.iter().enumerate() {
                element(value, &path.clone().index(index));
            }
        }
        Value::Map(elements) => {
            for (key, value) in elements {
                element(value, &path.clone().key(key));
            }
        }
        Value::Set(elements) => {
            for value in elements {
                element(value, path);
            }
        }
        // An object's attributes are checked as attributes.
        _ => {}
    }
}
