//! What the load balancer and its target group are set to.

use aws_sdk_elasticloadbalancingv2::{
    operation::create_target_group::builders::CreateTargetGroupFluentBuilder,
    types::{LoadBalancerAttribute, Matcher, ProtocolEnum, TargetGroupAttribute},
};

use super::{Front, HEALTH_PATH};
use crate::{Aws, making::Called, tags::Tags};

/// Masters in one zone are reached through the load balancer's nodes in every other.
pub(super) const OF_LOAD_BALANCER: &[(&str, &str)] = &[("load_balancing.cross_zone.enabled", "true")];

/// A master reaches itself through the load balancer only when that does not keep the client's address.  Connections of a
/// target that leaves are kept for a while, and then cut: watches begin anew elsewhere, other requests of the Kubernetes
/// API are answered within.
pub(super) const OF_TARGETS: &[(&str, &str)] = &[
    ("preserve_client_ip.enabled", "false"),
    ("load_balancing.cross_zone.enabled", "use_load_balancer_configuration"),
    ("deregistration_delay.timeout_seconds", "10"),
    ("deregistration_delay.connection_termination.enabled", "true"),
];

/// Seconds between two health checks, the wait for an answer, and how many decide.
pub(super) const INTERVAL: i32 = 10;
pub(super) const WAIT: i32 = 6;
pub(super) const DECIDE: i32 = 2;

fn matcher() -> Matcher {
    Matcher::builder().http_code("200").build()
}

pub(super) fn health_check(request: CreateTargetGroupFluentBuilder) -> CreateTargetGroupFluentBuilder {
    request
        .health_check_enabled(true)
        .health_check_protocol(ProtocolEnum::Https)
        .health_check_path(HEALTH_PATH)
        .health_check_port("traffic-port")
        .health_check_interval_seconds(INTERVAL)
        .health_check_timeout_seconds(WAIT)
        .healthy_threshold_count(DECIDE)
        .unhealthy_threshold_count(DECIDE)
        .matcher(matcher())
}

impl Aws {
    /// The attributes of the load balancer and of its target group.
    pub(super) async fn front_attributes(&self, load_balancer: &str, group: Option<&str>) -> Called<(Tags, Tags)> {
        let client = &self.clients().balancing;
        let of_load_balancer = async {
            let reply = self
                .call("elasticloadbalancing:DescribeLoadBalancerAttributes", || {
                    client
                        .describe_load_balancer_attributes()
                        .load_balancer_arn(load_balancer)
                        .send()
                })
                .await?;
            let found = reply.attributes.unwrap_or_default().into_iter();
            Ok(found
                .filter_map(|attribute| Some((attribute.key?, attribute.value?)))
                .collect::<Tags>())
        };
        let of_targets = async {
            let Some(group) = group else { return Ok(Tags::new()) };
            let reply = self
                .call("elasticloadbalancing:DescribeTargetGroupAttributes", || {
                    client.describe_target_group_attributes().target_group_arn(group).send()
                })
                .await?;
            let found = reply.attributes.unwrap_or_default().into_iter();
            Ok(found
                .filter_map(|attribute| Some((attribute.key?, attribute.value?)))
                .collect::<Tags>())
        };
        futures::try_join!(of_load_balancer, of_targets)
    }

    /// Sets what is not as it should be.
    pub(super) async fn correct_settings(&self, front: &Front) -> Called<()> {
        let client = &self.clients().balancing;
        let (of_load_balancer, of_targets) = &front.attributes;
        let differs = |is: &Tags, (key, value): &(&str, &str)| is.get(*key).map(String::as_str) != Some(*value);
        let attribute = |(key, value): &(&str, &str)| LoadBalancerAttribute::builder().key(*key).value(*value).build();
        let wrong: Vec<_> = OF_LOAD_BALANCER
            .iter()
            .filter(|wanted| differs(of_load_balancer, wanted))
            .map(attribute)
            .collect();
        if !wrong.is_empty() {
            self.call("elasticloadbalancing:ModifyLoadBalancerAttributes", || {
                client
                    .modify_load_balancer_attributes()
                    .load_balancer_arn(front.arn())
                    .set_attributes(Some(wrong.clone()))
                    .send()
            })
            .await?;
        }
        let attribute = |(key, value): &(&str, &str)| TargetGroupAttribute::builder().key(*key).value(*value).build();
        let wrong: Vec<_> = OF_TARGETS
            .iter()
            .filter(|wanted| differs(of_targets, wanted))
            .map(attribute)
            .collect();
        if !wrong.is_empty() {
            self.call("elasticloadbalancing:ModifyTargetGroupAttributes", || {
                client
                    .modify_target_group_attributes()
                    .target_group_arn(front.group_arn())
                    .set_attributes(Some(wrong.clone()))
                    .send()
            })
            .await?;
        }
        if front.health_deviations().is_empty() {
            return Ok(());
        }
        self.call("elasticloadbalancing:ModifyTargetGroup", || {
            client
                .modify_target_group()
                .target_group_arn(front.group_arn())
                .health_check_enabled(true)
                .health_check_protocol(ProtocolEnum::Https)
                .health_check_path(HEALTH_PATH)
                .health_check_port("traffic-port")
                .health_check_interval_seconds(INTERVAL)
                .health_check_timeout_seconds(WAIT)
                .healthy_threshold_count(DECIDE)
                .unhealthy_threshold_count(DECIDE)
                .matcher(matcher())
                .send()
        })
        .await
        .map(drop)
    }
}
