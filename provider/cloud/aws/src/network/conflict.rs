//! A subnet in the cluster's network that does not say that it is the cluster's stands where a zone's own is to be.
//!
//! One that the provider has made and that has lost the cluster's tag gets it back, as machines and disks do: it is known by
//! its name's tag, its range, its zone and its network, which is the cluster's.  Any other is named, and left alone.

use aws_sdk_ec2::types::Subnet as Ec2Subnet;
use ipnet::Ipv4Net;
use multizone_cloud::{CloudError, ClusterName, Result, label};

use super::range;
use crate::{
    Aws,
    failure::About as _,
    tags::{NAME, Tags, filter, of_ec2},
};

/// What AWS says of a range that another subnet of the network has addresses of.
const CONFLICT: &str = "InvalidSubnet.Conflict";

impl Aws {
    /// Gives the subnet its tag back that another one could not be made for; else the error says what is in the way.
    pub(super) async fn take_back_subnet(
        &self,
        error: CloudError,
        cluster: &ClusterName,
        vpc: &str,
        zone: &str,
        wanted: Ipv4Net,
    ) -> Result<()> {
        if !matches!(&error, CloudError::Refused { code, .. } if code == CONFLICT) {
            return Err(error);
        }
        let subnets = self.subnets(&filter("vpc-id", vpc)).await;
        let subnets = subnets.about(&format!("the subnets of network {vpc}"))?;
        let overlaps = |subnet: &&Ec2Subnet| range(subnet.cidr_block()).is_some_and(|found| overlap(found, wanted));
        let Some(found) = subnets.iter().find(overlaps) else {
            return Err(error);
        };
        let id = found.subnet_id().unwrap_or_default();
        let object = format!("subnet {id}");
        if has_lost_its_tag(found, zone, wanted) {
            tracing::info!(target: "multizone::cloud", subnet = id, "it has lost the cluster's tag, and gets it back");
            let tag = Tags::from([(label::CLUSTER.to_owned(), cluster.as_str().to_owned())]);
            return self.retag(id, &tag, &[]).await.about(&object);
        }
        Err(CloudError::Refused {
            object,
            code: CONFLICT.to_owned(),
            reason: reason(found, cluster, zone, wanted),
        })
    }
}

/// Whether it is what the provider makes for a zone, but for the cluster's tag.
fn has_lost_its_tag(found: &Ec2Subnet, zone: &str, wanted: Ipv4Net) -> bool {
    let tags = of_ec2(found.tags());
    !tags.contains_key(label::CLUSTER)
        && tags.get(NAME).is_some_and(|name| name == zone)
        && found.availability_zone() == Some(zone)
        && range(found.cidr_block()) == Some(wanted)
}

fn overlap(one: Ipv4Net, other: Ipv4Net) -> bool {
    one.contains(&other) || other.contains(&one)
}

/// What it is, and what to do.
fn reason(found: &Ec2Subnet, cluster: &ClusterName, zone: &str, wanted: Ipv4Net) -> String {
    let tag = label::CLUSTER;
    let vpc = found.vpc_id().unwrap_or_default();
    let (its_zone, its_range) = (
        found.availability_zone().unwrap_or_default(),
        found.cidr_block().unwrap_or_default(),
    );
    let what = format!("it has the range {its_range} in zone {its_zone} of this cluster's network {vpc}");
    let otherwise = format!("delete it, or choose another subnet_cidr for zone {zone}");
    let tags = of_ec2(found.tags());
    match tags.get(tag) {
        Some(other) if other != cluster.as_str() => format!("{what}, and belongs to cluster {other}: {otherwise}"),
        None if its_zone == zone && range(Some(its_range)) == Some(wanted) => format!(
            "{what}, and lacks the tag {tag} = {cluster}. If it is this cluster's, give it that tag again: aws ec2 create-tags \
             --resources {} --tags Key={tag},Value={cluster}. Otherwise {otherwise}",
            found.subnet_id().unwrap_or_default()
        ),
        _ => format!("{what}, and {wanted} overlaps it: {otherwise}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tags::to_ec2;

    fn subnet(zone: &str, range: &str, tags: &[(&str, &str)]) -> Ec2Subnet {
        let tags: Tags = tags
            .iter()
            .map(|(key, value)| ((*key).into(), (*value).into()))
            .collect();
        Ec2Subnet::builder()
            .subnet_id("subnet-1")
            .vpc_id("vpc-1")
            .availability_zone(zone)
            .cidr_block(range)
            .set_tags(Some(to_ec2(&tags)))
            .build()
    }

    fn wanted() -> Ipv4Net {
        "10.0.1.0/24".parse().unwrap()
    }

    #[test]
    fn only_what_the_provider_has_made_is_taken_back() {
        let lost = |zone: &str, range: &str, tags: &[(&str, &str)]| {
            has_lost_its_tag(&subnet(zone, range, tags), "b", wanted())
        };
        let (range, name) = ("10.0.1.0/24", ("multizone-name", "b"));
        assert!(lost("b", range, &[name]));
        assert!(!lost("b", range, &[]), "it may be anybody's");
        assert!(!lost("b", range, &[name, ("multizone-cluster", "other")]));
        assert!(!lost("a", range, &[name]));
        assert!(!lost("b", "10.0.0.0/16", &[name]));
    }

    #[test]
    fn each_subnet_in_the_way_is_told_from_the_others() {
        let said = |zone: &str, range: &str, tags: &[(&str, &str)]| {
            reason(&subnet(zone, range, tags), &ClusterName::new("demo"), "b", wanted())
        };
        let lost = said("b", "10.0.1.0/24", &[]);
        assert!(lost.contains("lacks the tag multizone-cluster = demo"), "{lost}");
        let theirs = said("b", "10.0.1.0/24", &[("multizone-cluster", "other")]);
        assert!(
            theirs.contains("belongs to cluster other: delete it, or choose another"),
            "{theirs}"
        );
        for (zone, range) in [("a", "10.0.1.0/24"), ("b", "10.0.0.0/16")] {
            let larger = said(zone, range, &[]);
            assert!(larger.contains("choose another subnet_cidr for zone b"), "{larger}");
            assert!(!larger.contains("create-tags"), "{larger}");
        }
    }
}
