//! A snapshot of etcd before masters change.

use multizone_kubernetes::etcd::{CLIENT_PORT, Endpoint};
use multizone_schema::Diagnostics;

use super::{
    super::{executor::Executor, observe::Observation},
    masters,
};

impl Executor<'_> {
    /// Saves a snapshot of etcd in a new file, readable by its owner alone: it holds every Secret in plain text.
    pub(super) async fn back_up(&mut self, observation: &Observation) -> Result<(), Diagnostics> {
        let Some(directory) = self.wanted.backup.clone() else {
            return Ok(());
        };
        let connection = self.connection(observation, None)?;
        let healthy = masters(observation, None).find(|machine| {
            let member = observation.world.member_of(&machine.name);
            member.is_some_and(|(_, member)| member.healthy && !member.learner)
        });
        let Some((machine, address)) = healthy.and_then(|machine| Some((machine, machine.address?))) else {
            let what = "etcd has no healthy member that a snapshot could be taken of, and etcd_backup asks for one.";
            let next =
                "Apply again once etcd answers, or without etcd_backup: masters are then changed without a snapshot.";
            return Err(self.situation().error(what, next));
        };
        let endpoint = Endpoint {
            name: machine.name.clone(),
            host: address.to_string(),
            port: CLIENT_PORT,
        };
        let etcd = self.observer.etcd(&connection, [machine]);
        let time = self.provider.now().strftime("%Y%m%dT%H%M%SZ");
        let name = format!("{}-etcd-{time}.db", self.wanted.cluster);
        let path = std::path::Path::new(&directory).join(name);
        let unusable = |error: &dyn std::fmt::Display| {
            let what = format!("The snapshot of etcd cannot be saved as {}: {error}.", path.display());
            self.situation().error(
                &what,
                "Name a directory in etcd_backup that can be written to, then apply again.",
            )
        };
        let part = path.with_extension("part");
        tokio::fs::create_dir_all(&directory)
            .await
            .map_err(|error| unusable(&error))?;
        let mut options = tokio::fs::OpenOptions::new();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        options.mode(0o600);
        let mut file = options.open(&part).await.map_err(|error| unusable(&error))?;
        let taken = etcd.snapshot(&endpoint, &mut file).await;
        if taken.is_err() {
            // What there is of it holds Secrets, and restores nothing.
            drop(tokio::fs::remove_file(&part).await);
        }
        let facts = taken.map_err(|error| {
            let what = format!(
                "No snapshot of etcd could be taken of master {}: {error}.",
                machine.name
            );
            let next = "See whether there is room at etcd_backup and whether etcd answers, then apply again.";
            self.situation().error(&what, next)
        })?;
        file.sync_all().await.map_err(|error| unusable(&error))?;
        tokio::fs::rename(&part, &path)
            .await
            .map_err(|error| unusable(&error))?;
        tracing::info!(path = %path.display(), bytes = facts.bytes, sha256 = facts.sha256, "etcd is backed up");
        self.remembered.backed_up = true;
        Ok(())
    }
}
