//! A cluster's network and its one regional subnet.

use futures::future::{join, join_all};
use google_cloud_compute_v1::model::{self, network_routing_config::RoutingMode};
use ipnet::Ipv4Net;
use multizone_cloud::{CloudError, ClusterName, Network, NetworkSpec, Result, Subnet};

use crate::{
    ComputeEngine,
    failure::{About as _, Failure},
    names::Names,
    ownership::Owner,
};

impl ComputeEngine {
    pub(crate) async fn ensure_network_and_subnet(&self, spec: &NetworkSpec) -> Result<Network> {
        let name = self.names(&spec.cluster).network();
        let cidr = spec.cidr.unwrap_or_else(|| self.settings().network_cidr());
        self.ensure_network_alone(&spec.cluster, &name).await?;
        let subnet = self.ensure_subnet(&spec.cluster, &name, cidr).await?;
        Ok(Network {
            existing: false,
            name,
            cidr: Some(subnet.cidr),
            subnets: vec![subnet],
            unexpected: None,
        })
    }

    async fn ensure_network_alone(&self, cluster: &ClusterName, name: &str) -> Result<()> {
        let object = format!("network {name}");
        let body = model::Network::new()
            .set_name(name)
            .set_description(self.owner(cluster, None).description())
            .set_auto_create_subnetworks(false)
            .set_routing_config(model::NetworkRoutingConfig::new().set_routing_mode(RoutingMode::Regional));
        let client = self.clients().networks().await.about(&object)?;
        let project = &self.settings().project;
        let insert = |token| {
            let call = client.insert().set_project(project).set_request_id(token);
            call.set_body(body.clone()).send()
        };
        let look = || self.network(name);
        let found = self.found_or_made(&object, look, "networks.insert", insert).await?;
        if self.owns(found.description.as_deref(), cluster) {
            Ok(())
        } else {
            Err(CloudError::NotOurs { object })
        }
    }

    async fn ensure_subnet(&self, cluster: &ClusterName, name: &str, cidr: Ipv4Net) -> Result<Subnet> {
        let region = &self.settings().region;
        let object = format!("subnet {name} in {region}");
        let body = model::Subnetwork::new()
            .set_name(name)
            .set_description(self.owner(cluster, None).description())
            .set_network(format!("projects/{}/global/networks/{name}", self.settings().project))
            .set_ip_cidr_range(cidr.to_string())
            .set_private_ip_google_access(true);
        let client = self.clients().subnetworks().await.about(&object)?;
        let project = &self.settings().project;
        let insert = |token| {
            let call = client.insert().set_project(project).set_region(region);
            call.set_request_id(token).set_body(body.clone()).send()
        };
        let look = || self.subnet(name);
        let found = self.found_or_made(&object, look, "subnetworks.insert", insert).await?;
        if !self.owns(found.description.as_deref(), cluster) {
            return Err(CloudError::NotOurs { object });
        }
        let subnet = subnet_facts(&found).about(&object)?;
        if subnet.cidr != cidr {
            let difference = format!("its range is {}, not {cidr}", subnet.cidr);
            return Err(CloudError::Differs { object, difference });
        }
        Ok(subnet)
    }

    /// Deletes what hangs on the network first: its firewall rules and its subnet, as far as they are the cluster's.
    pub(crate) async fn delete_network_and_subnet(&self, cluster: &ClusterName) -> Result<()> {
        let name = self.names(cluster).network();
        let object = format!("network {name}");
        let Some(network) = self.network(&name).await.about(&object)? else {
            return Ok(());
        };
        if !self.owns(network.description.as_deref(), cluster) {
            return Err(CloudError::NotOurs { object });
        }
        let rules = self.firewall_rules_of(cluster).await.about(&object)?;
        let rules = rules.iter();
        let rules = rules.map(|rule| self.delete_firewall_rule_named(cluster, &rule.name));
        // All of them end before an error is told.
        let (subnet, rules) = join(self.delete_subnet(cluster, &name), join_all(rules)).await;
        rules.into_iter().chain([subnet]).collect::<Result<()>>()?;
        let client = self.clients().networks().await.about(&object)?;
        let project = &self.settings().project;
        self.change("networks.delete", |token| {
            client
                .delete()
                .set_project(project)
                .set_network(&name)
                .set_request_id(token)
                .send()
        })
        .await
        .or_else(unless_absent)
        .about(&object)
    }

    async fn delete_subnet(&self, cluster: &ClusterName, name: &str) -> Result<()> {
        let (project, region) = (&self.settings().project, &self.settings().region);
        let object = format!("subnet {name} in {region}");
        let Some(subnet) = self.subnet(name).await.about(&object)? else {
            return Ok(());
        };
        if !self.owns(subnet.description.as_deref(), cluster) {
            return Err(CloudError::NotOurs { object });
        }
        let client = self.clients().subnetworks().await.about(&object)?;
        self.change("subnetworks.delete", |token| {
            let call = client.delete().set_project(project).set_region(region);
            call.set_subnetwork(name).set_request_id(token).send()
        })
        .await
        .or_else(unless_absent)
        .about(&object)
    }

    /// The network with its subnet, if it exists and is the cluster's.
    pub(crate) async fn network_of(&self, cluster: &ClusterName) -> std::result::Result<Option<Network>, Failure> {
        let name = self.names(cluster).network();
        let (network, subnet) = futures::try_join!(self.network(&name), self.subnet(&name))?;
        if !network.is_some_and(|network| self.owns(network.description.as_deref(), cluster)) {
            return Ok(None);
        }
        let subnets: Vec<Subnet> = subnet
            .iter()
            .filter(|subnet| self.owns(subnet.description.as_deref(), cluster))
            .map(subnet_facts)
            .collect::<std::result::Result<_, _>>()?;
        Ok(Some(Network {
            existing: false,
            name,
            cidr: subnets.first().map(|subnet| subnet.cidr),
            subnets,
            unexpected: None,
        }))
    }

    async fn network(&self, name: &str) -> std::result::Result<Option<model::Network>, Failure> {
        let client = self.clients().networks().await?;
        let project = &self.settings().project;
        let request = || client.get().set_project(project).set_network(name).send();
        present(self.sender().send("networks.get", request).await)
    }

    async fn subnet(&self, name: &str) -> std::result::Result<Option<model::Subnetwork>, Failure> {
        let client = self.clients().subnetworks().await?;
        let (project, region) = (&self.settings().project, &self.settings().region);
        let request = || {
            client
                .get()
                .set_project(project)
                .set_region(region)
                .set_subnetwork(name)
                .send()
        };
        present(self.sender().send("subnetworks.get", request).await)
    }

    pub(crate) fn names<'a>(&'a self, cluster: &'a ClusterName) -> Names<'a> {
        Names::new(cluster, &self.settings().region)
    }

    pub(crate) fn owner(&self, cluster: &ClusterName, name: Option<&str>) -> Owner {
        Owner::new(cluster, &self.settings().region, name)
    }

    fn owns(&self, description: Option<&str>, cluster: &ClusterName) -> bool {
        Owner::parse(description).is_some_and(|owner| owner.is(cluster, &self.settings().region))
    }
}

fn subnet_facts(subnet: &model::Subnetwork) -> std::result::Result<Subnet, Failure> {
    let range = subnet.ip_cidr_range.as_deref().unwrap_or_default();
    let cidr = range
        .parse()
        .map_err(|_| Failure::unreadable(format!("the subnet's range is {range:?}")))?;
    Ok(Subnet {
        name: subnet.name.clone().unwrap_or_default(),
        zone: None,
        cidr,
    })
}

/// An object, or `None` when the cloud says that there is none.
pub(crate) fn present<T>(reply: std::result::Result<T, Failure>) -> std::result::Result<Option<T>, Failure> {
    match reply {
        Ok(object) => Ok(Some(object)),
        Err(failure) if failure.is_not_found() => Ok(None),
        Err(failure) => Err(failure),
    }
}

/// Takes "exists already" for an answer to a create: whoever made it, the caller reads it and judges.
pub(crate) fn unless_exists(failure: Failure) -> std::result::Result<(), Failure> {
    if failure.is_already_exists() {
        Ok(())
    } else {
        Err(failure)
    }
}

/// Takes "not found" for success of a delete.
pub(crate) fn unless_absent(failure: Failure) -> std::result::Result<(), Failure> {
    if failure.is_not_found() { Ok(()) } else { Err(failure) }
}
