//! What a step does to the world when nothing goes wrong: the preview's world.

use super::{
    facts::{ApiServer, Disk, Holder, Machine, Member, Node, Power, Settings, Target, World, Zone},
    intent::Operation,
    quorum::Quorum,
    step::{NewMachine, Step},
};
use crate::Version;

/// The etcd that new masters are taken to bring.
const ETCD: Version = Version::new(3, 6, 0);
const ETCD_BEFORE: Version = Version::new(3, 5, 26);

/// The world after a step.
pub fn effect(mut world: World, step: &Step, operation: &Operation) -> World {
    world.apply(step, operation);
    world.settle();
    world
}

impl World {
    #[allow(clippy::too_many_lines)] // one arm for each step
    fn apply(&mut self, step: &Step, operation: &Operation) {
        match step {
            Step::BackUp => self.backed_up = true,
            Step::Init(new) => {
                self.create(new);
                self.initialise(&new.name, operation);
            }
            Step::Join(new) => {
                self.create(new);
                self.join(&new.name);
            }
            Step::AwaitJoin(name) if !self.initialised => self.initialise(name, operation),
            Step::AwaitJoin(name) => self.join(name),
            Step::StartMachine(name) | Step::AwaitHealthy(name) => self.wake(name),
            Step::ApplySettings(version, fingerprint) => {
                self.settings = Some(Settings {
                    version: *version,
                    fingerprint: fingerprint.clone(),
                });
            }
            Step::ApplyAddons(version, fingerprint) => {
                self.addons = Some(Settings {
                    version: *version,
                    fingerprint: fingerprint.clone(),
                });
            }
            Step::InstallAccess => self.access = true,
            Step::ApplyPodNetwork(manifest) => self.pod_network = Some(manifest.clone()),
            Step::AwaitNode(name) => self.nodes.entry(name.clone()).or_default().joined = true,
            Step::Register(name) => self.set_target(name, Some(Target::Serving)),
            Step::Deregister(name) => self.set_target(name, None),
            Step::HandOver(_, to) => self.address.holder = to.clone(),
            Step::RollBack(from, to) => {
                self.address.holder = to.clone();
                self.address.failed = Some(from.clone());
            }
            // Whether it answers follows from its holder.
            Step::AwaitAnswer(_) => {}
            Step::Release(_) => self.address.holder = Holder::Nobody,
            Step::Cordon(name) => self.change_node(name, |node| node.leaving = true),
            Step::Uncordon(name) => self.change_node(name, |node| node.leaving = false),
            Step::Drain(name) => self.change_node(name, |node| node.pods = false),
            Step::AwaitDetached(name) => self.change_node(name, |node| node.volumes = false),
            Step::MarkOutOfService(name) => self.change_node(name, |node| {
                node.out_of_service = true;
                node.pods = false;
                node.volumes = false;
            }),
            Step::MoveLeader(_, to) => self.leader = self.member_of(to).map(|(id, _)| id),
            Step::StopApiServer(name) => {
                self.set_api(name, ApiServer::Stopped);
                self.endpoints.remove(name);
            }
            Step::StartApiServer(name) => self.set_api(name, ApiServer::Unready),
            Step::RemoveMember(id, _) => {
                self.members.remove(id);
            }
            Step::StopMachine(name) => self.stop(name),
            Step::DeleteMachine(name) => self.delete(name),
            Step::DeleteNode(name) => {
                self.nodes.remove(name);
            }
            Step::AwaitEndpointGone(name) => {
                self.endpoints.remove(name);
            }
            Step::ReleaseDisk(name) => {
                self.disks.remove(name);
            }
            Step::CreateBalancer => self.balancer = Some(super::Balancer::default()),
            Step::Span(zone) => {
                if let Some(balancer) = &mut self.balancer {
                    balancer.zones.insert(zone.clone());
                }
            }
            Step::Unspan(zone) => {
                if let Some(balancer) = &mut self.balancer {
                    balancer.zones.remove(zone);
                }
            }
            Step::DeleteBalancer => {
                self.balancer = None;
                if self.address.holder == Holder::Balancer {
                    self.address.holder = Holder::Nobody;
                }
            }
            Step::AddZone(zone) => {
                let subnet = self.cloud.zonal_subnets;
                let facts = self.zones.entry(zone.clone()).or_insert(Zone {
                    up: true,
                    leaving: false,
                    subnet,
                    workers: 0,
                    disks: 0,
                });
                facts.leaving = false;
                facts.subnet = subnet;
            }
            Step::MarkLeaving(zone) => {
                if let Some(facts) = self.zones.get_mut(zone) {
                    facts.leaving = true;
                }
            }
            Step::RemoveZone(zone) => {
                self.zones.remove(zone);
            }
        }
    }

    /// What follows from the facts by itself: who serves, who is a target that serves, who leads, what answers.
    pub(super) fn settle(&mut self) {
        let quorum = Quorum::of(self.members.values()).is_there();
        let leader = self.leader.and_then(|id| self.members.get(&id));
        if !leader.is_some_and(|member| member.healthy && !member.learner) {
            let healthy = |(_, member): &(&u64, &Member)| member.healthy && !member.learner;
            self.leader = self.members.iter().find(healthy).map(|(id, _)| *id);
        }
        let names: Vec<String> = self.machines.keys().cloned().collect();
        for name in names {
            let healthy = self
                .member_of(&name)
                .is_some_and(|(_, member)| !member.learner && member.healthy);
            let able = quorum && healthy && self.runs(&self.machines[&name]);
            if !self.membership_known {
                continue;
            }
            if let Some(machine) = self.machines.get_mut(&name) {
                machine.api = match machine.api {
                    ApiServer::Stopped => ApiServer::Stopped,
                    _ if able => ApiServer::Serving,
                    _ => ApiServer::Unready,
                };
                if machine.api == ApiServer::Serving {
                    self.endpoints.insert(name);
                }
            }
        }
        let serving: Vec<String> = self.serving().map(str::to_owned).collect();
        if let Some(balancer) = &mut self.balancer {
            for (name, target) in &mut balancer.targets {
                *target = match target {
                    Target::Draining => Target::Draining,
                    _ if serving.contains(name) => Target::Serving,
                    _ => Target::Unhealthy,
                };
            }
        }
        self.address.answers = self.holder_serves(&self.address.holder.clone());
    }

    pub(super) fn create(&mut self, new: &NewMachine) {
        self.machines.insert(
            new.name.clone(),
            Machine {
                replica: new.replica.clone(),
                zone: new.zone.clone(),
                specification: new.specification.clone(),
                version: new.version,
                power: Power::On,
                joining: true,
                api: ApiServer::Unready,
            },
        );
        self.disks.insert(new.name.clone(), Disk { zone: new.zone.clone() });
    }

    fn initialise(&mut self, name: &str, operation: &Operation) {
        let (settings, addons) = match operation {
            Operation::ControlPlane(desired) => (desired.settings.clone(), desired.addons.clone()),
            _ => (String::new(), String::new()),
        };
        let Some(version) = self.machines.get(name).map(|machine| machine.version) else {
            return;
        };
        self.members.clear();
        self.join(name);
        self.initialised = true;
        self.membership_known = true;
        let at = |fingerprint| Some(Settings { version, fingerprint });
        (self.settings, self.addons) = (at(settings), at(addons));
        self.access = false;
        self.pod_network = None;
        self.change_node(name, |node| node.joined = false);
        if self.has_an_address() && self.address.holder == Holder::Nobody {
            self.address.holder = Holder::Machine(name.to_owned());
        }
    }

    /// kubeadm's work on a machine comes to its good end.
    fn join(&mut self, name: &str) {
        let Some(machine) = self.machines.get_mut(name) else {
            return;
        };
        machine.joining = false;
        let version = if machine.version.minor >= 34 { ETCD } else { ETCD_BEFORE };
        let id = self.member_of(name).map_or_else(
            || self.members.keys().max().map_or(1, |id| id.wrapping_add(1)),
            |(id, _)| id,
        );
        self.members.insert(
            id,
            Member {
                machine: Some(name.to_owned()),
                learner: false,
                started: true,
                healthy: true,
                version,
            },
        );
        self.nodes.insert(
            name.to_owned(),
            Node {
                joined: true,
                pods: true,
                ..Node::default()
            },
        );
    }

    fn wake(&mut self, name: &str) {
        let Some(machine) = self.machines.get_mut(name) else {
            return;
        };
        machine.power = Power::On;
        if machine.api == ApiServer::Stopped {
            machine.api = ApiServer::Unready;
        }
        if !self.membership_known {
            machine.api = ApiServer::Serving;
        }
        for member in self.members.values_mut() {
            if member.machine.as_deref() == Some(name) && member.started {
                member.healthy = true;
            }
        }
        // What was known of the members before is read again, once a majority of them is there to be asked.
        self.membership_known |= Quorum::of(self.members.values()).is_there();
        self.change_node(name, |node| node.joined = true);
    }

    pub(super) fn stop(&mut self, name: &str) {
        if let Some(machine) = self.machines.get_mut(name) {
            machine.power = Power::Off;
            machine.joining = false;
            if machine.api == ApiServer::Serving {
                machine.api = ApiServer::Unready;
            }
        }
        for member in self.members.values_mut() {
            if member.machine.as_deref() == Some(name) {
                member.healthy = false;
            }
        }
        self.change_node(name, |node| node.joined = false);
    }

    pub(super) fn delete(&mut self, name: &str) {
        self.stop(name);
        self.machines.remove(name);
        if self.address.holder == Holder::Machine(name.to_owned()) {
            self.address.holder = Holder::Nobody;
        }
        if self.machines.is_empty() {
            // The API and etcd went with the last machine, and everything in them.
            self.members.clear();
            self.nodes.clear();
            self.endpoints.clear();
            self.settings = None;
            self.addons = None;
            self.access = false;
            self.pod_network = None;
        }
    }

    fn set_api(&mut self, name: &str, api: ApiServer) {
        if let Some(machine) = self.machines.get_mut(name) {
            machine.api = api;
        }
    }

    pub(super) fn set_target(&mut self, name: &str, target: Option<Target>) {
        if let Some(balancer) = &mut self.balancer {
            match target {
                Some(target) => balancer.targets.insert(name.to_owned(), target),
                None => balancer.targets.remove(name),
            };
        }
    }

    fn change_node(&mut self, name: &str, change: impl FnOnce(&mut Node)) {
        if let Some(node) = self.nodes.get_mut(name) {
            change(node);
        }
    }
}
