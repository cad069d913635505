//! Firewall rules: ingress that is allowed.

use super::error::Refusal;
use super::names::check_name;
use super::operations::{Effect, Operation};
use super::records::{Allowed, Firewall};
use super::transaction::Transaction;
use ipnet::Ipv4Net;
use std::collections::BTreeSet;

/// A rule to make, or the fields to change (`None` keeps).
#[derive(Debug, Clone, Default)]
pub struct FirewallSettings {
    /// Free text.
    pub description: Option<String>,
    /// Network.
    pub network: Option<String>,
    /// Lower numbers first; 1000 unless given.
    pub priority: Option<u32>,
    /// `INGRESS` unless given; the sandbox has no other.
    pub direction: Option<String>,
    /// What is let in.
    pub allowed: Option<Vec<Allowed>>,
    /// Whether the rule denies something.
    pub denies: bool,
    /// Where from.
    pub source_ranges: Option<Vec<String>>,
    /// Where from, by tag.
    pub source_tags: Option<BTreeSet<String>>,
    /// To which machines.
    pub target_tags: Option<BTreeSet<String>>,
    /// Without effect.
    pub disabled: Option<bool>,
}

impl Transaction<'_> {
    /// Makes a rule.
    pub fn insert_firewall(&mut self, name: &str, new: FirewallSettings) -> Result<Operation, Refusal> {
        check_name("resource.name", name)?;
        let path = self.settings.global_path("firewalls", name);
        if self.state.firewalls.contains_key(name) {
            return Err(Refusal::already_exists(&path));
        }
        let identity = self.new_identity(name, "");
        let id = identity.id;
        let network = new
            .network
            .clone()
            .unwrap_or_else(|| super::networks::DEFAULT_NETWORK.to_owned());
        let network_path = self.settings.global_path("networks", &network);
        if !self.state.networks.contains_key(&network) {
            return Err(Refusal::not_found(&network_path));
        }
        self.require_existing(&network_path)?;
        if new.allowed.as_ref().is_none_or(Vec::is_empty) && !new.denies {
            return Err(Refusal::invalid(
                "resource.allowed",
                "",
                "One of 'allowed' and 'denied' must be specified",
            ));
        }
        let empty = Firewall {
            identity,
            network,
            priority: 1000,
            allowed: Vec::new(),
            source_ranges: Vec::new(),
            source_tags: BTreeSet::new(),
            target_tags: BTreeSet::new(),
            disabled: false,
        };
        let mut rule = settle(empty, new)?;
        if rule.source_ranges.is_empty() && rule.source_tags.is_empty() {
            rule.source_ranges.push(Ipv4Net::default());
        }
        self.put(rule);
        Ok(self.begin(Self::global("firewalls.insert", path, id), [(8.0, Effect::None)]))
    }

    /// Changes the fields that are given.
    pub fn patch_firewall(&mut self, name: &str, change: FirewallSettings) -> Result<Operation, Refusal> {
        let path = self.settings.global_path("firewalls", name);
        let rule = self
            .state
            .firewalls
            .get(name)
            .cloned()
            .ok_or_else(|| Refusal::not_found(&path))?;
        self.require_ready(&path)?;
        if change.network.as_ref().is_some_and(|network| *network != rule.network) {
            return Err(Refusal::invalid(
                "resource.network",
                change.network.unwrap_or_default(),
                "The network of a rule cannot be changed",
            ));
        }
        let id = rule.identity.id;
        let rule = settle(rule, change)?;
        self.put(rule);
        Ok(self.begin(Self::global("firewalls.patch", path, id), [(8.0, Effect::None)]))
    }

    /// Deletes a rule.
    pub fn delete_firewall(&mut self, name: &str) -> Result<Operation, Refusal> {
        let path = self.settings.global_path("firewalls", name);
        let id = self
            .state
            .firewalls
            .get(name)
            .ok_or_else(|| Refusal::not_found(&path))?
            .identity
            .id;
        self.require_ready(&path)?;
        Ok(self.begin(
            Self::global("firewalls.delete", path, id),
            [(8.0, Effect::FirewallGone(name.to_owned()))],
        ))
    }
}

fn settle(mut rule: Firewall, change: FirewallSettings) -> Result<Firewall, Refusal> {
    if let Some(direction) = change.direction.filter(|direction| direction != "INGRESS") {
        return Err(Refusal::invalid(
            "resource.direction",
            direction,
            "The sandbox simulates INGRESS rules only",
        ));
    }
    if change.denies {
        return Err(Refusal::invalid(
            "resource.denied",
            "",
            "The sandbox simulates rules that allow, not rules that deny",
        ));
    }
    if let Some(description) = change.description {
        rule.identity.description = description;
    }
    if let Some(priority) = change.priority {
        if priority > 65535 {
            return Err(Refusal::invalid("resource.priority", priority, "Must be at most 65535"));
        }
        rule.priority = priority;
    }
    if let Some(allowed) = change.allowed {
        for (index, entry) in allowed.iter().enumerate() {
            check_allowed(index, entry)?;
        }
        rule.allowed = allowed;
    }
    if let Some(ranges) = change.source_ranges {
        rule.source_ranges = ranges
            .iter()
            .enumerate()
            .map(|(index, text)| {
                let field = format!("resource.sourceRanges[{index}]");
                let range = text
                    .parse::<Ipv4Net>()
                    .or_else(|_| text.parse::<std::net::Ipv4Addr>().map(Ipv4Net::from))
                    .map_err(|_| Refusal::invalid(&field, text, "Must be a CIDR address range"))?;
                Ok(range)
            })
            .collect::<Result<_, Refusal>>()?;
    }
    for (field, tags) in [("sourceTags", &change.source_tags), ("targetTags", &change.target_tags)] {
        for (index, tag) in tags.iter().flatten().enumerate() {
            check_name(&format!("resource.{field}[{index}]"), tag)?;
        }
    }
    if let Some(tags) = change.source_tags {
        rule.source_tags = tags;
    }
    if let Some(tags) = change.target_tags {
        rule.target_tags = tags;
    }
    if let Some(disabled) = change.disabled {
        rule.disabled = disabled;
    }
    Ok(rule)
}

fn check_allowed(index: usize, entry: &Allowed) -> Result<(), Refusal> {
    let field = format!("resource.allowed[{index}]");
    let named = ["tcp", "udp", "icmp", "esp", "ah", "sctp", "ipip", "all"];
    if !named.contains(&entry.protocol.as_str()) && entry.protocol.parse::<u8>().is_err() {
        return Err(Refusal::invalid(
            &format!("{field}.IPProtocol"),
            &entry.protocol,
            "Must be a valid protocol",
        ));
    }
    if !entry.ports.is_empty() && !["tcp", "udp", "sctp", "6", "17", "132"].contains(&entry.protocol.as_str()) {
        return Err(Refusal::invalid(
            &format!("{field}.ports"),
            entry.ports.join(","),
            "The protocol has no ports",
        ));
    }
    for (port_index, text) in entry.ports.iter().enumerate() {
        if port_range(text).is_none() {
            let field = format!("{field}.ports[{port_index}]");
            return Err(Refusal::invalid(
                &field,
                text,
                "Must be a port, or a range such as 80-90",
            ));
        }
    }
    Ok(())
}

/// The ports that `text` (`80` or `80-90`) names, both ends included.
pub fn port_range(text: &str) -> Option<(u16, u16)> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (first.parse().ok()?, last.parse().ok()?);
    (first <= last).then_some((first, last))
}
