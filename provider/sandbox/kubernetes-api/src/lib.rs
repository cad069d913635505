//! A Kubernetes API server for the sandbox region.
//!
//! kubectl, kube-rs and simulated kubelets talk to it over TLS as to a real one: certificates and bootstrap tokens
//! say who they are, RBAC says what they may, objects carry revisions and can be watched, and the controllers that
//! a cluster needs run inside.  Pods are not run here: whoever plays the kubelet of their node does that, through
//! the API like everyone else.

mod access;
mod authority;
mod controllers;
mod http;
mod object;
mod objects;
mod patch;
mod protobuf;
mod random;
mod resources;
mod selectors;
mod server;
mod status;
mod store;
mod table;
mod time;
mod validation;

pub use server::{ApiServer, ApiServerConfig, StartError};
pub use status::ApiError;
