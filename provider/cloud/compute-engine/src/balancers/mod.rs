//! Balancers: external pass-through Network Load Balancers of the region.
//!
//! One balancer is several objects, all of one name, made in this order and deleted in the opposite one:
//!
//! | object | what for |
//! |---|---|
//! | firewall rule `NAME-probes` | lets Google's health probes reach the masters |
//! | regional health check | asks each target for its health over HTTPS; its `description` keeps the balancer's specification and labels |
//! | zonal instance group, one per zone | the targets |
//! | regional backend service | the groups as backends |
//! | regional forwarding rule | listens at the stable address: it exists exactly while the balancer holds that |
//!
//! The firewall rule is there before everything else and after it: whatever a crash leaves behind is found by it, and
//! finished or deleted by the next call; and a region without such a rule needs not be asked for balancers.  Somebody may
//! delete the rule: then the address that a balancer holds still tells of it.  Target pools would be fewer objects, but support only legacy HTTP checks (domain-rules.md, Compute
//! Engine).

mod backend_service;
mod description;
mod forwarding_rule;
mod groups;
mod health_check;
mod read;

use std::collections::BTreeSet;

use futures::future::try_join_all;
use ipnet::Ipv4Net;
use multizone_cloud::{Balancer, BalancerSpec, CloudError, ClusterName, FirewallSpec, Result, Role};

use crate::{ComputeEngine, failure::About as _};

/// Where Google's health probes of pass-through balancers come from (Compute Engine's documentation, "Probe IP ranges
/// and firewall rules").
const PROBES: [&str; 3] = ["35.191.0.0/16", "209.85.152.0/22", "209.85.204.0/22"];

impl ComputeEngine {
    pub(crate) async fn ensure_balancer_of(&self, spec: &BalancerSpec) -> Result<Balancer> {
        let BalancerSpec { cluster, zones, .. } = spec;
        let name = self.names(cluster).balancer(&spec.name);
        let object = self.balancer_object(&spec.name, &name);
        let probes = self.ensure_firewall(&probes(cluster, &spec.name, spec.port)).await?;
        self.ensure_health_check(spec, &name).await?;
        let there: BTreeSet<String> = self.group_zones(cluster, &spec.name).await.about(&object)?;
        for zone in there.difference(zones) {
            self.refuse_targets_in(zone, &name, &object).await?;
        }
        let missing: Vec<_> = zones.difference(&there).collect();
        self.make_groups(spec, &missing, &name).await?;
        self.ensure_backend_service(spec, &name).await?;
        self.correct_forwarding_rule(spec, &name).await?;
        try_join_all(there.difference(zones).map(|zone| self.delete_group(zone, &name))).await?;
        let found = self.balancers_of(cluster, &[probes]).await.about(&object)?;
        found
            .into_iter()
            .find(|balancer| balancer.name == spec.name)
            .ok_or(CloudError::NotFound { object })
    }

    pub(crate) async fn delete_balancer_of(&self, cluster: &ClusterName, balancer: &str) -> Result<()> {
        let name = self.names(cluster).balancer(balancer);
        let object = self.balancer_object(balancer, &name);
        let in_use = |reason: String| CloudError::InUse {
            object: object.clone(),
            reason,
        };
        let (rule, groups) =
            futures::try_join!(self.forwarding_rule(&name), self.group_zones(cluster, balancer)).about(&object)?;
        if let Some(rule) = rule {
            let address = rule.ip_address.unwrap_or_default();
            return Err(in_use(format!("it listens at {address} by forwarding rule {name}")));
        }
        for zone in &groups {
            self.refuse_targets_in(zone, &name, &object).await?;
        }
        self.delete_backend_service(cluster, &name).await?;
        try_join_all(groups.iter().map(|zone| self.delete_group(zone, &name))).await?;
        self.delete_health_check(cluster, &name).await?;
        self.delete_firewall_rule_named(cluster, &probes_rule(balancer)).await
    }

    /// An instance group with members is not deleted: they would lose what leads to them.
    async fn refuse_targets_in(&self, zone: &str, name: &str, object: &str) -> Result<()> {
        let members = self.members(zone, name).await.about(object)?;
        match members.first() {
            Some(machine) => Err(CloudError::InUse {
                object: object.to_owned(),
                reason: format!("machine {machine} in {zone} is its target"),
            }),
            None => Ok(()),
        }
    }

    pub(crate) fn balancer_object(&self, balancer: &str, name: &str) -> String {
        format!("balancer {balancer} ({name} in {})", self.settings().region)
    }

    /// The URL, without the host, of something regional.
    fn regional(&self, collection: &str, name: &str) -> String {
        let (project, region) = (&self.settings().project, &self.settings().region);
        format!("projects/{project}/regions/{region}/{collection}/{name}")
    }
}

/// How the name of the rule for a balancer's probes ends, after the balancer's.
const PROBES_RULE: &str = "-probes";

fn probes_rule(balancer: &str) -> String {
    format!("{balancer}{PROBES_RULE}")
}

fn probes(cluster: &ClusterName, balancer: &str, port: u16) -> FirewallSpec {
    FirewallSpec {
        cluster: cluster.clone(),
        name: probes_rule(balancer),
        source_ranges: PROBES
            .iter()
            .filter_map(|range| range.parse::<Ipv4Net>().ok())
            .collect(),
        source_roles: Vec::new(),
        target_roles: vec![Role::Master],
        tcp_ports: vec![(port, port)],
        all_protocols: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probes_come_from_every_range_that_google_names() {
        let rule = probes(&ClusterName::new("demo"), "api", 6443);
        assert_eq!(rule.source_ranges.len(), PROBES.len());
    }
}
