//! Drives real `terraform` against a sandbox region of its own, the way a user does.
//!
//! A [`Workspace`] is a directory with a configuration, a sandbox region that nothing else uses, and the command lines a
//! user would type.  Dropping it stops the sandbox by its own pid and removes both.

// Everything here panics where the test is to fail.
#![allow(clippy::missing_panics_doc)]

mod machines;
mod moto;
mod prober;
mod python;
mod region;
mod rollouts;
mod run;
mod workspace;

pub use moto::{Faults, Moto, documented_actions};
pub use prober::Prober;
pub use python::python;
pub use region::Region;
pub use rollouts::{applied, masters, planned};
pub use run::{Run, installed};
pub use workspace::{PROVIDER, Workspace};
