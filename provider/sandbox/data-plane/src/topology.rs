//! The region as the data plane sees it, and the rules of who reaches whom. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use ipnet::Ipv4Net;

use crate::balancer::Balancer;

/// Everything that decides about reachability, as the region's core knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Topology {
    /// The machines by key, `ZONE/NAME`.
    pub machines: BTreeMap<String, Machine>,
    /// External addresses in use, and the key of the machine that holds each.
    pub external_addresses: BTreeMap<Ipv4Addr, String>,
    /// Addresses that are balanced, and what stands behind each.
    pub balancers: BTreeMap<Ipv4Addr, Balancer>,
    /// Ingress rules; what no rule admits is dropped.
    pub firewall_rules: Vec<FirewallRule>,
    /// Zones that are out.
    pub outages: BTreeSet<String>,
}

/// One machine on the network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// Its address inside its network.
    pub address: Ipv4Addr,
    /// The zone it runs in.
    pub zone: String,
    /// Whether it is running; a stopped machine has no network.
    pub running: bool,
    /// The network its interface is in.
    pub network: String,
    /// Its network tags.
    pub tags: BTreeSet<String>,
}

/// An ingress rule that allows TCP. Sources are joined by "or", as on Compute Engine; a rule that names
/// neither ranges nor tags admits every source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FirewallRule {
    /// The network it applies to.
    pub network: String,
    /// Source ranges it admits.
    pub source_ranges: Vec<Ipv4Net>,
    /// Tags of source machines in the same network it admits.
    pub source_tags: Vec<String>,
    /// Tags of the machines it applies to; empty means all machines of the network.
    pub target_tags: Vec<String>,
    /// Ranges of TCP ports, both ends included; empty means all ports.
    pub ports: Vec<(u16, u16)>,
}

/// Where a connection comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin<'a> {
    /// Outside the region: the host's own programs, seen as the internet.
    Host(Ipv4Addr),
    /// The machine of this key.
    Machine(&'a str),
}

/// The address a machine without an external one is seen with outside its network.
const SOMEWHERE_ON_THE_INTERNET: Ipv4Addr = Ipv4Addr::LOCALHOST;

/// What is between the two ends of an established connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    /// Packets flow.
    Up,
    /// The target has left the balancer through which they flowed.
    Left,
    /// Nothing flows.
    Down,
}

impl Topology {
    /// The machine that a new connection of `client` to `to` is for.
    pub(crate) fn recipient(&self, client: SocketAddr, to: SocketAddr) -> Option<&str> {
        let IpAddr::V4(address) = to.ip() else { return None };
        if let Some(balancer) = self.balancers.get(&address) {
            return balancer.choose(client, to);
        }
        if let Some(machine) = self.external_addresses.get(&address) {
            return Some(machine);
        }
        self.machines
            .iter()
            .find(|(_, machine)| machine.address == address)
            .map(|(key, _)| key.as_str())
    }

    /// The addresses besides its own at which `machine` is reached on `port`.
    pub(crate) fn further_addresses(&self, machine: &str, port: u16) -> impl Iterator<Item = Ipv4Addr> {
        let held = self
            .external_addresses
            .iter()
            .filter(move |(_, holder)| *holder == machine);
        let balanced = self
            .balancers
            .iter()
            .filter(move |(_, balancer)| balancer.takes(port) && balancer.targets.contains_key(machine));
        held.map(|(address, _)| *address)
            .chain(balanced.map(|(address, _)| *address))
    }

    /// Who `address`, seen as the source of a connection, is.
    pub(crate) fn origin(&self, address: Ipv4Addr) -> Origin<'_> {
        match self.machines.iter().find(|(_, machine)| machine.address == address) {
            Some((key, _)) => Origin::Machine(key),
            None => Origin::Host(address),
        }
    }

    /// Whether packets can flow between `origin` and `target`, reached by `address`: both alive, neither
    /// zone out, the address still the target's. The firewall has no say in established connections.
    pub(crate) fn connected(&self, origin: Origin<'_>, target: &str, address: Ipv4Addr) -> bool {
        self.link(origin, target, address) == Link::Up
    }

    /// The same, and whether only the balancer stands between the two.
    pub(crate) fn link(&self, origin: Origin<'_>, target: &str, address: Ipv4Addr) -> Link {
        let Some(machine) = self.machines.get(target).filter(|machine| machine.running) else {
            return Link::Down;
        };
        let own_address = machine.address == address;
        if own_address && origin == Origin::Machine(target) {
            return Link::Up;
        }
        if self.outages.contains(&machine.zone) {
            return Link::Down;
        }
        let alive = match origin {
            Origin::Host(_) => true,
            Origin::Machine(key) => self.machines.get(key).is_some_and(|source| {
                source.running
                    && !self.outages.contains(&source.zone)
                    && (!own_address || source.network == machine.network)
            }),
        };
        let holds = self
            .external_addresses
            .get(&address)
            .is_some_and(|holder| holder == target);
        match self.balancers.get(&address) {
            _ if !alive => Link::Down,
            _ if own_address || holds => Link::Up,
            Some(balancer) if balancer.targets.contains_key(target) => Link::Up,
            Some(_) => Link::Left,
            None => Link::Down,
        }
    }

    /// Whether a new connection from `origin` to `port` of `target`, reached by `address`, gets through:
    /// connected, and admitted by the firewall.
    pub(crate) fn admits(&self, origin: Origin<'_>, target: &str, address: Ipv4Addr, port: u16) -> bool {
        let Some(machine) = self.machines.get(target) else {
            return false;
        };
        self.connected(origin, target, address)
            && (machine.address == address && origin == Origin::Machine(target)
                || self.firewall_rules.iter().any(|rule| {
                    rule.network == machine.network
                        && rule.covers(machine, port)
                        && self.rule_admits(rule, origin, machine.address == address)
                }))
    }

    fn rule_admits(&self, rule: &FirewallRule, origin: Origin<'_>, inside: bool) -> bool {
        if rule.source_ranges.is_empty() && rule.source_tags.is_empty() {
            return true;
        }
        let (seen_as, tags) = match origin {
            Origin::Host(address) => (address, None),
            Origin::Machine(key) => match self.machines.get(key) {
                Some(machine) if inside => (machine.address, Some(&machine.tags)),
                _ => (self.external_address_of(key), None),
            },
        };
        rule.source_ranges.iter().any(|range| range.contains(&seen_as))
            || tags.is_some_and(|tags| rule.source_tags.iter().any(|tag| tags.contains(tag)))
    }

    fn external_address_of(&self, machine: &str) -> Ipv4Addr {
        self.external_addresses
            .iter()
            .find(|(_, holder)| *holder == machine)
            .map_or(SOMEWHERE_ON_THE_INTERNET, |(address, _)| *address)
    }
}

impl FirewallRule {
    fn covers(&self, target: &Machine, port: u16) -> bool {
        (self.target_tags.is_empty() || self.target_tags.iter().any(|tag| target.tags.contains(tag)))
            && (self.ports.is_empty() || self.ports.iter().any(|(first, last)| (*first..=*last).contains(&port)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balancer::TargetState;

    const MASTER: Ipv4Addr = Ipv4Addr::new(127, 9, 0, 2);
    const NODE: Ipv4Addr = Ipv4Addr::new(127, 9, 0, 3);
    const STABLE: Ipv4Addr = Ipv4Addr::new(127, 9, 200, 1);
    const HOST: Origin<'static> = Origin::Host(Ipv4Addr::LOCALHOST);

    fn machine(address: Ipv4Addr, zone: &str, tags: &[&str]) -> Machine {
        Machine {
            address,
            zone: zone.to_owned(),
            running: true,
            network: "demo".to_owned(),
            tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
        }
    }

    fn region() -> Topology {
        Topology {
            machines: BTreeMap::from([
                ("a/master".to_owned(), machine(MASTER, "a", &["master"])),
                ("b/node".to_owned(), machine(NODE, "b", &["node"])),
            ]),
            external_addresses: BTreeMap::from([(STABLE, "a/master".to_owned())]),
            balancers: BTreeMap::new(),
            firewall_rules: Vec::new(),
            outages: BTreeSet::new(),
        }
    }

    fn rule(ranges: &[&str], source_tags: &[&str], target_tags: &[&str], ports: &[(u16, u16)]) -> FirewallRule {
        FirewallRule {
            network: "demo".to_owned(),
            source_ranges: ranges.iter().map(|range| range.parse().unwrap()).collect(),
            source_tags: source_tags.iter().map(|tag| (*tag).to_owned()).collect(),
            target_tags: target_tags.iter().map(|tag| (*tag).to_owned()).collect(),
            ports: ports.to_vec(),
        }
    }

    #[test]
    fn ingress_is_denied_by_default_except_to_oneself() {
        let region = region();
        assert!(!region.admits(HOST, "a/master", MASTER, 6443));
        assert!(!region.admits(Origin::Machine("b/node"), "a/master", MASTER, 6443));
        assert!(region.admits(Origin::Machine("a/master"), "a/master", MASTER, 6443));
    }

    #[test]
    fn rules_match_network_ports_and_target_tags() {
        let mut region = region();
        region.firewall_rules = vec![rule(&["0.0.0.0/0"], &[], &["master"], &[(6443, 6444)])];
        assert!(region.admits(HOST, "a/master", MASTER, 6443));
        assert!(region.admits(HOST, "a/master", STABLE, 6444));
        assert!(!region.admits(HOST, "a/master", MASTER, 22));
        assert!(!region.admits(HOST, "b/node", NODE, 6443));
        region.firewall_rules[0].network = "other".to_owned();
        assert!(!region.admits(HOST, "a/master", MASTER, 6443));
    }

    #[test]
    fn rules_match_source_ranges_and_tags() {
        let mut region = region();
        region.firewall_rules = vec![rule(&["127.9.0.0/24"], &[], &[], &[])];
        assert!(region.admits(Origin::Machine("b/node"), "a/master", MASTER, 1));
        assert!(!region.admits(HOST, "a/master", MASTER, 1));
        region.firewall_rules = vec![rule(&[], &["node"], &[], &[])];
        assert!(region.admits(Origin::Machine("b/node"), "a/master", MASTER, 1));
        assert!(!region.admits(Origin::Machine("a/master"), "b/node", NODE, 1));
        assert!(!region.admits(HOST, "a/master", MASTER, 1));
    }

    #[test]
    fn internal_sources_do_not_match_through_an_external_address() {
        let mut region = region();
        region.firewall_rules = vec![rule(&["127.9.0.0/24"], &["node"], &[], &[])];
        assert!(!region.admits(Origin::Machine("b/node"), "a/master", STABLE, 6443));
        region
            .firewall_rules
            .push(rule(&["0.0.0.0/0"], &[], &["master"], &[(6443, 6443)]));
        assert!(region.admits(Origin::Machine("b/node"), "a/master", STABLE, 6443));
    }

    #[test]
    fn an_outage_cuts_everything_but_the_machine_from_itself() {
        let mut region = region();
        region.outages.insert("a".to_owned());
        assert!(!region.connected(HOST, "a/master", STABLE));
        assert!(!region.connected(Origin::Machine("b/node"), "a/master", MASTER));
        assert!(!region.connected(Origin::Machine("a/master"), "b/node", NODE));
        assert!(!region.connected(Origin::Machine("a/master"), "a/master", STABLE));
        assert!(region.connected(Origin::Machine("a/master"), "a/master", MASTER));
    }

    #[test]
    fn stopped_machines_and_moved_addresses_are_not_connected() {
        let mut region = region();
        assert!(region.connected(HOST, "a/master", STABLE));
        region.external_addresses.insert(STABLE, "b/node".to_owned());
        assert!(!region.connected(HOST, "a/master", STABLE));
        assert!(region.connected(HOST, "b/node", STABLE));
        region.machines.get_mut("a/master").unwrap().running = false;
        assert!(!region.connected(Origin::Machine("b/node"), "a/master", MASTER));
        assert!(!region.connected(Origin::Machine("a/master"), "b/node", NODE));
    }

    #[test]
    fn a_balanced_address_leads_to_its_targets_as_long_as_they_are_such() {
        let mut region = region();
        region.external_addresses.clear();
        let balancer = Balancer {
            ports: vec![(6443, 6443)],
            targets: BTreeMap::from([("a/master".to_owned(), TargetState::Draining)]),
        };
        region.balancers.insert(STABLE, balancer);
        assert!(region.connected(HOST, "a/master", STABLE), "draining keeps connections");
        assert!(!region.connected(HOST, "b/node", STABLE));
        assert_eq!(region.further_addresses("a/master", 6443).collect::<Vec<_>>(), [STABLE]);
        assert_eq!(region.further_addresses("a/master", 22).count(), 0);
        region.balancers.clear();
        assert!(!region.connected(HOST, "a/master", STABLE));
    }

    #[test]
    fn machines_of_different_networks_meet_only_outside() {
        let mut region = region();
        region.machines.get_mut("b/node").unwrap().network = "other".to_owned();
        assert!(!region.connected(Origin::Machine("b/node"), "a/master", MASTER));
        assert!(region.connected(Origin::Machine("b/node"), "a/master", STABLE));
    }
}
