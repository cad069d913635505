//! The way from an API server to the ports of pods, which leads through their kubelets.

use std::fmt::Debug;
use std::io;

use tokio::io::{AsyncRead, AsyncWrite};

/// Both directions of a connection.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Duplex for S {}

/// Opens connections to ports of pods on their nodes.
#[async_trait::async_trait]
pub trait PortForward: Debug + Send + Sync {
    /// Connects to a port of a pod, as its kubelet would from inside the pod's network: the host's loopback address
    /// for pods with `hostNetwork`, such as static ones.  What the error says is told to the client.
    async fn connect(&self, node: &str, pod: &str, port: u16) -> io::Result<Box<dyn Duplex>>;
}
