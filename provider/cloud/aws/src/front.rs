//! What stands in front of the masters: a network load balancer with its listener and its target group.
//!
//! They live as long as the cluster: the load balancer's DNS name is the API's endpoint, which every certificate and
//! every node's configuration names (domain-rules.md, AWS: an address of a load balancer belongs to one zone and dies with
//! it).  So there is never anything to hand over: masters come and go as targets.

mod deviations;
mod settings;
mod targets;

use aws_sdk_elasticloadbalancingv2::types::{
    ActionTypeEnum, Listener, LoadBalancer, LoadBalancerSchemeEnum, LoadBalancerStateEnum, LoadBalancerTypeEnum,
    ProtocolEnum, Tag, TagDescription, TargetGroup, TargetHealthDescription, TargetTypeEnum,
};
use multizone_cloud::{Address, AddressSpec, CloudError, ClusterName, Host, Labels, Result};

use crate::{
    Aws,
    failure::{About as _, Failure, present, unless_absent},
    making::Called,
    names,
    tags::{Tags, is_of},
};

/// The one address that a cluster has.
pub(crate) const ADDRESS: &str = "api";
/// The port that API servers serve.
const PORT: i32 = 6443;
/// The path that a healthy one answers with 200.
const HEALTH_PATH: &str = "/readyz";
/// On the target group: the name of the balancer that the user has declared.
pub(crate) const BALANCER: &str = "multizone-balancer";

/// A load balancer with what belongs to it, as it was read.
#[derive(Clone, Debug)]
pub(crate) struct Front {
    pub(crate) load_balancer: LoadBalancer,
    pub(crate) tags: Tags,
    pub(crate) group: Option<(TargetGroup, Tags)>,
    pub(crate) listeners: Vec<Listener>,
    /// Attributes of the load balancer and of the target group, which have names in common.
    pub(crate) attributes: (Tags, Tags),
    pub(crate) targets: Vec<TargetHealthDescription>,
}

impl Front {
    pub(crate) fn arn(&self) -> &str {
        self.load_balancer.load_balancer_arn().unwrap_or_default()
    }

    pub(crate) fn group_arn(&self) -> &str {
        let group = self.group.as_ref().and_then(|(group, _)| group.target_group_arn());
        group.unwrap_or_default()
    }

    /// The name of the balancer that the user has declared, if there is one.
    pub(crate) fn balancer(&self) -> Option<&str> {
        self.group.as_ref()?.1.get(BALANCER).map(String::as_str)
    }

    /// The zones that it spans.
    pub(crate) fn zones(&self) -> std::collections::BTreeSet<String> {
        let zones = self.load_balancer.availability_zones().iter();
        zones.filter_map(|zone| zone.zone_name.clone()).collect()
    }
}

impl Aws {
    fn front_name(&self, cluster: &ClusterName) -> String {
        names::balancer(&self.settings().region, cluster, ADDRESS)
    }

    pub(crate) async fn ensure_address_of(&self, spec: &AddressSpec) -> Result<Address> {
        let object = address_object(&spec.name);
        if spec.name != ADDRESS {
            return Err(CloudError::Refused {
                object,
                code: "one address".to_owned(),
                reason: format!("a cluster has the one address {ADDRESS} on AWS"),
            });
        }
        self.ensure_front(&spec.cluster, &spec.labels).await?;
        let front = self.own_front(&spec.cluster).await?;
        if front.balancer().is_none() {
            let subnets = self.subnets_of(&spec.cluster).await.about(&object)?;
            let zones = subnets
                .into_iter()
                .filter_map(|subnet| subnet.availability_zone)
                .collect();
            self.span(&spec.cluster, &front, &zones).await?;
        }
        let dns_name = front.load_balancer.dns_name.clone().unwrap_or_default();
        Ok(Address {
            name: spec.name.clone(),
            address: Host::Name(dns_name),
            holder: None,
            labels: self.labels(&front.tags),
            unexpected: None,
        })
    }

    /// Makes sure of the load balancer, its target group, its listener, and of what they are set to.
    pub(crate) async fn ensure_front(&self, cluster: &ClusterName, labels: &Labels) -> Result<()> {
        let object = address_object(ADDRESS);
        let name = self.front_name(cluster);
        let (load_balancer, group) = futures::join!(
            self.ensure_load_balancer(cluster, &name, labels),
            self.ensure_target_group(cluster, &name)
        );
        let (load_balancer, group) = (load_balancer?, group?);
        let arn = load_balancer.load_balancer_arn.unwrap_or_default();
        let group_arn = group.target_group_arn.unwrap_or_default();
        self.ensure_listener(cluster, &arn, &group_arn).await?;
        let front = self.own_front(cluster).await?;
        self.correct_settings(&front).await.about(&object)
    }

    async fn ensure_load_balancer(&self, cluster: &ClusterName, name: &str, labels: &Labels) -> Result<LoadBalancer> {
        let object = format!("load balancer {name}");
        let client = &self.clients().balancing;
        let subnets = self.subnets_of(cluster).await.about(&object)?;
        let subnets: Vec<String> = subnets.into_iter().filter_map(|subnet| subnet.subnet_id).collect();
        let tags = to_tags(&self.tags(cluster, ADDRESS, labels));
        let look = || self.load_balancer(name);
        let make = || async {
            let made = self
                .call_once("elasticloadbalancing:CreateLoadBalancer", || {
                    client
                        .create_load_balancer()
                        .name(name)
                        .r#type(LoadBalancerTypeEnum::Network)
                        .scheme(LoadBalancerSchemeEnum::InternetFacing)
                        .set_subnets(Some(subnets.clone()))
                        .set_tags(Some(tags.clone()))
                        .send()
                })
                .await?;
            let made = made.load_balancers.unwrap_or_default().into_iter().next();
            made.ok_or_else(|| Failure::unreadable("the reply names no load balancer"))
        };
        self.found_or_made(&object, look, make).await
    }

    async fn ensure_target_group(&self, cluster: &ClusterName, name: &str) -> Result<TargetGroup> {
        let object = format!("target group {name}");
        let vpc = self.vpc_of(cluster).await.about(&object)?;
        let vpc = vpc.ok_or_else(|| CloudError::NotFound {
            object: format!("network of cluster {cluster}"),
        })?;
        let client = &self.clients().balancing;
        let tags = to_tags(&self.tags(cluster, ADDRESS, &Labels::new()));
        let look = || self.target_group(name);
        let make = || async {
            let made = self
                .call_once("elasticloadbalancing:CreateTargetGroup", || {
                    settings::health_check(client.create_target_group())
                        .name(name)
                        .protocol(ProtocolEnum::Tcp)
                        .port(PORT)
                        .vpc_id(&vpc)
                        .target_type(TargetTypeEnum::Instance)
                        .set_tags(Some(tags.clone()))
                        .send()
                })
                .await?;
            let made = made.target_groups.unwrap_or_default().into_iter().next();
            made.ok_or_else(|| Failure::unreadable("the reply names no target group"))
        };
        self.found_or_made(&object, look, make).await
    }

    async fn ensure_listener(&self, cluster: &ClusterName, load_balancer: &str, group: &str) -> Result<()> {
        let object = format!("listener of the load balancer of cluster {cluster}");
        let client = &self.clients().balancing;
        let forward = aws_sdk_elasticloadbalancingv2::types::Action::builder()
            .r#type(ActionTypeEnum::Forward)
            .target_group_arn(group)
            .build();
        let look = || async {
            let listeners = self.listeners(load_balancer).await?;
            Ok(listeners.into_iter().find(|listener| listener.port == Some(PORT)))
        };
        let make = || async {
            let made = self
                .call_once("elasticloadbalancing:CreateListener", || {
                    client
                        .create_listener()
                        .load_balancer_arn(load_balancer)
                        .protocol(ProtocolEnum::Tcp)
                        .port(PORT)
                        .default_actions(forward.clone())
                        .send()
                })
                .await?;
            let made = made.listeners.unwrap_or_default().into_iter().next();
            made.ok_or_else(|| Failure::unreadable("the reply names no listener"))
        };
        let listener = self.found_or_made(&object, look, make).await?;
        if deviations::forwards(&listener, group) {
            return Ok(());
        }
        self.call("elasticloadbalancing:ModifyListener", || {
            client
                .modify_listener()
                .listener_arn(listener.listener_arn().unwrap_or_default())
                .protocol(ProtocolEnum::Tcp)
                .port(PORT)
                .default_actions(forward.clone())
                .send()
        })
        .await
        .map(drop)
        .about(&object)
    }

    /// Deletes the cluster's load balancer and what belongs to it, unless something is behind it.
    pub(crate) async fn delete_address_of(&self, cluster: &ClusterName, name: &str) -> Result<()> {
        let object = address_object(name);
        if name != ADDRESS {
            return Ok(());
        }
        let client = &self.clients().balancing;
        let own = self.front_name(cluster);
        if let Some(front) = self.front(cluster).await.about(&object)? {
            if !is_of(&front.tags, cluster) {
                return Err(CloudError::NotOurs { object });
            }
            if let Some(balancer) = front.balancer() {
                let reason = format!("balancer {balancer} listens at it");
                return Err(CloudError::InUse { object, reason });
            }
            let machines = self.machines_of(cluster).await.about(&object)?;
            if let Some(target) = front.machines(&machines).first() {
                let reason = format!("it leads to machine {} in {}", target.machine, target.zone);
                return Err(CloudError::InUse { object, reason });
            }
            let arn = front.arn();
            self.call("elasticloadbalancing:DeleteLoadBalancer", || {
                client.delete_load_balancer().load_balancer_arn(arn).send()
            })
            .await
            .map(drop)
            .or_else(unless_absent)
            .about(&object)?;
            self.poll("it to be gone", || async {
                Ok(self.load_balancer(&own).await?.is_none().then_some(()))
            })
            .await
            .about(&object)?;
        }
        let Some(group) = self.target_group(&own).await.about(&object)? else {
            return Ok(());
        };
        let arn = group.target_group_arn.unwrap_or_default();
        let tags = self.balancing_tags(&[&arn]).await.about(&object)?;
        if !tags.first().is_some_and(|tags| is_of(tags, cluster)) {
            return Err(CloudError::NotOurs { object });
        }
        self.once_free(|| async {
            self.call("elasticloadbalancing:DeleteTargetGroup", || {
                client.delete_target_group().target_group_arn(&arn).send()
            })
            .await
            .map(drop)
            .or_else(unless_absent)
        })
        .await
        .about(&object)
    }

    /// The front, which must be the cluster's.
    pub(crate) async fn own_front(&self, cluster: &ClusterName) -> Result<Front> {
        let object = address_object(ADDRESS);
        match self.front(cluster).await.about(&object)? {
            None => Err(CloudError::NotFound { object }),
            Some(front) if !is_of(&front.tags, cluster) => Err(CloudError::NotOurs { object }),
            Some(front) => Ok(front),
        }
    }

    /// What there is in front of a cluster's masters, if its load balancer exists.
    pub(crate) async fn front(&self, cluster: &ClusterName) -> Called<Option<Front>> {
        let name = self.front_name(cluster);
        let Some(load_balancer) = self.load_balancer(&name).await? else {
            return Ok(None);
        };
        let arn = load_balancer.load_balancer_arn.clone().unwrap_or_default();
        let (group, listeners) = futures::try_join!(self.target_group(&name), self.listeners(&arn))?;
        let group_arn = group.as_ref().and_then(|group| group.target_group_arn.clone());
        let arns: Vec<&str> = [Some(arn.as_str()), group_arn.as_deref()]
            .into_iter()
            .flatten()
            .collect();
        let (tags, attributes, targets) = futures::try_join!(
            self.balancing_tags(&arns),
            self.front_attributes(&arn, group_arn.as_deref()),
            self.target_health(group_arn.as_deref())
        )?;
        let mut tags = tags.into_iter();
        let own = tags.next().unwrap_or_default();
        Ok(Some(Front {
            load_balancer,
            tags: own,
            group: group.map(|group| (group, tags.next().unwrap_or_default())),
            listeners,
            attributes,
            targets,
        }))
    }

    pub(crate) async fn load_balancer(&self, name: &str) -> Called<Option<LoadBalancer>> {
        let client = &self.clients().balancing;
        let found = self
            .call("elasticloadbalancing:DescribeLoadBalancers", || {
                client.describe_load_balancers().names(name).send()
            })
            .await;
        Ok(present(found)?.and_then(|reply| reply.load_balancers.unwrap_or_default().into_iter().next()))
    }

    pub(crate) async fn target_group(&self, name: &str) -> Called<Option<TargetGroup>> {
        let client = &self.clients().balancing;
        let found = self
            .call("elasticloadbalancing:DescribeTargetGroups", || {
                client.describe_target_groups().names(name).send()
            })
            .await;
        Ok(present(found)?.and_then(|reply| reply.target_groups.unwrap_or_default().into_iter().next()))
    }

    async fn listeners(&self, load_balancer: &str) -> Called<Vec<Listener>> {
        let client = &self.clients().balancing;
        let found = self
            .call("elasticloadbalancing:DescribeListeners", || {
                client.describe_listeners().load_balancer_arn(load_balancer).send()
            })
            .await;
        Ok(present(found)?.and_then(|reply| reply.listeners).unwrap_or_default())
    }

    /// The tags of each of these, in their order.
    async fn balancing_tags(&self, arns: &[&str]) -> Called<Vec<Tags>> {
        let client = &self.clients().balancing;
        let wanted: Vec<String> = arns.iter().map(ToString::to_string).collect();
        let reply = self
            .call("elasticloadbalancing:DescribeTags", || {
                client.describe_tags().set_resource_arns(Some(wanted.clone())).send()
            })
            .await?;
        let described = reply.tag_descriptions.unwrap_or_default();
        let tags = |arn: &&str| {
            let found = described.iter().find(|found| found.resource_arn() == Some(*arn));
            let tags = found.map(TagDescription::tags).unwrap_or_default().iter();
            tags.filter_map(|tag| Some((tag.key.clone()?, tag.value.clone().unwrap_or_default())))
                .collect()
        };
        Ok(arns.iter().map(tags).collect())
    }

    /// Waits until the load balancer can be changed.
    async fn await_active(&self, name: &str) -> Called<()> {
        self.poll("the load balancer to be active", || async {
            let found = self.load_balancer(name).await?;
            let state = found.and_then(|found| found.state?.code);
            if state == Some(LoadBalancerStateEnum::Failed) {
                return Err(Failure::failed("failed", "the load balancer could not be set up"));
            }
            Ok((state != Some(LoadBalancerStateEnum::Provisioning)).then_some(()))
        })
        .await
    }
}

pub(crate) fn address_object(name: &str) -> String {
    format!("address {name}")
}

/// A map as the tags of Elastic Load Balancing.
pub(crate) fn to_tags(tags: &Tags) -> Vec<Tag> {
    let tag = |(key, value): (&String, &String)| Tag::builder().key(key).value(value).build();
    tags.iter().map(tag).collect()
}

/// The balancer's own labels among the tags of its target group.
pub(crate) fn without_mark(mut labels: Labels) -> Labels {
    labels.remove(BALANCER);
    labels
}
