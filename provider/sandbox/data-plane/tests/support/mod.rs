//! A region of machines on addresses of its own.
#![allow(dead_code, unreachable_pub, missing_docs)]

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use multizone_sandbox_data_plane::{FirewallRule, Listener, Machine, Network, Pace, Stream, Topology};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub const DEADLINE: Duration = Duration::from_secs(20);

/// A region of one test: addresses of its own, a master and two nodes.
pub struct Region {
    pub network: Network,
    pub topology: Topology,
    block: [u8; 2],
}

static NEXT: AtomicU8 = AtomicU8::new(0);

impl Region {
    pub fn new() -> Self {
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

    pub fn address(&self, last: u8) -> Ipv4Addr {
        Ipv4Addr::new(127, self.block[0], self.block[1], last)
    }

    pub fn master(&self) -> SocketAddr {
        (self.address(2), 6443).into()
    }

    pub fn external(&self) -> SocketAddr {
        (self.address(200), 6443).into()
    }

    pub fn apply(&self) {
        self.network.reconcile(self.topology.clone());
    }

    pub fn machine(&mut self, key: &str) -> &mut Machine {
        self.topology.machines.get_mut(key).unwrap()
    }
}

/// Answers every connection with a name, then echoes.
pub fn serve(mut listener: Listener, name: &'static str) -> tokio::task::JoinHandle<()> {
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

pub async fn greeting<S: tokio::io::AsyncRead + Unpin>(stream: &mut S) -> std::io::Result<String> {
    let mut bytes = [0; 6];
    tokio::time::timeout(DEADLINE, stream.read_exact(&mut bytes))
        .await
        .unwrap()?;
    Ok(String::from_utf8(bytes.to_vec()).unwrap())
}

pub async fn from_host(address: SocketAddr) -> std::io::Result<(TcpStream, String)> {
    let mut stream = TcpStream::connect(address).await?;
    let greeting = greeting(&mut stream).await?;
    Ok((stream, greeting))
}

pub async fn from_machine(region: &Region, machine: &str, address: SocketAddr) -> std::io::Result<(Stream, String)> {
    let mut stream = region.network.connect(machine, address).await?;
    let greeting = greeting(&mut stream).await?;
    Ok((stream, greeting))
}

pub async fn is_reset<S: tokio::io::AsyncRead + Unpin>(stream: &mut S) -> bool {
    let result = tokio::time::timeout(DEADLINE, stream.read(&mut [0]))
        .await
        .expect("the connection is still there");
    result.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset)
}

/// Waits until the host is served by `name` at `address`.
pub async fn served_by(address: SocketAddr, name: &str) -> TcpStream {
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
