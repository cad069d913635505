//! What the network has open, kept in step with the topology.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::connection::{Connection, Stream, refuse};
use crate::socket::Socket;
use crate::topology::{Link, Origin, Topology};

#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) topology: Topology,
    pub(crate) listeners: BTreeMap<(String, u16), Registration>,
    pub(crate) sockets: BTreeMap<(Ipv4Addr, u16), Socket>,
    pub(crate) local_addresses: BTreeMap<String, BTreeSet<Ipv4Addr>>,
    pub(crate) listeners_made: u64,
    connections: Vec<Tracked>,
    /// Connections that the region itself is opening, by their two ends.
    flows: BTreeMap<Ends, Flow>,
}

/// The client's end of a connection and the end it asked for.
pub(crate) type Ends = (SocketAddr, SocketAddr);

/// What is decided about a connection before it is opened.
#[derive(Clone, Debug)]
pub(crate) struct Flow {
    pub(crate) source: Source,
    pub(crate) target: String,
    /// The address the target sees.
    pub(crate) shown: SocketAddr,
}

#[derive(Debug)]
pub(crate) struct Registration {
    pub(crate) id: u64,
    pub(crate) deliver: mpsc::Sender<(Stream, SocketAddr)>,
}

/// An established connection, as one of its ends sees it.
#[derive(Debug)]
struct Tracked {
    connection: Weak<Connection>,
    source: Source,
    target: String,
    address: Ipv4Addr,
    /// Since when the target is behind its balancer no more.
    left: Option<Instant>,
}

#[derive(Clone, Debug)]
pub(crate) enum Source {
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
pub(crate) enum Route {
    /// It reaches `target` at `address`.
    Open { target: String, address: Ipv4Addr },
    /// Its packets are dropped.
    Dropped,
}

impl State {
    pub(crate) fn running(&self, machine: &str) -> io::Result<Ipv4Addr> {
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
    pub(crate) fn wanted_sockets(&self) -> BTreeSet<(Ipv4Addr, u16)> {
        let mut wanted = BTreeSet::new();
        for (machine, port) in self.listeners.keys() {
            let Ok(address) = self.running(machine) else { continue };
            wanted.insert((address, *port));
            wanted.extend(
                self.topology
                    .further_addresses(machine, *port)
                    .map(|address| (address, *port)),
            );
        }
        wanted
    }

    pub(crate) fn close_unneeded(&mut self) {
        let wanted = self.wanted_sockets();
        self.sockets.retain(|key, _| wanted.contains(key));
        let listens =
            |to: &SocketAddr| matches!(to.ip(), IpAddr::V4(address) if wanted.contains(&(address, to.port())));
        self.flows.retain(|(_, to), _| listens(to));
    }

    /// Remembers what is decided about a connection that is about to be opened.
    pub(crate) fn expect(&mut self, ends: Ends, flow: Flow) {
        self.flows.insert(ends, flow);
    }

    /// Forgets a connection that did not come about.
    pub(crate) fn give_up(&mut self, ends: &Ends) {
        self.flows.remove(ends);
    }

    /// Hands an accepted connection to the program that listens there, or resets it.
    pub(crate) fn deliver(&mut self, stream: TcpStream, peer: SocketAddr, address: Ipv4Addr, port: u16) {
        let IpAddr::V4(peer_address) = peer.ip() else {
            return refuse(stream);
        };
        let to = SocketAddr::from((address, port));
        let flow = self.flows.remove(&(peer, to)).or_else(|| {
            let source = match self.topology.origin(peer_address) {
                Origin::Host(address) => Source::Host(address),
                Origin::Machine(key) => Source::Machine(key.to_owned()),
            };
            let target = self.topology.recipient(peer, to)?.to_owned();
            Some(Flow {
                source,
                target,
                shown: peer,
            })
        });
        let Some(Flow { source, target, shown }) = flow else {
            return refuse(stream);
        };
        if !self.topology.admits(source.origin(), &target, address, port) {
            return refuse(stream);
        }
        let Some(registration) = self.listeners.get(&(target.clone(), port)) else {
            return refuse(stream);
        };
        let Ok(place) = registration.deliver.clone().try_reserve_owned() else {
            return refuse(stream);
        };
        let _ = stream.set_nodelay(true);
        let stream = Stream::new(stream);
        self.track(&stream, source, target, address);
        place.send((stream, shown));
    }

    /// Where a connection of `from_machine`, whose end is `client`, goes.
    pub(crate) fn route(&self, from_machine: &str, client: SocketAddr, to: SocketAddr) -> io::Result<Route> {
        let own = self.running(from_machine)?;
        let IpAddr::V4(address) = to.ip() else {
            return Err(io::Error::new(
                io::ErrorKind::NetworkUnreachable,
                "the region has no IPv6",
            ));
        };
        if address == own
            || address == Ipv4Addr::LOCALHOST
            || self
                .local_addresses
                .get(from_machine)
                .is_some_and(|local| local.contains(&address))
        {
            return Ok(Route::Open {
                target: from_machine.to_owned(),
                address: own,
            });
        }
        Ok(match self.topology.recipient(client, to) {
            Some(target)
                if self
                    .topology
                    .admits(Origin::Machine(from_machine), target, address, to.port()) =>
            {
                Route::Open {
                    target: target.to_owned(),
                    address,
                }
            }
            _ => Route::Dropped,
        })
    }

    /// Where a connection from outside goes that is meant for `machine` itself.
    pub(crate) fn route_to(&self, machine: &str, from: Ipv4Addr, port: u16) -> Route {
        match self.running(machine) {
            Ok(address) if self.topology.admits(Origin::Host(from), machine, address, port) => Route::Open {
                target: machine.to_owned(),
                address,
            },
            _ => Route::Dropped,
        }
    }

    pub(crate) fn track(&mut self, stream: &Stream, source: Source, target: String, address: Ipv4Addr) {
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
            left: None,
        });
    }

    /// Aborts what can no longer exist. A connection whose target has left its balancer lasts `grace` longer; answers when
    /// to look again for those.
    pub(crate) fn abort_impossible_connections(&mut self, now: Instant, grace: Duration) -> Option<Instant> {
        let topology = &self.topology;
        let mut next: Option<Instant> = None;
        self.connections.retain_mut(|tracked| {
            let Some(connection) = tracked.connection.upgrade() else {
                return false;
            };
            let keep = match topology.link(tracked.source.origin(), &tracked.target, tracked.address) {
                Link::Up => {
                    tracked.left = None;
                    true
                }
                Link::Left => {
                    let until = *tracked.left.get_or_insert(now) + grace;
                    if now < until {
                        next = Some(next.map_or(until, |next| next.min(until)));
                    }
                    now < until
                }
                Link::Down => false,
            };
            if !keep {
                connection.abort();
            }
            keep
        });
        next
    }
}
