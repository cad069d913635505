//! A pass-through balancer: which of its targets a new connection goes to. Pure.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::SocketAddr;

/// What stands behind an address that is balanced: packets reach a target with the client's address and the
/// balancer's, as on Compute Engine's external pass-through balancers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Balancer {
    /// Ranges of TCP ports it forwards, both ends included.
    pub ports: Vec<(u16, u16)>,
    /// The machines behind it, by key.
    pub targets: BTreeMap<String, TargetState>,
}

/// What a balancer thinks of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetState {
    /// Its health check fails, or has not succeeded often enough yet.
    Unhealthy,
    /// It gets new connections.
    Serving,
    /// It keeps the connections it has and gets no new ones.
    Draining,
}

impl Balancer {
    /// Whether it forwards `port`.
    pub(crate) fn takes(&self, port: u16) -> bool {
        self.ports.iter().any(|(first, last)| (*first..=*last).contains(&port))
    }

    /// The target of a new connection: one that serves or, when none does, any that is not draining (Compute Engine's
    /// last resort). The same two ends always meet the same target while the targets stay the same.
    pub(crate) fn choose(&self, client: SocketAddr, to: SocketAddr) -> Option<&str> {
        if !self.takes(to.port()) {
            return None;
        }
        let with = |state: TargetState| {
            self.targets
                .iter()
                .filter(move |(_, it)| **it == state)
                .map(|(key, _)| key.as_str())
                .max_by_key(|key| weight(key, client, to))
        };
        with(TargetState::Serving).or_else(|| with(TargetState::Unhealthy))
    }
}

/// Rendezvous hashing: a target that comes or goes moves only the connections that are its own.
fn weight(target: &str, client: SocketAddr, to: SocketAddr) -> u64 {
    let mut hasher = DefaultHasher::new();
    (target, client, to).hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn balancer(targets: &[(&str, TargetState)]) -> Balancer {
        Balancer {
            ports: vec![(6443, 6443)],
            targets: targets.iter().map(|(key, state)| ((*key).to_owned(), *state)).collect(),
        }
    }

    fn chosen(balancer: &Balancer) -> BTreeSet<&str> {
        (1..500)
            .filter_map(|port| balancer.choose(([127, 0, 0, 1], port).into(), ([127, 9, 240, 2], 6443).into()))
            .collect()
    }

    #[test]
    fn connections_spread_over_the_targets_that_serve() {
        use TargetState::{Draining, Serving, Unhealthy};
        let some = balancer(&[
            ("a/1", Serving),
            ("b/2", Serving),
            ("c/3", Unhealthy),
            ("d/4", Draining),
        ]);
        assert_eq!(chosen(&some), BTreeSet::from(["a/1", "b/2"]));
    }

    #[test]
    fn when_none_serves_all_that_do_not_drain_get_connections() {
        use TargetState::{Draining, Unhealthy};
        let none = balancer(&[("a/1", Unhealthy), ("b/2", Unhealthy), ("c/3", Draining)]);
        assert_eq!(chosen(&none), BTreeSet::from(["a/1", "b/2"]));
        assert_eq!(chosen(&balancer(&[("c/3", Draining)])), BTreeSet::new());
    }

    #[test]
    fn a_port_it_does_not_forward_reaches_nobody() {
        let one = balancer(&[("a/1", TargetState::Serving)]);
        assert_eq!(
            one.choose(([127, 0, 0, 1], 1).into(), ([127, 9, 240, 2], 22).into()),
            None
        );
    }
}
