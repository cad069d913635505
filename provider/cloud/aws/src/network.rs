//! A cluster's network: a VPC with a way to the internet, and a subnet in each zone.

mod conflict;
mod existing;
mod removal;
mod route;

use std::net::Ipv4Addr;

use aws_sdk_ec2::types::{Filter, ResourceType, Subnet as Ec2Subnet, Vpc};
use ipnet::Ipv4Net;
use multizone_cloud::{CloudError, ClusterName, Labels, Network, NetworkSpec, Result, Subnet};

use crate::{
    Aws,
    failure::{About as _, Failure},
    making::Called,
    tags::{Tags, at_birth, is_of, of_cluster, of_ec2},
};

/// What a cluster's VPC is called among its objects; its subnets are called by their zones.
const NETWORK: &str = "network";

impl Aws {
    /// The VPC's range where the cluster names none.
    fn default_range() -> Ipv4Net {
        Ipv4Net::new_assert(Ipv4Addr::new(10, 0, 0, 0), 16)
    }

    pub(crate) async fn ensure_network_of(&self, spec: &NetworkSpec) -> Result<Network> {
        let cluster = &spec.cluster;
        if let Some(existing) = &spec.existing {
            return self.ensure_within(spec, existing).await;
        }
        for (zone, range) in &spec.zones {
            if range.is_none() {
                return Err(CloudError::Refused {
                    object: format!("subnet of cluster {cluster} in {zone}"),
                    code: "no range".to_owned(),
                    reason:
                        "every zone has a subnet of its own on AWS: give it a subnet_cidr within the network's range"
                            .to_owned(),
                });
            }
        }
        let vpc = self.ensure_vpc(spec).await?;
        let id = vpc.vpc_id.clone().unwrap_or_default();
        self.ensure_way_out(cluster, &id).await?;
        self.ensure_role_groups(cluster, &id, &Tags::new()).await?;
        for (zone, range) in &spec.zones {
            if let Some(range) = range {
                self.ensure_subnet(cluster, &id, zone, *range).await?;
            }
        }
        for subnet in self.own_subnets_of(cluster).await.about(&format!("network {id}"))? {
            let zone = subnet.availability_zone.unwrap_or_default();
            if spec.zones.iter().all(|(kept, _)| *kept != zone) && self.is_unused(cluster, &zone).await? {
                self.delete_subnet_of(cluster, &zone).await?;
            }
        }
        let object = format!("network {id}");
        let network = self.network_of(cluster).await.about(&object)?;
        network.ok_or(CloudError::NotFound { object })
    }

    async fn ensure_vpc(&self, spec: &NetworkSpec) -> Result<Vpc> {
        let object = format!("network of cluster {}", spec.cluster);
        let wanted = spec.cidr.unwrap_or_else(Self::default_range);
        let tags = self.tags(&spec.cluster, NETWORK, &spec.labels);
        let client = &self.clients().ec2;
        let look = || async { Ok(self.vpcs_of(&spec.cluster).await?.into_iter().next()) };
        if look().await.about(&object)?.is_none() {
            self.refuse_a_second_network(&spec.cluster).await?;
        }
        let make = || async {
            let made = self
                .call_once("ec2:CreateVpc", || {
                    client
                        .create_vpc()
                        .cidr_block(wanted.to_string())
                        .tag_specifications(at_birth(ResourceType::Vpc, &tags))
                        .send()
                })
                .await?;
            made.vpc.ok_or_else(|| Failure::unreadable("the reply names no VPC"))
        };
        let found = self.found_or_made(&object, look, make).await?;
        let range = range(found.cidr_block.as_deref());
        if spec.cidr.is_some() && range != Some(wanted) {
            let difference = format!("its range is {}, not {wanted}", found.cidr_block.unwrap_or_default());
            return Err(CloudError::Differs { object, difference });
        }
        Ok(found)
    }

    /// Refuses to make another network for a cluster whose security groups are in one that has lost its tag.
    async fn refuse_a_second_network(&self, cluster: &ClusterName) -> Result<()> {
        let object = format!("network of cluster {cluster}");
        let groups = self.role_groups_of(cluster).await.about(&object)?;
        match groups.into_values().find_map(|group| group.vpc_id) {
            Some(vpc) => Err(CloudError::NotOurs {
                object: format!("network {vpc}"),
            }),
            None => Ok(()),
        }
    }

    async fn ensure_subnet(&self, cluster: &ClusterName, vpc: &str, zone: &str, wanted: Ipv4Net) -> Result<()> {
        let object = format!("subnet of cluster {cluster} in {zone}");
        let client = &self.clients().ec2;
        let tags = self.tags(cluster, zone, &Labels::new());
        let look = || self.subnet_in(cluster, zone);
        let make = || async {
            let made = self
                .call_once("ec2:CreateSubnet", || {
                    client
                        .create_subnet()
                        .vpc_id(vpc)
                        .availability_zone(zone)
                        .cidr_block(wanted.to_string())
                        .tag_specifications(at_birth(ResourceType::Subnet, &tags))
                        .send()
                })
                .await?;
            made.subnet
                .ok_or_else(|| Failure::unreadable("the reply names no subnet"))
        };
        let found = match self.found_or_made(&object, look, make).await {
            Ok(found) => found,
            // It may be there, and was not shown yet.
            Err(error) => {
                if look().await.about(&object)?.is_none() {
                    self.take_back_subnet(error, cluster, vpc, zone, wanted).await?;
                }
                self.poll("it to be shown", look).await.about(&object)?
            }
        };
        if range(found.cidr_block.as_deref()) == Some(wanted) {
            return Ok(());
        }
        let difference = format!(
            "its range is {}, not {wanted}; a subnet's range cannot be changed while the zone is spanned",
            found.cidr_block.unwrap_or_default()
        );
        Err(CloudError::Differs { object, difference })
    }

    /// The cluster's VPCs: one, unless a request whose reply was lost has made a second.
    pub(crate) async fn vpcs_of(&self, cluster: &ClusterName) -> Called<Vec<Vpc>> {
        let mut vpcs = self.vpcs(&of_cluster(cluster)).await?;
        vpcs.retain(|vpc| is_of(&of_ec2(vpc.tags()), cluster));
        vpcs.sort_by(|a, b| a.vpc_id.cmp(&b.vpc_id));
        Ok(vpcs)
    }

    /// VPCs that pass the filter, in pages.
    async fn vpcs(&self, which: &Filter) -> Called<Vec<Vpc>> {
        let client = &self.clients().ec2;
        self.pages(|token| async move {
            let reply = self
                .call("ec2:DescribeVpcs", || {
                    client
                        .describe_vpcs()
                        .filters(which.clone())
                        .set_next_token(token.clone())
                        .send()
                })
                .await?;
            Ok((reply.vpcs.unwrap_or_default(), reply.next_token))
        })
        .await
    }

    /// Subnets that pass the filter, in pages.
    async fn subnets(&self, which: &Filter) -> Called<Vec<Ec2Subnet>> {
        let client = &self.clients().ec2;
        self.pages(|token| async move {
            let reply = self
                .call("ec2:DescribeSubnets", || {
                    client
                        .describe_subnets()
                        .filters(which.clone())
                        .set_next_token(token.clone())
                        .send()
                })
                .await?;
            Ok((reply.subnets.unwrap_or_default(), reply.next_token))
        })
        .await
    }

    /// The subnets that are the cluster's own.
    async fn own_subnets_of(&self, cluster: &ClusterName) -> Called<Vec<Ec2Subnet>> {
        let mut subnets = self.subnets(&of_cluster(cluster)).await?;
        subnets.retain(|subnet| is_of(&of_ec2(subnet.tags()), cluster));
        subnets.sort_by(|a, b| a.availability_zone.cmp(&b.availability_zone));
        Ok(subnets)
    }

    /// The cluster's subnets: its own, or those of others that it was given.
    pub(crate) async fn subnets_of(&self, cluster: &ClusterName) -> Called<Vec<Ec2Subnet>> {
        let own = self.own_subnets_of(cluster).await?;
        if !own.is_empty() {
            return Ok(own);
        }
        match self.existing_network_of(cluster).await? {
            Some(given) => self.given_subnets(&given).await,
            None => Ok(own),
        }
    }

    /// The ID of the VPC that the cluster is in: its own, or one that it was given.
    pub(crate) async fn vpc_of(&self, cluster: &ClusterName) -> Called<Option<String>> {
        match self.vpcs_of(cluster).await?.into_iter().next() {
            Some(own) => Ok(own.vpc_id),
            None => Ok(self.existing_network_of(cluster).await?.map(|given| given.id)),
        }
    }

    pub(crate) async fn subnet_in(&self, cluster: &ClusterName, zone: &str) -> Called<Option<Ec2Subnet>> {
        let subnets = self.subnets_of(cluster).await?;
        Ok(subnets
            .into_iter()
            .find(|subnet| subnet.availability_zone.as_deref() == Some(zone)))
    }

    /// The cluster's network as it is.
    pub(crate) async fn network_of(&self, cluster: &ClusterName) -> Called<Option<Network>> {
        let (vpcs, subnets, gateways) = futures::try_join!(
            self.vpcs_of(cluster),
            self.own_subnets_of(cluster),
            self.gateways_of(cluster)
        )?;
        let Some(vpc) = vpcs.into_iter().next() else {
            return match self.existing_network_of(cluster).await? {
                Some(given) => self.given_network(given).await.map(Some),
                None => Ok(None),
            };
        };
        let name = vpc.vpc_id.unwrap_or_default();
        let unexpected = self.way_out_deviation(&name, &gateways, &subnets).await?;
        Ok(Some(Network {
            cidr: range(vpc.cidr_block.as_deref()),
            subnets: subnets.iter().filter_map(shown).collect(),
            existing: false,
            name,
            unexpected,
        }))
    }
}

fn shown(subnet: &Ec2Subnet) -> Option<Subnet> {
    Some(Subnet {
        name: subnet.subnet_id.clone()?,
        zone: Some(subnet.availability_zone.clone()?),
        cidr: range(subnet.cidr_block.as_deref())?,
    })
}

fn range(text: Option<&str>) -> Option<Ipv4Net> {
    text?.parse().ok()
}
