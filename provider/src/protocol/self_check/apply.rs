//! Applied changes.
//!
//! What was planned and known must come back exactly as it was planned. Terraform calls a difference an error in the
//! provider, and after a create it then marks the object as tainted, and the next apply destroys it. For a cluster that
//! is a far worse fate than a wrong value in state. So a difference is mended here: state keeps the planned value, a
//! warning says so, and the next read shows what is really there. What cannot be mended is an error.

use std::collections::BTreeMap;

use multizone_schema::{Diagnostic, Path, Schema, Value};

use super::{Breach, Rule, Unknowns, errors, shape};
use crate::protocol::served::{Applied, Change, write_only};

/// The applied change, with its differences from the plan mended or told.
pub fn apply(schema: &Schema, asked: &Change, mut applied: Applied) -> Applied {
    let breaches = shape(schema, &applied.state, Unknowns::Refused);
    let (secret, broken): (Vec<_>, Vec<_>) = breaches.into_iter().partition(|breach| breach.rule == Rule::WriteOnly);
    if !broken.is_empty() {
        // Such a state cannot be written at all.
        applied.diagnostics.extend(errors(broken, UNTOLD));
        applied.state = asked.prior.clone();
        applied.private.clone_from(&asked.private);
        return applied;
    }
    if !secret.is_empty() {
        applied.state = write_only::removed(&schema.attributes, applied.state);
        applied.diagnostics.extend(
            secret
                .into_iter()
                .map(|breach| warning(&breach.path, "must not be in state, and was left out")),
        );
    }
    if applied.diagnostics.has_errors() {
        // State holds what was reached.
        return applied;
    }
    let whole = Path::root();
    match (asked.new.is_null(), applied.state.is_null()) {
        (true, true) => {}
        (true, false) => applied
            .diagnostics
            .push(Breach::new(&whole, Rule::Object).error(STILL_THERE)),
        (false, true) => {
            applied
                .diagnostics
                .push(Breach::new(&whole, Rule::NoObject).error(UNTOLD));
            applied.state = asked.prior.clone();
            applied.private.clone_from(&asked.private);
        }
        (false, false) => as_planned(asked, &mut applied),
    }
    applied
}

/// Where the change has been made, but its result cannot be kept.
const UNTOLD: &str = "The change may have been made, and state keeps what it held before: run terraform apply again, \
                      which continues from what is there.";
/// Where a destroy comes back with an object.
const STILL_THERE: &str = "The object stays in state: run terraform apply again.";

fn warning(path: &Path, what: &str) -> Diagnostic {
    tracing::error!(%path, what, "an applied value was mended");
    Diagnostic::warning(
        "Applied, but not as planned",
        format!(
            "The value of {path} {what}. This is an error in the provider. The next terraform plan shows what is there."
        ),
    )
    .at(path)
}

/// Puts back what was planned.
fn as_planned(asked: &Change, applied: &mut Applied) {
    let mut walk = Walk::default();
    let state = std::mem::replace(&mut applied.state, Value::Null);
    let state = walk.mend(&asked.new, state, &Path::root());
    let Walk { mended, unmended } = walk;
    applied.diagnostics.extend(
        mended
            .iter()
            .map(|path| warning(path, "is another one than was planned; state keeps the planned value")),
    );
    if unmended.is_empty() {
        applied.state = state;
        return;
    }
    let breaches = unmended.iter().map(|path| Breach::new(path, Rule::NotAsPlanned));
    applied.diagnostics.extend(errors(breaches.collect(), UNTOLD));
    // A create that fails with a state would be destroyed by the next apply.
    applied.state = if asked.prior.is_null() { Value::Null } else { state };
}

/// The paths at which something known in a plan is something else in `actual`.
pub(super) fn differences(planned: &Value, actual: &Value) -> Vec<Path> {
    let mut walk = Walk::default();
    walk.mend(planned, actual.clone(), &Path::root());
    walk.mended.append(&mut walk.unmended);
    walk.mended
}

#[derive(Default)]
struct Walk {
    mended: Vec<Path>,
    unmended: Vec<Path>,
}

impl Walk {
    fn mend(&mut self, planned: &Value, applied: Value, path: &Path) -> Value {
        match (planned, applied) {
            (planned, applied) if *planned == applied => applied,
            (Value::Unknown, applied) => applied,
            (Value::Object(planned), Value::Object(applied)) if planned.keys().eq(applied.keys()) => {
                Value::Object(self.each(planned, applied, |name| path.clone().attribute(name)))
            }
            (Value::Map(planned), Value::Map(applied)) if planned.keys().eq(applied.keys()) => {
                Value::Map(self.each(planned, applied, |key| path.clone().key(key)))
            }
            (Value::List(planned), Value::List(applied)) if planned.len() == applied.len() => {
                let elements = planned.iter().zip(applied).enumerate();
                Value::List(
                    elements
                        .map(|(index, (planned, applied))| self.mend(planned, applied, &path.clone().index(index)))
                        .collect(),
                )
            }
            // What is unknown in there may have turned out to be any of these, or several the same.
            (Value::Set(planned), Value::Set(applied))
                if applied.len() <= planned.len()
                    && !planned.iter().all(Value::is_wholly_known)
                    && planned
                        .iter()
                        .all(|element| !element.is_wholly_known() || applied.contains(element)) =>
            {
                Value::Set(applied)
            }
            (planned, _) if planned.is_wholly_known() => {
                self.mended.push(path.clone());
                planned.clone()
            }
            (_, applied) => {
                self.unmended.push(path.clone());
                applied
            }
        }
    }

    fn each(
        &mut self,
        planned: &BTreeMap<String, Value>,
        applied: BTreeMap<String, Value>,
        path: impl Fn(&str) -> Path,
    ) -> BTreeMap<String, Value> {
        applied
            .into_iter()
            .zip(planned.values())
            .map(|((name, applied), planned)| {
                let value = self.mend(planned, applied, &path(&name));
                (name, value)
            })
            .collect()
    }
}
