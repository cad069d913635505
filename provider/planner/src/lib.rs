//! The order in which a cluster changes: facts and intent in, next step out.
//!
//! Each engine is one pure function, `next(observed, desired)`: no I/O, no clock, no randomness, no cloud.  The executor
//! in the provider loops: observe, ask `next`, carry the step out, repeat.  There is no journal: after a crash between
//! any two steps the world itself says what is left to do.  What `terraform plan` shows is the same function, iterated
//! over the steps' own effects ([`node_group::preview`], [`control_plane::preview`], [`cluster::preview`]).
//!
//! - [`node_group`]: the workers of one node group in one zone.
//! - [`control_plane`]: a control plane of exactly one replica.
//! - [`cluster`]: control planes of many replicas, the API's address and balancer, and the cluster's zones.
//!
//! The rules are those of domain-rules.md; each is named where it is kept, and by a test (`rules.md` in this crate).

pub mod cluster;
pub mod control_plane;
mod fingerprint;
pub mod node_group;
mod timing;
mod version;
mod wording;

pub use fingerprint::fingerprint;
pub use timing::{Timing, approximately};
pub use version::Version;
pub use wording::{PreviewedStep, lines};
