//! The built plugin process, as its host sees it: handshake, mutual TLS, every RPC, and how it ends.
//!
//! The certificates are of the kind that Terraform makes (self-signed, P-521, marked as an authority); their keys are
//! secret to nobody.

#![allow(clippy::unwrap_used)]

mod ending;
mod handshake;
mod host;
mod identity;
mod large;
mod mutual_tls;
mod rpcs;
mod terraform;
