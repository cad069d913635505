//! Signs the `cluster-info` `ConfigMap` with each bootstrap token, so that joining machines can trust it.
//!
//! The signature is a detached JWS (HS256, the token's secret as key) over the kubeconfig in the `ConfigMap`, kept
//! under `jws-kubeconfig-<token id>`, as kubeadm's discovery by token expects.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::Controller;
use crate::access::{TOKEN_TYPE, has_expired, token_field};
use crate::object::ObjectExt as _;
use crate::objects::{Api, Part};
use crate::status::ApiError;
use crate::store::Event;

/// The signer of `cluster-info`.
pub(super) struct BootstrapSigner;

const PREFIX: &str = "jws-kubeconfig-";

#[async_trait::async_trait]
impl Controller for BootstrapSigner {
    fn name(&self) -> &'static str {
        "bootstrap signer"
    }

    fn cares(&self, event: &Event) -> bool {
        (event.key.resource == "configmaps" && event.key.namespace == "kube-public")
            || (event.key.resource == "secrets" && event.key.namespace == "kube-system")
    }

    async fn reconcile(&mut self, api: &Api) -> Result<Option<Duration>, ApiError> {
        let Some(info) = api.store.get("configmaps", "kube-public", "cluster-info") else {
            return Ok(None);
        };
        let kubeconfig = info.text("/data/kubeconfig").to_owned();
        let mut wanted = BTreeMap::new();
        for secret in api.store.list("secrets", Some("kube-system")).0 {
            let signs = token_field(&secret, "usage-bootstrap-signing") == "true";
            if secret.text("/type") == TOKEN_TYPE && signs && !has_expired(&secret, Timestamp::now()) {
                let (id, key) = (token_field(&secret, "token-id"), token_field(&secret, "token-secret"));
                wanted.insert(format!("{PREFIX}{id}"), detached_signature(&id, &key, &kubeconfig));
            }
        }
        let found: BTreeMap<String, String> = info
            .entries("/data")
            .into_iter()
            .filter(|(key, _)| key.starts_with(PREFIX))
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect();
        if found == wanted {
            return Ok(None);
        }
        api.adjust("configmaps", "kube-public", "cluster-info", Part::Object, |info| {
            for key in found.keys() {
                info.take_out(&["data", key]);
            }
            // Signatures over another text would be wrong: the next run makes them.
            if info.text("/data/kubeconfig") == kubeconfig {
                for (key, signature) in &wanted {
                    info.put(&["data", key], json!(signature));
                }
            }
        })
        .await?;
        Ok(None)
    }
}

fn detached_signature(id: &str, secret: &str, payload: &str) -> String {
    let header = URL_SAFE_NO_PAD.encode(json!({"alg": "HS256", "kid": id}).to_string());
    let signed = format!("{header}.{}", URL_SAFE_NO_PAD.encode(payload));
    let signature = URL_SAFE_NO_PAD.encode(hmac_sha256(secret.as_bytes(), signed.as_bytes()));
    format!("{header}..{signature}")
}

/// RFC 2104 over SHA-256.
fn hmac_sha256(key: &[u8], message: &[u8]) -> [u8; 32] {
    const BLOCK: usize = 64;
    let mut padded = [0u8; BLOCK];
    if key.len() > BLOCK {
        padded[..32].copy_from_slice(&Sha256::digest(key));
    } else {
        padded[..key.len()].copy_from_slice(key);
    }
    let inner = Sha256::new()
        .chain_update(padded.map(|byte| byte ^ 0x36))
        .chain_update(message)
        .finalize();
    Sha256::new()
        .chain_update(padded.map(|byte| byte ^ 0x5c))
        .chain_update(inner)
        .finalize()
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hmac_matches_rfc_4231() {
        let expected = "W9zBRr9gdU5qBCQmCJV1x1oAPwidJzmDnexYuWTsOEM";
        let found = hmac_sha256(b"Jefe", b"what do ya want for nothing?");
        assert_eq!(URL_SAFE_NO_PAD.encode(found), expected);
    }
}
