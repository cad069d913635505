//! The types a value can have, and their JSON encoding.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value as Json;

/// The deepest nesting of types and values that decoders follow.
///
/// Far more than any schema has, and little enough for the stack of a worker thread.
pub const MAX_DEPTH: usize = 128;

/// A type of Terraform's type system.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Type {
    /// Unicode text.
    String,
    /// A number of any size and precision.
    Number,
    /// True or false.
    Bool,
    /// Any type: each value carries its own.
    Dynamic,
    /// An ordered sequence of values of one type.
    List(Box<Type>),
    /// Distinct values of one type, without an order.
    Set(Box<Type>),
    /// Values of one type by string key.
    Map(Box<Type>),
    /// A fixed sequence, each element with a type of its own.
    Tuple(Vec<Type>),
    /// Named attributes, each with a type of its own.
    Object(BTreeMap<String, Type>),
}

impl Type {
    /// A list of `element`.
    pub fn list(element: Type) -> Self {
        Self::List(Box::new(element))
    }

    /// A set of `element`.
    pub fn set(element: Type) -> Self {
        Self::Set(Box::new(element))
    }

    /// A map of `element`.
    pub fn map(element: Type) -> Self {
        Self::Map(Box::new(element))
    }

    /// An object with these attributes.
    pub fn object<N: Into<String>>(attributes: impl IntoIterator<Item = (N, Type)>) -> Self {
        Self::Object(
            attributes
                .into_iter()
                .map(|(name, type_)| (name.into(), type_))
                .collect(),
        )
    }

    /// The JSON form that the wire uses: `"string"`, `["list","string"]`, `["object",{"a":"bool"}]`.
    pub fn to_json(&self) -> Json {
        match self {
            Self::String => Json::from("string"),
            Self::Number => Json::from("number"),
            Self::Bool => Json::from("bool"),
            Self::Dynamic => Json::from("dynamic"),
            Self::List(element) => Json::from(vec![Json::from("list"), element.to_json()]),
            Self::Set(element) => Json::from(vec![Json::from("set"), element.to_json()]),
            Self::Map(element) => Json::from(vec![Json::from("map"), element.to_json()]),
            Self::Tuple(elements) => {
                Json::from(vec![Json::from("tuple"), elements.iter().map(Type::to_json).collect()])
            }
            Self::Object(attributes) => {
                let attributes = attributes.iter().map(|(name, type_)| (name.clone(), type_.to_json()));
                Json::from(vec![Json::from("object"), Json::Object(attributes.collect())])
            }
        }
    }

    /// The bytes of [`Type::to_json`].
    pub fn to_json_bytes(&self) -> Vec<u8> {
        self.to_json().to_string().into_bytes()
    }

    /// Reads the JSON form. An object's optional attributes (a third element) are not of the wire and are refused.
    pub fn from_json(json: &[u8]) -> Result<Self, TypeError> {
        let json: Json = serde_json::from_slice(json).map_err(|error| TypeError::Syntax(error.to_string()))?;
        Self::from_json_value(&json, MAX_DEPTH)
    }

    fn from_json_value(json: &Json, depth: usize) -> Result<Self, TypeError> {
        let depth = depth.checked_sub(1).ok_or(TypeError::TooDeep)?;
        let unknown = || TypeError::Unknown(crate::codec::shortened(json.to_string()));
        match json {
            Json::String(name) => match name.as_str() {
                "string" => Ok(Self::String),
                "number" => Ok(Self::Number),
                "bool" => Ok(Self::Bool),
                "dynamic" => Ok(Self::Dynamic),
                _ => Err(unknown()),
            },
            Json::Array(parts) => match (parts.first().and_then(Json::as_str), parts.get(1), parts.len()) {
                (Some("list"), Some(element), 2) => Ok(Self::list(Self::from_json_value(element, depth)?)),
                (Some("set"), Some(element), 2) => Ok(Self::set(Self::from_json_value(element, depth)?)),
                (Some("map"), Some(element), 2) => Ok(Self::map(Self::from_json_value(element, depth)?)),
                (Some("tuple"), Some(Json::Array(elements)), 2) => {
                    let elements = elements.iter().map(|element| Self::from_json_value(element, depth));
                    Ok(Self::Tuple(elements.collect::<Result<_, _>>()?))
                }
                (Some("object"), Some(Json::Object(attributes)), 2) => {
                    let attributes = attributes
                        .iter()
                        .map(|(name, type_)| Ok((name.clone(), Self::from_json_value(type_, depth)?)));
                    Ok(Self::Object(attributes.collect::<Result<_, _>>()?))
                }
                _ => Err(unknown()),
            },
            _ => Err(unknown()),
        }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::String => f.write_str("string"),
            Self::Number => f.write_str("number"),
            Self::Bool => f.write_str("bool"),
            Self::Dynamic => f.write_str("dynamic"),
            Self::List(element) => write!(f, "list of {element}"),
            Self::Set(element) => write!(f, "set of {element}"),
            Self::Map(element) => write!(f, "map of {element}"),
            Self::Tuple(_) => f.write_str("tuple"),
            Self::Object(_) => f.write_str("object"),
        }
    }
}

/// Why a type's JSON form was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TypeError {
    /// Not JSON.
    #[error("the type is not valid JSON: {0}")]
    Syntax(String),
    /// JSON, but not a type.
    #[error("{0} is not a type")]
    Unknown(String),
    /// Nested deeper than [`MAX_DEPTH`].
    #[error("the type is nested more than {MAX_DEPTH} levels deep")]
    TooDeep,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_form_is_the_wire_form() {
        let type_ = Type::object([
            ("a", Type::list(Type::String)),
            ("b", Type::Tuple(vec![Type::Bool, Type::Dynamic])),
            ("c", Type::map(Type::set(Type::Number))),
        ]);
        let json =
            r#"["object",{"a":["list","string"],"b":["tuple",["bool","dynamic"]],"c":["map",["set","number"]]}]"#;
        assert_eq!(type_.to_json().to_string(), json);
        assert_eq!(Type::from_json(json.as_bytes()), Ok(type_));
    }

    #[test]
    fn malformed_types_are_refused() {
        for json in [
            r#""text""#,
            "[]",
            r#"["list"]"#,
            r#"["list","string","string"]"#,
            "1",
            r#"["tuple","string"]"#,
        ] {
            assert!(
                matches!(Type::from_json(json.as_bytes()), Err(TypeError::Unknown(_))),
                "{json}"
            );
        }
        assert!(matches!(Type::from_json(b"{"), Err(TypeError::Syntax(_))));
    }

    #[test]
    fn deep_types_are_refused_not_followed() {
        let deep = r#"["list","#.repeat(100_000);
        assert!(Type::from_json(deep.as_bytes()).is_err());
    }
}
