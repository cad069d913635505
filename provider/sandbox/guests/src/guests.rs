//! All machines of a region: switched on and off as the core says.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use multizone_sandbox_data_plane::{Network, Pace};
use multizone_sandbox_etcd::Kind;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::console::Console;
use crate::disk::Disk;
use crate::machine::{Machine, Status};
use crate::memory::Memory;
use crate::spec::{GuestReport, Host, MachineSpec};
use crate::{cloud_init, kubelet, system};

/// How long a real machine's firmware and kernel take.
const KERNEL_BOOT: Duration = Duration::from_secs(8);

/// The guests of a region. [`Guests::stop`] pauses them: started again on the same disks, with `running` still
/// true, they go on where they were. Only a `reconcile` that says so halts a machine, which loses its memory.
pub struct Guests {
    network: Network,
    host: Arc<dyn Host>,
    pace: Pace,
    etcd: Kind,
    machines: Mutex<BTreeMap<String, Entry>>,
}

struct Entry {
    running: bool,
    boot_disk: PathBuf,
    power: CancellationToken,
    /// Whether the power went, rather than the region's process.
    halted: Arc<AtomicBool>,
    task: Option<JoinHandle<()>>,
    /// Of this boot: what an earlier one still says is heard by nobody.
    status: Arc<Status>,
    console: Arc<Mutex<Option<Arc<Console>>>>,
}

impl Entry {
    fn halted(boot_disk: PathBuf) -> Self {
        let entry = Self {
            running: false,
            boot_disk,
            power: CancellationToken::new(),
            halted: Arc::default(),
            task: None,
            status: Arc::default(),
            console: Arc::default(),
        };
        entry.status.phase("halted");
        entry
    }

    fn halt(&mut self) {
        self.running = false;
        self.halted.store(true, Ordering::Release);
        self.power.cancel();
        self.begin("halted");
    }

    /// A new status, of which only the installed version is old.
    fn begin(&mut self, phase: &str) {
        let kubernetes_version = self.status.get().kubernetes_version;
        self.status = Arc::default();
        self.status.update(|progress| {
            phase.clone_into(&mut progress.phase);
            progress.kubernetes_version = kubernetes_version;
        });
    }
}

impl Guests {
    /// A region without machines, whose masters run this `etcd`.
    pub fn new(network: Network, host: Arc<dyn Host>, pace: Pace, etcd: Kind) -> Self {
        Self {
            network,
            host,
            pace,
            etcd,
            machines: Mutex::new(BTreeMap::new()),
        }
    }

    /// Switches machines on and off until they are what `machines` says. A machine that is no longer listed
    /// loses its power. Idempotent; must be called within a Tokio runtime, after the network knows the machines.
    pub fn reconcile(&self, machines: Vec<MachineSpec>) {
        let mut entries = self.lock();
        let listed: BTreeMap<String, MachineSpec> =
            machines.into_iter().map(|spec| (spec.name.clone(), spec)).collect();
        entries.retain(|name, entry| {
            let keep = listed.contains_key(name);
            if !keep {
                entry.halt();
            }
            keep
        });
        for (name, spec) in listed {
            let entry = entries
                .entry(name)
                .or_insert_with(|| Entry::halted(spec.boot_disk.clone()));
            if entry.boot_disk != spec.boot_disk {
                // Another machine has taken over the name.
                if entry.running {
                    entry.halt();
                }
                entry.boot_disk.clone_from(&spec.boot_disk);
            }
            match (entry.running, spec.running) {
                (false, false) if entry.task.is_none() => Memory::forget(&spec.boot_disk),
                (false, true) => self.switch_on(entry, spec),
                (true, false) => entry.halt(),
                _ => {}
            }
        }
    }

    fn switch_on(&self, entry: &mut Entry, spec: MachineSpec) {
        entry.running = true;
        entry.power = CancellationToken::new();
        entry.halted = Arc::default();
        let halted = Arc::clone(&entry.halted);
        entry.begin("booting");
        let (network, host, pace) = (self.network.clone(), Arc::clone(&self.host), self.pace);
        let etcd = self.etcd.clone();
        let (status, power, console) = (
            Arc::clone(&entry.status),
            entry.power.clone(),
            Arc::clone(&entry.console),
        );
        let earlier = entry.task.take();
        entry.task = Some(tokio::spawn(async move {
            if let Some(earlier) = earlier {
                let _ = earlier.await;
            }
            let disk = match Disk::open(&spec.boot_disk) {
                Ok(disk) => disk,
                Err(error) => {
                    status.phase(format!("failed: no boot disk at {}: {error}", spec.boot_disk.display()));
                    return;
                }
            };
            let this_console = Arc::new(Console::open(disk.console(), pace));
            *console.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&this_console));
            let boot_disk = spec.boot_disk.clone();
            let shown = Arc::clone(&this_console);
            run(Arc::new(Machine::new(
                spec,
                disk,
                this_console,
                status,
                network,
                host,
                pace,
                etcd,
                power,
            )))
            .await;
            if halted.load(Ordering::Acquire) {
                shown.say("acpi", "power off");
                Memory::forget(&boot_disk);
            }
        }));
    }

    /// What every machine is doing, by name.
    pub fn report(&self) -> Vec<GuestReport> {
        let entries = self.lock();
        let report = entries.iter().map(|(machine, entry)| {
            let progress = entry.status.get();
            let console = entry.console.lock().unwrap_or_else(PoisonError::into_inner);
            GuestReport {
                machine: machine.clone(),
                phase: progress.phase,
                console_tail: console.as_ref().map(|console| console.tail()).unwrap_or_default(),
                node_ready: progress.node_ready,
                kubernetes_version: progress.kubernetes_version,
                warnings: progress.warnings,
            }
        });
        report.collect()
    }

    /// Pauses every machine and waits until nothing of them runs any more.
    pub async fn stop(&self) {
        let entries = std::mem::take(&mut *self.lock());
        for entry in entries.values() {
            entry.power.cancel();
        }
        for task in entries.into_values().filter_map(|entry| entry.task) {
            let _ = task.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Entry>> {
        self.machines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Guests {
    fn drop(&mut self) {
        for entry in self.lock().values() {
            entry.power.cancel();
        }
    }
}

/// From power-on to power-off.
async fn run(machine: Arc<Machine>) {
    // The static pods outlive their kubelet.
    let containers = tokio::spawn(kubelet::control_plane::run(Arc::clone(&machine)));
    let etcd = tokio::spawn(kubelet::etcd::run(Arc::clone(&machine)));
    let software = async {
        if machine.resumed {
            system::resume(&machine);
        } else {
            machine.takes(KERNEL_BOOT).await;
            system::boot(&machine);
            machine.remember();
        }
        tokio::join!(
            cloud_init::run(&machine),
            kubelet::service(&machine),
            system::api_route::service(&machine),
            kubelet::hold::service(&machine),
        );
    };
    tokio::select! {
        () = machine.power.cancelled() => {}
        () = software => machine.power.cancelled().await,
    }
    for task in [containers, etcd] {
        if let Err(error) = task.await
            && error.is_panic()
        {
            tracing::error!(machine = machine.spec.name, "a task of the control plane panicked");
        }
    }
}
