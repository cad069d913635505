//! The sandbox region's data plane: who can reach whom, over real TCP on loopback addresses.
//!
//! Every machine has an address of its own in 127.0.0.0/8. A program on a machine listens with
//! [`Network::bind`], which really binds that address, so that any client on the host (kubectl, curl) can
//! connect to it; programs on machines connect with [`Network::connect`]. External addresses forward to
//! the ports their holder listens on.
//!
//! What the region allows is one [`Topology`], handed over whole by [`Network::reconcile`]:
//!
//! - a stopped machine listens nowhere and its connections are aborted;
//! - a zone that is out is cut off from everybody: established connections are reset, new ones from the
//!   host are accepted and reset, new ones between machines time out. A machine still reaches itself;
//! - ingress is denied unless a firewall rule of the target's network admits it (by source range, source
//!   tag, target tag and port), as on Compute Engine. Established connections outlive a rule;
//! - a balanced address takes connections to one of its targets, unseen: both ends keep their addresses.
//!   Targets that drain keep what they have; who is no target any more loses its connections;
//! - an address that moves to another machine takes new connections there and aborts the old ones.
//!
//! What it does not show: packet loss, latency, NAT (a machine without an external address still reaches
//! external addresses, and is then seen as some host of the internet), UDP.

mod balancer;
mod connection;
mod network;
mod pace;
mod socket;
mod state;
mod topology;

pub use balancer::{Balancer, TargetState};
pub use connection::Stream;
pub use network::{HEALTH_CHECK_SOURCE, Listener, Network};
pub use pace::Pace;
pub use topology::{FirewallRule, Machine, Topology};
