//! The network: what programs on machines do with it.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::net::TcpSocket;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::connection::{Stream, refuse};
use crate::pace::Pace;
use crate::socket::Socket;
use crate::state::{Ends, Flow, Registration, Route, Source, State};
use crate::topology::Topology;

/// Where health checks come from: an address of the ranges that Compute Engine publishes for its probers.
pub const HEALTH_CHECK_SOURCE: Ipv4Addr = Ipv4Addr::new(35, 191, 0, 1);
/// How long a machine waits for an answer to its connection attempts before it gives up, in real time.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
/// The shortest wait at any speed: long enough for the host's own scheduling.
const SHORTEST_TIMEOUT: Duration = Duration::from_millis(200);
/// How long [`Network::bind`] waits for a port that another process still holds.
const BIND_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a balancer's target that leaves may finish its requests at least: they take the computer's own time, however
/// fast the region's runs.
const SHORTEST_DRAINING: Duration = Duration::from_secs(5);
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
        let again = state.abort_impossible_connections(Instant::now(), self.shared.grace());
        drop(state);
        if let Some(again) = again {
            self.shared.look_again(again);
        }
        self.shared.changed.send_modify(|version| *version += 1);
    }

    /// The address of the machine with this name, whatever its zone, in the network of `machine`.
    pub fn address_of(&self, machine: &str, name: &str) -> Option<Ipv4Addr> {
        let topology = &self.shared.lock().topology;
        let network = &topology.machines.get(machine)?.network;
        let mut named = topology.machines.iter().filter(|(key, other)| {
            other.network == *network && key.rsplit_once('/').is_some_and(|(_, found)| found == name)
        });
        named.next().map(|(_, other)| other.address)
    }

    /// Waits until an outage of its zone cuts `machine` off from everything, or, with `false`, until none does.
    pub async fn cut_off(&self, machine: &str, cut_off: bool) {
        let mut changed = self.shared.changed.subscribe();
        loop {
            changed.borrow_and_update();
            let now = {
                let topology = &self.shared.lock().topology;
                let machine = topology.machines.get(machine);
                machine.is_some_and(|machine| topology.outages.contains(&machine.zone))
            };
            if now == cut_off {
                return;
            }
            if changed.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
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
        let from = self.shared.lock().running(from_machine)?;
        let socket = opening(from)?;
        let client = socket.local_addr()?;
        let source = Source::Machine(from_machine.to_owned());
        self.open(socket, to.port(), source, client, |state| {
            state.route(from_machine, client, to)
        })
        .await
    }

    /// Connects to `port` of `machine` as a health check does, from [`HEALTH_CHECK_SOURCE`].
    ///
    /// # Errors
    /// `TimedOut` when nothing answers for `patience` (a stopped machine, an outage, a firewall),
    /// `ConnectionRefused` when the machine does not listen on the port.
    pub async fn probe(&self, machine: &str, port: u16, patience: Duration) -> io::Result<Stream> {
        self.probe_from(HEALTH_CHECK_SOURCE, machine, port, patience).await
    }

    /// The same as [`Self::probe`], from another address that no machine has.
    pub async fn probe_from(&self, from: Ipv4Addr, machine: &str, port: u16, patience: Duration) -> io::Result<Stream> {
        let attempt = async {
            let socket = opening(Ipv4Addr::LOCALHOST)?;
            let shown = (from, socket.local_addr()?.port()).into();
            self.open(socket, port, Source::Host(from), shown, |state| {
                Ok(state.route_to(machine, from, port))
            })
            .await
        };
        tokio::time::timeout(patience.max(SHORTEST_TIMEOUT), attempt)
            .await
            .unwrap_or_else(|_| {
                Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    format!("port {port} of {machine} does not answer health checks"),
                ))
            })
    }

    /// Opens a connection as soon as there is a way.
    async fn open(
        &self,
        socket: TcpSocket,
        port: u16,
        source: Source,
        shown: SocketAddr,
        route: impl Fn(&State) -> io::Result<Route>,
    ) -> io::Result<Stream> {
        let client = socket.local_addr()?;
        let mut changed = self.shared.changed.subscribe();
        let (expected, address) = loop {
            if let Some(found) = self.expect(client, port, &source, shown, &route)? {
                break found;
            }
            // A dropped packet is sent again: the attempt succeeds if the way opens in time.
            let _ = changed.changed().await;
        };
        let stream = Stream::new(socket.connect((address, port).into()).await?);
        if let Some(Flow { source, target, .. }) = expected.met() {
            self.shared.lock().track(&stream, source, target, address);
        }
        Ok(stream)
    }

    /// Decides about a connection and lets the other end know, if there is a way.
    fn expect(
        &self,
        client: SocketAddr,
        port: u16,
        source: &Source,
        shown: SocketAddr,
        route: impl Fn(&State) -> io::Result<Route>,
    ) -> io::Result<Option<(Expected<'_>, Ipv4Addr)>> {
        let mut state = self.shared.lock();
        let Route::Open { target, address } = route(&state)? else {
            return Ok(None);
        };
        let ends = (client, (address, port).into());
        let flow = Flow {
            source: source.clone(),
            target,
            shown,
        };
        state.expect(ends, flow.clone());
        let expected = Expected {
            shared: &self.shared,
            ends,
            flow: Some(flow),
        };
        Ok(Some((expected, address)))
    }

    /// Gives `machine` an address it answers itself, as `ip address add ADDRESS/32 dev lo` does: its own
    /// connections to `address` no longer leave the machine, not even to a balancer it stands behind. Lost when
    /// the machine stops.
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

    /// Takes away what [`Self::add_local_address`] gave: new connections to `address` leave the machine again.
    ///
    /// # Errors
    /// `NetworkUnreachable` when the machine does not run, `AddrNotAvailable` when it has no such address.
    pub fn remove_local_address(&self, machine: &str, address: Ipv4Addr) -> io::Result<()> {
        let mut state = self.shared.lock();
        state.running(machine)?;
        let had = state
            .local_addresses
            .get_mut(machine)
            .is_some_and(|local| local.remove(&address));
        drop(state);
        self.shared.changed.send_modify(|version| *version += 1);
        if had {
            Ok(())
        } else {
            Err(io::ErrorKind::AddrNotAvailable.into())
        }
    }
}

/// A socket of its own for a connection to be, so that the connection's ends are known before it is routed.
fn opening(from: Ipv4Addr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((from, 0).into())?;
    Ok(socket)
}

/// A connection that is decided about and not yet open; forgotten when it does not come about.
struct Expected<'s> {
    shared: &'s Shared,
    ends: Ends,
    flow: Option<Flow>,
}

impl Expected<'_> {
    /// The connection is open.
    fn met(mut self) -> Option<Flow> {
        self.flow.take()
    }
}

impl Drop for Expected<'_> {
    fn drop(&mut self) {
        if self.flow.is_some() {
            self.shared.lock().give_up(&self.ends);
        }
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

    /// What the region's pace takes from the time that requests need to finish.
    fn grace(&self) -> Duration {
        SHORTEST_DRAINING.saturating_sub(self.pace.scaled(SHORTEST_DRAINING))
    }

    /// Ends connections at that time whose targets have left their balancer, and goes on while there are some.
    fn look_again(self: &Arc<Self>, at: Instant) {
        let shared = Arc::downgrade(self);
        tokio::spawn(async move {
            let mut next = Some(at);
            while let Some(at) = next {
                tokio::time::sleep_until(at).await;
                let Some(shared) = shared.upgrade() else { return };
                next = shared
                    .lock()
                    .abort_impossible_connections(Instant::now(), shared.grace());
            }
        });
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
