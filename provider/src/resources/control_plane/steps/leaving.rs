//! A master leaves: drained, its API server stopped.

use std::time::Duration;

use multizone_cloud::Machine as CloudMachine;
use multizone_kubernetes::cluster_access::{
    AccessError, Cluster as ClusterConnection, DrainError, DrainOptions, SHELL_IMAGE,
};
use multizone_schema::Diagnostics;
use tokio::time::Instant;

use super::{
    super::{executor::Executor, observe::Observation},
    masters,
};
use crate::resources::{timeouts, world::Asks as _};

/// How long an API server is held at most: long enough to remove its member and to stop its machine.
const HOLD: Duration = Duration::from_hours(1);
/// How long the endpoint record of an API server that has ended may take to go with it.
const RECORD: Duration = Duration::from_secs(3);
/// How long an API server may take to end once it is held; then it is held anew.
const ENDING: Duration = Duration::from_secs(30);
/// Between two looks at one API server.
const GLANCE: Duration = Duration::from_millis(100);

impl Executor<'_> {
    pub(super) async fn drain(&mut self, name: &str, observation: &Observation) -> Result<(), Diagnostics> {
        let connection = self.connection(observation, Some(name))?;
        let options = DrainOptions {
            timeout: DrainOptions::default().timeout.min(timeouts::left(self.deadline)),
            delete_empty_dir_data: true,
            ..DrainOptions::default()
        };
        let drained = connection.drain(name, &options, self.stop.wait()).await;
        drained.map_err(|error| match error {
            DrainError::Stopped { .. } => self.situation.stopped(),
            DrainError::Access { ref source, .. } => self.situation.error(&format!("{error}."), source.advice()),
            error => self
                .situation
                .error(&format!("{error}."), "Then run terraform apply again."),
        })?;
        self.remembered.drained.insert(name.to_owned());
        Ok(())
    }

    /// By a pod on the master, through another master's API server, until its own answers no more.
    pub(super) async fn stop_api_server(&self, name: &str, observation: &Observation) -> Result<(), Diagnostics> {
        let connection = self.connection(observation, Some(name))?;
        let machine = masters(observation, None).find(|machine| machine.name == name);
        loop {
            // A pod of an earlier hold that is over would be taken for this one's.
            let failed = |error: AccessError| self.access_failed(name, &error);
            connection.delete_hold(name).await.map_err(failed)?;
            let held = connection.hold_api_server(
                name,
                SHELL_IMAGE,
                HOLD,
                self.deadline,
                self.stop.wait(),
                self.serves_no_more(machine),
            );
            held.await.map_err(failed)?;
            tokio::select! {
                () = self.serves_no_more(machine) => return self.await_unrecorded(&connection, machine).await,
                () = tokio::time::sleep_until(self.deadline.min(Instant::now() + ENDING)) => {}
                () = self.stop.wait() => return Err(self.situation.stopped()),
            }
            if Instant::now() >= self.deadline {
                return Err(self.situation.error(
                    &format!("The API server of master {name} still serves although its manifest was taken away."),
                    "See how the pod multizone-hold-NODE in kube-system is doing; without it, halt the machine instead. \
                     Then apply again.",
                ));
            }
        }
    }

    /// Ends when the API server of a machine does not answer (any more).
    async fn serves_no_more(&self, machine: Option<&CloudMachine>) {
        if let Some(machine) = machine {
            while self.observer.asks.serves(machine).await {
                tokio::time::sleep(GLANCE).await;
            }
        }
    }

    /// A server that ends gracefully takes its endpoint record with it.  One that does not is waited for later.
    async fn await_unrecorded(
        &self,
        connection: &ClusterConnection,
        machine: Option<&CloudMachine>,
    ) -> Result<(), Diagnostics> {
        let Some(address) = machine.and_then(|machine| machine.address) else {
            return Ok(());
        };
        let until = self.deadline.min(Instant::now() + RECORD);
        while Instant::now() < until {
            match connection.api_server_endpoints().await {
                Ok(recorded) if recorded.contains(&address.into()) => {}
                _ => return Ok(()),
            }
            tokio::select! {
                () = tokio::time::sleep(GLANCE) => {}
                () = self.stop.wait() => return Err(self.situation.stopped()),
            }
        }
        Ok(())
    }

    pub(super) async fn start_api_server(&self, name: &str, observation: &Observation) -> Result<(), Diagnostics> {
        if let Ok(connection) = self.connection(observation, Some(name)) {
            let released = connection
                .release_api_server(name, SHELL_IMAGE, self.deadline, self.stop.wait())
                .await;
            released.map_err(|error| self.access_failed(name, &error))?;
        }
        // Where no other serves, the hold's own time ends it.
        let what = format!("The API server of master {name} did not serve again");
        let next = "Its manifest is put back by itself, within an hour of when it was taken away. Apply again then.";
        self.until(name, &what, next, |world, _| world.serves(name)).await?;
        let observation = self.observe().await?;
        let connection = self.connection(&observation, None)?;
        connection
            .delete_hold(name)
            .await
            .map_err(|error| self.access_failed(name, &error))
    }
}
