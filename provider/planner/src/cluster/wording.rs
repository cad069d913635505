//! Each step in words, with its gate and its usual duration: for an operator at 3 a.m.

use std::time::Duration;

use super::{
    Endpoint, Holder, NewMachine, Operation, Preview, Step, World, effect,
    facts::{ApiServer, Machine},
};
use crate::{PreviewedStep, approximately, timing::API_CALL};

/// Usual durations, constants of the cloud.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// Of what is done to machines.
    pub machines: crate::Timing,
    /// From registering a target to its first request.
    pub register: Duration,
    /// From deregistering a target to its absence.
    pub deregister: Duration,
    /// From taking the address away to the first answer at its new place.
    pub handover: Duration,
    /// A snapshot of etcd, saved.
    pub backup: Duration,
}

impl Preview {
    /// The steps in words, beginning in `world`.
    pub fn describe(&self, world: &World, operation: &Operation, timing: &Timing) -> Vec<PreviewedStep> {
        let mut now = world.clone();
        let mut described = Vec::with_capacity(self.steps.len());
        for step in &self.steps {
            described.push(
                Words {
                    world: &now,
                    operation,
                    timing,
                }
                .describe(step),
            );
            now = effect(now, step, operation);
        }
        described
    }
}

struct Words<'a> {
    world: &'a World,
    operation: &'a Operation,
    timing: &'a Timing,
}

impl Words<'_> {
    #[allow(clippy::too_many_lines)] // one line for each step
    fn describe(&self, step: &Step) -> PreviewedStep {
        let machines = &self.timing.machines;
        let m = |name: &str| self.master(name);
        let (text, gate, expected) = match step {
            Step::BackUp => (
                format!("back up etcd to {}", self.backup()),
                "etcd has its quorum",
                self.timing.backup,
            ),
            Step::Init(new) => (
                format!(
                    "create {} in {}, which initialises the cluster, wait until the API serves",
                    m(&new.name),
                    new.zone
                ),
                "the network, the address and the keys exist, and the cluster was never initialised",
                machines.create_machine + machines.join,
            ),
            Step::Join(new) => (
                self.joining(new),
                "every member of etcd is healthy, no other change is underway, and the zone is up, to stay and has its subnet",
                machines.create_machine + machines.join,
            ),
            Step::AwaitJoin(name) => (
                format!("wait until {} has joined", m(name)),
                "kubeadm is at work on it",
                machines.join,
            ),
            Step::StartMachine(name) => (
                format!("start {}{}, wait until it serves", m(name), self.place(name)),
                "its machine is halted, and its zone is there",
                machines.create_machine,
            ),
            Step::AwaitHealthy(name) => (
                format!("wait until {} is healthy", m(name)),
                "its machine runs",
                machines.join,
            ),
            Step::ApplySettings(version, _) => (
                format!("set the cluster-wide settings to {version}: kubeadm, kubelet"),
                "every master is healthy, and no master of a new version has joined",
                API_CALL * 5,
            ),
            Step::ApplyAddons(version, _) => (
                format!("bring kube-proxy and CoreDNS to {version}"),
                "no master of an earlier version is left, and every master is healthy",
                API_CALL * 5,
            ),
            Step::InstallAccess => (
                "let node groups join, label and drain nodes".to_owned(),
                "the API serves",
                API_CALL,
            ),
            Step::ApplyPodNetwork(_) => (
                "apply the pod network's manifest".to_owned(),
                "the API serves",
                API_CALL,
            ),
            Step::AwaitNode(name) => (
                format!("wait until the node of {} has joined", m(name)),
                "a pod network is there, or is left to you",
                machines.join / 4,
            ),
            Step::Register(name) => (
                format!("put {} behind {}, wait until it serves", m(name), self.balancer()),
                "its own /readyz says yes",
                self.timing.register,
            ),
            Step::Deregister(name) => (
                format!("take {} off {}, wait until it is gone", m(name), self.balancer()),
                "another master serves in its place, or requests do not go through the balancer",
                self.timing.deregister,
            ),
            Step::HandOver(from, to) => (
                self.hand_over("hand over", from, to),
                "the new holder serves",
                self.timing.handover,
            ),
            Step::RollBack(from, to) => (
                self.hand_over("give back", from, to),
                "the API did not answer at its address on the new holder",
                self.timing.handover,
            ),
            Step::AwaitAnswer(holder) => (
                format!(
                    "wait until the API answers at {} on {}",
                    self.address(),
                    self.holder(holder)
                ),
                "its holder serves, and nobody else could take it",
                self.timing.handover,
            ),
            Step::Release(holder) => (
                format!("release {} from {}", self.address(), self.holder(holder)),
                "no master is left",
                API_CALL,
            ),
            Step::Cordon(name) => (
                format!("cordon {}", m(name)),
                "etcd keeps its quorum without it, and another master serves",
                API_CALL,
            ),
            Step::Uncordon(name) => (format!("let {} take pods again", m(name)), "it is to stay", API_CALL),
            Step::Drain(name) => (
                format!("drain {}, PodDisruptionBudgets permitting", m(name)),
                "it is cordoned and off the balancer",
                machines.drain,
            ),
            Step::AwaitDetached(name) => (
                format!("wait until no volume is attached to {}", m(name)),
                "it is drained",
                machines.drain,
            ),
            Step::MarkOutOfService(name) => (
                format!(
                    "mark the node of {} as out of service, so that its pods and volumes move",
                    m(name)
                ),
                "its machine is confirmed off",
                API_CALL,
            ),
            Step::MoveLeader(from, to) => (
                format!("move etcd's leadership from {} to {}", m(from), m(to)),
                "the other is healthy",
                API_CALL,
            ),
            Step::StopApiServer(name) => (
                format!("stop the API server of {} gracefully, by a pod on it", m(name)),
                "it is off the balancer and drained, and another master serves",
                API_CALL * 10,
            ),
            Step::StartApiServer(name) => (
                format!("start the API server of {} again, by a pod on it", m(name)),
                "it is to stay",
                API_CALL * 30,
            ),
            Step::RemoveMember(id, name) => (
                match name {
                    Some(name) => format!("remove {} from etcd", m(name)),
                    None => format!("remove member {id:x} from etcd"),
                },
                "a majority of etcd's members is healthy before and after",
                API_CALL,
            ),
            Step::StopMachine(name) => (
                format!("stop the machine of {}", m(name)),
                "it is out of etcd",
                machines.delete_machine,
            ),
            Step::DeleteMachine(name) => (
                format!("delete the machine of {}", m(name)),
                "it is stopped and out of etcd",
                machines.delete_machine,
            ),
            Step::DeleteNode(name) => (
                format!("delete the Node object of {}", m(name)),
                "its machine is gone",
                API_CALL,
            ),
            Step::AwaitEndpointGone(name) => (
                format!("wait until the API endpoint of {} has expired", m(name)),
                "its machine is gone: nothing renews the record, and requests still go there until it expires",
                API_CALL * 15,
            ),
            Step::ReleaseDisk(name) => (
                format!("delete the disk of {}", m(name)),
                "its machine is gone",
                API_CALL * 5,
            ),
            Step::CreateBalancer => (
                format!("create {}, which checks each master's /readyz", self.balancer()),
                "the cluster's network exists",
                API_CALL * 30,
            ),
            Step::Span(zone) => (
                format!("let {} span {zone}", self.balancer()),
                "the zone is to stay, and has its subnet where zones have their own",
                API_CALL * 5,
            ),
            Step::Unspan(zone) => (
                format!("take {zone} from {}", self.balancer()),
                "no target is in it",
                API_CALL * 5,
            ),
            Step::DeleteBalancer => (
                format!("delete {}", self.balancer()),
                "it does not hold the address, and has no target",
                API_CALL * 30,
            ),
            Step::AddZone(zone) => (
                format!("add zone {zone}{}", self.subnet()),
                "the region has it",
                API_CALL * 5,
            ),
            Step::MarkLeaving(zone) => (
                format!("mark zone {zone} as leaving: nothing new is made in it"),
                "it is not to stay",
                API_CALL,
            ),
            Step::RemoveZone(zone) => (
                format!("remove zone {zone}{}", self.subnet()),
                "nothing is left in it",
                API_CALL * 5,
            ),
        };
        PreviewedStep { text, gate, expected }
    }

    /// A master as the operator calls it: its machine's name without what all have in common.
    fn master(&self, name: &str) -> String {
        let short = match self.operation {
            Operation::ControlPlane(desired) => name.strip_prefix(&desired.prefix).unwrap_or(name),
            _ => name,
        };
        format!("master {short}")
    }

    fn place(&self, name: &str) -> String {
        let zone = self.world.machines.get(name).map(|machine| &machine.zone);
        zone.map_or_else(String::new, |zone| format!(" in {zone}"))
    }

    fn joining(&self, new: &NewMachine) -> String {
        let replaced =
            |(_, machine): &(&String, &Machine)| machine.replica == new.replica && machine.api != ApiServer::Stopped;
        let instead = match self.world.machines.iter().find(replaced) {
            Some((name, _)) => format!(" to replace {}", self.master(name)),
            None => String::new(),
        };
        format!(
            "create {} in {}{instead}, wait until it has joined",
            self.master(&new.name),
            new.zone
        )
    }

    fn hand_over(&self, verb: &str, from: &Holder, to: &Holder) -> String {
        let address = self.address();
        if *from == Holder::Nobody {
            return format!("attach {address} to {}", self.holder(to));
        }
        let (from, to) = (self.holder(from), self.holder(to));
        let text = format!("{verb} {address} from {from} to {to}");
        match self.world.cloud.endpoint {
            Endpoint::Address => {
                let gap = approximately(self.timing.handover).replace('~', "about ");
                format!("{text}\n(the API does not answer for {gap})")
            }
            Endpoint::SharedAddress | Endpoint::DnsName => text,
        }
    }

    fn holder(&self, holder: &Holder) -> String {
        match holder {
            Holder::Nobody => "nobody".to_owned(),
            Holder::Machine(name) => self.master(name),
            Holder::Balancer => self.balancer(),
        }
    }

    fn balancer(&self) -> String {
        match self.operation {
            Operation::ControlPlane(super::ControlPlane {
                balancer: Some(name), ..
            })
            | Operation::Balancer(super::BalancerIntent { name, .. })
            | Operation::RemoveBalancer(super::BalancerIntent { name, .. }) => format!("balancer {name}"),
            _ => "the balancer".to_owned(),
        }
    }

    fn address(&self) -> &str {
        match self.operation {
            Operation::ControlPlane(super::ControlPlane { endpoint, .. })
            | Operation::Balancer(super::BalancerIntent { endpoint, .. })
            | Operation::RemoveBalancer(super::BalancerIntent { endpoint, .. }) => endpoint.as_deref(),
            _ => None,
        }
        .unwrap_or("the cluster's address")
    }

    fn backup(&self) -> &str {
        match self.operation {
            Operation::ControlPlane(desired) => desired.backup.as_deref(),
            _ => None,
        }
        .unwrap_or("nowhere")
    }

    fn subnet(&self) -> &'static str {
        if self.world.cloud.zonal_subnets {
            " with its subnet"
        } else {
            ""
        }
    }
}
