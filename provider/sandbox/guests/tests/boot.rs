//! From user data to a node.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use support::{Region, node_is, until, user_data};

const MASTER: &str = "us-central1-a/master";
const WORKER: &str = "us-central1-b/worker";

#[tokio::test]
async fn a_master_comes_up_from_its_user_data_and_is_ready_with_a_pod_network() {
    let mut region = Region::new();
    let user_data = user_data::master(&region, "us-central1-a", "master");
    region.machine("us-central1-a", "master", 2, user_data);
    region
        .topology
        .external_addresses
        .insert(region.endpoint(), MASTER.to_owned());
    region.power(MASTER, true);
    region.phase(MASTER, |phase| phase == "running").await;

    let admin = region.admin();
    assert!(admin.ready().await);
    let node = node_is(&admin, "master", "False").await;
    assert_eq!(
        node["metadata"]["labels"]["topology.kubernetes.io/zone"],
        "us-central1-a"
    );
    assert_eq!(node["metadata"]["labels"]["node-role.kubernetes.io/control-plane"], "");
    assert_eq!(node["spec"]["providerID"], "gce://sandbox/us-central1-a/master");
    assert_eq!(node["status"]["nodeInfo"]["kubeletVersion"], "v1.34.1");
    assert_eq!(node["status"]["addresses"][0]["address"], region.address(2).to_string());
    let taints = node["spec"]["taints"].as_array().unwrap();
    assert!(
        taints
            .iter()
            .any(|taint| taint["key"] == "node-role.kubernetes.io/control-plane")
    );

    admin
        .create(
            "/apis/apps/v1/namespaces/kube-system/daemonsets",
            &user_data::pod_network(),
        )
        .await;
    node_is(&admin, "master", "True").await;
    until("the report to say so", || async {
        (region.report(MASTER).node_ready == Some(true)).then_some(())
    })
    .await;
    let report = region.report(MASTER);
    assert_eq!(report.kubernetes_version.as_deref(), Some("1.34.1"));
    assert_eq!(report.warnings, [""; 0]);
    for pod in ["kube-apiserver-master", "etcd-master"] {
        until("the mirror pods to run", || async {
            let pod = admin.get(&format!("/api/v1/namespaces/kube-system/pods/{pod}")).await?;
            (pod["status"]["phase"] == "Running").then_some(())
        })
        .await;
    }
    region.guests.stop().await;
    assert!(!admin.ready().await);
}

#[tokio::test]
async fn a_worker_joins_with_a_token_and_runs_pods() {
    let mut region = Region::with_master().await;
    region.worker("worker", 3).await;
    region.phase(WORKER, |phase| phase == "running").await;
    let admin = region.admin();
    let node = node_is(&admin, "worker", "True").await;
    assert_eq!(
        node["metadata"]["labels"]["topology.kubernetes.io/zone"],
        "us-central1-b"
    );
    assert_eq!(node["metadata"]["labels"]["team"], "web");
    assert!(!region.file(WORKER, "/etc/kubernetes/bootstrap-kubelet.conf").exists());

    let pod = serde_json::json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web", "namespace": "default"},
        "spec": {"nodeName": "worker", "containers": [{"name": "web", "image": "example.com/web:1"}]},
    });
    admin.create("/api/v1/namespaces/default/pods", &pod).await;
    let running = until("the pod to run", || async {
        let pod = admin.get("/api/v1/namespaces/default/pods/web").await?;
        (pod["status"]["phase"] == "Running").then_some(pod)
    })
    .await;
    let address: std::net::Ipv4Addr = running["status"]["podIP"].as_str().unwrap().parse().unwrap();
    assert_eq!(address.octets()[..2], [10, 244]);
    admin.delete("/api/v1/namespaces/default/pods/web").await;
    until("the pod to go", || async {
        admin
            .get("/api/v1/namespaces/default/pods/web")
            .await
            .is_none()
            .then_some(())
    })
    .await;
    region.guests.stop().await;
}

#[tokio::test]
async fn labels_that_contradict_where_the_machine_runs_are_reported() {
    let mut region = Region::with_master().await;
    let token = region.admin().token(true).await;
    let registration = user_data::registration("us-central1-f", "worker", "");
    let user_data = user_data::worker_with(&region, &registration, &token, &region.ca.hash);
    region.machine("us-central1-b", "worker", 3, user_data);
    region.power(WORKER, true);
    region.phase(WORKER, |phase| phase == "running").await;
    let warnings = region.report(WORKER).warnings;
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(
        warnings[0].contains("us-central1-f, but the machine runs in us-central1-b"),
        "{warnings:?}"
    );
    region.guests.stop().await;
}
