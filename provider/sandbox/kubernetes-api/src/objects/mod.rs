//! What can be done with stored objects, whoever asks: clients over HTTP and the controllers inside.

mod create;
mod defaults;
mod delete;
mod pods;
mod scale;
mod update;

use std::net::SocketAddr;
use std::sync::Arc;

use ipnet::Ipv4Net;
use serde_json::Value;

use crate::access::Identity;
use crate::authority::Authority;
use crate::resources::{Resource, known};
use crate::selectors::Selector;
use crate::status::ApiError;
use crate::store::{Store, StoreError};

pub(crate) use delete::{DeleteOptions, Deleted, FOREGROUND, ORPHAN, Propagation};
pub(crate) use pods::{covers, set_condition};
pub(crate) use scale::{of_scale, to_scale};
pub(crate) use update::Part;

/// What the cluster was configured with, as far as requests and controllers need it.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) kubernetes_version: String,
    pub(crate) pod_cidr: Ipv4Net,
    pub(crate) service_cidr: Ipv4Net,
    pub(crate) advertise_address: SocketAddr,
    pub(crate) pace: f64,
    pub(crate) authority: Authority,
    pub(crate) ca_certificate_pem: String,
}

/// The objects of a cluster.  Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Api {
    pub(crate) store: Store,
    pub(crate) settings: Arc<Settings>,
}

/// How strictly fields that the type does not know are taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum FieldValidation {
    Ignore,
    #[default]
    Warn,
    Strict,
}

/// Options of a create, an update or a patch.
#[derive(Clone, Debug, Default)]
pub(crate) struct WriteOptions {
    pub(crate) dry_run: bool,
    pub(crate) validation: FieldValidation,
    /// The new object's `managedFields` are to be kept as they come (server-side apply has computed them).
    pub(crate) sets_managed_fields: bool,
}

/// The object after a write, and warnings for whoever asked.
#[derive(Debug)]
pub(crate) struct Written {
    pub(crate) object: Arc<Value>,
    pub(crate) warnings: Vec<String>,
}

impl Api {
    /// Waits until reads see everything that anybody had written before this call.
    pub(crate) async fn catch_up(&self) -> Result<(), ApiError> {
        self.store.catch_up().await.map_err(|error| match error {
            StoreError::Etcd(error) => ApiError::etcd(&error),
            other => ApiError::internal(other),
        })
    }

    pub(crate) fn get(&self, resource: &Resource, namespace: &str, name: &str) -> Result<Arc<Value>, ApiError> {
        let found = self.store.get(&resource.id(), namespace, name);
        found.ok_or_else(|| ApiError::not_found(resource, name))
    }

    /// The objects that a selector chooses, with the revision of the answer.
    pub(crate) fn list(
        &self,
        resource: &Resource,
        namespace: Option<&str>,
        selector: &Selector,
    ) -> (Vec<Arc<Value>>, u64) {
        let (mut objects, revision) = self.store.list(&resource.id(), namespace);
        objects.retain(|object| selector.matches(object));
        (objects, revision)
    }

    /// Creates an object on behalf of a controller.
    pub(crate) async fn add(&self, id: &str, namespace: &str, object: Value) -> Result<Arc<Value>, ApiError> {
        let options = WriteOptions {
            validation: FieldValidation::Ignore,
            ..WriteOptions::default()
        };
        let written = self
            .create(&Identity::controller(), known(id), namespace, object, &options)
            .await?;
        Ok(written.object)
    }

    /// Changes an object on behalf of a controller, again and again until it was not changed meanwhile.
    pub(crate) async fn adjust(
        &self,
        id: &str,
        namespace: &str,
        name: &str,
        part: Part,
        change: impl Fn(&mut Value) + Send + Sync,
    ) -> Result<Arc<Value>, ApiError> {
        let options = WriteOptions {
            validation: FieldValidation::Ignore,
            ..WriteOptions::default()
        };
        let change = move |old: &Value| {
            let mut new = old.clone();
            change(&mut new);
            Ok(new)
        };
        let written = self
            .modify(
                &Identity::controller(),
                known(id),
                namespace,
                name,
                part,
                &options,
                &change,
            )
            .await?;
        Ok(written.object)
    }

    /// Deletes an object on behalf of a controller; one that is gone already is as good.
    pub(crate) async fn remove(&self, id: &str, object: &Value, options: DeleteOptions) -> Result<(), ApiError> {
        use crate::object::ObjectExt as _;
        let options = DeleteOptions {
            uid: Some(object.uid().to_owned()),
            ..options
        };
        match self
            .delete(known(id), object.namespace(), object.name(), &options)
            .await
        {
            Ok(_) => Ok(()),
            Err(error) if error.is_not_found() || error.is_conflict() => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// The store's refusal, in the API's words.
pub(crate) fn refusal(resource: &Resource, name: &str, error: &StoreError) -> ApiError {
    match error {
        StoreError::Exists => ApiError::exists(resource, name),
        StoreError::Missing => ApiError::not_found(resource, name),
        StoreError::Changed => ApiError::modified(resource, name),
        StoreError::Etcd(error) => ApiError::etcd(error),
    }
}
