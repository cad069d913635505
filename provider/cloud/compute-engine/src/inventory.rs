//! The inventory: everything that is a cluster's, in a number of calls that depends on pages only.
//!
//! Nine lists are read at the same time, more only where there is a balancer.  Labels select on the server's side, and are compared again here in full:
//! what a filter lets through is not proof.

use std::collections::HashSet;

use google_cloud_compute_v1::model;
use multizone_cloud::{AddressHolder, ClusterName, Disk, Inventory, Result, label};

use crate::{
    ComputeEngine,
    disks::disk_facts,
    failure::{About as _, Failure, Kind},
    instances::machine_facts,
    names::{last_segment, region_of},
    ownership::{filter, labelled},
};

impl ComputeEngine {
    pub(crate) async fn inventory_of(&self, cluster: &ClusterName) -> Result<Inventory> {
        let read = async {
            futures::try_join!(
                self.network_of(cluster),
                self.firewall_rules_of(cluster),
                self.addresses_of(cluster),
                self.instances_of(cluster),
                self.disks_of(cluster),
                self.snapshots_of(cluster),
                self.secrets_of(cluster),
                self.balancers_of(cluster),
            )
        };
        let (network, firewall_rules, mut addresses, instances, disks, snapshots, secrets, balancers) = Box::pin(read)
            .await
            .about(&format!("the inventory of cluster {cluster}"))?;
        let names = self.names(cluster);
        for address in &mut addresses {
            // A name that was cut is not read backwards.
            if let Some(AddressHolder::Balancer { name }) = &mut address.holder
                && let Some(own) = balancers.iter().find(|own| names.balancer(&own.name) == *name)
            {
                name.clone_from(&own.name);
            }
        }
        let boot: HashSet<(String, &str)> = instances.iter().flat_map(boot_disks).collect();
        let disks = disks
            .into_iter()
            .filter(|disk| !disk.labels.contains_key(label::BOOT))
            .filter(|disk| !boot.contains(&(disk.zone.clone(), disk.name.as_str())))
            .collect();
        let mut machines: Vec<_> = instances.iter().map(machine_facts).collect();
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

    async fn instances_of(&self, cluster: &ClusterName) -> std::result::Result<Vec<model::Instance>, Failure> {
        let client = self.clients().instances().await?;
        let project = &self.settings().project;
        let (mut instances, mut page) = (Vec::new(), None);
        loop {
            let request = || {
                let call = client
                    .aggregated_list()
                    .set_project(project)
                    .set_filter(filter(cluster));
                call.set_max_results(500_u32)
                    .set_or_clear_page_token(page.clone())
                    .send()
            };
            let reply = self.sender().send("instances.aggregatedList", request).await?;
            self.check_reached("machines", &reply.unreachables)?;
            for (scope, list) in reply.items {
                if self.in_region(&scope) {
                    instances.extend(
                        list.instances
                            .into_iter()
                            .filter(|found| labelled(&found.labels, cluster)),
                    );
                }
            }
            page = reply.next_page_token.filter(|token| !token.is_empty());
            if page.is_none() {
                return Ok(instances);
            }
        }
    }

    async fn disks_of(&self, cluster: &ClusterName) -> std::result::Result<Vec<Disk>, Failure> {
        let client = self.clients().disks().await?;
        let project = &self.settings().project;
        let (mut disks, mut page) = (Vec::new(), None);
        loop {
            let request = || {
                let call = client
                    .aggregated_list()
                    .set_project(project)
                    .set_filter(filter(cluster));
                call.set_max_results(500_u32)
                    .set_or_clear_page_token(page.clone())
                    .send()
            };
            let reply = self.sender().send("disks.aggregatedList", request).await?;
            self.check_reached("disks", &reply.unreachables)?;
            for (scope, list) in reply.items {
                if self.in_region(&scope) {
                    let own = list.disks.iter().filter(|found| labelled(&found.labels, cluster));
                    disks.extend(own.map(disk_facts));
                }
            }
            page = reply.next_page_token.filter(|token| !token.is_empty());
            if page.is_none() {
                disks.sort_by(|a, b| (&a.zone, &a.name).cmp(&(&b.zone, &b.name)));
                return Ok(disks);
            }
        }
    }

    /// A zone that could not be reached is not an empty zone.
    pub(crate) fn check_reached(&self, what: &str, unreachable: &[String]) -> std::result::Result<(), Failure> {
        let own: Vec<_> = unreachable
            .iter()
            .filter(|scope| self.in_region(scope))
            .map(|s| last_segment(s))
            .collect();
        if own.is_empty() {
            return Ok(());
        }
        let message = format!("the cloud could not read the {what} of {}", own.join(", "));
        Err(Failure::new(Kind::Http(503), "unreachable", message))
    }

    /// Whether `zones/us-central1-a`, or a URL that ends so, is about a zone of the region.
    pub(crate) fn in_region(&self, scope: &str) -> bool {
        region_of(last_segment(scope)) == self.settings().region
    }
}

fn boot_disks(instance: &model::Instance) -> impl Iterator<Item = (String, &str)> {
    let zone = instance.zone.as_deref().map(last_segment).unwrap_or_default();
    instance
        .disks
        .iter()
        .filter(|disk| disk.boot == Some(true))
        .filter_map(move |disk| Some((zone.to_owned(), last_segment(disk.source.as_deref()?))))
}
