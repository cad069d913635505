//! What the provider keeps in a cluster about itself, as `ConfigMap`s in kube-system: nothing secret.

use std::{collections::BTreeMap, future::Future};

use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use serde_json::json;
use tokio::time::Instant;

use super::{AccessError, ApplyError, Cluster};
use crate::yaml;

/// Where records are.
const NAMESPACE: &str = "kube-system";

impl Cluster {
    /// Stores a record; storing the same again changes nothing.
    pub async fn store_record(
        &self,
        name: &str,
        data: &BTreeMap<String, String>,
        deadline: Instant,
        stop: impl Future<Output = ()>,
    ) -> Result<(), ApplyError> {
        let manifest = yaml::document(&json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": { "name": name, "namespace": NAMESPACE },
            "data": data,
        }));
        self.apply(&manifest, deadline, stop).await.map(|_| ())
    }

    /// A record; `None` when there is none.
    pub async fn record(&self, name: &str) -> Result<Option<BTreeMap<String, String>>, AccessError> {
        let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), NAMESPACE);
        let found = api
            .get_opt(name)
            .await
            .map_err(|error| self.error(format!("read the ConfigMap {NAMESPACE}/{name}"), &error))?;
        Ok(found.map(|found| found.data.unwrap_or_default()))
    }
}
