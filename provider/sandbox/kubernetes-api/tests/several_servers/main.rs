//! Several API servers of one cluster share a real etcd: nothing is lost, everyone sees the same.

#![allow(clippy::unwrap_used, reason = "also the functions beside the tests may")]

mod clients;
mod consistency;
mod endpoints;
#[path = "../fixture/mod.rs"]
mod fixture;
mod leading;
mod outage;

use fixture::Cluster;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, ObjectMeta, WatchParams};
use serde_json::json;

fn typed<T: serde::de::DeserializeOwned>(value: serde_json::Value) -> T {
    serde_json::from_value(value).unwrap()
}

fn map(name: &str, count: u32) -> ConfigMap {
    typed(json!({"metadata": {"name": name, "labels": {"app": "count"}}, "data": {"count": count.to_string()}}))
}

fn count(map: &ConfigMap) -> u32 {
    map.data.as_ref().unwrap()["count"].parse().unwrap()
}

/// A watch of what [`map`] makes: controllers write others.
fn counted() -> WatchParams {
    WatchParams::default().labels("app=count")
}

fn revision(metadata: &ObjectMeta) -> u64 {
    metadata.resource_version.as_ref().unwrap().parse().unwrap()
}

async fn client(server: &Cluster) -> kube::Client {
    server.client(&server.admin()).await
}

async fn maps(server: &Cluster) -> Api<ConfigMap> {
    Api::namespaced(client(server).await, "default")
}
