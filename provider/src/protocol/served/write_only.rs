//! Write-only values: in the configuration, handed to the provider, and nowhere else.

use multizone_schema::{Attribute, AttributeKind, Value};

/// Whether anything in here is write-only.
fn any(attributes: &[Attribute]) -> bool {
    attributes
        .iter()
        .any(|attribute| attribute.write_only || attribute.kind.nested().is_some_and(any))
}

/// The object with every write-only value null: what plan and state may hold.
pub(in crate::protocol) fn removed(attributes: &[Attribute], value: Value) -> Value {
    if any(attributes) {
        replace(attributes, value, None)
    } else {
        value
    }
}

/// The object with the configuration's write-only values in their places: what an operation gets to see.
pub(super) fn filled_in(attributes: &[Attribute], value: Value, config: &Value) -> Value {
    if any(attributes) {
        replace(attributes, value, Some(config))
    } else {
        value
    }
}

fn replace(attributes: &[Attribute], value: Value, config: Option<&Value>) -> Value {
    let Value::Object(mut object) = value else {
        return value;
    };
    for attribute in attributes {
        let configured = config.and_then(|config| config.attribute(&attribute.name));
        let Some(current) = object.get_mut(&attribute.name) else {
            continue;
        };
        if attribute.write_only {
            *current = configured.cloned().unwrap_or(Value::Null);
            continue;
        }
        let taken = std::mem::replace(current, Value::Null);
        *current = match (&attribute.kind, taken) {
            (AttributeKind::Single(inner), value) => replace(inner, value, configured),
            (AttributeKind::List(inner), Value::List(elements)) => {
                let configured = configured.and_then(Value::as_elements).unwrap_or_default();
                let replaced = elements.into_iter().enumerate();
                Value::List(
                    replaced
                        .map(|(index, element)| replace(inner, element, configured.get(index)))
                        .collect(),
                )
            }
            (AttributeKind::Map(inner), Value::Map(elements)) => {
                let configured = configured.and_then(Value::as_map);
                let of = |key: &str| configured.and_then(|configured| configured.get(key));
                let replaced = elements.into_iter();
                Value::Map(
                    replaced
                        .map(|(key, element)| {
                            let of = of(&key);
                            (key, replace(inner, element, of))
                        })
                        .collect(),
                )
            }
            // Plain, null or unknown; or a set: its elements have no address, and Terraform allows nothing write-only
            // in there.
            (_, value) => value,
        };
    }
    Value::Object(object)
}

#[cfg(test)]
mod tests {
    use multizone_schema::{Mode, Type};

    use super::*;

    fn attributes() -> Vec<Attribute> {
        let token = || {
            let mut token = Attribute::plain("token", Type::String, Mode::Optional, "Token.");
            token.write_only = true;
            token
        };
        let name = Attribute::plain("name", Type::String, Mode::Required, "Name.");
        let users = Attribute::new("users", AttributeKind::Map(vec![token()]), Mode::Optional, "Users.");
        vec![name, token(), users]
    }

    fn object(token: Value, inner: Value) -> Value {
        let user = Value::object([("token", inner)]);
        Value::object([
            ("name", Value::from("a")),
            ("token", token),
            ("users", Value::map([("u", user)])),
        ])
    }

    #[test]
    fn they_leave_and_come_back() {
        let config = object(Value::from("s3cret"), Value::from("inner"));
        let planned = removed(&attributes(), config.clone());
        assert_eq!(planned, object(Value::Null, Value::Null));
        assert_eq!(filled_in(&attributes(), planned, &config), config);
    }

    #[test]
    fn null_and_unknown_objects_stay() {
        assert_eq!(removed(&attributes(), Value::Null), Value::Null);
        let unknown = Value::object([("users", Value::Unknown)]);
        assert_eq!(removed(&attributes(), unknown.clone()), unknown);
    }
}
