//! The sandbox region: a strict simulated region of Compute Engine, in one process, on loopback addresses.
//!
//! - [`core`]: what exists, what may change, what is refused; persisted in `SQLite`; no HTTP.
//! - [`face`]: the Compute Engine and Secret Manager REST APIs over the core, and the operator's API.
//! - [`process`]: the running region: claims its addresses, drives time, data plane and guests; detached start.
//! - [`cli`]: the `sandbox` subcommands.

pub mod core;
pub mod face;
pub mod region;
