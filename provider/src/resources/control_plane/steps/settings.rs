//! Changing what the cluster says of itself, as `kubeadm upgrade` does: its settings before machines of another version, or
//! of another choice, join, and kubeadm's addons when those of an earlier version are gone.

use multizone_kubernetes::{
    cluster_access::ClusterSettingsError,
    cluster_settings::{Part, SettingsError},
};
use multizone_schema::Diagnostics;
use tracing::warn;

use super::super::{executor::Executor, observe::Observation, settings::Own};

impl Executor<'_> {
    /// Brings a part of it to what is wanted.
    pub(in crate::resources::control_plane) async fn apply_settings(
        &mut self,
        part: Part,
        observation: &Observation,
    ) -> Result<(), Diagnostics> {
        let connection = self.connection(observation, None)?;
        let wanted = self.wanted.settings();
        let applied = connection.apply_cluster_settings(&wanted, part, self.deadline, self.stop.wait());
        applied.await.map_err(|error| self.settings_failed(&error))?;
        let now = Own::wanted(&self.wanted);
        let own = self.remembered.own.get_or_insert_with(|| now.clone());
        own.read.clear();
        match part {
            Part::Settings => own.settings = now.settings,
            Part::Addons => own.addons = now.addons,
        }
        Ok(())
    }

    /// Notes in a new cluster what of its settings is this provider's, so that what is no longer wanted can go later.
    pub(in crate::resources::control_plane) async fn note_settings(&self) -> Result<(), Diagnostics> {
        let wanted = self.wanted.settings();
        for part in [Part::Settings, Part::Addons] {
            let noted = self
                .endpoint
                .apply_cluster_settings(&wanted, part, self.deadline, self.stop.wait());
            match noted.await {
                Ok(()) => {}
                // kubeadm is not that far on a master that nobody waits to be ready.
                Err(ClusterSettingsError::Settings(SettingsError::Absent(name))) => {
                    warn!(cluster = %self.wanted.cluster, name, "what of the settings is the provider's is not noted");
                }
                Err(error) => return Err(self.settings_failed(&error)),
            }
        }
        Ok(())
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
