//! Stable external addresses of the region.
//!
//! Compute Engine takes labels of an address only after it was made.  So that a crash in between loses nothing, an
//! address is known by its description, as a network is; the labels are for people.

use std::net::Ipv4Addr;

use google_cloud_compute_v1::model::{self, address::AddressType};
use multizone_cloud::{Address, AddressHolder, AddressSpec, CloudError, ClusterName, Labels, Result, label};

use crate::{
    ComputeEngine,
    failure::{About as _, Failure},
    machines::LABEL_ATTEMPTS,
    names::last_segment,
    networks::{present, unless_absent, unless_exists},
    ownership::{Owner, labels_for},
    pages::PAGE,
};

impl ComputeEngine {
    pub(crate) async fn ensure_stable_address(&self, spec: &AddressSpec) -> Result<Address> {
        let name = self.names(&spec.cluster).address(&spec.name);
        let object = self.address_object(&spec.name, &name);
        let (project, region) = (&self.settings().project, &self.settings().region);
        if self.address(&name).await.about(&object)?.is_none() {
            let body = model::Address::new()
                .set_name(&name)
                .set_description(self.owner(&spec.cluster, Some(&spec.name)).description())
                .set_address_type(AddressType::External);
            let client = self.clients().addresses().await.about(&object)?;
            self.change("addresses.insert", |token| {
                let call = client.insert().set_project(project).set_region(region);
                call.set_request_id(token).set_body(body.clone()).send()
            })
            .await
            .or_else(unless_exists)
            .making(&object)?;
        }
        let mut attempt = 1;
        loop {
            let found = self.reserved(&name, &object).await?;
            let facts = self.address_facts(&found, &spec.cluster).about(&object)?;
            let Some(facts) = facts.filter(|facts| facts.name == spec.name) else {
                return Err(CloudError::NotOurs { object });
            };
            let mut wanted = labels_for(&spec.cluster, &spec.labels);
            wanted.insert(label::ADDRESS.to_owned(), spec.name.clone());
            if wanted.iter().all(|(key, value)| facts.labels.get(key) == Some(value)) {
                return Ok(facts);
            }
            match self.label_address(&name, found, &wanted).await {
                Ok(()) => {
                    return Ok(Address {
                        labels: merged(&facts.labels, &wanted),
                        ..facts
                    });
                }
                Err(failure) if failure.is_stale() && attempt < LABEL_ATTEMPTS => attempt += 1,
                Err(failure) => return Err(failure.into_error(&object)),
            }
        }
    }

    /// The address, once it has one.
    async fn reserved(&self, name: &str, object: &str) -> Result<model::Address> {
        let found = self.poll("it to be reserved", || async {
            let found = self.address(name).await?;
            let making = |found: &model::Address| found.address.as_deref().is_none_or(str::is_empty);
            Ok(if found.as_ref().is_some_and(making) {
                None
            } else {
                Some(found)
            })
        });
        found.await.about(object)?.ok_or_else(|| CloudError::NotFound {
            object: object.to_owned(),
        })
    }

    async fn label_address(
        &self,
        name: &str,
        found: model::Address,
        wanted: &Labels,
    ) -> std::result::Result<(), Failure> {
        let client = self.clients().addresses().await?;
        let (project, region) = (&self.settings().project, &self.settings().region);
        let body = model::RegionSetLabelsRequest::new()
            .set_labels(merged(&found.labels.into_iter().collect(), wanted))
            .set_or_clear_label_fingerprint(found.label_fingerprint);
        self.change("addresses.setLabels", |token| {
            let call = client
                .set_labels()
                .set_project(project)
                .set_region(region)
                .set_resource(name);
            call.set_request_id(token).set_body(body.clone()).send()
        })
        .await
    }

    pub(crate) async fn delete_stable_address(&self, cluster: &ClusterName, address: &str) -> Result<()> {
        let name = self.names(cluster).address(address);
        let object = self.address_object(address, &name);
        let (project, region) = (&self.settings().project, &self.settings().region);
        let Some(found) = self.address(&name).await.about(&object)? else {
            return Ok(());
        };
        if self.address_facts(&found, cluster).about(&object)?.is_none() {
            return Err(CloudError::NotOurs { object });
        }
        let client = self.clients().addresses().await.about(&object)?;
        self.change("addresses.delete", |token| {
            let call = client.delete().set_project(project).set_region(region);
            call.set_address(&name).set_request_id(token).send()
        })
        .await
        .or_else(unless_absent)
        .about(&object)
    }

    /// The address of that name within the cluster.
    pub(crate) async fn own_address(&self, cluster: &ClusterName, address: &str) -> Result<Address> {
        let name = self.names(cluster).address(address);
        let object = self.address_object(address, &name);
        let Some(found) = self.address(&name).await.about(&object)? else {
            return Err(CloudError::NotFound { object });
        };
        let facts = self.address_facts(&found, cluster).about(&object)?;
        facts.ok_or(CloudError::NotOurs { object })
    }

    /// The cluster's addresses, found by their descriptions: the region's addresses are read in pages.
    pub(crate) async fn addresses_of(&self, cluster: &ClusterName) -> std::result::Result<Vec<Address>, Failure> {
        let client = self.clients().addresses().await?;
        let (project, region) = (&self.settings().project, &self.settings().region);
        let request = |page| {
            let call = client.list().set_project(project).set_region(region);
            call.set_max_results(PAGE).set_or_clear_page_token(page).send()
        };
        let own = |found: model::Address| self.address_facts(&found, cluster);
        let mut addresses = self.pages("addresses.list", request, own).await?;
        addresses.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(addresses)
    }

    /// Who a user of an address is.
    fn holder(&self, cluster: &ClusterName, url: &str) -> Option<AddressHolder> {
        if !url.contains("/forwardingRules/") {
            return machine_of(url);
        }
        let name = last_segment(url);
        let balancer = self.names(cluster).balancer_named(name);
        Some(AddressHolder::Balancer {
            name: balancer.unwrap_or_else(|| name.to_owned()),
        })
    }

    async fn address(&self, name: &str) -> std::result::Result<Option<model::Address>, Failure> {
        let client = self.clients().addresses().await?;
        let (project, region) = (&self.settings().project, &self.settings().region);
        let request = || {
            client
                .get()
                .set_project(project)
                .set_region(region)
                .set_address(name)
                .send()
        };
        present(self.sender().send("addresses.get", request).await)
    }

    pub(crate) fn address_object(&self, address: &str, name: &str) -> String {
        format!("address {address} ({name} in {})", self.settings().region)
    }

    /// What an address says, if it is the cluster's and has been reserved.
    fn address_facts(
        &self,
        address: &model::Address,
        cluster: &ClusterName,
    ) -> std::result::Result<Option<Address>, Failure> {
        let owner = Owner::parse(address.description.as_deref());
        let Some(name) = owner
            .filter(|owner| owner.is(cluster, &self.settings().region))
            .and_then(|owner| owner.name)
        else {
            return Ok(None);
        };
        let text = address.address.as_deref().unwrap_or_default();
        if text.is_empty() {
            return Ok(None);
        }
        let value: Ipv4Addr = text
            .parse()
            .map_err(|_| Failure::unreadable(format!("address {name} is {text:?}")))?;
        Ok(Some(Address {
            name,
            address: value.into(),
            holder: address.users.iter().find_map(|user| self.holder(cluster, user)),
            labels: address.labels.clone().into_iter().collect(),
            unexpected: None,
        }))
    }
}

/// The labels that there are, with those that are wanted.
fn merged(now: &Labels, wanted: &Labels) -> Labels {
    now.iter()
        .chain(wanted)
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

/// The machine that a URL is about.
fn machine_of(url: &str) -> Option<AddressHolder> {
    let (_, path) = url.split_once("/zones/")?;
    let (zone, name) = path.split_once("/instances/")?;
    Some(AddressHolder::Machine {
        zone: zone.to_owned(),
        name: last_segment(name).to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_holder_is_the_machine_that_uses_the_address() {
        let url = "https://www.googleapis.com/compute/v1/projects/p/zones/us-central1-a/instances/m";
        let holder = AddressHolder::Machine {
            zone: "us-central1-a".into(),
            name: "m".into(),
        };
        assert_eq!(machine_of(url), Some(holder));
        assert_eq!(
            machine_of("https://h/compute/v1/projects/p/regions/r/forwardingRules/f"),
            None
        );
    }
}
