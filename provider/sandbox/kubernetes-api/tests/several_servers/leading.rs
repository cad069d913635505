//! Controllers run on one server at a time, and another takes over.

use std::time::{Duration, Instant};

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{Api, ListParams, PostParams};
use serde_json::json;

use crate::fixture::{Cluster, etcd_is_there, eventually, node};
use crate::{client, typed};

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
