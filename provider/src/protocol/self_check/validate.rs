//! Validations.

use multizone_schema::{Attribute, AttributeKind, Diagnostic, Diagnostics, Path, PathStep, Schema, Severity, Value};

/// The diagnostics, without those that Terraform could not show or that come too early.
pub fn validate(schema: &Schema, config: &Value, diagnostics: Diagnostics) -> Diagnostics {
    diagnostics
        .into_iter()
        .map(|diagnostic| in_time(config, placed(schema, diagnostic)))
        .collect()
}

/// A value that is not known yet may turn out to be right, and is validated again once it is known.
fn in_time(config: &Value, mut diagnostic: Diagnostic) -> Diagnostic {
    let too_early = |path: &Path| leads_to_unknown(config, path);
    if diagnostic.severity == Severity::Error && diagnostic.path.as_ref().is_some_and(too_early) {
        tracing::error!(summary = diagnostic.summary, "a value was refused before it is known");
        diagnostic.severity = Severity::Warning;
        diagnostic.detail = format!(
            "{} (The value is known only after apply, and is checked again then.)",
            diagnostic.detail
        );
    }
    diagnostic
}

/// Whether the value at the path, or one that holds it, is unknown.
fn leads_to_unknown(config: &Value, path: &Path) -> bool {
    let steps = path.steps();
    (1..=steps.len()).any(|length| {
        let part: Path = steps[..length].iter().cloned().collect();
        config.get(&part).is_some_and(Value::is_unknown)
    })
}

/// A path that leads nowhere would be dropped by Terraform in silence: it is cut, and the text says it.
fn placed(schema: &Schema, mut diagnostic: Diagnostic) -> Diagnostic {
    let Some(path) = &diagnostic.path else {
        return diagnostic;
    };
    let there = known_steps(&schema.attributes, path.steps());
    if there < path.steps().len() {
        tracing::error!(%path, "a diagnostic points at what the schema does not have");
        diagnostic.detail = format!("At {path}: {}", diagnostic.detail);
        diagnostic.path = Some(path.steps()[..there].iter().cloned().collect());
    }
    diagnostic
}

/// How many of the steps the schema knows.
fn known_steps(attributes: &[Attribute], steps: &[PathStep]) -> usize {
    let [PathStep::Attribute(name), rest @ ..] = steps else {
        return 0;
    };
    let Some(attribute) = attributes.iter().find(|attribute| attribute.name == *name) else {
        return 0;
    };
    1 + match (&attribute.kind, rest) {
        // What is inside a plain value is for its type to say.
        (AttributeKind::Plain(_), rest) => rest.len(),
        (AttributeKind::List(inner), [PathStep::Index(_), rest @ ..])
        | (AttributeKind::Map(inner), [PathStep::Key(_), rest @ ..]) => 1 + known_steps(inner, rest),
        // An element of a set has no address: its attributes are named without one.
        (AttributeKind::Single(inner) | AttributeKind::Set(inner), rest) => known_steps(inner, rest),
        _ => 0,
    }
}
