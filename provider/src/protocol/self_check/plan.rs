//! Plans.

use std::collections::BTreeMap;

use multizone_schema::{Attribute, AttributeKind, Path, Schema, Value};

use super::apply::differences;
use super::{Breach, NOTHING_CHANGED, Rule, Unknowns, errors, shape};
use crate::protocol::served::{Change, Plan};

type Object = BTreeMap<String, Value>;

/// The plan, or, when it breaks a rule, a refusal that says which.
pub fn plan(schema: &Schema, asked: &Change, mut plan: Plan) -> Plan {
    if plan.diagnostics.has_errors() {
        // Refused anyway: Terraform does not look at the rest, so that it need not be right.
        return refused(asked, plan);
    }
    let breaches = breaches(schema, asked, &plan);
    if breaches.is_empty() {
        return plan;
    }
    plan.diagnostics.extend(errors(breaches, NOTHING_CHANGED));
    refused(asked, plan)
}

/// Whether nothing more will be planned for this change: there is none, or it is refused.
pub fn settles(asked: &Change, plan: &Plan) -> bool {
    plan.diagnostics.has_errors() || plan.planned.is_null() || plan.planned == asked.prior
}

/// The plan, or a refusal when `again`, the same change planned once more, contradicts it.
///
/// Terraform plans every change again during apply, in another process, and fails there when a known value differs:
/// so a plan that has looked at the clock, at random numbers or at the cloud to choose a value is found here.
pub fn replan(asked: &Change, mut plan: Plan, again: &Plan) -> Plan {
    if again.diagnostics.has_errors() {
        return plan;
    }
    let breaches: Vec<Breach> = differences(&plan.planned, &again.planned)
        .into_iter()
        .map(|path| Breach::new(&path, Rule::Unsteady))
        .collect();
    if breaches.is_empty() {
        return plan;
    }
    plan.diagnostics.extend(errors(breaches, NOTHING_CHANGED));
    refused(asked, plan)
}

/// What Terraform is told with a refusal: nothing changes.
fn refused(asked: &Change, plan: Plan) -> Plan {
    Plan {
        planned: asked.prior.clone(),
        requires_replace: Vec::new(),
        private: asked.private.clone(),
        diagnostics: plan.diagnostics,
    }
}

fn breaches(schema: &Schema, asked: &Change, plan: &Plan) -> Vec<Breach> {
    let root = Path::root();
    match (asked.new.is_null(), &plan.planned) {
        (true, Value::Null) => return Vec::new(),
        (true, _) => return vec![Breach::new(&root, Rule::Object)],
        (false, Value::Null) => return vec![Breach::new(&root, Rule::NoObject)],
        (false, _) => {}
    }
    let mut breaches = shape(schema, &plan.planned, Unknowns::Allowed);
    if let (true, Value::Object(config), Value::Object(planned)) = (breaches.is_empty(), &asked.config, &plan.planned) {
        let prior = asked.prior.as_object();
        as_configured(&schema.attributes, prior, config, planned, &root, &mut breaches);
    }
    let nowhere = |path: &&Path| plan.planned.get(path).is_none() && asked.prior.get(path).is_none();
    let paths = plan.requires_replace.iter();
    breaches.extend(
        paths
            .filter(|path| path.is_root() || nowhere(path))
            .map(|path| Breach::new(path, Rule::NoSuchPath)),
    );
    breaches
}

/// Where an object is planned otherwise than it is configured.
pub(super) fn as_configured(
    attributes: &[Attribute],
    prior: Option<&Object>,
    config: &Object,
    planned: &Object,
    path: &Path,
    breaches: &mut Vec<Breach>,
) {
    static NULL: Value = Value::Null;
    // That it has no place in a plan is another rule's to say.
    for attribute in attributes.iter().filter(|attribute| !attribute.write_only) {
        let name = &attribute.name;
        let prior = prior.and_then(|object| object.get(name)).unwrap_or(&NULL);
        let config = config.get(name).unwrap_or(&NULL);
        let planned = planned.get(name).unwrap_or(&NULL);
        value(
            attribute,
            prior,
            config,
            planned,
            &path.clone().attribute(name),
            breaches,
        );
    }
}

fn value(
    attribute: &Attribute,
    prior: &Value,
    config: &Value,
    planned: &Value,
    path: &Path,
    breaches: &mut Vec<Breach>,
) {
    if planned == config {
        return;
    }
    if config.is_null() {
        if !attribute.mode.is_computed() && attribute.default.is_none() {
            breaches.push(Breach::new(path, Rule::NotComputed));
        }
        return;
    }
    if planned == prior && !prior.is_null() {
        return;
    }
    let mut count = |planned: usize, configured: usize| {
        let differs = planned != configured;
        if differs {
            breaches.push(Breach::new(path, Rule::Count { planned, configured }));
        }
        differs
    };
    match (&attribute.kind, config, planned) {
        (AttributeKind::Single(inner), Value::Object(_), Value::Object(_)) => {
            element(inner, prior, config, planned, path, breaches);
        }
        (AttributeKind::List(inner), Value::List(config), Value::List(planned)) => {
            if count(planned.len(), config.len()) {
                return;
            }
            let prior = prior.as_elements().unwrap_or_default();
            for (index, (config, planned)) in config.iter().zip(planned).enumerate() {
                let prior = prior.get(index).unwrap_or(&Value::Null);
                element(inner, prior, config, planned, &path.clone().index(index), breaches);
            }
        }
        (AttributeKind::Map(inner), Value::Map(config), Value::Map(planned)) => {
            if count(planned.len(), config.len()) {
                return;
            }
            let prior = prior.as_map();
            for (key, config) in config {
                let path = path.clone().key(key);
                let prior = prior.and_then(|prior| prior.get(key)).unwrap_or(&Value::Null);
                match planned.get(key) {
                    Some(planned) => element(inner, prior, config, planned, &path, breaches),
                    None => breaches.push(Breach::new(&path, Rule::NotAsConfigured)),
                }
            }
        }
        // The elements of a set have no name by which to compare them.
        (AttributeKind::Set(_), Value::Set(config), Value::Set(planned)) => {
            count(planned.len(), config.len());
        }
        _ => breaches.push(Breach::new(path, Rule::NotAsConfigured)),
    }
}

fn element(
    attributes: &[Attribute],
    prior: &Value,
    config: &Value,
    planned: &Value,
    path: &Path,
    breaches: &mut Vec<Breach>,
) {
    match (config, planned) {
        (config, planned) if planned == config || (planned == prior && !prior.is_null()) => {}
        (Value::Object(config), Value::Object(planned)) => {
            as_configured(attributes, prior.as_object(), config, planned, path, breaches);
        }
        _ => breaches.push(Breach::new(path, Rule::NotAsConfigured)),
    }
}
