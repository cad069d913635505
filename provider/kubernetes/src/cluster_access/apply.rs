//! Server-side apply of manifests with objects of any kind.

mod alterations;
mod dropped;
mod manifest;

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;

use kube::Api;
use kube::api::{DynamicObject, Patch, PatchParams};
use kube::core::GroupVersionKind;
use kube::discovery::{ApiResource, Scope, pinned_kind};
use tokio::time::Instant;

use super::patience::{Interrupted, Patience};
use super::{AccessError, Cluster, FIELD_MANAGER, retry_pauses};
pub use alterations::Alteration;
pub use dropped::dropped_objects;
use manifest::Object;

/// An object of a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppliedObject {
    /// Such as `apps/v1`.
    pub api_version: String,
    /// Such as `DaemonSet`.
    pub kind: String,
    /// The namespace, for objects that live in one.
    pub namespace: Option<String>,
    /// The name.
    pub name: String,
}

impl fmt::Display for AppliedObject {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} ", self.kind)?;
        if let Some(namespace) = &self.namespace {
            write!(formatter, "{namespace}/")?;
        }
        formatter.write_str(&self.name)
    }
}

/// A manifest that was not applied, or not all of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApplyError {
    /// Not YAML.
    #[error("the manifest is not YAML: {reason}")]
    NotYaml {
        /// What the parser says.
        reason: String,
    },
    /// A document that is no Kubernetes object.
    #[error("document {document} of the manifest is not a Kubernetes object: {reason}")]
    NotAnObject {
        /// Counted from 1.
        document: usize,
        /// What is missing.
        reason: String,
    },
    /// A kind that the cluster does not serve.
    #[error("{object} was not applied: the cluster does not know kind {kind} of {api_version}", kind = object.kind, api_version = object.api_version)]
    UnknownKind {
        /// The object.
        object: AppliedObject,
    },
    /// A request failed.
    #[error("{object} was not applied: {source}")]
    Access {
        /// The object.
        object: AppliedObject,
        /// The failure.
        source: Box<AccessError>,
    },
    /// An object of an earlier manifest was not deleted.
    #[error("{object}, which the manifest no longer has, was not deleted: {source}")]
    NotDeleted {
        /// The object.
        object: AppliedObject,
        /// The failure.
        source: Box<AccessError>,
    },
    /// The deadline passed; what came before this object is applied.
    #[error("{object} was not applied in time: {last}")]
    TimedOut {
        /// The object.
        object: AppliedObject,
        /// How it stood last.
        last: String,
    },
    /// The caller gave up; what came before this object is applied.
    #[error("stopped before {object} was applied")]
    Stopped {
        /// The object.
        object: AppliedObject,
    },
}

/// Counts the objects of a manifest, for checks before a cluster exists: YAML documents that are Kubernetes objects.
pub fn check_manifest(manifest: &str) -> Result<usize, ApplyError> {
    manifest::parse(manifest).map(|objects| objects.len())
}

impl Cluster {
    /// Applies every object of the manifest as this provider's, and takes over fields that others had set.
    ///
    /// Namespaces and `CustomResourceDefinitions` come first. What may pass is tried again until the deadline: an API
    /// that does not answer, and a kind that the manifest itself defines and that is not served yet. Applying the same
    /// manifest again changes nothing.
    pub async fn apply(
        &self,
        manifest: &str,
        deadline: Instant,
        stop: impl Future<Output = ()>,
    ) -> Result<Vec<AppliedObject>, ApplyError> {
        let objects = manifest::parse(manifest)?;
        let defined = manifest::defined_kinds(&objects);
        let mut kinds = BTreeMap::new();
        let mut patience = Patience::new(deadline, stop);
        let mut applied = Vec::with_capacity(objects.len());
        for object in &objects {
            let mut last = "it was not tried".to_owned();
            let pauses = retry_pauses();
            loop {
                match patience.within(self.apply_object(object, &mut kinds)).await {
                    Ok(Ok(name)) => {
                        tracing::debug!(object = %name, "applied");
                        applied.push(name);
                        break;
                    }
                    Ok(Err(ApplyError::UnknownKind { .. })) if defined.contains(&object.defined_kind()) => {
                        "its kind is defined by the manifest, but not served yet".clone_into(&mut last);
                    }
                    Ok(Err(ApplyError::Access { source, .. })) if source.is_passing() => last = source.to_string(),
                    Ok(Err(error)) => return Err(error),
                    Err(interrupted) => return Err(interrupt(interrupted, object, last)),
                }
                if let Err(interrupted) = patience.pause(pauses.next()).await {
                    return Err(interrupt(interrupted, object, last));
                }
            }
        }
        Ok(applied)
    }

    async fn apply_object(&self, object: &Object, kinds: &mut Kinds) -> Result<AppliedObject, ApplyError> {
        let (api, name) = self.find(object, kinds).await?;
        let parameters = PatchParams::apply(FIELD_MANAGER).force();
        match api.patch(&object.name, &parameters, &Patch::Apply(&object.body)).await {
            Ok(_) => Ok(name),
            Err(error) => Err(self.apply_failed(&name, &error)),
        }
    }

    fn apply_failed(&self, name: &AppliedObject, error: &kube::Error) -> ApplyError {
        ApplyError::Access {
            object: name.clone(),
            source: Box::new(self.error(format!("apply {name}"), error)),
        }
    }

    /// Where objects of this kind are, and the object's full name there.
    async fn find(
        &self,
        object: &Object,
        kinds: &mut Kinds,
    ) -> Result<(Api<DynamicObject>, AppliedObject), ApplyError> {
        let mut name = object.name();
        let key = (object.api_version.clone(), object.kind.clone());
        if !kinds.contains_key(&key) {
            let (group, version) = object.api_version.rsplit_once('/').unwrap_or(("", &object.api_version));
            let kind = GroupVersionKind::gvk(group, version, &object.kind);
            let (resource, capabilities) = match pinned_kind(&self.client, &kind).await {
                Ok(found) => found,
                Err(kube::Error::Discovery(_)) => return Err(ApplyError::UnknownKind { object: name }),
                Err(kube::Error::Api(status)) if status.code == 404 => {
                    return Err(ApplyError::UnknownKind { object: name });
                }
                Err(error) => return Err(self.apply_failed(&name, &error)),
            };
            kinds.insert(key.clone(), (resource, capabilities.scope == Scope::Namespaced));
        }
        let (resource, namespaced) = &kinds[&key];
        let api: Api<DynamicObject> = if *namespaced {
            let namespace = name.namespace.get_or_insert_with(|| "default".to_owned());
            Api::namespaced_with(self.client.clone(), namespace, resource)
        } else {
            name.namespace = None;
            Api::all_with(self.client.clone(), resource)
        };
        Ok((api, name))
    }
}

/// Kinds that were looked up, by API version and name, and whether their objects live in namespaces.
type Kinds = BTreeMap<(String, String), (ApiResource, bool)>;

fn interrupt(interrupted: Interrupted, object: &Object, last: String) -> ApplyError {
    let object = object.name();
    match interrupted {
        Interrupted::Deadline => ApplyError::TimedOut { object, last },
        Interrupted::Stop => ApplyError::Stopped { object },
    }
}
