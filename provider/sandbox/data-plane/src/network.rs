//! The network: listeners and connections, kept in step with the topology.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::{mpsc, watch};

use crate::connection::{Connection, Stream, refuse};
use crate::pace::Pace;
use crate::socket::Socket;
use crate::topology::{Origin, Topology};

/// How long a machine waits for an answer to its connection attempts before it gives up, in real time.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
/// The shortest wait at any speed: long enough for the host's own scheduling.
const SHORTEST_TIMEOUT: Duration = Duration::from_millis(200);
/// How long [`Network::bind`] waits for a port that another process still holds.
const BIND_TIMEOUT: Duration = Duration::from_secs(10);
/// Connections waiting to be accepted by a program on a machine.
const BACKLOG: usize = 256;

/// The region's network. Clones share it; when the last one is dropped, every socket closes.
#[derive(Clone, Debug)]
pub struct Network {
    shared: Arc<Shared>,
}

/// A program on a machine that accepts connections. Dropping it closes the port.
#[derive(Debug)]
pub struct Listener {
    accepted: mpsc::Receiver<(Stream, SocketAddr)>,
    machine: String,
    port: u16,
    id: u64,
    network: Weak<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: watch::Sender<u64>,
    pace: Pace,
}

#[derive(Debug, Default)]
struct State {
    topology: Topology,
    listeners: BTreeMap<(String, u16), Registration>,
    sockets: BTreeMap<(Ipv4Addr, u16), Socket>,
    connections: Vec<Tracked>,
    local_addresses: BTreeMap<String, BTreeSet<Ipv4Addr>>,
    listeners_made: u64,
}

#[derive(Debug)]
struct Registration {
    id: u64,
    deliver: mpsc::Sender<(Stream, SocketAddr)>,
}

/// An established connection, as one of its ends sees it.
#[derive(Debug)]
struct Tracked {
    connection: Weak<Connection>,
    source: Source,
    target: String,
    address: Ipv4Addr,
}

#[derive(Clone, Debug)]
enum Source {
    Host(Ipv4Addr),
    Machine(String),
}

impl Source {
    fn origin(&self) -> Origin<'_> {
        match self {
            Self::Host(address) => Origin::Host(*address),
            Self::Machine(key) => Origin::Machine(key),
        }
    }
}

/// What becomes of a machine's connection attempt.
enum Route {
    /// It reaches `target` at `address` from the machine's own address.
    Open {
        from: Ipv4Addr,
        target: String,
        address: Ipv4Addr,
    },
    /// Its packets are dropped.
    Dropped,
}

impl Network {
    /// A network without machines, in real time.
    pub fn new() -> Self {
        Self::with_pace(Pace::REAL)
    }

    /// A network without machines whose timeouts follow `pace`.
    pub fn with_pace(pace: Pace) -> Self {
        let shared = Shared {
            state: Mutex::new(State::default()),
            changed: watch::Sender::new(0),
            pace,
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Makes the network what `topology` says: opens and closes listening sockets, aborts connections that
    /// can no longer exist. Idempotent. Must be called within a Tokio runtime.
    pub fn reconcile(&self, topology: Topology) {
        let mut state = self.shared.lock();
        if state.topology != topology {
            state.topology = topology;
            let State {
                topology,
                local_addresses,
                ..
            } = &mut *state;
            local_addresses.retain(|machine, _| topology.machines.get(machine).is_some_and(|machine| machine.running));
        }
        self.shared.open_and_close(&mut state);
        state.abort_impossible_connections();
        drop(state);
        self.shared.changed.send_modify(|version| *version += 1);
    }

    /// Listens on `port` of `machine`, on its own address and on the external addresses it holds, now and
    /// later.
    ///
    /// # Errors
    /// `NetworkUnreachable` when the machine does not run, `AddrInUse` when another program of the machine
    /// listens there, or another process of the host holds the port and does not let go of it.
    pub async fn bind(&self, machine: &str, port: u16) -> io::Result<Listener> {
        let (listener, mut bound) = self.register(machine, port)?;
        match tokio::time::timeout(BIND_TIMEOUT, bound.wait_for(|bound| *bound)).await {
            Ok(Ok(_)) => Ok(listener),
            Ok(Err(_)) => Err(io::Error::new(
                io::ErrorKind::NetworkUnreachable,
                format!("{machine} was stopped"),
            )),
            Err(_) => Err(io::Error::new(
                io::ErrorKind::AddrInUse,
                format!("port {port} of {machine} is held by another process of this host"),
            )),
        }
    }

    fn register(&self, machine: &str, port: u16) -> io::Result<(Listener, watch::Receiver<bool>)> {
        let mut state = self.shared.lock();
        let address = state.running(machine)?;
        let key = (machine.to_owned(), port);
        if state.listeners.contains_key(&key) {
            return Err(io::Error::new(
                io::ErrorKind::AddrInUse,
                format!("{machine} already listens on port {port}"),
            ));
        }
        state.listeners_made += 1;
        let id = state.listeners_made;
        let (deliver, accepted) = mpsc::channel(BACKLOG);
        state.listeners.insert(key, Registration { id, deliver });
        self.shared.open_and_close(&mut state);
        let bound = state.sockets.get(&(address, port)).map(|socket| socket.bound.clone());
        // A listener takes the lock when it is dropped.
        drop(state);
        let listener = Listener {
            accepted,
            machine: machine.to_owned(),
            port,
            id,
            network: Arc::downgrade(&self.shared),
        };
        let bound = bound.ok_or(io::ErrorKind::NetworkUnreachable)?;
        Ok((listener, bound))
    }

    /// Connects from `from_machine`, whose address the other side sees.
    ///
    /// # Errors
    /// `NetworkUnreachable` when the machine itself does not run, `TimedOut` when nothing answers (a stopped
    /// machine, an outage, a firewall, an address nobody holds), `ConnectionRefused` when the machine there
    /// does not listen on the port.
    pub async fn connect(&self, from_machine: &str, to: SocketAddr) -> io::Result<Stream> {
        let patience = self.shared.pace.scaled(CONNECT_TIMEOUT).max(SHORTEST_TIMEOUT);
        tokio::time::timeout(patience, self.attempt(from_machine, to))
            .await
            .unwrap_or_else(|_| {
                Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    format!("{from_machine} gets no answer from {to}"),
                ))
            })
    }

    async fn attempt(&self, from_machine: &str, to: SocketAddr) -> io::Result<Stream> {
        let mut changed = self.shared.changed.subscribe();
        let (from, target, address) = loop {
            let route = self.shared.lock().route(from_machine, to)?;
            match route {
                Route::Open { from, target, address } => break (from, target, address),
                // A dropped packet is sent again: the attempt succeeds if the way opens in time.
                Route::Dropped => {
                    let _ = changed.changed().await;
                }
            }
        };
        let socket = TcpSocket::new_v4()?;
        socket.bind((from, 0).into())?;
        let stream = Stream::new(socket.connect((address, to.port()).into()).await?);
        self.shared
            .lock()
            .track(&stream, Source::Machine(from_machine.to_owned()), target, address);
        Ok(stream)
    }

    /// Gives `machine` an address it answers itself, as `ip address add ADDRESS/32 dev lo` does: its own
    /// connections to `address` no longer leave the machine. Lost when the machine stops.
    ///
    /// # Errors
    /// `NetworkUnreachable` when the machine does not run.
    pub fn add_local_address(&self, machine: &str, address: Ipv4Addr) -> io::Result<()> {
        let mut state = self.shared.lock();
        state.running(machine)?;
        state
            .local_addresses
            .entry(machine.to_owned())
            .or_default()
            .insert(address);
        drop(state);
        self.shared.changed.send_modify(|version| *version += 1);
        Ok(())
    }
}

impl Default for Network {
    fn default() -> Self {
        Self::new()
    }
}

impl Listener {
    /// The next connection, and the address the network shows for its other end. Never returns when the
    /// network is gone.
    pub async fn accept(&mut self) -> io::Result<(Stream, SocketAddr)> {
        self.accepted
            .recv()
            .await
            .ok_or_else(|| io::ErrorKind::NetworkUnreachable.into())
    }

    /// The port listened on.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let Some(shared) = self.network.upgrade() else { return };
        let mut state = shared.lock();
        let key = (std::mem::take(&mut self.machine), self.port);
        if state
            .listeners
            .get(&key)
            .is_some_and(|registration| registration.id == self.id)
        {
            state.listeners.remove(&key);
            state.close_unneeded();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open_and_close(self: &Arc<Self>, state: &mut State) {
        state.close_unneeded();
        for key in state.wanted_sockets() {
            state.sockets.entry(key).or_insert_with(|| {
                let (address, port) = key;
                let shared = Arc::downgrade(self);
                Socket::open(address, port, move |stream, peer| match shared.upgrade() {
                    Some(shared) => shared.lock().deliver(stream, peer, address, port),
                    None => refuse(stream),
                })
            });
        }
    }
}

impl State {
    fn running(&self, machine: &str) -> io::Result<Ipv4Addr> {
        match self.topology.machines.get(machine) {
            Some(found) if found.running => Ok(found.address),
            Some(_) => Err(io::Error::new(
                io::ErrorKind::NetworkUnreachable,
                format!("{machine} is stopped"),
            )),
            None => Err(io::Error::new(
                io::ErrorKind::NetworkUnreachable,
                format!("there is no machine {machine}"),
            )),
        }
    }

    /// The sockets that the listeners of running machines need.
    fn wanted_sockets(&self) -> BTreeSet<(Ipv4Addr, u16)> {
        let mut wanted = BTreeSet::new();
        for (machine, port) in self.listeners.keys() {
            let Ok(address) = self.running(machine) else { continue };
            wanted.insert((address, *port));
            for (external, holder) in &self.topology.external_addresses {
                if holder == machine {
                    wanted.insert((*external, *port));
                }
            }
        }
        wanted
    }

    fn close_unneeded(&mut self) {
        let wanted = self.wanted_sockets();
        self.sockets.retain(|key, _| wanted.contains(key));
    }

    /// Hands an accepted connection to the program that listens there, or resets it.
    fn deliver(&mut self, stream: TcpStream, peer: SocketAddr, address: Ipv4Addr, port: u16) {
        let IpAddr::V4(peer_address) = peer.ip() else {
            return refuse(stream);
        };
        let origin = self.topology.origin(peer_address);
        let Some((target, _)) = self.topology.holder(address) else {
            return refuse(stream);
        };
        if !self.topology.admits(origin, target, address, port) {
            return refuse(stream);
        }
        let Some(registration) = self.listeners.get(&(target.to_owned(), port)) else {
            return refuse(stream);
        };
        let Ok(place) = registration.deliver.clone().try_reserve_owned() else {
            return refuse(stream);
        };
        let source = match origin {
            Origin::Host(address) => Source::Host(address),
            Origin::Machine(key) => Source::Machine(key.to_owned()),
        };
        let target = target.to_owned();
        let _ = stream.set_nodelay(true);
        let stream = Stream::new(stream);
        self.track(&stream, source, target, address);
        place.send((stream, peer));
    }

    fn route(&self, from_machine: &str, to: SocketAddr) -> io::Result<Route> {
        let from = self.running(from_machine)?;
        let IpAddr::V4(address) = to.ip() else {
            return Err(io::Error::new(
                io::ErrorKind::NetworkUnreachable,
                "the region has no IPv6",
            ));
        };
        if address == from
            || self
                .local_addresses
                .get(from_machine)
                .is_some_and(|local| local.contains(&address))
        {
            return Ok(Route::Open {
                from,
                target: from_machine.to_owned(),
                address: from,
            });
        }
        Ok(match self.topology.holder(address) {
            Some((target, _))
                if self
                    .topology
                    .admits(Origin::Machine(from_machine), target, address, to.port()) =>
            {
                Route::Open {
                    from,
                    target: target.to_owned(),
                    address,
                }
            }
            _ => Route::Dropped,
        })
    }

    fn track(&mut self, stream: &Stream, source: Source, target: String, address: Ipv4Addr) {
        if !self.topology.connected(source.origin(), &target, address) {
            stream.connection().abort();
            return;
        }
        self.connections.retain(|tracked| tracked.connection.strong_count() > 0);
        self.connections.push(Tracked {
            connection: Arc::downgrade(stream.connection()),
            source,
            target,
            address,
        });
    }

    fn abort_impossible_connections(&mut self) {
        let topology = &self.topology;
        self.connections.retain(|tracked| {
            let Some(connection) = tracked.connection.upgrade() else {
                return false;
            };
            let keep = topology.connected(tracked.source.origin(), &tracked.target, tracked.address);
            if !keep {
                connection.abort();
            }
            keep
        });
    }
}
