//! What a pod needs to be there before its containers can be made.

use serde_json::Value;

use super::events;
use super::node::Node;

/// Waits until the `ConfigMaps` and `Secrets` that the pod mounts exist, as a real kubelet does.
pub(super) async fn wait_for_sources(node: &Node<'_>, pod: &Value) {
    let namespace = pod["metadata"]["namespace"].as_str().unwrap_or_default();
    for (volume, collection, name) in sources(pod) {
        let path = format!("/api/v1/namespaces/{namespace}/{collection}/{name}");
        let mut said = false;
        while let Err(error) = node.api.get(&path).await {
            if !said && error.is_not_found() {
                let message = format!("MountVolume.SetUp failed for volume \"{volume}\" : {error}");
                events::warn_of_pod(node, pod, "FailedMount", &message).await;
                said = true;
            }
            node.pause().await;
        }
    }
}

/// Volume, collection and name of every source that the pod cannot do without.
fn sources(pod: &Value) -> Vec<(String, &'static str, String)> {
    let volumes = pod["spec"]["volumes"].as_array().into_iter().flatten();
    volumes
        .filter_map(|volume| {
            let (collection, source, field) = if volume["configMap"].is_object() {
                ("configmaps", &volume["configMap"], "name")
            } else {
                ("secrets", &volume["secret"], "secretName")
            };
            let name = source[field].as_str().filter(|_| source["optional"] != true)?;
            Some((
                volume["name"].as_str().unwrap_or_default().to_owned(),
                collection,
                name.to_owned(),
            ))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_sources_that_must_exist_are_waited_for() {
        let pod = json!({"spec": {"volumes": [
            {"name": "config", "configMap": {"name": "settings"}},
            {"name": "extra", "configMap": {"name": "extra", "optional": true}},
            {"name": "key", "secret": {"secretName": "tls"}},
            {"name": "scratch", "emptyDir": {}},
            {"name": "cni", "hostPath": {"path": "/etc/cni/net.d"}},
        ]}});
        let expected = [("config", "configmaps", "settings"), ("key", "secrets", "tls")];
        let expected = expected.map(|(volume, kind, name)| (volume.to_owned(), kind, name.to_owned()));
        assert_eq!(sources(&pod), expected);
    }
}
