//! The region at work: the core under a lock, its time, and everything that must hear of a change.

use crate::core::operations::{Operation, OperationStatus};
use crate::core::records::Disk;
use crate::core::{Core, Refusal, Transaction, view};
use crate::machines::Machines;
use jiff::Timestamp;
use multizone_sandbox_data_plane::Network;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// How soon the disks of deleted machines are looked at again.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// Tells the time.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// What a machine's guest says of itself.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// What it is doing: booting, installing, running, ...
    pub phase: String,
    /// Whether its Kubernetes node is ready; `None` while it is none.
    pub node_ready: Option<bool>,
    /// Version of its kubelet.
    pub kubernetes_version: Option<String>,
    /// What is wrong with it, for example labels of another zone.
    pub warnings: Vec<String>,
}

/// The running region.
pub struct Region {
    core: Mutex<Core>,
    clock: Clock,
    network: Network,
    /// Counts changes; operations are waited for here.
    changes: watch::Sender<u64>,
    /// The layout that data plane and guests have heard of.
    told: Mutex<u64>,
    machines: OnceLock<Machines>,
}

impl Region {
    /// Puts a core to work.
    pub fn new(core: Core, clock: Clock, network: Network) -> Arc<Self> {
        let (changes, _) = watch::channel(0);
        let region = Self {
            core: Mutex::new(core),
            clock,
            network,
            changes,
            told: Mutex::new(u64::MAX),
            machines: OnceLock::new(),
        };
        region.tell(&region.lock());
        Arc::new(region)
    }

    fn lock(&self) -> MutexGuard<'_, Core> {
        // A panic in a handler leaves the core as its last transaction left it; the region goes on.
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts guests into the machines.  Must be called within a Tokio runtime.
    pub fn populate(&self, machines: Machines) {
        let core = self.lock();
        machines.reconcile(&core);
        if self.machines.set(machines).is_err() {
            tracing::error!("the machines have guests already");
        }
    }

    /// The guests, if there are any.
    pub fn machines(&self) -> Option<&Machines> {
        self.machines.get()
    }

    /// Now.
    pub fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// The data plane.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// Looks at the region as it is now.
    pub fn read<T>(&self, look: impl FnOnce(&Core) -> T) -> T {
        let mut core = self.lock();
        self.catch_up(&mut core);
        look(&core)
    }

    /// Changes the region wholly or not at all.
    pub fn change<T>(
        &self,
        actor: &str,
        work: impl FnOnce(&mut Transaction<'_>) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        let mut core = self.lock();
        self.catch_up(&mut core);
        let now = self.now();
        let answer = core.transact(actor, now, work);
        if answer.is_ok() {
            self.announce(&core);
        }
        answer
    }

    /// Carries out what is due.
    fn catch_up(&self, core: &mut Core) {
        match core.advance(self.now()) {
            Ok(true) => self.announce(core),
            Ok(false) => {}
            Err(refusal) => tracing::error!(%refusal, "a step of an operation could not be carried out"),
        }
    }

    fn announce(&self, core: &Core) {
        self.tell(core);
        self.changes.send_modify(|count| *count += 1);
    }

    /// Tells data plane and guests what they depend on, when that has changed.
    fn tell(&self, core: &Core) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if *told != core.state().layout() {
            *told = core.state().layout();
            self.network.reconcile(view::topology(core.state()));
            if let Some(machines) = self.machines.get() {
                machines.reconcile(core);
            }
        }
    }

    /// Lets time pass: carries out every step at its moment, for ever.
    pub async fn drive(self: Arc<Self>) {
        let mut changes = self.changes.subscribe();
        loop {
            changes.mark_unchanged();
            let next = self.read(|core| core.state().next_due());
            let wait = match next {
                Some(at) => Duration::try_from(at.duration_since(self.now())).unwrap_or(Duration::ZERO),
                None => Duration::from_hours(1),
            };
            let leftovers = self.machines.get().is_some_and(Machines::has_leftovers);
            let wait = if leftovers { wait.min(SWEEP_INTERVAL) } else { wait };
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                _ = changes.changed() => {}
            }
            if leftovers {
                self.read(|core| self.machines.get().map(|machines| machines.sweep(core)));
            }
        }
    }

    /// Waits until the operation is done, at most `limit`; answers it as it is then.
    pub async fn wait(&self, name: &str, limit: Duration) -> Option<Operation> {
        let mut changes = self.changes.subscribe();
        let deadline = tokio::time::Instant::now() + limit;
        loop {
            changes.mark_unchanged();
            let operation = self.read(|core| core.state().operations().get(name).cloned())?;
            if operation.status == OperationStatus::Done {
                return Some(operation);
            }
            if tokio::time::timeout_at(deadline, changes.changed()).await.is_err() {
                return Some(operation);
            }
        }
    }

    /// What the machine `key` (`ZONE/NAME`) has written to its serial console.
    pub fn console(&self, key: &str) -> String {
        let disk = self.read(|core| {
            let disk = &core.state().instances().get(key)?.boot_disk()?.disk;
            core.state().disks().get(disk).map(Disk::directory)
        });
        match (disk, self.machines.get()) {
            (Some(disk), Some(machines)) => machines.console(&disk),
            _ => String::new(),
        }
    }

    /// What the guests say of themselves, by machine.
    pub fn reports(&self) -> BTreeMap<String, Report> {
        self.machines.get().map(Machines::reports).unwrap_or_default()
    }

    /// Waits until something changes, at most `limit`.
    pub async fn wait_for_change(&self, limit: Duration) {
        // Whether it was a change or the limit, the caller looks again.
        let _ = tokio::time::timeout(limit, self.changes().changed()).await;
    }

    /// Hears of every change from now on.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }
}
