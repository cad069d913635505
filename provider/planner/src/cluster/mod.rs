//! The control plane of any number of replicas, its address, its balancer and the cluster's zones.
//!
//! # Flow
//! Terraform calls operations in the order of its graph, one at a time or several; each is an [`Operation`].  The
//! executor of each observes the [`World`], asks [`next`], carries the step out, and repeats until [`Next::Done`],
//! [`Next::Blocked`] or [`Next::Refused`].  [`preview`] is the same, iterated over the steps' own [`effect`]s.
//!
//! - `rollout`: the phases of a control plane's change; `repair`, `change`, `leave`, `teardown`: what each does
//! - `address`: who holds the API's address, and handing it over
//! - `balancer`, `zones`: what those resources do themselves, and who cleans up
//! - `gates`: what must be true before a step; `quorum`: etcd's arithmetic; `loss`: what a zone's loss would cost;
//!   `refuse`, `warnings`: what is said before
//!
//! # Guarantees, in every state, after a crash between any two steps too
//! `rules.md` in this crate lists each rule with the tests that hold it.
//! - The engine's own actions never take etcd below quorum, and one membership change is underway at a time.  kubeadm
//!   adds, starts and promotes; the engine removes what kubeadm left behind, and never adds or promotes.
//! - The address leads to a master that serves whenever one serves, but for the gap of a handover.
//! - No machine is terminated before it is off the balancer, drained and out of etcd, unless it is dead.
//! - No operation waits for one that Terraform may not have started.
//!
//! # Assumptions
//! - A member's health is its own answer (etcd's `Status`), not a linearizable read, which fails with the quorum.
//! - `Machine::joining` is true while the machine's user data is at work and its bootstrap token lives.  While it is
//!   true, nothing else changes the membership, so it must become false in bounded time.
//! - The executor holds the cluster's lock, and observes again before each step.

mod address;
mod balancer;
mod change;
mod effect;
mod facts;
mod gates;
mod intent;
mod leave;
mod loss;
mod preview;
#[cfg(test)]
mod proof;
mod quorum;
mod refuse;
mod repair;
mod rollout;
mod step;
mod teardown;
#[cfg(test)]
mod tests;
mod warnings;
mod wording;
mod zones;

pub use effect::effect;
pub use facts::{
    Address, ApiServer, Balancer, Cloud, Disk, Endpoint, Holder, Machine, Member, Node, Power, Settings, Target, World,
    Zone,
};
pub use gates::Gate;
pub use intent::{BalancerIntent, ControlPlane, Operation, Replica};
pub use loss::ZoneLoss;
pub use preview::{Preview, preview};
pub use quorum::{Lost, Quorum};
pub use step::{Blocked, NewMachine, Next, Step, Violation};
pub use warnings::Warning;
pub use wording::Timing;

use gates::Gates;

/// The next step of an operation.
pub fn next(world: &World, operation: &Operation) -> Next {
    next_with(world, operation, Gates::default())
}

fn next_with(world: &World, operation: &Operation, gates: Gates) -> Next {
    match operation {
        Operation::ControlPlane(desired) => rollout::next(world, desired, gates),
        Operation::Balancer(desired) => balancer::apply(world, desired, gates),
        Operation::RemoveBalancer(desired) => balancer::remove(world, desired, gates),
        Operation::Zones(desired) => zones::next(world, desired, gates),
        Operation::LeaveZone => zones::last_out(world, gates).map_or(Next::Done, Next::Step),
    }
}
