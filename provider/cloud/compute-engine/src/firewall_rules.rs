//! Firewall rules of a cluster's network.

use std::collections::BTreeSet;

use google_cloud_compute_v1::model::{
    self,
    firewall::{Allowed, Direction},
};
use multizone_cloud::{CloudError, ClusterName, FirewallRule, FirewallSpec, Result, Role};

use crate::{
    ComputeEngine,
    failure::{About as _, Failure},
    names::last_segment,
    networks::{present, unless_absent},
    ownership::Owner,
    pages::PAGE,
};

impl ComputeEngine {
    pub(crate) async fn ensure_firewall(&self, spec: &FirewallSpec) -> Result<FirewallRule> {
        let name = self.names(&spec.cluster).firewall_rule(&spec.name);
        let object = format!("firewall rule {} ({name})", spec.name);
        // Compute Engine takes "no source" for "everywhere".
        if spec.source_ranges.is_empty() && spec.source_roles.is_empty() {
            return Err(refused(
                object,
                "no sources",
                "the rule names neither a source range nor a source role",
            ));
        }
        if spec.tcp_ports.is_empty() != spec.all_protocols {
            return Err(refused(
                object,
                "ports",
                "the rule needs TCP ports or all protocols, and not both",
            ));
        }
        let wanted = FirewallRule {
            name: spec.name.clone(),
            spec: spec.clone().sorted(),
            unexpected: None,
        };
        let client = self.clients().firewalls().await.about(&object)?;
        let project = &self.settings().project;
        let body = self.rule_body(spec, &name);
        let insert = |token| {
            let call = client.insert().set_project(project).set_request_id(token);
            call.set_body(body.clone()).send()
        };
        let look = || self.firewall(&name);
        let existing = self.found_or_made(&object, look, "firewalls.insert", insert).await?;
        let Some(facts) = self.rule_facts(&existing, &spec.cluster) else {
            return Err(CloudError::NotOurs { object });
        };
        if facts == wanted {
            return Ok(facts);
        }
        let network = existing.network.as_deref().map(last_segment).unwrap_or_default();
        if network != self.names(&spec.cluster).network() {
            let difference = format!("it is in network {network}, not in the cluster's");
            return Err(CloudError::Differs { object, difference });
        }
        tracing::info!(target: "multizone::cloud", rule = name, unexpected = facts.unexpected, "correcting a firewall rule");
        self.change("firewalls.update", |token| {
            let call = client.update().set_project(project).set_firewall(&name);
            call.set_request_id(token).set_body(body.clone()).send()
        })
        .await
        .about(&object)?;
        Ok(wanted)
    }

    pub(crate) async fn delete_firewall_rule_named(&self, cluster: &ClusterName, rule: &str) -> Result<()> {
        let name = self.names(cluster).firewall_rule(rule);
        let object = format!("firewall rule {rule} ({name})");
        let Some(existing) = self.firewall(&name).await.about(&object)? else {
            return Ok(());
        };
        if self.rule_facts(&existing, cluster).is_none() {
            return Err(CloudError::NotOurs { object });
        }
        let client = self.clients().firewalls().await.about(&object)?;
        let project = &self.settings().project;
        self.change("firewalls.delete", |token| {
            client
                .delete()
                .set_project(project)
                .set_firewall(&name)
                .set_request_id(token)
                .send()
        })
        .await
        .or_else(unless_absent)
        .about(&object)
    }

    /// The cluster's rules, found by their descriptions.  Compute Engine cannot select by a description's meaning, so
    /// the project's rules are read in pages.
    pub(crate) async fn firewall_rules_of(
        &self,
        cluster: &ClusterName,
    ) -> std::result::Result<Vec<FirewallRule>, Failure> {
        let client = self.clients().firewalls().await?;
        let project = &self.settings().project;
        let request = |page| {
            let call = client.list().set_project(project).set_max_results(PAGE);
            call.set_or_clear_page_token(page).send()
        };
        let own = |rule: model::Firewall| Ok(self.rule_facts(&rule, cluster));
        let mut rules = self.pages("firewalls.list", request, own).await?;
        rules.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(rules)
    }

    async fn firewall(&self, name: &str) -> std::result::Result<Option<model::Firewall>, Failure> {
        let client = self.clients().firewalls().await?;
        let project = &self.settings().project;
        let request = || client.get().set_project(project).set_firewall(name).send();
        present(self.sender().send("firewalls.get", request).await)
    }

    fn rule_body(&self, spec: &FirewallSpec, name: &str) -> model::Firewall {
        let names = self.names(&spec.cluster);
        let tags = |roles: &[Role]| roles.iter().map(|role| names.tag(*role)).collect::<Vec<_>>();
        let allowed = if spec.all_protocols {
            Allowed::new().set_ip_protocol("all")
        } else {
            Allowed::new()
                .set_ip_protocol("tcp")
                .set_ports(spec.tcp_ports.iter().map(|ports| port_range(*ports)))
        };
        model::Firewall::new()
            .set_name(name)
            .set_description(self.owner(&spec.cluster, Some(&spec.name)).description())
            .set_network(format!(
                "projects/{}/global/networks/{}",
                self.settings().project,
                names.network()
            ))
            .set_direction(Direction::Ingress)
            .set_priority(1000)
            .set_disabled(false)
            .set_source_ranges(spec.source_ranges.iter().map(ToString::to_string))
            .set_source_tags(tags(&spec.source_roles))
            .set_target_tags(tags(&spec.target_roles))
            .set_allowed([allowed])
    }

    /// What a rule says, if it is the cluster's.
    fn rule_facts(&self, rule: &model::Firewall, cluster: &ClusterName) -> Option<FirewallRule> {
        let owner = Owner::parse(rule.description.as_deref())?;
        if !owner.is(cluster, &self.settings().region) {
            return None;
        }
        let name = owner.name?;
        let names = self.names(cluster);
        let mut unexpected = BTreeSet::new();
        let mut roles = |tags: &[String]| {
            let mut found = Vec::new();
            for tag in tags {
                match [Role::Master, Role::Worker]
                    .into_iter()
                    .find(|role| names.tag(*role) == *tag)
                {
                    Some(known) => found.push(known),
                    None => drop(unexpected.insert(format!("it names the tag {tag}"))),
                }
            }
            found
        };
        let (source_roles, target_roles) = (roles(&rule.source_tags), roles(&rule.target_tags));
        let mut source_ranges = Vec::new();
        for range in &rule.source_ranges {
            match range.parse() {
                Ok(range) => source_ranges.push(range),
                Err(_) => drop(unexpected.insert(format!("it lets {range} in"))),
            }
        }
        let (mut tcp_ports, mut all_protocols) = (Vec::new(), false);
        for allowed in &rule.allowed {
            match allowed.ip_protocol.as_deref() {
                Some("all") => all_protocols = true,
                Some("tcp") if allowed.ports.is_empty() => tcp_ports.push((0, u16::MAX)),
                Some("tcp") => {
                    for ports in &allowed.ports {
                        match parse_ports(ports) {
                            Some(range) => tcp_ports.push(range),
                            None => drop(unexpected.insert(format!("it lets ports {ports} through"))),
                        }
                    }
                }
                protocol => drop(unexpected.insert(format!("it lets protocol {} through", protocol.unwrap_or("none")))),
            }
        }
        for (present, what) in [
            (rule.disabled == Some(true), "it is disabled"),
            (!rule.denied.is_empty(), "it denies traffic"),
            (
                rule.direction
                    .as_ref()
                    .is_some_and(|direction| *direction != Direction::Ingress),
                "it is not for ingress",
            ),
            (
                !rule.source_service_accounts.is_empty(),
                "it names source service accounts",
            ),
            (
                !rule.target_service_accounts.is_empty(),
                "it names target service accounts",
            ),
            (!rule.destination_ranges.is_empty(), "it names destination ranges"),
        ] {
            if present {
                unexpected.insert(what.to_owned());
            }
        }
        let spec = FirewallSpec {
            cluster: cluster.clone(),
            name: name.clone(),
            source_ranges,
            source_roles,
            target_roles,
            tcp_ports,
            all_protocols,
        }
        .sorted();
        let unexpected = (!unexpected.is_empty()).then(|| unexpected.into_iter().collect::<Vec<_>>().join(", "));
        Some(FirewallRule { name, spec, unexpected })
    }
}

fn refused(object: String, code: &str, reason: &str) -> CloudError {
    CloudError::Refused {
        object,
        code: code.to_owned(),
        reason: reason.to_owned(),
    }
}

fn port_range((first, last): (u16, u16)) -> String {
    if first == last {
        first.to_string()
    } else {
        format!("{first}-{last}")
    }
}

fn parse_ports(text: &str) -> Option<(u16, u16)> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    Some((first.parse().ok()?, last.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn port_ranges_survive_the_wire() {
        for range in [(6443, 6443), (2379, 2380), (0, 65535)] {
            assert_eq!(parse_ports(&port_range(range)), Some(range));
        }
        assert_eq!(parse_ports("ssh"), None);
    }
}
