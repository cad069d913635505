//! The four kinds of patches.

mod apply;
mod lists;
mod strategic;

use serde_json::Value;

use crate::object::ObjectExt as _;
use crate::status::ApiError;

/// A patch, read.
#[derive(Debug)]
pub(crate) enum Patch {
    /// RFC 6902.
    Json(json_patch::Patch),
    /// RFC 7396.
    Merge(Value),
    /// Kubernetes' merge that knows the keys of lists.
    Strategic(Value),
    /// Server-side apply.
    Apply {
        object: Value,
        manager: String,
        force: bool,
    },
}

/// An object after a patch, as kubectl patches what is in a file.
///
/// `media_type` is one of RFC 6902's, RFC 7396's or Kubernetes' own strategic merge patch.
pub fn patched(mut object: Value, media_type: &str, patch: Value) -> Result<Value, ApiError> {
    match Patch::read(media_type, patch, "", false)? {
        Patch::Json(patch) => json_patch::patch(&mut object, &patch).map_err(|error| {
            let message = format!("error applying JSON patch: {error}");
            ApiError::new(422, "Invalid", message)
        })?,
        Patch::Merge(patch) => json_patch::merge(&mut object, &patch),
        Patch::Strategic(patch) => strategic::merge(&mut object, &patch),
        Patch::Apply { .. } => return Err(ApiError::bad_request("an apply is no patch of a file")),
    }
    Ok(object)
}

impl Patch {
    pub(crate) fn read(content_type: &str, body: Value, manager: &str, force: bool) -> Result<Self, ApiError> {
        let media = content_type.split(';').next().unwrap_or_default().trim();
        if !body.is_object() && media != "application/json-patch+json" {
            return Err(ApiError::bad_request("the patch is not an object"));
        }
        match media {
            "application/json-patch+json" => serde_json::from_value(body)
                .map(Self::Json)
                .map_err(|error| ApiError::bad_request(format!("error decoding JSON patch: {error}"))),
            "application/merge-patch+json" => Ok(Self::Merge(body)),
            "application/strategic-merge-patch+json" => Ok(Self::Strategic(body)),
            "application/apply-patch+yaml" | "application/apply-patch+json" => {
                if manager.is_empty() {
                    return Err(ApiError::bad_request(
                        "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for apply patch",
                    ));
                }
                if body.pointer("/metadata/managedFields").is_some() {
                    return Err(ApiError::bad_request("metadata.managedFields must be nil"));
                }
                Ok(Self::Apply {
                    object: body,
                    manager: manager.to_owned(),
                    force,
                })
            }
            _ => Err(ApiError::new(
                415,
                "UnsupportedMediaType",
                "the body of the request was in an unknown format - accepted media types include: application/json-patch+json, application/merge-patch+json, application/strategic-merge-patch+json, application/apply-patch+yaml",
            )),
        }
    }

    pub(crate) fn is_apply(&self) -> bool {
        matches!(self, Self::Apply { .. })
    }

    /// The object after the patch.
    pub(crate) fn applied_to(&self, old: &Value, api_version: &str) -> Result<Value, ApiError> {
        let mut new = old.clone();
        match self {
            Self::Json(patch) => json_patch::patch(&mut new, patch).map_err(|error| {
                let message = format!("the server rejected our request due to an error in our request: {error}");
                ApiError::new(422, "Invalid", message)
            })?,
            Self::Merge(patch) => json_patch::merge(&mut new, patch),
            Self::Strategic(patch) => strategic::merge(&mut new, patch),
            Self::Apply { object, manager, force } => {
                return apply::apply(old, object, manager, *force, api_version);
            }
        }
        // A patch that says nothing of the revision is about whichever there is.
        if new.text("/metadata/resourceVersion").is_empty() {
            new.put(
                &["metadata", "resourceVersion"],
                old["metadata"]["resourceVersion"].clone(),
            );
        }
        Ok(new)
    }

    /// The object that an apply of something new creates.
    pub(crate) fn first_applied(&self, api_version: &str) -> Result<Value, ApiError> {
        match self {
            Self::Apply { object, manager, force } => {
                apply::apply(&serde_json::json!({}), object, manager, *force, api_version)
            }
            _ => Err(ApiError::bad_request("only an apply patch creates")),
        }
    }
}
