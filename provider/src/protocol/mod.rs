//! Speaking with Terraform: the plugin handshake, its TLS, the provider protocol (tfplugin6, minor 9), and the end.
//!
//! From the outside in:
//! - [`plugin`] and [`debug`] are the two ways to run: started by Terraform, or by hand with Terraform told where.
//! - [`handshake`], [`tls`], [`socket`], [`connections`], [`lifecycle`] bring a connection up and the process down.
//! - [`routes`] leads a request to the [`provider`] service or to one of the [`companions`] every plugin has.
//! - [`provider`] answers the 22 RPCs from a [`catalog`] of [`served`] objects; [`codec`] turns schemas, values and
//!   diagnostics into messages of [`wire`]; [`self_check`] looks at every answer before Terraform does.

pub mod catalog;
pub mod codec;
pub mod companions;
pub mod connections;
pub mod debug;
pub mod handshake;
pub mod lifecycle;
pub mod logs;
pub mod plugin;
pub mod provider;
pub mod routes;
pub mod self_check;
pub mod served;
pub mod server;
pub mod socket;
pub mod tls;
pub mod wire;
