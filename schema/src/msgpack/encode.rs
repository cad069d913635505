//! From values to msgpack.

use std::collections::BTreeMap;

use rmp::encode::{self, ByteBuf};

use crate::codec::{EncodeError, EncodeReason, index_step};
use crate::number::Number;
use crate::path::PathStep;
use crate::types::Type;
use crate::value::Value;

/// Whether unknown values may be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unknowns {
    /// In configurations and plans.
    Allowed,
    /// In states.
    Refused,
}

/// Writes a value, which must be of this type.
pub fn encode(value: &Value, type_: &Type, unknowns: Unknowns) -> Result<Vec<u8>, EncodeError> {
    let mut writer = Writer {
        buffer: ByteBuf::new(),
        unknowns,
    };
    writer.value(value, type_)?;
    Ok(writer.buffer.into_vec())
}

/// Writing into memory cannot fail: the error type has no value.
macro_rules! write {
    ($call:expr) => {
        let Ok(_) = $call;
    };
}

struct Writer {
    buffer: ByteBuf,
    unknowns: Unknowns,
}

impl Writer {
    fn value(&mut self, value: &Value, type_: &Type) -> Result<(), EncodeError> {
        match (type_, value) {
            (Type::Dynamic, Value::Dynamic(actual, inner)) => {
                write!(encode::write_array_len(&mut self.buffer, 2));
                self.binary(&actual.to_json_bytes());
                return self.value(inner, actual);
            }
            (_, Value::Null) => {
                write!(encode::write_nil(&mut self.buffer));
            }
            (_, Value::Unknown) => {
                if self.unknowns == Unknowns::Refused {
                    return Err(EncodeReason::Unknown.into());
                }
                // A fixed extension of type 0 with one byte of data: what Terraform itself writes.
                self.buffer.as_mut_vec().extend([0xd4, 0, 0]);
            }
            (Type::String, Value::String(text)) => {
                write!(encode::write_str(&mut self.buffer, text));
            }
            (Type::Bool, Value::Bool(value)) => {
                write!(encode::write_bool(&mut self.buffer, *value));
            }
            (Type::Number, Value::Number(number)) => self.number(number),
            (Type::List(element), Value::List(elements)) | (Type::Set(element), Value::Set(elements)) => {
                write!(encode::write_array_len(&mut self.buffer, length(elements.len())));
                for (index, value) in elements.iter().enumerate() {
                    self.value(value, element)
                        .map_err(|error| error.inside(index_step(index)))?;
                }
            }
            (Type::Tuple(members), Value::Tuple(elements)) => {
                if members.len() != elements.len() {
                    return Err(EncodeReason::Length {
                        wanted: members.len(),
                        found: elements.len(),
                    }
                    .into());
                }
                write!(encode::write_array_len(&mut self.buffer, length(elements.len())));
                for (index, (value, type_)) in elements.iter().zip(members).enumerate() {
                    self.value(value, type_)
                        .map_err(|error| error.inside(index_step(index)))?;
                }
            }
            (Type::Map(element), Value::Map(elements)) => {
                write!(encode::write_map_len(&mut self.buffer, length(elements.len())));
                for (key, value) in elements {
                    write!(encode::write_str(&mut self.buffer, key));
                    self.value(value, element)
                        .map_err(|error| error.inside(PathStep::Key(key.clone())))?;
                }
            }
            (Type::Object(members), Value::Object(attributes)) => self.object(attributes, members)?,
            _ => return Err(EncodeError::mismatch(type_, value)),
        }
        Ok(())
    }

    fn object(
        &mut self,
        attributes: &BTreeMap<String, Value>,
        members: &BTreeMap<String, Type>,
    ) -> Result<(), EncodeError> {
        if let Some(extra) = attributes.keys().find(|name| !members.contains_key(*name)) {
            return Err(EncodeReason::UnknownAttribute(extra.clone()).into());
        }
        write!(encode::write_map_len(&mut self.buffer, length(members.len())));
        for (name, type_) in members {
            let value = attributes
                .get(name)
                .ok_or_else(|| EncodeReason::MissingAttribute(name.clone()))?;
            write!(encode::write_str(&mut self.buffer, name));
            self.value(value, type_)
                .map_err(|error| error.inside(PathStep::Attribute(name.clone())))?;
        }
        Ok(())
    }

    fn number(&mut self, number: &Number) {
        if let Some(value) = number.as_i64() {
            write!(encode::write_sint(&mut self.buffer, value));
        } else if let Some(value) = number.as_u64() {
            write!(encode::write_uint(&mut self.buffer, value));
        } else if let Some(value) = number.as_exact_float() {
            write!(encode::write_f64(&mut self.buffer, value));
        } else {
            write!(encode::write_str(&mut self.buffer, &number.to_string()));
        }
    }

    fn binary(&mut self, bytes: &[u8]) {
        write!(encode::write_bin(&mut self.buffer, bytes));
    }
}

/// msgpack counts in 32 bits; a collection beyond that would be far beyond any message's limit.
fn length(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}
