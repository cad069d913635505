//! What is broken is mended before anything is changed.

use super::{
    facts::{ApiServer, Power},
    gates::Gate,
    quorum::Lost,
    rollout::{Rollout, step},
    step::{Blocked, Next, Step},
};

impl Rollout<'_> {
    /// Without quorum nothing can be added or removed: halted masters are started, running ones waited for, unless too
    /// many are gone for that to help.  There is no automatic way out of a loss.
    pub(super) fn regain_quorum(&self) -> Option<Next> {
        let world = self.world;
        if self.gates.holds(Gate::QuorumBeforeAndAfter, self.quorum.is_there()) {
            return None;
        }
        if let Some(lost) = self.quorum_is_lost() {
            return Some(lost);
        }
        let voters = || {
            world
                .members
                .values()
                .filter(|member| !member.learner && !member.healthy)
                .filter_map(|member| member.machine.as_deref())
                .filter_map(|name| world.machines.get_key_value(name))
        };
        let mut halted = voters().filter(|(_, machine)| machine.power == Power::Off && world.zone_is_up(&machine.zone));
        if let Some((name, _)) = halted.next() {
            return step(Step::StartMachine(name.clone()));
        }
        if let Some((name, _)) = voters().find(|(_, machine)| world.runs(machine)) {
            return step(Step::AwaitHealthy(name.clone()));
        }
        if let Some((name, _)) = voters().find(|(_, machine)| !world.zone_is_up(&machine.zone)) {
            return Some(self.zone_out(name));
        }
        // Nobody votes, as far as is known.
        Some(Next::Blocked(Blocked::MembershipUnknown))
    }

    /// So many voters are gone that those that are there can never be a majority.
    pub(super) fn quorum_is_lost(&self) -> Option<Next> {
        let Lost { gone, left } = self.world.lost_quorum()?;
        Some(Next::Blocked(Blocked::NoQuorum {
            gone,
            left,
            majority: self.quorum.majority(),
        }))
    }

    /// etcd has its quorum and nobody serves: an API server that was stopped because its master was to leave, while
    /// another still served, is started again.
    pub(super) fn serve_again(&self) -> Option<Next> {
        let world = self.world;
        if world.serving().next().is_some() {
            return None;
        }
        let stopped = |(name, machine): &(&String, &super::Machine)| {
            machine.api == ApiServer::Stopped && world.runs(machine) && world.votes(name)
        };
        let (name, _) = world.machines.iter().find(stopped)?;
        step(Step::StartApiServer(name.clone()))
    }

    /// kubeadm is at work on a machine: nothing else changes the membership until it is done or has given up.
    pub(super) fn finish_joins(&self) -> Option<Next> {
        let world = self.world;
        let joining = |(_, machine): &(&String, &super::Machine)| machine.joining && machine.power == Power::On;
        let (name, machine) = world.machines.iter().find(joining)?;
        if self.gates.holds(Gate::OneChangeAtATime, false) {
            return None;
        }
        if world.runs(machine) {
            step(Step::AwaitJoin(name.clone()))
        } else {
            Some(self.zone_out(name))
        }
    }

    /// A learner that kubeadm is not at work on goes, by its ID: an unstarted one has no name.
    pub(super) fn remove_learners(&self) -> Option<Next> {
        let at_work = |name: &String| {
            let machine = self.world.machines.get(name);
            machine.is_some_and(|machine| machine.joining && machine.power == Power::On)
        };
        let (id, member) = self
            .world
            .members
            .iter()
            .find(|(_, member)| member.learner && !member.machine.as_ref().is_some_and(at_work))?;
        step(Step::RemoveMember(*id, member.machine.clone()))
    }

    /// A halted master that stays is started: it rejoins by itself.
    pub(super) fn start_the_halted(&self) -> Option<Next> {
        let world = self.world;
        let halted = |name: &&&str| {
            let machine = &world.machines[**name];
            machine.power == Power::Off && world.zone_is_up(&machine.zone)
        };
        step(Step::StartMachine((*self.keepers.values().find(halted)?).to_owned()))
    }

    /// Members whose machine is gone, and dead masters that are not to stay, go out before anything is added.
    pub(super) fn remove_the_dead(&self) -> Option<Next> {
        if self.all_healthy() {
            return None;
        }
        let world = self.world;
        let orphan = world.members.iter().find(|(_, member)| {
            let machine = member.machine.as_ref();
            machine.is_none_or(|name| !world.machines.contains_key(name))
        });
        if let Some((id, member)) = orphan {
            let name = member.machine.clone();
            if let Some(name) = &name
                && world.target(name).is_some()
            {
                return step(Step::Deregister(name.clone()));
            }
            let whose = name.clone().unwrap_or_else(|| format!("{id:x}"));
            return self
                .quorum_gate(&whose, member)
                .or_else(|| step(Step::RemoveMember(*id, name)));
        }
        let dead = |name: &&&str| world.member_of(name).is_some_and(|(_, member)| !member.healthy);
        self.leave(self.leaving.iter().find(dead)?)
    }

    /// What is left of machines that are gone: targets, Node objects, endpoint records, disks.
    pub(super) fn clear_away(&self) -> Option<Next> {
        let world = self.world;
        let gone = |name: &&String| !world.machines.contains_key(*name);
        let target = world
            .balancer
            .iter()
            .flat_map(|balancer| balancer.targets.keys())
            .find(gone);
        if let Some(name) = target {
            return step(Step::Deregister(name.clone()));
        }
        if world.serving().next().is_some() {
            for (name, node) in &world.nodes {
                let going = self.leaving.contains(&name.as_str());
                if !(gone(&name) || (going && self.gates.holds(Gate::MachineBeforeNode, false))) {
                    continue;
                }
                let given_up = node.out_of_service || !(node.pods || node.volumes);
                return step(if given_up {
                    Step::DeleteNode(name.clone())
                } else {
                    Step::MarkOutOfService(name.clone())
                });
            }
            if let Some(name) = world.endpoints.iter().find(gone) {
                return step(Step::AwaitEndpointGone(name.clone()));
            }
        }
        let disk = |(name, disk): &(&String, &super::Disk)| gone(name) && world.zone_is_up(&disk.zone);
        let (name, _) = world.disks.iter().find(disk)?;
        step(Step::ReleaseDisk(name.clone()))
    }

    /// Masters that stay are waited for until their member and API server are healthy.
    pub(super) fn heal(&self) -> Option<Next> {
        let world = self.world;
        for name in self.keepers.values() {
            let machine = &world.machines[*name];
            let healthy = world.member_of(name).is_some_and(|(_, member)| member.healthy);
            if healthy || machine.joining || self.gates.holds(Gate::AllHealthyBeforeJoin, false) {
                continue;
            }
            if !world.zone_is_up(&machine.zone) {
                return Some(self.zone_out(name));
            }
            return step(Step::AwaitHealthy((*name).to_owned()));
        }
        for name in self.keepers.values() {
            let machine = &world.machines[*name];
            let name = (*name).to_owned();
            match machine.api {
                _ if !world.runs(machine) || machine.joining => {}
                ApiServer::Stopped | ApiServer::Unready if self.gates.holds(Gate::AnotherMasterServes, false) => {}
                ApiServer::Serving => {
                    if world.nodes.get(&name).is_some_and(|node| node.leaving) {
                        return step(Step::Uncordon(name));
                    }
                }
                ApiServer::Stopped => return step(Step::StartApiServer(name)),
                ApiServer::Unready => return step(Step::AwaitHealthy(name)),
            }
        }
        None
    }

    /// Machines that are out of etcd are stopped and deleted; those in a zone that is out, when it is back.
    pub(super) fn delete_the_removed(&self) -> Option<Next> {
        let world = self.world;
        let removed = |name: &&&str| {
            let machine = &world.machines[**name];
            let joining = machine.joining && machine.power == Power::On;
            world.member_of(name).is_none() && !joining && world.zone_is_up(&machine.zone)
        };
        self.leave(self.leaving.iter().find(removed)?)
    }

    /// The end is not reached while a gone master's disk is in a zone that is out.
    pub(super) fn disks_out_of_reach(&self) -> Option<Next> {
        let world = self.world;
        let (name, disk) = world
            .disks
            .iter()
            .find(|(name, _)| !world.machines.contains_key(*name))?;
        Some(Next::Blocked(Blocked::ZoneOut {
            zone: disk.zone.clone(),
            what: format!("the disk of master {name}, which is gone"),
            writes: self.quorum.is_there(),
        }))
    }

    /// Whether a join would find every member of etcd alive.
    pub(super) fn all_healthy(&self) -> bool {
        let healthy = self.world.members.values().all(|member| member.healthy);
        self.gates.holds(Gate::AllHealthyBeforeJoin, healthy)
    }
}
