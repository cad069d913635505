//! What the cluster says of itself (kubeadm-config, kubelet-config; kube-proxy, `CoreDNS`), in the planner's words.

use multizone_kubernetes::{
    cluster_access::{Cluster as ClusterConnection, ClusterSettingsError},
    cluster_settings::{Found, SettingsError},
};
use multizone_planner::{cluster::Settings, fingerprint};
use tokio::time::timeout;
use tracing::warn;

use super::{
    observe::LOOK,
    seen::Seen,
    wanted::{Wanted, version},
};

/// The fingerprint of settings or addons that are not what is wanted, or that cannot be read.
const OTHERS: &str = "others";

/// The settings of a cluster, and kubeadm's addons in it, where there are any.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Own {
    pub(super) settings: Settings,
    pub(super) addons: Option<Settings>,
    /// What was read, in short; empty when nothing was.
    pub(super) read: String,
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
            read: String::new(),
        }
    }

    /// Those of an earlier look, if they were known then.
    pub(super) fn seen(seen: &Seen) -> Option<Self> {
        Some(Self {
            settings: seen.world.settings.clone()?,
            addons: seen.world.addons.clone(),
            read: seen.read.clone(),
        })
    }

    /// What is found, if it is not what is wanted, is whatever it was known to be when it was found before: an update that
    /// did not come to its end has put more in place than Terraform's state says.
    fn found(found: &Found, wanted: &Wanted, known: Option<&Self>) -> Result<Self, SettingsError> {
        let settings = wanted.settings();
        let named = found.version()?;
        let read = format!("{:016x}", fingerprint(&[format!("{found:?}").as_str()]));
        let known = known.filter(|known| known.read == read);
        let or_known = |is_wanted, fingerprint, known: Option<&Settings>| {
            if is_wanted {
                return fingerprint;
            }
            known.map_or_else(|| OTHERS.to_owned(), |known| known.fingerprint.clone())
        };
        let addons_are_in = settings.addons_are_in(found)?;
        let addons_version = found
            .kube_proxy_version()
            .unwrap_or(if addons_are_in { settings.version } else { named });
        Ok(Self {
            settings: Settings {
                version: version(named),
                fingerprint: or_known(
                    settings.are_in(found)?,
                    wanted.settings_fingerprint(),
                    known.map(|known| &known.settings),
                ),
            },
            addons: found.has_addons().then(|| Settings {
                version: version(addons_version),
                fingerprint: or_known(
                    addons_are_in,
                    wanted.addons_fingerprint(),
                    known.and_then(|known| known.addons.as_ref()),
                ),
            }),
            read,
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
pub(super) async fn read(connection: &ClusterConnection, wanted: &Wanted, known: Option<&Own>) -> Said {
    let found = match timeout(LOOK, connection.cluster_settings()).await {
        Ok(Ok(found)) => Own::found(&found, wanted, known),
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
            read: String::new(),
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
            cluster: document(json!({
                "apiVersion": "kubeadm.k8s.io/v1beta4",
                "kind": "ClusterConfiguration",
                "kubernetesVersion": format!("v{version}"),
            })),
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
        let own = Own::found(&found(version, kube_proxy, core_dns), &wanted(), None).unwrap();
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

    /// What a user chooses for the API server, and for kube-proxy.
    fn choosing(value: &str) -> Wanted {
        use multizone_kubernetes::kubeadm::{Component, ComponentSettings, kube_proxy_configuration};
        let mut wanted = wanted();
        let chosen = ComponentSettings {
            arguments: [("v".to_owned(), vec![value.to_owned()])].into(),
            volumes: std::collections::BTreeMap::new(),
        };
        let customisation = &mut wanted.customisation;
        customisation.components.insert(Component::ApiServer, chosen);
        customisation.kube_proxy = kube_proxy_configuration(&format!("metricsBindAddress: 127.0.0.1:{value}")).unwrap();
        wanted
    }

    #[test]
    fn what_an_update_that_failed_has_put_in_place_is_known_by_the_next_plan() {
        let (before, after) = (choosing("2"), choosing("4"));
        let mut found = found("1.34.1", Some("registry.k8s.io/kube-proxy:v1.34.1"), None);
        found.cluster.content["apiServer"]["extraArgs"] = json!([
            { "name": "shutdown-delay-duration", "value": "10s" },
            { "name": "v", "value": "4" },
        ]);
        found.kube_proxy.as_mut().unwrap().configuration.content = json!({ "metricsBindAddress": "127.0.0.1:4" });
        let failed = Own::found(&found, &after, None).unwrap();
        let at = |own: &Own| {
            let addons = own.addons.as_ref().unwrap();
            [own.settings.fingerprint.clone(), addons.fingerprint.clone()]
        };
        let wanted = [after.settings_fingerprint(), after.addons_fingerprint()];
        assert_eq!(at(&failed), wanted);
        // A refresh knows the configuration of Terraform's state, which is the one before.
        assert_eq!(at(&Own::found(&found, &before, Some(&failed)).unwrap()), wanted);
        assert_eq!(at(&Own::found(&found, &before, None).unwrap()), [OTHERS, OTHERS]);
        found.cluster.content["apiServer"]["extraArgs"] = json!([]);
        let changed = Own::found(&found, &before, Some(&failed)).unwrap();
        assert_eq!(changed.settings.fingerprint, OTHERS, "somebody has changed it since");
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
