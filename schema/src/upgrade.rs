//! States that an earlier version of the schema wrote.

use serde_json::Value as Json;

use crate::attribute::{Attribute, AttributeKind};
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::schema::Schema;
use crate::value::Value;

/// Turns a state of one version into the next version's.
pub type Upgrade = fn(Json) -> Result<Json, UpgradeError>;

/// Why a state could not be brought to the next version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UpgradeError(pub String);

/// Reads a state of `version`, brought to the schema's version by `upgrades[version]`, `upgrades[version + 1]`, ….
///
/// Attributes that the schema does not have any more are dropped. Attributes that are new are null, or their default
/// if they have one, so that a new optional attribute needs no new version.
pub fn upgrade(schema: &Schema, version: i64, state: &[u8], upgrades: &[Upgrade]) -> Result<Value, Diagnostics> {
    let refuse = |detail: String| Diagnostics::from(Diagnostic::error("State cannot be upgraded", detail));
    if version > schema.version {
        return Err(refuse(format!(
            "The state was written by a newer provider (schema version {version}; this provider knows versions up to \
             {}). Nothing was changed. Use that provider version, or a newer one.",
            schema.version
        )));
    }
    let mut current = std::borrow::Cow::Borrowed(state);
    if version < schema.version {
        let mut json: Json = serde_json::from_slice(state)
            .map_err(|error| refuse(format!("The state of version {version} is not valid JSON: {error}.")))?;
        for from in version..schema.version {
            let upgrade = usize::try_from(from)
                .ok()
                .and_then(|from| upgrades.get(from))
                .ok_or_else(|| {
                    refuse(format!(
                        "This provider has no upgrade from schema version {from} to {}.",
                        from + 1
                    ))
                })?;
            json = upgrade(json).map_err(|error| {
                refuse(format!(
                    "The upgrade from schema version {from} to {} failed: {error}. Nothing was changed.",
                    from + 1
                ))
            })?;
        }
        current = json.to_string().into_bytes().into();
    }
    let state = Value::from_state_json(&current, &schema.type_())?;
    Ok(match state {
        Value::Object(_) => fill_object(&schema.attributes, state),
        other => other,
    })
}

/// Puts defaults where an object has none of the attribute's values.
fn fill_object(attributes: &[Attribute], state: Value) -> Value {
    let Value::Object(mut object) = state else { return state };
    for schema in attributes {
        let Some(value) = object.get_mut(&schema.name) else {
            continue;
        };
        let state = std::mem::replace(value, Value::Null);
        *value = match (&schema.kind, state, &schema.default) {
            (_, Value::Null, Some(default)) => default.clone(),
            (AttributeKind::Single(inner), state, _) => fill_object(inner, state),
            (AttributeKind::List(inner), Value::List(elements), _) => Value::List(
                elements
                    .into_iter()
                    .map(|element| fill_object(inner, element))
                    .collect(),
            ),
            (AttributeKind::Set(inner), Value::Set(elements), _) => {
                Value::set(elements.into_iter().map(|element| fill_object(inner, element)))
            }
            (AttributeKind::Map(inner), Value::Map(elements), _) => Value::Map(
                elements
                    .into_iter()
                    .map(|(key, element)| (key, fill_object(inner, element)))
                    .collect(),
            ),
            (_, state, _) => state,
        };
    }
    Value::Object(object)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attribute::Mode;
    use crate::types::Type;

    fn schema() -> Schema {
        let mut size = Attribute::plain("size_gb", Type::Number, Mode::OptionalComputed, "");
        size.default = Some(Value::from(10));
        let name = Attribute::plain("name", Type::String, Mode::Required, "");
        Schema {
            version: 2,
            description: String::new(),
            attributes: vec![name, size],
        }
    }

    fn rename(mut state: Json) -> Result<Json, UpgradeError> {
        let state_object = state.as_object_mut().ok_or_else(|| UpgradeError("no object".into()))?;
        let old = state_object
            .remove("title")
            .ok_or_else(|| UpgradeError("no title".into()))?;
        state_object.insert("name".into(), old);
        Ok(state)
    }

    #[allow(clippy::unnecessary_wraps)] // The signature of every upgrade.
    fn same(state: Json) -> Result<Json, UpgradeError> {
        Ok(state)
    }

    fn expected(size: i64) -> Value {
        Value::object([("name", Value::from("x")), ("size_gb", Value::from(size))])
    }

    #[test]
    fn every_version_in_between_is_passed() {
        let upgraded = upgrade(&schema(), 0, br#"{"title":"x","size_gb":5}"#, &[rename, same]);
        assert_eq!(upgraded, Ok(expected(5)));
        assert_eq!(
            upgrade(&schema(), 1, br#"{"name":"x","size_gb":5}"#, &[rename, same]),
            Ok(expected(5))
        );
    }

    #[test]
    fn the_same_version_tolerates_what_was_added_and_removed() {
        let upgraded = upgrade(&schema(), 2, br#"{"name":"x","gone":true}"#, &[rename, same]);
        assert_eq!(upgraded, Ok(expected(10)));
    }

    #[test]
    fn a_newer_state_is_refused() {
        let errors = upgrade(&schema(), 3, b"{}", &[rename, same]).unwrap_err();
        assert!(
            errors.to_string().contains("newer provider (schema version 3"),
            "{errors}"
        );
    }

    #[test]
    fn a_failed_or_missing_step_is_named() {
        let errors = upgrade(&schema(), 0, b"{}", &[rename, same]).unwrap_err();
        assert!(
            errors
                .to_string()
                .contains("from schema version 0 to 1 failed: no title"),
            "{errors}"
        );
        let errors = upgrade(&schema(), 0, br#"{"title":"x"}"#, &[rename]).unwrap_err();
        assert!(
            errors.to_string().contains("no upgrade from schema version 1 to 2"),
            "{errors}"
        );
    }
}
