//! Zones and targets.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_elasticloadbalancingv2::types::{TargetDescription, TargetHealthDescription, TargetHealthStateEnum};
use multizone_cloud::{AddressHolder, BalancerTarget, CloudError, ClusterName, Result, TargetHealth};

use super::{ADDRESS, Front, PORT, address_object};
use crate::{
    Aws,
    failure::{About as _, present, unless_absent},
    machines::machine_object,
    making::Called,
    tags::is_of,
};

impl Front {
    /// The targets that are machines of the cluster.  `machines` are zone and name, by instance.
    pub(crate) fn machines(&self, machines: &BTreeMap<String, (String, String)>) -> Vec<BalancerTarget> {
        let target = |found: &TargetHealthDescription| {
            let (zone, machine) = machines.get(found.target()?.id()?)?.clone();
            let health = health(found)?;
            Some(BalancerTarget { zone, machine, health })
        };
        let mut targets: Vec<_> = self.targets.iter().filter_map(target).collect();
        targets.sort();
        targets
    }

    fn has(&self, instance: &str) -> bool {
        self.targets
            .iter()
            .any(|found| found.target().and_then(|target| target.id()) == Some(instance) && health(found).is_some())
    }
}

impl Aws {
    /// Lets the load balancer span exactly these zones; none leaves it as it is, since it has to be somewhere.
    pub(crate) async fn span(&self, cluster: &ClusterName, front: &Front, zones: &BTreeSet<String>) -> Result<()> {
        let object = address_object(ADDRESS);
        if zones.is_empty() || front.zones() == *zones {
            return Ok(());
        }
        let subnets = self.subnets_of(cluster).await.about(&object)?;
        let mut wanted = Vec::new();
        for zone in zones {
            let subnet = subnets.iter().find(|subnet| subnet.availability_zone() == Some(zone));
            let id = subnet.and_then(|subnet| subnet.subnet_id.clone());
            wanted.push(id.ok_or_else(|| CloudError::NotFound {
                object: format!("subnet of cluster {cluster} in {zone}"),
            })?);
        }
        let name = front.load_balancer.load_balancer_name().unwrap_or_default();
        self.await_active(name).await.about(&object)?;
        let client = &self.clients().balancing;
        self.call("elasticloadbalancing:SetSubnets", || {
            client
                .set_subnets()
                .load_balancer_arn(front.arn())
                .set_subnets(Some(wanted.clone()))
                .send()
        })
        .await
        .map(drop)
        .about(&object)
    }

    /// Whether a balancer that the user has declared spans a zone.
    pub(crate) async fn balancer_decides_on(&self, cluster: &ClusterName, zone: &str) -> Result<bool> {
        let front = self.front(cluster).await.about(&address_object(ADDRESS))?;
        Ok(front.is_some_and(|front| front.balancer().is_some() && front.zones().contains(zone)))
    }

    /// Takes the load balancer out of a zone where nobody has declared one: it spans what the cluster spans.
    pub(crate) async fn leave_subnet(&self, cluster: &ClusterName, zone: &str) -> Result<()> {
        let front = self.front(cluster).await.about(&address_object(ADDRESS))?;
        let Some(front) = front.filter(|front| front.balancer().is_none() && front.zones().contains(zone)) else {
            return Ok(());
        };
        let mut zones = front.zones();
        zones.remove(zone);
        self.span(cluster, &front, &zones).await
    }

    /// Puts a machine behind the load balancer.
    pub(crate) async fn register(&self, cluster: &ClusterName, zone: &str, name: &str) -> Result<()> {
        let front = self.own_front(cluster).await?;
        let object = machine_object(zone, name);
        let id = match self.instance(zone, name).await.about(&object)? {
            None => return Err(CloudError::NotFound { object }),
            Some(found) if !is_of(&crate::instances::tags(&found), cluster) => {
                return Err(CloudError::NotOurs { object });
            }
            Some(found) => found.instance_id.unwrap_or_default(),
        };
        if front.has(&id) {
            return Ok(());
        }
        if !front.zones().contains(zone) {
            return Err(CloudError::Refused {
                object: address_object(ADDRESS),
                code: "zone".to_owned(),
                reason: format!("its load balancer does not span {zone}, in which machine {name} is"),
            });
        }
        let client = &self.clients().balancing;
        self.call("elasticloadbalancing:RegisterTargets", || {
            client
                .register_targets()
                .target_group_arn(front.group_arn())
                .targets(target(&id))
                .send()
        })
        .await
        .map(drop)
        .about(&object)
    }

    /// Takes a machine off the load balancer, and waits until it is gone from it.
    pub(crate) async fn deregister(&self, cluster: &ClusterName, zone: &str, name: &str) -> Result<()> {
        let object = machine_object(zone, name);
        let Some(front) = self.front(cluster).await.about(&address_object(ADDRESS))? else {
            return Ok(());
        };
        let Some(found) = self.instance(zone, name).await.about(&object)? else {
            return Ok(());
        };
        let id = found.instance_id.unwrap_or_default();
        self.deregister_instances(front.group_arn(), &[id]).await.about(&object)
    }

    async fn deregister_instances(&self, group: &str, ids: &[String]) -> Called<()> {
        if group.is_empty() || ids.is_empty() {
            return Ok(());
        }
        let client = &self.clients().balancing;
        let targets: Vec<_> = ids.iter().map(|id| target(id)).collect();
        let taken = self
            .call("elasticloadbalancing:DeregisterTargets", || {
                client
                    .deregister_targets()
                    .target_group_arn(group)
                    .set_targets(Some(targets.clone()))
                    .send()
            })
            .await;
        match taken {
            Err(failure) if failure.is(&["InvalidTarget"]) => {}
            taken => taken.map(drop).or_else(unless_absent)?,
        }
        self.poll("it to be gone from the load balancer, where it is draining", || async {
            let listed = self.target_health(Some(group)).await?;
            let there = |found: &TargetHealthDescription| {
                let id = found.target().and_then(|target| target.id()).unwrap_or_default();
                ids.iter().any(|gone| gone == id) && health(found).is_some()
            };
            Ok((!listed.iter().any(there)).then_some(()))
        })
        .await
    }

    /// Lets the cluster's address lead to a machine too, or to a balancer, to which it leads already.
    pub(crate) async fn attach_to(&self, cluster: &ClusterName, address: &str, to: &AddressHolder) -> Result<()> {
        let object = address_object(address);
        if address != ADDRESS {
            return Err(CloudError::NotFound { object });
        }
        match to {
            AddressHolder::Machine { zone, name } => self.register(cluster, zone, name).await,
            AddressHolder::Balancer { name } => match self.own_front(cluster).await?.balancer() {
                Some(found) if found == name => Ok(()),
                _ => Err(CloudError::NotFound {
                    object: format!("balancer {name}"),
                }),
            },
        }
    }

    /// Lets the cluster's address lead nowhere, unless a balancer holds it: that one's targets are its own.
    pub(crate) async fn detach(&self, cluster: &ClusterName, address: &str) -> Result<()> {
        let object = address_object(address);
        if address != ADDRESS {
            return Err(CloudError::NotFound { object });
        }
        let front = self.own_front(cluster).await?;
        if front.balancer().is_some() {
            return Ok(());
        }
        let ids = front.targets.iter().filter_map(|found| found.target()?.id.clone());
        let ids: Vec<String> = ids.collect();
        self.deregister_instances(front.group_arn(), &ids).await.about(&object)
    }

    /// Takes an instance that is about to go off its cluster's load balancer.
    pub(crate) async fn forget_target(&self, cluster: &ClusterName, id: &str) -> Called<()> {
        let group = self.target_group(&self.front_name(cluster)).await?;
        let Some(group) = group.and_then(|group| group.target_group_arn) else {
            return Ok(());
        };
        let listed = self.target_health(Some(&group)).await?;
        let there = listed
            .iter()
            .any(|found| found.target().and_then(|target| target.id()) == Some(id) && health(found).is_some());
        if there {
            self.deregister_instances(&group, &[id.to_owned()]).await?;
        }
        Ok(())
    }

    pub(super) async fn target_health(&self, group: Option<&str>) -> Called<Vec<TargetHealthDescription>> {
        let Some(group) = group else { return Ok(Vec::new()) };
        let client = &self.clients().balancing;
        let found = self
            .call("elasticloadbalancing:DescribeTargetHealth", || {
                client.describe_target_health().target_group_arn(group).send()
            })
            .await;
        Ok(present(found)?
            .and_then(|reply| reply.target_health_descriptions)
            .unwrap_or_default())
    }
}

fn target(id: &str) -> TargetDescription {
    TargetDescription::builder().id(id).port(PORT).build()
}

/// Whether a target gets connections; `None` when it is none (any more).
fn health(found: &TargetHealthDescription) -> Option<TargetHealth> {
    use aws_sdk_elasticloadbalancingv2::types::TargetHealthReasonEnum as Reason;
    let health = found.target_health()?;
    Some(match health.state() {
        Some(TargetHealthStateEnum::Unused) if health.reason() == Some(&Reason::NotRegistered) => return None,
        Some(TargetHealthStateEnum::Healthy) => TargetHealth::Serving,
        Some(TargetHealthStateEnum::Draining) => TargetHealth::Draining,
        _ => TargetHealth::Unhealthy,
    })
}
