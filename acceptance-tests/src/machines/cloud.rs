//! What moto says of its cloud, and what that is for the sandbox.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
    path::PathBuf,
};

use multizone_sandbox_data_plane::{Balancer, FirewallRule, Machine, TargetState, Topology};
use multizone_sandbox_guests::MachineSpec;
use serde::Deserialize;

use crate::moto::REGION;

/// Everything in an account that its machines depend on.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Cloud {
    pub(super) machines: Vec<Instance>,
    rules: Vec<Rule>,
    pub(super) balancers: Vec<Listener>,
}

/// An instance that has not been terminated.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Instance {
    pub(super) id: String,
    pub(super) name: String,
    zone: String,
    network: String,
    address: Ipv4Addr,
    external_address: Option<Ipv4Addr>,
    /// Its security groups.
    groups: BTreeSet<String>,
    cpus: u32,
    memory_mib: u64,
    user_data: String,
    pub(super) running: bool,
}

/// What one security group lets in.
#[derive(Clone, Debug, Deserialize)]
struct Rule {
    network: String,
    target: String,
    range: Option<String>,
    source: Option<String>,
    /// TCP ports; none are all.
    ports: Option<(u16, u16)>,
}

/// A port of a network load balancer, with its target group.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Listener {
    pub(super) address: Ipv4Addr,
    pub(super) port: u16,
    pub(super) group: String,
    pub(super) checked_from: Ipv4Addr,
    pub(super) check: Check,
    pub(super) targets: Vec<Target>,
}

/// A health check; times are in seconds.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub(super) struct Check {
    pub(super) protocol: String,
    pub(super) port: Option<u16>,
    pub(super) path: Option<String>,
    pub(super) interval: u64,
    pub(super) timeout: u64,
    pub(super) healthy: u32,
    pub(super) unhealthy: u32,
}

/// A target as moto shows it to everybody.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Target {
    pub(super) instance: String,
    pub(super) port: u16,
    pub(super) state: String,
}

impl Cloud {
    /// Who reaches whom.
    pub(super) fn topology(&self) -> Topology {
        let machines = self.machines.iter().map(|it| (it.key(), it.machine()));
        let external = self.machines.iter().filter(|it| it.running);
        let balancers = self.balancers.iter().map(|it| (it.address, self.balancer(it)));
        Topology {
            machines: machines.collect(),
            external_addresses: external
                .filter_map(|it| Some((it.external_address?, it.key())))
                .collect(),
            balancers: balancers.collect(),
            firewall_rules: self.rules.iter().map(Rule::firewall_rule).collect(),
            outages: BTreeSet::new(),
        }
    }

    /// The machine that an instance is.
    pub(super) fn key(&self, instance: &str) -> Option<String> {
        self.machines.iter().find(|it| it.id == instance).map(Instance::key)
    }

    fn balancer(&self, listener: &Listener) -> Balancer {
        let state = |target: &Target| {
            Some(match target.state.as_str() {
                "healthy" => TargetState::Serving,
                "initial" | "unhealthy" => TargetState::Unhealthy,
                "draining" => TargetState::Draining,
                _ => return None,
            })
        };
        let targets = listener.targets.iter();
        let targets = targets.filter_map(|target| Some((self.key(&target.instance)?, state(target)?)));
        Balancer {
            ports: vec![(listener.port, listener.port)],
            targets: targets.collect::<BTreeMap<_, _>>(),
        }
    }
}

impl Instance {
    fn key(&self) -> String {
        format!("{}/{}", self.zone, self.name)
    }

    fn machine(&self) -> Machine {
        Machine {
            address: self.address,
            zone: self.zone.clone(),
            running: self.running,
            network: self.network.clone(),
            tags: self.groups.clone(),
        }
    }

    /// The guest in it; `boot_disk` is where its files are.
    pub(super) fn spec(&self, boot_disk: PathBuf) -> MachineSpec {
        MachineSpec {
            name: self.key(),
            hostname: format!("ip-{}", self.address.to_string().replace('.', "-")),
            zone: self.zone.clone(),
            region: REGION.to_owned(),
            instance_id: self.id.clone(),
            provider_id: format!("aws:///{}/{}", self.zone, self.id),
            address: self.address,
            external_address: self.external_address,
            cpus: self.cpus,
            memory_mib: self.memory_mib,
            user_data: Some(self.user_data.clone()),
            running: self.running,
            boot_disk,
            service_account: None,
        }
    }
}

impl Rule {
    fn firewall_rule(&self) -> FirewallRule {
        let range = self.range.iter().map(|range| range.parse().expect("a range of IPv4"));
        FirewallRule {
            network: self.network.clone(),
            source_ranges: range.collect(),
            source_tags: self.source.iter().cloned().collect(),
            target_tags: vec![self.target.clone()],
            ports: self.ports.iter().copied().collect(),
        }
    }
}

impl Listener {
    /// The load balancer's name: see `acceptance-tests/moto/machines.py`.
    pub(super) fn name(&self) -> String {
        self.address.octets().map(|part| format!("{part:#x}")).join(".")
    }
}
