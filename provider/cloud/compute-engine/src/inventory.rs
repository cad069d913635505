//! The inventory: everything that is a cluster's, in a number of calls that depends on pages only.
//!
//! Labels select on the server's side, and are compared again here in full: what a filter lets through is not proof.

use std::collections::HashSet;

use google_cloud_compute_v1::model;
use multizone_cloud::{Address, AddressHolder, Balancer, ClusterName, FirewallRule, Inventory, Machine, Result};

use crate::{
    ComputeEngine,
    failure::{About as _, Failure},
    instances::machine_facts,
    names::last_segment,
    ownership::{filter, labelled},
    pages::PAGE,
};

/// A zone, and the name of something there.
type ZonalName = (String, String);

impl ComputeEngine {
    pub(crate) async fn inventory_of(&self, cluster: &ClusterName) -> Result<Inventory> {
        let read = async {
            futures::try_join!(
                self.network_of(cluster),
                self.rules_addresses_and_balancers_of(cluster),
                self.instances_of(cluster),
                self.disks_of(cluster),
                self.snapshots_of(cluster),
                self.secrets_of(cluster),
            )
        };
        let (network, traffic, instances, mut disks, snapshots, secrets) = Box::pin(read)
            .await
            .about(&format!("the inventory of cluster {cluster}"))?;
        let (firewall_rules, mut addresses, balancers) = traffic;
        let names = self.names(cluster);
        for address in &mut addresses {
            // A name that was cut is not read backwards.
            if let Some(AddressHolder::Balancer { name }) = &mut address.holder
                && let Some(own) = balancers.iter().find(|own| names.balancer(&own.name) == *name)
            {
                name.clone_from(&own.name);
            }
        }
        let (mut machines, boot): (Vec<_>, Vec<_>) = instances.into_iter().unzip();
        let boot: HashSet<_> = boot.into_iter().flatten().collect();
        disks.retain(|disk| !boot.contains(&(disk.zone.clone(), disk.name.clone())));
        machines.sort_by(|a, b| (&a.zone, &a.name).cmp(&(&b.zone, &b.name)));
        Ok(Inventory {
            network,
            firewall_rules,
            addresses,
            machines,
            disks,
            secrets,
            snapshots,
            balancers,
        })
    }

    /// The balancers are asked for only where the other two tell of any.
    async fn rules_addresses_and_balancers_of(
        &self,
        cluster: &ClusterName,
    ) -> std::result::Result<(Vec<FirewallRule>, Vec<Address>, Vec<Balancer>), Failure> {
        let (rules, addresses) = futures::try_join!(self.firewall_rules_of(cluster), self.addresses_of(cluster))?;
        let balancers = self.balancers_told_of(cluster, &rules, &addresses).await?;
        Ok((rules, addresses, balancers))
    }

    /// The machines, each with its boot disks.
    async fn instances_of(
        &self,
        cluster: &ClusterName,
    ) -> std::result::Result<Vec<(Machine, Vec<ZonalName>)>, Failure> {
        let client = self.clients().instances().await?;
        let project = &self.settings().project;
        let request = |page| {
            let call = client.aggregated_list().set_project(project).set_max_results(PAGE);
            call.set_filter(filter(cluster)).set_or_clear_page_token(page).send()
        };
        let own = |found: model::Instance| {
            let ours = labelled(&found.labels, cluster);
            Ok(ours.then(|| (machine_facts(&found), boot_disks(&found).collect())))
        };
        self.pages("instances.aggregatedList", request, own).await
    }
}

fn boot_disks(instance: &model::Instance) -> impl Iterator<Item = ZonalName> {
    let zone = instance.zone.as_deref().map(last_segment).unwrap_or_default();
    let boot = instance.disks.iter().filter(|disk| disk.boot == Some(true));
    boot.filter_map(move |disk| Some((zone.to_owned(), last_segment(disk.source.as_deref()?).to_owned())))
}
