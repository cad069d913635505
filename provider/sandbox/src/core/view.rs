//! The region as its data plane sees it.

use super::balancers::records::ForwardingRule;
use super::firewalls::port_range;
use super::records::{Firewall, Instance};
use super::state::State;
use multizone_sandbox_data_plane::{Balancer, FirewallRule, Machine, TargetState, Topology};
use std::net::Ipv4Addr;

/// Everything that decides who reaches whom.
pub fn topology(state: &State) -> Topology {
    let external = |(key, instance): (&String, &Instance)| -> Option<(Ipv4Addr, String)> {
        Some((instance.interface.access.as_ref()?.address?, key.clone()))
    };
    Topology {
        machines: state
            .instances()
            .iter()
            .map(|(key, instance)| (key.clone(), machine(instance)))
            .collect(),
        external_addresses: state.instances().iter().filter_map(external).collect(),
        balancers: state
            .forwarding_rules()
            .values()
            .filter(|rule| rule.active)
            .map(|rule| (rule.address, balancer(state, rule)))
            .collect(),
        firewall_rules: state
            .firewalls()
            .values()
            .filter(|rule| !rule.disabled)
            .filter_map(tcp_rule)
            .collect(),
        outages: state.outages().keys().cloned().collect(),
    }
}

fn balancer(state: &State, rule: &ForwardingRule) -> Balancer {
    let targets = state.targets_of(&rule.backend_service).map(|target| {
        let seen = match target.drains_until {
            Some(_) => TargetState::Draining,
            None if target.healthy => TargetState::Serving,
            None => TargetState::Unhealthy,
        };
        (target.instance.clone(), seen)
    });
    Balancer {
        ports: rule.ports.ranges(),
        targets: targets.collect(),
    }
}

fn machine(instance: &Instance) -> Machine {
    Machine {
        address: instance.interface.address,
        zone: instance.zone.clone(),
        running: instance.powered,
        network: instance.interface.network.clone(),
        tags: instance.tags.clone(),
    }
}

/// What a rule means for TCP; `None` when it lets no TCP in.
fn tcp_rule(rule: &Firewall) -> Option<FirewallRule> {
    let mut ports = Vec::new();
    let mut any = false;
    for allowed in &rule.allowed {
        if !["tcp", "6", "all"].contains(&allowed.protocol.as_str()) {
            continue;
        }
        any = true;
        if allowed.ports.is_empty() {
            ports = vec![(0, u16::MAX)];
            break;
        }
        ports.extend(allowed.ports.iter().filter_map(|text| port_range(text)));
    }
    any.then(|| FirewallRule {
        network: rule.network.clone(),
        source_ranges: rule.source_ranges.clone(),
        source_tags: rule.source_tags.iter().cloned().collect(),
        target_tags: rule.target_tags.iter().cloned().collect(),
        ports,
    })
}
