//! Channels to members, over TLS with a client certificate where members ask for one.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::transport::{Channel, Endpoint, Uri};

/// What a client shows to members, and what it checks them against.
#[derive(Clone)]
pub struct Credentials {
    /// The CA that has signed the members' serving certificates.
    pub ca_pem: String,
    /// The client's certificate, followed by its intermediates if there are any.
    pub certificate_pem: String,
    /// The certificate's key.
    pub key_pem: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credentials")
    }
}

/// A channel cannot be made of what was given.
#[derive(Debug, thiserror::Error)]
pub enum ChannelError {
    /// No endpoint at all.
    #[error("no etcd endpoint is given")]
    NoEndpoint,
    /// An endpoint that is no URL of a member.
    #[error("the etcd endpoint {0:?} is not a URL like https://127.0.0.1:2379")]
    Endpoint(String),
    /// An https endpoint, and no credentials.
    #[error("the etcd endpoint {0:?} needs a CA and a client certificate")]
    NoCredentials(String),
    /// A certificate or key is not usable.
    #[error("the {what} for etcd cannot be used: {reason}")]
    Certificate {
        /// Which one.
        what: &'static str,
        /// Why not.
        reason: String,
    },
}

/// How long one endpoint may take to accept a connection before the next one is tried.
const CONNECT: Duration = Duration::from_secs(3);

/// How often a quiet connection is probed, and how long an answer may take.
const PROBE: Duration = Duration::from_secs(10);

/// A channel to the first of the endpoints (`https://127.0.0.1:2379`) that accepts a connection.
///
/// Nothing is connected yet: each request fails at once while no endpoint accepts, and a channel whose connection
/// broke connects again by itself.
pub fn channel(endpoints: &[String], credentials: Option<&Credentials>) -> Result<Channel, ChannelError> {
    let tls = credentials.map(connector).transpose()?;
    let mut members = Vec::new();
    for endpoint in endpoints {
        members.push(Member::parse(endpoint, tls.as_ref())?);
    }
    if members.is_empty() {
        return Err(ChannelError::NoEndpoint);
    }
    let members = Arc::new(members);
    Ok(lazy(move || {
        let members = Arc::clone(&members);
        async move { first(&members).await }
    }))
}

/// A channel over streams that `dial` opens, for members that are reached through something else than TCP.
///
/// `server_name` is the host or address that the member's certificate must name.
pub fn channel_over<S, D, F>(
    server_name: &str,
    credentials: Option<&Credentials>,
    dial: D,
) -> Result<Channel, ChannelError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    D: Fn() -> F + Clone + Send + Sync + 'static,
    F: Future<Output = io::Result<S>> + Send + 'static,
{
    let name =
        ServerName::try_from(server_name.to_owned()).map_err(|_| ChannelError::Endpoint(server_name.to_owned()))?;
    let tls = credentials.map(connector).transpose()?.map(|tls| (tls, name));
    Ok(lazy(move || {
        let (dial, tls) = (dial.clone(), tls.clone());
        async move { wrap(dial().await?, tls).await }
    }))
}

trait Duplex: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Duplex for S {}

type Stream = Box<dyn Duplex>;

fn lazy<D, F>(dial: D) -> Channel
where
    D: Fn() -> F + Clone + Send + Sync + 'static,
    F: Future<Output = io::Result<Stream>> + Send + 'static,
{
    let connect = tower::service_fn(move |_: Uri| {
        let dialled = dial();
        async move { dialled.await.map(TokioIo::new) }
    });
    // The name is for the requests' authority only: where to connect is the connector's business.
    Endpoint::from_static("http://etcd")
        .http2_keep_alive_interval(PROBE)
        .keep_alive_timeout(PROBE)
        .keep_alive_while_idle(true)
        .connect_with_connector_lazy(connect)
}

struct Member {
    host: String,
    port: u16,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

impl Member {
    fn parse(endpoint: &str, tls: Option<&TlsConnector>) -> Result<Self, ChannelError> {
        let bad = || ChannelError::Endpoint(endpoint.to_owned());
        let uri: Uri = endpoint.parse().map_err(|_| bad())?;
        let host = uri.host().ok_or_else(bad)?.trim_matches(['[', ']']).to_owned();
        let port = uri.port_u16().ok_or_else(bad)?;
        let tls = match (uri.scheme_str(), tls) {
            (Some("https"), Some(tls)) => {
                let name = ServerName::try_from(host.clone()).map_err(|_| bad())?;
                Some((tls.clone(), name))
            }
            (Some("https"), None) => return Err(ChannelError::NoCredentials(endpoint.to_owned())),
            (Some("http"), _) => None,
            _ => return Err(bad()),
        };
        Ok(Self { host, port, tls })
    }

    async fn dial(&self) -> io::Result<Stream> {
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await?;
        stream.set_nodelay(true)?;
        wrap(stream, self.tls.clone()).await
    }
}

async fn first(members: &[Member]) -> io::Result<Stream> {
    let mut failed = io::Error::other("no endpoint");
    for member in members {
        match tokio::time::timeout(CONNECT, member.dial()).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => {
                let (host, port) = (&member.host, member.port);
                failed = io::Error::new(error.kind(), format!("dial tcp {host}:{port}: {error}"));
            }
            Err(_) => {
                let message = format!("dial tcp {}:{}: i/o timeout", member.host, member.port);
                failed = io::Error::new(io::ErrorKind::TimedOut, message);
            }
        }
    }
    Err(failed)
}

async fn wrap<S>(stream: S, tls: Option<(TlsConnector, ServerName<'static>)>) -> io::Result<Stream>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    match tls {
        Some((tls, name)) => Ok(Box::new(tls.connect(name, stream).await?)),
        None => Ok(Box::new(stream)),
    }
}

fn connector(credentials: &Credentials) -> Result<TlsConnector, ChannelError> {
    let bad = |what: &'static str| move |reason: String| ChannelError::Certificate { what, reason };
    let (ca, client, key) = (bad("CA"), bad("client certificate"), bad("client key"));
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(credentials.ca_pem.as_bytes()) {
        let certificate = certificate.map_err(|error| ca(error.to_string()))?;
        roots.add(certificate).map_err(|error| ca(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(ca("it holds no certificate".to_owned()));
    }
    let chain = CertificateDer::pem_slice_iter(credentials.certificate_pem.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| client(error.to_string()))?;
    let private =
        PrivateKeyDer::from_pem_slice(credentials.key_pem.as_bytes()).map_err(|error| key(error.to_string()))?;
    let mut config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| client(error.to_string()))?
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, private)
        .map_err(|error| client(error.to_string()))?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}
