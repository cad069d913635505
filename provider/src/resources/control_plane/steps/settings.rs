//! Changing the settings that the cluster keeps of itself, as `kubeadm upgrade` does: before machines of another version, or
//! of another choice, join.

use multizone_kubernetes::{cluster_access::ClusterSettingsError, cluster_settings::SettingsError};
use multizone_planner::cluster::Settings;
use multizone_schema::Diagnostics;
use tracing::warn;

use super::super::{executor::Executor, observe::Observation};

impl Executor<'_> {
    /// Brings the settings in the cluster to what is wanted, as `kubeadm upgrade` does.
    pub(in crate::resources::control_plane) async fn apply_settings(
        &mut self,
        observation: &Observation,
    ) -> Result<(), Diagnostics> {
        let connection = self.connection(observation, None)?;
        let wanted = self.wanted.settings();
        let applied = connection.apply_cluster_settings(&wanted, self.deadline, self.stop.wait());
        applied.await.map_err(|error| self.settings_failed(&error))?;
        self.remembered.settings = Some(Settings {
            version: self.wanted.version(),
            fingerprint: self.wanted.settings_fingerprint(),
        });
        Ok(())
    }

    /// Notes in a new cluster what of its settings is this provider's, so that what is no longer wanted can go later.
    pub(in crate::resources::control_plane) async fn note_settings(&self) -> Result<(), Diagnostics> {
        let wanted = self.wanted.settings();
        let noted = self
            .endpoint
            .apply_cluster_settings(&wanted, self.deadline, self.stop.wait());
        match noted.await {
            Ok(()) => Ok(()),
            // kubeadm is not that far on a master that nobody waits to be ready.
            Err(ClusterSettingsError::Settings(SettingsError::Absent(name))) => {
                warn!(cluster = %self.wanted.cluster, name, "what of the settings is the provider's is not noted");
                Ok(())
            }
            Err(error) => Err(self.settings_failed(&error)),
        }
    }

    fn settings_failed(&self, error: &ClusterSettingsError) -> Diagnostics {
        let next = match error {
            _ if self.stop.requested() => return self.situation.stopped(),
            ClusterSettingsError::Access(error) => error.advice(),
            ClusterSettingsError::Settings(_) => {
                "Put it right as kubeadm would have written it (kubeadm init phase upload-config on a master), then apply \
                 again."
            }
        };
        let what = format!("The cluster's own settings were not changed: {error}.");
        self.situation().error(&what, next)
    }
}
