//! Values, in which null and unknown are two different things.

use std::collections::BTreeMap;

use crate::number::Number;
use crate::path::{Path, PathStep};
use crate::types::Type;

/// A value of Terraform's type system.
///
/// Null is "not set", unknown is "known after apply". Its [`Type`] is not part of a value; the codecs take it
/// alongside.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Value {
    /// Not set.
    Null,
    /// Not known before apply.
    Unknown,
    /// Text.
    String(String),
    /// A number.
    Number(Number),
    /// True or false.
    Bool(bool),
    /// The elements of a list.
    List(Vec<Value>),
    /// The elements of a set, sorted and distinct: build it with [`Value::set`].
    Set(Vec<Value>),
    /// A map's elements by key.
    Map(BTreeMap<String, Value>),
    /// An object's attributes by name.
    Object(BTreeMap<String, Value>),
    /// The elements of a tuple.
    Tuple(Vec<Value>),
    /// A value where the schema says "any type", with the type it has here.
    Dynamic(Type, Box<Value>),
}

impl Value {
    /// A set of these elements: sorted, each known one once. Elements that are not wholly known may yet turn out to
    /// differ, so all of them stay.
    pub fn set(elements: impl IntoIterator<Item = Value>) -> Self {
        let mut elements: Vec<Value> = elements.into_iter().collect();
        elements.sort();
        elements.dedup_by(|later, earlier| later == earlier && earlier.is_wholly_known());
        Self::Set(elements)
    }

    /// A list of these elements.
    pub fn list(elements: impl IntoIterator<Item = Value>) -> Self {
        Self::List(elements.into_iter().collect())
    }

    /// A map with these elements.
    pub fn map<K: Into<String>>(elements: impl IntoIterator<Item = (K, Value)>) -> Self {
        Self::Map(elements.into_iter().map(|(key, value)| (key.into(), value)).collect())
    }

    /// An object with these attributes.
    pub fn object<K: Into<String>>(attributes: impl IntoIterator<Item = (K, Value)>) -> Self {
        Self::Object(
            attributes
                .into_iter()
                .map(|(name, value)| (name.into(), value))
                .collect(),
        )
    }

    /// Whether it is null, also as a dynamic value.
    pub fn is_null(&self) -> bool {
        matches!(self.peeled(), Self::Null)
    }

    /// Whether it is unknown, also as a dynamic value. What it holds may be unknown all the same.
    pub fn is_unknown(&self) -> bool {
        matches!(self.peeled(), Self::Unknown)
    }

    /// Whether nothing in it is unknown.
    pub fn is_wholly_known(&self) -> bool {
        match self {
            Self::Unknown => false,
            Self::Null | Self::String(_) | Self::Number(_) | Self::Bool(_) => true,
            Self::List(elements) | Self::Set(elements) | Self::Tuple(elements) => {
                elements.iter().all(Self::is_wholly_known)
            }
            Self::Map(elements) | Self::Object(elements) => elements.values().all(Self::is_wholly_known),
            Self::Dynamic(_, value) => value.is_wholly_known(),
        }
    }

    /// The value without the wrapping of a dynamic one.
    pub fn peeled(&self) -> &Value {
        match self {
            Self::Dynamic(_, value) => value.peeled(),
            other => other,
        }
    }

    /// The value at `path`, if the path leads somewhere.
    pub fn get(&self, path: &Path) -> Option<&Value> {
        path.steps()
            .iter()
            .try_fold(self, |value, step| match (value.peeled(), step) {
                (Self::Object(attributes), PathStep::Attribute(name)) => attributes.get(name),
                (Self::Map(elements), PathStep::Key(key)) => elements.get(key),
                (Self::List(elements) | Self::Tuple(elements), PathStep::Index(index)) => {
                    elements.get(usize::try_from(*index).ok()?)
                }
                _ => None,
            })
    }

    /// The attribute of that name, if this is an object that has it.
    pub fn attribute(&self, name: &str) -> Option<&Value> {
        self.as_object()?.get(name)
    }

    /// The text, if it is text.
    pub fn as_str(&self) -> Option<&str> {
        match self.peeled() {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// The number, if it is one.
    pub fn as_number(&self) -> Option<&Number> {
        match self.peeled() {
            Self::Number(number) => Some(number),
            _ => None,
        }
    }

    /// The integer, if it is a number and a 64-bit integer.
    pub fn as_i64(&self) -> Option<i64> {
        self.as_number()?.as_i64()
    }

    /// The truth, if it is one.
    pub fn as_bool(&self) -> Option<bool> {
        match self.peeled() {
            Self::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// The elements, if it is a list, set or tuple.
    pub fn as_elements(&self) -> Option<&[Value]> {
        match self.peeled() {
            Self::List(elements) | Self::Set(elements) | Self::Tuple(elements) => Some(elements),
            _ => None,
        }
    }

    /// The elements by key, if it is a map.
    pub fn as_map(&self) -> Option<&BTreeMap<String, Value>> {
        match self.peeled() {
            Self::Map(elements) => Some(elements),
            _ => None,
        }
    }

    /// The attributes by name, if it is an object.
    pub fn as_object(&self) -> Option<&BTreeMap<String, Value>> {
        match self.peeled() {
            Self::Object(attributes) => Some(attributes),
            _ => None,
        }
    }

    /// What to call it in a message.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Unknown => "an unknown value",
            Self::String(_) => "a string",
            Self::Number(_) => "a number",
            Self::Bool(_) => "a bool",
            Self::List(_) => "a list",
            Self::Set(_) => "a set",
            Self::Map(_) => "a map",
            Self::Object(_) => "an object",
            Self::Tuple(_) => "a tuple",
            Self::Dynamic(_, value) => value.kind(),
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::String(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::String(text)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Number(value.into())
    }
}

impl From<Number> for Value {
    fn from(number: Number) -> Self {
        Self::Number(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_are_sorted_and_distinct_but_keep_every_unknown() {
        let set = Value::set([
            Value::from("b"),
            Value::Unknown,
            Value::from("a"),
            Value::from("b"),
            Value::Unknown,
        ]);
        assert_eq!(
            set,
            Value::Set(vec![Value::Unknown, Value::Unknown, Value::from("a"), Value::from("b")])
        );
    }

    #[test]
    fn get_follows_each_kind_of_step() {
        let value = Value::object([("m", Value::map([("k", Value::list([Value::from(1), Value::from(2)]))]))]);
        let path = Path::root().attribute("m").key("k").index(1);
        assert_eq!(value.get(&path), Some(&Value::from(2)));
        assert_eq!(value.get(&Path::root().attribute("m").attribute("k")), None);
        assert_eq!(value.get(&Path::root()), Some(&value));
    }

    #[test]
    fn wholly_known_looks_inside() {
        assert!(Value::list([Value::Null]).is_wholly_known());
        assert!(!Value::object([("a", Value::map([("b", Value::Unknown)]))]).is_wholly_known());
        assert!(!Value::Dynamic(Type::String, Box::new(Value::Unknown)).is_wholly_known());
    }
}
