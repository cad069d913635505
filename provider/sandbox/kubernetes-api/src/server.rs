//! The server: TLS connections in, controllers beside.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use multizone_etcd_api::Credentials;
use rustls::ServerConfig;
use rustls::server::WebPkiClientVerifier;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::access::{self, identity_of_certificate};
use crate::authority::Authority;
use crate::controllers;
use crate::election::Candidate;
use crate::http::Face;
use crate::objects::{Api, Settings};
use crate::port_forward::PortForward;
use crate::presence;
use crate::status::ApiError;
use crate::store::{self, Etcd, Store};

/// The etcd that keeps the cluster's objects, which any number of API servers share.
#[derive(Clone)]
pub struct Storage {
    /// The members that this server talks to, for example `https://127.0.0.1:2379`: the first that accepts a
    /// connection.  In a stacked control plane that is the member on the server's own machine alone.
    pub endpoints: Vec<String>,
    /// The CA that has signed the members' serving certificates.
    pub ca_pem: String,
    /// The certificate by which the members know this server.
    pub certificate_pem: String,
    /// The certificate's key.
    pub key_pem: String,
}

/// What an API server is started with.
#[derive(Clone)]
pub struct ApiServerConfig {
    /// Where the cluster's objects are kept.  Starting again on it resumes the cluster.
    pub storage: Storage,
    /// The serving certificate, followed by its intermediates if there are any.
    pub serving_certificate_pem: String,
    /// The serving certificate's key.
    pub serving_key_pem: String,
    /// The cluster's CA: client certificates are checked against it.
    pub ca_certificate_pem: String,
    /// The CA's key: signs the kubelets' certificate requests.
    pub ca_key_pem: String,
    /// What `/version` says, for example `1.34.1`.
    pub kubernetes_version: String,
    /// Nodes get their blocks for pods from this, for example `10.244.0.0/16`.
    pub pod_cidr: String,
    /// Services get their addresses from this, for example `10.96.0.0/12`.
    pub service_cidr: String,
    /// The cluster's name, for logs.
    pub cluster_name: String,
    /// Where the server is reached inside the cluster: an endpoint of the Service `kubernetes`.  Servers of one
    /// cluster have different addresses and the same port.
    pub advertise_address: SocketAddr,
    /// How many times faster than real time the cluster's own clocks run: 1.0 is real time.
    pub pace: f64,
    /// The way to the ports of pods; none, and `pods/portforward` fails.
    pub port_forward: Option<Arc<dyn PortForward>>,
}

/// Why an API server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The objects could not be read.
    #[error("cannot open the cluster's storage in {place}: {reason}")]
    Storage {
        /// The endpoints.
        place: String,
        /// What the storage said.
        reason: String,
    },
    /// A certificate or key is not usable.
    #[error("the {what} cannot be used: {reason}")]
    Certificate {
        /// Which one.
        what: &'static str,
        /// Why not.
        reason: String,
    },
    /// An address range is malformed.
    #[error("{what} {value:?} is not an IPv4 range like 10.244.0.0/16")]
    AddressRange {
        /// Which range.
        what: &'static str,
        /// What was given.
        value: String,
    },
    /// The cluster's first objects could not be made.
    #[error("cannot set up the cluster's first objects: {0}")]
    Bootstrap(#[source] ApiError),
}

/// A running API server with its controllers.
///
/// Dropping it is the end that a machine has without power: nothing is said, nothing is finished.
#[derive(Debug)]
pub struct ApiServer {
    face: Face,
    acceptor: TlsAcceptorShown,
    tasks: TaskTracker,
    stopping: CancellationToken,
    /// Ends what `stopping` only asks to come to an end.
    dead: CancellationToken,
}

struct TlsAcceptorShown(TlsAcceptor);

impl std::fmt::Debug for TlsAcceptorShown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TlsAcceptor")
    }
}

impl ApiServer {
    /// Opens or makes the cluster and starts its controllers.  Connections come through [`ApiServer::serve`].
    pub async fn start(config: ApiServerConfig) -> Result<Self, StartError> {
        let settings = settings(&config)?;
        let acceptor = TlsAcceptor::from(Arc::new(tls(&config)?));
        let (stopping, dead) = (CancellationToken::new(), CancellationToken::new());
        // Also when starting fails half-way.
        let ending = dead.clone().drop_guard();
        let api = Api {
            store: open(&config, &dead).await?,
            settings: Arc::new(settings),
        };
        access::install_default_roles(&api)
            .await
            .map_err(StartError::Bootstrap)?;
        let tasks = TaskTracker::new();
        start_controllers(&api, &tasks, &stopping, &dead);
        tracing::info!(
            cluster = config.cluster_name,
            revision = api.store.revision(),
            "API server started"
        );
        let face = Face {
            api,
            stopping: stopping.clone(),
            port_forward: config.port_forward,
        };
        Ok(Self {
            face,
            acceptor: TlsAcceptorShown(acceptor),
            tasks,
            stopping,
            dead: ending.disarm(),
        })
    }

    /// Serves one accepted connection, TLS handshake included, until either side closes it.
    pub fn serve(&self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, peer: SocketAddr) {
        if self.stopping.is_cancelled() {
            return;
        }
        let (face, acceptor, stopping) = (self.face.clone(), self.acceptor.0.clone(), self.stopping.clone());
        let dead = self.dead.clone();
        self.tasks.spawn(async move {
            let served = dead.run_until_cancelled(connection(face, acceptor, stopping, stream));
            if let Some(Err(error)) = served.await {
                tracing::debug!(%peer, %error, "connection ended");
            }
        });
    }

    /// Whether the server is ready: what `/readyz` says.
    pub async fn ready(&self) -> bool {
        self.face.api.store.etcd().check().await.is_ok()
    }

    /// Ends watches, lets other requests finish for a moment, closes connections, stops the controllers, gives up
    /// leading, and takes the server out of the endpoints of the Service `kubernetes`.
    pub async fn stop(self) {
        self.stopping.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        self.dead.cancel();
        self.stopping.cancel();
    }
}

async fn open(config: &ApiServerConfig, dead: &CancellationToken) -> Result<Store, StartError> {
    let Storage {
        endpoints,
        ca_pem,
        certificate_pem,
        key_pem,
    } = &config.storage;
    let credentials = Credentials {
        ca_pem: ca_pem.clone(),
        certificate_pem: certificate_pem.clone(),
        key_pem: key_pem.clone(),
    };
    let opened = async {
        let etcd = Etcd::new(endpoints, Some(&credentials), config.pace)?;
        Store::open(etcd, dead).await
    };
    opened.await.map_err(|error| StartError::Storage {
        place: endpoints.join(","),
        reason: error.to_string(),
    })
}

fn start_controllers(api: &Api, tasks: &TaskTracker, stopping: &CancellationToken, dead: &CancellationToken) {
    controllers::start(controllers::of_server(), api, tasks, stopping);
    let etcd = api.store.etcd().clone();
    let spawn = |task: Pin<Box<dyn Future<Output = ()> + Send>>| {
        let dead = dead.clone();
        tasks.spawn(async move {
            dead.run_until_cancelled(task).await;
        });
    };
    spawn(Box::pin(presence::keep(api.clone(), etcd.clone(), stopping.clone())));
    let scheduler = Candidate::new(api.clone(), "kube-scheduler", controllers::of_scheduler);
    spawn(Box::pin(scheduler.run(stopping.clone())));
    let manager = Candidate::new(api.clone(), "kube-controller-manager", controllers::of_manager);
    spawn(Box::pin(manager.run(stopping.clone())));
    let stopping = stopping.clone();
    spawn(Box::pin(async move {
        stopping.run_until_cancelled(store::compact(&etcd, store::KEPT)).await;
    }));
}

/// How long requests may take to finish when the server stops.
const GRACE: Duration = Duration::from_secs(5);

/// How long a client may take for its handshake.
const HANDSHAKE: Duration = Duration::from_secs(20);

async fn connection(
    face: Face,
    acceptor: TlsAcceptor,
    stopping: CancellationToken,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    // Who was accepted before the server stops is answered, as long as requests may take then.
    let too_late = async {
        stopping.cancelled().await;
        tokio::time::sleep(GRACE).await;
    };
    let tls = tokio::select! {
        tls = tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)) => tls??,
        () = too_late => return Ok(()),
    };
    let certificate = tls
        .get_ref()
        .1
        .peer_certificates()
        .and_then(|chain| identity_of_certificate(chain.first()?));
    let certificate = Arc::new(certificate);
    let service = service_fn(move |request| {
        let (face, certificate) = (face.clone(), Arc::clone(&certificate));
        async move { Ok::<_, std::convert::Infallible>(face.answer(request, certificate.as_ref().as_ref()).await) }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new());
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(Duration::from_secs(30));
    let served = builder.serve_connection_with_upgrades(TokioIo::new(tls), service);
    tokio::pin!(served);
    tokio::select! {
        outcome = served.as_mut() => return outcome,
        () = stopping.cancelled() => served.as_mut().graceful_shutdown(),
    }
    tokio::time::timeout(GRACE, served).await.unwrap_or(Ok(()))
}

fn settings(config: &ApiServerConfig) -> Result<Settings, StartError> {
    let range = |what: &'static str, value: &str| {
        value.parse().map_err(|_| StartError::AddressRange {
            what,
            value: value.to_owned(),
        })
    };
    let authority =
        Authority::new(&config.ca_certificate_pem, &config.ca_key_pem).map_err(|error| StartError::Certificate {
            what: "cluster CA",
            reason: error.to_string(),
        })?;
    Ok(Settings {
        kubernetes_version: config.kubernetes_version.clone(),
        pod_cidr: range("pod_cidr", &config.pod_cidr)?,
        service_cidr: range("service_cidr", &config.service_cidr)?,
        advertise_address: config.advertise_address,
        pace: config.pace,
        authority,
        ca_certificate_pem: config.ca_certificate_pem.clone(),
    })
}

fn tls(config: &ApiServerConfig) -> Result<ServerConfig, StartError> {
    let bad = |what: &'static str| move |reason: String| StartError::Certificate { what, reason };
    let (serving, key, ca) = (
        bad("serving certificate"),
        bad("serving key"),
        bad("cluster CA certificate"),
    );
    let chain = CertificateDer::pem_slice_iter(config.serving_certificate_pem.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| serving(error.to_string()))?;
    let private =
        PrivateKeyDer::from_pem_slice(config.serving_key_pem.as_bytes()).map_err(|error| key(error.to_string()))?;
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(config.ca_certificate_pem.as_bytes()) {
        let certificate = certificate.map_err(|error| ca(error.to_string()))?;
        roots.add(certificate).map_err(|error| ca(error.to_string()))?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
        .allow_unauthenticated()
        .build()
        .map_err(|error| ca(error.to_string()))?;
    let mut tls = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| serving(error.to_string()))?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, private)
        .map_err(|error| serving(error.to_string()))?;
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(tls)
}
