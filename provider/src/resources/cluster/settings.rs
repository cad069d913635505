//! What others have to know about a cluster, found in its cloud: only `multizone_cluster` has it in its state.

use std::{collections::BTreeSet, time::Duration};

use multizone_cloud::ClusterName;
use multizone_kubernetes::{
    cluster_access::{Cluster as ClusterConnection, ClusterAddress},
    endpoint::ControlPlaneEndpoint,
    pki::ClusterPki,
};
use multizone_schema::Diagnostics;
use serde::Deserialize;

use super::{API_ADDRESS, SecretNames, Situation};
use crate::configuration::Configured;

/// A certificate for one operation outlives the longest of them.
const OPERATOR_LIFETIME: Duration = Duration::from_hours(2);

/// The format of [`ClusterSettings`] that this release writes.
const FORMAT: u32 = 1;

/// What to do about keys that stop a destroy because they make no sense.
const UNREADABLE_KEYS: &str = "If a later release of the provider wrote it, destroy with that one. Otherwise restore its \
                               earlier version in the secret store. If there is none, delete the secret: destroying the \
                               control plane then deletes its masters without asking anybody.";

/// The same of settings.
const UNREADABLE_SETTINGS: &str = "If a later release of the provider wrote it, destroy with that one. Otherwise delete \
                                   the secret, apply multizone_cluster, which writes it anew, and destroy again.";

/// What to do about settings that stop a destroy because they are gone.
const GONE_SETTINGS: &str = "Apply multizone_cluster, which writes it anew, and destroy again.";

/// What a cluster's control plane and node groups have to know; kept beside the keys, and not secret.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct ClusterSettings {
    format: u32,
    /// Addresses of the pods.
    pub pod_cidr: String,
    /// Addresses of the services.
    pub service_cidr: String,
    /// Certificate of the cluster's authority, in PEM.
    pub ca_certificate: String,
    /// The zones that it spans; `None` when they were not kept: an earlier release did not.
    #[serde(default)]
    pub zones: Option<BTreeSet<String>>,
    /// Whether it must not be destroyed.
    #[serde(default)]
    pub deletion_protection: bool,
}

impl ClusterSettings {
    /// Settings in this release's format.
    pub fn new(pod_cidr: String, service_cidr: String, ca_certificate: String) -> Self {
        Self {
            format: FORMAT,
            pod_cidr,
            service_cidr,
            ca_certificate,
            zones: None,
            deletion_protection: false,
        }
    }

    /// The same for a cluster that spans these zones.
    #[must_use]
    pub fn spanning(mut self, zones: impl IntoIterator<Item = String>) -> Self {
        self.zones = Some(zones.into_iter().collect());
        self
    }

    /// The same for a cluster that must not be destroyed, or may be.
    #[must_use]
    pub fn protected(mut self, protected: bool) -> Self {
        self.deletion_protection = protected;
        self
    }

    /// As they are stored.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::json!({
            "format": self.format,
            "pod_cidr": self.pod_cidr,
            "service_cidr": self.service_cidr,
            "ca_certificate": self.ca_certificate,
            "zones": self.zones,
            "deletion_protection": self.deletion_protection,
        })
        .to_string()
        .into_bytes()
    }

    /// As they were stored.
    pub fn from_json(json: &[u8]) -> Result<Self, String> {
        let settings: Self = serde_json::from_slice(json).map_err(|error| error.to_string())?;
        if settings.format == FORMAT {
            Ok(settings)
        } else {
            Err(format!("format {} is not known", settings.format))
        }
    }
}

/// The settings of a cluster of this region.
pub(super) async fn settings(
    provider: &Configured,
    cluster: &ClusterName,
    situation: &Situation<'_>,
) -> Result<ClusterSettings, Diagnostics> {
    let name = SecretNames::of(provider.cloud().region(), cluster).settings;
    let stored = provider
        .cloud()
        .secret(&name)
        .await
        .map_err(|error| situation.cloud(&error))?;
    let Some(stored) = stored else {
        if situation.deletes() {
            let what = format!("The secret {name} with the settings of cluster {cluster} is gone.");
            return Err(situation.error(&what, GONE_SETTINGS));
        }
        let none = "settings: it does not exist, or its create has not finished";
        return Err(missing(provider, cluster, none, situation));
    };
    readable(&name, &stored, cluster, situation)
}

/// The settings of a cluster of this region that may not be there.
pub(super) async fn settings_if_any(
    provider: &Configured,
    cluster: &ClusterName,
    situation: &Situation<'_>,
) -> Result<Option<ClusterSettings>, Diagnostics> {
    let name = SecretNames::of(provider.cloud().region(), cluster).settings;
    let question = provider.cloud().secret(&name);
    let stored = provider
        .ask(&format!("the settings of cluster {cluster}"), question)
        .await
        .map_err(|error| situation.cloud(&error))?;
    stored
        .map(|stored| readable(&name, &stored, cluster, situation))
        .transpose()
}

fn readable(
    name: &str,
    stored: &[u8],
    cluster: &ClusterName,
    situation: &Situation<'_>,
) -> Result<ClusterSettings, Diagnostics> {
    ClusterSettings::from_json(stored).map_err(|error| {
        let next = if situation.deletes() {
            UNREADABLE_SETTINGS
        } else {
            "Delete the secret and apply multizone_cluster: it is written anew."
        };
        situation.error(
            &format!("The secret {name} with the settings of cluster {cluster} cannot be read: {error}."),
            next,
        )
    })
}

fn missing(provider: &Configured, cluster: &ClusterName, what: &str, situation: &Situation<'_>) -> Diagnostics {
    situation.error(
        &format!("Cluster {cluster} in region {} has no {what}.", provider.cloud().region()),
        "Create it with multizone_cluster first; refer to it as multizone_cluster.NAME.name, so that Terraform knows the \
         order.",
    )
}

/// A cluster that exists.
#[derive(Clone, Debug)]
pub struct ClusterFacts {
    /// Its name.
    pub cluster: ClusterName,
    /// Names of its secrets.
    pub secrets: SecretNames,
    /// Its settings.
    pub settings: ClusterSettings,
    /// Where its API answers.
    pub endpoint: ControlPlaneEndpoint,
}

impl ClusterFacts {
    /// Finds a cluster of this region.
    pub async fn find(
        provider: &Configured,
        cluster: &ClusterName,
        situation: &Situation<'_>,
    ) -> Result<Self, Diagnostics> {
        let secrets = SecretNames::of(provider.cloud().region(), cluster);
        let settings = settings(provider, cluster, situation).await?;
        let inventory = provider
            .known_inventory(cluster)
            .await
            .map_err(|error| situation.cloud(&error))?;
        let address = inventory
            .address(API_ADDRESS)
            .ok_or_else(|| missing(provider, cluster, "stable address", situation))?;
        let endpoint = ControlPlaneEndpoint::new(address.address.to_string());
        Ok(Self {
            cluster: cluster.clone(),
            secrets,
            settings,
            endpoint,
        })
    }

    /// The cluster's keys: for its owner.
    pub async fn pki(&self, provider: &Configured, situation: &Situation<'_>) -> Result<ClusterPki, Diagnostics> {
        let name = &self.secrets.keys;
        let restore =
            "Restore its earlier version in the secret store; the masters have the same files in /etc/kubernetes/pki.";
        let unusable = |what: &str, next: &str| {
            let what = format!("The secret {name} with the keys of cluster {} {what}.", self.cluster);
            situation.error(&what, next)
        };
        let stored = provider
            .cloud()
            .secret(name)
            .await
            .map_err(|error| situation.cloud(&error))?;
        let stored = stored.ok_or_else(|| unusable("is gone", restore))?;
        let next = if situation.deletes() { UNREADABLE_KEYS } else { restore };
        ClusterPki::from_secret(&stored).map_err(|error| unusable(&format!("cannot be read: {error}"), next))
    }

    /// A connection to the API for one operation of the cluster's owner.
    pub async fn connect_as_operator(
        &self,
        provider: &Configured,
        situation: &Situation<'_>,
    ) -> Result<ClusterConnection, Diagnostics> {
        let pki = self.pki(provider, situation).await?;
        let failed = |error: &dyn std::fmt::Display| {
            situation.error(
                &format!("Cannot connect to the Kubernetes API: {error}."),
                "This is an error in the provider.",
            )
        };
        let credential = pki
            .operator_credential(provider.now(), OPERATOR_LIFETIME)
            .map_err(|error| failed(&error))?;
        let address = ClusterAddress::new(&self.endpoint, self.settings.ca_certificate.clone());
        ClusterConnection::connect(&address, &credential).map_err(|error| failed(&error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_as_they_are_written_and_later_formats_are_refused() {
        let settings = ClusterSettings::new("10.244.0.0/16".into(), "10.96.0.0/12".into(), "PEM".into())
            .spanning(["us-central1-a".to_owned()])
            .protected(true);
        assert_eq!(ClusterSettings::from_json(&settings.to_json()), Ok(settings.clone()));
        let later = ClusterSettings { format: 2, ..settings };
        assert!(ClusterSettings::from_json(&later.to_json()).is_err());
        assert!(ClusterSettings::from_json(b"{}").is_err());
        let earlier = br#"{"format": 1, "pod_cidr": "", "service_cidr": "", "ca_certificate": ""}"#;
        assert_eq!(ClusterSettings::from_json(earlier).unwrap().zones, None);
    }
}
