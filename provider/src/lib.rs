//! The `multizone` Terraform provider: highly available, self-managed Kubernetes clusters over the zones of one region.
//!
//! [`protocol`] speaks with Terraform, and nothing else in this crate knows how; [`resources`], [`data_sources`],
//! [`ephemeral`] and [`functions`] are what it serves, listed in [`registry`]; [`configuration`] is the provider block;
//! [`cli`] is what people can run by hand.

pub mod cli;
pub mod configuration;
pub mod data_sources;
pub mod ephemeral;
pub mod functions;
mod inventories;
mod patience;
pub mod protocol;
pub mod registry;
pub mod resources;
pub mod stop;
