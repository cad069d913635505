//! Several API servers of one cluster share a real etcd: nothing is lost, everyone sees the same.

#![allow(clippy::unwrap_used, reason = "also the functions beside the tests may")]

mod fixture;

use std::time::{Duration, Instant};

use fixture::{Cluster, etcd_is_there, eventually, kubectl_is_there, node};
use futures::StreamExt as _;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, Endpoints, Namespace, Node, Pod};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{Api, ListParams, ObjectMeta, Patch, PatchParams, PostParams, WatchEvent, WatchParams};
use serde_json::json;

fn typed<T: serde::de::DeserializeOwned>(value: serde_json::Value) -> T {
    serde_json::from_value(value).unwrap()
}

fn map(name: &str, count: u32) -> ConfigMap {
    typed(json!({"metadata": {"name": name, "labels": {"app": "count"}}, "data": {"count": count.to_string()}}))
}

fn count(map: &ConfigMap) -> u32 {
    map.data.as_ref().unwrap()["count"].parse().unwrap()
}

/// A watch of what [`map`] makes: controllers write others.
fn counted() -> WatchParams {
    WatchParams::default().labels("app=count")
}

fn revision(metadata: &ObjectMeta) -> u64 {
    metadata.resource_version.as_ref().unwrap().parse().unwrap()
}

async fn client(server: &Cluster) -> kube::Client {
    server.client(&server.admin()).await
}

async fn maps(server: &Cluster) -> Api<ConfigMap> {
    Api::namespaced(client(server).await, "default")
}

/// What a probe gets: the code and the text.
async fn probe(client: &kube::Client, path: &str) -> (u16, String) {
    let request = http::Request::get(path).body(kube::client::Body::empty()).unwrap();
    let response = client.send(request).await.unwrap();
    let code = response.status().as_u16();
    let bytes = http_body_util::BodyExt::collect(response.into_body()).await.unwrap();
    (code, String::from_utf8(bytes.to_bytes().to_vec()).unwrap())
}

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

fn deployment(name: &str) -> Deployment {
    typed(json!({
        "metadata": {"name": name},
        "spec": {
            "replicas": 2, "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": "c", "image": "i"}]}},
        },
    }))
}

async fn scheduled(server: &Cluster, app: &str) {
    let pods: Api<Pod> = Api::namespaced(client(server).await, "default");
    eventually("two pods on a node", async || {
        let found = pods
            .list(&ListParams::default().labels(&format!("app={app}")))
            .await
            .ok()?;
        assert!(found.items.len() <= 2, "{} pods of two", found.items.len());
        let placed = found
            .iter()
            .filter(|pod| pod.spec.as_ref().unwrap().node_name.is_some());
        (placed.count() == 2).then_some(())
    })
    .await;
}

async fn holder(server: &Cluster, lease: &str) -> (String, i32) {
    let leases: Api<Lease> = Api::namespaced(client(server).await, "kube-system");
    let spec = leases.get(lease).await.unwrap().spec.unwrap();
    (spec.holder_identity.unwrap(), spec.lease_transitions.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn controllers_run_on_one_server_and_another_takes_over() {
    if !etcd_is_there() {
        return;
    }
    // Fifteen seconds of a Lease pass in three.
    let mut servers = Cluster::of_several_on_one_member(3, 5.0).await;
    let nodes: Api<Node> = Api::all(client(&servers[2]).await);
    nodes
        .create(&PostParams::default(), &typed(node("n1", "us-central1-a")))
        .await
        .unwrap();
    let deployments: Api<Deployment> = Api::namespaced(client(&servers[2]).await, "default");
    deployments
        .create(&PostParams::default(), &deployment("first"))
        .await
        .unwrap();
    scheduled(&servers[2], "first").await;
    let first = servers[0].address.to_string();
    for lease in ["kube-controller-manager", "kube-scheduler"] {
        let (holder, transitions) = holder(&servers[2], lease).await;
        assert!(holder.starts_with(&format!("{first}_")), "{lease} is held by {holder}");
        assert_eq!(transitions, 0);
    }

    // Killed: its Lease has to run out.
    servers[0].kill().await;
    let since = Instant::now();
    deployments
        .create(&PostParams::default(), &deployment("second"))
        .await
        .unwrap();
    scheduled(&servers[2], "second").await;
    println!("taken over from a killed leader after {:?}", since.elapsed());
    let (next, transitions) = holder(&servers[2], "kube-controller-manager").await;
    assert!(!next.starts_with(&first) && transitions == 1, "{next} {transitions}");

    // Stopped: it gives its Lease back, and nobody waits.
    servers[0].run().await;
    servers[1].stop().await;
    let since = Instant::now();
    deployments
        .create(&PostParams::default(), &deployment("third"))
        .await
        .unwrap();
    scheduled(&servers[2], "third").await;
    println!("taken over from a stopped leader after {:?}", since.elapsed());
    for lease in ["kube-controller-manager", "kube-scheduler"] {
        let (holder, _) = holder(&servers[2], lease).await;
        assert!(
            !holder.starts_with(&servers[1].address.to_string()),
            "{lease} is held by {holder}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_was_killed_leads_at_once_when_it_is_back() {
    if !etcd_is_there() {
        return;
    }
    // At real time its Lease would last for a quarter of a minute, and nobody else is there.
    let mut servers = Cluster::of_several_on_one_member(1, 1.0).await;
    eventually("a leader", async || {
        let leases: Api<Lease> = Api::namespaced(client(&servers[0]).await, "kube-system");
        leases.get_opt("kube-scheduler").await.unwrap()
    })
    .await;
    servers[0].kill().await;
    servers[0].run().await;
    let back = Instant::now();
    eventually("the restarted server to lead", async || {
        (holder(&servers[0], "kube-scheduler").await.1 == 1).then_some(())
    })
    .await;
    assert!(back.elapsed() < Duration::from_secs(10), "{:?}", back.elapsed());
}

async fn endpoints(server: &Cluster) -> (Vec<String>, Vec<String>) {
    let client = client(server).await;
    let endpoints: Api<Endpoints> = Api::namespaced(client.clone(), "default");
    let slices: Api<EndpointSlice> = Api::namespaced(client, "default");
    let addresses = match endpoints.get_opt("kubernetes").await.unwrap() {
        Some(found) => found.subsets.unwrap()[0].addresses.clone().unwrap(),
        None => Vec::new(),
    };
    let slice = slices.get_opt("kubernetes").await.unwrap();
    let parts = slice.and_then(|found| found.endpoints).unwrap_or_default();
    let mut parts: Vec<String> = parts.into_iter().flat_map(|one| one.addresses).collect();
    parts.sort();
    (addresses.into_iter().map(|one| one.ip).collect(), parts)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_kubernetes_service_leads_to_the_servers_that_live() {
    if !etcd_is_there() {
        return;
    }
    let mut servers = Cluster::of_several_on_one_member(3, 60.0).await;
    let (all, two, one) = (
        ["127.0.0.1", "127.0.0.2", "127.0.0.3"].as_slice(),
        ["127.0.0.2", "127.0.0.3"].as_slice(),
        ["127.0.0.3"].as_slice(),
    );
    let leads_to = async |server: &Cluster, wanted: &[&str]| {
        eventually(&format!("endpoints {wanted:?}"), async || {
            let (endpoints, slice) = endpoints(server).await;
            (endpoints == wanted && slice == wanted).then_some(())
        })
        .await;
    };
    leads_to(&servers[2], all).await;
    let (etcd, _) = servers[0].etcd.clone().unwrap();
    assert_eq!(etcd.keys("/registry/masterleases/").await.len(), 3);

    // Stopped: gone by the time that it has stopped.
    servers[0].stop().await;
    let (found, slice) = endpoints(&servers[2]).await;
    assert_eq!(found, two);
    assert_eq!(slice, two);
    assert_eq!(
        etcd.keys("/registry/masterleases/").await,
        ["/registry/masterleases/127.0.0.2", "/registry/masterleases/127.0.0.3"]
    );

    // Killed: there until its lease has expired.
    servers[1].kill().await;
    let (found, _) = endpoints(&servers[2]).await;
    assert_eq!(found, two, "a killed server's record stays for now");
    leads_to(&servers[2], one).await;

    // The last one leaves its address: there is no better one.
    servers[2].stop().await;
    servers[0].run().await;
    leads_to(&servers[0], &["127.0.0.1"]).await;
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
