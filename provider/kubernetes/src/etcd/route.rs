//! How a member is reached: the streams that the provider's TLS to etcd runs over.

use std::fmt;
use std::io;
use std::pin::Pin;

use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::cluster_access::Cluster;

/// One member's place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The member's name, which kubeadm takes from its node.
    pub name: String,
    /// The address or name that the member's certificate carries: the node's address.
    pub host: String,
    /// [`super::CLIENT_PORT`], unless it is a sandbox's or a test's.
    pub port: u16,
}

/// A connection to a member, without TLS yet.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Duplex for S {}

/// A connection to a member, whatever it runs over.
pub type Stream = Box<dyn Duplex>;

/// A connection on its way.
pub type Dialling<'a> = Pin<Box<dyn Future<Output = io::Result<Stream>> + Send + 'a>>;

/// Opens connections to members.
pub trait Route: Clone + Send + Sync + 'static {
    /// Connects to the member's client port.
    fn dial<'a>(&'a self, endpoint: &'a Endpoint) -> Dialling<'a>;
}

/// Straight to the member's address, where that is routable.
#[derive(Clone, Copy, Debug, Default)]
pub struct Direct;

impl Route for Direct {
    fn dial<'a>(&'a self, endpoint: &'a Endpoint) -> Dialling<'a> {
        Box::pin(async move {
            let stream = TcpStream::connect((endpoint.host.as_str(), endpoint.port)).await?;
            stream.set_nodelay(true)?;
            Ok(Box::new(stream) as Stream)
        })
    }
}

/// Through the API server and the kubelet to the pod `etcd-NODE` of the namespace `kube-system`.
#[derive(Clone)]
pub struct PortForward {
    pods: Api<Pod>,
}

impl fmt::Debug for PortForward {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("PortForward")
    }
}

impl PortForward {
    /// Through the API server that this cluster is reached by.
    pub fn through(cluster: &Cluster) -> Self {
        Self {
            pods: Api::namespaced(cluster.client(), "kube-system"),
        }
    }
}

impl Route for PortForward {
    fn dial<'a>(&'a self, endpoint: &'a Endpoint) -> Dialling<'a> {
        Box::pin(async move {
            let pod = format!("etcd-{}", endpoint.name);
            let forwarded = self.pods.portforward(&pod, &[endpoint.port]).await;
            let mut forwarded =
                forwarded.map_err(|error| io::Error::other(format!("cannot forward to the pod {pod}: {error}")))?;
            let stream = forwarded.take_stream(endpoint.port);
            let stream =
                stream.ok_or_else(|| io::Error::other(format!("the pod {pod} was forwarded without its port")))?;
            Ok(Box::new(stream) as Stream)
        })
    }
}
