//! Bootstrap tokens in the cluster: made for one operation, deleted after it.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{DeleteParams, ObjectMeta, PostParams};

use super::{AccessError, Cluster};
use crate::bootstrap_token::{BootstrapToken, MAXIMUM_LIFETIME};

/// The group that kubeadm lets join as workers.
const GROUP: &str = "system:bootstrappers:kubeadm:default-node-token";

/// A token that was not made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Asked for too long a life.
    #[error("a bootstrap token lives {max} s at most, {} s were asked for", .0.as_secs(), max = MAXIMUM_LIFETIME.as_secs())]
    LivesTooLong(Duration),
    /// The request failed.
    #[error(transparent)]
    Access(#[from] AccessError),
}

impl TokenError {
    /// What the user can do about it.
    pub fn advice(&self) -> &'static str {
        match self {
            Self::LivesTooLong(_) => "The provider asked for too much: report it.",
            Self::Access(error) => error.advice(),
        }
    }
}

impl Cluster {
    /// Makes the token valid for joining workers until `now + lifetime`, at most half an hour.
    pub async fn create_bootstrap_token(
        &self,
        token: &BootstrapToken,
        now: Timestamp,
        lifetime: Duration,
    ) -> Result<(), TokenError> {
        let secret = secret(token, now, lifetime)?;
        let action = format!("make bootstrap token {}", token.id());
        self.secrets()
            .create(&PostParams::default(), &secret)
            .await
            .map(|_| ())
            .map_err(|error| self.error(action, &error).into())
    }

    /// Deletes the token with this ID; one that is gone already is no error.
    pub async fn delete_bootstrap_token(&self, id: &str) -> Result<(), AccessError> {
        match self
            .secrets()
            .delete(&format!("bootstrap-token-{id}"), &DeleteParams::default())
            .await
        {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            Err(error) => Err(self.error(format!("delete bootstrap token {id}"), &error)),
        }
    }

    fn secrets(&self) -> Api<Secret> {
        Api::namespaced(self.client.clone(), "kube-system")
    }
}

fn secret(token: &BootstrapToken, now: Timestamp, lifetime: Duration) -> Result<Secret, TokenError> {
    if lifetime > MAXIMUM_LIFETIME {
        return Err(TokenError::LivesTooLong(lifetime));
    }
    let expiration = (now + lifetime).strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let data = [
        ("auth-extra-groups", GROUP),
        ("description", "made by multizone for one join"),
        ("expiration", &expiration),
        ("token-id", token.id()),
        ("token-secret", token.secret()),
        ("usage-bootstrap-authentication", "true"),
        ("usage-bootstrap-signing", "true"),
    ];
    let data: BTreeMap<_, _> = data
        .into_iter()
        .map(|(key, value)| (key.to_owned(), ByteString(value.as_bytes().to_vec())))
        .collect();
    Ok(Secret {
        metadata: ObjectMeta {
            name: Some(token.secret_name()),
            namespace: Some("kube-system".to_owned()),
            ..ObjectMeta::default()
        },
        type_: Some("bootstrap.kubernetes.io/token".to_owned()),
        data: Some(data),
        ..Secret::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rule_tokens_live_half_an_hour_at_most() {
        let token = BootstrapToken::parse("abcdef.0123456789abcdef").unwrap();
        let now = "2026-01-02T03:04:05.678Z".parse().unwrap();
        let made = secret(&token, now, MAXIMUM_LIFETIME).unwrap();
        assert_eq!(made.metadata.name.as_deref(), Some("bootstrap-token-abcdef"));
        assert_eq!(made.data.unwrap()["expiration"].0, b"2026-01-02T03:34:05Z");
        let error = secret(&token, now, MAXIMUM_LIFETIME + Duration::from_secs(1)).unwrap_err();
        assert!(matches!(error, TokenError::LivesTooLong(_)), "{error}");
    }
}
