//! Zonal, unmanaged instance groups.

use super::records::{InstanceGroup, NamedPort};
use crate::core::error::Refusal;
use crate::core::names::check_name;
use crate::core::operations::{Effect, Operation};
use crate::core::settings::split;
use crate::core::transaction::Transaction;
use std::collections::BTreeSet;

/// A group to make.
#[derive(Debug, Clone, Default)]
pub struct NewInstanceGroup {
    /// Name.
    pub name: String,
    /// Free text.
    pub description: String,
    /// Zone.
    pub zone: String,
    /// Network; `None` for that of the first member.
    pub network: Option<String>,
    /// Named ports.
    pub named_ports: Vec<NamedPort>,
}

impl Transaction<'_> {
    /// Makes an empty group.
    pub fn insert_instance_group(&mut self, new: NewInstanceGroup) -> Result<Operation, Refusal> {
        self.require_zone(&new.zone)?;
        check_name("resource.name", &new.name)?;
        self.require_zone_up(&new.zone)?;
        let path = self.settings.zonal_path(&new.zone, "instanceGroups", &new.name);
        if self
            .state
            .instance_groups
            .contains_key(&format!("{}/{}", new.zone, new.name))
        {
            return Err(Refusal::already_exists(&path));
        }
        if let Some(network) = &new.network {
            let network_path = self.settings.global_path("networks", network);
            if !self.state.networks.contains_key(network) {
                return Err(Refusal::not_found(&network_path));
            }
            self.require_existing(&network_path)?;
        }
        for port in &new.named_ports {
            check_name("resource.namedPorts.name", &port.name)?;
        }
        let identity = self.new_identity(&new.name, &new.description);
        let id = identity.id;
        let subject = Self::zonal("instanceGroups.insert", &new.zone, path, id);
        self.put(InstanceGroup {
            identity,
            zone: new.zone,
            network: new.network,
            subnetwork: None,
            members: BTreeSet::new(),
            named_ports: new.named_ports,
        });
        Ok(self.begin(subject, [(4.0, Effect::None)]))
    }

    /// Puts machines of the group's zone and network into the group.
    pub fn add_to_instance_group(
        &mut self,
        zone: &str,
        name: &str,
        machines: &[(Option<String>, String)],
    ) -> Result<Operation, Refusal> {
        let (mut group, path) = self.changeable_group(zone, name)?;
        let key = format!("{zone}/{name}");
        for machine in members("instances", zone, machines)? {
            let machine_path = self.settings.instance_path(&machine);
            let instance = self
                .state
                .instances
                .get(&machine)
                .ok_or_else(|| Refusal::not_found(&machine_path))?;
            if let Some(other) = group.network.as_ref().filter(|it| **it != instance.interface.network) {
                return Err(Refusal::bad_request(format!(
                    "Invalid resource usage: 'The instance '{machine_path}' is in the network '{}', the instance group \
                     '{path}' in '{other}': all members must be in the same network'.",
                    instance.interface.network
                )));
            }
            group.network.get_or_insert_with(|| instance.interface.network.clone());
            group
                .subnetwork
                .get_or_insert_with(|| instance.interface.subnetwork.clone());
            self.require_existing(&machine_path)?;
            if self.is_backend(&key) {
                self.require_single_balanced_group(&machine, &key)?;
            }
            if !group.members.insert(machine) {
                return Err(Refusal {
                    status: 400,
                    reason: "memberAlreadyExists",
                    message: format!("'{machine_path}' is already a member of '{path}'."),
                });
            }
        }
        let id = group.identity.id;
        self.put(group);
        self.settle_targets();
        let subject = Self::zonal("instanceGroups.addInstances", zone, path, id).about(names(machines));
        Ok(self.begin(subject, [(3.0, Effect::None)]))
    }

    /// Takes machines out of the group. They get no new connections at once; the operation ends when the connections
    /// they have are over, at the latest after the backend services' draining time.
    pub fn remove_from_instance_group(
        &mut self,
        zone: &str,
        name: &str,
        machines: &[(Option<String>, String)],
    ) -> Result<Operation, Refusal> {
        let (mut group, path) = self.changeable_group(zone, name)?;
        let key = format!("{zone}/{name}");
        let leaving = members("instances", zone, machines)?;
        for machine in &leaving {
            if !group.members.remove(machine) {
                return Err(Refusal {
                    status: 400,
                    reason: "memberNotFound",
                    message: format!(
                        "'{}' is not a member of '{path}'.",
                        self.settings.instance_path(machine)
                    ),
                });
            }
        }
        let id = group.identity.id;
        self.put(group);
        let mut steps = self.drain(&key, &leaving);
        self.settle_targets();
        if steps.is_empty() {
            steps.push((3.0, Effect::None));
        }
        let subject = Self::zonal("instanceGroups.removeInstances", zone, path, id).about(names(machines));
        Ok(self.begin(subject, steps))
    }

    /// Deletes a group that is nobody's backend; its members stay.
    pub fn delete_instance_group(&mut self, zone: &str, name: &str) -> Result<Operation, Refusal> {
        let (group, path) = self.instance_group(zone, name)?;
        self.require_zone_up(zone)?;
        self.require_ready(&path)?;
        let key = format!("{zone}/{name}");
        if let Some(user) = self.user_of_group(&key) {
            let user = self.settings.regional_object("backendServices", &user);
            return Err(Refusal::in_use("instance_group", &path, &user));
        }
        Ok(self.begin(
            Self::zonal("instanceGroups.delete", zone, path, group.identity.id),
            [(4.0, Effect::InstanceGroupGone(key))],
        ))
    }

    fn instance_group(&self, zone: &str, name: &str) -> Result<(InstanceGroup, String), Refusal> {
        self.require_zone(zone)?;
        let path = self.settings.zonal_path(zone, "instanceGroups", name);
        match self.state.instance_groups.get(&format!("{zone}/{name}")) {
            Some(group) => Ok((group.clone(), path)),
            None => Err(Refusal::not_found(&path)),
        }
    }

    fn changeable_group(&self, zone: &str, name: &str) -> Result<(InstanceGroup, String), Refusal> {
        let (group, path) = self.instance_group(zone, name)?;
        self.require_zone_up(zone)?;
        self.require_existing(&path)?;
        Ok((group, path))
    }

    /// The backend service that has the group.
    fn user_of_group(&self, group: &str) -> Option<String> {
        let uses = |it: &super::records::BackendService| it.backends.iter().any(|backend| backend.group == group);
        let found = self.state.backend_services.iter().find(|(_, it)| uses(it));
        found.map(|(key, _)| key.clone())
    }

    pub(super) fn is_backend(&self, group: &str) -> bool {
        self.user_of_group(group).is_some()
    }

    /// A machine may be in one balanced group only.
    pub(super) fn require_single_balanced_group(&self, machine: &str, group: &str) -> Result<(), Refusal> {
        let elsewhere = self
            .state
            .instance_groups
            .iter()
            .find(|(key, it)| *key != group && it.members.contains(machine) && self.is_backend(key));
        match elsewhere {
            None => Ok(()),
            Some((other, _)) => Err(Refusal::bad_request(format!(
                "Validation failed for instance '{}': instance may belong to at most one load-balanced instance group; \
                 it belongs to '{}'.",
                self.settings.instance_path(machine),
                self.settings.zonal_object("instanceGroups", other)
            ))),
        }
    }

    /// A machine that is gone is in no group.
    pub(in crate::core) fn leave_groups(&mut self, machine: &str) {
        let groups: Vec<String> = self
            .state
            .instance_groups
            .iter()
            .filter(|(_, it)| it.members.contains(machine))
            .map(|(key, _)| key.clone())
            .collect();
        for group in groups {
            self.alter::<InstanceGroup>(&group, |it| {
                it.members.remove(machine);
            });
        }
        self.forget_target(machine);
    }
}

/// The keys of the machines, which must be of the group's zone, each named once.
fn members(field: &str, zone: &str, machines: &[(Option<String>, String)]) -> Result<Vec<String>, Refusal> {
    if machines.is_empty() {
        return Err(Refusal::required(field));
    }
    let mut keys: Vec<String> = Vec::new();
    for (index, (given, name)) in machines.iter().enumerate() {
        let field = format!("{field}[{index}].instance");
        let written = given
            .as_deref()
            .map_or_else(|| name.clone(), |it| format!("zones/{it}/instances/{name}"));
        if let Some(other) = given.as_deref().filter(|it| *it != zone) {
            return Err(Refusal::invalid(
                &field,
                written,
                format!("The instance is in the zone '{other}', the instance group in '{zone}'."),
            ));
        }
        let key = format!("{zone}/{name}");
        if keys.contains(&key) {
            return Err(Refusal::invalid(&field, written, "The instance is named twice."));
        }
        keys.push(key);
    }
    Ok(keys)
}

fn names(machines: &[(Option<String>, String)]) -> String {
    let names: Vec<&str> = machines.iter().map(|(_, name)| split(name).1).collect();
    names.join(", ")
}
