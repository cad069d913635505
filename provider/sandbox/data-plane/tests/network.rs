//! What the network promises, over real sockets.
#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use multizone_sandbox_data_plane::{FirewallRule, Listener, Machine, Network, Pace, Stream, Topology};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const DEADLINE: Duration = Duration::from_secs(20);

/// A region of one test: addresses of its own, a master and two nodes.
struct Region {
    network: Network,
    topology: Topology,
    block: [u8; 2],
}

static NEXT: AtomicU8 = AtomicU8::new(0);

impl Region {
    fn new() -> Self {
        // The process ID keeps test processes apart, the counter tests of one process.
        let process = std::process::id();
        let block = [
            (process % 200) as u8 + 20,
            (process / 200 % 60) as u8 * 4 + NEXT.fetch_add(1, Ordering::Relaxed) % 4,
        ];
        let mut region = Self {
            network: Network::with_pace(Pace::new(60.0)),
            topology: Topology::default(),
            block,
        };
        for (last, key) in [(2, "a/master"), (3, "b/node"), (4, "b/other")] {
            let (zone, name) = key.split_once('/').unwrap();
            let machine = Machine {
                address: region.address(last),
                zone: zone.to_owned(),
                running: true,
                network: "demo".to_owned(),
                tags: BTreeSet::from([name.to_owned()]),
            };
            region.topology.machines.insert(key.to_owned(), machine);
        }
        region.topology.external_addresses = BTreeMap::from([(region.address(200), "a/master".to_owned())]);
        region.topology.firewall_rules = vec![FirewallRule {
            network: "demo".to_owned(),
            source_ranges: vec!["0.0.0.0/0".parse().unwrap()],
            ports: vec![(6443, 6443)],
            ..FirewallRule::default()
        }];
        region.apply();
        region
    }

    fn address(&self, last: u8) -> Ipv4Addr {
        Ipv4Addr::new(127, self.block[0], self.block[1], last)
    }

    fn master(&self) -> SocketAddr {
        (self.address(2), 6443).into()
    }

    fn external(&self) -> SocketAddr {
        (self.address(200), 6443).into()
    }

    fn apply(&self) {
        self.network.reconcile(self.topology.clone());
    }

    fn machine(&mut self, key: &str) -> &mut Machine {
        self.topology.machines.get_mut(key).unwrap()
    }
}

/// Answers every connection with a name, then echoes.
fn serve(mut listener: Listener, name: &'static str) -> tokio::task::JoinHandle<()> {
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                stream.write_all(name.as_bytes()).await?;
                let mut byte = [0];
                while stream.read(&mut byte).await? > 0 {
                    stream.write_all(&byte).await?;
                }
                std::io::Result::Ok(())
            });
        }
    })
}

async fn greeting<S: tokio::io::AsyncRead + Unpin>(stream: &mut S) -> std::io::Result<String> {
    let mut bytes = [0; 6];
    tokio::time::timeout(DEADLINE, stream.read_exact(&mut bytes))
        .await
        .unwrap()?;
    Ok(String::from_utf8(bytes.to_vec()).unwrap())
}

async fn from_host(address: SocketAddr) -> std::io::Result<(TcpStream, String)> {
    let mut stream = TcpStream::connect(address).await?;
    let greeting = greeting(&mut stream).await?;
    Ok((stream, greeting))
}

async fn from_machine(region: &Region, machine: &str, address: SocketAddr) -> std::io::Result<(Stream, String)> {
    let mut stream = region.network.connect(machine, address).await?;
    let greeting = greeting(&mut stream).await?;
    Ok((stream, greeting))
}

async fn is_reset<S: tokio::io::AsyncRead + Unpin>(stream: &mut S) -> bool {
    let result = tokio::time::timeout(DEADLINE, stream.read(&mut [0]))
        .await
        .expect("the connection is still there");
    result.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset)
}

/// Waits until the host is served by `name` at `address`.
async fn served_by(address: SocketAddr, name: &str) -> TcpStream {
    let attempts = async {
        loop {
            match from_host(address).await {
                Ok((stream, greeting)) if greeting == name => return stream,
                _ => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    };
    tokio::time::timeout(DEADLINE, attempts).await.unwrap()
}

#[tokio::test]
async fn host_and_machines_reach_a_listener_and_are_seen_as_who_they_are() {
    let region = Region::new();
    let mut listener = region.network.bind("a/master", 6443).await.unwrap();
    let _host = TcpStream::connect(region.master()).await.unwrap();
    assert_eq!(listener.accept().await.unwrap().1.ip(), Ipv4Addr::LOCALHOST);
    let _node = region.network.connect("b/node", region.master()).await.unwrap();
    let (stream, peer) = listener.accept().await.unwrap();
    assert_eq!(peer.ip(), region.address(3));
    assert_eq!(stream.local_addr().unwrap(), region.master());
}

#[tokio::test]
async fn an_external_address_forwards_to_what_its_holder_listens_on() {
    let region = Region::new();
    serve(region.network.bind("a/master", 6443).await.unwrap(), "master");
    let mut stream = served_by(region.external(), "master").await;
    stream.write_all(b"x").await.unwrap();
    let mut byte = [0];
    stream.read_exact(&mut byte).await.unwrap();
    assert_eq!(&byte, b"x");
    assert_eq!(
        from_machine(&region, "b/node", region.external()).await.unwrap().1,
        "master"
    );
}

#[tokio::test]
async fn what_no_rule_admits_is_reset_for_the_host_and_times_out_between_machines() {
    let mut region = Region::new();
    serve(region.network.bind("a/master", 6443).await.unwrap(), "master");
    let (mut established, _) = from_host(region.master()).await.unwrap();
    region.topology.firewall_rules.clear();
    region.apply();
    assert!(from_host(region.master()).await.is_err());
    let error = region.network.connect("b/node", region.master()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    // A machine is not firewalled from itself, and established connections outlive the rule.
    assert_eq!(
        from_machine(&region, "a/master", region.master()).await.unwrap().1,
        "master"
    );
    established.write_all(b"x").await.unwrap();
    assert_eq!(established.read(&mut [0]).await.unwrap(), 1);
}

#[tokio::test]
async fn a_port_nobody_listens_on_refuses() {
    let region = Region::new();
    let error = region.network.connect("b/node", region.master()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    assert_eq!(
        TcpStream::connect(region.master()).await.unwrap_err().kind(),
        ErrorKind::ConnectionRefused
    );
}

#[tokio::test]
async fn an_outage_aborts_both_ends_and_a_restore_lets_in_again() {
    let mut region = Region::new();
    serve(region.network.bind("a/master", 6443).await.unwrap(), "master");
    let (mut host, _) = from_host(region.master()).await.unwrap();
    let (mut external, _) = from_host(region.external()).await.unwrap();
    let (mut node, _) = from_machine(&region, "b/node", region.master()).await.unwrap();
    let (mut itself, _) = from_machine(&region, "a/master", region.master()).await.unwrap();
    region.topology.outages.insert("a".to_owned());
    region.apply();
    assert!(is_reset(&mut host).await);
    assert!(is_reset(&mut external).await);
    assert!(is_reset(&mut node).await);
    assert!(from_host(region.master()).await.is_err());
    assert_eq!(
        region
            .network
            .connect("b/node", region.master())
            .await
            .unwrap_err()
            .kind(),
        ErrorKind::TimedOut
    );
    itself.write_all(b"x").await.unwrap();
    assert_eq!(itself.read(&mut [0]).await.unwrap(), 1);
    region.topology.outages.clear();
    region.apply();
    assert_eq!(from_host(region.external()).await.unwrap().1, "master");
}

#[tokio::test]
async fn an_attempt_made_during_an_outage_succeeds_when_the_zone_returns_in_time() {
    let mut region = Region::new();
    region.network = Network::new();
    region.topology.outages.insert("b".to_owned());
    region.apply();
    serve(region.network.bind("a/master", 6443).await.unwrap(), "master");
    let network = region.network.clone();
    let master = region.master();
    let attempt = tokio::spawn(async move { network.connect("b/node", master).await });
    region.topology.outages.clear();
    region.apply();
    let mut stream = attempt.await.unwrap().unwrap();
    assert_eq!(greeting(&mut stream).await.unwrap(), "master");
}

#[tokio::test]
async fn a_stopped_machine_neither_listens_nor_connects() {
    let mut region = Region::new();
    let served = serve(region.network.bind("a/master", 6443).await.unwrap(), "master");
    let (mut host, _) = from_host(region.master()).await.unwrap();
    region.machine("a/master").running = false;
    region.apply();
    assert!(is_reset(&mut host).await);
    assert_eq!(
        region
            .network
            .connect("b/node", region.master())
            .await
            .unwrap_err()
            .kind(),
        ErrorKind::TimedOut
    );
    for error in [
        region.network.connect("a/master", region.master()).await.unwrap_err(),
        region.network.bind("a/master", 1).await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::NetworkUnreachable);
    }
    served.abort();
    assert!(served.await.unwrap_err().is_cancelled());
    region.machine("a/master").running = true;
    region.apply();
    serve(region.network.bind("a/master", 6443).await.unwrap(), "reboot");
    served_by(region.external(), "reboot").await;
}

#[tokio::test]
async fn an_address_that_moves_serves_from_its_new_holder() {
    let mut region = Region::new();
    serve(region.network.bind("a/master", 6443).await.unwrap(), "master");
    serve(region.network.bind("b/other", 6443).await.unwrap(), "other!");
    let mut old = served_by(region.external(), "master").await;
    let (mut direct, _) = from_host(region.master()).await.unwrap();
    region
        .topology
        .external_addresses
        .insert(region.address(200), "b/other".to_owned());
    region.apply();
    assert!(is_reset(&mut old).await);
    served_by(region.external(), "other!").await;
    direct.write_all(b"x").await.unwrap();
    assert_eq!(direct.read(&mut [0]).await.unwrap(), 1);
    region.topology.external_addresses.clear();
    region.apply();
    assert_eq!(
        region
            .network
            .connect("b/node", region.external())
            .await
            .unwrap_err()
            .kind(),
        ErrorKind::TimedOut
    );
}

#[tokio::test]
async fn a_port_that_is_still_held_is_taken_over_when_it_is_free() {
    let region = Region::new();
    let held = TcpListener::bind(region.master()).await.unwrap();
    let network = region.network.clone();
    let bind = tokio::spawn(async move { network.bind("a/master", 6443).await });
    drop(held);
    serve(bind.await.unwrap().unwrap(), "master");
    assert_eq!(from_host(region.master()).await.unwrap().1, "master");
}

#[tokio::test]
async fn one_port_has_one_listener_and_dropping_it_frees_the_port() {
    let region = Region::new();
    let first = region.network.bind("a/master", 6443).await.unwrap();
    assert_eq!(
        region.network.bind("a/master", 6443).await.unwrap_err().kind(),
        ErrorKind::AddrInUse
    );
    drop(first);
    serve(region.network.bind("a/master", 6443).await.unwrap(), "second");
    assert_eq!(from_host(region.master()).await.unwrap().1, "second");
}

#[tokio::test]
async fn an_address_on_lo_is_answered_by_the_machine_itself() {
    let mut region = Region::new();
    serve(region.network.bind("b/node", 6443).await.unwrap(), "itself");
    region.network.add_local_address("b/node", region.address(200)).unwrap();
    assert_eq!(
        from_machine(&region, "b/node", region.external()).await.unwrap().1,
        "itself"
    );
    region.machine("b/node").running = false;
    region.apply();
    region.machine("b/node").running = true;
    region.apply();
    let error = region.network.connect("b/node", region.external()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
}

#[tokio::test]
async fn closing_one_end_closes_the_other() {
    let region = Region::new();
    let mut listener = region.network.bind("a/master", 6443).await.unwrap();
    let client = region.network.connect("b/node", region.master()).await.unwrap();
    let (mut server, _) = listener.accept().await.unwrap();
    drop(client);
    assert_eq!(server.read(&mut [0]).await.unwrap(), 0);
}
