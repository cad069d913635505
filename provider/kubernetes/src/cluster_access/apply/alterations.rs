//! What somebody changed of what was applied.

use std::collections::BTreeMap;
use std::fmt;

use futures::future::try_join_all;
use kube::Api;
use kube::api::{DynamicObject, Patch, PatchParams};
use serde_json::Value;

use super::manifest::{self, Object};
use super::{AppliedObject, ApplyError};
use crate::cluster_access::{Cluster, FIELD_MANAGER};

/// How often an object is looked at again that somebody changes at the same moment.
const LOOKS: usize = 3;

/// An applied object that is not as it was applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alteration {
    /// The object.
    pub object: AppliedObject,
    /// Whether it is gone, rather than changed.
    pub gone: bool,
}

impl fmt::Display for Alteration {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = if self.gone { "is gone" } else { "was changed" };
        write!(formatter, "{} {what}", self.object)
    }
}

impl Cluster {
    /// The objects of a manifest that applying it now would change; nothing is changed.
    ///
    /// The API server itself says what an apply would do (a dry run), so that defaults, other spellings of the same value
    /// and fields that the manifest does not set make no difference.
    pub async fn alterations(&self, manifest: &str) -> Result<Vec<Alteration>, ApplyError> {
        let objects = manifest::parse(manifest)?;
        let mut kinds = BTreeMap::new();
        let mut found = Vec::new();
        let mut looks = Vec::new();
        for object in &objects {
            match self.find(object, &mut kinds).await {
                Ok((api, name)) => looks.push(self.alteration(object, api, name)),
                // Whoever deletes a definition deletes its objects.
                Err(ApplyError::UnknownKind { object }) => found.push(Alteration { object, gone: true }),
                Err(error) => return Err(error),
            }
        }
        found.extend(try_join_all(looks).await?.into_iter().flatten());
        Ok(found)
    }

    async fn alteration(
        &self,
        object: &Object,
        api: Api<DynamicObject>,
        name: AppliedObject,
    ) -> Result<Option<Alteration>, ApplyError> {
        let gone = |name| {
            Ok(Some(Alteration {
                object: name,
                gone: true,
            }))
        };
        let changed = |name| {
            Ok(Some(Alteration {
                object: name,
                gone: false,
            }))
        };
        let failed = |error: &kube::Error| self.apply_failed(&name, error);
        let parameters = PatchParams {
            dry_run: true,
            ..PatchParams::apply(FIELD_MANAGER).force()
        };
        let Some(mut live) = api.get_opt(&object.name).await.map_err(|error| failed(&error))? else {
            return gone(name);
        };
        for _ in 0..LOOKS {
            match api.patch(&object.name, &parameters, &Patch::Apply(&object.body)).await {
                Ok(applied) if content(&live) == content(&applied) => return Ok(None),
                Ok(_) => {}
                // Somebody made it anew with other values of fields that never change.
                Err(kube::Error::Api(status)) if status.code == 422 => return changed(name),
                // An admission plug-in that knows no dry runs: it cannot be told.
                Err(kube::Error::Api(status)) if status.code == 400 => return Ok(None),
                Err(error) => return Err(failed(&error)),
            }
            let Some(now) = api.get_opt(&object.name).await.map_err(|error| failed(&error))? else {
                return gone(name);
            };
            if now.metadata.resource_version == live.metadata.resource_version {
                return changed(name);
            }
            live = now;
        }
        Ok(None)
    }
}

/// An object without what the API server keeps about it, and without what it reports.
fn content(object: &DynamicObject) -> Value {
    let mut content = serde_json::to_value(object).unwrap_or_default();
    if let Some(fields) = content.as_object_mut() {
        fields.remove("status");
    }
    if let Some(metadata) = content.get_mut("metadata").and_then(Value::as_object_mut) {
        for own in ["managedFields", "resourceVersion", "generation"] {
            metadata.remove(own);
        }
    }
    content
}
