//! The image that machines boot: kernel state and systemd, as far as Kubernetes depends on them.

pub(crate) mod api_route;
mod boot;
mod commands;
mod edits;

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

pub(crate) use boot::{boot, resume};
pub(crate) use commands::{Failure, execute, failure};

/// The unit link that makes systemd start the kubelet at boot.
pub(crate) const KUBELET_ENABLED: &str = "/etc/systemd/system/multi-user.target.wants/kubelet.service";
/// Likewise for the container runtime.
pub(crate) const CONTAINERD_ENABLED: &str = "/etc/systemd/system/multi-user.target.wants/containerd.service";

/// Likewise for the service that leads a master to itself; see [`api_route`].
pub(crate) const API_ROUTE_ENABLED: &str = "/etc/systemd/system/multi-user.target.wants/multizone-api-route.service";

/// Names of hosts, before any name server is asked.
pub(crate) const HOSTS: &str = "/etc/hosts";

/// What the running kernel holds and a halt forgets.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Kernel {
    /// Whether swap is in use.
    pub(crate) swap: bool,
    /// Loaded modules.
    pub(crate) modules: BTreeSet<String>,
    /// Settings that differ from the kernel's own.
    pub(crate) sysctls: BTreeMap<String, String>,
    /// Addresses on the loopback device.
    pub(crate) local_addresses: BTreeSet<Ipv4Addr>,
    /// Whether containerd runs.
    pub(crate) containerd: bool,
}

impl Kernel {
    /// The value of a setting, if the kernel has it at all.
    pub(crate) fn sysctl(&self, name: &str) -> Option<&str> {
        if name.starts_with("net.bridge.") && !self.modules.contains("br_netfilter") {
            return None;
        }
        Some(self.sysctls.get(name).map_or("0", String::as_str))
    }
}
