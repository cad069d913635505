//! The settings that the cluster keeps of itself (kubeadm-config, kubelet-config, kube-proxy, `CoreDNS`), in the planner's
//! words.

use multizone_kubernetes::cluster_access::{Cluster as ClusterConnection, ClusterSettingsError};
use multizone_planner::cluster::Settings;
use tokio::time::timeout;
use tracing::warn;

use super::{
    observe::LOOK,
    wanted::{Wanted, version},
};

/// The fingerprint of settings that are not what is wanted, or that cannot be read.
const OTHERS: &str = "others";

/// What a cluster says of itself.
#[derive(Debug)]
pub(super) enum Said {
    /// Nobody answers, or not in time.
    Nothing,
    /// There are no settings, or none that can be worked on.
    Unusable,
    /// What they are.
    Settings(Settings),
}

/// Reads them through a connection to an API server.
pub(super) async fn read(connection: &ClusterConnection, wanted: &Wanted) -> Said {
    let found = match timeout(LOOK, connection.cluster_settings()).await {
        Ok(Ok(found)) => found,
        Ok(Err(ClusterSettingsError::Access(error))) => {
            warn!(cluster = %wanted.cluster, %error, "the cluster's settings cannot be read");
            return Said::Nothing;
        }
        Ok(Err(ClusterSettingsError::Settings(error))) => {
            warn!(cluster = %wanted.cluster, %error, "the cluster's settings make no sense");
            return Said::Unusable;
        }
        Err(_) => return Said::Nothing,
    };
    let are_in = wanted.settings().are_in(&found);
    match (found.version(), are_in) {
        (Ok(named), Ok(are_in)) => Said::Settings(Settings {
            version: version(named),
            fingerprint: if are_in {
                wanted.settings_fingerprint()
            } else {
                OTHERS.to_owned()
            },
        }),
        (Err(error), _) | (_, Err(error)) => {
            warn!(cluster = %wanted.cluster, %error, "the cluster's settings make no sense");
            Said::Unusable
        }
    }
}

/// What the planner is told.  While the first master is still being made, and where nobody answers, the cluster is taken
/// to be as it was known, or as it is to be.
pub(super) fn told(said: Said, wanted: &Wanted, known: Option<&Settings>, initialised: bool) -> Settings {
    let as_wanted = || Settings {
        version: wanted.version(),
        fingerprint: wanted.settings_fingerprint(),
    };
    match said {
        Said::Settings(settings) => settings,
        Said::Nothing => known.cloned().unwrap_or_else(as_wanted),
        Said::Unusable if initialised => Settings {
            version: known.map_or_else(|| wanted.version(), |known| known.version),
            fingerprint: OTHERS.to_owned(),
        },
        Said::Unusable => as_wanted(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::control_plane::tests::wanted;

    #[test]
    fn a_cluster_that_does_not_answer_is_as_it_was_known() {
        let wanted = wanted();
        let as_wanted = Settings {
            version: wanted.version(),
            fingerprint: wanted.settings_fingerprint(),
        };
        let known = Settings {
            version: multizone_planner::Version::new(1, 33, 0),
            fingerprint: "known".to_owned(),
        };
        assert_eq!(told(Said::Nothing, &wanted, Some(&known), true), known);
        assert_eq!(told(Said::Nothing, &wanted, None, true), as_wanted);
        assert_eq!(
            told(Said::Unusable, &wanted, None, false),
            as_wanted,
            "it is being made"
        );
        let unusable = told(Said::Unusable, &wanted, Some(&known), true);
        assert_ne!(unusable.fingerprint, known.fingerprint, "an apply says what is wrong");
    }
}
