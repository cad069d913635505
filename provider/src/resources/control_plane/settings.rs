//! What the cluster says of itself (kubeadm-config, kubelet-config; kube-proxy, `CoreDNS`), in the planner's words.

use multizone_kubernetes::{
    cluster_access::{Cluster as ClusterConnection, ClusterSettingsError},
    cluster_settings::{Found, SettingsError},
};
use multizone_planner::cluster::{Settings, World};
use tokio::time::timeout;
use tracing::warn;

use super::{
    observe::LOOK,
    wanted::{Wanted, version},
};

/// The fingerprint of settings or addons that are not what is wanted, or that cannot be read.
const OTHERS: &str = "others";

/// The settings of a cluster, and kubeadm's addons in it, where there are any.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Own {
    pub(super) settings: Settings,
    pub(super) addons: Option<Settings>,
}

impl Own {
    /// Those that are wanted.
    pub(super) fn wanted(wanted: &Wanted) -> Self {
        let at = |fingerprint| Settings {
            version: wanted.version(),
            fingerprint,
        };
        Self {
            settings: at(wanted.settings_fingerprint()),
            addons: Some(at(wanted.addons_fingerprint())),
        }
    }

    /// Those of an earlier look, if they were known then.
    pub(super) fn seen(world: &World) -> Option<Self> {
        Some(Self {
            settings: world.settings.clone()?,
            addons: world.addons.clone(),
        })
    }

    fn found(found: &Found, wanted: &Wanted) -> Result<Self, SettingsError> {
        let settings = wanted.settings();
        let named = found.version()?;
        let or_others = |is_wanted, fingerprint| if is_wanted { fingerprint } else { OTHERS.to_owned() };
        let addons_are_in = settings.addons_are_in(found)?;
        let addons_version = found
            .kube_proxy_version()
            .unwrap_or(if addons_are_in { settings.version } else { named });
        Ok(Self {
            settings: Settings {
                version: version(named),
                fingerprint: or_others(settings.are_in(found)?, wanted.settings_fingerprint()),
            },
            addons: found.has_addons().then(|| Settings {
                version: version(addons_version),
                fingerprint: or_others(addons_are_in, wanted.addons_fingerprint()),
            }),
        })
    }
}

/// What a cluster says of itself.
#[derive(Debug)]
pub(super) enum Said {
    /// Nobody answers, or not in time.
    Nothing,
    /// There are no settings, or none that can be worked on.
    Unusable,
    /// What they are.
    Settings(Own),
}

/// Reads it through a connection to an API server.
pub(super) async fn read(connection: &ClusterConnection, wanted: &Wanted) -> Said {
    let found = match timeout(LOOK, connection.cluster_settings()).await {
        Ok(Ok(found)) => Own::found(&found, wanted),
        Ok(Err(ClusterSettingsError::Access(error))) => {
            warn!(cluster = %wanted.cluster, %error, "the cluster's settings cannot be read");
            return Said::Nothing;
        }
        Ok(Err(ClusterSettingsError::Settings(error))) => Err(error),
        Err(_) => return Said::Nothing,
    };
    match found {
        Ok(own) => Said::Settings(own),
        Err(error) => {
            warn!(cluster = %wanted.cluster, %error, "the cluster's settings make no sense");
            Said::Unusable
        }
    }
}

/// What the planner is told.  While the first master is still being made, and where nobody answers, the cluster is taken
/// to be as it was known, or as it is to be.
pub(super) fn told(said: Said, wanted: &Wanted, known: Option<&Own>, initialised: bool) -> Own {
    let known = || known.cloned().unwrap_or_else(|| Own::wanted(wanted));
    match said {
        Said::Settings(own) => own,
        Said::Nothing => known(),
        Said::Unusable if initialised => {
            let mut known = known();
            OTHERS.clone_into(&mut known.settings.fingerprint);
            known
        }
        Said::Unusable => Own::wanted(wanted),
    }
}

#[cfg(test)]
mod tests {
    use multizone_planner::Version;
    use serde_json::{Value, json};

    use super::*;
    use crate::resources::control_plane::tests::wanted;

    #[test]
    fn a_cluster_that_does_not_answer_is_as_it_was_known() {
        let wanted = wanted();
        let as_wanted = Own::wanted(&wanted);
        let at = |minor, fingerprint: &str| Settings {
            version: Version::new(1, minor, 0),
            fingerprint: fingerprint.to_owned(),
        };
        let known = Own {
            settings: at(33, "known"),
            addons: Some(at(32, "known, too")),
        };
        assert_eq!(told(Said::Nothing, &wanted, Some(&known), true), known);
        assert_eq!(told(Said::Nothing, &wanted, None, true), as_wanted);
        assert_eq!(
            told(Said::Unusable, &wanted, None, false),
            as_wanted,
            "it is being made"
        );
        let unusable = told(Said::Unusable, &wanted, Some(&known), true);
        assert_ne!(
            unusable.settings.fingerprint, known.settings.fingerprint,
            "an apply says what is wrong"
        );
    }

    /// A cluster whose settings name a version, with these images of its addons.
    fn found(version: &str, kube_proxy: Option<&str>, core_dns: Option<&str>) -> Found {
        use multizone_kubernetes::cluster_settings::{Document, KubeProxy};
        let document = |content: Value| Document {
            content,
            applied: None,
            rollout: None,
        };
        Found {
            cluster: document(json!({ "kubernetesVersion": format!("v{version}") })),
            kubelet: None,
            kube_proxy: kube_proxy.map(|image| KubeProxy {
                configuration: document(json!({})),
                image: Some(image.to_owned()),
                rollout: None,
            }),
            core_dns: core_dns.map(str::to_owned),
        }
    }

    /// The addons' version, and whether they are those that are wanted, at 1.34.1.
    fn addons(version: &str, kube_proxy: Option<&str>, core_dns: Option<&str>) -> Option<(String, bool)> {
        let own = Own::found(&found(version, kube_proxy, core_dns), &wanted()).unwrap();
        let addons = own.addons?;
        Some((addons.version.to_string(), addons.fingerprint != OTHERS))
    }

    #[test]
    fn addons_have_kube_proxys_version_whatever_the_settings_name() {
        let core_dns = Some("registry.k8s.io/coredns/coredns:v1.12.1");
        let old = Some("registry.k8s.io/kube-proxy:v1.33.4");
        let new = Some("registry.k8s.io/kube-proxy:v1.34.1");
        let seen = |version: &str, is_wanted| Some((version.to_owned(), is_wanted));
        assert_eq!(addons("1.34.1", new, core_dns), seen("1.34.1", true));
        assert_eq!(addons("1.34.1", old, core_dns), seen("1.33.4", false), "left behind");
        assert_eq!(addons("1.33.4", old, core_dns), seen("1.33.4", false));
    }

    #[test]
    fn addons_of_others_are_none() {
        let core_dns = "registry.k8s.io/coredns/coredns:v1.12.1";
        let older = "registry.k8s.io/coredns/coredns:v1.12.0";
        assert_eq!(addons("1.34.1", None, None), None);
        assert_eq!(addons("1.34.1", None, Some("vendor/dns:v1")), None);
        assert_eq!(
            addons("1.33.4", None, Some(core_dns)),
            Some(("1.34.1".to_owned(), true))
        );
        assert_eq!(addons("1.33.4", None, Some(older)), Some(("1.33.4".to_owned(), false)));
    }
}
