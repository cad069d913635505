//! Who is asked for what the cloud cannot say.

use std::{collections::BTreeSet, fmt::Debug, net::Ipv4Addr, time::Duration};

use async_trait::async_trait;
use multizone_cloud::{ClusterName, Machine};
use multizone_kubernetes::{
    API_SERVER_PORT,
    cluster_access::{AccessError, Cluster, ClusterAddress, serving_certificate},
    endpoint::ControlPlaneEndpoint,
    pki::{CertificateFacts, ClientCredential, ClusterPki},
};
use multizone_schema::Diagnostics;
use tokio::time::timeout;

use crate::{
    configuration::Configured,
    resources::{cluster::ClusterFacts, trouble::Situation},
};

/// How long an answer may take.
const LOOK: Duration = Duration::from_secs(5);
/// A certificate for one operation outlives the longest of them.
pub(crate) const LIFETIME: Duration = Duration::from_hours(2);

/// Answers what only the API servers themselves can say.
#[async_trait]
pub(crate) trait Asks: Send + Sync + Debug {
    /// Whether a master's own API server says that it is ready, asked directly.
    async fn serves(&self, machine: &Machine) -> bool;
    /// Whether a request through the API's address is answered by an API server that is ready.
    async fn answers(&self) -> bool;
    /// A connection to the API at its address, where there is somebody to be asked.
    fn endpoint(&self) -> Option<Cluster> {
        None
    }
}

/// The API servers of one cluster.
pub(crate) struct Api {
    endpoint: ControlPlaneEndpoint,
    authority: String,
    credential: ClientCredential,
    /// The zones that the cluster spans, where that is known.
    pub(crate) spanned: Option<BTreeSet<String>>,
}

impl Debug for Api {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Api")
            .field("endpoint", &self.endpoint)
            .finish_non_exhaustive()
    }
}

impl Api {
    /// Prepares to ask; nothing is sent yet.
    pub(crate) async fn of(
        provider: &Configured,
        cluster: &ClusterName,
        situation: &Situation<'_>,
    ) -> Result<Self, Diagnostics> {
        let facts = ClusterFacts::find(provider, cluster, situation).await?;
        let pki = facts.pki(provider, situation).await?;
        Self::with(&facts, &pki, provider, situation)
    }

    /// The same for a cluster whose keys are there already.
    pub(crate) fn with(
        facts: &ClusterFacts,
        pki: &ClusterPki,
        provider: &Configured,
        situation: &Situation<'_>,
    ) -> Result<Self, Diagnostics> {
        let credential = pki.operator_credential(provider.now(), LIFETIME).map_err(|error| {
            let what = format!("A certificate for asking the Kubernetes API cannot be made: {error}.");
            situation.error(&what, "This is an error in the provider.")
        })?;
        Ok(Self {
            spanned: facts.settings.zones.clone(),
            authority: facts.settings.ca_certificate.clone(),
            endpoint: facts.endpoint.clone(),
            credential,
        })
    }

    /// A connection to the API at its endpoint.
    pub(crate) fn at_the_endpoint(&self) -> Result<Cluster, AccessError> {
        let address = ClusterAddress::new(&self.endpoint, &self.authority);
        Cluster::connect(&address, &self.credential)
    }

    /// A connection to a master's own API server.  Its certificate names the endpoint, and its own address only within the
    /// network.
    pub(crate) fn connect(&self, machine: &Machine) -> Option<Cluster> {
        let address = self.address(machine.external_address.or(machine.address)?);
        Cluster::connect(&address, &self.credential).ok()
    }

    fn address(&self, address: Ipv4Addr) -> ClusterAddress {
        ClusterAddress {
            url: format!("https://{address}:{API_SERVER_PORT}"),
            ca_certificate_pem: self.authority.clone(),
            server_name: Some(self.endpoint.host.clone()),
        }
    }

    /// What the certificate says with which a master's own API server serves.
    pub(crate) async fn certificate(&self, machine: &Machine) -> Result<CertificateFacts, String> {
        let address = machine.external_address.or(machine.address);
        let address = self.address(address.ok_or("its machine has no address")?);
        match timeout(LOOK, serving_certificate(&address)).await {
            Ok(read) => read.map_err(|error| error.to_string()),
            Err(_) => Err(format!("no answer within {} s", LOOK.as_secs())),
        }
    }

    /// Whether a master's own API server says that etcd does not answer it.
    pub(crate) async fn misses_etcd(&self, machine: &Machine) -> bool {
        let ask = async { self.connect(machine)?.reaches_etcd().await.ok() };
        matches!(timeout(LOOK, ask).await, Ok(Some(false)))
    }

    /// Why the API does not answer at its endpoint.
    pub(crate) async fn silence(&self) -> String {
        why(self.at_the_endpoint()).await
    }

    /// Why a master's own API server does not answer.
    pub(crate) async fn why_not(&self, machine: &Machine) -> String {
        match self.connect(machine) {
            Some(connection) => why(Ok(connection)).await,
            None => "its machine has no address".to_owned(),
        }
    }

    /// One question on a connection of its own: one that was kept might lead to where the address was before.
    async fn ready(&self, connection: Option<Cluster>) -> bool {
        let ask = async { connection?.ready().await.ok() };
        matches!(timeout(LOOK, ask).await, Ok(Some(true)))
    }
}

#[async_trait]
impl Asks for Api {
    async fn serves(&self, machine: &Machine) -> bool {
        self.ready(self.connect(machine)).await
    }

    async fn answers(&self) -> bool {
        self.ready(self.at_the_endpoint().ok()).await
    }

    fn endpoint(&self) -> Option<Cluster> {
        self.at_the_endpoint().ok()
    }
}

async fn why(connection: Result<Cluster, AccessError>) -> String {
    let ask = async { connection?.ready().await };
    match timeout(LOOK, ask).await {
        Ok(Ok(true)) => "it answers by now".to_owned(),
        Ok(Ok(false)) => "its API server says that it is not ready".to_owned(),
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("no answer within {} s", LOOK.as_secs()),
    }
}
