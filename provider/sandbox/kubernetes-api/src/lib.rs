//! A Kubernetes API server for the sandbox region.
//!
//! kubectl, kube-rs and simulated kubelets talk to it over TLS as to a real one: certificates and bootstrap tokens
//! say who they are, RBAC says what they may, objects carry revisions and can be watched, and the controllers that
//! a cluster needs run inside.  Pods are not run here: whoever plays the kubelet of their node does that, through
//! the API like everyone else.
//!
//! The servers of a cluster keep its objects in etcd, each talking to the member beside it: what is written through one
//! is seen through the others, controllers run on one of them at a time, and the Service `kubernetes` leads to those that
//! live.
//!
//! Left out, because nothing in the region needs it: objects of custom kinds (their definitions are stored), logs,
//! exec, port-forward over SPDY, tokens of service accounts, admission webhooks, quotas and limit ranges (stored, without
//! effect), `StatefulSet`s (stored, nobody makes their pods), the finalizers that protect volumes in use, and the
//! ownership of fields by writes other than server-side apply.  A page of a list shows the present, not the state
//! of the first page.  Events of `v1` and of `events.k8s.io/v1` are kept apart.

mod access;
mod authority;
mod controllers;
mod election;
mod http;
mod object;
mod objects;
mod patch;
mod port_forward;
mod presence;
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

pub use patch::patched;
pub use port_forward::{Duplex, PortForward};
pub use server::{ApiServer, ApiServerConfig, StartError, Storage};
pub use status::ApiError;
