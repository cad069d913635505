//! From values to JSON.

use std::collections::BTreeMap;

use crate::codec::{EncodeError, EncodeReason, index_step};
use crate::path::PathStep;
use crate::types::Type;
use crate::value::Value;

/// Writes a value, which must be of this type and wholly known.
pub fn encode(value: &Value, type_: &Type) -> Result<Vec<u8>, EncodeError> {
    let mut output = String::new();
    write(&mut output, value, type_)?;
    Ok(output.into_bytes())
}

fn write(output: &mut String, value: &Value, type_: &Type) -> Result<(), EncodeError> {
    match (type_, value) {
        (Type::Dynamic, Value::Dynamic(actual, inner)) => {
            output.push_str(r#"{"value":"#);
            write(output, inner, actual)?;
            output.push_str(r#","type":"#);
            output.push_str(&actual.to_json().to_string());
            output.push('}');
        }
        (_, Value::Null) => output.push_str("null"),
        (_, Value::Unknown) => return Err(EncodeReason::Unknown.into()),
        (Type::String, Value::String(text)) => string(output, text),
        (Type::Bool, Value::Bool(value)) => output.push_str(if *value { "true" } else { "false" }),
        (Type::Number, Value::Number(number)) => {
            if !number.is_finite() {
                return Err(EncodeReason::Infinite(number.to_string()).into());
            }
            output.push_str(&number.to_string());
        }
        (Type::List(element), Value::List(elements)) | (Type::Set(element), Value::Set(elements)) => {
            array(output, elements.iter().map(|value| (value, &**element)))?;
        }
        (Type::Tuple(members), Value::Tuple(elements)) => {
            if members.len() != elements.len() {
                return Err(EncodeReason::Length {
                    wanted: members.len(),
                    found: elements.len(),
                }
                .into());
            }
            array(output, elements.iter().zip(members))?;
        }
        (Type::Map(element), Value::Map(elements)) => {
            object(
                output,
                elements.iter().map(|(key, value)| (key, value, &**element)),
                PathStep::Key,
            )?;
        }
        (Type::Object(members), Value::Object(attributes)) => {
            let attributes = typed(attributes, members)?;
            object(output, attributes.into_iter(), PathStep::Attribute)?;
        }
        _ => return Err(EncodeError::mismatch(type_, value)),
    }
    Ok(())
}

/// Each attribute of the type with its value.
fn typed<'a>(
    attributes: &'a BTreeMap<String, Value>,
    members: &'a BTreeMap<String, Type>,
) -> Result<Vec<(&'a String, &'a Value, &'a Type)>, EncodeError> {
    if let Some(extra) = attributes.keys().find(|name| !members.contains_key(*name)) {
        return Err(EncodeReason::UnknownAttribute(extra.clone()).into());
    }
    members
        .iter()
        .map(|(name, type_)| match attributes.get(name) {
            Some(value) => Ok((name, value, type_)),
            None => Err(EncodeReason::MissingAttribute(name.clone()).into()),
        })
        .collect()
}

fn array<'a>(output: &mut String, elements: impl Iterator<Item = (&'a Value, &'a Type)>) -> Result<(), EncodeError> {
    output.push('[');
    for (index, (value, type_)) in elements.enumerate() {
        if index > 0 {
            output.push(',');
        }
        write(output, value, type_).map_err(|error| error.inside(index_step(index)))?;
    }
    output.push(']');
    Ok(())
}

fn object<'a>(
    output: &mut String,
    members: impl Iterator<Item = (&'a String, &'a Value, &'a Type)>,
    step: fn(String) -> PathStep,
) -> Result<(), EncodeError> {
    output.push('{');
    for (index, (key, value, type_)) in members.enumerate() {
        if index > 0 {
            output.push(',');
        }
        string(output, key);
        output.push(':');
        write(output, value, type_).map_err(|error| error.inside(step(key.clone())))?;
    }
    output.push('}');
    Ok(())
}

fn string(output: &mut String, text: &str) {
    output.push_str(&serde_json::Value::from(text).to_string());
}
