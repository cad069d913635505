//! Mirror pods: how the static pods of a machine show in the API.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::KubeletError;
use super::node::{Node, seconds};
use crate::api::ApiError;
use crate::hex::hex;
use crate::machine::MANIFESTS;

const PODS: &str = "/api/v1/namespaces/kube-system/pods";
/// How often the kubelet looks at the directory, and whether its mirror pods are still there.
const LOOK: Duration = Duration::from_secs(20);
const LEAST_LOOK: Duration = Duration::from_millis(500);

/// Keeps a mirror pod for every manifest, for ever.
pub(super) async fn mirror(node: &Node<'_>) -> KubeletError {
    let seen = seconds(Timestamp::now());
    loop {
        if let Err(error) = mirror_once(node, &seen).await {
            tracing::debug!(node = node.settings.node_name, %error, "mirror pods are not up to date");
            node.pause().await;
            continue;
        }
        tokio::time::sleep(node.machine.interval(LOOK, LEAST_LOOK)).await;
    }
}

async fn mirror_once(node: &Node<'_>, seen: &str) -> Result<(), ApiError> {
    let files = node.machine.disk.list(MANIFESTS).unwrap_or_default();
    if files.is_empty() {
        return Ok(());
    }
    let object = node
        .api
        .get(&format!("/api/v1/nodes/{}", node.settings.node_name))
        .await?;
    for file in files {
        let Ok(Some(text)) = node.machine.disk.text(&format!("{MANIFESTS}/{file}")) else {
            continue;
        };
        let pod: Value = match serde_saphyr::from_str(&text) {
            Ok(pod) => pod,
            Err(error) => {
                node.machine
                    .console
                    .say("kubelet", format!("Could not process manifest file {file}: {error}"));
                continue;
            }
        };
        mirror_pod(node, &object, pod, &text, seen).await?;
    }
    Ok(())
}

async fn mirror_pod(node: &Node<'_>, owner: &Value, pod: Value, text: &str, seen: &str) -> Result<(), ApiError> {
    let digest = Sha256::digest(text);
    let hash = hex(&digest[..16]);
    let name = format!(
        "{}-{}",
        pod["metadata"]["name"].as_str().unwrap_or_default(),
        node.settings.node_name
    );
    let path = format!("{PODS}/{name}");
    match node.api.get(&path).await {
        Ok(present) if present["metadata"]["annotations"]["kubernetes.io/config.hash"] == hash.as_str() => {
            return Ok(());
        }
        Ok(present) => {
            let options = json!({"gracePeriodSeconds": 0, "preconditions": {"uid": present["metadata"]["uid"]}});
            node.api.delete(&path, &options).await?;
        }
        Err(error) if error.is_not_found() => {}
        Err(error) => return Err(error),
    }
    let mut mirror = pod;
    mirror["metadata"]["name"] = name.into();
    mirror["metadata"]["namespace"] = "kube-system".into();
    for (annotation, value) in [
        ("hash", hash.as_str()),
        ("mirror", &hash),
        ("seen", seen),
        ("source", "file"),
    ] {
        mirror["metadata"]["annotations"][format!("kubernetes.io/config.{annotation}")] = value.into();
    }
    mirror["metadata"]["ownerReferences"] = json!([{
        "apiVersion": "v1",
        "kind": "Node",
        "name": node.settings.node_name,
        "uid": owner["metadata"]["uid"],
        "controller": true,
    }]);
    mirror["spec"]["nodeName"] = node.settings.node_name.clone().into();
    mirror["spec"]["priority"] = 2_000_001_000.into();
    mirror["spec"]["tolerations"] = json!([{"effect": "NoExecute", "operator": "Exists"}]);
    match node.api.create(PODS, &mirror).await {
        Err(error) if !error.already_exists() => Err(error),
        _ => Ok(()),
    }
}
