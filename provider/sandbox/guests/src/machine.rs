//! One boot of one machine: what its programs share.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use multizone_sandbox_data_plane::{Network, Pace};
use multizone_sandbox_etcd::Kind;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::console::Console;
use crate::disk::Disk;
use crate::kubelet::Containers;
use crate::kubelet::hold::Hold;
use crate::memory::{Memory, UserDataProgress};
use crate::spec::{Host, MachineSpec};
use crate::system::Kernel;

/// Where static pods are described.
pub(crate) const MANIFESTS: &str = "/etc/kubernetes/manifests";
/// How often the kubelet looks there.
const LOOK: Duration = Duration::from_secs(20);
const LEAST_LOOK: Duration = Duration::from_millis(250);

/// A machine that is switched on.
pub(crate) struct Machine {
    pub(crate) spec: MachineSpec,
    pub(crate) disk: Disk,
    pub(crate) console: Arc<Console>,
    pub(crate) status: Arc<Status>,
    pub(crate) network: Network,
    pub(crate) host: Arc<dyn Host>,
    pub(crate) pace: Pace,
    /// Cancelled when the power goes.
    pub(crate) power: CancellationToken,
    /// The systemd unit of the kubelet.
    pub(crate) kubelet: Unit,
    /// The systemd unit that leads a master to itself; see [`crate::system::api_route`].
    pub(crate) api_route: Unit,
    /// What etcd's static pod runs.
    pub(crate) etcd: Kind,
    /// Sent when a static pod's manifest is written or taken away.
    pub(crate) manifests: watch::Sender<()>,
    /// Whether the API server's manifest is held aside, and until when; see [`crate::kubelet::hold`].
    pub(crate) hold: watch::Sender<Option<Hold>>,
    /// Whether this machine's own API server is ready.
    pub(crate) api_ready: watch::Sender<bool>,
    /// Whether the kubelet has told the container runtime to run what /etc/kubernetes/manifests holds.
    pub(crate) static_pods: watch::Sender<bool>,
    /// Containers that run now, by the UID of their pod.
    pub(crate) containers: Mutex<Containers>,
    kernel: Mutex<Kernel>,
    kubelet_problem: Mutex<String>,
    /// How far the user data's commands have come.
    pub(crate) user_data: Mutex<UserDataProgress>,
    /// Whether this is no boot: the machine goes on after a restart of the region's process.
    pub(crate) resumed: bool,
    /// Whether the running command was interrupted by such a restart and is run again.
    pub(crate) repeating: AtomicBool,
}

/// What a machine reports; outlives its boots.
#[derive(Debug, Default)]
pub(crate) struct Status(Mutex<Progress>);

#[derive(Clone, Debug, Default)]
pub(crate) struct Progress {
    pub(crate) phase: String,
    pub(crate) node_ready: Option<bool>,
    pub(crate) kubernetes_version: Option<String>,
    pub(crate) warnings: Vec<String>,
}

/// A systemd service: whether it should run, and how often it was (re)started.
#[derive(Debug)]
pub(crate) struct Unit(watch::Sender<(bool, u64)>);

impl Machine {
    #[allow(clippy::too_many_arguments, reason = "everything a boot needs, passed once")]
    pub(crate) fn new(
        spec: MachineSpec,
        disk: Disk,
        console: Arc<Console>,
        status: Arc<Status>,
        network: Network,
        host: Arc<dyn Host>,
        pace: Pace,
        etcd: Kind,
        power: CancellationToken,
    ) -> Self {
        let memory = Memory::load(&spec.boot_disk);
        let resumed = memory.is_some();
        let memory = memory.unwrap_or_default();
        let machine = Self {
            spec,
            disk,
            console,
            status,
            network,
            host,
            pace,
            power,
            kubelet: Unit::new(),
            api_route: Unit::new(),
            etcd,
            manifests: watch::Sender::new(()),
            hold: watch::Sender::new(None),
            api_ready: watch::Sender::new(false),
            static_pods: watch::Sender::new(false),
            containers: Mutex::new(memory.containers),
            kernel: Mutex::new(memory.kernel),
            kubelet_problem: Mutex::default(),
            user_data: Mutex::new(memory.user_data),
            resumed,
            repeating: AtomicBool::new(false),
        };
        if memory.kubelet {
            machine.kubelet.start();
        }
        machine
    }

    /// Keeps what the machine holds in memory, for the case that the region's process is restarted.
    pub(crate) fn remember(&self) {
        let memory = Memory {
            kernel: self.kernel().clone(),
            containers: self.containers.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            user_data: self.user_data.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            kubelet: self.kubelet.is_running(),
        };
        if let Err(error) = memory.save(&self.spec.boot_disk) {
            tracing::warn!(machine = self.spec.name, %error, "the machine's memory is not kept");
        }
    }

    /// What keeps the kubelet from working, in its own words; empty when nothing does.
    pub(crate) fn kubelet_problem(&self) -> String {
        self.kubelet_problem
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Notes what keeps the kubelet from working, and shows it on the console when it is news.
    pub(crate) fn set_kubelet_problem(&self, problem: &str) {
        let mut known = self.kubelet_problem.lock().unwrap_or_else(PoisonError::into_inner);
        if *known != problem {
            problem.clone_into(&mut known);
            if !problem.is_empty() {
                self.console.say("kubelet", problem);
            }
        }
    }

    pub(crate) fn kernel(&self) -> MutexGuard<'_, Kernel> {
        self.kernel.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the static pod of that name is described on the disk, or, with `false`, until it is not.
    pub(crate) async fn manifest(&self, name: &str, there: bool) {
        let mut changed = self.manifests.subscribe();
        let path = format!("{MANIFESTS}/{name}.yaml");
        while self.disk.exists(&path) != there {
            tokio::select! {
                _ = changed.changed() => {}
                // The kubelet looks by itself, too.
                () = tokio::time::sleep(self.interval(LOOK, LEAST_LOOK)) => {}
            }
        }
    }

    /// The time something takes on a real machine.
    pub(crate) async fn takes(&self, real: Duration) {
        tokio::time::sleep(self.pace.scaled(real)).await;
    }

    /// `real` at this pace, but never shorter than `least`: for what must not turn into a busy loop.
    pub(crate) fn interval(&self, real: Duration, least: Duration) -> Duration {
        self.pace.scaled(real).max(least)
    }
}

impl Status {
    pub(crate) fn phase(&self, phase: impl Into<String>) {
        self.update(|progress| progress.phase = phase.into());
    }

    pub(crate) fn update(&self, change: impl FnOnce(&mut Progress)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub(crate) fn get(&self) -> Progress {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Unit {
    fn new() -> Self {
        Self(watch::Sender::new((false, 0)))
    }

    /// Starts the service if it does not run.
    pub(crate) fn start(&self) {
        self.0.send_if_modified(|(running, starts)| {
            let change = !*running;
            if change {
                *running = true;
                *starts += 1;
            }
            change
        });
    }

    /// Starts the service afresh.
    pub(crate) fn restart(&self) {
        self.0.send_modify(|(running, starts)| {
            *running = true;
            *starts += 1;
        });
    }

    pub(crate) fn stop(&self) {
        self.0.send_if_modified(|(running, _)| std::mem::take(running));
    }

    pub(crate) fn is_running(&self) -> bool {
        self.0.borrow().0
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<(bool, u64)> {
        self.0.subscribe()
    }
}
