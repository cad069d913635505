//! kube-rs forwards ports of pods.

use crate::fixture::{Cluster, node};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{Api, PostParams};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

fn typed<T: serde::de::DeserializeOwned>(value: serde_json::Value) -> T {
    serde_json::from_value(value).unwrap()
}

/// A static pod's mirror, as its kubelet makes it.
fn mirror(name: &str, node: &str) -> Pod {
    typed(json!({
        "metadata": {"name": name, "annotations": {"kubernetes.io/config.mirror": "x"}},
        "spec": {"nodeName": node, "hostNetwork": true, "containers": [{"name": "etcd", "image": "etcd"}]},
    }))
}

async fn with_pods(cluster: &Cluster) -> Api<Pod> {
    let client = cluster.client(&cluster.admin()).await;
    let nodes: Api<Node> = Api::all(client.clone());
    let pods: Api<Pod> = Api::namespaced(client, "kube-system");
    for name in ["m1", "dead"] {
        let made = node(name, "us-central1-a");
        nodes.create(&PostParams::default(), &typed(made)).await.unwrap();
        let pod = mirror(&format!("etcd-{name}"), name);
        pods.create(&PostParams::default(), &pod).await.unwrap();
    }
    pods
}

/// Answers everything that comes with the same bytes.
async fn echo() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut reader, mut writer) = stream.split();
                tokio::io::copy(&mut reader, &mut writer).await
            });
        }
    });
    port
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_go_to_a_pods_ports_and_back() {
    let cluster = Cluster::start().await;
    let pods = with_pods(&cluster).await;
    let (first, second) = (echo().await, echo().await);
    let mut forwarder = pods.portforward("etcd-m1", &[first, second]).await.unwrap();
    let mut one = forwarder.take_stream(first).unwrap();
    let mut two = forwarder.take_stream(second).unwrap();
    two.write_all(b"to the other port").await.unwrap();
    let sent: Vec<u8> = (0..300_000u32).map(|at| at.to_le_bytes()[1]).collect();
    let mut found = vec![0; sent.len()];
    let (mut reader, mut writer) = tokio::io::split(&mut one);
    let (written, read) = tokio::join!(writer.write_all(&sent), reader.read_exact(&mut found));
    written.unwrap();
    read.unwrap();
    assert!(found == sent, "what came back is not what was sent");
    let mut text = [0; 17];
    two.read_exact(&mut text).await.unwrap();
    assert_eq!(&text, b"to the other port");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_cannot_be_reached_is_an_error_on_its_channel() {
    let cluster = Cluster::start().await;
    let pods = with_pods(&cluster).await;
    let mut forwarder = pods.portforward("etcd-dead", &[2379]).await.unwrap();
    let error = forwarder.take_error(2379).unwrap().await.unwrap();
    assert_eq!(
        error,
        "error forwarding port 2379 to pod etcd-dead: the kubelet of dead does not answer"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_forward_ports_is_refused() {
    let cluster = Cluster::start().await;
    with_pods(&cluster).await;
    let refused = async |client: kube::Client, name: &str| {
        let request = http::Request::get(format!(
            "/api/v1/namespaces/kube-system/pods/{name}/portforward?ports=2379"
        ))
        .body(kube::client::Body::empty())
        .unwrap();
        client.send(request).await.unwrap().status().as_u16()
    };
    let jane = cluster.client(&cluster.ca.client("jane", &["web"])).await;
    assert_eq!(refused(jane, "etcd-m1").await, 403);
    let admin = cluster.client(&cluster.admin()).await;
    assert_eq!(refused(admin.clone(), "etcd-m2").await, 404);
    // Nobody asked for an upgrade.
    assert_eq!(refused(admin, "etcd-m1").await, 400);
}
