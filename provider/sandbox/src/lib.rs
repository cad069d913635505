//! The sandbox region: a strict simulated region of Compute Engine, in one process, on loopback addresses.
//!
//! - [`core`]: what exists, what may change, what is refused; persisted in `SQLite`; no HTTP.
//! - [`face`]: the Compute Engine and Secret Manager REST APIs over the core, and the operator's API.
//! - [`region`] and [`machines`]: the core at work, with its time, its data plane and its guests.
//! - [`health`]: the health checks of its balancers.
//! - [`process`]: the region's process: lock, addresses, detached start.
//! - [`cli`]: the `sandbox` subcommands.

pub mod cli;
pub mod client;
pub mod core;
pub mod face;
pub mod health;
pub mod machines;
pub mod process;
pub mod region;

pub use process::{RunningSandbox, SandboxError, SandboxSettings, ensure_running};
