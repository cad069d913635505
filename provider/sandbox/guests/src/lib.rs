//! The guests of the sandbox region: what goes on inside its machines.
//!
//! A machine that boots does what its user data says and nothing else. [`Guests`] runs one small world per
//! machine: an image's systemd, cloud-init, a strict interpreter for the commands that this product's user
//! data uses, kubeadm's phases, a kubelet with its pods and, on a master, the Kubernetes API server. What a
//! real machine keeps on its disk is kept in the machine's directory, so that a halt at any moment leaves
//! what a power cut leaves, and the next boot goes on from there.
//!
//! What they do not show: programs inside containers (a started container runs until its pod is deleted; logs and
//! exec are not served, of volumes only the `ConfigMap`s and `Secret`s are looked for), etcd (the API server's own storage stands in), renewal of the
//! kubelet's certificate, and the signature of `cluster-info` (a join checks the pinned hash and its token).
//!
//! Guests talk to each other and to the API only over the region's network.

mod api;
mod cloud_init;
mod console;
mod disk;
mod guests;
mod hex;
mod kubeadm;
mod kubeconfig;
mod kubelet;
mod machine;
mod memory;
mod spec;
mod system;

pub use guests::Guests;
pub use spec::{GuestReport, Host, HostError, MachineSpec};
