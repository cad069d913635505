//! The two secrets in the cloud's secret store, as JSON.
//!
//! The first holds the authorities' keys under the file names kubeadm wants, so that the script on a master is a small
//! loop; only the masters' machine identity and the cluster's owner read it. The second holds the node credential.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Authority, CertificateFacts, ClientCredential, ClusterPki, PkiError, ServiceAccountKey};

/// The version of both secrets' layout.
pub const SECRET_FORMAT: u64 = 1;

#[derive(Serialize, Deserialize)]
struct PkiSecret {
    format: u64,
    files: BTreeMap<String, String>,
}

#[derive(Serialize, Deserialize)]
struct NodeSecret {
    format: u64,
    ca_certificate: String,
    client_certificate: String,
    client_key: String,
}

#[derive(Deserialize)]
struct Format {
    format: u64,
}

/// What those who own node groups hold: it makes bootstrap tokens, labels and drains nodes, and nothing more.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NodeCredential {
    /// The cluster's authority: what API servers and joining machines are checked against.
    pub ca_certificate_pem: String,
    /// The certificate of [`super::NODE_GROUPS_USER`].
    pub client: ClientCredential,
}

impl ClusterPki {
    /// `{"format":1,"files":{"ca.crt":"PEM",...}}`.
    pub fn to_secret(&self) -> Vec<u8> {
        let files = self.files().map(|(name, pem)| (name.to_owned(), pem.to_owned())).into();
        to_json(&PkiSecret {
            format: SECRET_FORMAT,
            files,
        })
    }

    /// Each file with its path below `/etc/kubernetes/pki`.
    pub fn files(&self) -> [(&'static str, &str); 8] {
        [
            ("ca.crt", &self.ca.certificate_pem),
            ("ca.key", &self.ca.key_pem),
            ("front-proxy-ca.crt", &self.front_proxy_ca.certificate_pem),
            ("front-proxy-ca.key", &self.front_proxy_ca.key_pem),
            ("etcd/ca.crt", &self.etcd_ca.certificate_pem),
            ("etcd/ca.key", &self.etcd_ca.key_pem),
            ("sa.key", &self.service_account.private_pem),
            ("sa.pub", &self.service_account.public_pem),
        ]
    }

    /// Reads the secret back and checks that each authority is one and has its own key.
    pub fn from_secret(secret: &[u8]) -> Result<Self, PkiError> {
        const WHAT: &str = "the secret with the cluster's certificate authorities";
        let mut files = read::<PkiSecret>(secret, WHAT)?.files;
        let mut take = |name: &str| {
            files.remove(name).ok_or_else(|| PkiError::Unusable {
                what: WHAT.to_owned(),
                reason: format!("{name} is missing"),
            })
        };
        let mut authority = |name: &str| -> Result<Authority, PkiError> {
            let authority = Authority {
                certificate_pem: take(&format!("{name}.crt"))?,
                key_pem: take(&format!("{name}.key"))?,
            };
            authority.check().map_err(|reason| PkiError::Unusable {
                what: format!("{name}.crt in {WHAT}"),
                reason,
            })?;
            Ok(authority)
        };
        Ok(Self {
            ca: authority("ca")?,
            front_proxy_ca: authority("front-proxy-ca")?,
            etcd_ca: authority("etcd/ca")?,
            service_account: ServiceAccountKey {
                private_pem: take("sa.key")?,
                public_pem: take("sa.pub")?,
            },
        })
    }
}

impl Authority {
    /// Whether the certificate is an authority's and the key belongs to it.
    fn check(&self) -> Result<(), String> {
        let facts = CertificateFacts::read(&self.certificate_pem).map_err(|error| error.to_string())?;
        if !facts.is_authority {
            return Err("it is not a certificate authority".to_owned());
        }
        let key = rcgen::KeyPair::from_pem(&self.key_pem).map_err(|error| format!("its key: {error}"))?;
        let certified =
            super::certificate::public_key_info(&self.certificate_pem).map_err(|error| error.to_string())?;
        if rcgen::PublicKeyData::subject_public_key_info(&key) != certified {
            return Err("its key belongs to another certificate".to_owned());
        }
        Ok(())
    }
}

impl NodeCredential {
    /// `{"format":1,"ca_certificate":...,"client_certificate":...,"client_key":...}`.
    pub fn to_secret(&self) -> Vec<u8> {
        to_json(&NodeSecret {
            format: SECRET_FORMAT,
            ca_certificate: self.ca_certificate_pem.clone(),
            client_certificate: self.client.certificate_pem.clone(),
            client_key: self.client.key_pem.clone(),
        })
    }

    /// Reads the secret back.
    pub fn from_secret(secret: &[u8]) -> Result<Self, PkiError> {
        let secret = read::<NodeSecret>(secret, "the secret with the node credential")?;
        Ok(Self {
            ca_certificate_pem: secret.ca_certificate,
            client: ClientCredential {
                certificate_pem: secret.client_certificate,
                key_pem: secret.client_key,
            },
        })
    }

    /// The hash by which joining machines recognise the cluster; see [`Authority::certificate_hash`].
    pub fn ca_certificate_hash(&self) -> Result<String, PkiError> {
        super::certificate_hash(&self.ca_certificate_pem)
    }
}

fn to_json(secret: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(secret).expect("text and numbers always serialise")
}

/// Reads the format before the rest, so that a newer layout is named as such.
fn read<'a, T: Deserialize<'a>>(secret: &'a [u8], what: &str) -> Result<T, PkiError> {
    // The reason says where, never what: the text is secret.
    let unusable = |error: serde_json::Error| PkiError::Unusable {
        what: what.to_owned(),
        reason: format!(
            "not the JSON it should be, at line {} column {}",
            error.line(),
            error.column()
        ),
    };
    let Format { format } = serde_json::from_slice(secret).map_err(unusable)?;
    if format != SECRET_FORMAT {
        return Err(PkiError::UnknownFormat {
            what: what.to_owned(),
            found: format,
        });
    }
    serde_json::from_slice(secret).map_err(unusable)
}
