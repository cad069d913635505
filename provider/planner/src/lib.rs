//! The order in which a cluster changes: facts and intent in, next step out.
//!
//! Each engine is one pure function, `next(observed, desired)`: no I/O, no clock, no randomness, no cloud.  The executor
//! in the provider loops: observe, ask `next`, carry the step out, repeat.  There is no journal: after a crash between
//! any two steps the world itself says what is left to do.  What `terraform plan` shows is the same function, iterated
//! over the steps' own effects ([`node_group::preview`], [`cluster::preview`]).
//!
//! - [`node_group`]: the workers of one node group in one zone.
//! - [`cluster`]: control planes of any number of replicas, the API's address and balancer, and the cluster's zones.
//!
//! # Checking it against the rules
//! `rules.md` in this crate has every rule about order in the words of domain-rules.md, in the order in which it stands
//! there, with the file that keeps it; `grep -rn 'Rules:.*NAME' src` finds the tests that hold it.  Read for each subject
//! the module's documentation, which is the order in prose, then its tests, which are the exact lists of steps:
//!
//! | subject | engine | tests |
//! |---|---|---|
//! | etcd's arithmetic | `cluster/quorum.rs` | there |
//! | what a zone's loss would cost | `cluster/loss.rs` | there |
//! | which zone each replica goes to | `spread.rs` | there |
//! | what is mended before anything changes | `cluster/repair.rs` | `cluster/tests/{dead,joins,disagreement}.rs` |
//! | growing, replacing, versions | `cluster/{rollout,change,refuse}.rs` | `cluster/tests/{grow,replace,version}.rs` |
//! | one master leaves | `cluster/leave.rs` | `cluster/tests/shrink.rs` |
//! | the address and the balancer | `cluster/{address,balancer}.rs` | `cluster/tests/{address,balancer}.rs` |
//! | zones, the last one out | `cluster/zones.rs` | `cluster/tests/zones.rs` |
//! | teardown | `cluster/teardown.rs` | `cluster/tests/teardown.rs` |
//! | node groups | `node_group/{next,group}.rs` | `node_group/tests.rs` |
//! | kube-up's seven mistakes | all of these | `cluster/tests/kube_up.rs` |
//! | what the user reads | `cluster/{wording,warnings,step}.rs` | `cluster/tests/{wording,words_of_steps}.rs` |
//!
//! # Proof
//! `cluster/proof` states the invariants apart from the engine (`invariants.rs`, `goal.rs`) and checks them three ways:
//! random clusters and single operations (`properties.rs`), random walks through all operations at once with faults
//! (`random_walk.rs`), and an exhaustive model check (`model.rs`, `situations.rs`) that follows every fair path to its
//! end (`fairness.rs`).  `teeth.rs` opens each gate in turn and shows what then breaks.

pub mod cluster;
mod fingerprint;
mod growth;
pub mod node_group;
mod spread;
mod timing;
mod version;
mod wording;

pub use fingerprint::fingerprint;
pub use growth::Growth;
pub use spread::{round, spread};
pub use timing::{Timing, approximately};
pub use version::Version;
pub use wording::{PreviewedStep, lines};
