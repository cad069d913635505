//! Who is asked for what the cloud cannot say.

use std::{collections::BTreeSet, fmt::Debug, time::Duration};

use async_trait::async_trait;
use multizone_cloud::{ClusterName, Machine};
use multizone_kubernetes::{
    API_SERVER_PORT,
    cluster_access::{Cluster, ClusterAddress},
    endpoint::ControlPlaneEndpoint,
    pki::ClientCredential,
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
const LIFETIME: Duration = Duration::from_hours(2);

/// Answers what only the API servers themselves can say.
#[async_trait]
pub(crate) trait Asks: Send + Sync + Debug {
    /// Whether a master's own API server says that it is ready, asked directly.
    async fn serves(&self, machine: &Machine) -> bool;
    /// Whether a request through the API's address is answered by an API server that is ready.
    async fn answers(&self) -> bool;
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
        let credential = pki.operator_credential(provider.now(), LIFETIME).map_err(|error| {
            let what = format!("A certificate for asking the Kubernetes API cannot be made: {error}.");
            situation.error(&what, "This is an error in the provider.")
        })?;
        Ok(Self {
            spanned: facts.settings.zones,
            authority: facts.settings.ca_certificate,
            endpoint: facts.endpoint,
            credential,
        })
    }

    /// One question on a connection of its own: one that was kept might lead to where the address was before.
    async fn ready(&self, url: String, server_name: Option<String>) -> bool {
        let address = ClusterAddress {
            url,
            ca_certificate_pem: self.authority.clone(),
            server_name,
        };
        let ask = async { Cluster::connect(&address, &self.credential)?.ready().await };
        matches!(timeout(LOOK, ask).await, Ok(Ok(true)))
    }
}

#[async_trait]
impl Asks for Api {
    async fn serves(&self, machine: &Machine) -> bool {
        let Some(address) = machine.external_address.or(machine.address) else {
            return false;
        };
        // Its certificate names the endpoint, and its own address only within the network.
        let url = format!("https://{address}:{API_SERVER_PORT}");
        self.ready(url, Some(self.endpoint.host.clone())).await
    }

    async fn answers(&self) -> bool {
        self.ready(self.endpoint.url(), None).await
    }
}
