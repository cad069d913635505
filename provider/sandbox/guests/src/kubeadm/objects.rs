//! What kubeadm stores in a new cluster so that others can join it.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::{SignedDuration, Timestamp};
use rand::Rng as _;
use serde_json::{Value, json};

use super::documents::BootstrapToken;
use super::go_duration;
use crate::api::{Api, ApiError};

pub(super) const KUBE_SYSTEM: &str = "/api/v1/namespaces/kube-system";
const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";
/// The group of everybody who joins with a bootstrap token.
const JOINERS: &str = "system:bootstrappers:kubeadm:default-node-token";
/// How long kubeadm's own token lives when nothing else is said.
const TOKEN_LIFETIME: Duration = Duration::from_hours(24);

/// The group of admin.conf gets all rights; asked for with super-admin.conf, which has them by itself.
pub(super) async fn bind_cluster_admins(api: &Api) -> Result<(), ApiError> {
    let binding = cluster_role_binding("kubeadm:cluster-admins", "cluster-admin", "kubeadm:cluster-admins");
    api.create_or_replace(&format!("{RBAC}/clusterrolebindings"), &binding)
        .await
}

/// Stores a configuration in kube-system, readable by nodes and by those who join.
pub(super) async fn upload(api: &Api, name: &str, key: &str, yaml: &str) -> Result<(), ApiError> {
    let map = config_map("kube-system", name, &json!({key: yaml}));
    api.create_or_replace(&format!("{KUBE_SYSTEM}/configmaps"), &map)
        .await?;
    let role_name = if name == "kubeadm-config" {
        "kubeadm:nodes-kubeadm-config"
    } else {
        "kubeadm:kubelet-config"
    };
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": {"name": role_name, "namespace": "kube-system"},
        "rules": [{"apiGroups": [""], "resources": ["configmaps"], "resourceNames": [name], "verbs": ["get"]}],
    });
    let roles = format!("{RBAC}/namespaces/kube-system");
    api.create_or_replace(&format!("{roles}/roles"), &role).await?;
    let binding = role_binding(
        "kube-system",
        role_name,
        role_name,
        &[group(JOINERS), group("system:nodes")],
    );
    api.create_or_replace(&format!("{roles}/rolebindings"), &binding).await
}

/// The bootstrap-token phase: the token itself, and the rights of those who come with one.
pub(super) async fn bootstrap_token(api: &Api, tokens: &[BootstrapToken]) -> Result<(), String> {
    let default = [BootstrapToken::default()];
    for token in if tokens.is_empty() { &default } else { tokens } {
        let secret = token_secret(token)?;
        api.create_or_replace(&format!("{KUBE_SYSTEM}/secrets"), &secret)
            .await
            .map_err(|error| error.to_string())?;
    }
    let get_nodes = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "kubeadm:get-nodes"},
        "rules": [{"apiGroups": [""], "resources": ["nodes"], "verbs": ["get"]}],
    });
    let result = async {
        api.create_or_replace(&format!("{RBAC}/clusterroles"), &get_nodes)
            .await?;
        for (name, role, subject) in [
            ("kubeadm:get-nodes", "kubeadm:get-nodes", JOINERS),
            ("kubeadm:kubelet-bootstrap", "system:node-bootstrapper", JOINERS),
            (
                "kubeadm:node-autoapprove-bootstrap",
                "system:certificates.k8s.io:certificatesigningrequests:nodeclient",
                JOINERS,
            ),
            (
                "kubeadm:node-autoapprove-certificate-rotation",
                "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient",
                "system:nodes",
            ),
        ] {
            let binding = cluster_role_binding(name, role, subject);
            api.create_or_replace(&format!("{RBAC}/clusterrolebindings"), &binding)
                .await?;
        }
        Ok::<_, ApiError>(())
    };
    result.await.map_err(|error| error.to_string())
}

/// kube-public/cluster-info: the cluster's address and authority, readable by anybody.
pub(super) async fn cluster_info(api: &Api, kubeconfig: &str) -> Result<(), ApiError> {
    let map = config_map("kube-public", "cluster-info", &json!({"kubeconfig": kubeconfig}));
    api.create_or_replace("/api/v1/namespaces/kube-public/configmaps", &map)
        .await?;
    let name = "kubeadm:bootstrap-signer-clusterinfo";
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": {"name": name, "namespace": "kube-public"},
        "rules": [{"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["cluster-info"], "verbs": ["get"]}],
    });
    let public = format!("{RBAC}/namespaces/kube-public");
    api.create_or_replace(&format!("{public}/roles"), &role).await?;
    let anonymous = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "system:anonymous"});
    let binding = role_binding("kube-public", name, name, &[anonymous]);
    api.create_or_replace(&format!("{public}/rolebindings"), &binding).await
}

pub(super) fn config_map(namespace: &str, name: &str, data: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": namespace}, "data": data})
}

pub(super) fn group(name: &str) -> Value {
    json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": name})
}

pub(super) fn cluster_role_binding(name: &str, role: &str, to_group: &str) -> Value {
    cluster_role_binding_to(name, role, &group(to_group))
}

pub(super) fn cluster_role_binding_to(name: &str, role: &str, subject: &Value) -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [subject],
    })
}

pub(super) fn role_binding(namespace: &str, name: &str, role: &str, subjects: &[Value]) -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": name, "namespace": namespace},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": role},
        "subjects": subjects,
    })
}

/// The Secret of a bootstrap token.
fn token_secret(token: &BootstrapToken) -> Result<Value, String> {
    let text = token.token.clone().unwrap_or_else(random_token);
    let (id, secret) = text
        .split_once('.')
        .filter(|(id, secret)| id.len() == 6 && secret.len() == 16)
        .ok_or("the bootstrap token is not of the form \"[a-z0-9]{6}.[a-z0-9]{16}\"")?;
    let expiration = match (&token.expires, &token.ttl) {
        (Some(expires), _) => Some(expires.clone()),
        (None, ttl) => {
            let lifetime = match ttl {
                None => TOKEN_LIFETIME,
                Some(text) => go_duration(text).ok_or_else(|| format!("ttl {text:?} is not a duration"))?,
            };
            let end = SignedDuration::try_from(lifetime)
                .ok()
                .and_then(|lifetime| Timestamp::now().checked_add(lifetime).ok())
                .ok_or_else(|| format!("ttl {lifetime:?} is too long"))?;
            (!lifetime.is_zero()).then(|| end.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
        }
    };
    let list = |given: &[String], default: &[&str]| -> Vec<String> {
        if given.is_empty() {
            default.iter().map(|one| (*one).to_owned()).collect()
        } else {
            given.to_vec()
        }
    };
    let usages = list(&token.usages, &["signing", "authentication"]);
    let groups = list(&token.groups, &[JOINERS]);
    let mut data = serde_json::Map::new();
    let mut put = |key: &str, value: &str| {
        data.insert(key.to_owned(), STANDARD.encode(value).into());
    };
    put("token-id", id);
    put("token-secret", secret);
    put("description", token.description.as_deref().unwrap_or_default());
    put("auth-extra-groups", &groups.join(","));
    for usage in usages {
        put(&format!("usage-bootstrap-{usage}"), "true");
    }
    if let Some(expiration) = expiration {
        put("expiration", &expiration);
    }
    Ok(json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": format!("bootstrap-token-{id}"), "namespace": "kube-system"},
        "type": "bootstrap.kubernetes.io/token",
        "data": data,
    }))
}

fn random_token() -> String {
    const ALPHABET: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789";
    let mut random = rand::rng();
    let mut text: String = (0..22)
        .map(|_| char::from(ALPHABET[random.random_range(0..ALPHABET.len())]))
        .collect();
    text.insert(6, '.');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(secret: &Value, name: &str) -> String {
        let encoded = secret["data"][name].as_str().unwrap();
        String::from_utf8(STANDARD.decode(encoded).unwrap()).unwrap()
    }

    #[test]
    fn a_token_becomes_a_secret_that_expires() {
        let token = BootstrapToken {
            token: Some("abcdef.0123456789abcdef".to_owned()),
            ttl: Some("1m0s".to_owned()),
            ..BootstrapToken::default()
        };
        let secret = token_secret(&token).unwrap();
        assert_eq!(secret["metadata"]["name"], "bootstrap-token-abcdef");
        assert_eq!(field(&secret, "token-secret"), "0123456789abcdef");
        assert_eq!(field(&secret, "usage-bootstrap-authentication"), "true");
        let expires: Timestamp = field(&secret, "expiration").parse().unwrap();
        assert!(expires <= Timestamp::now() + SignedDuration::from_secs(61));
    }

    #[test]
    fn random_tokens_are_well_formed_and_malformed_ones_refused() {
        let secret = token_secret(&BootstrapToken::default()).unwrap();
        assert_eq!(field(&secret, "token-id").len(), 6);
        let wrong = BootstrapToken {
            token: Some("abc".to_owned()),
            ..BootstrapToken::default()
        };
        assert!(token_secret(&wrong).is_err());
    }
}
