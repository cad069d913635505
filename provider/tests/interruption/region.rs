//! A sandbox region in this process that can be killed, started again, and copied.

use std::{
    fs, io,
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use multizone_cloud_compute_engine::{Credentials, Retries, Settings, Timeouts};
use multizone_sandbox::{
    client::Client,
    process::{Description, Etcd, Place, RunSettings, run},
};
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};

pub(crate) const REGION: &str = "us-central1";

/// How many times faster than a real region: operations take some milliseconds.
const SPEED: f64 = 3000.0;
/// The same where the masters run real etcd, which knows only real time: a target that leaves its balancer must be given
/// longer to finish its requests than they take.
const SPEED_OF_REAL_ETCD: f64 = 100.0;
/// How long starting and stopping may take on a loaded machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// A region that runs: everything of it is in a runtime of its own, as if it were a process.
pub(crate) struct Region {
    runtime: Option<Runtime>,
    place: Place,
    etcd: Option<Etcd>,
    endpoint: String,
}

impl Region {
    /// Starts the region of this directory, a new one when it is empty, with that etcd, or with what is installed.
    pub(crate) fn start(directory: &Path, etcd: Option<Etcd>) -> Self {
        let place = Place {
            directory: directory.to_owned(),
        };
        let (runtime, endpoint) = begin(&place, etcd.clone());
        Self {
            runtime: Some(runtime),
            place,
            etcd,
            endpoint,
        }
    }

    /// Ends the region without a warning and starts it again.
    pub(crate) fn restart(&mut self) {
        self.kill();
        let (runtime, endpoint) = begin(&self.place, self.etcd.clone());
        assert_eq!(endpoint, self.endpoint, "a region listens where it listened before");
        self.runtime = Some(runtime);
    }

    /// Ends the region without a warning.
    pub(crate) fn kill(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Within a runtime no other may be waited for.
            let end = thread::spawn(move || runtime.shutdown_timeout(Duration::from_secs(5)));
            assert!(end.join().is_ok(), "the region's runtime ends");
            Description::remove(&self.place);
        }
    }

    /// `sandbox status --json`.
    pub(crate) fn status(&self) -> Value {
        self.ask(|client| client.get("/sandbox/v1/status").unwrap())
    }

    /// What has happened since the event of that number.
    pub(crate) fn events(&self, after: u64) -> Vec<Value> {
        let path = format!("/sandbox/v1/events?after={after}&limit=10000");
        let answer = self.ask(move |client| client.get(&path).unwrap());
        answer["events"].as_array().cloned().unwrap_or_default()
    }

    /// What an operator does to a machine (`ZONE/NAME`) or a zone: `halt`, `boot`, `outage`, `restore`.
    pub(crate) fn operate(&self, verb: &str, what: &str) {
        let kind = if what.contains('/') { "machines" } else { "zones" };
        let path = format!("/sandbox/v1/{kind}/{what}/{verb}");
        let _ = self.ask(move |client| client.post(&path).unwrap());
    }

    /// Asks from a thread of its own: the client blocks.
    fn ask<T: Send + 'static>(&self, question: impl FnOnce(&Client) -> T + Send + 'static) -> T {
        let endpoint = self.endpoint.clone();
        let ask = thread::spawn(move || question(&Client::new(&endpoint).unwrap()));
        ask.join().unwrap()
    }

    /// How to reach it, as the provider does with a sandbox, with less patience.
    pub(crate) fn settings(&self) -> Settings {
        let status = self.status();
        let range = status["cluster_range"].as_str().unwrap();
        Settings {
            endpoint: Some(self.endpoint.clone()),
            credentials: Credentials::Anonymous,
            default_network_cidr: Some(range.parse().unwrap()),
            timeouts: Timeouts {
                poll_interval: Duration::from_millis(5),
                ..Timeouts::default()
            },
            retries: Retries {
                first_delay: Duration::from_millis(5),
                longest_delay: Duration::from_millis(50),
                ..Retries::default()
            },
            ..Settings::new(status["project"].as_str().unwrap(), REGION)
        }
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        self.kill();
    }
}

fn begin(place: &Place, etcd: Option<Etcd>) -> (Runtime, String) {
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let speed = match &etcd {
        Some(Etcd::Process(_)) => SPEED_OF_REAL_ETCD,
        _ => SPEED,
    };
    let settings = RunSettings {
        place: place.clone(),
        region: Some(REGION.to_owned()),
        speed: Some(speed),
        etcd,
    };
    let process = runtime.spawn(run(settings));
    let began = Instant::now();
    loop {
        if process.is_finished() {
            // Within a runtime no other may be waited for.
            let ended = thread::scope(|scope| scope.spawn(|| runtime.block_on(process)).join());
            panic!("the region ended: {ended:?}");
        }
        if let Some(description) = Description::read(place) {
            let address: Option<SocketAddr> = description
                .endpoint
                .strip_prefix("http://")
                .and_then(|address| address.parse().ok());
            if address.is_some_and(|address| TcpStream::connect(address).is_ok()) {
                return (runtime, description.endpoint);
            }
        }
        assert!(began.elapsed() < PATIENCE, "the region does not start");
        thread::sleep(Duration::from_millis(1));
    }
}

/// Copies a region's directory: a snapshot of a region that does not run.
pub(crate) fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target: PathBuf = to.join(entry.file_name());
        let kind = entry.file_type()?;
        if kind.is_dir() {
            copy(&entry.path(), &target)?;
        } else if kind.is_file() {
            fs::copy(entry.path(), &target)?;
        }
    }
    Ok(())
}
