//! What is legal, and should be known before (domain-rules.md, etcd).

use std::fmt;

use super::{Holder, Operation, Step, World};

/// A warning.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Warning {
    /// An even number of masters.
    EvenCount(usize),
    /// At the end, losing this zone alone would stop writes.
    ZoneStopsWrites {
        /// The zone.
        zone: String,
        /// Masters in it.
        masters: usize,
        /// All masters.
        of: usize,
    },
    /// One master: whatever stops it stops the API and all writes.
    SingleMaster,
    /// Several masters and no balancer: the address leads to one of them only.
    NoBalancer,
    /// A master in a zone that the balancer does not span gets no requests through it.
    BalancerMissesZone(String),
    /// From one step to another, losing one zone or machine would stop writes although it does not at the end.
    FragileBetween {
        /// The first such step, from 1.
        first: usize,
        /// The last such step.
        last: usize,
    },
    /// Nothing to restore from.
    NoBackUp,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EvenCount(2) => {
                f.write_str("two masters: losing either stops all writes until it is back; have three")
            }
            Self::EvenCount(count) => write!(
                f,
                "{count} masters survive the loss of {}, as {} would: have an odd number",
                (count - 1) / 2,
                count - 1
            ),
            Self::ZoneStopsWrites { zone, masters, of } => write!(
                f,
                "{masters} of {of} masters are in {zone}: losing that zone stops all writes until it is back; spread the \
                 masters over three zones"
            ),
            Self::SingleMaster => f.write_str(
                "one master: while it is away the API does not answer; have three in three zones to survive a loss",
            ),
            Self::NoBalancer => f.write_str(
                "several masters without a balancer: the API's address leads to one of them only, and moves to another \
                 only when you apply again",
            ),
            Self::BalancerMissesZone(zone) => write!(
                f,
                "the balancer does not span {zone}: the masters there get no requests through it"
            ),
            Self::FragileBetween { first, last } => write!(
                f,
                "after step {first} and until step {last} is done, losing a zone can stop writes until it is back: do not \
                 stop there"
            ),
            Self::NoBackUp => f.write_str(
                "no place for snapshots is named in etcd_backup: etcd's members change without a backup to restore from",
            ),
        }
    }
}

/// Watches a preview.
pub(super) struct Watch<'a> {
    operation: &'a Operation,
    fragile: Vec<usize>,
    steps: usize,
    at_risk: bool,
}

impl<'a> Watch<'a> {
    pub(super) fn new(operation: &'a Operation) -> Self {
        Self {
            operation,
            fragile: Vec::new(),
            steps: 0,
            at_risk: false,
        }
    }

    pub(super) fn after(&mut self, step: &Step, number: usize, world: &World) {
        self.steps = number;
        self.at_risk |= step.puts_etcd_at_risk();
        if matches!(self.operation, Operation::ControlPlane(_))
            && world.quorum().voters > 1
            && !world.zones_that_stop_writes().is_empty()
        {
            self.fragile.push(number);
        }
    }

    pub(super) fn at_the_end(self, world: &World) -> Vec<Warning> {
        let Operation::ControlPlane(desired) = self.operation else {
            return Vec::new();
        };
        if desired.replicas.is_empty() {
            return Vec::new();
        }
        let mut warnings = Vec::new();
        let masters = desired.replicas.len();
        if masters == 1 {
            warnings.push(Warning::SingleMaster);
        } else if masters.is_multiple_of(2) {
            warnings.push(Warning::EvenCount(masters));
        }
        let zones: std::collections::BTreeSet<&str> =
            desired.replicas.values().map(|replica| replica.zone.as_str()).collect();
        let mut fragile_at_the_end = masters <= 2;
        for zone in &zones {
            let here = desired
                .replicas
                .values()
                .filter(|replica| replica.zone == **zone)
                .count();
            if masters > 2 && masters - here < masters / 2 + 1 {
                fragile_at_the_end = true;
                warnings.push(Warning::ZoneStopsWrites {
                    zone: (*zone).to_owned(),
                    masters: here,
                    of: masters,
                });
            }
        }
        if let (Some(first), Some(last), false) = (self.fragile.first(), self.fragile.last(), fragile_at_the_end) {
            let last = (last + 1).min(self.steps);
            warnings.push(Warning::FragileBetween { first: *first, last });
        }
        if masters > 1 && world.has_an_address() && matches!(world.address.holder, Holder::Machine(_)) {
            warnings.push(Warning::NoBalancer);
        }
        if let (Some(_), Some(balancer)) = (&desired.balancer, &world.balancer) {
            let missed = zones.iter().filter(|zone| !balancer.zones.contains(**zone));
            warnings.extend(missed.map(|zone| Warning::BalancerMissesZone((*zone).to_owned())));
        }
        if desired.backup.is_none() && self.at_risk && world.initialised {
            warnings.push(Warning::NoBackUp);
        }
        warnings
    }
}
