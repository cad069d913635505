//! The cluster's balancers as they are: no call where nothing tells of one.

use std::collections::BTreeMap;

use futures::future::try_join_all;
use google_cloud_compute_v1::model::{BackendService, ForwardingRule, HealthCheck};
use multizone_cloud::{
    Address, AddressHolder, Balancer, BalancerTarget, ClusterName, FirewallRule, Labels, TargetHealth, label,
};

use super::{PROBES_RULE, description::Description, health_check, probes, probes_rule};
use crate::{ComputeEngine, failure::Failure};

impl ComputeEngine {
    /// The balancers of a cluster with these firewall rules and addresses, which tell of them (see [`super`]).
    pub(crate) async fn balancers_told_of(
        &self,
        cluster: &ClusterName,
        rules: &[FirewallRule],
        addresses: &[Address],
    ) -> std::result::Result<Vec<Balancer>, Failure> {
        let holds = |address: &Address| matches!(address.holder, Some(AddressHolder::Balancer { .. }));
        if begun(rules).next().is_none() && !addresses.iter().any(holds) {
            return Ok(Vec::new());
        }
        self.balancers_of(cluster, rules).await
    }

    /// The balancers of a cluster with these firewall rules.
    pub(super) async fn balancers_of(
        &self,
        cluster: &ClusterName,
        firewall: &[FirewallRule],
    ) -> std::result::Result<Vec<Balancer>, Failure> {
        let (checks, services, rules, groups) = futures::try_join!(
            self.health_checks_of(cluster),
            self.backend_services_of(cluster),
            self.forwarding_rules_of(cluster),
            self.groups_of(cluster),
        )?;
        let whole = checks
            .iter()
            .map(|(description, check)| (description.name.as_str(), Some((description, check))));
        let known = |own: &str| checks.iter().any(|(description, _)| description.name == own);
        let begun = begun(firewall).filter(|own| !known(own)).map(|own| (own, None));
        let balancers = whole.chain(begun).map(|(own, check)| {
            let name = self.names(cluster).balancer(own);
            let found = Found {
                cluster,
                own,
                check,
                probes: firewall.iter().find(|rule| rule.name == probes_rule(own)),
                service: services.iter().find(|service| service.name.as_deref() == Some(&name)),
                rule: rules.iter().find(|rule| rule.name.as_deref() == Some(&name)),
                groups: groups
                    .iter()
                    .filter(|(of, _)| *of == own)
                    .map(|(_, zone)| zone)
                    .collect(),
                name,
            };
            self.balancer_facts(found)
        });
        let mut balancers = try_join_all(balancers).await?;
        balancers.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(balancers)
    }

    async fn balancer_facts(&self, found: Found<'_>) -> std::result::Result<Balancer, Failure> {
        let Found { name, groups, .. } = &found;
        let backends = found.service.map(|service| self.backend_zones(service, name));
        let backends = backends.unwrap_or_default();
        let labels = match found.check {
            Some((description, _)) => description.labels.clone(),
            // It says what the balancer is to be: without it, a create has only begun or a delete almost ended.
            None => Labels::from([(label::CREATING.to_owned(), label::UNFINISHED.to_owned())]),
        };
        let mut unexpected = self.deviations(&found);
        let idle = groups.iter().filter(|zone| !backends.contains(**zone));
        unexpected.extend(idle.map(|zone| format!("its instance group in {zone} is no backend")));
        let zones = groups.iter().filter(|zone| backends.contains(**zone));
        let zones = zones.map(|zone| (*zone).clone()).collect();
        let targets = try_join_all(groups.iter().map(|zone| async {
            let health = async {
                if backends.contains(*zone) {
                    self.health(zone, name).await
                } else {
                    Ok(BTreeMap::new())
                }
            };
            let (members, health) = futures::try_join!(self.members(zone, name), health)?;
            Ok::<_, Failure>(targets(zone, &members, health))
        }))
        .await?;
        let mut targets: Vec<_> = targets.into_iter().flatten().collect();
        targets.sort();
        let address = found.rule.and_then(|rule| rule.ip_address.as_deref()).map(|address| {
            let unreadable = |_| Failure::unreadable(format!("forwarding rule {name} listens at {address:?}"));
            address.parse().map_err(unreadable)
        });
        Ok(Balancer {
            name: found.own.to_owned(),
            zones,
            targets,
            address: address.transpose()?,
            dns_name: None,
            labels,
            unexpected: (!unexpected.is_empty()).then(|| unexpected.join(", ")),
        })
    }

    /// What its objects are otherwise than they should be.
    fn deviations(&self, found: &Found<'_>) -> Vec<String> {
        let Some((description, check)) = found.check else {
            return vec!["it has no health check".to_owned()];
        };
        let mut unexpected = health_check::deviations(check, description);
        match found.service {
            Some(service) => unexpected.extend(self.service_deviations(service, &found.name)),
            None => unexpected.push("it has no backend service".to_owned()),
        }
        if let Some(rule) = found.rule {
            unexpected.extend(self.rule_deviations(rule, &found.name, description.port));
        }
        let wanted = probes(found.cluster, found.own, description.port).sorted();
        match found.probes {
            None => unexpected.push("the firewall rule for its probes is gone".to_owned()),
            Some(FirewallRule {
                unexpected: Some(change),
                ..
            }) => {
                unexpected.push(format!("the firewall rule for its probes was changed: {change}"));
            }
            Some(rule) if rule.spec != wanted => {
                unexpected
                    .push("the firewall rule for its probes lets other traffic through than it should".to_owned());
            }
            Some(_) => {}
        }
        unexpected
    }
}

/// The objects of one balancer.
struct Found<'a> {
    cluster: &'a ClusterName,
    /// Its name within the cluster.
    own: &'a str,
    /// Its name in the cloud.
    name: String,
    check: Option<(&'a Description, &'a HealthCheck)>,
    probes: Option<&'a FirewallRule>,
    service: Option<&'a BackendService>,
    rule: Option<&'a ForwardingRule>,
    /// The zones of its instance groups.
    groups: Vec<&'a String>,
}

/// Names of the balancers that a create has begun with, and a delete has not ended.
fn begun(rules: &[FirewallRule]) -> impl Iterator<Item = &str> {
    rules.iter().filter_map(|rule| rule.name.strip_suffix(PROBES_RULE))
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
