//! Puts the namespaces and roles that every cluster has into a new cluster.

use serde_json::{Value, json};

use super::roles;
use crate::object::ObjectExt as _;
use crate::objects::Api;
use crate::status::ApiError;

/// Makes what is missing of the default namespaces, roles and bindings; leaves alone what is there.
pub(crate) async fn install_default_roles(api: &Api) -> Result<(), ApiError> {
    for name in ["default", "kube-system", "kube-public", "kube-node-lease"] {
        let namespace = json!({"metadata": {"name": name, "labels": {"kubernetes.io/metadata.name": name}}});
        ensure(api, "namespaces", namespace).await?;
    }
    for role in roles::cluster_roles() {
        ensure(api, "clusterroles.rbac.authorization.k8s.io", role).await?;
    }
    for binding in roles::cluster_role_bindings() {
        ensure(api, "clusterrolebindings.rbac.authorization.k8s.io", binding).await?;
    }
    for (plural, object) in roles::kubeadm_roles() {
        ensure(api, &format!("{plural}.rbac.authorization.k8s.io"), object).await?;
    }
    for (name, value) in [
        ("system-node-critical", 2_000_001_000),
        ("system-cluster-critical", 2_000_000_000),
    ] {
        let class = json!({"metadata": {"name": name}, "value": value});
        ensure(api, "priorityclasses.scheduling.k8s.io", class).await?;
    }
    Ok(())
}

async fn ensure(api: &Api, id: &str, object: Value) -> Result<(), ApiError> {
    let namespace = object.namespace().to_owned();
    if api.store.get(id, &namespace, object.name()).is_some() {
        return Ok(());
    }
    match api.add(id, &namespace, object).await {
        Err(error) if error.reason == "AlreadyExists" => Ok(()),
        other => other.map(drop),
    }
}
