//! The inventory: everything that is a cluster's, in a number of calls that depends on pages only.
//!
//! Tags select on the server's side, and are compared again here in full: what a filter lets through is not proof.

use std::collections::BTreeMap;

use aws_sdk_ec2::types::Instance;
use multizone_cloud::{ClusterName, Inventory, Result};

use crate::{
    Aws,
    disks::is_boot,
    failure::About as _,
    instances::{ALIVE, alive, is_leaving, tags, volume_names},
    making::Called,
    tags::{is_of, of_cluster},
};

impl Aws {
    pub(crate) async fn inventory_of(&self, cluster: &ClusterName) -> Result<Inventory> {
        let object = format!("the inventory of cluster {cluster}");
        let read = async {
            futures::try_join!(
                self.network_of(cluster),
                self.firewall_rules_of(cluster),
                self.instances_of(cluster),
                self.volumes_of(cluster),
                self.snapshots_of(cluster),
                self.secrets_of(cluster),
                self.front(cluster),
            )
        };
        let (network, firewall_rules, instances, volumes, snapshots, secrets, front) =
            Box::pin(read).await.about(&object)?;
        let front = front.filter(|front| is_of(&front.tags, cluster));
        let names = volume_names(&volumes);
        let mut machines: Vec<_> = instances
            .iter()
            .map(|instance| self.machine_facts(instance, &names))
            .collect();
        let mut by_instance = BTreeMap::new();
        let mut names_by_instance = BTreeMap::new();
        for machine in &machines {
            by_instance.insert(machine.id.clone(), (machine.zone.clone(), machine.name.clone()));
            names_by_instance.insert(machine.id.clone(), machine.name.clone());
        }
        machines.sort_by(|a, b| (&a.zone, &a.name, &a.created).cmp(&(&b.zone, &b.name, &b.created)));
        let mut disks = Vec::new();
        for volume in volumes.into_iter().filter(|volume| !is_boot(volume)) {
            disks.push(self.disk_of(volume, Some(&names_by_instance)).await.about(&object)?);
        }
        let subnets = network.iter().flat_map(|network| &network.subnets);
        let subnets = subnets.filter_map(|subnet| subnet.zone.clone()).collect();
        disks.sort_by(|a, b| (&a.zone, &a.name).cmp(&(&b.zone, &b.name)));
        Ok(Inventory {
            network,
            firewall_rules,
            addresses: front
                .iter()
                .map(|front| self.address_facts(front, &by_instance, &subnets))
                .collect(),
            balancers: front
                .iter()
                .filter_map(|front| self.balancer_facts(front, &by_instance))
                .collect(),
            machines,
            disks,
            secrets,
            snapshots,
        })
    }

    /// The cluster's instances, those left out that are on their way out for good.
    pub(crate) async fn instances_of(&self, cluster: &ClusterName) -> Called<Vec<Instance>> {
        let mut found = self.instances(&[of_cluster(cluster), alive(ALIVE)]).await?;
        found.retain(|instance| is_of(&tags(instance), cluster) && !is_leaving(instance));
        Ok(found)
    }
}
