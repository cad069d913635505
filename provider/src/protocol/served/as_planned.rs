//! What was planned and known must come back from an apply exactly as it was planned.
//!
//! Terraform checks this, and calls a difference an error in the provider: after a create it then marks the object as
//! tainted, and the next apply destroys it. For a cluster that is a far worse fate than a wrong value in state. So a
//! difference is mended here: state keeps the planned value, a warning says so, and the next read shows what is really
//! there.

use std::collections::BTreeMap;

use multizone_schema::{Diagnostic, Diagnostics, Path, Value};

/// `applied`, with every known planned value as it was planned, and a warning for each that had to be put back.
pub(super) fn mended(planned: &Value, applied: Value) -> (Value, Diagnostics) {
    let mut differences = Vec::new();
    let value = mend(planned, applied, &Path::root(), &mut differences);
    let warnings = differences.into_iter().map(|path| {
        tracing::error!(%path, "an applied value differs from the planned one");
        Diagnostic::warning(
            "Applied, but not as planned",
            format!(
                "The value of {path} is another one than was planned. This is an error in the provider. State keeps \
                 the planned value; the next terraform plan shows what is there."
            ),
        )
        .at(path)
    });
    (value, warnings.collect())
}

fn mend(planned: &Value, applied: Value, path: &Path, differences: &mut Vec<Path>) -> Value {
    match (planned, applied) {
        (planned, applied) if *planned == applied => applied,
        (Value::Unknown, applied) => applied,
        (Value::Object(planned), Value::Object(applied)) => Value::Object(mend_each(
            planned,
            applied,
            |name| path.clone().attribute(name),
            differences,
        )),
        (Value::Map(planned), Value::Map(applied)) if planned.keys().eq(applied.keys()) => {
            Value::Map(mend_each(planned, applied, |key| path.clone().key(key), differences))
        }
        (Value::List(planned), Value::List(applied)) if planned.len() == applied.len() => {
            let elements = planned.iter().zip(applied).enumerate();
            let mended = elements
                .map(|(index, (planned, applied))| mend(planned, applied, &path.clone().index(index), differences));
            Value::List(mended.collect())
        }
        // With something unknown in there it cannot be told what was planned: Terraform is to judge.
        (planned, applied) if !planned.is_wholly_known() => applied,
        (planned, _) => {
            differences.push(path.clone());
            planned.clone()
        }
    }
}

fn mend_each(
    planned: &BTreeMap<String, Value>,
    applied: BTreeMap<String, Value>,
    path: impl Fn(&str) -> Path,
    differences: &mut Vec<Path>,
) -> BTreeMap<String, Value> {
    applied
        .into_iter()
        .map(|(name, applied)| {
            let value = match planned.get(&name) {
                Some(planned) => mend(planned, applied, &path(&name), differences),
                None => applied,
            };
            (name, value)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(size: Value, zones: Value) -> Value {
        Value::object([("size", size), ("zones", zones)])
    }

    #[test]
    fn what_was_unknown_may_be_anything() {
        let planned = object(Value::Unknown, Value::map([("a", Value::Unknown)]));
        let applied = object(Value::from(3), Value::map([("a", Value::Null)]));
        assert_eq!(mended(&planned, applied.clone()), (applied, Diagnostics::new()));
    }

    #[test]
    fn what_was_known_is_put_back_with_a_warning() {
        let planned = object(
            Value::from(3),
            Value::map([("a", Value::from("x")), ("b", Value::Unknown)]),
        );
        let applied = object(
            Value::from(3),
            Value::map([("a", Value::from("y")), ("b", Value::from("z"))]),
        );
        let (value, warnings) = mended(&planned, applied);
        let expected = object(
            Value::from(3),
            Value::map([("a", Value::from("x")), ("b", Value::from("z"))]),
        );
        assert_eq!(value, expected);
        assert!(!warnings.has_errors());
        let paths: Vec<String> = warnings
            .iter()
            .map(|warning| warning.path.as_ref().unwrap().to_string())
            .collect();
        assert_eq!(paths, [r#"zones["a"]"#]);
    }

    #[test]
    fn a_collection_of_another_size_is_put_back_as_a_whole() {
        let planned = object(Value::Null, Value::list([Value::from("a"), Value::from("b")]));
        let applied = object(Value::from(1), Value::list([Value::from("a")]));
        let (value, warnings) = mended(&planned, applied);
        assert_eq!(value, planned);
        assert_eq!(warnings.len(), 2);
    }

    #[test]
    fn where_elements_are_unknown_terraform_judges() {
        let planned = object(Value::Null, Value::list([Value::Unknown, Value::from("b")]));
        let applied = object(Value::Null, Value::list([Value::from("a")]));
        assert_eq!(mended(&planned, applied.clone()), (applied, Diagnostics::new()));
    }
}
