//! Get and list.

use base64::Engine as _;
use http::StatusCode;
use serde_json::{Value, json};

use super::{Answer, Call, Face, json as answer_json};
use crate::object::ObjectExt as _;
use crate::objects::to_scale;
use crate::resources::Resource;
use crate::selectors::Selector;
use crate::status::ApiError;
use crate::table::{self, Columns};

/// How a client wants objects to be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Whole,
    Table,
    Metadata,
}

impl Shape {
    /// The first of the accepted media types that is on offer.
    pub(super) fn of(accept: &str) -> Self {
        for media in accept.split(',') {
            let mut parts = media.split(';').map(str::trim);
            let kind = parts.next().unwrap_or_default();
            if kind.contains("protobuf") {
                continue;
            }
            let wanted = parts.find_map(|part| part.strip_prefix("as="));
            match wanted {
                Some("Table") => return Self::Table,
                Some("PartialObjectMetadata" | "PartialObjectMetadataList") => return Self::Metadata,
                _ => return Self::Whole,
            }
        }
        Self::Whole
    }
}

impl Face {
    pub(super) fn get(&self, call: &Call) -> Answer {
        let Call { target, resource, .. } = call;
        let object = self.api.get(resource, target.storage_namespace(), &target.name)?;
        let shown = match target.subresource.as_str() {
            "" => object,
            "status" if resource.has_status => object,
            "approval" if resource.plural == "certificatesigningrequests" => object,
            "scale" if resource.subresources.iter().any(|one| one.name == "scale") => {
                return Ok(answer_json(StatusCode::OK, &to_scale(&object)));
            }
            _ => return Err(ApiError::no_such_path()),
        };
        let value = match Shape::of(&call.accept) {
            Shape::Whole => return Ok(answer_json(StatusCode::OK, &shown)),
            Shape::Metadata => metadata_only(&shown),
            Shape::Table => {
                let columns = Columns::of(resource);
                let revision = shown.text("/metadata/resourceVersion");
                table::render(&columns, std::slice::from_ref(&shown), &table_options(call), revision)
            }
        };
        Ok(answer_json(StatusCode::OK, &value))
    }

    pub(super) fn list(&self, call: &Call) -> Answer {
        let resource = call.resource;
        let selector = selector(call)?;
        let (mut objects, revision) = self.api.list(resource, scope(call), &selector);
        let mut metadata = json!({"resourceVersion": revision.to_string()});
        page(call, &mut objects, &mut metadata)?;
        let value = match Shape::of(&call.accept) {
            Shape::Table => {
                let mut value = table::render(
                    &Columns::of(resource),
                    &objects,
                    &table_options(call),
                    &revision.to_string(),
                );
                value["metadata"] = metadata;
                value
            }
            Shape::Metadata => json!({
                "kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1", "metadata": metadata,
                "items": objects.iter().map(|one| metadata_only(one)).collect::<Vec<_>>(),
            }),
            Shape::Whole => json!({
                "kind": format!("{}List", resource.kind), "apiVersion": resource.api_version(), "metadata": metadata,
                "items": objects.iter().map(|one| (**one).clone()).collect::<Vec<_>>(),
            }),
        };
        Ok(answer_json(StatusCode::OK, &value))
    }
}

/// The namespace that a list or watch is about; none for all.
pub(super) fn scope(call: &Call) -> Option<&str> {
    Some(call.target.storage_namespace()).filter(|namespace| !namespace.is_empty())
}

pub(super) fn selector(call: &Call) -> Result<Selector, ApiError> {
    let selector = Selector::parse(call.query.get("labelSelector"), call.query.get("fieldSelector"))?;
    selector.check_fields(&call.resource.id())?;
    Ok(selector)
}

/// Cuts the list to `limit` objects after `continue`.  A later page shows the present, not the past.
fn page(call: &Call, objects: &mut Vec<std::sync::Arc<Value>>, metadata: &mut Value) -> Result<(), ApiError> {
    let place = |object: &Value| format!("{}/{}", object.namespace(), object.name());
    let token = call.query.get("continue");
    if !token.is_empty() {
        let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(token);
        let after = bytes.ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let after = after.ok_or_else(|| ApiError::bad_request("continue key is not valid"))?;
        let (namespace, name) = after.split_once('/').unwrap_or(("", &after));
        objects.retain(|object| (object.namespace(), object.name()) > (namespace, name));
    }
    let limit: usize = call.query.get("limit").parse().unwrap_or(0);
    if limit > 0 && objects.len() > limit {
        metadata["remainingItemCount"] = json!(objects.len() - limit);
        objects.truncate(limit);
        if let Some(last) = objects.last() {
            metadata["continue"] = json!(base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(place(last)));
        }
    }
    Ok(())
}

pub(super) fn table_options(call: &Call) -> table::Options {
    let object = match call.query.get("includeObject") {
        "None" => table::IncludedObject::None,
        "Object" => table::IncludedObject::Whole,
        _ => table::IncludedObject::Metadata,
    };
    table::Options {
        object,
        now: jiff::Timestamp::now(),
        definitions: true,
    }
}

/// An object's type and metadata.
pub(crate) fn metadata_only(object: &Value) -> Value {
    json!({
        "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1",
        "metadata": object.get("metadata").cloned().unwrap_or_default(),
    })
}

/// Whether the path names a stored object or one of its parts that can be written like one.
pub(super) fn has_subresource(resource: &Resource, name: &str) -> bool {
    name == "status" && resource.has_status || resource.subresources.iter().any(|one| one.name == name)
}
