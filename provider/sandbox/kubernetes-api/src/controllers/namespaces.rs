//! The life of namespaces: their default `ServiceAccount`, the CA's `ConfigMap`, and their end.

use std::time::Duration;

use serde_json::json;

use super::Controller;
use crate::object::ObjectExt as _;
use crate::objects::{Api, DeleteOptions, Part};
use crate::status::ApiError;
use crate::store::Event;

/// Empties and removes deleted namespaces; gives living ones what every namespace has.
pub(super) struct Namespaces;

#[async_trait::async_trait]
impl Controller for Namespaces {
    fn name(&self) -> &'static str {
        "namespaces"
    }

    fn cares(&self, event: &Event) -> bool {
        event.key.resource == "namespaces"
            || event.key.resource == "serviceaccounts"
            || event.kind == crate::store::EventKind::Deleted
    }

    async fn reconcile(&mut self, api: &Api) -> Result<Option<Duration>, ApiError> {
        for namespace in api.store.all("namespaces") {
            let name = namespace.name();
            if namespace.is_deleting() {
                empty(api, name).await?;
            } else {
                furnish(api, name).await?;
            }
        }
        Ok(None)
    }
}

/// Gives a namespace its default `ServiceAccount` and the CA that pods check the API server with.
async fn furnish(api: &Api, name: &str) -> Result<(), ApiError> {
    let account = json!({"metadata": {"name": "default"}});
    let root = json!({
        "metadata": {"name": "kube-root-ca.crt"}, "data": {"ca.crt": api.settings.ca_certificate_pem},
    });
    for (id, object) in [("serviceaccounts", account), ("configmaps", root)] {
        if api.store.get(id, name, object.name()).is_some() {
            continue;
        }
        match api.add(id, name, object).await {
            // The namespace is being deleted meanwhile.
            Err(error) if error.reason == "AlreadyExists" || error.code == 403 || error.code == 404 => {}
            other => drop(other?),
        }
    }
    Ok(())
}

async fn empty(api: &Api, name: &str) -> Result<(), ApiError> {
    let contents = api.store.contents(name);
    for key in &contents {
        if let Some(object) = api.store.get(&key.resource, name, &key.name)
            && !object.is_deleting()
        {
            api.remove(&key.resource, &object, DeleteOptions::default()).await?;
        }
    }
    if api.store.contents(name).is_empty() {
        let finalized = api
            .adjust("namespaces", "", name, Part::Finalize, |namespace| {
                namespace.put(&["spec", "finalizers"], json!([]));
            })
            .await;
        match finalized {
            Err(error) if !error.is_not_found() => return Err(error),
            _ => {}
        }
    }
    Ok(())
}
