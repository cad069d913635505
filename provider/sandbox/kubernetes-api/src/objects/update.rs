//! Replacing and patching objects.

use std::sync::Arc;

use serde_json::{Value, json};

use super::create::{check_type, place};
use super::{Api, WriteOptions, Written, defaults, delete, refusal};
use crate::access::{self, Identity};
use crate::object::ObjectExt as _;
use crate::resources::Resource;
use crate::status::ApiError;
use crate::store::{Key, StoreError};
use crate::validation;

/// Which part of an object a write is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Everything but the status.
    Object,
    /// `.../status`
    Status,
    /// `certificatesigningrequests/.../approval`
    Approval,
    /// `namespaces/.../finalize`
    Finalize,
}

impl Api {
    /// Computes a new object from the stored one and stores it, as often as someone else was quicker.
    ///
    /// A new object that carries another `resourceVersion` than the stored one is refused with a conflict.
    #[expect(clippy::too_many_arguments, reason = "an address, an actor and what to do")]
    pub(crate) async fn modify(
        &self,
        who: &Identity,
        resource: &Resource,
        namespace: &str,
        name: &str,
        part: Part,
        options: &WriteOptions,
        change: &(dyn Fn(&Value) -> Result<Value, ApiError> + Send + Sync),
    ) -> Result<Written, ApiError> {
        loop {
            let old = self.get(resource, namespace, name)?;
            let wanted = change(&old)?;
            let (new, warnings) = prepare_update(who, resource, namespace, part, options, &old, wanted)?;
            if new == *old {
                return Ok(Written { object: old, warnings });
            }
            if options.dry_run {
                return Ok(Written {
                    object: Arc::new(new),
                    warnings,
                });
            }
            let key = Key::new(&resource.id(), namespace, name);
            let outcome = if delete::is_finished(resource, &new) {
                self.store.delete(key, old.revision()).await
            } else {
                self.store.update(key, old.revision(), new).await
            };
            match outcome {
                Ok(object) => return Ok(Written { object, warnings }),
                Err(StoreError::Changed) => {}
                Err(error) => return Err(refusal(resource, name, &error)),
            }
        }
    }
}

fn prepare_update(
    who: &Identity,
    resource: &Resource,
    namespace: &str,
    part: Part,
    options: &WriteOptions,
    old: &Value,
    mut wanted: Value,
) -> Result<(Value, Vec<String>), ApiError> {
    check_type(resource, &wanted)?;
    place(resource, namespace, &mut wanted)?;
    if !wanted.name().is_empty() && wanted.name() != old.name() {
        return Err(ApiError::bad_request(format!(
            "the name of the object ({}) does not match the name on the URL ({})",
            wanted.name(),
            old.name()
        )));
    }
    if !wanted.uid().is_empty() && wanted.uid() != old.uid() {
        let why = format!(
            "Precondition failed: UID in precondition: {}, UID in object meta: {}",
            wanted.uid(),
            old.uid()
        );
        return Err(ApiError::conflict(resource, old.name(), &why));
    }
    if wanted.revision() != 0 && wanted.revision() != old.revision() {
        return Err(ApiError::modified(resource, old.name()));
    }
    let warnings = validation::structure(resource, &mut wanted, options.validation)?;
    let mut new = merge_parts(resource, part, old, wanted);
    keep_system_fields(old, &mut new, options);
    defaults::default_on_update(resource, old, &mut new);
    if defaults::counts_generations(resource) && new.get("spec") != old.get("spec") {
        let generation = old.number("/metadata/generation").unwrap_or(0) + 1;
        new.put(&["metadata", "generation"], json!(generation));
    }
    access::admit_update(who, resource, old, &new)?;
    if part == Part::Object {
        let mut causes = validation::object(resource, &new);
        causes.extend(validation::change(resource, old, &new));
        if !causes.is_empty() {
            return Err(ApiError::invalid(resource, new.name(), &causes));
        }
    }
    Ok((new, warnings))
}

/// The old object with the part that may be written taken from the new one.
fn merge_parts(resource: &Resource, part: Part, old: &Value, mut wanted: Value) -> Value {
    let keep = |from: &Value, to: &mut Value, field: &str| match from.get(field) {
        Some(value) => to.put(&[field], value.clone()),
        None => drop(to.take_out(&[field])),
    };
    match part {
        Part::Object => {
            if resource.has_status {
                keep(old, &mut wanted, "status");
            }
            if resource.plural == "certificatesigningrequests" {
                keep(old, &mut wanted, "spec");
            }
            if resource.is_core("namespaces") {
                keep(old, &mut wanted, "spec");
            }
            wanted
        }
        Part::Status => {
            let mut new = old.clone();
            keep(&wanted, &mut new, "status");
            if resource.is_core("nodes") || resource.is_core("pods") {
                for field in ["labels", "annotations"] {
                    match wanted.take_out(&["metadata", field]) {
                        Some(value) => new.put(&["metadata", field], value),
                        None => drop(new.take_out(&["metadata", field])),
                    }
                }
            }
            if resource.plural == "certificatesigningrequests" {
                // Approving is for those who may write approvals.
                let conditions = old.items("/status/conditions").to_vec();
                if !conditions.is_empty() {
                    new.put(&["status", "conditions"], Value::Array(conditions));
                }
            }
            new
        }
        Part::Approval => {
            let mut new = old.clone();
            new.put(
                &["status", "conditions"],
                Value::Array(wanted.items("/status/conditions").to_vec()),
            );
            new
        }
        Part::Finalize => {
            let mut new = old.clone();
            new.put(
                &["spec", "finalizers"],
                Value::Array(wanted.items("/spec/finalizers").to_vec()),
            );
            new
        }
    }
}

fn keep_system_fields(old: &Value, new: &mut Value, options: &WriteOptions) {
    let mut fields = vec![
        "name",
        "uid",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "generation",
        "generateName",
        "resourceVersion",
    ];
    if !options.sets_managed_fields {
        fields.push("managedFields");
    }
    for field in fields {
        match old.pointer(&format!("/metadata/{field}")) {
            Some(value) => new.put(&["metadata", field], value.clone()),
            None => drop(new.take_out(&["metadata", field])),
        }
    }
    new.take_out(&["metadata", "selfLink"]);
    for field in ["labels", "annotations"] {
        if new
            .pointer(&format!("/metadata/{field}"))
            .and_then(Value::as_object)
            .is_some_and(serde_json::Map::is_empty)
        {
            new.take_out(&["metadata", field]);
        }
    }
}
