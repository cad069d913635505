//! Reading and changing the settings that a kubeadm cluster keeps about itself; see [`crate::cluster_settings`].

use std::collections::BTreeMap;
use std::future::Future;

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment};
use k8s_openapi::api::core::v1::{ConfigMap, PodTemplateSpec};
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::patience::Patience;
use super::{AccessError, Cluster, FIELD_MANAGER, retry_pauses};
use crate::cluster_settings::{
    CORE_DNS, Change, ClusterSettings, Document, Found, KUBE_PROXY, KUBEADM_CONFIG, KUBELET_CONFIG, KubeProxy, Part,
    SettingsError,
};

const NAMESPACE: &str = "kube-system";

/// The annotation of a `ConfigMap` that says what of it was applied last.
const APPLIED: &str = "multizone.dev/last-applied";

/// The annotation of kube-proxy's `ConfigMap`, and of its pods, that says for which configuration they are new.
const ROLLOUT: &str = "multizone.dev/rollout";

/// Settings that were not read or not changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClusterSettingsError {
    /// A request failed.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// What is there cannot be worked on.
    #[error(transparent)]
    Settings(#[from] SettingsError),
}

/// What was read, with the revisions that a change is to replace.
struct Read {
    found: Found,
    revisions: BTreeMap<&'static str, String>,
}

impl Cluster {
    /// The settings that the cluster keeps about itself.
    pub async fn cluster_settings(&self) -> Result<Found, ClusterSettingsError> {
        Ok(self.read_settings().await?.found)
    }

    /// Brings a part of what the cluster says of itself to what is wanted: its settings, kubelet-config and then
    /// kubeadm-config, or kubeadm's addons, kube-proxy and `CoreDNS`. What may pass is tried again until the deadline.
    /// Applying the same again changes nothing.
    pub async fn apply_cluster_settings(
        &self,
        wanted: &ClusterSettings,
        part: Part,
        deadline: Instant,
        stop: impl Future<Output = ()>,
    ) -> Result<(), ClusterSettingsError> {
        const WHAT: &str = "the cluster's settings to be changed";
        let mut patience = Patience::new(deadline, stop);
        let pauses = retry_pauses();
        let mut last = "they were not read".to_owned();
        loop {
            match patience.within(Box::pin(self.change_settings(wanted, part))).await {
                Ok(Ok(())) => return Ok(()),
                // Somebody else changes the same objects: what they are now is read again.
                Ok(Err(ClusterSettingsError::Access(error)))
                    if error.is_passing() || matches!(error, AccessError::Conflict { .. }) =>
                {
                    last = error.to_string();
                }
                Ok(Err(error)) => return Err(error),
                Err(interrupted) => return Err(self.interrupted(interrupted, WHAT, &last).into()),
            }
            if let Err(interrupted) = patience.pause(pauses.next()).await {
                return Err(self.interrupted(interrupted, WHAT, &last).into());
            }
        }
    }

    async fn change_settings(&self, wanted: &ClusterSettings, part: Part) -> Result<(), ClusterSettingsError> {
        let Read { found, revisions } = self.read_settings().await?;
        for change in wanted.changes(&found, part)? {
            match change {
                Change::Document {
                    name,
                    key,
                    text,
                    applied,
                    rollout,
                    ..
                } => {
                    let patch = json!({
                        "metadata": {
                            "resourceVersion": revisions.get(name),
                            "annotations": { APPLIED: applied, ROLLOUT: rollout },
                        },
                        "data": { key: text },
                    });
                    self.change::<ConfigMap>("ConfigMap", name, &Patch::Merge(&patch))
                        .await?;
                }
                Change::KubeProxy { image, rollout } => {
                    let patch = template(KUBE_PROXY, &image, &json!({ ROLLOUT: rollout }));
                    self.change::<DaemonSet>("DaemonSet", KUBE_PROXY, &Patch::Strategic(&patch))
                        .await?;
                }
                Change::CoreDns { image } => {
                    let patch = template(CORE_DNS, &image, &json!({}));
                    self.change::<Deployment>("Deployment", CORE_DNS, &Patch::Strategic(&patch))
                        .await?;
                }
            }
        }
        Ok(())
    }

    async fn read_settings(&self) -> Result<Read, ClusterSettingsError> {
        let (cluster, kubelet, kube_proxy, daemon_set, core_dns) = futures::try_join!(
            self.object::<ConfigMap>("ConfigMap", KUBEADM_CONFIG),
            self.object::<ConfigMap>("ConfigMap", KUBELET_CONFIG),
            self.object::<ConfigMap>("ConfigMap", KUBE_PROXY),
            self.object::<DaemonSet>("DaemonSet", KUBE_PROXY),
            self.object::<Deployment>("Deployment", CORE_DNS),
        )?;
        let cluster = cluster.ok_or(SettingsError::Absent(KUBEADM_CONFIG))?;
        let mut revisions = BTreeMap::new();
        for (name, map) in [
            (KUBEADM_CONFIG, Some(&cluster)),
            (KUBELET_CONFIG, kubelet.as_ref()),
            (KUBE_PROXY, kube_proxy.as_ref()),
        ] {
            let revision = map.and_then(|map| map.metadata.resource_version.clone());
            revisions.extend(revision.map(|revision| (name, revision)));
        }
        let template = daemon_set.map(|set| set.spec.template);
        let rollout = template.as_ref().and_then(|template| {
            let annotations = template.metadata.as_ref()?.annotations.as_ref()?;
            annotations.get(ROLLOUT).cloned()
        });
        let kube_proxy = match kube_proxy {
            None => None,
            Some(map) => Some(KubeProxy {
                configuration: document(KUBE_PROXY, "config.conf", &map)?,
                image: template.and_then(|template| image(template, KUBE_PROXY)),
                rollout,
            }),
        };
        let kubelet = kubelet
            .map(|map| document(KUBELET_CONFIG, "kubelet", &map))
            .transpose()?;
        let found = Found {
            cluster: document(KUBEADM_CONFIG, "ClusterConfiguration", &cluster)?,
            kubelet,
            kube_proxy,
            core_dns: core_dns.and_then(|deployment| image(deployment.spec.template, CORE_DNS)),
        };
        Ok(Read { found, revisions })
    }

    async fn object<K>(&self, kind: &str, name: &str) -> Result<Option<K>, AccessError>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>
            + Clone
            + std::fmt::Debug
            + serde::de::DeserializeOwned,
    {
        let api: Api<K> = Api::namespaced(self.client.clone(), NAMESPACE);
        api.get_opt(name)
            .await
            .map_err(|error| self.error(format!("read the {kind} {NAMESPACE}/{name}"), &error))
    }

    async fn change<K>(&self, kind: &str, name: &str, patch: &Patch<&Value>) -> Result<(), AccessError>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>
            + Clone
            + std::fmt::Debug
            + serde::de::DeserializeOwned,
    {
        let api: Api<K> = Api::namespaced(self.client.clone(), NAMESPACE);
        let parameters = PatchParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PatchParams::default()
        };
        match api.patch(name, &parameters, patch).await {
            Ok(_) => Ok(()),
            Err(error) => Err(self.error(format!("change the {kind} {NAMESPACE}/{name}"), &error)),
        }
    }
}

fn document(name: &'static str, key: &'static str, map: &ConfigMap) -> Result<Document, SettingsError> {
    let text = map.data.as_ref().and_then(|data| data.get(key)).map(String::as_str);
    let noted = |annotation: &str| map.metadata.annotations.as_ref()?.get(annotation).cloned();
    Ok(Document {
        applied: noted(APPLIED),
        rollout: noted(ROLLOUT),
        ..Document::read(name, key, text)?
    })
}

/// The image of a pod's container.
fn image(template: PodTemplateSpec, container: &str) -> Option<String> {
    let containers = template.spec?.containers;
    containers.into_iter().find(|found| found.name == container)?.image
}

/// A change of a workload's pods.
fn template(container: &str, image: &str, annotations: &Value) -> Value {
    json!({ "spec": { "template": {
        "metadata": { "annotations": annotations },
        "spec": { "containers": [{ "name": container, "image": image }] },
    } } })
}
