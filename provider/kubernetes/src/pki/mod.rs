//! The certificates and keys of a cluster: made once, kept in the cloud's secret store, never in Terraform's state.
//!
//! Everything is ECDSA P-256, which kubeadm, the API server and etcd all accept. kubeadm finds the authorities in
//! `/etc/kubernetes/pki` and signs every other certificate itself on the machine.

mod certificate;
mod secret;

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use rcgen::{CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use sha2::{Digest, Sha256};

pub use certificate::{CertificateFacts, ClientCredential};
pub use secret::{NodeCredential, SECRET_FORMAT};

/// The user that the node credential names; [`crate::node_group_access`] says what it may do.
pub const NODE_GROUPS_USER: &str = "multizone:node-groups";

/// The group that needs no RBAC binding: what the provider's own certificates, which live minutes, carry.
pub const SYSTEM_MASTERS: &str = "system:masters";

/// The group that kubeadm (1.29 and later) binds to cluster-admin: what people's kubeconfigs carry, because it can be
/// taken away by deleting the binding.
pub const CLUSTER_ADMINS: &str = "kubeadm:cluster-admins";

/// How long an authority is valid: ten years, as kubeadm's own.
const AUTHORITY_LIFETIME: Duration = Duration::from_hours(87600);

/// Certificates are valid from this long before they are made, for machines whose clock is behind.
const CLOCK_TOLERANCE: Duration = Duration::from_mins(10);

/// Why certificates could not be made or read.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// The key generator or the signer failed.
    #[error("cannot make {what}: {source}")]
    Generate {
        /// What was being made.
        what: String,
        /// The library's reason.
        source: rcgen::Error,
    },
    /// A certificate or key is not what it should be.
    #[error("{what} is not usable: {reason}")]
    Unusable {
        /// Which certificate, key or secret.
        what: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The secret was written by a newer provider.
    #[error(
        "{what} has format {found}, this provider reads format {SECRET_FORMAT}: use the newer provider that wrote it"
    )]
    UnknownFormat {
        /// Which secret.
        what: String,
        /// The format it has.
        found: u64,
    },
}

/// A certificate authority: its certificate and its private key.
#[derive(Clone, PartialEq, Eq)]
pub struct Authority {
    /// The certificate, PEM.
    pub certificate_pem: String,
    /// The private key, PKCS #8 PEM.
    pub key_pem: String,
}

/// The key pair that signs service-account tokens.
#[derive(Clone, PartialEq, Eq)]
pub struct ServiceAccountKey {
    /// The public key, PEM.
    pub public_pem: String,
    /// The private key, PKCS #8 PEM.
    pub private_pem: String,
}

/// Everything that makes a cluster's identity.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClusterPki {
    /// Signs API server, kubelet and user certificates.
    pub ca: Authority,
    /// Signs the aggregation layer's client certificate.
    pub front_proxy_ca: Authority,
    /// Signs etcd's certificates.
    pub etcd_ca: Authority,
    /// Signs service-account tokens.
    pub service_account: ServiceAccountKey,
}

impl fmt::Debug for Authority {
    /// Leaves the key out: debug output ends up in logs.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Authority")
            .field("certificate_pem", &self.certificate_pem)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for ServiceAccountKey {
    /// Leaves the key out: debug output ends up in logs.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ServiceAccountKey")
            .field("public_pem", &self.public_pem)
            .finish_non_exhaustive()
    }
}

impl Authority {
    /// A new self-signed authority with this common name, valid for ten years.
    pub fn generate(common_name: &str, now: Timestamp) -> Result<Self, PkiError> {
        let failed = |source| PkiError::Generate {
            what: format!("the certificate authority {common_name}"),
            source,
        };
        let key = KeyPair::generate().map_err(failed)?;
        let mut parameters = CertificateParams::new(vec![common_name.to_owned()]).map_err(failed)?;
        parameters.distinguished_name.push(DnType::CommonName, common_name);
        parameters.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        parameters.key_usages = vec![
            KeyUsagePurpose::DigitalSignature,
            KeyUsagePurpose::KeyEncipherment,
            KeyUsagePurpose::KeyCertSign,
        ];
        certificate::set_validity(&mut parameters, now, AUTHORITY_LIFETIME);
        let certificate = parameters.self_signed(&key).map_err(failed)?;
        Ok(Self {
            certificate_pem: certificate.pem(),
            key_pem: key.serialize_pem(),
        })
    }

    /// `sha256:<hex>` over the certificate's `SubjectPublicKeyInfo` in DER: what a joining machine pins
    /// (`discovery.bootstrapToken.caCertHashes`).
    pub fn certificate_hash(&self) -> Result<String, PkiError> {
        certificate_hash(&self.certificate_pem)
    }

    /// A server certificate for these names and addresses, valid for this long.
    pub fn server_credential(
        &self,
        common_name: &str,
        names: &[String],
        now: Timestamp,
        lifetime: Duration,
    ) -> Result<ClientCredential, PkiError> {
        certificate::sign(self, &certificate::Leaf::Server { common_name, names }, now, lifetime)
    }

    /// A client certificate for this user, in this group if any, valid for this long.
    pub fn client_credential(
        &self,
        user: &str,
        group: Option<&str>,
        now: Timestamp,
        lifetime: Duration,
    ) -> Result<ClientCredential, PkiError> {
        certificate::sign(self, &certificate::Leaf::Client { user, group }, now, lifetime)
    }

    fn issuer(&self) -> Result<Issuer<'static, KeyPair>, PkiError> {
        let unusable = |reason: rcgen::Error| PkiError::Unusable {
            what: "the certificate authority".to_owned(),
            reason: reason.to_string(),
        };
        let key = KeyPair::from_pem(&self.key_pem).map_err(unusable)?;
        Issuer::from_ca_cert_pem(&self.certificate_pem, key).map_err(unusable)
    }
}

impl ClusterPki {
    /// A new identity for a cluster.
    pub fn generate(now: Timestamp) -> Result<Self, PkiError> {
        let service_account = KeyPair::generate().map_err(|source| PkiError::Generate {
            what: "the service-account key".to_owned(),
            source,
        })?;
        Ok(Self {
            ca: Authority::generate("kubernetes", now)?,
            front_proxy_ca: Authority::generate("front-proxy-ca", now)?,
            etcd_ca: Authority::generate("etcd-ca", now)?,
            service_account: ServiceAccountKey {
                public_pem: service_account.public_key_pem(),
                private_pem: service_account.serialize_pem(),
            },
        })
    }

    /// The hash by which joining machines recognise this cluster; see [`Authority::certificate_hash`].
    pub fn ca_certificate_hash(&self) -> Result<String, PkiError> {
        self.ca.certificate_hash()
    }

    /// A certificate for one operation of the provider itself, as `multizone:operator` in [`SYSTEM_MASTERS`]: it works
    /// from the first second of a cluster and when its RBAC is broken, so it lives minutes.
    pub fn operator_credential(&self, now: Timestamp, lifetime: Duration) -> Result<ClientCredential, PkiError> {
        self.ca
            .client_credential("multizone:operator", Some(SYSTEM_MASTERS), now, lifetime)
    }

    /// An administrator's certificate, in [`CLUSTER_ADMINS`]: for a person's kubeconfig.
    pub fn admin_credential(&self, now: Timestamp, lifetime: Duration) -> Result<ClientCredential, PkiError> {
        self.ca
            .client_credential("multizone:admin", Some(CLUSTER_ADMINS), now, lifetime)
    }

    /// A certificate for one operation of the provider on etcd, which looks at nothing but who signed it.
    pub fn etcd_credential(&self, now: Timestamp, lifetime: Duration) -> Result<ClientCredential, PkiError> {
        self.etcd_ca
            .client_credential("multizone:operator", None, now, lifetime)
    }

    /// The credential of those who own node groups, to be kept in the second secret.
    pub fn node_credential(&self, now: Timestamp, lifetime: Duration) -> Result<NodeCredential, PkiError> {
        Ok(NodeCredential {
            ca_certificate_pem: self.ca.certificate_pem.clone(),
            client: self.ca.client_credential(NODE_GROUPS_USER, None, now, lifetime)?,
        })
    }
}

fn certificate_hash(certificate_pem: &str) -> Result<String, PkiError> {
    let spki = certificate::public_key_info(certificate_pem)?;
    Ok(format!("sha256:{}", hex(&Sha256::digest(spki))))
}

/// Bytes as hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use fmt::Write;
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            write!(text, "{byte:02x}").expect("writing to a String cannot fail");
            text
        })
}

#[cfg(test)]
mod tests;
