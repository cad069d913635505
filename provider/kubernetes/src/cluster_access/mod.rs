//! Talking to a cluster that serves: readiness, nodes, drain, bootstrap tokens, manifests.
//!
//! Every connection pins the cluster's own authority and shows a client certificate. Calls that wait take a deadline
//! and a future that completes when the wait is to be given up; whatever they had begun is safe to begin again.

mod api_servers;
mod apply;
mod drain;
mod error;
mod node_facts;
mod nodes;
mod ownership;
mod patience;
mod records;
mod rollout_lock;
mod serving_certificate;
mod settings;
mod tokens;

use std::future::Future;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tokio::time::Instant;
use x509_parser::pem::Pem;

pub use api_servers::{API_SERVER_MANIFEST, HOLD_SCRIPT_NAME, RELEASE_FILE, SHELL_IMAGE};
pub use apply::{Alteration, AppliedObject, ApplyError, check_manifest, dropped_objects};
pub use drain::{DrainError, DrainOptions, Drained, Obstacle, PodInTheWay};
pub use error::AccessError;
pub use node_facts::{NodeAddress, NodeFacts};
pub use nodes::NodeState;
pub use ownership::OwnedMetadata;
pub use rollout_lock::{RolloutHolder, RolloutTurn};
pub use serving_certificate::serving_certificate;
pub use settings::ClusterSettingsError;
pub use tokens::TokenError;

use crate::endpoint::ControlPlaneEndpoint;
use crate::pauses::Pauses;
use crate::pki::ClientCredential;
use crate::version::KubernetesVersion;
use patience::Patience;

/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a server may stay silent; longer than a watch lasts.
const SILENCE: Duration = Duration::from_mins(1);

/// Bounds of the pauses before something that failed is tried again, and between two looks at what takes its time.
const RETRY_PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// The pauses of a wait that begins now.
fn retry_pauses() -> Pauses {
    Pauses::between(RETRY_PAUSES.0, RETRY_PAUSES.1)
}

/// Pause between two questions whether the API server is ready: one connection each, and everything waits for it.
const READY_PAUSE: Duration = Duration::from_millis(200);

/// The name under which this provider owns the fields it applies.
const FIELD_MANAGER: &str = "multizone";

/// Where a cluster's API is, and how it proves that it is this cluster's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterAddress {
    /// `https://HOST:PORT`.
    pub url: String,
    /// The cluster's authority, PEM: nothing else is trusted.
    pub ca_certificate_pem: String,
    /// The name to find in the server's certificate, when it is not the URL's host.
    pub server_name: Option<String>,
}

impl ClusterAddress {
    /// The cluster at its own endpoint.
    pub fn new(endpoint: &ControlPlaneEndpoint, ca_certificate_pem: impl Into<String>) -> Self {
        Self {
            url: endpoint.url(),
            ca_certificate_pem: ca_certificate_pem.into(),
            server_name: None,
        }
    }
}

/// A cluster's API as one client sees it. Clones share the connection.
#[derive(Clone)]
pub struct Cluster {
    client: kube::Client,
    url: String,
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Cluster")
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

impl Cluster {
    /// The client behind it, for what is no object of the API: forwarded ports.
    pub(crate) fn client(&self) -> kube::Client {
        self.client.clone()
    }

    /// Prepares a connection; nothing is sent before the first request. Needs a tokio runtime.
    pub fn connect(address: &ClusterAddress, credential: &ClientCredential) -> Result<Self, AccessError> {
        // kube takes the process's provider. Whoever installed one before has installed ring as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let unusable = |what: &str, reason: &dyn ToString| AccessError::Unusable {
            url: address.url.clone(),
            what: what.to_owned(),
            reason: reason.to_string(),
        };
        let url = address
            .url
            .parse()
            .map_err(|error: http::uri::InvalidUri| unusable("the address", &error))?;
        let authorities: Vec<Vec<u8>> = Pem::iter_from_buffer(address.ca_certificate_pem.as_bytes())
            .map(|pem| pem.map(|pem| pem.contents))
            .collect::<Result<_, _>>()
            .map_err(|error| unusable("the cluster's certificate authority", &error))?;
        if authorities.is_empty() {
            return Err(unusable(
                "the cluster's certificate authority",
                &"it holds no certificate",
            ));
        }
        let mut config = kube::Config::new(url);
        config.root_cert = Some(authorities);
        config.tls_server_name.clone_from(&address.server_name);
        config.connect_timeout = Some(CONNECT_TIMEOUT);
        config.read_timeout = Some(SILENCE);
        config.reset_reader_on_write = true;
        // A refused eviction is an answer here, not a reason to ask again at once.
        config.default_retry = false;
        config.auth_info.client_certificate_data = Some(STANDARD.encode(&credential.certificate_pem));
        config.auth_info.client_key_data = Some(STANDARD.encode(&credential.key_pem).into());
        let client = kube::Client::try_from(config)
            .map_err(|error| unusable("the client certificate", &error::chain(&error)))?;
        Ok(Self {
            client,
            url: address.url.clone(),
        })
    }

    /// Whether the API server says that it is ready to serve (`/readyz`).
    pub async fn ready(&self) -> Result<bool, AccessError> {
        self.probe("/readyz").await
    }

    /// Whether the API server says that etcd answers it (`/readyz/etcd`), by a read that needs etcd's quorum.
    pub async fn reaches_etcd(&self) -> Result<bool, AccessError> {
        self.probe("/readyz/etcd").await
    }

    async fn probe(&self, path: &'static str) -> Result<bool, AccessError> {
        let request = http::Request::get(path)
            .body(Vec::new())
            .expect("a constant path is a valid request");
        match self.client.request_text(request).await {
            Ok(_) => Ok(true),
            Err(kube::Error::Api(status)) if status.code >= 500 => Ok(false),
            Err(error) => Err(self.error("ask whether it is ready", &error)),
        }
    }

    /// Waits until the API server is ready to serve.
    ///
    /// Gives up at once when the server proves to be another cluster's: that does not pass.
    pub async fn wait_ready(&self, deadline: Instant, stop: impl Future<Output = ()>) -> Result<(), AccessError> {
        let mut patience = Patience::new(deadline, stop);
        let mut last = "it was not asked".to_owned();
        loop {
            match patience.within(self.ready()).await {
                Ok(Ok(true)) => return Ok(()),
                Ok(Ok(false)) => "it says that it is not ready yet".clone_into(&mut last),
                Ok(Err(error @ AccessError::Untrusted { .. })) => return Err(error),
                Ok(Err(error)) => last = error.to_string(),
                Err(interrupted) => return Err(self.interrupted(interrupted, "the API server to be ready", &last)),
            }
            if let Err(interrupted) = patience.pause(READY_PAUSE).await {
                return Err(self.interrupted(interrupted, "the API server to be ready", &last));
            }
        }
    }

    /// The API server's version.
    pub async fn version(&self) -> Result<KubernetesVersion, AccessError> {
        const ACTION: &str = "ask for its version";
        let info = self
            .client
            .apiserver_version()
            .await
            .map_err(|error| self.error(ACTION, &error))?;
        KubernetesVersion::from_git_version(&info.git_version).map_err(|error| AccessError::Unexpected {
            url: self.url.clone(),
            action: ACTION.to_owned(),
            reason: error.to_string(),
        })
    }

    /// Installs the rights of the node credential; see [`crate::node_group_access`].
    pub async fn install_node_group_access(
        &self,
        deadline: Instant,
        stop: impl Future<Output = ()>,
    ) -> Result<(), ApplyError> {
        self.apply(&crate::node_group_access::manifest(), deadline, stop)
            .await
            .map(|_| ())
    }

    fn error(&self, action: impl Into<String>, error: &kube::Error) -> AccessError {
        AccessError::new(&self.url, action.into(), error)
    }

    fn interrupted(&self, interrupted: patience::Interrupted, what: &str, last: &str) -> AccessError {
        match interrupted {
            patience::Interrupted::Deadline => AccessError::TimedOut {
                url: self.url.clone(),
                what: what.to_owned(),
                last: last.to_owned(),
            },
            patience::Interrupted::Stop => AccessError::Stopped {
                what: what.to_owned(),
                last: last.to_owned(),
            },
        }
    }
}
