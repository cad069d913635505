//! The settings that a kubeadm cluster keeps about itself and kubeadm's addons, and what of them a change of version or of
//! the user's choice changes: kubeadm-config, kubelet-config, kube-proxy and `CoreDNS` in kube-system, as `kubeadm upgrade`
//! leaves them.
//!
//! Everything here is pure; [`crate::cluster_access`] reads what is there and writes the [`Change`]s.  What somebody else
//! has written into these documents stays: a document is merged from three, what is there, what was applied last (kept
//! beside it) and what is wanted, as kubectl apply does.
//!
//! A change comes in two [`Part`]s.  The settings are what masters of another version join by, so they change first; the
//! last of their changes is the version in kubeadm-config, so that a run that is interrupted leaves the old version there
//! and is seen to be unfinished.  The addons follow when no master of an earlier version is left: the skew policy lets no
//! kube-proxy be newer than an API server, and kubeadm has this order since 1.28.
//!
//! # What is not done
//! `kubeadm upgrade` also migrates the Corefile where the newer `CoreDNS` has dropped something that it says.  Kubernetes
//! 1.29, the oldest that this provider makes, comes with `CoreDNS` 1.11.1, and the last removal that concerns a Corefile is
//! one of 1.8.0, the kubernetes plugin's option `transfer` (coredns/deployment, `kubernetes/CoreDNS-k8s_version.md`, which
//! goes up to Kubernetes 1.33).  So there is nothing to migrate, and a Corefile stays as it is, whoever wrote it.  A newer
//! `CoreDNS` in [`images`] wants that list looked at again.

mod cluster_configuration;
mod images;
mod merge;
#[cfg(test)]
mod tests;

use serde_json::{Map, Value};

use crate::kubeadm::{Customisation, DEFAULT_IMAGE_REPOSITORY, kubelet_fields};
use crate::version::{KubernetesVersion, VersionError};
use crate::yaml;
use cluster_configuration::Overlay;

/// The `ConfigMap` with the `ClusterConfiguration`.
pub const KUBEADM_CONFIG: &str = "kubeadm-config";
/// The `ConfigMap` with the `KubeletConfiguration`.
pub const KUBELET_CONFIG: &str = "kubelet-config";
/// The `ConfigMap` with the `KubeProxyConfiguration`, and the `DaemonSet` that reads it.
pub const KUBE_PROXY: &str = "kube-proxy";
/// The `Deployment` of `CoreDNS`.
pub const CORE_DNS: &str = "coredns";

/// What is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterSettings {
    /// The version that the control plane is to have.
    pub version: KubernetesVersion,
    /// What the user chooses beyond kubeadm's own settings.
    pub customisation: Customisation,
}

/// One document in a `ConfigMap`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// The document, read.
    pub content: Value,
    /// What of it this provider applied last, as it was noted then.
    pub applied: Option<String>,
    /// For which configuration the pods that read it are to be newer ones.
    pub rollout: Option<String>,
}

/// kube-proxy as it is in the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KubeProxy {
    /// Its configuration.
    pub configuration: Document,
    /// The image of its `DaemonSet`; `None` when there is none.
    pub image: Option<String>,
    /// For which configuration its pods were made anew.
    pub rollout: Option<String>,
}

/// What the cluster says now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The `ClusterConfiguration`.
    pub cluster: Document,
    /// The `KubeletConfiguration`; `None` when somebody deleted it.
    pub kubelet: Option<Document>,
    /// kube-proxy; `None` where another one does its work.
    pub kube_proxy: Option<KubeProxy>,
    /// The image of `CoreDNS`; `None` where another one does its work.
    pub core_dns: Option<String>,
}

/// One object to be changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A document in a `ConfigMap`.
    Document {
        /// The `ConfigMap`.
        name: &'static str,
        /// Its key.
        key: &'static str,
        /// The document.
        text: String,
        /// What of it is this provider's.
        applied: String,
        /// For which configuration pods are to be made anew.
        rollout: Option<String>,
        /// Whether anything but the note of what is applied changes.
        content: bool,
    },
    /// The `DaemonSet` of kube-proxy.
    KubeProxy {
        /// Its image.
        image: String,
        /// For which configuration its pods are made anew.
        rollout: Option<String>,
    },
    /// The `Deployment` of `CoreDNS`.
    CoreDns {
        /// Its image.
        image: String,
    },
}

/// Which of them change together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// kubeadm-config and kubelet-config.
    Settings,
    /// kube-proxy and `CoreDNS`.
    Addons,
}

impl Change {
    /// Whether the cluster is another one afterwards.
    fn matters(&self) -> bool {
        !matches!(self, Self::Document { content: false, .. })
    }
}

/// Why the settings that are there cannot be worked on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// There are none.
    #[error("there is no ConfigMap kube-system/{0} with kubeadm's configuration")]
    Absent(&'static str),
    /// A document that cannot be read.
    #[error("{key} in the ConfigMap kube-system/{name} cannot be read: {reason}")]
    Unreadable {
        /// The `ConfigMap`.
        name: &'static str,
        /// Its key.
        key: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// Its version makes no sense.
    #[error("the ConfigMap kube-system/{KUBEADM_CONFIG} names no usable kubernetesVersion: {0}")]
    Version(#[from] VersionError),
    /// etcd that is not on the masters.
    #[error(
        "the ConfigMap kube-system/{KUBEADM_CONFIG} says that etcd is external: this provider's masters have etcd on them, \
         and neither can take the other's place"
    )]
    ExternalEtcd,
}

impl Document {
    /// Reads what a `ConfigMap` holds.
    pub fn read(name: &'static str, key: &'static str, text: Option<&str>) -> Result<Self, SettingsError> {
        let unreadable = |reason: &dyn ToString| SettingsError::Unreadable {
            name,
            key,
            reason: reason.to_string(),
        };
        let text = text.ok_or_else(|| unreadable(&"it is missing"))?;
        let content: Value = serde_saphyr::from_str(text).map_err(|error| unreadable(&error))?;
        if !content.is_object() {
            return Err(unreadable(&"it is no map of fields"));
        }
        Ok(Self {
            content,
            applied: None,
            rollout: None,
        })
    }

    /// What this provider applied last; nothing when nothing is noted.
    fn applied(&self) -> Map<String, Value> {
        let noted = self
            .applied
            .as_deref()
            .and_then(|noted| serde_json::from_str(noted).ok());
        noted.unwrap_or_default()
    }
}

impl Found {
    /// Whether an addon of kubeadm's is there.
    pub fn has_addons(&self) -> bool {
        self.kube_proxy.is_some() || self.core_dns.as_deref().is_some_and(images::is_core_dns)
    }

    /// The version of kubeadm's kube-proxy; `None` where it is somebody else's, or has none.
    pub fn kube_proxy_version(&self) -> Option<KubernetesVersion> {
        images::version_of_kube_proxy(self.kube_proxy.as_ref()?.image.as_deref()?)
    }

    /// The version that the cluster's settings name.
    pub fn version(&self) -> Result<KubernetesVersion, SettingsError> {
        let named = self.cluster.content["kubernetesVersion"].as_str().unwrap_or_default();
        Ok(KubernetesVersion::from_git_version(named)?)
    }
}

impl ClusterSettings {
    /// Whether the cluster's settings are as wanted, at the version that they name.
    pub fn are_in(&self, found: &Found) -> Result<bool, SettingsError> {
        let settings = Self {
            version: found.version()?,
            customisation: self.customisation.clone(),
        };
        let changes = settings.changes(found, Part::Settings)?;
        Ok(!changes.iter().any(Change::matters))
    }

    /// Whether kubeadm's addons are as wanted, at the wanted version.
    pub fn addons_are_in(&self, found: &Found) -> Result<bool, SettingsError> {
        Ok(!self.changes(found, Part::Addons)?.iter().any(Change::matters))
    }

    /// What has to be changed, in this order.  Once all of it is, nothing is left.
    pub fn changes(&self, found: &Found, part: Part) -> Result<Vec<Change>, SettingsError> {
        if !found.cluster.content["etcd"]["external"].is_null() {
            return Err(SettingsError::ExternalEtcd);
        }
        let (cluster, overlay) = self.cluster(&found.cluster);
        Ok(match part {
            Part::Settings => self.settings_changes(found, &cluster, overlay),
            Part::Addons => self.addon_changes(found, &cluster),
        })
    }

    fn settings_changes(&self, found: &Found, cluster: &Value, overlay: String) -> Vec<Change> {
        let mut changes = Vec::new();
        if let Some(kubelet) = &found.kubelet {
            let wanted = kubelet_fields(&self.customisation.kubelet);
            let defaults = merge::kubelet_defaults(cluster);
            let merged = merge::merge(&kubelet.content, &kubelet.applied(), &wanted, &defaults);
            let applied = Value::from(wanted).to_string();
            changes.extend(change((KUBELET_CONFIG, "kubelet"), kubelet, &merged, applied, None));
        }
        let target = (KUBEADM_CONFIG, "ClusterConfiguration");
        changes.extend(change(target, &found.cluster, cluster, overlay, None));
        changes
    }

    fn addon_changes(&self, found: &Found, cluster: &Value) -> Vec<Change> {
        let mut changes = Vec::new();
        let repository = cluster["imageRepository"].as_str().unwrap_or(DEFAULT_IMAGE_REPOSITORY);
        if let Some(kube_proxy) = &found.kube_proxy {
            self.change_kube_proxy(kube_proxy, repository, &mut changes);
        }
        let theirs = |field: &str| !cluster["dns"][field].is_null();
        if let Some(present) = &found.core_dns
            && !theirs("imageRepository")
            && !theirs("imageTag")
            && let Some(image) = images::core_dns(present, repository, self.version)
        {
            changes.push(Change::CoreDns { image });
        }
        changes
    }

    fn cluster(&self, present: &Document) -> (Value, String) {
        let wanted = Overlay::of(&self.customisation);
        let last = Overlay::noted(present.applied.as_deref());
        let merged = cluster_configuration::merge(&present.content, &last, &wanted, self.version);
        (merged, wanted.note())
    }

    fn change_kube_proxy(&self, present: &KubeProxy, repository: &str, changes: &mut Vec<Change>) {
        let wanted = &self.customisation.kube_proxy;
        let configuration = &present.configuration;
        let merged = merge::merge(&configuration.content, &configuration.applied(), wanted, &Map::new());
        let mut rollout = configuration.rollout.clone();
        if merged != configuration.content {
            rollout = Some(digest(&merged));
        }
        let applied = Value::from(wanted.clone()).to_string();
        let target = (KUBE_PROXY, "config.conf");
        changes.extend(change(target, configuration, &merged, applied, rollout.clone()));
        let Some(image) = &present.image else {
            return;
        };
        let new = images::kube_proxy(image, repository, self.version);
        if new.is_some() || (rollout.is_some() && rollout != present.rollout) {
            changes.push(Change::KubeProxy {
                image: new.unwrap_or_else(|| image.clone()),
                rollout,
            });
        }
    }
}

fn change(
    (name, key): (&'static str, &'static str),
    present: &Document,
    merged: &Value,
    applied: String,
    rollout: Option<String>,
) -> Option<Change> {
    let content = *merged != present.content;
    (content || present.applied.as_deref() != Some(applied.as_str())).then(|| Change::Document {
        name,
        key,
        text: yaml::document(merged),
        applied,
        rollout,
        content,
    })
}

/// A few letters that stand for a configuration.
fn digest(content: &Value) -> String {
    use std::fmt::Write as _;

    use sha2::{Digest as _, Sha256};

    let digest = Sha256::digest(content.to_string());
    digest.iter().take(8).fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a String cannot fail");
        text
    })
}
