//! Creating objects.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Api, WriteOptions, Written, defaults, refusal};
use crate::access::Identity;
use crate::object::ObjectExt as _;
use crate::resources::{Resource, known};
use crate::status::{ApiError, Cause};
use crate::store::{Key, StoreError};
use crate::{access, random, time, validation};

impl Api {
    /// Creates an object in a namespace (empty for resources without).
    pub(crate) async fn create(
        &self,
        who: &Identity,
        resource: &Resource,
        namespace: &str,
        mut object: Value,
        options: &WriteOptions,
    ) -> Result<Written, ApiError> {
        check_type(resource, &object)?;
        place(resource, namespace, &mut object)?;
        let warnings = validation::structure(resource, &mut object, options.validation)?;
        let generated = object.name().is_empty() && !object.text("/metadata/generateName").is_empty();
        for attempt in 0.. {
            let mut candidate = object.clone();
            if generated {
                let name = format!("{}{}", object.text("/metadata/generateName"), random::suffix());
                candidate.put(&["metadata", "name"], json!(name));
            }
            self.prepare(who, resource, namespace, &mut candidate)?;
            if options.dry_run {
                return Ok(Written {
                    object: Arc::new(candidate),
                    warnings,
                });
            }
            let name = candidate.name().to_owned();
            match self
                .store
                .create(Key::new(&resource.id(), namespace, &name), candidate)
                .await
            {
                Ok(object) => return Ok(Written { object, warnings }),
                Err(StoreError::Exists) if generated && attempt < 8 => {}
                Err(error) => return Err(refusal(resource, &name, &error)),
            }
        }
        Err(ApiError::internal("no free name was found"))
    }

    fn prepare(
        &self,
        who: &Identity,
        resource: &Resource,
        namespace: &str,
        object: &mut Value,
    ) -> Result<(), ApiError> {
        if object.name().is_empty() {
            let cause = Cause::required("metadata.name", "name or generateName is required");
            return Err(ApiError::invalid(resource, "", &[cause]));
        }
        self.check_namespace(resource, namespace, object.name())?;
        if self.store.get(&resource.id(), namespace, object.name()).is_some() {
            return Err(ApiError::exists(resource, object.name()));
        }
        for field in [
            "resourceVersion",
            "uid",
            "selfLink",
            "deletionTimestamp",
            "deletionGracePeriodSeconds",
        ] {
            object.take_out(&["metadata", field]);
        }
        object.put(&["metadata", "uid"], json!(random::uid()));
        object.put(
            &["metadata", "creationTimestamp"],
            json!(time::seconds(Timestamp::now())),
        );
        if defaults::counts_generations(resource) {
            object.put(&["metadata", "generation"], json!(1));
        }
        self.default_on_create(who, resource, object)?;
        access::admit_creation(who, resource, object)?;
        let causes = validation::object(resource, object);
        if causes.is_empty() {
            Ok(())
        } else {
            Err(ApiError::invalid(resource, object.name(), &causes))
        }
    }

    fn check_namespace(&self, resource: &Resource, namespace: &str, name: &str) -> Result<(), ApiError> {
        if !resource.namespaced {
            return Ok(());
        }
        let namespaces = known("namespaces");
        let Some(found) = self.store.get("namespaces", "", namespace) else {
            return Err(ApiError::not_found(namespaces, namespace));
        };
        if found.is_deleting() && resource.plural != "events" {
            let why = format!("unable to create new content in namespace {namespace} because it is being terminated");
            return Err(ApiError::forbidden_object(resource, name, &why));
        }
        Ok(())
    }
}

/// Refuses an object that says it is of another kind than the path it came on.
pub(crate) fn check_type(resource: &Resource, object: &Value) -> Result<(), ApiError> {
    if !object.is_object() {
        return Err(ApiError::bad_request("the body of the request is not an object"));
    }
    let (version, kind) = (object.text("/apiVersion"), object.text("/kind"));
    if !version.is_empty() && version != resource.api_version() {
        return Err(ApiError::bad_request(format!(
            "the API version in the data ({version}) does not match the expected API version ({})",
            resource.api_version()
        )));
    }
    if !kind.is_empty() && kind != resource.kind {
        return Err(ApiError::bad_request(format!(
            "the kind in the data ({kind}) does not match the expected kind ({})",
            resource.kind
        )));
    }
    Ok(())
}

/// Writes type and namespace into the object; refuses a namespace other than the path's.
pub(crate) fn place(resource: &Resource, namespace: &str, object: &mut Value) -> Result<(), ApiError> {
    object.put(&["apiVersion"], json!(resource.api_version()));
    object.put(&["kind"], json!(resource.kind));
    if !object.pointer("/metadata").is_some_and(Value::is_object) {
        object.put(&["metadata"], json!({}));
    }
    if resource.namespaced {
        let given = object.namespace();
        if !given.is_empty() && given != namespace {
            return Err(ApiError::bad_request(format!(
                "the namespace of the provided object does not match the namespace sent on the request ({given} != {namespace})"
            )));
        }
        object.put(&["metadata", "namespace"], json!(namespace));
    } else {
        object.take_out(&["metadata", "namespace"]);
    }
    Ok(())
}
