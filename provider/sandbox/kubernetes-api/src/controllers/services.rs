//! Endpoints of Services, and the Service through which pods reach the API.

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
        serve_the_api(api).await?;
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

async fn serve_the_api(api: &Api) -> Result<(), ApiError> {
    let address = api.settings.advertise_address;
    if api.store.get("services", "default", "kubernetes").is_none() {
        let first = api
            .settings
            .service_cidr
            .hosts()
            .next()
            .map(|ip| ip.to_string())
            .unwrap_or_default();
        let service = json!({
            "metadata": {"name": "kubernetes", "labels": {"component": "apiserver", "provider": "kubernetes"}},
            "spec": {
                "type": "ClusterIP", "clusterIP": first,
                "ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": address.port()}],
            },
        });
        match api.add("services", "default", service).await {
            Err(error) if error.reason != "AlreadyExists" => return Err(error),
            _ => {}
        }
    }
    let subsets = json!([{
        "addresses": [{"ip": address.ip().to_string()}],
        "ports": [{"name": "https", "port": address.port(), "protocol": "TCP"}],
    }]);
    write_named(api, "default", "kubernetes", subsets).await
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
    write_named(api, service.namespace(), service.name(), subsets).await
}

async fn write_named(api: &Api, namespace: &str, name: &str, subsets: Value) -> Result<(), ApiError> {
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
