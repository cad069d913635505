//! The API's address, on its way.

use multizone_cloud::AddressHolder;
use multizone_planner::cluster::{Endpoint, Holder, World};
use multizone_schema::Diagnostics;
use tokio::time::Instant;
use tracing::{info, warn};

use super::{Outcome, Traffic};
use crate::resources::{identity::API_ADDRESS, world};

impl Traffic<'_> {
    /// Moves the address and asks through it.
    pub(super) async fn hand_over(&self, from: &Holder, to: &Holder, world: &World) -> Result<Outcome, Diagnostics> {
        if world.cloud.endpoint == Endpoint::DnsName {
            return Ok(Outcome::Done);
        }
        self.give_address(to).await?;
        if !world.holder_serves(to) || self.answers_in_time().await? {
            return Ok(Outcome::Done);
        }
        if *from == Holder::Nobody || !world.holder_serves(from) {
            warn!(cluster = %self.cluster, ?to, "the API does not answer at its address, and nobody else could take it");
            return Ok(Outcome::Done);
        }
        warn!(cluster = %self.cluster, ?from, ?to, "the API does not answer at its address on the new holder: it goes back");
        self.give_address(from).await?;
        Ok(Outcome::Failed(to.clone()))
    }

    /// Gives the address to a holder, whoever has it now.
    pub(super) async fn give_address(&self, to: &Holder) -> Result<(), Diagnostics> {
        let to = match to {
            Holder::Nobody => return self.release().await,
            Holder::Balancer => AddressHolder::Balancer {
                name: self.balancer_name()?.to_owned(),
            },
            Holder::Machine(name) => AddressHolder::Machine {
                zone: self.zone_of(name).await?,
                name: name.clone(),
            },
        };
        let began = Instant::now();
        self.cloud(self.provider.cloud().move_address(self.cluster, API_ADDRESS, &to))
            .await?;
        info!(cluster = %self.cluster, %to, milliseconds = began.elapsed().as_millis(), "the API's address has moved");
        Ok(())
    }

    /// Takes the address from whoever has it.
    pub(super) async fn release(&self) -> Result<(), Diagnostics> {
        self.cloud(self.provider.cloud().detach_address(self.cluster, API_ADDRESS))
            .await
    }

    async fn answers_in_time(&self) -> Result<bool, Diagnostics> {
        let until = self.deadline.min(Instant::now() + self.patience);
        loop {
            if self.asks.answers().await {
                return Ok(true);
            }
            if Instant::now() >= until {
                return Ok(false);
            }
            if self.stop.requested() {
                // Where the address is counts more than the proof: the next run finds out, and rolls back.
                return Err(self.situation.stopped());
            }
            tokio::time::sleep(super::PAUSE.min(until.saturating_duration_since(Instant::now()))).await;
        }
    }

    /// Waits until a request through the address is answered.
    pub(super) async fn await_answer(&self, holder: &Holder) -> Result<(), Diagnostics> {
        let who = match holder {
            Holder::Nobody => "nobody".to_owned(),
            Holder::Machine(name) => format!("machine {name}"),
            Holder::Balancer => "the balancer".to_owned(),
        };
        while !self.asks.answers().await {
            self.pause(
                &format!("an answer of the API at its address, which {who} holds and which serves by itself"),
                "The address is where it should be. See whether a firewall is in the way of port 6443, then apply again.",
            )
            .await?;
        }
        Ok(())
    }

    /// The zone of a master.
    pub(super) async fn zone_of(&self, machine: &str) -> Result<String, Diagnostics> {
        let inventory = self.provider.known_inventory(self.cluster).await;
        let inventory = inventory.map_err(|error| self.situation.cloud(&error))?;
        let found = world::masters(&inventory).find(|found| found.name == machine);
        found.map(|found| found.zone.clone()).ok_or_else(|| {
            self.situation.error(
                &format!("Master {machine} is gone since it was looked at."),
                "Run terraform apply again: what is left to do is found out anew.",
            )
        })
    }
}
