//! The balancer and its targets.

use std::collections::BTreeSet;

use multizone_cloud::{Balancer, BalancerSpec, CloudError, ClusterName, Labels, TargetHealth};
use multizone_kubernetes::API_SERVER_PORT;
use multizone_planner::cluster::World;
use multizone_schema::Diagnostics;

use super::Traffic;
use crate::{configuration::Configured, resources::identity::cluster_labels};

/// What a target that is healthy answers with 200.
const HEALTH_PATH: &str = "/readyz";

impl Traffic<'_> {
    pub(super) fn balancer_name(&self) -> Result<&str, Diagnostics> {
        self.balancer.ok_or_else(|| {
            let what = format!("Cluster {} has no balancer.", self.cluster);
            self.situation.error(&what, "This is an error in the provider.")
        })
    }

    pub(super) async fn create_balancer(&self) -> Result<(), Diagnostics> {
        self.ensure(BTreeSet::new(), self.labels.cloned().unwrap_or_default())
            .await
    }

    pub(super) async fn span(&self, zone: &str) -> Result<(), Diagnostics> {
        let balancer = self.found().await?;
        let zones = balancer.zones.iter().cloned().chain([zone.to_owned()]).collect();
        self.ensure(zones, self.labels_of(&balancer)).await
    }

    pub(super) async fn unspan(&self, zone: &str) -> Result<(), Diagnostics> {
        let balancer = self.found().await?;
        let zones = balancer.zones.iter().filter(|own| *own != zone).cloned().collect();
        self.ensure(zones, self.labels_of(&balancer)).await
    }

    /// Puts right what somebody has changed, and the labels; the zones stay.
    pub(crate) async fn correct(&self) -> Result<(), Diagnostics> {
        let balancer = self.found().await?;
        let labels = self.labels_of(&balancer);
        if balancer.unexpected.is_none() && labels == balancer.labels {
            return Ok(());
        }
        self.ensure(balancer.zones, labels).await
    }

    pub(super) async fn delete_balancer(&self) -> Result<(), Diagnostics> {
        let name = self.balancer_name()?;
        self.cloud(self.provider.cloud().delete_balancer(self.cluster, name))
            .await
    }

    pub(super) async fn register(&self, machine: &str, world: &World) -> Result<(), Diagnostics> {
        let name = self.balancer_name()?;
        let zone = match world.machines.get(machine) {
            Some(machine) => machine.zone.clone(),
            None => self.zone_of(machine).await?,
        };
        self.cloud(
            self.provider
                .cloud()
                .register_target(self.cluster, name, &zone, machine),
        )
        .await?;
        loop {
            let balancer = self.found().await?;
            let target = balancer.target(&zone, machine).map(|target| target.health);
            if target == Some(TargetHealth::Serving) {
                return Ok(());
            }
            let health = target.map_or_else(|| "absent".to_owned(), |health| health.to_string());
            self.pause(
                &format!("master {machine} in {zone} to serve behind balancer {name}: it is {health}"),
                "It stays behind the balancer and gets no requests until it is healthy. Its own /readyz says why it is not; \
                 if it is ready, see whether a firewall is in the way of the balancer's health probes to port 6443. Then \
                 apply again.",
            )
            .await?;
        }
    }

    pub(super) async fn deregister(&self, machine: &str) -> Result<(), Diagnostics> {
        let name = self.balancer_name()?;
        let balancer = self.found().await?;
        let zones = balancer.targets.iter().filter(|target| target.machine == machine);
        for zone in zones.map(|target| &target.zone) {
            self.cloud(
                self.provider
                    .cloud()
                    .deregister_target(self.cluster, name, zone, machine),
            )
            .await?;
        }
        Ok(())
    }

    async fn ensure(&self, zones: BTreeSet<String>, labels: Labels) -> Result<(), Diagnostics> {
        let spec = specification(self.cluster, self.balancer_name()?, zones, labels);
        self.cloud(self.provider.cloud().ensure_balancer(&spec)).await.map(drop)
    }

    /// The labels it is to have.
    fn labels_of(&self, balancer: &Balancer) -> Labels {
        let mut labels = self.labels.unwrap_or(&balancer.labels).clone();
        labels.extend(cluster_labels(self.cluster));
        labels
    }

    /// The balancer as it is now.
    async fn found(&self) -> Result<Balancer, Diagnostics> {
        let name = self.balancer_name()?;
        let inventory = self.provider.inventory(self.cluster).await;
        let inventory = inventory.map_err(|error| self.situation.cloud(&error))?;
        inventory.balancer(name).cloned().ok_or_else(|| {
            self.situation.error(
                &format!(
                    "Balancer {name} of cluster {} is gone since it was looked at.",
                    self.cluster
                ),
                "Run terraform apply again: what is left to do is found out anew.",
            )
        })
    }
}

/// Gives a balancer other labels; what it is otherwise stays, and what somebody has changed is put right.
pub(crate) async fn relabel(
    provider: &Configured,
    cluster: &ClusterName,
    balancer: &Balancer,
    labels: Labels,
) -> Result<(), CloudError> {
    let spec = specification(cluster, &balancer.name, balancer.zones.clone(), labels);
    provider.cloud().ensure_balancer(&spec).await?;
    provider.forget(cluster).await;
    Ok(())
}

fn specification(cluster: &ClusterName, name: &str, zones: BTreeSet<String>, mut labels: Labels) -> BalancerSpec {
    labels.extend(cluster_labels(cluster));
    BalancerSpec {
        cluster: cluster.clone(),
        name: name.to_owned(),
        zones,
        port: API_SERVER_PORT,
        health_path: HEALTH_PATH.to_owned(),
        labels,
    }
}
