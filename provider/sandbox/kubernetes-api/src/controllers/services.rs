//! Endpoints of Services.

use std::time::Duration;

use serde_json::{Value, json};

use super::Controller;
use super::placement::{is_active, is_ready};
use crate::object::ObjectExt as _;
use crate::objects::{Api, Part};
use crate::selectors::Selector;
use crate::status::ApiError;
use crate::store::Event;

/// The controller of endpoints.
pub(super) struct Services;

#[async_trait::async_trait]
impl Controller for Services {
    fn name(&self) -> &'static str {
        "endpoints"
    }

    fn cares(&self, event: &Event) -> bool {
        matches!(event.key.resource.as_str(), "services" | "pods" | "endpoints")
    }

    async fn reconcile(&mut self, api: &Api) -> Result<Option<Duration>, ApiError> {
        for service in api.store.all("services") {
            if service.pointer("/spec/selector").is_none() || service.is_deleting() {
                continue;
            }
            let subsets = subsets(api, &service);
            write(api, &service, subsets).await?;
        }
        for endpoints in api.store.all("endpoints") {
            let made_here = !endpoints.labels().contains_key("endpoints.kubernetes.io/managed-by");
            let service = api.store.get("services", endpoints.namespace(), endpoints.name());
            if service.is_none() && !made_here {
                api.remove("endpoints", &endpoints, crate::objects::DeleteOptions::now())
                    .await?;
            }
        }
        Ok(None)
    }
}

fn subsets(api: &Api, service: &Value) -> Value {
    let selector = Selector::of_spec(&json!({"matchLabels": service["spec"]["selector"]}));
    let mut ready = Vec::new();
    let mut not_ready = Vec::new();
    for pod in api.store.list("pods", Some(service.namespace())).0 {
        let ip = pod.text("/status/podIP");
        if ip.is_empty() || !is_active(&pod) || pod.is_deleting() || !selector.matches(&pod) {
            continue;
        }
        let address = json!({
            "ip": ip, "nodeName": pod.text("/spec/nodeName"),
            "targetRef": {"kind": "Pod", "namespace": pod.namespace(), "name": pod.name(), "uid": pod.uid()},
        });
        if is_ready(&pod) {
            ready.push(address);
        } else {
            not_ready.push(address);
        }
    }
    if ready.is_empty() && not_ready.is_empty() {
        return json!([]);
    }
    let ports: Vec<Value> = service
        .items("/spec/ports")
        .iter()
        .map(|port| {
            let number = port.number("/targetPort").or_else(|| port.number("/port")).unwrap_or(0);
            let mut shown = json!({"port": number, "protocol": port.text("/protocol")});
            if !port.text("/name").is_empty() {
                shown["name"] = json!(port.text("/name"));
            }
            shown
        })
        .collect();
    let mut subset = json!({"ports": ports});
    if !ready.is_empty() {
        subset["addresses"] = Value::Array(ready);
    }
    if !not_ready.is_empty() {
        subset["notReadyAddresses"] = Value::Array(not_ready);
    }
    json!([subset])
}

async fn write(api: &Api, service: &Value, subsets: Value) -> Result<(), ApiError> {
    let (namespace, name) = (service.namespace(), service.name());
    let labels = json!({"endpoints.kubernetes.io/managed-by": "endpoint-controller"});
    let Some(found) = api.store.get("endpoints", namespace, name) else {
        let object = json!({"metadata": {"name": name, "labels": labels}, "subsets": subsets});
        return match api.add("endpoints", namespace, object).await {
            Err(error) if error.reason != "AlreadyExists" && error.code != 403 => Err(error),
            _ => Ok(()),
        };
    };
    if found.items("/subsets") == subsets.as_array().map_or(&[][..], Vec::as_slice) {
        return Ok(());
    }
    api.adjust("endpoints", namespace, name, Part::Object, |object| {
        object.put(&["subsets"], subsets.clone());
    })
    .await?;
    Ok(())
}
