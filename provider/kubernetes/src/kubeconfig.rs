//! kubeconfig files: one cluster, one user, one context.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use crate::endpoint::ControlPlaneEndpoint;
use crate::pki::ClientCredential;
use crate::yaml;

/// A kubeconfig for this credential, with everything inside: it needs no other file.
///
/// It holds a private key, so it is for ephemeral values, never for state.
pub fn render(
    cluster: &str,
    endpoint: &ControlPlaneEndpoint,
    ca_certificate_pem: &str,
    credential: &ClientCredential,
) -> String {
    let encode = |pem: &str| STANDARD.encode(pem);
    yaml::document(&json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{
            "name": cluster,
            "cluster": { "server": endpoint.url(), "certificate-authority-data": encode(ca_certificate_pem) },
        }],
        "users": [{
            "name": cluster,
            "user": {
                "client-certificate-data": encode(&credential.certificate_pem),
                "client-key-data": encode(&credential.key_pem),
            },
        }],
        "contexts": [{ "name": cluster, "context": { "cluster": cluster, "user": cluster } }],
        "current-context": cluster,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kubeconfig_names_the_cluster_throughout() {
        let credential = ClientCredential {
            certificate_pem: "CERTIFICATE".into(),
            key_pem: "KEY".into(),
        };
        insta::assert_snapshot!(render(
            "demo",
            &ControlPlaneEndpoint::new("203.0.113.10"),
            "CA",
            &credential
        ));
    }
}
