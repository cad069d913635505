//! etcd members for the guests of the sandbox region.
//!
//! Where etcd is installed a member is a real etcd process with kubeadm's flags ([`Kind::Process`]); elsewhere it is a
//! stand-in inside this process ([`Kind::StandIn`]), which speaks the same API on the same address, counts the quorum
//! from the members that are reachable, and refuses what etcd refuses in etcd's words. One suite of tests runs against
//! both: what the two do differently is a bug of the stand-in's.
//!
//! A member belongs to a machine: its data directory is on the machine's disk, it listens on the machine's own loopback
//! address, and it never outlives the process that started it.

mod config;
mod disk;
mod kind;
mod loopback;
mod member;
mod process;
mod stand_in;

pub use config::{ClusterState, MemberConfig, Tls};
pub use kind::{Kind, NoSuchEtcd};
pub use loopback::kept_address;
pub use member::{EtcdMember, Exit, StartError};
