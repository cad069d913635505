//! Machines behind moto's instances: guests of the sandbox, booted from the instances' user data.
//!
//! moto keeps records of instances, security groups, load balancers, secrets.  [`Machines`] asks it for all of them
//! whenever something has changed (`acceptance-tests/moto/machines.py`), and makes the sandbox's data plane and guests what
//! they say: every running instance is a machine at its private and its public address, which security groups let others
//! reach; load balancers forward to their targets and check their health.  An instance reads the secrets that its role may.
//!
//! Everything is on a block of loopback addresses that nobody else uses.

mod cloud;
mod health;
mod http;
mod services;

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use multizone_sandbox::{
    core::Block,
    process::{Etcd, claim_any},
};
use multizone_sandbox_data_plane::{Network, Pace};
use multizone_sandbox_guests::{GuestReport, Guests};
use serde::Deserialize;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use cloud::Cloud;
use health::Checks;
use services::Services;

/// How much faster than real ones the machines are.
pub(crate) const SPEED: f64 = 600.0;
/// Threads that all machines have in common.
const THREADS: usize = 2;
/// Pause after a question that got no answer.
const PAUSE: Duration = Duration::from_millis(50);
/// What kubeadm leaves on a master for its administrator.
const ADMINISTRATOR: &str = "rootfs/etc/kubernetes/admin.conf";

/// The addresses that the machines of one account have to themselves.
#[derive(Debug)]
pub(crate) struct Range {
    pub(crate) block: Block,
    /// Nobody else can have the block as long as this listens.
    _claim: TcpListener,
}

/// The machines of one account.
pub(crate) struct Machines {
    runtime: Option<Runtime>,
    world: Arc<World>,
    range: Range,
}

/// What is made of the account's records.
struct World {
    moto: SocketAddr,
    network: Network,
    guests: Guests,
    checks: Checks,
    disks: TempDir,
    /// As it was last seen.
    cloud: Mutex<Cloud>,
}

/// A changed cloud, and what stands for it when it is asked for again.
#[derive(Deserialize)]
struct Seen {
    mark: String,
    cloud: String,
}

impl Range {
    /// Claims one that is free.
    pub(crate) fn claim() -> Self {
        let here = std::env::current_exe().unwrap_or_default();
        let (block, claim) = claim_any(&here).expect("a block of loopback addresses is free");
        Self { block, _claim: claim }
    }
}

impl Machines {
    /// Runs the instances of the account at `moto`, which has been told of the range.
    pub(crate) fn run(moto: SocketAddr, range: Range) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(THREADS)
            .enable_all()
            .build()
            .expect("threads can be made");
        let pace = Pace::new(SPEED);
        let network = Network::with_pace(pace);
        let world = Arc::new(World {
            moto,
            guests: Guests::new(
                network.clone(),
                Arc::new(Services::of(moto)),
                pace,
                Etcd::found().expect("MULTIZONE_ETCD names an etcd"),
            ),
            checks: Checks::new(moto, network.clone(), pace),
            network,
            disks: tempfile::tempdir().expect("a temporary directory"),
            cloud: Mutex::default(),
        });
        runtime.spawn(Arc::clone(&world).follow());
        Self {
            runtime: Some(runtime),
            world,
            range,
        }
    }

    /// The range that is free for an account's networks.
    pub(crate) fn networks(&self) -> String {
        self.range.block.cluster_range().to_string()
    }

    /// The kubeconfig of a cluster's administrator, from one of its masters, for clients whose resolver is not C's.
    pub(crate) fn kubeconfig(&self, cluster: &str) -> String {
        let cloud = self.world.cloud();
        let of_masters = format!("{cluster}-master-");
        let mut masters = cloud
            .machines
            .iter()
            .filter(|machine| machine.running && machine.name.starts_with(&of_masters));
        let file = |id: &str| self.world.disk(id).join(ADMINISTRATOR);
        let found = masters.find_map(|master| fs::read_to_string(file(&master.id)).ok());
        let text = found.unwrap_or_else(|| panic!("no master of {cluster} has an admin.conf: {:#?}", self.reports()));
        cloud.balancers.iter().fold(text, |text, balancer| {
            let name = balancer.name();
            let server = format!("https://{}:{}", balancer.address, balancer.port);
            text.replace(
                &format!("server: https://{name}:{}", balancer.port),
                &format!("server: {server}\n    tls-server-name: {name}"),
            )
        })
    }

    /// What the machines are doing.
    pub(crate) fn reports(&self) -> Vec<GuestReport> {
        self.world.guests.report()
    }
}

impl Drop for Machines {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("{:#?}", self.reports());
        }
        if let Some(runtime) = self.runtime.take() {
            runtime.block_on(self.world.guests.stop());
            runtime.shutdown_background();
        }
    }
}

impl World {
    /// Makes network and machines what the account has, again and again. Endless.
    async fn follow(self: Arc<Self>) {
        let mut mark = String::new();
        loop {
            match http::ask(self.moto, "GET", &format!("/machines?seen={mark}"), "").await {
                Ok((200, body)) => {
                    let seen: Seen = serde_json::from_slice(&body).expect("moto's answer has a mark");
                    let cloud = serde_json::from_str(&seen.cloud).expect("moto describes its cloud");
                    mark = seen.mark;
                    self.reconcile(cloud);
                }
                Ok((204, _)) => {}
                Ok(_) | Err(_) => tokio::time::sleep(PAUSE).await,
            }
        }
    }

    fn reconcile(&self, cloud: Cloud) {
        self.network.reconcile(cloud.topology());
        let specs = cloud.machines.iter().map(|machine| {
            let disk = self.disk(&machine.id);
            fs::create_dir_all(&disk).expect("a writable temporary directory");
            machine.spec(disk)
        });
        self.guests.reconcile(specs.collect());
        self.checks.reconcile(&cloud);
        *self.cloud.lock().unwrap_or_else(PoisonError::into_inner) = cloud;
    }

    fn cloud(&self) -> Cloud {
        self.cloud.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn disk(&self, instance: &str) -> PathBuf {
        self.disks.path().join(instance)
    }
}

impl std::fmt::Debug for Machines {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Machines")
            .field("range", &self.range)
            .finish_non_exhaustive()
    }
}
