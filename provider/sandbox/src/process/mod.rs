//! The process that is the region: one per directory, detached from whoever started it.

mod claim;
mod description;
mod place;
mod run;
mod start;

pub use claim::{ClaimError, claim_any};
pub use description::Description;
pub use multizone_sandbox_etcd::Kind as Etcd;
pub use place::{DEFAULT_REGION, Place, PlaceError};
pub use run::{RunError, RunSettings, run};
pub use start::{RunningSandbox, SandboxError, SandboxSettings, ensure_running, ensure_running_with};

/// Version of this program, which must be the running region's too.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// How many times faster than a real region, unless told otherwise.
pub const DEFAULT_SPEED: f64 = 60.0;
/// Exit status of a `run` that found the region running already.
pub const EXIT_RUNNING_ALREADY: u8 = 75;
