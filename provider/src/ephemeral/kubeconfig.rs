//! `multizone_kubeconfig`: a way into a cluster that lasts minutes.

use std::time::Duration;

use async_trait::async_trait;
use multizone_kubernetes::{kubeconfig, pki::ClientCredential};
use multizone_schema::{Diagnostic, Diagnostics, Model, PlannedOf};

use super::{EphemeralResource, Opened};
use crate::{
    configuration::Configured,
    resources::{cluster::ClusterFacts, identity::ObjectId, timeouts, trouble::Situation},
    stop::Stop,
};

/// How long a credential lives unless told otherwise.
const LIFETIME: Duration = Duration::from_mins(15);
/// The longest life of a credential.
const LONGEST: Duration = Duration::from_hours(24);

/// A short-lived administrator's kubeconfig. It is made anew in every run of Terraform and is never written to plan or
/// state.
///
/// Other providers can use it: `kubernetes { host = ephemeral.multizone_kubeconfig.x.host ... }`.
#[derive(Model, Clone, PartialEq)]
pub struct Kubeconfig {
    /// `multizone_control_plane.NAME.id`: known once the API serves, so that this is not opened before.
    #[attribute(required)]
    pub control_plane: String,
    /// How long the credential lives, for example `15m` (the default); `24h` is the most.
    #[attribute(optional, validate = timeouts::duration)]
    pub lifetime: Option<String>,
    /// A kubeconfig file with everything inside.
    #[attribute(computed, sensitive)]
    pub kubeconfig: String,
    /// URL of the Kubernetes API.
    #[attribute(computed)]
    pub host: String,
    /// Certificate of the cluster's authority, in PEM.
    #[attribute(computed)]
    pub cluster_ca_certificate: String,
    /// The client's certificate, in PEM.
    #[attribute(computed, sensitive)]
    pub client_certificate: String,
    /// The client's key, in PEM.
    #[attribute(computed, sensitive)]
    pub client_key: String,
    /// When the credential ends, in RFC 3339.
    #[attribute(computed)]
    pub expires_at: String,
}

/// Serves `multizone_kubeconfig`.
#[derive(Debug)]
pub struct KubeconfigResource;

#[async_trait]
impl EphemeralResource for KubeconfigResource {
    type Model = Kubeconfig;

    fn type_name(&self) -> &'static str {
        "multizone_kubeconfig"
    }

    fn validate(&self, config: &PlannedOf<Kubeconfig>) -> Diagnostics {
        let lifetime = config.lifetime.known().and_then(|text| timeouts::parse(text));
        if lifetime.is_some_and(|lifetime| lifetime.is_zero() || lifetime > LONGEST) {
            return Diagnostic::error(
                "Lifetime out of range",
                "lifetime must be more than nothing and 24h at most.",
            )
            .at("lifetime")
            .into();
        }
        Diagnostics::new()
    }

    async fn open(
        &self,
        provider: &Configured,
        config: PlannedOf<Kubeconfig>,
        _stop: &Stop,
    ) -> Result<Opened<Kubeconfig>, Diagnostics> {
        let situation = Situation {
            doing: "make a kubeconfig",
            left: "Nothing was changed.",
        };
        let given = config.control_plane.known().cloned().unwrap_or_default();
        let id = ObjectId::parse_cluster(&given).map_err(|error| {
            Diagnostic::error(
                "Not a control plane",
                format!("control_plane: {error}. Write control_plane = multizone_control_plane.NAME.id."),
            )
            .at("control_plane")
        })?;
        let region = provider.cloud().region();
        if id.region != region {
            return Err(Diagnostic::error(
                "Not a control plane",
                format!(
                    "control_plane is {given}, but the provider works on region {region}. Use a provider of region {}.",
                    id.region
                ),
            )
            .at("control_plane")
            .into());
        }
        let facts = ClusterFacts::find(provider, &id.cluster, &situation).await?;
        let pki = facts.pki(provider, &situation).await?;
        let lifetime = config
            .lifetime
            .known()
            .and_then(|text| timeouts::parse(text))
            .unwrap_or(LIFETIME);
        let now = provider.now();
        let credential = pki.admin_credential(now, lifetime).map_err(|error| {
            situation.error(
                &format!("The certificate cannot be made: {error}."),
                "This is an error in the provider.",
            )
        })?;
        let file = kubeconfig::render(
            id.cluster.as_str(),
            &facts.endpoint,
            &facts.settings.ca_certificate,
            &credential,
        );
        let ClientCredential {
            certificate_pem,
            key_pem,
        } = credential;
        Ok(Opened {
            result: Kubeconfig {
                control_plane: given,
                lifetime: config.lifetime.into_known(),
                kubeconfig: file,
                host: facts.endpoint.url(),
                cluster_ca_certificate: facts.settings.ca_certificate,
                client_certificate: certificate_pem,
                client_key: key_pem,
                expires_at: (now + lifetime).strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            },
            renew_at: None,
            private: Vec::new(),
        })
    }
}
