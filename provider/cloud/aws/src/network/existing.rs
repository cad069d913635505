//! A network that was there before the cluster: looked at, and never made, changed or deleted.
//!
//! Which one it is, and which of its subnets, the tags of the cluster's security groups say: those are in it, and they are the
//! cluster's own.

use std::collections::BTreeMap;

use aws_sdk_ec2::types::{Filter, SecurityGroup, Subnet as Ec2Subnet};
use multizone_cloud::{
    CloudError, ClusterName, ExistingNetwork, ExistingSubnet, Labels, Network, NetworkSpec, Result, Role,
};

use super::range;
use crate::{
    Aws,
    failure::About as _,
    making::Called,
    tags::{Tags, filter, of_ec2},
};

/// How the key of a tag begins that names a zone's subnet; the zone follows.
const MARK: &str = "multizone-subnet-";

impl Aws {
    /// The network that a cluster was given to live in; `None` where it has one of its own.
    pub(crate) async fn existing_network_of(&self, cluster: &ClusterName) -> Called<Option<ExistingNetwork>> {
        Ok(given(&self.role_groups_of(cluster).await?))
    }

    /// Those subnets that exist.
    async fn subnets_called(&self, ids: Vec<String>) -> Called<Vec<Ec2Subnet>> {
        let wanted = Filter::builder().name("subnet-id").set_values(Some(ids));
        self.subnets(&wanted.build()).await
    }

    pub(crate) async fn subnets_that_exist(&self, ids: &[String]) -> Result<Vec<ExistingSubnet>> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let found = self.subnets_called(ids.to_vec()).await;
        let found = found.about(&format!("subnets {}", ids.join(", ")))?;
        Ok(found.iter().filter_map(facts).collect())
    }

    pub(crate) async fn addresses_left(&self, cluster: &ClusterName, zone: &str) -> Result<Option<u64>> {
        let found = self.subnet_in(cluster, zone).await;
        let found = found.about(&format!("subnet of cluster {cluster} in {zone}"))?;
        Ok(found.as_ref().and_then(facts).map(|subnet| subnet.free))
    }

    /// The subnets that a cluster was given, as far as they still exist.
    pub(super) async fn given_subnets(&self, given: &ExistingNetwork) -> Called<Vec<Ec2Subnet>> {
        let mut found = self.subnets_called(given.subnets.values().cloned().collect()).await?;
        let is_meant = |subnet: &Ec2Subnet| {
            let zone = subnet.availability_zone().unwrap_or_default();
            given.subnets.get(zone).map(String::as_str) == subnet.subnet_id()
        };
        found.retain(is_meant);
        found.sort_by(|a, b| a.availability_zone.cmp(&b.availability_zone));
        Ok(found)
    }

    /// The network that a cluster was given, as it is.
    pub(super) async fn given_network(&self, given: ExistingNetwork) -> Called<Network> {
        let by_id = filter("vpc-id", &given.id);
        let (vpcs, subnets) = futures::try_join!(self.vpcs(&by_id), self.given_subnets(&given))?;
        let vpc = vpcs.into_iter().next();
        Ok(Network {
            cidr: range(vpc.as_ref().and_then(|vpc| vpc.cidr_block.as_deref())),
            subnets: subnets.iter().filter_map(super::shown).collect(),
            unexpected: vpc.is_none().then(|| "it is gone".to_owned()),
            existing: true,
            name: given.id,
        })
    }

    /// Makes sure of what a cluster has in a network that exists: its security groups, which say which subnets are meant.
    pub(super) async fn ensure_within(&self, spec: &NetworkSpec, given: &ExistingNetwork) -> Result<Network> {
        let cluster = &spec.cluster;
        let object = format!("network {}", given.id);
        let ids: Vec<String> = given.subnets.values().cloned().collect();
        let found = self.subnets_that_exist(&ids).await?;
        for (zone, id) in &given.subnets {
            let subnet = found.iter().find(|subnet| subnet.id == *id);
            if let Some(reason) = unfit(subnet, id, zone, &given.id) {
                return Err(CloudError::Refused {
                    object: format!("subnet {id}"),
                    code: "existing subnet".to_owned(),
                    reason,
                });
            }
        }
        self.ensure_role_groups(cluster, &given.id, &marks(&given.subnets))
            .await?;
        let groups = self.role_groups_of(cluster).await.about(&object)?;
        let mut kept = given.subnets.clone();
        let marked = self::given(&groups).map(|given| given.subnets).unwrap_or_default();
        for (zone, id) in marked.into_iter().filter(|(zone, _)| !given.subnets.contains_key(zone)) {
            if self.is_unused(cluster, &zone).await? {
                self.leave_subnet(cluster, &zone).await?;
            } else {
                kept.insert(zone, id);
            }
        }
        self.mark_subnets(&groups, &kept).await.about(&object)?;
        let network = self.network_of(cluster).await.about(&object)?;
        network.ok_or(CloudError::NotFound { object })
    }

    /// Lets a cluster forget the subnet of a zone that it was given.
    pub(super) async fn give_back(&self, cluster: &ClusterName, given: &ExistingNetwork, zone: &str) -> Called<()> {
        let mut kept = given.subnets.clone();
        kept.remove(zone);
        let groups = self.role_groups_of(cluster).await?;
        self.mark_subnets(&groups, &kept).await
    }

    /// Gives the cluster's security groups a mark for each of these subnets, and no other.
    async fn mark_subnets(
        &self,
        groups: &BTreeMap<Role, SecurityGroup>,
        subnets: &BTreeMap<String, String>,
    ) -> Called<()> {
        let wanted = marks(subnets);
        for group in groups.values() {
            let now = of_ec2(group.tags());
            let set: Labels = wanted
                .iter()
                .filter(|(key, value)| now.get(*key) != Some(value))
                .map(|(key, value)| (key.clone(), value.clone()))
                .collect();
            let gone = now
                .into_keys()
                .filter(|key| key.starts_with(MARK) && !wanted.contains_key(key));
            let gone: Vec<String> = gone.collect();
            self.retag(group.group_id().unwrap_or_default(), &set, &gone).await?;
        }
        Ok(())
    }
}

/// What a cluster was given, as the tags of its security groups say.
fn given(groups: &BTreeMap<Role, SecurityGroup>) -> Option<ExistingNetwork> {
    let mut found: Option<ExistingNetwork> = None;
    for group in groups.values() {
        let marked = of_ec2(group.tags()).into_iter().filter_map(|(key, id)| {
            let zone = key.strip_prefix(MARK)?.to_owned();
            Some((zone, id))
        });
        for (zone, id) in marked {
            let network = found.get_or_insert_with(|| ExistingNetwork {
                id: group.vpc_id.clone().unwrap_or_default(),
                subnets: BTreeMap::new(),
            });
            network.subnets.insert(zone, id);
        }
    }
    found
}

fn marks(subnets: &BTreeMap<String, String>) -> Tags {
    let mark = |(zone, id): (&String, &String)| (format!("{MARK}{zone}"), id.clone());
    subnets.iter().map(mark).collect()
}

/// Why a cluster cannot live in a subnet.
fn unfit(subnet: Option<&ExistingSubnet>, id: &str, zone: &str, network: &str) -> Option<String> {
    let Some(subnet) = subnet else {
        return Some(format!(
            "there is no subnet {id}, and the provider makes none in a network that it was given"
        ));
    };
    if subnet.network != network {
        return Some(format!("it is in network {}, not in {network}", subnet.network));
    }
    (subnet.zone != zone).then(|| format!("it is in zone {}, not in {zone}", subnet.zone))
}

fn facts(subnet: &Ec2Subnet) -> Option<ExistingSubnet> {
    let free = subnet.available_ip_address_count.unwrap_or_default();
    Some(ExistingSubnet {
        id: subnet.subnet_id.clone()?,
        network: subnet.vpc_id.clone().unwrap_or_default(),
        zone: subnet.availability_zone.clone()?,
        cidr: range(subnet.cidr_block.as_deref())?,
        free: u64::try_from(free).unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tags::to_ec2;

    #[test]
    fn what_a_cluster_was_given_is_read_as_it_was_marked() {
        let subnets: BTreeMap<String, String> = [("a", "subnet-1"), ("b", "subnet-2")]
            .map(|(zone, id)| (zone.to_owned(), id.to_owned()))
            .into();
        let group = |tags: &Tags| {
            SecurityGroup::builder()
                .vpc_id("vpc-1")
                .set_tags(Some(to_ec2(tags)))
                .build()
        };
        let groups = BTreeMap::from([
            (Role::Master, group(&marks(&subnets))),
            (Role::Worker, group(&Tags::new())),
        ]);
        let expected = ExistingNetwork {
            id: "vpc-1".into(),
            subnets,
        };
        assert_eq!(given(&groups), Some(expected));
        assert_eq!(given(&BTreeMap::from([(Role::Master, group(&Tags::new()))])), None);
    }

    #[test]
    fn a_subnet_is_in_its_network_and_zone() {
        let subnet = ExistingSubnet {
            id: "subnet-1".into(),
            network: "vpc-1".into(),
            zone: "a".into(),
            cidr: "10.0.0.0/24".parse().unwrap(),
            free: 9,
        };
        let why = |zone, network| unfit(Some(&subnet), "subnet-1", zone, network);
        assert_eq!(why("a", "vpc-1"), None);
        assert_eq!(why("a", "vpc-2").unwrap(), "it is in network vpc-1, not in vpc-2");
        assert_eq!(why("b", "vpc-1").unwrap(), "it is in zone a, not in b");
        assert!(
            unfit(None, "subnet-1", "a", "vpc-1")
                .unwrap()
                .contains("there is no subnet subnet-1")
        );
    }
}
