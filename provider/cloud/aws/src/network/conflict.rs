//! A subnet in the cluster's network that does not say whose it is stands where a zone's own is to be: one that has lost its
//! tag, most likely.  It is named, and not taken: nothing is the cluster's that does not say so.

use aws_sdk_ec2::types::Subnet as Ec2Subnet;
use ipnet::Ipv4Net;
use multizone_cloud::{CloudError, ClusterName, label};

use super::range;
use crate::{
    Aws,
    tags::{filter, of_ec2},
};

/// What AWS says of a range that another subnet of the network has addresses of.
const CONFLICT: &str = "InvalidSubnet.Conflict";

impl Aws {
    /// The error of a subnet that could not be made, with the one that is in its way.
    pub(super) async fn in_the_way(
        &self,
        error: CloudError,
        cluster: &ClusterName,
        vpc: &str,
        zone: &str,
        wanted: Ipv4Net,
    ) -> CloudError {
        if !matches!(&error, CloudError::Refused { code, .. } if code == CONFLICT) {
            return error;
        }
        let Ok(subnets) = self.subnets(&filter("vpc-id", vpc)).await else {
            return error;
        };
        let overlaps = |subnet: &&Ec2Subnet| range(subnet.cidr_block()).is_some_and(|found| overlap(found, wanted));
        match subnets.iter().find(overlaps) {
            Some(found) => CloudError::Refused {
                object: format!("subnet {}", found.subnet_id().unwrap_or_default()),
                code: CONFLICT.to_owned(),
                reason: reason(found, cluster, zone, wanted),
            },
            None => error,
        }
    }
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
    use crate::tags::{Tags, to_ec2};

    fn said(zone: &str, range: &str, tags: &[(&str, &str)]) -> String {
        let tags: Tags = tags
            .iter()
            .map(|(key, value)| ((*key).into(), (*value).into()))
            .collect();
        let subnet = Ec2Subnet::builder()
            .subnet_id("subnet-1")
            .vpc_id("vpc-1")
            .availability_zone(zone)
            .cidr_block(range)
            .set_tags(Some(to_ec2(&tags)))
            .build();
        let wanted = "10.0.1.0/24".parse().unwrap();
        reason(&subnet, &ClusterName::new("demo"), "b", wanted)
    }

    #[test]
    fn each_subnet_in_the_way_is_told_from_the_others() {
        let lost = said("b", "10.0.1.0/24", &[("multizone-name", "b")]);
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
