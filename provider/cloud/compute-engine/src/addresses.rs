//! Stable external addresses of the region.

use google_cloud_compute_v1::model::{self, address::AddressType};
use multizone_cloud::{Address, AddressSpec, CloudError, ClusterName, Labels, Result, label};

use crate::{
    ComputeEngine,
    failure::{About as _, Failure},
    names::last_segment,
    networks::{present, unless_absent, unless_exists},
    ownership::{filter, labelled, labels_for},
};

impl ComputeEngine {
    pub(crate) async fn ensure_stable_address(&self, spec: &AddressSpec) -> Result<Address> {
        let name = self.names(&spec.cluster).address(&spec.name);
        let object = self.address_object(&spec.name, &name);
        let (project, region) = (&self.settings().project, &self.settings().region);
        let mut found = self.address(&name).await.about(&object)?;
        if found.is_none() {
            let mut labels = labels_for(&spec.cluster, &spec.labels);
            labels.insert(label::ADDRESS.to_owned(), spec.name.clone());
            let body = model::Address::new()
                .set_name(&name)
                .set_address_type(AddressType::External)
                .set_labels(labels);
            let client = self.clients().addresses().await.about(&object)?;
            self.change("addresses.insert", |token| {
                let call = client.insert().set_project(project).set_region(region);
                call.set_request_id(token).set_body(body.clone()).send()
            })
            .await
            .or_else(unless_exists)
            .making(&object)?;
        }
        // The address itself is there once it is reserved.
        let making = |found: &model::Address| found.address.as_deref().is_none_or(str::is_empty);
        if found.as_ref().is_none_or(making) {
            found = self
                .poll(&format!("{object} to be reserved"), || async {
                    let found = self.address(&name).await?;
                    Ok(if found.as_ref().is_some_and(making) {
                        None
                    } else {
                        Some(found)
                    })
                })
                .await
                .about(&object)?;
        }
        let Some(found) = found else {
            return Err(CloudError::NotFound { object });
        };
        match address_facts(&found, &spec.cluster).about(&object)? {
            Some(address) if address.name == spec.name => Ok(address),
            _ => Err(CloudError::NotOurs { object }),
        }
    }

    pub(crate) async fn delete_stable_address(&self, cluster: &ClusterName, address: &str) -> Result<()> {
        let name = self.names(cluster).address(address);
        let object = self.address_object(address, &name);
        let (project, region) = (&self.settings().project, &self.settings().region);
        let Some(found) = self.address(&name).await.about(&object)? else {
            return Ok(());
        };
        if !labelled(&found.labels, cluster) {
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

    /// The address of that name within the cluster, as text for a machine's access configuration.
    pub(crate) async fn held_address(&self, cluster: &ClusterName, address: &str) -> Result<String> {
        let name = self.names(cluster).address(address);
        let object = self.address_object(address, &name);
        let found = self.address(&name).await.about(&object)?;
        match found {
            Some(found) if !labelled(&found.labels, cluster) => Err(CloudError::NotOurs { object }),
            Some(model::Address {
                address: Some(text), ..
            }) => Ok(text),
            _ => Err(CloudError::NotFound { object }),
        }
    }

    pub(crate) async fn addresses_of(&self, cluster: &ClusterName) -> std::result::Result<Vec<Address>, Failure> {
        let client = self.clients().addresses().await?;
        let (project, region) = (&self.settings().project, &self.settings().region);
        let (mut addresses, mut page) = (Vec::new(), None);
        loop {
            let request = || {
                let call = client
                    .list()
                    .set_project(project)
                    .set_region(region)
                    .set_filter(filter(cluster));
                call.set_max_results(500_u32)
                    .set_or_clear_page_token(page.clone())
                    .send()
            };
            let reply = self.sender().send("addresses.list", request).await?;
            for found in &reply.items {
                addresses.extend(address_facts(found, cluster)?);
            }
            page = reply.next_page_token.filter(|token| !token.is_empty());
            if page.is_none() {
                addresses.sort_by(|a, b| a.name.cmp(&b.name));
                return Ok(addresses);
            }
        }
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

    fn address_object(&self, address: &str, name: &str) -> String {
        format!("address {address} ({name} in {})", self.settings().region)
    }
}

/// What an address says, if it is the cluster's and has been reserved.
fn address_facts(address: &model::Address, cluster: &ClusterName) -> std::result::Result<Option<Address>, Failure> {
    let (Some(name), true) = (address.labels.get(label::ADDRESS), labelled(&address.labels, cluster)) else {
        return Ok(None);
    };
    let text = address.address.as_deref().unwrap_or_default();
    if text.is_empty() {
        return Ok(None);
    }
    let value = text
        .parse()
        .map_err(|_| Failure::unreadable(format!("the address is {text:?}")))?;
    Ok(Some(Address {
        name: name.clone(),
        address: value,
        holder: address.users.iter().find_map(|user| holder(user)),
        labels: address.labels.clone().into_iter().collect::<Labels>(),
    }))
}

/// Zone and name of the machine that a URL is about.
fn holder(url: &str) -> Option<(String, String)> {
    let (_, path) = url.split_once("/zones/")?;
    let (zone, name) = path.split_once("/instances/")?;
    Some((zone.to_owned(), last_segment(name).to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_holder_is_the_machine_that_uses_the_address() {
        let url = "https://www.googleapis.com/compute/v1/projects/p/zones/us-central1-a/instances/m";
        assert_eq!(holder(url), Some(("us-central1-a".into(), "m".into())));
        assert_eq!(
            holder("https://h/compute/v1/projects/p/regions/r/forwardingRules/f"),
            None
        );
    }
}
