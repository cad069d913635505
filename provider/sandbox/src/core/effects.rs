//! What the steps of operations do.

use super::balancers::records::{BackendService, ForwardingRule, HealthCheck, InstanceGroup};
use super::operations::{Effect, Operation, OperationError};
use super::records::{
    AccessConfig, Address, AttachedDisk, Disk, DiskStatus, Firewall, Instance, InstanceStatus, Network, Snapshot,
    Subnetwork,
};
use super::transaction::Transaction;

impl Transaction<'_> {
    pub(super) fn apply(&mut self, effect: Effect) {
        let now = self.now;
        match effect {
            Effect::None | Effect::Begin => {}
            Effect::InstanceIs(key, status) => self.alter::<Instance>(&key, |it| it.status = status),
            Effect::InstanceRuns(key) => self.alter::<Instance>(&key, |it| {
                it.status = InstanceStatus::Running;
                it.powered = true;
                it.last_start = Some(now);
            }),
            Effect::InstanceLosesPower(key) => self.alter::<Instance>(&key, |it| it.powered = false),
            Effect::InstanceStops(key) => self.alter::<Instance>(&key, |it| stop(it, now)),
            Effect::InstanceGone(key) => self.remove_instance(&key),
            Effect::DiskReady(key) => self.alter::<Disk>(&key, |it| it.status = DiskStatus::Ready),
            Effect::DiskGone(key) => self.remove::<Disk>(&key),
            Effect::DiskGrows(key, size_gb) => self.alter::<Disk>(&key, |it| it.size_gb = size_gb),
            Effect::DiskLeaves(key, device) => {
                let disk = self.state.instances.get(&key).and_then(|it| {
                    it.disks
                        .iter()
                        .find(|disk| disk.device_name == device)
                        .map(|disk| disk.disk.clone())
                });
                self.alter::<Instance>(&key, |it| it.disks.retain(|disk| disk.device_name != device));
                if let Some(disk) = disk {
                    self.free_disk(&disk);
                }
            }
            Effect::SnapshotReady(name) => self.alter::<Snapshot>(&name, |it| it.ready = true),
            Effect::SnapshotGone(name) => self.remove::<Snapshot>(&name),
            Effect::NetworkGone(name) => self.remove::<Network>(&name),
            Effect::SubnetworkGone(key) => self.remove::<Subnetwork>(&key),
            Effect::FirewallGone(name) => self.remove::<Firewall>(&name),
            Effect::AddressGone(key) => self.remove::<Address>(&key),
            Effect::HealthCheckGone(key) => self.remove::<HealthCheck>(&key),
            Effect::InstanceGroupGone(key) => self.remove::<InstanceGroup>(&key),
            Effect::BackendServiceGone(key) => {
                self.remove::<BackendService>(&key);
                self.settle_targets();
            }
            Effect::ForwardingBegins(key) => self.alter::<ForwardingRule>(&key, |it| it.active = true),
            Effect::ForwardingEnds(key) => self.end_forwarding(&key),
            Effect::DrainingEnds { service, instance } => self.end_draining(&service, &instance),
            Effect::AccessGranted {
                instance,
                name,
                address,
                reserved,
            } => {
                self.alter::<Instance>(&instance, |it| {
                    it.interface.access = Some(AccessConfig {
                        name,
                        address: Some(address),
                        reserved,
                    });
                });
            }
            Effect::AccessRevoked(key) => {
                let access = self
                    .state
                    .instances
                    .get(&key)
                    .and_then(|it| it.interface.access.clone());
                self.alter::<Instance>(&key, |it| it.interface.access = None);
                if let Some(reserved) = access.and_then(|access| access.reserved) {
                    self.release_address(&reserved);
                }
            }
        }
    }

    fn free_disk(&mut self, key: &str) {
        let now = self.now;
        self.alter::<Disk>(key, |it| {
            it.user = None;
            it.last_detach = Some(now);
        });
    }

    fn remove_instance(&mut self, key: &str) {
        let Some(instance) = self.state.instances.get(key).cloned() else {
            return;
        };
        for AttachedDisk { disk, auto_delete, .. } in &instance.disks {
            if *auto_delete {
                self.remove::<Disk>(disk);
            } else {
                self.free_disk(disk);
            }
        }
        let held: Vec<String> = self
            .state
            .addresses
            .iter()
            .filter(|(_, it)| it.machine() == Some(key))
            .map(|(address, _)| address.clone())
            .collect();
        for address in held {
            self.release_address(&address);
        }
        self.leave_groups(key);
        self.remove::<Instance>(key);
    }

    /// In a zone that is out nothing starts: ends the operation that would have started something there, as Compute
    /// Engine does when a zone has no resources.
    pub(super) fn fail_in_outage(&mut self, zone: &str, operation: Operation) -> Operation {
        if !self.state.outages.contains_key(zone) {
            return operation;
        }
        self.exhaust(zone, &operation);
        self.state.operations.get(&operation.name).cloned().unwrap_or(operation)
    }

    /// Ends an operation that starts a machine because its zone is out, and takes back what it had begun.
    pub(super) fn exhaust(&mut self, zone: &str, operation: &Operation) {
        let key = operation
            .target
            .rsplit('/')
            .next()
            .map(|name| format!("{zone}/{name}"))
            .unwrap_or_default();
        if operation.verb == "insert" {
            // Disks that were to come with the machine go, also those that would have outlived it.
            let made: Vec<String> = operation
                .steps
                .iter()
                .filter_map(|step| match &step.effect {
                    Effect::DiskReady(disk) => Some(disk.clone()),
                    _ => None,
                })
                .collect();
            self.remove_instance(&key);
            for disk in made {
                self.remove::<Disk>(&disk);
            }
        } else {
            let now = self.now;
            self.alter::<Instance>(&key, |it| stop(it, now));
        }
        self.fail(
            &operation.name,
            OperationError {
                code: "ZONE_RESOURCE_POOL_EXHAUSTED".to_owned(),
                message: format!(
                    "The zone '{}/zones/{zone}' does not have enough resources available to fulfill the request. \
                     Try a different zone, or try again later.",
                    self.settings.project_path()
                ),
                http_status: 503,
                http_message: "SERVICE UNAVAILABLE".to_owned(),
            },
        );
    }
}

/// A machine stops: it keeps a reserved address and loses an ephemeral one.
pub(super) fn stop(instance: &mut Instance, now: jiff::Timestamp) {
    instance.status = InstanceStatus::Terminated;
    instance.powered = false;
    instance.last_stop = Some(now);
    if let Some(access) = instance
        .interface
        .access
        .as_mut()
        .filter(|access| access.reserved.is_none())
    {
        access.address = None;
    }
}
