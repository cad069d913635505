//! Discovery: which groups, versions and resources there are.

use http::{Response, StatusCode};
use serde_json::{Value, json};

use super::body::{ResponseBody, respond};
use crate::objects::Settings;
use crate::resources::{RESOURCES, REVIEWS, Resource, VERBS, api_version, groups};

pub(super) fn document(path: &str, accept: &str, settings: &Settings) -> Option<Response<ResponseBody>> {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let value = match parts.as_slice() {
        ["api"] if wants_aggregated(accept) => return Some(aggregated(true)),
        ["apis"] if wants_aggregated(accept) => return Some(aggregated(false)),
        ["api"] => json!({
            "kind": "APIVersions", "versions": ["v1"],
            "serverAddressByClientCIDRs": [
                {"clientCIDR": "0.0.0.0/0", "serverAddress": settings.advertise_address.to_string()},
            ],
        }),
        ["apis"] => {
            let list: Vec<Value> = groups()
                .into_iter()
                .filter(|group| !group.is_empty())
                .map(group)
                .collect();
            json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": list})
        }
        ["apis", name] => {
            let known = groups().into_iter().find(|one| one == name && !one.is_empty())?;
            let mut value = group(known);
            value["kind"] = json!("APIGroup");
            value["apiVersion"] = json!("v1");
            value
        }
        ["api", "v1"] => resource_list(""),
        ["apis", name, "v1"] => resource_list(groups().into_iter().find(|one| one == name && !one.is_empty())?),
        [] => {
            json!({"paths": ["/api", "/api/v1", "/apis", "/healthz", "/livez", "/openapi/v2", "/openapi/v3", "/readyz", "/version"]})
        }
        _ => return None,
    };
    Some(super::json(StatusCode::OK, &value))
}

fn group(name: &'static str) -> Value {
    let version = json!({"groupVersion": api_version(name, "v1"), "version": "v1"});
    json!({"name": name, "versions": [version], "preferredVersion": version})
}

fn in_group(group: &str) -> impl Iterator<Item = &'static Resource> {
    RESOURCES.iter().filter(move |one| one.group == group)
}

fn resource_list(group: &str) -> Value {
    let mut resources = Vec::new();
    for one in in_group(group) {
        let mut entry = json!({
            "name": one.plural, "singularName": one.singular, "namespaced": one.namespaced, "kind": one.kind,
            "verbs": VERBS, "storageVersionHash": "",
        });
        if !one.short_names.is_empty() {
            entry["shortNames"] = json!(one.short_names);
        }
        if one.all {
            entry["categories"] = json!(["all"]);
        }
        resources.push(entry);
        if one.has_status {
            resources.push(json!({
                "name": format!("{}/status", one.plural), "singularName": "", "namespaced": one.namespaced,
                "kind": one.kind, "verbs": ["get", "patch", "update"],
            }));
        }
        for sub in one.subresources {
            resources.push(json!({
                "name": format!("{}/{}", one.plural, sub.name), "singularName": "", "namespaced": one.namespaced,
                "kind": sub.kind, "group": sub.group, "version": sub.version, "verbs": sub.verbs,
            }));
        }
    }
    for review in REVIEWS.iter().filter(|one| one.group == group) {
        resources.push(json!({
            "name": review.plural, "singularName": review.kind.to_lowercase(), "namespaced": review.namespaced,
            "kind": review.kind, "verbs": ["create"],
        }));
    }
    json!({
        "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": api_version(group, "v1"),
        "resources": resources,
    })
}

const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

fn wants_aggregated(accept: &str) -> bool {
    accept.split(',').any(|media| {
        media.contains("as=APIGroupDiscoveryList") && media.contains("v=v2") && !media.contains("v=v2beta1")
    })
}

fn aggregated(core: bool) -> Response<ResponseBody> {
    let items: Vec<Value> = groups()
        .into_iter()
        .filter(|group| group.is_empty() == core)
        .map(aggregated_group)
        .collect();
    let value = json!({
        "kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items,
    });
    respond(StatusCode::OK, AGGREGATED, value.to_string())
}

fn aggregated_group(name: &'static str) -> Value {
    let scope = |namespaced| if namespaced { "Namespaced" } else { "Cluster" };
    let kind = |group: &str, version: &str, kind: &str| json!({"group": group, "version": version, "kind": kind});
    let mut resources: Vec<Value> = in_group(name)
        .map(|one| {
            let mut subresources = Vec::new();
            if one.has_status {
                subresources.push(json!({
                    "subresource": "status", "responseKind": kind(one.group, one.version, one.kind),
                    "verbs": ["get", "patch", "update"],
                }));
            }
            for sub in one.subresources {
                subresources.push(json!({
                    "subresource": sub.name, "responseKind": kind(sub.group, sub.version, sub.kind), "verbs": sub.verbs,
                }));
            }
            let mut entry = json!({
                "resource": one.plural, "responseKind": kind(one.group, one.version, one.kind),
                "scope": scope(one.namespaced), "singularResource": one.singular, "verbs": VERBS,
            });
            if !one.short_names.is_empty() {
                entry["shortNames"] = json!(one.short_names);
            }
            if one.all {
                entry["categories"] = json!(["all"]);
            }
            if !subresources.is_empty() {
                entry["subresources"] = json!(subresources);
            }
            entry
        })
        .collect();
    resources.extend(REVIEWS.iter().filter(|one| one.group == name).map(|one| {
        json!({
            "resource": one.plural, "responseKind": kind(one.group, "v1", one.kind), "scope": scope(one.namespaced),
            "singularResource": one.kind.to_lowercase(), "verbs": ["create"],
        })
    }));
    let metadata = if name.is_empty() {
        json!({})
    } else {
        json!({"name": name})
    };
    json!({"metadata": metadata, "versions": [{"version": "v1", "freshness": "Current", "resources": resources}]})
}
