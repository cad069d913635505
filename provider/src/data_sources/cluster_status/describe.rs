//! The answers side by side: one object for each master and worker.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use multizone_cloud::{ClusterName, Machine, MachineState, Role, label};
use multizone_kubernetes::cluster_access::NodeFacts;
use multizone_planner::cluster::{ApiServer, Quorum, Target};

use super::{
    ClusterStatus, EtcdStatus, MasterStatus, WorkerStatus, ZoneStatus, disagreements::disagreements, look::Sight,
};
use crate::resources::identity::API_ADDRESS;

/// The margin of a quorum that is not there.
const STOPPED: i64 = -1;

/// What was seen, as the user reads it; nothing was seen of a cluster that is not there.
pub(super) fn describe(cluster: &ClusterName, sight: Option<&Sight>, now: Timestamp) -> ClusterStatus {
    let Some(sight) = sight else {
        return nothing(cluster);
    };
    let quorum = sight.world.membership_known.then(|| sight.world.quorum());
    let leader = sight.world.leader.and_then(|leader| sight.world.members.get(&leader));
    let etcd = quorum.map(|quorum| EtcdStatus {
        voters: number(quorum.voters),
        healthy: number(quorum.healthy),
        quorum: number(quorum.majority()),
        leader: leader.and_then(|leader| leader.machine.clone()),
    });
    let holder = sight.inventory.address(API_ADDRESS).and_then(|api| api.holder.as_ref());
    ClusterStatus {
        cluster: cluster.to_string(),
        exists: true,
        endpoint: sight.endpoint.clone(),
        address_holder: holder.map(ToString::to_string),
        api_answers: sight.world.address.answers,
        masters: masters(sight),
        workers: workers(sight),
        etcd,
        quorum_margin: quorum.map(margin).or_else(|| sight.too_few_voters().then_some(STOPPED)),
        zones: zones(sight),
        survives_loss_of: sight.world.zones_survived().map(str::to_owned).collect(),
        certificates_expire_at: sight.certificates.values().min().map(written),
        disagreements: disagreements(sight, now),
        not_asked: sight.not_asked.clone(),
    }
}

fn nothing(cluster: &ClusterName) -> ClusterStatus {
    ClusterStatus {
        cluster: cluster.to_string(),
        exists: false,
        endpoint: None,
        address_holder: None,
        api_answers: false,
        masters: BTreeMap::new(),
        workers: BTreeMap::new(),
        etcd: None,
        quorum_margin: None,
        zones: BTreeMap::new(),
        survives_loss_of: Vec::new(),
        certificates_expire_at: None,
        disagreements: Vec::new(),
        not_asked: Vec::new(),
    }
}

fn margin(quorum: Quorum) -> i64 {
    if quorum.is_there() {
        number(quorum.margin())
    } else {
        STOPPED
    }
}

fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// In RFC 3339, to the second.
pub(super) fn written(moment: &Timestamp) -> String {
    moment.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

impl Sight {
    /// A machine of the cluster, by its whole name.
    pub(super) fn machine(&self, name: &str) -> Option<&Machine> {
        self.inventory.machines.iter().find(|machine| machine.name == name)
    }

    /// Every name that somebody takes for a master's.
    pub(super) fn masters(&self) -> BTreeSet<String> {
        let machines = self.world.machines.keys().cloned();
        let members = self.world.members.values().filter_map(|member| member.machine.clone());
        let balancer = self.world.balancer.iter().flat_map(|balancer| balancer.targets.keys());
        let nodes = self.nodes.iter().flatten().filter(|(_, node)| node.is_masters());
        let nodes = nodes.map(|(name, _)| name.clone());
        machines.chain(members).chain(balancer.cloned()).chain(nodes).collect()
    }

    /// The masters that run where they can be reached.
    pub(super) fn running(&self) -> impl Iterator<Item = &String> {
        let machines = self.world.machines.iter();
        machines
            .filter(|(_, machine)| self.world.runs(machine))
            .map(|(name, _)| name)
    }

    /// Whether nobody could say who etcd's members are, and too few masters are left for a majority of them: others do not
    /// run, or say that etcd does not answer them.
    pub(super) fn too_few_voters(&self) -> bool {
        let left = self.running().filter(|name| !self.without_etcd.contains(*name)).count();
        let masters = self.world.machines.len();
        self.asked && !self.world.membership_known && left < masters / 2 + 1
    }

    /// Every name that somebody takes for a worker's.
    pub(super) fn workers(&self) -> BTreeSet<String> {
        let machines = self.inventory.machines.iter();
        let machines = machines.filter(|machine| machine.role() == Some(Role::Worker));
        let nodes = self.nodes.iter().flatten().map(|(name, _)| name.clone());
        let mut names: BTreeSet<String> = machines.map(|machine| machine.name.clone()).chain(nodes).collect();
        for master in self.masters() {
            names.remove(&master);
        }
        names
    }
}

fn masters(sight: &Sight) -> BTreeMap<String, MasterStatus> {
    let master = |name: String| (name.clone(), master(sight, &name));
    sight.masters().into_iter().map(master).collect()
}

fn master(sight: &Sight, name: &str) -> MasterStatus {
    let machine = sight.machine(name);
    let node = node(sight, name);
    let known = sight.world.machines.get(name);
    let api_server = match known {
        _ if sight.world.serves(name) => "serving",
        Some(_) if !sight.asked => "unknown",
        Some(known) if known.api == ApiServer::Stopped => "stopped",
        _ => "not serving",
    };
    let label = |key: &str| machine.and_then(|machine| machine.labels.get(key).cloned());
    MasterStatus {
        replica: label(label::REPLICA),
        zone: machine.map(|machine| machine.zone.clone()),
        machine: state(machine),
        machine_type: machine.map(|machine| machine.machine_type.clone()),
        address: machine
            .and_then(|machine| machine.address)
            .map(|address| address.to_string()),
        api_server: api_server.to_owned(),
        target: match sight.world.target(name) {
            Some(Target::Serving) => "serving",
            Some(Target::Unhealthy) => "unhealthy",
            Some(Target::Draining) => "draining",
            None => "none",
        }
        .to_owned(),
        etcd: etcd(sight, name).to_owned(),
        node: node_state(sight, name).to_owned(),
        node_zone: node.and_then(NodeFacts::zone).map(str::to_owned),
        kubernetes_version: version(node).or_else(|| label(label::VERSION).map(|version| version.replace('-', "."))),
        certificate_expires_at: sight.certificates.get(name).map(written),
    }
}

fn etcd(sight: &Sight, name: &str) -> &'static str {
    if !sight.world.membership_known {
        return "unknown";
    }
    match sight.world.member_of(name) {
        None => "none",
        Some((_, member)) if !member.started => "not started",
        Some((_, member)) if !member.healthy => "unhealthy",
        Some((_, member)) if member.learner => "learner",
        Some((id, _)) if sight.world.leader == Some(id) => "leader",
        Some(_) => "voter",
    }
}

fn workers(sight: &Sight) -> BTreeMap<String, WorkerStatus> {
    let worker = |name: String| {
        let machine = sight.machine(&name);
        let node = node(sight, &name);
        let status = WorkerStatus {
            node_group: machine.and_then(|machine| machine.labels.get(label::NODE_GROUP).cloned()),
            zone: machine.map(|machine| machine.zone.clone()),
            machine: state(machine),
            machine_type: machine.map(|machine| machine.machine_type.clone()),
            node: node_state(sight, &name).to_owned(),
            node_zone: node.and_then(NodeFacts::zone).map(str::to_owned),
            kubernetes_version: version(node),
        };
        (name, status)
    };
    sight.workers().into_iter().map(worker).collect()
}

fn node<'s>(sight: &'s Sight, name: &str) -> Option<&'s NodeFacts> {
    sight.nodes.as_ref()?.get(name)
}

fn node_state(sight: &Sight, name: &str) -> &'static str {
    match (&sight.nodes, node(sight, name)) {
        (None, _) => "unknown",
        (Some(_), None) => "none",
        (_, Some(node)) if !node.ready => "not ready",
        (_, Some(node)) if node.unschedulable => "cordoned",
        (_, Some(_)) => "ready",
    }
}

fn version(node: Option<&NodeFacts>) -> Option<String> {
    let version = &node?.kubelet_version;
    let version = version.strip_prefix('v').unwrap_or(version);
    (!version.is_empty()).then(|| version.to_owned())
}

fn state(machine: Option<&Machine>) -> String {
    match machine.map(|machine| machine.state) {
        Some(MachineState::Running) => "running",
        Some(MachineState::Starting) => "starting",
        Some(MachineState::Stopping) => "stopping",
        Some(MachineState::Halted) => "halted",
        None => "none",
    }
    .to_owned()
}

fn zones(sight: &Sight) -> BTreeMap<String, ZoneStatus> {
    let machines = |zone: &str, role: Role| {
        let here = |machine: &&Machine| machine.zone == zone && machine.role() == Some(role);
        let here = sight.inventory.machines.iter().filter(here);
        here.map(|machine| machine.name.clone()).collect()
    };
    let zone = |(name, facts): (&String, &multizone_planner::cluster::Zone)| {
        let loss = sight.world.loss_of(name);
        let disks = sight.inventory.disks.iter().filter(|disk| disk.zone == *name);
        let status = ZoneStatus {
            up: facts.up,
            leaving: facts.leaving,
            masters: machines(name, Role::Master),
            workers: machines(name, Role::Worker),
            disks: disks.map(|disk| disk.name.clone()).collect(),
            writes_go_on: loss.writes_go_on,
            api_answers: loss.api_answers,
        };
        (name.clone(), status)
    };
    sight.world.zones.iter().map(zone).collect()
}
