//! Create, update, patch and delete.

use http::StatusCode;
use serde_json::{Value, json};

use super::read::{has_subresource, scope, selector};
use super::{Answer, Call, Face, body, json as answer_json};
use crate::object::ObjectExt as _;
use crate::objects::{DeleteOptions, Deleted, FieldValidation, Part, Propagation, WriteOptions, of_scale, to_scale};
use crate::patch::Patch;
use crate::resources::Resource;
use crate::status::ApiError;

impl Face {
    pub(super) async fn create(&self, call: &Call, object: Value) -> Answer {
        let Call {
            target, resource, who, ..
        } = call;
        match target.subresource.as_str() {
            "" if target.name.is_empty() => {}
            "eviction" if resource.is_core("pods") => return self.evict(call, &object).await,
            "binding" if resource.is_core("pods") => {
                let node = object.text("/target/name");
                self.api.bind(&target.namespace, &target.name, node).await?;
                return Ok(answer_json(StatusCode::CREATED, &success(201, None)));
            }
            _ => return Err(ApiError::method_not_allowed()),
        }
        if resource.namespaced && target.namespace.is_empty() {
            return Err(ApiError::bad_request(
                "an empty namespace may not be set during creation",
            ));
        }
        let options = write_options(call)?;
        let written = self
            .api
            .create(who, resource, target.storage_namespace(), object, &options)
            .await?;
        let mut response = answer_json(StatusCode::CREATED, &written.object);
        body::warn(&mut response, &written.warnings);
        Ok(response)
    }

    async fn evict(&self, call: &Call, eviction: &Value) -> Answer {
        let given = eviction.get("deleteOptions").cloned().unwrap_or_default();
        let mut options = delete_options(call, &given)?;
        options.dry_run |= eviction.items("/dryRun").iter().any(|one| one == "All");
        self.api
            .evict(&call.target.namespace, &call.target.name, &options)
            .await?;
        Ok(answer_json(StatusCode::CREATED, &success(201, None)))
    }

    pub(super) async fn update(&self, call: &Call, object: Value) -> Answer {
        let change = |_: &Value| Ok(object.clone());
        self.change(call, &write_options(call)?, &change, None).await
    }

    pub(super) async fn patch(&self, call: &Call, body: Value) -> Answer {
        let mut options = write_options(call)?;
        let manager = call.query.get("fieldManager");
        let force = call.query.is_true("force");
        let patch = Patch::read(&call.content_type, body, manager, force)?;
        let resource = call.resource;
        let version = resource.api_version();
        options.sets_managed_fields = patch.is_apply();
        let change = |old: &Value| patch.applied_to(old, &version);
        // Server-side apply also creates.
        let created = if patch.is_apply() && call.target.subresource.is_empty() {
            Some(&patch)
        } else {
            None
        };
        self.change(call, &options, &change, created).await
    }

    async fn change(
        &self,
        call: &Call,
        options: &WriteOptions,
        change: &(dyn Fn(&Value) -> Result<Value, ApiError> + Send + Sync),
        apply: Option<&Patch>,
    ) -> Answer {
        let Call {
            target, resource, who, ..
        } = call;
        let (namespace, name) = (target.storage_namespace(), target.name.as_str());
        let scaled = target.subresource == "scale" && has_subresource(resource, "scale");
        let outcome = if scaled {
            let through_scale = |old: &Value| Ok(of_scale(old, &change(&to_scale(old))?));
            self.api
                .modify(who, resource, namespace, name, Part::Object, options, &through_scale)
                .await
        } else {
            let part = part(resource, &target.subresource)?;
            self.api
                .modify(who, resource, namespace, name, part, options, change)
                .await
        };
        let (written, code) = match (outcome, apply) {
            (Err(error), Some(patch)) if error.is_not_found() && error.message.starts_with(&resource.id()) => {
                if namespace.is_empty() && resource.namespaced {
                    return Err(error);
                }
                let mut object = patch.first_applied(&resource.api_version())?;
                if object.name().is_empty() {
                    object.put(&["metadata", "name"], json!(name));
                }
                (
                    self.api.create(who, resource, namespace, object, options).await?,
                    StatusCode::CREATED,
                )
            }
            (outcome, _) => (outcome?, StatusCode::OK),
        };
        let shown = if scaled {
            to_scale(&written.object)
        } else {
            (*written.object).clone()
        };
        let mut response = answer_json(code, &shown);
        body::warn(&mut response, &written.warnings);
        Ok(response)
    }

    pub(super) async fn delete(&self, call: &Call, given: Value) -> Answer {
        if !call.target.subresource.is_empty() {
            return Err(ApiError::method_not_allowed());
        }
        let options = delete_options(call, &given)?;
        let resource = call.resource;
        match self
            .api
            .delete(resource, call.target.storage_namespace(), &call.target.name, &options)
            .await?
        {
            Deleted::Gone(object) if resource.is_core("pods") => Ok(answer_json(StatusCode::OK, &object)),
            Deleted::Gone(object) => {
                let details = json!({
                    "name": object.name(), "group": resource.group, "kind": resource.plural, "uid": object.uid(),
                });
                Ok(answer_json(StatusCode::OK, &success(200, Some(details))))
            }
            Deleted::Pending(object) => Ok(answer_json(StatusCode::OK, &object)),
        }
    }

    pub(super) async fn delete_collection(&self, call: &Call, given: Value) -> Answer {
        let options = delete_options(call, &given)?;
        let (objects, revision) = self.api.list(call.resource, scope(call), &selector(call)?);
        for object in &objects {
            match self
                .api
                .delete(call.resource, object.namespace(), object.name(), &options)
                .await
            {
                Err(error) if !error.is_not_found() => return Err(error),
                _ => {}
            }
        }
        let list = json!({
            "kind": format!("{}List", call.resource.kind), "apiVersion": call.resource.api_version(),
            "metadata": {"resourceVersion": revision.to_string()},
            "items": objects.iter().map(|one| (**one).clone()).collect::<Vec<_>>(),
        });
        Ok(answer_json(StatusCode::OK, &list))
    }
}

fn part(resource: &Resource, subresource: &str) -> Result<Part, ApiError> {
    Ok(match subresource {
        "" => Part::Object,
        "status" if resource.has_status => Part::Status,
        "approval" if has_subresource(resource, "approval") => Part::Approval,
        "finalize" if has_subresource(resource, "finalize") => Part::Finalize,
        _ => return Err(ApiError::no_such_path()),
    })
}

fn write_options(call: &Call) -> Result<WriteOptions, ApiError> {
    let validation = match call.query.get("fieldValidation") {
        "" | "Warn" => FieldValidation::Warn,
        "Ignore" => FieldValidation::Ignore,
        "Strict" => FieldValidation::Strict,
        other => {
            return Err(ApiError::bad_request(format!(
                "fieldValidation {other:?} is not supported"
            )));
        }
    };
    Ok(WriteOptions {
        dry_run: dry_run(call)?,
        validation,
        ..WriteOptions::default()
    })
}

fn dry_run(call: &Call) -> Result<bool, ApiError> {
    match call.query.get("dryRun") {
        "" => Ok(false),
        "All" => Ok(true),
        other => Err(ApiError::bad_request(format!(
            "dryRun {other:?} is not supported: use All"
        ))),
    }
}

/// Reads `DeleteOptions` from the body and from the query.
fn delete_options(call: &Call, given: &Value) -> Result<DeleteOptions, ApiError> {
    let text = |pointer: &str, query: &str| {
        let from_body = given.text(pointer);
        if from_body.is_empty() {
            call.query.get(query).to_owned()
        } else {
            from_body.to_owned()
        }
    };
    let propagation = match text("/propagationPolicy", "propagationPolicy").as_str() {
        "" | "Background" if given.flag("/orphanDependents") => Propagation::Orphan,
        "" | "Background" => Propagation::Background,
        "Foreground" => Propagation::Foreground,
        "Orphan" => Propagation::Orphan,
        other => {
            return Err(ApiError::bad_request(format!(
                "propagationPolicy {other:?} is not supported"
            )));
        }
    };
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let grace = given
        .number("/gracePeriodSeconds")
        .or_else(|| call.query.get("gracePeriodSeconds").parse().ok());
    Ok(DeleteOptions {
        grace_seconds: grace,
        propagation,
        uid: some(given.text("/preconditions/uid")),
        revision: some(given.text("/preconditions/resourceVersion")),
        dry_run: dry_run(call)? || given.items("/dryRun").iter().any(|one| one == "All"),
    })
}

fn success(code: u16, details: Option<Value>) -> Value {
    let mut status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": code});
    if let Some(details) = details {
        status["details"] = details;
    }
    status
}
