//! The cluster's balancers as they are: one call where there is none.

use std::collections::BTreeMap;

use futures::future::try_join_all;
use google_cloud_compute_v1::model::{BackendService, ForwardingRule, HealthCheck};
use multizone_cloud::{Balancer, BalancerTarget, ClusterName, TargetHealth};

use super::{description::Description, health_check};
use crate::{ComputeEngine, failure::Failure};

impl ComputeEngine {
    pub(crate) async fn balancers_of(&self, cluster: &ClusterName) -> std::result::Result<Vec<Balancer>, Failure> {
        let checks = self.health_checks_of(cluster).await?;
        if checks.is_empty() {
            return Ok(Vec::new());
        }
        let (services, rules, groups) = futures::try_join!(
            self.backend_services_of(cluster),
            self.forwarding_rules_of(cluster),
            self.groups_of(cluster),
        )?;
        let balancers = checks.into_iter().map(|(description, check)| {
            let name = self.names(cluster).balancer(&description.name);
            let service = services.iter().find(|service| service.name.as_deref() == Some(&name));
            let rule = rules.iter().find(|rule| rule.name.as_deref() == Some(&name));
            let own = groups.iter().filter(|(balancer, _)| *balancer == description.name);
            let zones: Vec<_> = own.map(|(_, zone)| zone.clone()).collect();
            self.balancer_facts(name, description, check, service, rule, zones)
        });
        let mut balancers = try_join_all(balancers).await?;
        balancers.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(balancers)
    }

    async fn balancer_facts(
        &self,
        name: String,
        description: Description,
        check: HealthCheck,
        service: Option<&BackendService>,
        rule: Option<&ForwardingRule>,
        groups: Vec<String>,
    ) -> std::result::Result<Balancer, Failure> {
        let backends = service
            .map(|service| self.backend_zones(service, &name))
            .unwrap_or_default();
        let mut unexpected = health_check::deviations(&check, &description);
        match service {
            Some(service) => unexpected.extend(self.service_deviations(service, &name)),
            None => unexpected.push("it has no backend service".to_owned()),
        }
        if let Some(rule) = rule {
            unexpected.extend(self.rule_deviations(rule, &name, description.port));
        }
        unexpected.extend(
            groups
                .iter()
                .filter(|zone| !backends.contains(*zone))
                .map(|zone| format!("its instance group in {zone} is no backend")),
        );
        let zones = groups.iter().filter(|zone| backends.contains(*zone)).cloned().collect();
        let targets = try_join_all(groups.iter().map(|zone| async {
            let health = async {
                if backends.contains(zone) {
                    self.health(zone, &name).await
                } else {
                    Ok(BTreeMap::new())
                }
            };
            let (members, health) = futures::try_join!(self.members(zone, &name), health)?;
            Ok::<_, Failure>(targets(zone, &members, health))
        }))
        .await?;
        let mut targets: Vec<_> = targets.into_iter().flatten().collect();
        targets.sort();
        let address = rule.and_then(|rule| rule.ip_address.as_deref()).map(|address| {
            let unreadable = |_| Failure::unreadable(format!("the forwarding rule's address is {address:?}"));
            address.parse().map_err(unreadable)
        });
        Ok(Balancer {
            name: description.name,
            zones,
            targets,
            address: address.transpose()?,
            dns_name: None,
            labels: description.labels,
            unexpected: (!unexpected.is_empty()).then(|| unexpected.join(", ")),
        })
    }
}

/// The targets of one zone: who is in the group, and who has left it and still keeps connections.
fn targets(zone: &str, members: &[String], mut health: BTreeMap<String, TargetHealth>) -> Vec<BalancerTarget> {
    let target = |machine: &str, health| BalancerTarget {
        zone: zone.to_owned(),
        machine: machine.to_owned(),
        health,
    };
    let mut found: Vec<_> = members
        .iter()
        .map(|machine| target(machine, health.remove(machine).unwrap_or(TargetHealth::Unhealthy)))
        .collect();
    found.extend(health.keys().map(|machine| target(machine, TargetHealth::Draining)));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_left_its_group_is_draining_and_who_is_new_is_not_healthy_yet() {
        let health = [
            ("a", TargetHealth::Serving),
            ("b", TargetHealth::Unhealthy),
            ("gone", TargetHealth::Serving),
        ];
        let health = health.map(|(machine, health)| (machine.to_owned(), health)).into();
        let members = ["a", "b", "new"].map(str::to_owned);
        let found = targets("z", &members, health);
        let found: Vec<_> = found
            .iter()
            .map(|target| (target.machine.as_str(), target.health))
            .collect();
        assert_eq!(
            found,
            [
                ("a", TargetHealth::Serving),
                ("b", TargetHealth::Unhealthy),
                ("new", TargetHealth::Unhealthy),
                ("gone", TargetHealth::Draining),
            ]
        );
    }
}
