//! The suites over an API server whose objects etcd's stand-in keeps, as it does where etcd is not installed; and two
//! servers that share one.

#![allow(clippy::unwrap_used, reason = "also the functions beside the tests may")]

mod fixture;
mod suites;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use fixture::{Ca, Cluster, eventually, stand_in};
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::{ConfigMap, Endpoints};
use kube::api::{Api, DeleteParams, PostParams, WatchEvent, WatchParams};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn two_servers_share_a_stand_in() {
    let directory = tempfile::tempdir().unwrap();
    let ca = Arc::new(Ca::new());
    let (etcd, endpoint) = stand_in(&ca, directory.path(), 60.0).await;
    let first = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let mut one = Cluster::on_member(&ca, first, endpoint.clone()).await;
    let second = SocketAddr::from((Ipv4Addr::new(127, 0, 0, 2), one.address.port()));
    let two = Cluster::on_member(&ca, second, endpoint).await;
    let maps =
        async |server: &Cluster| -> Api<ConfigMap> { Api::namespaced(server.client(&server.admin()).await, "default") };
    let (writer, reader) = (maps(&one).await, maps(&two).await);
    let map: ConfigMap = serde_json::from_value(json!({"metadata": {"name": "m", "labels": {"a": "b"}}})).unwrap();
    let made = writer.create(&PostParams::default(), &map).await.unwrap();
    let found = reader.get("m").await.unwrap();
    assert_eq!(found.metadata.resource_version, made.metadata.resource_version);
    let from = made.metadata.resource_version.clone().unwrap();
    let mut watch = reader
        .watch(&WatchParams::default().labels("a=b"), &from)
        .await
        .unwrap()
        .boxed();
    let mut next = made.clone();
    next.data.get_or_insert_default().insert("x".into(), "1".into());
    writer.replace("m", &PostParams::default(), &next).await.unwrap();
    let stale = reader.replace("m", &PostParams::default(), &found).await.unwrap_err();
    assert!(matches!(stale, kube::Error::Api(status) if status.code == 409));
    writer.delete("m", &DeleteParams::default()).await.unwrap();
    assert!(matches!(watch.next().await, Some(Ok(WatchEvent::Modified(_)))));
    assert!(matches!(watch.next().await, Some(Ok(WatchEvent::Deleted(_)))));

    // A killed server's record goes when its lease has expired.
    let endpoints: Api<Endpoints> = Api::namespaced(two.client(&two.admin()).await, "default");
    let leads_to = async |wanted: usize| {
        eventually("the endpoints", async || {
            let found = endpoints.get_opt("kubernetes").await.unwrap()?.subsets?;
            (found[0].addresses.as_ref()?.len() == wanted).then_some(())
        })
        .await;
    };
    leads_to(2).await;
    one.kill().await;
    leads_to(1).await;
    etcd.stop().await;
}
