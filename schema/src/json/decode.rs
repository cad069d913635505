//! From JSON to values.

use std::collections::BTreeMap;

use super::reader::{Reader, SKIP_DEPTH, Token};
use crate::codec::{DecodeError, DecodeReason, index_step};
use crate::path::PathStep;
use crate::types::{MAX_DEPTH, Type};
use crate::value::Value;

/// What to do with an attribute that the type does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extra {
    /// Refuse the value.
    Refused,
    /// Go on without it: an earlier version of the schema had it.
    Ignored,
}

/// Reads one value of this type; attributes that are left out are null.
pub fn decode(bytes: &[u8], type_: &Type, extra: Extra) -> Result<Value, DecodeError> {
    let mut reader = Reader::new(bytes);
    let value = Decoder { extra }.value(&mut reader, type_, MAX_DEPTH)?;
    reader.end()?;
    Ok(value)
}

struct Decoder {
    extra: Extra,
}

impl Decoder {
    fn value(&self, reader: &mut Reader<'_>, type_: &Type, depth: usize) -> Result<Value, DecodeError> {
        let depth = depth.checked_sub(1).ok_or(DecodeReason::TooDeep)?;
        let token = reader.peek()?;
        match (type_, token) {
            (_, Token::Null) => {
                reader.null()?;
                Ok(Value::Null)
            }
            (Type::String, Token::String) => Ok(Value::String(reader.string()?)),
            (Type::Bool, Token::Bool) => Ok(Value::Bool(reader.bool()?)),
            (Type::Number, Token::Number) => Ok(Value::Number(reader.number()?.parse().map_err(DecodeReason::Number)?)),
            // Terraform accepts it, for numbers that other programs would round.
            (Type::Number, Token::String) => Ok(Value::Number(reader.string()?.parse().map_err(DecodeReason::Number)?)),
            (Type::List(element), Token::Array) => Ok(Value::List(self.elements(reader, element, depth)?)),
            (Type::Set(element), Token::Array) => Ok(Value::set(self.elements(reader, element, depth)?)),
            (Type::Tuple(members), Token::Array) => self.tuple(reader, members, depth),
            (Type::Map(element), Token::Object) => {
                let mut elements = BTreeMap::new();
                reader.object(|reader, key| {
                    let value = self.value(reader, element, depth);
                    let value = value.map_err(|error| error.inside(PathStep::Key(key.clone())))?;
                    insert(&mut elements, key, value)
                })?;
                Ok(Value::Map(elements))
            }
            (Type::Object(members), Token::Object) => self.object(reader, members, depth),
            (Type::Dynamic, Token::Object) => self.dynamic(reader, depth),
            _ => Err(DecodeReason::Mismatch {
                wanted: type_.to_string(),
                found: token.kind(),
            }
            .into()),
        }
    }

    fn elements(&self, reader: &mut Reader<'_>, type_: &Type, depth: usize) -> Result<Vec<Value>, DecodeError> {
        let mut elements = Vec::new();
        reader.array(|reader, index| {
            elements.push(
                self.value(reader, type_, depth)
                    .map_err(|error| error.inside(index_step(index)))?,
            );
            Ok(())
        })?;
        Ok(elements)
    }

    fn tuple(&self, reader: &mut Reader<'_>, members: &[Type], depth: usize) -> Result<Value, DecodeError> {
        let mut elements = Vec::new();
        reader.array(|reader, index| {
            match members.get(index) {
                Some(type_) => {
                    elements.push(
                        self.value(reader, type_, depth)
                            .map_err(|error| error.inside(index_step(index)))?,
                    );
                }
                None => {
                    return Err(DecodeReason::Length {
                        wanted: members.len(),
                        found: index + 1,
                    }
                    .into());
                }
            }
            Ok(())
        })?;
        if elements.len() < members.len() {
            return Err(DecodeReason::Length {
                wanted: members.len(),
                found: elements.len(),
            }
            .into());
        }
        Ok(Value::Tuple(elements))
    }

    fn object(
        &self,
        reader: &mut Reader<'_>,
        members: &BTreeMap<String, Type>,
        depth: usize,
    ) -> Result<Value, DecodeError> {
        let mut attributes = BTreeMap::new();
        reader.object(|reader, name| match (members.get(&name), self.extra) {
            (Some(type_), _) => {
                let value = self.value(reader, type_, depth);
                let value = value.map_err(|error| error.inside(PathStep::Attribute(name.clone())))?;
                insert(&mut attributes, name, value)
            }
            (None, Extra::Ignored) => reader.skip(SKIP_DEPTH).map(drop),
            (None, Extra::Refused) => Err(DecodeReason::UnknownAttribute(name).into()),
        })?;
        for name in members
            .keys()
            .filter(|name| !attributes.contains_key(*name))
            .cloned()
            .collect::<Vec<_>>()
        {
            attributes.insert(name, Value::Null);
        }
        Ok(Value::Object(attributes))
    }

    /// `{"value": …, "type": …}`, in either order.
    fn dynamic(&self, reader: &mut Reader<'_>, depth: usize) -> Result<Value, DecodeError> {
        let (mut value, mut type_) = (None, None);
        reader.object(|reader, name| {
            let place = match name.as_str() {
                "value" => &mut value,
                "type" => &mut type_,
                _ => return Err(DecodeReason::UnknownAttribute(name).into()),
            };
            match place.replace(reader.skip(depth)?) {
                None => Ok(()),
                Some(_) => Err(DecodeReason::Duplicate(name).into()),
            }
        })?;
        let type_ = type_.ok_or_else(|| DecodeReason::MissingAttribute("type".to_owned()))?;
        let value = value.ok_or_else(|| DecodeReason::MissingAttribute("value".to_owned()))?;
        let mut reader = Reader::new(value);
        match Type::from_json(type_).map_err(DecodeReason::Type)? {
            Type::Dynamic => self.value(&mut reader, &Type::Dynamic, depth),
            type_ => {
                let value = self.value(&mut reader, &type_, depth)?;
                Ok(Value::Dynamic(type_, Box::new(value)))
            }
        }
    }
}

fn insert(values: &mut BTreeMap<String, Value>, key: String, value: Value) -> Result<(), DecodeError> {
    if values.contains_key(&key) {
        return Err(DecodeReason::Duplicate(key).into());
    }
    values.insert(key, value);
    Ok(())
}
