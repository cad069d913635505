//! kube-rs lists, watches, patches, applies and evicts; the cluster survives a restart.

use crate::fixture::{Cluster, eventually, node, run_kubelets};
use futures::StreamExt as _;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Node, Pod};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::{Api, DeleteParams, EvictParams, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams};
use serde_json::json;

fn typed<T: serde::de::DeserializeOwned>(value: serde_json::Value) -> T {
    serde_json::from_value(value).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_patches_watches_and_conflicts() {
    let cluster = Cluster::start().await;
    let client = cluster.client(&cluster.admin()).await;
    assert_eq!(client.apiserver_version().await.unwrap().git_version, "v1.34.1");
    let nodes: Api<Node> = Api::all(client.clone());
    let version = nodes
        .list(&ListParams::default())
        .await
        .unwrap()
        .metadata
        .resource_version
        .unwrap();
    for (name, zone) in [("n1", "us-central1-a"), ("n2", "us-central1-b")] {
        nodes
            .create(&PostParams::default(), &typed(node(name, zone)))
            .await
            .unwrap();
    }
    let params = WatchParams::default().labels("topology.kubernetes.io/zone=us-central1-b");
    let mut watch = nodes.watch(&params, &version).await.unwrap().boxed();
    let Some(Ok(WatchEvent::Added(seen))) = watch.next().await else {
        panic!("no addition was seen")
    };
    assert_eq!(seen.metadata.name.as_deref(), Some("n2"));
    // Leaving the selection looks like a deletion.
    let patch = json!({"metadata": {"labels": {"topology.kubernetes.io/zone": "us-central1-f"}}});
    nodes
        .patch("n2", &PatchParams::default(), &Patch::Merge(&patch))
        .await
        .unwrap();
    loop {
        match watch.next().await {
            Some(Ok(WatchEvent::Deleted(_))) => break,
            Some(Ok(_)) => {}
            other => panic!("{other:?}"),
        }
    }
    let page = nodes.list(&ListParams::default().limit(1)).await.unwrap();
    assert_eq!((page.items.len(), page.metadata.remaining_item_count), (1, Some(1)));
    let token = page.metadata.continue_.unwrap();
    let rest = nodes
        .list(&ListParams::default().limit(1).continue_token(&token))
        .await
        .unwrap();
    assert_eq!(rest.items[0].metadata.name.as_deref(), Some("n2"));

    let mut stale = nodes.get("n1").await.unwrap();
    let patch = json!({"metadata": {"labels": {"x": "1"}}});
    nodes
        .patch("n1", &PatchParams::default(), &Patch::Merge(&patch))
        .await
        .unwrap();
    stale
        .metadata
        .labels
        .get_or_insert_default()
        .insert("y".into(), "1".into());
    let refused = nodes.replace("n1", &PostParams::default(), &stale).await.unwrap_err();
    let kube::Error::Api(status) = refused else {
        panic!("{refused}")
    };
    assert_eq!((status.code, status.reason.as_str()), (409, "Conflict"));
    assert!(
        status
            .message
            .contains("the object has been modified; please apply your changes to the latest version")
    );

    let strategic = json!({"spec": {"taints": [{"key": "a", "effect": "NoExecute"}]}});
    let patched = nodes
        .patch("n1", &PatchParams::default(), &Patch::Strategic(&strategic))
        .await
        .unwrap();
    assert_eq!(patched.spec.unwrap().taints.unwrap()[0].key, "a");
    let bad = json!({"metadata": {"labels": {"bad key": "x"}}});
    let refused = nodes
        .patch("n1", &PatchParams::default(), &Patch::Merge(&bad))
        .await
        .unwrap_err();
    let kube::Error::Api(status) = refused else {
        panic!("{refused}")
    };
    assert_eq!((status.code, status.reason.as_str()), (422, "Invalid"));
    assert!(
        status
            .message
            .starts_with("Node \"n1\" is invalid: metadata.labels: Invalid value: \"bad key\"")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn applies_and_refuses() {
    let cluster = Cluster::start().await;
    let client = cluster.client(&cluster.admin()).await;
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), "kube-system");
    let apply = PatchParams::apply("multizone");
    let map = |data: serde_json::Value| {
        Patch::Apply(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}, "data": data}))
    };
    maps.patch("m", &apply, &map(json!({"a": "1", "b": "1"})))
        .await
        .unwrap();
    let after = maps.patch("m", &apply, &map(json!({"a": "2"}))).await.unwrap();
    assert_eq!(
        after.data.unwrap().into_iter().collect::<Vec<_>>(),
        [("a".to_owned(), "2".to_owned())]
    );
    let again = maps.patch("m", &apply, &map(json!({"a": "2"}))).await.unwrap();
    assert_eq!(again.metadata.resource_version, after.metadata.resource_version);

    let metadata = maps.get_metadata("m").await.unwrap();
    assert_eq!(metadata.metadata.name.as_deref(), Some("m"));
    let nowhere: Api<ConfigMap> = Api::namespaced(client, "nowhere");
    let refused = nowhere
        .create(&PostParams::default(), &typed(json!({"metadata": {"name": "m"}})))
        .await
        .unwrap_err();
    assert!(
        refused.to_string().contains("namespaces \"nowhere\" not found"),
        "{refused}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_eviction_that_breaks_a_budget_is_answered_with_429() {
    let cluster = Cluster::start().await;
    let client = cluster.client(&cluster.admin()).await;
    run_kubelets(client.clone());
    let nodes: Api<Node> = Api::all(client.clone());
    nodes
        .create(&PostParams::default(), &typed(node("n1", "us-central1-a")))
        .await
        .unwrap();
    let pods: Api<Pod> = Api::namespaced(client.clone(), "default");
    let budgets: Api<PodDisruptionBudget> = Api::namespaced(client.clone(), "default");
    eventually("the default ServiceAccount", async || {
        let pod = typed(json!({
            "metadata": {"name": "p", "labels": {"app": "p"}},
            "spec": {"containers": [{"name": "c", "image": "i"}]},
        }));
        pods.create(&PostParams::default(), &pod).await.ok()
    })
    .await;
    let budget = json!({
        "metadata": {"name": "b"}, "spec": {"maxUnavailable": 0, "selector": {"matchLabels": {"app": "p"}}},
    });
    budgets.create(&PostParams::default(), &typed(budget)).await.unwrap();
    eventually("the budget to count the pod", async || {
        let status = budgets.get_status("b").await.unwrap().status?;
        (status.current_healthy == Some(1) && status.expected_pods == Some(1)).then_some(())
    })
    .await;
    let refused = pods.evict("p", &EvictParams::default()).await.unwrap_err();
    let kube::Error::Api(status) = refused else {
        panic!("{refused}")
    };
    assert_eq!((status.code, status.reason.as_str()), (429, "TooManyRequests"));
    assert_eq!(
        status.message,
        "Cannot evict pod as it would violate the pod's disruption budget."
    );
    let cause = &status.details.as_ref().unwrap().causes[0];
    assert_eq!(
        cause.message,
        "The disruption budget b needs 1 healthy pods and has 1 currently"
    );
    budgets.delete("b", &DeleteParams::default()).await.unwrap();
    pods.evict("p", &EvictParams::default()).await.unwrap();
    eventually("the pod to go", async || {
        pods.get_opt("p").await.unwrap().is_none().then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_evictions_at_once_only_as_many_pass_as_the_budget_allows() {
    let cluster = Cluster::start().await;
    let client = cluster.client(&cluster.admin()).await;
    run_kubelets(client.clone());
    let nodes: Api<Node> = Api::all(client.clone());
    nodes
        .create(&PostParams::default(), &typed(node("n1", "us-central1-a")))
        .await
        .unwrap();
    let sets: Api<k8s_openapi::api::apps::v1::ReplicaSet> = Api::namespaced(client.clone(), "default");
    let budgets: Api<PodDisruptionBudget> = Api::namespaced(client.clone(), "default");
    let budget = json!({
        "metadata": {"name": "b"}, "spec": {"minAvailable": 4, "selector": {"matchLabels": {"app": "p"}}},
    });
    budgets.create(&PostParams::default(), &typed(budget)).await.unwrap();
    let set = json!({
        "metadata": {"name": "p"},
        "spec": {
            "replicas": 6, "selector": {"matchLabels": {"app": "p"}},
            "template": {"metadata": {"labels": {"app": "p"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}},
        },
    });
    sets.create(&PostParams::default(), &typed(set)).await.unwrap();
    eventually("the budget to allow two", async || {
        let status = budgets.get_status("b").await.unwrap().status?;
        (status.disruptions_allowed == Some(2)).then_some(())
    })
    .await;
    // Nobody replaces what goes.
    let options = DeleteParams {
        propagation_policy: Some(kube::api::PropagationPolicy::Orphan),
        ..DeleteParams::default()
    };
    sets.delete("p", &options).await.unwrap();
    eventually("the set to go", async || {
        sets.get_opt("p").await.unwrap().is_none().then_some(())
    })
    .await;
    let pods: Api<Pod> = Api::namespaced(client, "default");
    let names: Vec<String> = pods
        .list(&ListParams::default())
        .await
        .unwrap()
        .into_iter()
        .filter_map(|pod| pod.metadata.name)
        .collect();
    assert_eq!(names.len(), 6);
    let params = EvictParams::default();
    let evictions = names.iter().map(|name| pods.evict(name, &params));
    let passed = futures::future::join_all(evictions)
        .await
        .iter()
        .filter(|one| one.is_ok())
        .count();
    assert_eq!(passed, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_keeps_everything_and_old_watches_must_list_again() {
    let mut cluster = Cluster::start().await;
    let client = cluster.client(&cluster.admin()).await;
    let maps: Api<ConfigMap> = Api::namespaced(client, "default");
    let made = maps
        .create(&PostParams::default(), &typed(json!({"metadata": {"name": "kept"}})))
        .await
        .unwrap();
    let mut watch = maps
        .watch(
            &WatchParams::default(),
            &made.metadata.resource_version.clone().unwrap(),
        )
        .await
        .unwrap()
        .boxed();
    cluster.stop().await;
    // A stopping server ends its watches; what there was to see before that are additions.
    while let Some(event) = watch.next().await {
        assert!(matches!(event, Ok(WatchEvent::Added(_))), "{event:?}");
    }
    // etcd keeps the past until it is compacted.
    cluster.compact_etcd().await;

    cluster.run().await;
    let client = cluster.client(&cluster.admin()).await;
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), "default");
    let found = maps.get("kept").await.unwrap();
    assert_eq!(found.metadata.uid, made.metadata.uid);
    let expired = maps
        .watch(&WatchParams::default(), "1")
        .await
        .unwrap()
        .boxed()
        .next()
        .await;
    match expired {
        Some(Ok(WatchEvent::Error(status))) => assert_eq!(status.code, 410),
        other => panic!("{other:?}"),
    }
    let namespaces: Api<Namespace> = Api::all(client);
    assert_eq!(namespaces.list(&ListParams::default()).await.unwrap().items.len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_node_is_lost_and_a_deleted_one_takes_its_pods_along() {
    // Forty seconds of silence pass in two.
    let cluster = Cluster::at_pace(20.0).await;
    let client = cluster.client(&cluster.admin()).await;
    run_kubelets(client.clone());
    let nodes: Api<Node> = Api::all(client.clone());
    for name in ["dead", "alive"] {
        nodes
            .create(&PostParams::default(), &typed(node(name, "us-central1-a")))
            .await
            .unwrap();
    }
    let leases: Api<Lease> = Api::namespaced(client.clone(), "kube-node-lease");
    let beating = {
        let leases = leases.clone();
        tokio::spawn(async move {
            for beat in 0u32.. {
                let lease = json!({
                    "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "alive"},
                    "spec": {"holderIdentity": "alive", "renewTime": format!("2026-01-01T00:00:00.{:06}Z", beat % 1_000_000)},
                });
                let _ = leases
                    .patch("alive", &PatchParams::apply("kubelet").force(), &Patch::Apply(lease))
                    .await;
                tokio::time::sleep(std::time::Duration::from_millis(200)).await;
            }
        })
    };
    let pods: Api<Pod> = Api::namespaced(client, "default");
    let bound = json!({
        "metadata": {"name": "p"},
        "spec": {
            "nodeName": "dead", "containers": [{"name": "c", "image": "i"}],
            "tolerations": [
                {"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 10},
            ],
        },
    });
    eventually("the default ServiceAccount", async || {
        pods.create(&PostParams::default(), &typed(bound.clone())).await.ok()
    })
    .await;
    let taints = async |name: &str| {
        let node = nodes.get(name).await.unwrap();
        let taints = node.spec.and_then(|spec| spec.taints).unwrap_or_default();
        taints
            .into_iter()
            .map(|taint| format!("{}:{}", taint.key, taint.effect))
            .collect::<Vec<_>>()
    };
    eventually("the silent node's taints", async || {
        let found = taints("dead").await;
        found
            .contains(&"node.kubernetes.io/unreachable:NoExecute".to_owned())
            .then_some(())
    })
    .await;
    eventually("the living node to be without taints", async || {
        taints("alive").await.is_empty().then_some(())
    })
    .await;
    // This pod tolerates it for ten seconds, half a second here; then it waits for its kubelet in vain.
    eventually("the pod's eviction", async || {
        pods.get("p").await.unwrap().metadata.deletion_timestamp
    })
    .await;
    nodes.delete("dead", &DeleteParams::default()).await.unwrap();
    eventually("the pod to go", async || {
        pods.get_opt("p").await.unwrap().is_none().then_some(())
    })
    .await;
    beating.abort();
}
