//! Everything Multizone knows about Kubernetes itself: which versions go together, the certificates of a cluster,
//! kubeadm's configuration, what a machine is told to do at its first boot, and how the provider talks to a cluster
//! that serves.
//!
//! Nothing here knows a cloud or Terraform. The rendering modules are pure; only [`cluster_access`] and [`etcd`] open
//! connections.

pub mod bootstrap_token;
pub mod cluster_access;
pub mod cluster_settings;
pub mod endpoint;
pub mod etcd;
pub mod kubeadm;
pub mod kubeconfig;
pub mod labels;
pub mod node_group_access;
pub mod pauses;
pub mod persistent_volume;
pub mod pki;
pub mod user_data;
pub mod version;
mod yaml;

/// The TCP port on which API servers listen, kubeadm's default.
pub const API_SERVER_PORT: u16 = 6443;
