//! Client certificates and bootstrap tokens.

use base64::Engine as _;
use jiff::Timestamp;
use serde_json::Value;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::Identity;
use crate::object::ObjectExt as _;
use crate::store::Store;
use crate::time;

/// The user of a client certificate that the TLS layer has verified: CN is the name, each O a group.
pub(crate) fn identity_of_certificate(der: &[u8]) -> Option<Identity> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let subject = certificate.subject();
    let user = subject.iter_common_name().next()?.as_str().ok()?.to_owned();
    let mut groups: Vec<String> = subject
        .iter_organization()
        .filter_map(|one| one.as_str().ok().map(str::to_owned))
        .collect();
    groups.push("system:authenticated".to_owned());
    Some(Identity {
        user,
        groups,
        ..Identity::default()
    })
}

/// The user of a bearer token: a bootstrap token whose Secret allows signing in and has not expired.
pub(crate) fn authenticate_token(store: &Store, token: &str, now: Timestamp) -> Option<Identity> {
    let (id, secret) = token.split_once('.')?;
    let valid = |text: &str, length| {
        text.len() == length
            && text
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    };
    if !valid(id, 6) || !valid(secret, 16) {
        return None;
    }
    let found = store.get("secrets", "kube-system", &format!("bootstrap-token-{id}"))?;
    if found.text("/type") != TOKEN_TYPE || found.is_deleting() {
        return None;
    }
    let same = token_field(&found, "token-id") == id && same_secret(&token_field(&found, "token-secret"), secret);
    if !same || token_field(&found, "usage-bootstrap-authentication") != "true" || has_expired(&found, now) {
        return None;
    }
    let mut groups = vec!["system:bootstrappers".to_owned()];
    groups.extend(
        token_field(&found, "auth-extra-groups")
            .split(',')
            .map(str::trim)
            .filter(|group| group.starts_with("system:bootstrappers:"))
            .map(str::to_owned),
    );
    groups.push("system:authenticated".to_owned());
    Some(Identity {
        user: format!("system:bootstrap:{id}"),
        groups,
        ..Identity::default()
    })
}

/// The type of Secrets that are bootstrap tokens.
pub(crate) const TOKEN_TYPE: &str = "bootstrap.kubernetes.io/token";

/// A field of a bootstrap token's Secret, decoded.
pub(crate) fn token_field(secret: &Value, field: &str) -> String {
    let encoded = secret.text(&format!("/data/{field}"));
    let bytes = base64::engine::general_purpose::STANDARD
        .decode(encoded)
        .unwrap_or_default();
    String::from_utf8(bytes).unwrap_or_default()
}

/// Whether a bootstrap token's time is over.  An expiration that is no time counts as over.
pub(crate) fn has_expired(secret: &Value, now: Timestamp) -> bool {
    let expiration = token_field(secret, "expiration");
    !expiration.is_empty() && time::parse(&expiration).is_none_or(|end| end <= now)
}

/// Compares in a time that does not depend on where they differ.
fn same_secret(left: &str, right: &str) -> bool {
    let (left, right) = (left.as_bytes(), right.as_bytes());
    left.len() == right.len() && left.iter().zip(right).fold(0, |so_far, (a, b)| so_far | (a ^ b)) == 0
}
