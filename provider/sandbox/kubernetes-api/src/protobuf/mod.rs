//! Reads bodies in Kubernetes' protobuf form, which kubectl uses for `create` and `auth` where it knows the type.
//!
//! Answers are always JSON: every client that sends protobuf accepts that.  `fields.txt` lists the fields.

use std::collections::HashMap;
use std::sync::LazyLock;

use base64::Engine as _;
use serde_json::{Map, Value, json};

/// Why a body was not read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DecodeError {
    #[error("the body does not begin with the mark of Kubernetes' protobuf form")]
    NotKubernetes,
    #[error("the body ends early or is malformed")]
    Malformed,
    #[error("{kind} of {api_version} is only read as JSON or YAML")]
    UnknownType { api_version: String, kind: String },
}

#[derive(Clone, Copy, Debug)]
struct Field {
    name: &'static str,
    form: &'static str,
}

#[derive(Debug)]
enum Message {
    Fields(HashMap<u64, Field>),
    Special(&'static str),
}

static MESSAGES: LazyLock<HashMap<&'static str, Message>> = LazyLock::new(|| {
    let mut messages = HashMap::new();
    for line in include_str!("fields.txt").lines().filter(|line| !line.starts_with('#')) {
        let mut words = line.split(' ');
        let Some(name) = words.next() else { continue };
        if let Some((_, special)) = line.split_once(" = ") {
            messages.insert(name, Message::Special(special));
            continue;
        }
        let fields = words.filter_map(|word| {
            let mut parts = word.splitn(3, ':');
            let number = parts.next()?.parse().ok()?;
            Some((
                number,
                Field {
                    name: parts.next()?,
                    form: parts.next()?,
                },
            ))
        });
        messages.insert(name, Message::Fields(fields.collect()));
    }
    messages
});

/// Deeper than any Kubernetes object.
const DEPTH: usize = 40;

/// The object in a body.
pub(crate) fn decode(body: &[u8]) -> Result<Value, DecodeError> {
    let envelope = body.strip_prefix(b"k8s\0").ok_or(DecodeError::NotKubernetes)?;
    let (mut kind, mut api_version, mut raw) = (String::new(), String::new(), &[][..]);
    for field in Reader(envelope) {
        match field? {
            (1, Wire::Bytes(bytes)) => {
                for field in Reader(bytes) {
                    match field? {
                        (1, Wire::Bytes(text)) => api_version = String::from_utf8_lossy(text).into_owned(),
                        (2, Wire::Bytes(text)) => kind = String::from_utf8_lossy(text).into_owned(),
                        _ => {}
                    }
                }
            }
            (2, Wire::Bytes(bytes)) => raw = bytes,
            _ => {}
        }
    }
    let group = api_version.split_once('/').map_or("core", |(group, _)| group);
    let prefix = if kind == "DeleteOptions" {
        "meta"
    } else {
        group.split('.').next().unwrap_or_default()
    };
    let name = format!("{prefix}.{kind}");
    if !MESSAGES.contains_key(name.as_str()) {
        return Err(DecodeError::UnknownType { api_version, kind });
    }
    let mut object = message(&name, raw, DEPTH)?;
    if let Value::Object(map) = &mut object {
        map.insert("apiVersion".to_owned(), json!(api_version));
        map.insert("kind".to_owned(), json!(kind));
    }
    Ok(object)
}

fn message(name: &str, bytes: &[u8], depth: usize) -> Result<Value, DecodeError> {
    let depth = depth.checked_sub(1).ok_or(DecodeError::Malformed)?;
    let fields = match MESSAGES.get(name) {
        Some(Message::Fields(fields)) => fields,
        Some(Message::Special(kind)) => return special(kind, bytes),
        None => return Ok(Value::Null),
    };
    let mut object = Map::new();
    for found in Reader(bytes) {
        let (number, wire) = found?;
        let Some(field) = fields.get(&number) else { continue };
        let (many, form) = match field.form.as_bytes()[0] {
            b'*' => (true, &field.form[1..]),
            b'%' => {
                let Wire::Bytes(entry) = wire else {
                    return Err(DecodeError::Malformed);
                };
                let (key, value) = map_entry(&field.form[1..], entry, depth)?;
                if let Value::Object(map) = object.entry(field.name).or_insert_with(|| json!({})) {
                    map.insert(key, value);
                }
                continue;
            }
            _ => (false, field.form),
        };
        let value = scalar(form, &wire, depth)?;
        if field.name == "~" {
            if let Value::Object(inlined) = value {
                object.extend(inlined);
            }
        } else if many {
            if let Value::Array(list) = object.entry(field.name).or_insert_with(|| json!([])) {
                list.push(value);
            }
        } else if !value.is_null() && value != "" {
            // Kubernetes writes empty text for what is not set.
            object.insert(field.name.to_owned(), value);
        }
    }
    Ok(Value::Object(object))
}

fn map_entry(form: &str, entry: &[u8], depth: usize) -> Result<(String, Value), DecodeError> {
    let (mut key, mut value) = (String::new(), if form == "s" { json!("") } else { Value::Null });
    for found in Reader(entry) {
        match found? {
            (1, Wire::Bytes(text)) => key = String::from_utf8_lossy(text).into_owned(),
            (2, wire) => value = scalar(form, &wire, depth)?,
            _ => {}
        }
    }
    Ok((key, value))
}

fn scalar(form: &str, wire: &Wire<'_>, depth: usize) -> Result<Value, DecodeError> {
    Ok(match (form, wire) {
        ("s", Wire::Bytes(text)) => json!(std::str::from_utf8(text).map_err(|_| DecodeError::Malformed)?),
        ("y", Wire::Bytes(bytes)) => json!(base64::engine::general_purpose::STANDARD.encode(bytes)),
        ("b", Wire::Number(number)) => json!(*number != 0),
        ("i", Wire::Number(number)) => json!(number.cast_signed()),
        ("d", Wire::Number(bits)) => json!(f64::from_bits(*bits)),
        (form, Wire::Bytes(bytes)) => match form.strip_prefix("m:") {
            Some(name) => message(name, bytes, depth)?,
            None => return Err(DecodeError::Malformed),
        },
        _ => return Err(DecodeError::Malformed),
    })
}

/// Types whose JSON form is not an object of their fields.
fn special(kind: &str, bytes: &[u8]) -> Result<Value, DecodeError> {
    let mut numbers = [0i64; 4];
    let mut texts: Vec<(u64, &[u8])> = Vec::new();
    for found in Reader(bytes) {
        match found? {
            (number @ 0..4, Wire::Number(value)) => {
                numbers[usize::try_from(number).unwrap_or(0)] = value.cast_signed();
            }
            (number, Wire::Bytes(text)) => texts.push((number, text)),
            _ => {}
        }
    }
    let text = |wanted: u64| {
        let found = texts.iter().find(|(number, _)| *number == wanted);
        found
            .map(|(_, text)| String::from_utf8_lossy(text).into_owned())
            .unwrap_or_default()
    };
    Ok(match kind {
        "IntOrString" if numbers[1] == 1 => json!(text(3)),
        "IntOrString" => json!(numbers[2]),
        "Quantity" => json!(text(1)),
        "Time" | "MicroTime" => {
            let nanos = i32::try_from(numbers[2]).unwrap_or(0);
            match jiff::Timestamp::new(numbers[1], nanos) {
                Ok(at) if bytes.iter().any(|byte| *byte != 0) && numbers[1] != 0 => json!(at.to_string()),
                _ => Value::Null,
            }
        }
        "RawExtension" | "FieldsV1" => serde_json::from_str(&text(1)).unwrap_or(Value::Null),
        "ExtraValue" => json!(
            texts
                .iter()
                .map(|(_, text)| String::from_utf8_lossy(text))
                .collect::<Vec<_>>()
        ),
        "Duration" => json!(format!("{}ns", numbers[1])),
        _ => Value::Null,
    })
}

enum Wire<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// The fields of a message, one after the other.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn varint(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self.0.split_first()?;
            self.0 = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn field(&mut self) -> Option<(u64, Wire<'a>)> {
        let key = self.varint()?;
        let wire = match key & 7 {
            0 => Wire::Number(self.varint()?),
            1 => Wire::Number(u64::from_le_bytes(self.take(8)?.try_into().ok()?)),
            2 => {
                let length = usize::try_from(self.varint()?).ok()?;
                Wire::Bytes(self.take(length)?)
            }
            5 => Wire::Number(u64::from(u32::from_le_bytes(self.take(4)?.try_into().ok()?))),
            _ => return None,
        };
        Some((key >> 3, wire))
    }
}

impl<'a> Iterator for Reader<'a> {
    type Item = Result<(u64, Wire<'a>), DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_none() {
            self.0 = &[];
        }
        Some(field.ok_or(DecodeError::Malformed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `kubectl auth can-i list pods` sends.
    const REVIEW: &[u8] = b"k8s\x00\n2\n\x17authorization.k8s.io/v1\x12\x17SelfSubjectAccessReview\x12=\n\x10\n\x00\x12\x00\x1a\x00\"\x00*\x002\x008\x00B\x00\x12\x1f\n\x1d\n\x07default\x12\x04list\x1a\x00\"\x00*\x04pods2\x00:\x00\x1a\x08\x08\x00\x12\x00\x1a\x00 \x00\x1a\x00\"\x00";

    #[test]
    fn reads_what_kubectl_sends() {
        let review = decode(REVIEW).unwrap();
        assert_eq!(review["kind"], "SelfSubjectAccessReview");
        assert_eq!(
            review["spec"]["resourceAttributes"],
            json!({"namespace": "default", "verb": "list", "resource": "pods"})
        );
    }

    #[test]
    fn broken_bodies_are_errors() {
        for end in 0..REVIEW.len() - 12 {
            let _ = decode(&REVIEW[..end]);
        }
        assert!(matches!(decode(b"{}"), Err(DecodeError::NotKubernetes)));
        assert!(matches!(decode(b"k8s\0\xff"), Err(DecodeError::Malformed)));
        let other = b"k8s\0\n\x0b\n\x02v9\x12\x05Thing";
        assert!(matches!(decode(other), Err(DecodeError::UnknownType { .. })));
    }
}
