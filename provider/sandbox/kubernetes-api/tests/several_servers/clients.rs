//! What clients use, through servers that share an etcd.

use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{Api, PostParams};
use serde_json::json;

use crate::fixture::{Cluster, etcd_is_there, eventually, kubectl_is_there, node};
use crate::{client, typed};

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_works_through_each_server() {
    if !etcd_is_there() || !kubectl_is_there() {
        return;
    }
    let servers = Cluster::of_several_on_one_member(2, 1.0).await;
    let (first, second) = (servers[0].kubectl(), servers[1].kubectl());
    let manifest = |value: &str| {
        format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: m, namespace: default}}\ndata: {{key: {value}}}\n")
    };
    assert_eq!(first.apply(&manifest("one")).await, "configmap/m created\n");
    assert_eq!(second.apply(&manifest("two")).await, "configmap/m configured\n");
    assert_eq!(first.apply(&manifest("two")).await, "configmap/m unchanged\n");
    let key = ["get", "configmap", "m", "-o", "jsonpath={.data.key}"];
    assert_eq!(first.run(&key).await, "two");
    assert_eq!(second.run(&key).await, "two");
    eventually("both servers' endpoints", async || {
        let shown = second.run(&["get", "endpoints", "kubernetes", "--no-headers"]).await;
        (shown.contains("127.0.0.1:") && shown.contains("127.0.0.2:")).then_some(())
    })
    .await;
    assert_eq!(
        second.run(&["delete", "configmap", "m"]).await,
        "configmap \"m\" deleted\n"
    );
    assert!(!first.try_with(&key, "").await.ok);
}

#[tokio::test(flavor = "multi_thread")]
async fn etcd_answers_through_a_forwarded_port() {
    if !etcd_is_there() {
        return;
    }
    let servers = Cluster::of_several_on_one_member(1, 1.0).await;
    let (etcd, _) = servers[0].etcd.as_ref().unwrap();
    let client = client(&servers[0]).await;
    let nodes: Api<Node> = Api::all(client.clone());
    nodes
        .create(&PostParams::default(), &typed(node("m1", "us-central1-a")))
        .await
        .unwrap();
    let pods: Api<Pod> = Api::namespaced(client, "kube-system");
    let mirror = typed(json!({
        "metadata": {"name": "etcd-m1", "annotations": {"kubernetes.io/config.mirror": "x"}},
        "spec": {"nodeName": "m1", "hostNetwork": true, "containers": [{"name": "etcd", "image": "etcd"}]},
    }));
    pods.create(&PostParams::default(), &mirror).await.unwrap();
    let port: u16 = etcd.endpoint(0).rsplit(':').next().unwrap().parse().unwrap();
    let dial = move || {
        let pods = pods.clone();
        async move {
            let answer = pods.portforward("etcd-m1", &[port]).await;
            let mut forwarder = answer.map_err(std::io::Error::other)?;
            let stream = forwarder.take_stream(port).unwrap();
            // It pumps the bytes for as long as the stream lives.
            tokio::spawn(forwarder.join());
            Ok(stream)
        }
    };
    let channel = multizone_etcd_api::channel_over("127.0.0.1", Some(etcd.credentials()), dial).unwrap();
    let mut members = multizone_etcd_api::cluster_client::ClusterClient::new(channel);
    let request = multizone_etcd_api::MemberListRequest { linearizable: true };
    let found = members.member_list(request).await.unwrap().into_inner();
    assert_eq!(found.members.len(), 1);
    assert_eq!(found.members[0].name, "m0");
}
