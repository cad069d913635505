//! From msgpack to values.

use std::collections::BTreeMap;

use rmp::Marker;

use crate::codec::{DecodeError, DecodeReason, index_step};
use crate::number::Number;
use crate::path::PathStep;
use crate::types::{MAX_DEPTH, Type};
use crate::value::Value;

/// Reads one value of this type; nothing may follow it.
///
/// Nesting is bounded by [`MAX_DEPTH`], and no more is allocated than the elements that are really there.
pub fn decode(bytes: &[u8], type_: &Type) -> Result<Value, DecodeError> {
    let mut reader = Reader { rest: bytes };
    let value = reader.value(type_, MAX_DEPTH)?;
    if reader.rest.is_empty() {
        Ok(value)
    } else {
        Err(DecodeReason::Trailing(reader.rest.len()).into())
    }
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn value(&mut self, type_: &Type, depth: usize) -> Result<Value, DecodeError> {
        let depth = depth.checked_sub(1).ok_or(DecodeReason::TooDeep)?;
        let marker = self.marker()?;
        if marker == Marker::Null {
            return Ok(Value::Null);
        }
        if let Some(length) = self.extension(marker)? {
            self.take(length)?;
            return Ok(Value::Unknown);
        }
        let mismatch = || DecodeReason::Mismatch {
            wanted: type_.to_string(),
            found: kind(marker),
        };
        match type_ {
            Type::String => Ok(Value::String(self.text(marker)?.ok_or_else(mismatch)?.to_owned())),
            Type::Bool => match marker {
                Marker::True => Ok(Value::Bool(true)),
                Marker::False => Ok(Value::Bool(false)),
                _ => Err(mismatch().into()),
            },
            Type::Number => Ok(Value::Number(self.number(marker)?.ok_or_else(mismatch)?)),
            Type::Dynamic => {
                if self.array(marker)? != Some(2) {
                    return Err(mismatch().into());
                }
                self.dynamic(depth)
            }
            Type::List(element) => {
                let length = self.array(marker)?.ok_or_else(mismatch)?;
                Ok(Value::List(self.elements(length, element, depth)?))
            }
            Type::Set(element) => {
                let length = self.array(marker)?.ok_or_else(mismatch)?;
                Ok(Value::set(self.elements(length, element, depth)?))
            }
            Type::Tuple(members) => {
                let length = self.array(marker)?.ok_or_else(mismatch)?;
                if length != members.len() {
                    return Err(DecodeReason::Length {
                        wanted: members.len(),
                        found: length,
                    }
                    .into());
                }
                let elements = members.iter().enumerate().map(|(index, type_)| {
                    self.value(type_, depth)
                        .map_err(|error| error.inside(index_step(index)))
                });
                Ok(Value::Tuple(elements.collect::<Result<_, _>>()?))
            }
            Type::Map(element) => {
                let length = self.map(marker)?.ok_or_else(mismatch)?;
                let mut elements = BTreeMap::new();
                for _ in 0..length {
                    let key = self.key()?;
                    let value = self
                        .value(element, depth)
                        .map_err(|error| error.inside(PathStep::Key(key.to_owned())))?;
                    if elements.insert(key.to_owned(), value).is_some() {
                        return Err(DecodeReason::Duplicate(key.to_owned()).into());
                    }
                }
                Ok(Value::Map(elements))
            }
            Type::Object(members) => {
                let length = self.map(marker)?.ok_or_else(mismatch)?;
                self.object(length, members, depth)
            }
        }
    }

    fn object(&mut self, length: usize, members: &BTreeMap<String, Type>, depth: usize) -> Result<Value, DecodeError> {
        let mut attributes = BTreeMap::new();
        for _ in 0..length {
            let name = self.key()?;
            let type_ = members
                .get(name)
                .ok_or_else(|| DecodeReason::UnknownAttribute(name.to_owned()))?;
            let value = self
                .value(type_, depth)
                .map_err(|error| error.inside(PathStep::Attribute(name.to_owned())))?;
            if attributes.insert(name.to_owned(), value).is_some() {
                return Err(DecodeReason::Duplicate(name.to_owned()).into());
            }
        }
        if attributes.len() < members.len() {
            let missing = members
                .keys()
                .find(|name| !attributes.contains_key(*name))
                .cloned()
                .unwrap_or_default();
            return Err(DecodeReason::MissingAttribute(missing).into());
        }
        Ok(Value::Object(attributes))
    }

    /// The type and the value of a dynamic value.
    fn dynamic(&mut self, depth: usize) -> Result<Value, DecodeError> {
        let marker = self.marker()?;
        let json = self.bytes(marker)?.ok_or(DecodeReason::Mismatch {
            wanted: "the type of a dynamic value".to_owned(),
            found: kind(marker),
        })?;
        match Type::from_json(json).map_err(DecodeReason::Type)? {
            // Such a value is null or unknown, or again carries its type.
            Type::Dynamic => self.value(&Type::Dynamic, depth),
            type_ => {
                let value = self.value(&type_, depth)?;
                Ok(Value::Dynamic(type_, Box::new(value)))
            }
        }
    }

    fn elements(&mut self, length: usize, type_: &Type, depth: usize) -> Result<Vec<Value>, DecodeError> {
        // Every element takes at least one byte, so a length that the input cannot hold reserves nothing.
        if length > self.rest.len() {
            return Err(DecodeReason::CutOff.into());
        }
        let mut elements = Vec::new();
        for index in 0..length {
            elements.push(
                self.value(type_, depth)
                    .map_err(|error| error.inside(index_step(index)))?,
            );
        }
        Ok(elements)
    }

    fn key(&mut self) -> Result<&'a str, DecodeError> {
        let marker = self.marker()?;
        self.text(marker)?.ok_or_else(|| {
            DecodeReason::Mismatch {
                wanted: "a string key".to_owned(),
                found: kind(marker),
            }
            .into()
        })
    }

    fn number(&mut self, marker: Marker) -> Result<Option<Number>, DecodeError> {
        Ok(Some(match marker {
            Marker::FixPos(value) => Number::from(i64::from(value)),
            Marker::FixNeg(value) => Number::from(i64::from(value)),
            Marker::U8 => Number::from(u64::from(u8::from_be_bytes(self.array_of()?))),
            Marker::U16 => Number::from(u64::from(u16::from_be_bytes(self.array_of()?))),
            Marker::U32 => Number::from(u64::from(u32::from_be_bytes(self.array_of()?))),
            Marker::U64 => Number::from(u64::from_be_bytes(self.array_of()?)),
            Marker::I8 => Number::from(i64::from(i8::from_be_bytes(self.array_of()?))),
            Marker::I16 => Number::from(i64::from(i16::from_be_bytes(self.array_of()?))),
            Marker::I32 => Number::from(i64::from(i32::from_be_bytes(self.array_of()?))),
            Marker::I64 => Number::from(i64::from_be_bytes(self.array_of()?)),
            Marker::F32 => exact(f64::from(f32::from_be_bytes(self.array_of()?)))?,
            Marker::F64 => exact(f64::from_be_bytes(self.array_of()?))?,
            _ => match self.text(marker)? {
                Some(text) => text.parse().map_err(DecodeReason::Number)?,
                None => return Ok(None),
            },
        }))
    }

    fn text(&mut self, marker: Marker) -> Result<Option<&'a str>, DecodeError> {
        match self.bytes(marker)? {
            Some(bytes) => Ok(Some(std::str::from_utf8(bytes).map_err(|_| DecodeReason::Utf8)?)),
            None => Ok(None),
        }
    }

    /// The bytes of text or binary data; `None` for anything else.
    fn bytes(&mut self, marker: Marker) -> Result<Option<&'a [u8]>, DecodeError> {
        let length = match marker {
            Marker::FixStr(length) => usize::from(length),
            Marker::Str8 | Marker::Bin8 => self.length8()?,
            Marker::Str16 | Marker::Bin16 => self.length16()?,
            Marker::Str32 | Marker::Bin32 => self.length32()?,
            _ => return Ok(None),
        };
        self.take(length).map(Some)
    }

    fn array(&mut self, marker: Marker) -> Result<Option<usize>, DecodeError> {
        Ok(Some(match marker {
            Marker::FixArray(length) => usize::from(length),
            Marker::Array16 => self.length16()?,
            Marker::Array32 => self.length32()?,
            _ => return Ok(None),
        }))
    }

    fn map(&mut self, marker: Marker) -> Result<Option<usize>, DecodeError> {
        Ok(Some(match marker {
            Marker::FixMap(length) => usize::from(length),
            Marker::Map16 => self.length16()?,
            Marker::Map32 => self.length32()?,
            _ => return Ok(None),
        }))
    }

    /// How many bytes (its type's code included) follow the head of an extension; `None` for anything else.
    fn extension(&mut self, marker: Marker) -> Result<Option<usize>, DecodeError> {
        let length = match marker {
            Marker::FixExt1 => 1,
            Marker::FixExt2 => 2,
            Marker::FixExt4 => 4,
            Marker::FixExt8 => 8,
            Marker::FixExt16 => 16,
            Marker::Ext8 => self.length8()?,
            Marker::Ext16 => self.length16()?,
            Marker::Ext32 => self.length32()?,
            _ => return Ok(None),
        };
        Ok(Some(length.saturating_add(1)))
    }

    fn marker(&mut self) -> Result<Marker, DecodeError> {
        let [byte] = self.array_of()?;
        Ok(Marker::from_u8(byte))
    }

    fn length8(&mut self) -> Result<usize, DecodeError> {
        Ok(usize::from(u8::from_be_bytes(self.array_of()?)))
    }

    fn length16(&mut self) -> Result<usize, DecodeError> {
        Ok(usize::from(u16::from_be_bytes(self.array_of()?)))
    }

    fn length32(&mut self) -> Result<usize, DecodeError> {
        Ok(usize::try_from(u32::from_be_bytes(self.array_of()?)).unwrap_or(usize::MAX))
    }

    fn array_of<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (head, rest) = self.rest.split_first_chunk().ok_or(DecodeReason::CutOff)?;
        self.rest = rest;
        Ok(*head)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], DecodeError> {
        let (head, rest) = self.rest.split_at_checked(length).ok_or(DecodeReason::CutOff)?;
        self.rest = rest;
        Ok(head)
    }
}

fn exact(value: f64) -> Result<Number, DecodeError> {
    Number::exact(value).ok_or_else(|| DecodeReason::Malformed("not a number (NaN)".to_owned()).into())
}

/// What to call a marker in a message.
fn kind(marker: Marker) -> &'static str {
    match marker {
        Marker::FixStr(_) | Marker::Str8 | Marker::Str16 | Marker::Str32 => "a string",
        Marker::Bin8 | Marker::Bin16 | Marker::Bin32 => "binary data",
        Marker::FixArray(_) | Marker::Array16 | Marker::Array32 => "an array",
        Marker::FixMap(_) | Marker::Map16 | Marker::Map32 => "a map",
        Marker::True | Marker::False => "a bool",
        Marker::Null => "null",
        Marker::Reserved => "malformed",
        _ => "a number",
    }
}
