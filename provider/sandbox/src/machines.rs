//! The guests of the region's machines: which there are, on which disks, and what they may ask the region for.

use crate::core::catalogue;
use crate::core::records::{Disk, Instance};
use crate::core::settings::split;
use crate::core::{Core, Refusal};
use crate::region::{Region, Report};
use async_trait::async_trait;
use multizone_sandbox_data_plane::{Network, Pace};
use multizone_sandbox_etcd::Kind;
use multizone_sandbox_guests::{Guests, Host, HostError, MachineSpec};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

/// The guests, and the directory of their disks.
pub struct Machines {
    guests: Guests,
    disks: PathBuf,
    /// A guest that is losing its power may still write to a disk that is gone: look again.
    look_again: AtomicBool,
}

/// The region as its machines see it.
struct Services(Weak<Region>);

#[async_trait]
impl Host for Services {
    async fn access_secret(&self, machine: &str, secret: &str) -> Result<Vec<u8>, HostError> {
        let region = self
            .0
            .upgrade()
            .ok_or_else(|| HostError::Unavailable("the region".to_owned()))?;
        if region.read(|core| core.state().outages().contains_key(split(machine).0)) {
            return Err(HostError::Unavailable(
                "Secret Manager (the machine's zone is out)".to_owned(),
            ));
        }
        region
            .change(&format!("machine:{machine}"), |transaction| {
                transaction.access_secret_from_machine(machine, secret)
            })
            .map_err(|refusal: Refusal| match refusal.status {
                404 => HostError::NotFound(refusal.message),
                403 => HostError::PermissionDenied(refusal.message),
                _ => HostError::Unavailable(refusal.message),
            })
    }

    async fn power_off(&self, machine: &str) -> Result<(), HostError> {
        let region = self
            .0
            .upgrade()
            .ok_or_else(|| HostError::Unavailable("the region".to_owned()))?;
        region
            .change(&format!("machine:{machine}"), |transaction| {
                transaction.halt(machine).map(drop)
            })
            .map_err(|refusal: Refusal| HostError::Unavailable(refusal.message))
    }
}

impl Machines {
    /// Guests that keep their disks in the directory `disks`, and whose masters run this `etcd`.
    pub fn new(region: &Arc<Region>, network: Network, pace: Pace, disks: PathBuf, etcd: Kind) -> Self {
        Self {
            guests: Guests::new(network, Arc::new(Services(Arc::downgrade(region))), pace, etcd),
            disks,
            look_again: AtomicBool::new(false),
        }
    }

    /// Makes the guests what the core says, and removes the content of disks that are gone.
    pub(crate) fn reconcile(&self, core: &Core) {
        let specs: Vec<MachineSpec> = core
            .state()
            .instances()
            .iter()
            .filter_map(|(key, it)| self.spec(core, key, it))
            .collect();
        for spec in &specs {
            if let Err(error) = std::fs::create_dir_all(&spec.boot_disk) {
                tracing::error!(machine = spec.name, %error, "the directory of a boot disk cannot be made");
            }
        }
        self.guests.reconcile(specs);
        self.remove_old_disks(core);
    }

    fn spec(&self, core: &Core, key: &str, instance: &Instance) -> Option<MachineSpec> {
        let machine_type = catalogue::machine_type(&instance.machine_type)?;
        let disk = core.state().disks().get(&instance.boot_disk()?.disk)?;
        let hostname = instance.hostname.as_ref().unwrap_or(&instance.identity.name);
        Some(MachineSpec {
            name: key.to_owned(),
            hostname: hostname.clone(),
            zone: instance.zone.clone(),
            region: core.settings().region.name.to_owned(),
            instance_id: instance.identity.id.to_string(),
            provider_id: format!("gce://{}/{}/{hostname}", core.settings().project, instance.zone),
            address: instance.interface.address,
            external_address: instance.interface.access.as_ref().and_then(|access| access.address),
            cpus: machine_type.cpus,
            memory_mib: machine_type.memory_mib,
            user_data: instance.metadata.get("user-data").cloned(),
            running: instance.powered,
            boot_disk: self.disks.join(disk.directory()),
            service_account: instance.service_account.as_ref().map(|account| account.email.clone()),
        })
    }

    /// Removes the content of disks that are gone.
    fn remove_old_disks(&self, core: &Core) {
        let kept: BTreeSet<String> = core.state().disks().values().map(Disk::directory).collect();
        let Ok(entries) = std::fs::read_dir(&self.disks) else {
            return;
        };
        let mut removed = false;
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if kept.contains(&name) {
                continue;
            }
            removed = true;
            if let Err(error) = std::fs::remove_dir_all(entry.path()) {
                tracing::debug!(disk = name, %error, "the content of a deleted disk is removed later");
            }
        }
        self.look_again.store(removed, Ordering::Relaxed);
    }

    /// Whether [`Self::sweep`] should be called again, soon.
    pub(crate) fn has_leftovers(&self) -> bool {
        self.look_again.load(Ordering::Relaxed)
    }

    /// Removes what guests wrote after their disks were deleted.
    pub(crate) fn sweep(&self, core: &Core) {
        self.remove_old_disks(core);
    }

    /// What the guests say of themselves, by machine.
    pub(crate) fn reports(&self) -> BTreeMap<String, Report> {
        let report = |it: multizone_sandbox_guests::GuestReport| {
            let report = Report {
                phase: it.phase,
                node_ready: it.node_ready,
                kubernetes_version: it.kubernetes_version,
                warnings: it.warnings,
            };
            (it.machine, report)
        };
        self.guests.report().into_iter().map(report).collect()
    }

    /// What the machine with this boot disk has written to its serial console.
    pub(crate) fn console(&self, boot_disk: &str) -> String {
        std::fs::read(self.disks.join(boot_disk).join("console.log"))
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    /// Cuts the power of every machine and waits until nothing runs any more.
    pub async fn stop(&self) {
        self.guests.stop().await;
    }
}
