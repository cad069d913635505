//! Puts the namespaces and roles that every cluster has into a new cluster.

use futures::{StreamExt as _, TryStreamExt as _};
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
    let mut rest: Vec<(String, Value)> = Vec::new();
    let rbac = |plural: &str| format!("{plural}.rbac.authorization.k8s.io");
    rest.extend(
        roles::cluster_roles()
            .into_iter()
            .map(|one| (rbac("clusterroles"), one)),
    );
    rest.extend(
        roles::cluster_role_bindings()
            .into_iter()
            .map(|one| (rbac("clusterrolebindings"), one)),
    );
    rest.extend(
        roles::kubeadm_roles()
            .into_iter()
            .map(|(plural, one)| (rbac(plural), one)),
    );
    for (name, value) in [
        ("system-node-critical", 2_000_001_000),
        ("system-cluster-critical", 2_000_000_000),
    ] {
        let class = json!({"metadata": {"name": name}, "value": value});
        rest.push(("priorityclasses.scheduling.k8s.io".to_owned(), class));
    }
    // Many at a time: etcd makes writes durable together that come together.
    futures::stream::iter(rest)
        .map(|(id, object)| async move { ensure(api, &id, object).await })
        .buffer_unordered(16)
        .try_collect()
        .await
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
