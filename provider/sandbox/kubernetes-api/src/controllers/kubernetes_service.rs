//! The Service `kubernetes`, through which pods reach the API servers, and its endpoints: the servers that live.

use std::time::Duration;

use serde_json::{Value, json};

use super::Controller;
use crate::object::ObjectExt as _;
use crate::objects::{Api, Part};
use crate::status::ApiError;
use crate::store::{Event, SERVERS};

/// Keeps the Service `kubernetes` and what it leads to.  Every API server does it, all to the same end.
pub(super) struct KubernetesService;

const NAMESPACE: &str = "default";
const NAME: &str = "kubernetes";
const SLICES: &str = "endpointslices.discovery.k8s.io";

#[async_trait::async_trait]
impl Controller for KubernetesService {
    fn name(&self) -> &'static str {
        "kubernetes service"
    }

    fn cares(&self, event: &Event) -> bool {
        let key = &event.key;
        let own = key.namespace == NAMESPACE && key.name == NAME;
        key.resource == SERVERS || own && matches!(key.resource.as_str(), "services" | "endpoints" | SLICES)
    }

    async fn reconcile(&mut self, api: &Api) -> Result<Option<Duration>, ApiError> {
        make_service(api).await?;
        let addresses = addresses(api);
        // Whoever finds no record at all must not cut everyone off: it cannot be right, as this server runs.
        if !addresses.is_empty() {
            publish(api, &addresses).await?;
        }
        Ok(None)
    }
}

/// Where the living API servers are.
fn addresses(api: &Api) -> Vec<String> {
    let records = api.store.all(SERVERS);
    let mut found: Vec<String> = records
        .iter()
        .map(|record| record.text("/subsets/0/addresses/0/ip").to_owned())
        .filter(|ip| !ip.is_empty())
        .collect();
    found.sort();
    found
}

/// A server's record: where it is.
pub(crate) fn record_of(api: &Api) -> (String, Value) {
    let ip = api.settings.advertise_address.ip().to_string();
    let record = json!({
        "apiVersion": "v1", "kind": "Endpoints", "metadata": {}, "subsets": [{"addresses": [{"ip": ip}]}],
    });
    (ip, record)
}

async fn make_service(api: &Api) -> Result<(), ApiError> {
    if api.store.get("services", NAMESPACE, NAME).is_some() {
        return Ok(());
    }
    let port = api.settings.advertise_address.port();
    let first = api.settings.service_cidr.hosts().next();
    let service = json!({
        "metadata": {"name": NAME, "labels": {"component": "apiserver", "provider": "kubernetes"}},
        "spec": {
            "type": "ClusterIP", "clusterIP": first.map(|ip| ip.to_string()).unwrap_or_default(),
            "ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": port}],
        },
    });
    unless_there(api.add("services", NAMESPACE, service).await)
}

async fn publish(api: &Api, addresses: &[String]) -> Result<(), ApiError> {
    let port = json!({"name": "https", "port": api.settings.advertise_address.port(), "protocol": "TCP"});
    let subsets: Vec<Value> = addresses.iter().map(|ip| json!({"ip": ip})).collect();
    let endpoints = json!({
        "metadata": {"name": NAME, "labels": {"endpointslice.kubernetes.io/skip-mirror": "true"}},
        "subsets": [{"addresses": subsets, "ports": [port]}],
    });
    write(api, "endpoints", endpoints, "subsets").await?;
    let each: Vec<Value> = addresses
        .iter()
        .map(|ip| json!({"addresses": [ip], "conditions": {"ready": true}}))
        .collect();
    let slice = json!({
        "metadata": {"name": NAME, "labels": {"kubernetes.io/service-name": NAME}},
        "addressType": "IPv4", "endpoints": each, "ports": [port],
    });
    write(api, SLICES, slice, "endpoints").await
}

/// Makes the object, or its one field that changes what it is to be.
async fn write(api: &Api, id: &str, wanted: Value, field: &str) -> Result<(), ApiError> {
    let Some(found) = api.store.get(id, NAMESPACE, NAME) else {
        return unless_there(api.add(id, NAMESPACE, wanted).await);
    };
    if found.get(field) == wanted.get(field) {
        return Ok(());
    }
    let written = api.adjust(id, NAMESPACE, NAME, Part::Object, |object| {
        object.put(&[field], wanted[field].clone());
    });
    written.await.map(drop)
}

fn unless_there<T>(made: Result<T, ApiError>) -> Result<(), ApiError> {
    match made {
        Err(error) if error.reason != "AlreadyExists" => Err(error),
        _ => Ok(()),
    }
}

/// Takes one server out of the endpoints without waiting for its record's end to get about; the last one stays.
pub(crate) async fn withdraw(api: &Api, ip: &str) -> Result<(), ApiError> {
    let rest: Vec<String> = addresses(api).into_iter().filter(|one| one != ip).collect();
    if rest.is_empty() {
        return Ok(());
    }
    publish(api, &rest).await
}
