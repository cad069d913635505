//! As much of `OpenAPI` as kubectl asks for before it applies: that the server itself validates fields.
//!
//! The documents list every path with its kind and the query parameter `fieldValidation`, and no schemas: with
//! them kubectl would offer `explain`, without them it uses its built-in types for strategic merge patches.

use http::{Response, StatusCode};
use serde_json::{Map, Value, json};

use super::body::{ResponseBody, respond};
use crate::resources::{RESOURCES, Resource, groups};

pub(super) fn document(path: &str, accept: &str) -> Option<Response<ResponseBody>> {
    match path.trim_end_matches('/') {
        "/openapi/v2" if accept.contains("protobuf") => {
            // A Document with nothing but field 1, swagger = "2.0".
            let bytes: &'static [u8] = b"\x0a\x032.0";
            Some(respond(
                StatusCode::OK,
                "application/com.github.proto-openapi.spec.v2@v1.0+protobuf",
                bytes,
            ))
        }
        "/openapi/v2" => {
            let value = json!({"swagger": "2.0", "info": info(), "paths": {}, "definitions": {}});
            Some(super::json(StatusCode::OK, &value))
        }
        "/openapi/v3" => {
            let mut paths = Map::new();
            for group in groups() {
                let path = root(group);
                let url = format!("/openapi/v3/{path}?hash=1");
                paths.insert(path, json!({"serverRelativeURL": url}));
            }
            Some(super::json(StatusCode::OK, &json!({"paths": paths})))
        }
        other => {
            let wanted = other.strip_prefix("/openapi/v3/")?;
            let group = groups().into_iter().find(|group| root(group) == wanted)?;
            Some(super::json(StatusCode::OK, &group_document(group)))
        }
    }
}

fn info() -> Value {
    json!({"title": "Kubernetes", "version": "v1"})
}

/// `api/v1`, `apis/apps/v1`.
fn root(group: &str) -> String {
    if group.is_empty() {
        "api/v1".to_owned()
    } else {
        format!("apis/{group}/v1")
    }
}

fn group_document(group: &str) -> Value {
    let mut paths = Map::new();
    for resource in RESOURCES.iter().filter(|one| one.group == group) {
        let middle = if resource.namespaced {
            "/namespaces/{namespace}"
        } else {
            ""
        };
        let all = format!("/{}{middle}/{}", root(group), resource.plural);
        paths.insert(
            all.clone(),
            json!({"get": operation(resource, "list"), "post": operation(resource, "post")}),
        );
        paths.insert(
            format!("{all}/{{name}}"),
            json!({
                "get": operation(resource, "get"), "put": operation(resource, "put"),
                "patch": operation(resource, "patch"), "delete": operation(resource, "delete"),
            }),
        );
    }
    json!({"openapi": "3.0.0", "info": info(), "paths": paths, "components": {"schemas": {}}})
}

fn operation(resource: &Resource, action: &str) -> Value {
    let mut operation = json!({
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind":
            {"group": resource.group, "version": resource.version, "kind": resource.kind},
        "responses": {"200": {"description": "OK"}},
    });
    if matches!(action, "post" | "put" | "patch") {
        operation["parameters"] = json!(
            ["dryRun", "fieldManager", "fieldValidation"]
                .map(|name| json!({"name": name, "in": "query", "schema": {"type": "string", "uniqueItems": true}}))
        );
    }
    if action == "patch" {
        operation["requestBody"] = json!({"required": true, "content": {
            "application/apply-patch+yaml": {}, "application/json-patch+json": {}, "application/merge-patch+json": {},
        }});
    }
    operation
}
