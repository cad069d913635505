//! Servers without their etcd, and without its quorum.

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, Patch, PatchParams, PostParams, WatchEvent, WatchParams};
use serde_json::json;

use crate::fixture::{Cluster, etcd_is_there, eventually};
use crate::{client, count, map};

/// What a probe gets: the code and the text.
async fn probe(client: &kube::Client, path: &str) -> (u16, String) {
    let request = http::Request::get(path).body(kube::client::Body::empty()).unwrap();
    let response = client.send(request).await.unwrap();
    let code = response.status().as_u16();
    let bytes = http_body_util::BodyExt::collect(response.into_body()).await.unwrap();
    (code, String::from_utf8(bytes.to_bytes().to_vec()).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn without_etcd_the_server_says_so_and_recovers_by_itself() {
    if !etcd_is_there() {
        return;
    }
    let servers = Cluster::of_several_on_one_member(1, 60.0).await;
    let (etcd, _) = servers[0].etcd.as_ref().unwrap();
    let client = client(&servers[0]).await;
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), "default");
    let made = maps.create(&PostParams::default(), &map("before", 1)).await.unwrap();
    let mut watch = maps
        .watch(&WatchParams::default(), &made.metadata.resource_version.unwrap())
        .await
        .unwrap()
        .boxed();
    assert_eq!(probe(&client, "/readyz").await, (200, "ok".to_owned()));

    etcd.kill(0);
    for path in ["/readyz", "/livez", "/healthz"] {
        let (code, text) = probe(&client, path).await;
        assert_eq!(code, 500, "{text}");
        assert!(text.contains("[-]etcd failed: reason withheld\n"), "{text}");
        assert!(text.contains("[+]ping ok\n"), "{text}");
        assert!(text.ends_with(&format!("{} check failed\n", &path[1..])), "{text}");
    }
    assert_eq!(probe(&client, "/readyz/ping").await, (200, "ok".to_owned()));
    assert_eq!(probe(&client, "/readyz/etcd").await.0, 500);
    let refused = maps
        .create(&PostParams::default(), &map("meanwhile", 1))
        .await
        .unwrap_err();
    let kube::Error::Api(status) = refused else {
        panic!("{refused}")
    };
    assert_eq!(status.code, 500);
    assert!(
        status
            .message
            .contains("connection error: desc = \"transport: Error while dialing: dial tcp 127.0.0.1:"),
        "{}",
        status.message
    );
    assert!(
        maps.get("before").await.is_err(),
        "nobody knows whether that is the latest"
    );
    let any = probe(
        &client,
        "/api/v1/namespaces/default/configmaps/before?resourceVersion=0",
    )
    .await;
    assert_eq!(any.0, 200, "who does not need the latest gets what is known: {}", any.1);

    etcd.run(0);
    eventually("the server to be ready again", async || {
        (probe(&client, "/readyz").await.0 == 200).then_some(())
    })
    .await;
    maps.create(&PostParams::default(), &map("after", 1)).await.unwrap();
    loop {
        // The watch has stayed open.
        match watch.next().await {
            Some(Ok(WatchEvent::Added(found))) if found.metadata.name.as_deref() == Some("after") => break,
            Some(Ok(_)) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_quorum_writes_are_refused_in_etcds_words() {
    if !etcd_is_there() {
        return;
    }
    let servers = Cluster::of_several(3, 60.0).await;
    let (etcd, _) = servers[0].etcd.as_ref().unwrap();
    let (first, second) = (client(&servers[0]).await, client(&servers[1]).await);
    let maps: Api<ConfigMap> = Api::namespaced(first.clone(), "default");
    maps.create(&PostParams::default(), &map("m", 0)).await.unwrap();

    // One member less: its own server is not ready, the others serve.
    etcd.kill(2);
    assert_eq!(probe(&client(&servers[2]).await, "/readyz").await.0, 500);
    eventually("the others to serve", async || {
        let patch = Patch::Merge(json!({"data": {"count": "1"}}));
        maps.patch("m", &PatchParams::default(), &patch).await.ok()
    })
    .await;
    assert_eq!(probe(&second, "/readyz").await.0, 200);

    // Two less: no quorum.
    etcd.kill(1);
    eventually("the server to be unready", async || {
        let (code, text) = probe(&first, "/readyz").await;
        (code == 500 && text.contains("[-]etcd failed: reason withheld")).then_some(())
    })
    .await;
    let patch = Patch::Merge(json!({"data": {"count": "2"}}));
    let refused = maps.patch("m", &PatchParams::default(), &patch).await.unwrap_err();
    let kube::Error::Api(status) = refused else {
        panic!("{refused}")
    };
    let words = [
        "etcdserver: request timed out",
        "context deadline exceeded",
        "etcdserver: leader changed",
    ];
    assert!(
        matches!(status.code, 500 | 504) && words.iter().any(|words| status.message.contains(words)),
        "{status:?}"
    );
    println!("{} {}", status.code, status.message);

    etcd.run(1);
    eventually("a quorum to be back", async || {
        maps.patch("m", &PatchParams::default(), &patch).await.ok()
    })
    .await;
    assert_eq!(probe(&first, "/readyz").await.0, 200);
    let found: Api<ConfigMap> = Api::namespaced(second, "default");
    assert_eq!(count(&found.get("m").await.unwrap()), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_hangs_is_not_waited_for_without_end() {
    if !etcd_is_there() {
        return;
    }
    let servers = Cluster::of_several_on_one_member(1, 60.0).await;
    let (etcd, _) = servers[0].etcd.as_ref().unwrap();
    let client = client(&servers[0]).await;
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), "default");
    maps.create(&PostParams::default(), &map("m", 0)).await.unwrap();

    etcd.pause(0);
    let (code, text) = probe(&client, "/readyz").await;
    assert_eq!(code, 500, "{text}");
    assert!(text.contains("[-]etcd failed: reason withheld"), "{text}");
    let refused = maps.create(&PostParams::default(), &map("late", 0)).await.unwrap_err();
    let kube::Error::Api(status) = refused else {
        panic!("{refused}")
    };
    assert_eq!(
        (status.code, status.reason.as_str()),
        (504, "Timeout"),
        "{}",
        status.message
    );
    assert!(
        status.message.contains("context deadline exceeded"),
        "{}",
        status.message
    );

    etcd.resume(0);
    eventually("the server to be ready again", async || {
        (probe(&client, "/readyz").await.0 == 200).then_some(())
    })
    .await;
    maps.create(&PostParams::default(), &map("after", 0)).await.unwrap();
}
