//! The control plane: which phase is due.
//!
//! The phases, each a method that answers when it has something to do:
//!
//! 1. the address leads to a master that serves (`address.rs`);
//! 2. etcd has its quorum back, or nothing goes on; a master serves (`repair.rs`);
//! 3. masters that serve are behind the balancer;
//! 4. a join that is underway ends; learners that go nowhere are removed;
//! 5. halted masters that stay are started; dead members go out; what is left of gone machines is cleared away;
//! 6. masters that stay are healthy;
//! 7. cluster-wide settings, kubeadm's addons unless a master is still to get their version, node groups' rights, pod
//!    network;
//! 8. the address leaves a balancer that is not wanted;
//! 9. missing masters join, one at a time; the address goes onto the balancer; masters that are not to stay leave, one
//!    at a time (`change.rs`, `leave.rs`);
//! 10. whoever is last cleans up the zone (`zones.rs`).
//!
//! Repairs come before changes, and additions before removals, except that what is dead goes out first: kubeadm's join
//! asks every member of etcd and fails on a dead one.

use std::collections::BTreeMap;

use super::{
    facts::{ApiServer, Machine, Power, Settings, World},
    gates::{Gate, Gates},
    intent::{ControlPlane, Replica},
    quorum::Quorum,
    refuse,
    step::{Blocked, NewMachine, Next, Step},
    teardown, zones,
};

/// The next step of a control plane.
pub(super) fn next(world: &World, desired: &ControlPlane, gates: Gates) -> Next {
    if let Some(violation) = refuse::violation(world, desired) {
        return Next::Refused(violation);
    }
    let rollout = Rollout::new(world, desired, gates);
    let next = if desired.replicas.is_empty() {
        teardown::next(&rollout)
    } else if !world.initialised {
        rollout.first()
    } else if world.machines.is_empty() {
        if gates.holds(Gate::InitOnce, false) {
            rollout.first()
        } else {
            Next::Blocked(Blocked::EverythingLost)
        }
    } else if world.membership_known {
        rollout.phases()
    } else {
        rollout.in_the_dark()
    };
    match next {
        Next::Step(step) if rollout.needs_a_backup(&step) => Next::Step(Step::BackUp),
        next => next,
    }
}

/// The masters, split into those that stay, those that go and those that are missing.
pub(super) struct Rollout<'a> {
    pub(super) world: &'a World,
    pub(super) desired: &'a ControlPlane,
    pub(super) gates: Gates,
    pub(super) quorum: Quorum,
    /// Machines that stay, by the key of their replica.
    pub(super) keepers: BTreeMap<&'a str, &'a str>,
    /// Machines that go, in the order in which they go.
    pub(super) leaving: Vec<&'a str>,
    /// Replicas that have no machine, in the order in which they come.
    pub(super) missing: Vec<(&'a str, &'a Replica)>,
}

impl<'a> Rollout<'a> {
    pub(super) fn new(world: &'a World, desired: &'a ControlPlane, gates: Gates) -> Self {
        let mut rollout = Self {
            world,
            desired,
            gates,
            quorum: world.quorum(),
            keepers: BTreeMap::new(),
            leaving: Vec::new(),
            missing: Vec::new(),
        };
        for (name, machine) in &world.machines {
            if !rollout.may_stay(name, machine) {
                continue;
            }
            let better = |present: &&str| rollout.worth(present) >= rollout.worth(name);
            if !rollout.keepers.get(machine.replica.as_str()).is_some_and(better) {
                rollout.keepers.insert(&machine.replica, name);
            }
        }
        rollout.missing = rollout.in_order_of_arrival();
        rollout.leaving = rollout.in_order_of_departure();
        rollout
    }

    /// Whether a machine is what its replica is to be, and a master or on its way to be one.  A machine whose member is
    /// gone cannot come back with the data it has: it goes, and another is made (domain-rules.md: a rejoining node
    /// starts with an empty data directory).
    fn may_stay(&self, name: &str, machine: &Machine) -> bool {
        let as_desired = self.desired.replicas.get(&machine.replica).is_some_and(|replica| {
            replica.zone == machine.zone
                && replica.specification == machine.specification
                && self.desired.version == machine.version
        });
        let in_etcd = self.world.votes(name) || !self.world.membership_known || !self.world.initialised;
        as_desired && (in_etcd || (machine.joining && machine.power == Power::On))
    }

    /// Of two machines for one replica, which stays.
    fn worth(&self, name: &str) -> (bool, bool, bool) {
        let healthy = self.world.member_of(name).is_some_and(|(_, member)| member.healthy);
        (self.world.votes(name), healthy, self.world.serves(name))
    }

    /// Into the zone with the fewest masters first, so that the spread is there as early as possible.
    fn in_order_of_arrival(&self) -> Vec<(&'a str, &'a Replica)> {
        let mut missing: Vec<(&str, &Replica)> = self
            .desired
            .replicas
            .iter()
            .filter(|(key, _)| !self.keepers.contains_key(key.as_str()))
            .map(|(key, replica)| (key.as_str(), replica))
            .collect();
        missing.sort_by_cached_key(|(key, replica)| {
            let taken = |machine: &&Machine| machine.zone == replica.zone;
            (self.world.machines.values().filter(taken).count(), *key)
        });
        missing
    }

    /// Those whose replacement is there, then surplus ones, then those whose replacement is still to come; of equals
    /// not the one that holds the address, and not etcd's leader.  Last of all the only one that serves, or
    /// that the balancer leads to: while others leave, another may come to take its place.
    fn in_order_of_departure(&self) -> Vec<&'a str> {
        let mut leaving: Vec<&str> = self
            .world
            .machines
            .keys()
            .map(String::as_str)
            .filter(|name| !self.keepers.values().any(|keeper| keeper == name))
            .collect();
        leaving.sort_by_cached_key(|name| {
            let replica = self.world.machines[*name].replica.as_str();
            let cordoned = self.world.nodes.get(*name).is_some_and(|node| node.leaving);
            let begun = cordoned || self.world.machines[*name].api == ApiServer::Stopped;
            (
                self.serves_alone(name),
                self.desired.replicas.contains_key(replica) && !self.keepers.contains_key(replica),
                !begun,
                !self.keepers.contains_key(replica),
                self.holds_the_address(name),
                self.leads(name),
                std::cmp::Reverse(*name),
            )
        });
        leaving
    }

    fn phases(&self) -> Next {
        self.lead_the_address()
            .or_else(|| self.regain_quorum())
            .or_else(|| self.serve_again())
            .or_else(|| self.register())
            .or_else(|| self.finish_joins())
            .or_else(|| self.remove_learners())
            .or_else(|| self.start_the_halted())
            .or_else(|| self.remove_the_dead())
            .or_else(|| self.clear_away())
            .or_else(|| self.heal())
            .or_else(|| self.delete_the_removed())
            .or_else(|| self.settle_the_cluster())
            .or_else(|| self.off_the_balancer())
            .or_else(|| self.join())
            .or_else(|| self.onto_the_balancer())
            .or_else(|| self.leave_one())
            .or_else(|| zones::last_out(self.world, self.gates).map(Next::Step))
            .or_else(|| self.disks_out_of_reach())
            .unwrap_or(Next::Done)
    }

    /// Cluster-wide settings before machines of a new version, addons after them; then what node groups and pods need.
    fn settle_the_cluster(&self) -> Option<Next> {
        let Self { world, desired, .. } = self;
        let in_place = world
            .settings
            .as_ref()
            .is_some_and(|settings| settings.version == desired.version && settings.fingerprint == desired.settings);
        if !self.gates.holds(Gate::SettingsBeforeMachines, in_place) {
            return step(Step::ApplySettings(desired.version, desired.settings.clone()));
        }
        let other = |addons: &Settings| addons.version != desired.version || addons.fingerprint != desired.addons;
        let follows = world
            .machines
            .values()
            .all(|machine| machine.version == desired.version);
        if world.addons.as_ref().is_some_and(other) && self.gates.holds(Gate::MastersBeforeAddons, follows) {
            return step(Step::ApplyAddons(desired.version, desired.addons.clone()));
        }
        if !world.access {
            return step(Step::InstallAccess);
        }
        if let Some(manifest) = &desired.pod_network
            && world.pod_network.as_ref() != Some(manifest)
        {
            return step(Step::ApplyPodNetwork(manifest.clone()));
        }
        let node_joined = |name: &&&str| world.nodes.get(**name).is_some_and(|node| node.joined);
        let waited_for = self.keepers.values().find(|name| !node_joined(name))?;
        step(Step::AwaitNode((*waited_for).to_owned()))
    }

    /// Masters that stay and serve get requests.  A joiner is put behind the balancer only after its own `/readyz`.
    pub(super) fn register(&self) -> Option<Next> {
        self.desired.balancer.as_ref()?;
        let balancer = self.world.balancer.as_ref()?;
        let due = |name: &&&str| {
            let ready = self.world.serves(name) && !self.world.machines[**name].joining;
            self.gates.holds(Gate::ReadyBeforeRegistered, ready)
                && balancer.zones.contains(&self.world.machines[**name].zone)
                && !matches!(balancer.targets.get(**name), Some(super::Target::Serving))
        };
        let name = self.keepers.values().find(due)?;
        step(Step::Register((*name).to_owned()))
    }

    /// The only master there is, or is to be.
    fn first(&self) -> Next {
        let world = self.world;
        if let Some((name, machine)) = world.machines.iter().next() {
            if !world.zone_is_up(&machine.zone) {
                return self.zone_out(name);
            }
            if machine.joining && machine.power == Power::On {
                return Next::Step(Step::AwaitJoin(name.clone()));
            }
            // Its first boot failed, and nothing was ever stored on it.
            return Next::Step(if machine.power == Power::On {
                Step::StopMachine(name.clone())
            } else {
                Step::DeleteMachine(name.clone())
            });
        }
        if let Some(step) = self.balancer_from_the_start() {
            return Next::Step(step);
        }
        match self.newcomer() {
            Ok(machine) => Next::Step(Step::Init(machine)),
            Err(blocked) => Next::Blocked(blocked),
        }
    }

    /// etcd cannot be asked: halted masters are started, and no removal is tried.  Who its members were says whether it can
    /// get its quorum back.
    fn in_the_dark(&self) -> Next {
        let world = self.world;
        if let Some(lost) = self.quorum_is_lost() {
            return lost;
        }
        let halted =
            |(_, machine): &(&String, &Machine)| machine.power == Power::Off && world.zone_is_up(&machine.zone);
        if let Some((name, _)) = world.machines.iter().find(halted) {
            return Next::Step(Step::StartMachine(name.clone()));
        }
        let out = |(_, machine): &(&String, &Machine)| !world.zone_is_up(&machine.zone);
        if let Some((name, _)) = world.machines.iter().find(out) {
            return self.zone_out(name);
        }
        let unready = |(_, machine): &(&String, &Machine)| machine.api == ApiServer::Unready;
        match world.machines.iter().find(unready) {
            Some((name, _)) if world.serving().next().is_none() => Next::Step(Step::AwaitHealthy(name.clone())),
            _ => Next::Blocked(Blocked::MembershipUnknown),
        }
    }

    /// The machine for the replica that comes next.
    pub(super) fn newcomer(&self) -> Result<NewMachine, Blocked> {
        let usable = |zone: &str| self.world.stands(zone) && self.world.zone_is_up(zone);
        let usable = |replica: &Replica| self.gates.holds(Gate::ZoneUsableBeforeJoin, usable(&replica.zone));
        let found = self.missing.iter().find(|(_, replica)| usable(replica));
        let Some((key, replica)) = found else {
            let Some((key, replica)) = self.missing.first() else {
                return Err(Blocked::NoEnd);
            };
            return Err(match self.world.zones.get(&replica.zone) {
                Some(facts) if !facts.leaving && facts.up => Blocked::NoSubnet {
                    replica: (*key).to_owned(),
                    zone: replica.zone.clone(),
                },
                Some(facts) if !facts.leaving => Blocked::ZoneOut {
                    zone: replica.zone.clone(),
                    what: format!("the place of master {key}"),
                    writes: true,
                },
                facts => Blocked::NotInThisZone {
                    replica: (*key).to_owned(),
                    zone: replica.zone.clone(),
                    leaving: facts.is_some(),
                },
            });
        };
        Ok(NewMachine {
            name: self.free_name(key),
            replica: (*key).to_owned(),
            zone: replica.zone.clone(),
            specification: replica.specification.clone(),
            version: self.desired.version,
        })
    }

    /// A name that nothing carries any more, so that no trace of an earlier machine is taken for the new one.
    fn free_name(&self, key: &str) -> String {
        let world = self.world;
        let taken = |name: &str| {
            world.machines.contains_key(name)
                || world.nodes.contains_key(name)
                || world.endpoints.contains(name)
                || world.disks.contains_key(name)
                || world.member_of(name).is_some()
                || world.target(name).is_some()
        };
        let mut name = format!("{}{key}", self.desired.prefix);
        let mut number = 1;
        // Ends: there are finitely many names in use.
        while taken(&name) {
            number += 1;
            name = format!("{}{key}-{number}", self.desired.prefix);
        }
        name
    }

    /// Before this, the control plane is saved.  Repairs that only bring something back are not held up by it.
    fn needs_a_backup(&self, step: &Step) -> bool {
        step.puts_etcd_at_risk()
            && self.desired.backup.is_some()
            && self.world.initialised
            && self.world.membership_known
            && self.quorum.is_there()
            && self.world.serving().next().is_some()
            && !self.gates.holds(Gate::BackUpBeforeChange, self.world.backed_up)
    }

    pub(super) fn leads(&self, name: &str) -> bool {
        let member = self.world.member_of(name);
        member.is_some_and(|(id, _)| self.world.leader == Some(id))
    }

    pub(super) fn zone_out(&self, name: &str) -> Next {
        Next::Blocked(Blocked::ZoneOut {
            zone: self.world.machines[name].zone.clone(),
            what: format!("master {name}"),
            writes: self.quorum.is_there(),
        })
    }
}

/// Short for an answer that is a step.
#[allow(clippy::unnecessary_wraps)] // phases answer with an Option
pub(super) fn step(step: Step) -> Option<Next> {
    Some(Next::Step(step))
}
