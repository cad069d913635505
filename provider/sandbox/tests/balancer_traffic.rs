//! Balancers at work: health checks, traffic, draining, outages, an address that moves; over real connections.
#![allow(clippy::unwrap_used)]

use jiff::Timestamp;
use multizone_sandbox::core::addresses::NewAddress;
use multizone_sandbox::core::balancers::backend_services::{BackendServiceSettings, NewBackend};
use multizone_sandbox::core::balancers::forwarding_rules::{NewForwardingRule, WantedAddress};
use multizone_sandbox::core::balancers::health_checks::HealthCheckSettings;
use multizone_sandbox::core::balancers::instance_groups::NewInstanceGroup;
use multizone_sandbox::core::balancers::records::{Ports, Protocol};
use multizone_sandbox::core::disks::{DiskSource, NewDisk};
use multizone_sandbox::core::firewalls::FirewallSettings;
use multizone_sandbox::core::instances::{DiskOrigin, NewAccess, NewAttachment, NewInstance};
use multizone_sandbox::core::operations::{Operation, OperationStatus};
use multizone_sandbox::core::records::Allowed;
use multizone_sandbox::core::{Block, Core, Refusal, Settings, Store, Transaction, catalogue};
use multizone_sandbox::health;
use multizone_sandbox::region::Region;
use multizone_sandbox_data_plane::{Network, Pace};
use rustls::pki_types::PrivatePkcs8KeyDer;
use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

const A: &str = "us-central1-a";
const B: &str = "us-central1-b";
const REGION: &str = "us-central1";
const DEADLINE: Duration = Duration::from_mins(1);

/// A region with two machines behind a balancer.
struct Bench {
    region: Arc<Region>,
    network: Network,
    address: Ipv4Addr,
    tasks: Vec<tokio::task::JoinHandle<()>>,
    _claim: TcpListener,
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.tasks.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

/// A block of addresses that no sandbox of this host has.
fn block() -> (Block, TcpListener) {
    let first = u8::try_from(std::process::id() % 254).unwrap();
    (0..254)
        .filter_map(|offset| Block::new(first.wrapping_add(offset)))
        .find_map(|block| {
            let claim = TcpListener::bind((block.claim_address(), 7424)).ok()?;
            Some((block, claim))
        })
        .unwrap()
}

impl Bench {
    async fn new(protocol: Protocol) -> Self {
        let (block, claim) = block();
        let settings = Settings {
            region: catalogue::region(REGION).unwrap(),
            project: "sandbox".to_owned(),
            project_number: 1,
            block,
            speed: 100.0,
        };
        let pace = Pace::new(settings.speed);
        let network = Network::with_pace(pace);
        let core = Core::open(settings, Store::in_memory().unwrap(), Timestamp::now()).unwrap();
        let region = Region::new(core, Arc::new(Timestamp::now), network.clone());
        let tasks = vec![
            tokio::spawn(Arc::clone(&region).drive()),
            tokio::spawn(health::run(Arc::clone(&region), pace)),
        ];
        let mut bench = Self {
            region,
            network,
            address: Ipv4Addr::UNSPECIFIED,
            tasks,
            _claim: claim,
        };
        bench.prepare(protocol).await;
        bench
    }

    async fn prepare(&mut self, protocol: Protocol) {
        let address = NewAddress {
            name: "api".to_owned(),
            region: REGION.to_owned(),
            ..NewAddress::default()
        };
        self.done(|it| it.insert_address(address)).await;
        let rule = FirewallSettings {
            allowed: Some(vec![Allowed {
                protocol: "tcp".to_owned(),
                ports: vec!["6443".to_owned()],
            }]),
            ..FirewallSettings::default()
        };
        self.done(|it| it.insert_firewall("api", rule)).await;
        let check = HealthCheckSettings {
            protocol: Some(protocol),
            port: Some(6443),
            request_path: Some("/readyz".to_owned()),
            ..HealthCheckSettings::default()
        };
        self.done(|it| it.insert_health_check(REGION, "lb", check)).await;
        let mut backends = Vec::new();
        for (zone, name) in [(A, "m"), (B, "n")] {
            self.done(|it| it.insert_instance(machine(zone, name))).await;
            let group = NewInstanceGroup {
                name: "lb".to_owned(),
                zone: zone.to_owned(),
                ..NewInstanceGroup::default()
            };
            self.done(|it| it.insert_instance_group(group)).await;
            self.done(|it| it.add_to_instance_group(zone, "lb", &[(None, name.to_owned())]))
                .await;
            backends.push(NewBackend {
                group: (Some(zone.to_owned()), "lb".to_owned()),
                balancing_mode: None,
                description: String::new(),
            });
        }
        let service = BackendServiceSettings {
            protocol: Some("TCP".to_owned()),
            backends: Some(backends),
            health_checks: Some(vec![(Some(REGION.to_owned()), "lb".to_owned())]),
            draining_timeout_sec: Some(300),
            ..BackendServiceSettings::default()
        };
        self.done(|it| it.insert_backend_service(REGION, "lb", service)).await;
        self.address = self
            .region
            .read(|core| core.state().addresses()["us-central1/api"].address);
    }

    fn ask(&self, work: impl FnOnce(&mut Transaction<'_>) -> Result<Operation, Refusal>) -> Operation {
        self.region.change("api", work).unwrap()
    }

    async fn done(&self, work: impl FnOnce(&mut Transaction<'_>) -> Result<Operation, Refusal>) {
        let operation = self.ask(work);
        let done = self.region.wait(&operation.name, DEADLINE).await.unwrap();
        assert_eq!((done.status, done.error), (OperationStatus::Done, None));
    }

    async fn put_in_front(&self) {
        let address = WantedAddress::Literal(self.address);
        let rule = NewForwardingRule {
            name: "lb".to_owned(),
            region: REGION.to_owned(),
            address: Some(address),
            ports: Some(Ports::Listed(vec![6443])),
            backend_service: Some((Some(REGION.to_owned()), "lb".to_owned())),
            ..NewForwardingRule::default()
        };
        self.done(|it| it.insert_forwarding_rule(rule)).await;
    }

    fn api(&self) -> SocketAddr {
        (self.address, 6443).into()
    }

    /// A server on a machine: answers /readyz as `ready` says, everything else with the machine's name.
    async fn serve(&self, machine: &'static str, tls: Option<TlsAcceptor>) -> Arc<AtomicBool> {
        let ready = Arc::new(AtomicBool::new(true));
        let mut listener = self.network.bind(machine, 6443).await.unwrap();
        let state = Arc::clone(&ready);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (state, tls) = (Arc::clone(&state), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        Some(tls) => answer(tls.accept(stream).await?, machine, &state).await,
                        None => answer(stream, machine, &state).await,
                    }
                });
            }
        });
        ready
    }

    fn healthy(&self, machine: &str) -> bool {
        self.region.read(|core| {
            core.state()
                .target("us-central1/lb", machine)
                .is_some_and(|it| it.healthy)
        })
    }

    async fn health_becomes(&self, machine: &str, wanted: bool) {
        until(&format!("{machine} is healthy: {wanted}"), || {
            self.healthy(machine) == wanted
        })
        .await;
    }

    /// Who answers a good number of requests through the address.
    async fn answers(&self) -> BTreeSet<String> {
        let mut seen = BTreeSet::new();
        for _ in 0..30 {
            if let Ok((_, name)) = ask(self.api()).await {
                seen.insert(name);
            }
        }
        seen
    }

    fn events(&self, verb: &str) -> usize {
        let events = self.region.read(|core| core.events(0, 10_000)).unwrap();
        events.iter().filter(|event| event.verb == verb).count()
    }
}

fn machine(zone: &str, name: &str) -> NewInstance {
    let image = DiskSource::Image {
        project: "ubuntu-os-cloud".to_owned(),
        name: "ubuntu-2404-lts-amd64".to_owned(),
        family: true,
    };
    let disk = NewDisk {
        source: image,
        ..NewDisk::default()
    };
    NewInstance {
        name: name.to_owned(),
        zone: zone.to_owned(),
        machine_type: (None, "n1-standard-2".to_owned()),
        disks: vec![NewAttachment {
            origin: DiskOrigin::New(Box::new(disk)),
            boot: true,
            auto_delete: true,
            device_name: None,
            read_only: false,
        }],
        interfaces: 1,
        ..NewInstance::default()
    }
}

async fn answer<S>(mut stream: S, name: &str, ready: &AtomicBool) -> std::io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    loop {
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            request.push(stream.read_u8().await?);
        }
        let probe = request.starts_with(b"GET /readyz ");
        let status = if probe && !ready.load(Ordering::Relaxed) {
            "503 Not"
        } else {
            "200 OK"
        };
        let length = name.len();
        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n{name}");
        stream.write_all(answer.as_bytes()).await?;
    }
}

/// A connection that has been answered once, and by whom.
async fn ask(to: SocketAddr) -> std::io::Result<(TcpStream, String)> {
    let mut stream = TcpStream::connect(to).await?;
    let name = again(&mut stream).await?;
    Ok((stream, name))
}

async fn again(stream: &mut TcpStream) -> std::io::Result<String> {
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8(head).unwrap();
    let length = head.trim_end().rsplit(' ').next().unwrap().parse().unwrap();
    let mut name = vec![0; length];
    stream.read_exact(&mut name).await?;
    Ok(String::from_utf8(name).unwrap())
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !holds() {
        assert!(Instant::now() < deadline, "waited too long: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

const M: &str = "us-central1-a/m";
const N: &str = "us-central1-b/n";

#[tokio::test(flavor = "multi_thread")]
async fn a_target_is_healthy_while_readyz_answers_200_whatever_the_certificate() {
    let bench = Bench::new(Protocol::Https).await;
    let made = rcgen::generate_simple_self_signed(vec!["somebody.else".to_owned()]).unwrap();
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key.into())
        .unwrap();
    let tls = TlsAcceptor::from(Arc::new(config));
    assert!(!bench.healthy(M), "targets begin unhealthy");
    let ready = bench.serve(M, Some(tls)).await;
    bench.health_becomes(M, true).await;
    ready.store(false, Ordering::Relaxed);
    bench.health_becomes(M, false).await;
    assert!(!bench.healthy(N), "nobody listens there");
    assert_eq!(
        (bench.events("target.healthy"), bench.events("target.unhealthy")),
        (1, 1)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_go_to_healthy_targets_and_to_all_when_there_are_none() {
    let bench = Bench::new(Protocol::Http).await;
    let (m, n) = (bench.serve(M, None).await, bench.serve(N, None).await);
    bench.health_becomes(M, true).await;
    bench.health_becomes(N, true).await;
    bench.put_in_front().await;
    assert_eq!(bench.answers().await, names(&[M, N]));
    m.store(false, Ordering::Relaxed);
    bench.health_becomes(M, false).await;
    assert_eq!(bench.answers().await, names(&[N]));
    n.store(false, Ordering::Relaxed);
    bench.health_becomes(N, false).await;
    assert_eq!(bench.answers().await, names(&[M, N]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_zone_outage_cuts_its_targets_and_makes_them_unhealthy_until_it_is_back() {
    let bench = Bench::new(Protocol::Http).await;
    bench.serve(M, None).await;
    bench.serve(N, None).await;
    bench.health_becomes(M, true).await;
    bench.health_becomes(N, true).await;
    bench.put_in_front().await;
    let mut held = loop {
        let (stream, name) = ask(bench.api()).await.unwrap();
        if name == M {
            break stream;
        }
    };
    bench.region.change("operator", |it| it.take_zone_out(A)).unwrap();
    assert!(again(&mut held).await.is_err());
    bench.health_becomes(M, false).await;
    assert_eq!(bench.answers().await, names(&[N]));
    bench.region.change("operator", |it| it.restore_zone(A)).unwrap();
    bench.health_becomes(M, true).await;
    assert_eq!(bench.answers().await, names(&[M, N]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_leaves_keeps_its_connections_while_it_drains_and_no_longer() {
    let bench = Bench::new(Protocol::Http).await;
    bench.serve(M, None).await;
    bench.serve(N, None).await;
    bench.health_becomes(M, true).await;
    bench.health_becomes(N, true).await;
    bench.put_in_front().await;
    let mut held = loop {
        let (stream, name) = ask(bench.api()).await.unwrap();
        if name == M {
            break stream;
        }
    };
    let operation = bench.ask(|it| it.remove_from_instance_group(A, "lb", &[(None, "m".to_owned())]));
    assert_eq!(again(&mut held).await.unwrap(), M);
    assert_eq!(bench.answers().await, names(&[N]));
    let done = bench.region.wait(&operation.name, DEADLINE).await.unwrap();
    assert_eq!(done.status, OperationStatus::Done);
    // At this pace draining is over in milliseconds; a request takes the computer's own time and may finish.
    let deadline = Instant::now() + DEADLINE;
    while again(&mut held).await.is_ok() {
        assert!(Instant::now() < deadline, "the connection is kept");
    }
    assert_eq!(bench.events("target.drained"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn moving_the_address_cuts_connections_at_detach_and_serves_from_the_new_holder() {
    let bench = Bench::new(Protocol::Http).await;
    bench.serve(M, None).await;
    bench.serve(N, None).await;
    let access = NewAccess {
        name: None,
        address: Some(bench.address.to_string()),
    };
    bench.done(|it| it.add_access_config(A, "m", "nic0", &access)).await;
    let (mut held, name) = ask(bench.api()).await.unwrap();
    assert_eq!(name, M);
    bench
        .done(|it| it.delete_access_config(A, "m", "nic0", "External NAT"))
        .await;
    assert!(again(&mut held).await.is_err());
    assert!(ask(bench.api()).await.is_err(), "nobody holds it");

    bench.health_becomes(N, true).await;
    bench.health_becomes(M, true).await;
    bench.put_in_front().await;
    assert_eq!(bench.answers().await, names(&[M, N]));
    let (mut held, _) = ask(bench.api()).await.unwrap();
    bench.done(|it| it.delete_forwarding_rule(REGION, "lb")).await;
    assert!(again(&mut held).await.is_err());
    bench.done(|it| it.add_access_config(A, "m", "nic0", &access)).await;
    assert_eq!(bench.answers().await, names(&[M]));
}
