//! What is known between two runs: the planner's world as a read or an apply has left it, and what else is to be healed.
//! Private data keep it, so that planning looks at nothing.

use std::collections::{BTreeMap, BTreeSet};

use multizone_cloud::Capabilities;
use multizone_planner::{
    PreviewedStep,
    cluster::{
        Address, ApiServer, Balancer, Holder, Machine, Member, Node, Operation, Power, Preview, Settings, Step, Timing,
        World, Zone,
    },
    control_plane::Power as OnlyPower,
};
use serde::{Deserialize, Serialize};

use super::{
    super::{
        ControlPlane,
        drift::{self, Repair},
        facts,
    },
    wanted::{Several, version},
};
use crate::resources::{identity::master_name, world};

/// What a look has found.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Seen {
    /// The planner's facts.
    pub(super) world: World,
    /// What they have no place for.
    #[serde(default)]
    pub(super) drift: Drift,
}

/// What the planner's facts have no place for.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Drift {
    /// Why nothing answers although a master runs.
    pub(super) silence: Option<String>,
    /// A machine that has lost the label by which it is known as the cluster's.
    pub(super) unlabelled: Option<String>,
    /// Why masters are not ready, by name.
    pub(super) not_ready: BTreeMap<String, String>,
    /// What of the node groups' rights is gone or changed.
    pub(super) altered_rights: Vec<String>,
    /// What of the pod network's manifest is gone or changed.
    pub(super) altered_pod_network: Vec<String>,
    /// What is put right about each master after the planner's steps.
    pub(super) repairs: BTreeMap<String, BTreeSet<Repair>>,
    /// Whether the record of the settings was changed.
    pub(super) settings: bool,
}

impl Drift {
    /// Whether there is anything to put right.
    pub(super) fn heals(&self) -> bool {
        self.settings || self.repairs.values().any(|repairs| !repairs.is_empty())
    }

    /// Whether that concerns what the state shows of masters.
    pub(super) fn concerns_nodes(&self) -> bool {
        self.repairs.values().flatten().any(|repair| repair.is_of_the_node())
    }

    /// The planner's steps and the repairs, in words.
    pub(super) fn steps(
        &self,
        preview: &Preview,
        world: &World,
        operation: &Operation,
        timing: &Timing,
    ) -> Vec<PreviewedStep> {
        let mut steps = preview.describe(world, operation, timing);
        for (step, previewed) in preview.steps.iter().zip(&mut steps) {
            let altered = match step {
                Step::InstallAccess => &self.altered_rights,
                Step::ApplyPodNetwork(_) => &self.altered_pod_network,
                _ => continue,
            };
            drift::again(previewed, altered);
        }
        for (machine, repairs) in &self.repairs {
            let replica = world.machines.get(machine).map_or(machine, |machine| &machine.replica);
            steps.extend(repairs.iter().map(|repair| repair.step(replica)));
        }
        if self.settings {
            steps.push(Repair::Settings.step(""));
        }
        steps
    }
}

pub(super) fn encode(seen: &Seen) -> Vec<u8> {
    serde_json::to_vec(seen).unwrap_or_default()
}

pub(super) fn decode(private: &[u8]) -> Option<Seen> {
    serde_json::from_slice(private).ok()
}

/// The world of a control plane whose only master is known by what its own kind of private data says.
pub(super) fn of_the_only_master(
    prior: &ControlPlane,
    private: &[u8],
    capabilities: &Capabilities,
    several: &Several,
) -> Option<Seen> {
    let only = facts::decode(private)?;
    let (replica, settings) = prior.replicas.iter().next()?;
    let zone = settings.zone.clone();
    let name = master_name(&several.cluster, replica);
    let observed = only.observed;
    let runs = observed
        .machine
        .as_ref()
        .is_none_or(|machine| machine.power == OnlyPower::On);
    let machine = Machine {
        replica: replica.clone(),
        zone: zone.clone(),
        specification: observed
            .machine
            .map(|machine| machine.specification)
            .unwrap_or_default(),
        version: version(several.version),
        power: if runs { Power::On } else { Power::Off },
        joining: false,
        api: if observed.serving {
            ApiServer::Serving
        } else {
            ApiServer::Unready
        },
    };
    let member = Member {
        machine: Some(name.clone()),
        learner: false,
        started: true,
        healthy: observed.serving,
        version: machine.version,
    };
    let node = Node {
        joined: observed.joined,
        pods: true,
        ..Node::default()
    };
    let world = World {
        initialised: true,
        address: Address {
            holder: Holder::Machine(name.clone()),
            answers: observed.serving,
            failed: None,
        },
        membership_known: observed.serving,
        members: BTreeMap::from([(1, member)]),
        leader: Some(1),
        endpoints: BTreeSet::from([name.clone()]),
        settings: Some(settled(several)),
        access: observed.access,
        pod_network: observed.pod_network,
        nodes: BTreeMap::from([(name.clone(), node)]),
        machines: BTreeMap::from([(name, machine)]),
        ..World::empty(world::endpoint(capabilities), &[zone.as_str()])
    };
    Some(Seen {
        world,
        drift: Drift::default(),
    })
}

/// The cluster-wide settings: a version change is refused, so they are what is asked for.
pub(super) fn settled(several: &Several) -> Settings {
    Settings {
        version: version(several.version),
        fingerprint: String::new(),
    }
}

/// The world in which the control plane's turn will come: Terraform applies the cluster and the balancer before it.
pub(super) fn expect_the_others(world: &mut World, several: &Several) {
    let subnet = world.cloud.zonal_subnets;
    for zone in several.replicas.values() {
        let zone = world.zones.entry(zone.clone()).or_insert(Zone {
            up: true,
            leaving: false,
            subnet,
            workers: 0,
            disks: 0,
        });
        zone.leaving = false;
        zone.subnet = subnet;
    }
    if several.balancer.is_some() {
        let balancer = world.balancer.get_or_insert_with(Balancer::default);
        balancer.zones.extend(several.replicas.values().cloned());
        if world.machines.is_empty() && world.address.holder == Holder::Nobody && world.has_an_address() {
            world.address.holder = Holder::Balancer;
        }
    }
}
