//! What is written through one server is what the others show.

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::api::{Api, ListParams, PostParams, WatchEvent};
use serde_json::json;

use crate::fixture::{Cluster, etcd_is_there};
use crate::{client, count, counted, map, maps, revision, typed};

#[tokio::test(flavor = "multi_thread")]
async fn no_update_is_lost_between_writers_through_different_servers() {
    const WRITERS: u32 = 6;
    const EACH: u32 = 15;
    if !etcd_is_there() {
        return;
    }
    let servers = Cluster::of_several(3, 1.0).await;
    let first = maps(&servers[0]).await;
    let made = first.create(&PostParams::default(), &map("counter", 0)).await.unwrap();
    let mut watch = maps(&servers[1])
        .await
        .watch(&counted(), &made.metadata.resource_version.unwrap())
        .await
        .unwrap()
        .boxed();
    let mut writers = Vec::new();
    for writer in 0..WRITERS {
        let maps = maps(&servers[writer as usize % servers.len()]).await;
        writers.push(tokio::spawn(async move {
            let mut written = 0;
            let mut conflicts = 0;
            while written < EACH {
                let mut map = maps.get("counter").await.unwrap();
                let next = count(&map) + 1;
                map.data
                    .get_or_insert_default()
                    .insert("count".into(), next.to_string());
                match maps.replace("counter", &PostParams::default(), &map).await {
                    Ok(after) => {
                        assert_eq!(count(&after), next);
                        written += 1;
                    }
                    Err(kube::Error::Api(status)) if status.code == 409 => conflicts += 1,
                    Err(error) => panic!("{error}"),
                }
            }
            conflicts
        }));
    }
    let mut conflicts = 0;
    for writer in writers {
        conflicts += writer.await.unwrap();
    }
    println!("{} increments, {conflicts} conflicts", WRITERS * EACH);
    for server in &servers {
        assert_eq!(count(&maps(server).await.get("counter").await.unwrap()), WRITERS * EACH);
    }
    // A watch through another server saw each of them once, in order.
    let mut last = 0;
    for expected in 1..=WRITERS * EACH {
        let Some(Ok(WatchEvent::Modified(seen))) = watch.next().await else {
            panic!("no change was seen")
        };
        assert_eq!(count(&seen), expected);
        assert!(revision(&seen.metadata) > last);
        last = revision(&seen.metadata);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_through_one_server_is_read_through_the_others() {
    if !etcd_is_there() {
        return;
    }
    let servers = Cluster::of_several(3, 1.0).await;
    let mut apis = Vec::new();
    for server in &servers {
        apis.push(maps(server).await);
    }
    for round in 0..30u32 {
        let (writer, reader) = (&apis[round as usize % 3], &apis[(round as usize + 1) % 3]);
        let name = format!("m{round}");
        let made = writer.create(&PostParams::default(), &map(&name, round)).await.unwrap();
        let found = reader.get(&name).await.unwrap();
        assert_eq!(found.metadata.resource_version, made.metadata.resource_version);
        let listed = reader.list(&ListParams::default()).await.unwrap();
        assert!(listed.iter().any(|one| one.metadata.name.as_ref() == Some(&name)));
        // An update of what was written through another server is no conflict.
        let mut next = found.clone();
        next.data.get_or_insert_default().insert("more".into(), "1".into());
        let updated = reader.replace(&name, &PostParams::default(), &next).await.unwrap();
        let refused = writer.replace(&name, &PostParams::default(), &found).await.unwrap_err();
        assert!(matches!(refused, kube::Error::Api(status) if status.code == 409));
        let refused = reader.create(&PostParams::default(), &map(&name, 0)).await.unwrap_err();
        assert!(matches!(refused, kube::Error::Api(status) if status.reason == "AlreadyExists"));
        assert!(revision(&updated.metadata) > revision(&made.metadata));
    }
    // A namespace through one server, and at once something in it through another.
    let namespaces: Api<Namespace> = Api::all(client(&servers[0]).await);
    let team = typed(json!({"metadata": {"name": "team"}}));
    namespaces.create(&PostParams::default(), &team).await.unwrap();
    let inside: Api<ConfigMap> = Api::namespaced(client(&servers[2]).await, "team");
    inside.create(&PostParams::default(), &map("m", 1)).await.unwrap();
    let (etcd, _) = servers[0].etcd.as_ref().unwrap();
    assert_eq!(
        etcd.keys("/registry/configmaps/team/m").await,
        ["/registry/configmaps/team/m"]
    );
    // The future is waited for a moment, then refused.
    let request = http::Request::get("/api/v1/namespaces/team/configmaps?resourceVersion=99999999")
        .body(kube::client::Body::empty())
        .unwrap();
    let response = client(&servers[0]).await.send(request).await.unwrap();
    assert_eq!(response.status(), 504);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_goes_on_through_another_server_and_through_a_restarted_one() {
    if !etcd_is_there() {
        return;
    }
    let mut servers = Cluster::of_several_on_one_member(2, 1.0).await;
    let write = maps(&servers[0]).await;
    let mut from = write
        .list(&ListParams::default())
        .await
        .unwrap()
        .metadata
        .resource_version
        .unwrap();
    let mut seen = Vec::new();
    for round in 0..6u32 {
        write
            .create(&PostParams::default(), &map(&format!("m{round}"), round))
            .await
            .unwrap();
        // Each change is looked for through the other server, from where the last watch was.
        if round == 3 {
            servers[1].stop().await;
            servers[1].run().await;
        }
        let reader = maps(&servers[(round as usize + 1) % 2]).await;
        let mut watch = reader.watch(&counted(), &from).await.unwrap().boxed();
        match watch.next().await {
            Some(Ok(WatchEvent::Added(found))) => {
                from = found.metadata.resource_version.clone().unwrap();
                seen.push(count(&found));
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(seen, [0, 1, 2, 3, 4, 5]);

    // What was deleted while a server was away is a deletion for whoever watches through it afterwards.
    servers[1].kill().await;
    write.delete("m5", &kube::api::DeleteParams::default()).await.unwrap();
    servers[1].run().await;
    let reader = maps(&servers[1]).await;
    assert!(reader.get_opt("m5").await.unwrap().is_none());
    let mut watch = reader.watch(&counted(), &from).await.unwrap().boxed();
    match watch.next().await {
        Some(Ok(WatchEvent::Deleted(gone))) => assert_eq!(gone.metadata.name.as_deref(), Some("m5")),
        other => panic!("{other:?}"),
    }
}
