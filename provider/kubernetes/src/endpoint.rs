//! Where a cluster's API is reached.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use crate::API_SERVER_PORT;

/// The stable address or DNS name under which every API server of a cluster is reached, with its port.
///
/// It is in every certificate and every kubeconfig, so it is chosen once and never changes (kubeadm: a cluster made
/// without a shared control-plane endpoint cannot become highly available).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlPlaneEndpoint {
    /// An IP address or a DNS name.
    pub host: String,
    /// The TCP port.
    pub port: u16,
}

impl ControlPlaneEndpoint {
    /// The endpoint at this host on the usual port.
    pub fn new(host: impl Into<String>) -> Self {
        Self {
            host: host.into(),
            port: API_SERVER_PORT,
        }
    }

    /// The address, when the host is one.
    pub fn address(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }

    /// `https://HOST:PORT`.
    pub fn url(&self) -> String {
        format!("https://{self}")
    }
}

impl fmt::Display for ControlPlaneEndpoint {
    /// `HOST:PORT`, with brackets around an IPv6 address.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address() {
            Some(address) => write!(formatter, "{}", SocketAddr::new(address, self.port)),
            None => write!(formatter, "{}:{}", self.host, self.port),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_written_as_host_and_port() {
        assert_eq!(
            ControlPlaneEndpoint::new("203.0.113.10").to_string(),
            "203.0.113.10:6443"
        );
        assert_eq!(
            ControlPlaneEndpoint::new("2001:db8::1").to_string(),
            "[2001:db8::1]:6443"
        );
        assert_eq!(
            ControlPlaneEndpoint::new("api.example.com").url(),
            "https://api.example.com:6443"
        );
    }
}
