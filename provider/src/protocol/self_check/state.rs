//! Reads, imports, upgrades, and the results of data sources and ephemeral resources.

use multizone_schema::{Diagnostics, Path, Schema, Value};

use super::plan::as_configured;
use super::{Breach, Rule, Unknowns, shape, unbroken};

/// What a read found; null when the object is gone.
pub fn read(schema: &Schema, before: &Value, found: Value) -> Result<Value, Diagnostics> {
    let breaches = if before.is_null() && !found.is_null() {
        vec![Breach::new(&Path::root(), Rule::Object)]
    } else {
        shape(schema, &found, Unknowns::Refused)
    };
    unbroken(found, breaches)
}

/// Whether what a read found is what it was to look for; both as identities, where there are any.
pub fn same_object(before: Option<&Value>, found: Option<&Value>) -> Result<(), Diagnostics> {
    let breaches = match (before, found) {
        (Some(before), Some(found)) if before != found => vec![Breach::new(&Path::root(), Rule::AnotherObject)],
        _ => Vec::new(),
    };
    unbroken((), breaches)
}

/// What an import found.
pub fn import(schema: &Schema, found: Value) -> Result<Value, Diagnostics> {
    let breaches = object(schema, &found);
    unbroken(found, breaches)
}

/// What has become of an earlier state.
pub fn upgrade(schema: &Schema, upgraded: Value) -> Result<Value, Diagnostics> {
    let breaches = object(schema, &upgraded);
    unbroken(upgraded, breaches)
}

/// What a data source has read.
pub fn data_source(schema: &Schema, result: Value) -> Result<Value, Diagnostics> {
    let breaches = object(schema, &result);
    unbroken(result, breaches)
}

/// What an ephemeral resource has opened.
pub fn ephemeral(schema: &Schema, config: &Value, result: Value) -> Result<Value, Diagnostics> {
    let mut breaches = object(schema, &result);
    if let (true, Value::Object(config), Value::Object(result)) = (breaches.is_empty(), config, &result) {
        as_configured(&schema.attributes, None, config, result, &Path::root(), &mut breaches);
    }
    unbroken(result, breaches)
}

/// An object of the schema's shape, wholly known.
fn object(schema: &Schema, value: &Value) -> Vec<Breach> {
    if value.is_null() {
        vec![Breach::new(&Path::root(), Rule::NoObject)]
    } else {
        shape(schema, value, Unknowns::Refused)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_keeps_its_identity() {
        let (one, other) = (Value::from("a"), Value::from("b"));
        assert!(same_object(Some(&one), Some(&one)).is_ok());
        // Gone, or without an ID before.
        assert!(same_object(Some(&one), None).is_ok() && same_object(None, Some(&one)).is_ok());
        let error = same_object(Some(&one), Some(&other)).unwrap_err().to_string();
        assert!(error.contains("keeps that for life"), "{error}");
    }
}
