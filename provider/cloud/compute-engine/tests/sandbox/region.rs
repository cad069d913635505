//! A sandbox region inside the test, and the client under test before it.

use std::{
    collections::BTreeSet,
    io,
    net::Ipv4Addr,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    body::{Body, Bytes},
    extract::{Request, State},
    http::Method,
    middleware::{self, Next},
    response::Response,
};
use futures::stream;
use ipnet::Ipv4Net;
use jiff::Timestamp;
use multizone_cloud_compute_engine::{ComputeEngine, Credentials, Retries, Settings, Timeouts};
use multizone_sandbox::{
    core::{Block, Core, Settings as RegionSettings, Store, catalogue},
    face::{self, Control, Face, StopSignal},
    region::Region,
};
use multizone_sandbox_data_plane::Network;
use serde_json::Value;

/// How many times faster than a real region: operations take some milliseconds.
const SPEED: f64 = 2000.0;

/// A region and its client.
pub(crate) struct Sandbox {
    /// The client under test.
    pub(crate) cloud: ComputeEngine,
    region: Arc<Region>,
    /// The region's time, while it stands still.
    stopped_at: Arc<Mutex<Option<Timestamp>>>,
    endpoint: String,
    faults: Arc<Faults>,
}

/// What goes wrong between client and region.
#[derive(Default)]
struct Faults {
    lose_first_replies: AtomicBool,
    lost: AtomicUsize,
    seen: Mutex<BTreeSet<String>>,
    /// How many changes were asked for since [`Sandbox::hang_at`].
    changes: AtomicUsize,
    hang: Mutex<Option<Hang>>,
}

/// A change that is never answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hang {
    /// The change of this number, from 1, does not reach the region.
    Before(usize),
    /// The change of this number is made.
    After(usize),
}

impl Sandbox {
    pub(crate) async fn start() -> Self {
        let settings = RegionSettings {
            region: catalogue::region("us-central1").unwrap(),
            project: "sandbox".into(),
            project_number: 1_234_567_890,
            block: Block::new(77).unwrap(),
            speed: SPEED,
        };
        let core = Core::open(settings, Store::in_memory().unwrap(), Timestamp::now()).unwrap();
        let stopped_at = Arc::new(Mutex::new(None));
        let clock = {
            let stopped_at = stopped_at.clone();
            move || stopped_at.lock().unwrap().unwrap_or_else(Timestamp::now)
        };
        let region = Region::new(core, Arc::new(clock), Network::new());
        tokio::spawn(region.clone().drive());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let control = Control {
            endpoint: endpoint.clone(),
            directory: PathBuf::new(),
            version: "test".into(),
            stop: StopSignal::default(),
            requests: AtomicU64::default(),
        };
        let faults = Arc::new(Faults::default());
        let router = face::router(Face {
            region: region.clone(),
            control: Arc::new(control),
        })
        .layer(middleware::from_fn_with_state(faults.clone(), lose_replies));
        tokio::spawn(async move { axum::serve(listener, router).await });
        let cloud = ComputeEngine::connect(Settings {
            endpoint: Some(endpoint.clone()),
            credentials: Credentials::Anonymous,
            default_network_cidr: Some(Ipv4Net::new(Ipv4Addr::new(127, 77, 32, 0), 20).unwrap()),
            timeouts: Timeouts {
                poll_interval: Duration::from_millis(5),
                ..Timeouts::default()
            },
            retries: Retries {
                first_delay: Duration::from_millis(5),
                longest_delay: Duration::from_millis(100),
                ..Retries::default()
            },
            ..Settings::new("sandbox", "us-central1")
        })
        .await
        .unwrap();
        Self {
            cloud,
            region,
            stopped_at,
            endpoint,
            faults,
        }
    }

    /// From now on the first reply to each change is lost after the change was made.
    pub(crate) fn lose_first_replies(&self) {
        self.faults.lose_first_replies.store(true, Ordering::SeqCst);
    }

    /// From now on one change is never answered.
    pub(crate) fn hang_at(&self, hang: Hang) {
        self.faults.changes.store(0, Ordering::SeqCst);
        *self.faults.hang.lock().unwrap() = Some(hang);
    }

    /// Whether the change that is never answered was asked for.
    pub(crate) fn hangs(&self) -> bool {
        self.faults.hang.lock().unwrap().is_none()
    }

    pub(crate) fn lost_replies(&self) -> usize {
        self.faults.lost.load(Ordering::SeqCst)
    }

    /// Lets the region's time stand still: operations begin and do not end.
    pub(crate) fn stop_time(&self) {
        *self.stopped_at.lock().unwrap() = Some(Timestamp::now());
    }

    /// Lets the region's time go on.
    pub(crate) fn resume_time(&self) {
        *self.stopped_at.lock().unwrap() = None;
    }

    /// Waits until operations run.
    pub(crate) async fn busy(&self) {
        self.until(|core| core.state().next_due().is_some()).await;
    }

    /// Waits until no operation runs.
    pub(crate) async fn idle(&self) {
        self.until(|core| core.state().next_due().is_none()).await;
    }

    /// Waits until something holds of the region.
    pub(crate) async fn until(&self, holds: impl Fn(&Core) -> bool) {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
        while !self.region.read(&holds) {
            assert!(tokio::time::Instant::now() < deadline, "the region did not get there");
            self.region.wait_for_change(Duration::from_millis(10)).await;
        }
    }

    /// Cuts a machine's power, as an operator would.
    pub(crate) fn halt(&self, machine: &str) {
        self.region.change("operator", |it| it.halt(machine)).unwrap();
    }

    pub(crate) fn take_zone_out(&self, zone: &str) {
        self.region.change("operator", |it| it.take_zone_out(zone)).unwrap();
    }

    pub(crate) fn restore_zone(&self, zone: &str) {
        self.region.change("operator", |it| it.restore_zone(zone)).unwrap();
    }

    /// Names of all machines, disks, networks, firewall rules, addresses, balancers' objects, snapshots and secrets, whoever's they are.
    pub(crate) fn everything(&self) -> BTreeSet<String> {
        self.region.read(|core| {
            let state = core.state();
            let mut all = BTreeSet::new();
            all.extend(state.instances().keys().map(|key| format!("machine {key}")));
            all.extend(state.disks().keys().map(|key| format!("disk {key}")));
            all.extend(state.networks().keys().map(|key| format!("network {key}")));
            all.extend(state.subnetworks().keys().map(|key| format!("subnet {key}")));
            all.extend(state.firewalls().keys().map(|key| format!("rule {key}")));
            all.extend(state.addresses().keys().map(|key| format!("address {key}")));
            all.extend(state.health_checks().keys().map(|key| format!("health check {key}")));
            all.extend(
                state
                    .instance_groups()
                    .keys()
                    .map(|key| format!("instance group {key}")),
            );
            all.extend(
                state
                    .backend_services()
                    .keys()
                    .map(|key| format!("backend service {key}")),
            );
            all.extend(
                state
                    .forwarding_rules()
                    .keys()
                    .map(|key| format!("forwarding rule {key}")),
            );
            all.extend(state.snapshots().keys().map(|key| format!("snapshot {key}")));
            all.extend(state.secrets().keys().map(|key| format!("secret {key}")));
            all
        })
    }

    /// A call that goes past the client under test, as somebody else's would; answers the document.
    pub(crate) async fn call(&self, method: Method, path: &str, body: Option<Value>) -> Value {
        let url = format!("{}/compute/v1/projects/sandbox/{path}", self.endpoint);
        let mut request = reqwest::Client::new().request(method, url);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let reply = request.send().await.unwrap();
        let status = reply.status();
        let document: Value = reply.json().await.unwrap();
        assert!(status.is_success(), "{document:#}");
        document
    }

    /// A change that goes past the client under test; returns when it is done.
    pub(crate) async fn change(&self, method: Method, path: &str, body: Option<Value>) {
        let operation = self.call(method, path, body).await;
        let name = operation["name"].as_str().unwrap().to_owned();
        let done = self.region.wait(&name, Duration::from_secs(30)).await.unwrap();
        assert!(done.error.is_none(), "{:?}", done.error);
    }
}

async fn lose_replies(State(faults): State<Arc<Faults>>, request: Request, next: Next) -> Response {
    let change = request.method() != Method::GET && !request.uri().path().ends_with("/wait");
    let call = format!("{} {}", request.method(), request.uri());
    let number = faults.changes.fetch_add(usize::from(change), Ordering::SeqCst) + 1;
    let hangs = |hang: Hang| change && faults.hang.lock().unwrap().take_if(|found| *found == hang).is_some();
    if hangs(Hang::Before(number)) {
        std::future::pending::<()>().await;
    }
    let reply = next.run(request).await;
    if hangs(Hang::After(number)) {
        std::future::pending::<()>().await;
    }
    let first = change && faults.lose_first_replies.load(Ordering::SeqCst) && faults.seen.lock().unwrap().insert(call);
    if !first {
        return reply;
    }
    faults.lost.fetch_add(1, Ordering::SeqCst);
    let cut = stream::iter([Err::<Bytes, _>(io::Error::from(io::ErrorKind::ConnectionReset))]);
    Response::new(Body::from_stream(cut))
}
