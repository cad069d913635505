//! Halts, boots and zone outages.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use support::{Region, node_is, until};

const MASTER: &str = "us-central1-a/master";
const WORKER: &str = "us-central1-b/worker";

#[tokio::test]
async fn a_halted_worker_is_missed_and_comes_back_by_itself() {
    let mut region = Region::with_master().await;
    region.worker("worker", 3).await;
    let admin = region.admin();
    node_is(&admin, "worker", "True").await;
    region.phase(WORKER, |phase| phase == "running").await;
    region.power(WORKER, false);
    assert_eq!(region.report(WORKER).phase, "halted");
    node_is(&admin, "worker", "Unknown").await;
    region.power(WORKER, true);
    node_is(&admin, "worker", "True").await;
    region.phase(WORKER, |phase| phase == "running").await;
    let console = region.console(WORKER);
    assert_eq!(
        console.matches("+ kubeadm join").count(),
        1,
        "cloud-init runs once: {console}"
    );
    region.guests.stop().await;
}

#[tokio::test]
async fn a_halted_master_resumes_its_cluster() {
    let mut region = Region::with_master().await;
    let admin = region.admin();
    let before = node_is(&admin, "master", "True").await;
    region.power(MASTER, false);
    assert!(!admin.ready().await);
    region.power(MASTER, true);
    until("the API to come back", || async { admin.ready().await.then_some(()) }).await;
    let after = node_is(&admin, "master", "True").await;
    assert_eq!(before["metadata"]["uid"], after["metadata"]["uid"]);
    region.guests.stop().await;
}

#[tokio::test]
async fn a_zone_outage_cuts_its_nodes_off_until_it_is_restored() {
    let mut region = Region::with_master().await;
    region.worker("worker", 3).await;
    let admin = region.admin();
    node_is(&admin, "worker", "True").await;
    region.outage("us-central1-b", true);
    node_is(&admin, "worker", "Unknown").await;
    region.outage("us-central1-b", false);
    node_is(&admin, "worker", "True").await;
    region.outage("us-central1-a", true);
    assert!(!admin.ready().await);
    region.outage("us-central1-a", false);
    until("the API to come back", || async { admin.ready().await.then_some(()) }).await;
    region.guests.stop().await;
}

#[tokio::test]
async fn a_node_deleted_behind_its_kubelet_registers_again_only_after_a_restart() {
    let mut region = Region::with_master().await;
    region.worker("worker", 3).await;
    let admin = region.admin();
    node_is(&admin, "worker", "True").await;
    region.phase(WORKER, |phase| phase == "running").await;
    admin.delete("/api/v1/nodes/worker").await;
    until("the kubelet to notice", || async {
        region
            .console(WORKER)
            .contains("Error getting the current node")
            .then_some(())
    })
    .await;
    assert!(admin.get("/api/v1/nodes/worker").await.is_none());
    region.power(WORKER, false);
    region.power(WORKER, true);
    node_is(&admin, "worker", "True").await;
    region.guests.stop().await;
}

#[tokio::test]
async fn a_machine_halted_while_its_user_data_runs_does_not_start_over() {
    let mut region = Region::new();
    let user_data = support::user_data::master(&region, "us-central1-a", "master");
    region.machine("us-central1-a", "master", 2, user_data);
    region
        .topology
        .external_addresses
        .insert(region.endpoint(), MASTER.to_owned());
    region.power(MASTER, true);
    region
        .phase(MASTER, |phase| {
            phase.starts_with("installing") || phase.starts_with("kubeadm")
        })
        .await;
    region.power(MASTER, false);
    region.power(MASTER, true);
    let failure = region.failure(MASTER).await;
    assert!(failure.contains("halted while its user data ran"), "{failure}");
    region.guests.stop().await;
}

#[tokio::test]
async fn a_restart_of_the_region_only_pauses_its_machines() {
    let mut region = Region::new();
    let user_data = support::user_data::master(&region, "us-central1-a", "master");
    region.machine("us-central1-a", "master", 2, user_data);
    region
        .topology
        .external_addresses
        .insert(region.endpoint(), MASTER.to_owned());
    region.power(MASTER, true);
    for phase in [
        "installing",
        "kubeadm init: preflight",
        "kubeadm init: waiting",
        "kubeadm init: add-ons",
    ] {
        region
            .phase(MASTER, |now| now.starts_with(phase) || now == "running")
            .await;
        region.restart().await;
    }
    region.phase(MASTER, |phase| phase == "running").await;
    let admin = region.admin();
    admin
        .create(
            "/apis/apps/v1/namespaces/kube-system/daemonsets",
            &support::user_data::pod_network(),
        )
        .await;
    node_is(&admin, "master", "True").await;
    let path = "/api/v1/namespaces/kube-system/pods?labelSelector=app%3Dpod-network";
    let restarts = |pods: serde_json::Value| pods["items"][0]["status"]["containerStatuses"][0]["restartCount"].clone();
    assert_eq!(restarts(admin.get(path).await.unwrap()), 0);
    region.restart().await;
    until("the API to come back", || async { admin.ready().await.then_some(()) }).await;
    until("the kubelet to come back", || async {
        (region.report(MASTER).node_ready == Some(true)).then_some(())
    })
    .await;
    assert_eq!(restarts(admin.get(path).await.unwrap()), 0);
    region.power(MASTER, false);
    region.power(MASTER, true);
    until("the containers to be started again", || async {
        (restarts(admin.get(path).await?) == 1).then_some(())
    })
    .await;
    region.guests.stop().await;
}

#[tokio::test]
async fn a_halt_between_phases_leaves_what_a_power_cut_leaves() {
    let mut region = Region::new();
    let user_data = support::user_data::master(&region, "us-central1-a", "master");
    region.machine("us-central1-a", "master", 2, user_data);
    region
        .topology
        .external_addresses
        .insert(region.endpoint(), MASTER.to_owned());
    region.power(MASTER, true);
    region
        .phase(MASTER, |phase| {
            phase.starts_with("kubeadm init: waiting for the control plane")
        })
        .await;
    region.power(MASTER, false);
    region.power(MASTER, true);
    // The manifests and the kubelet's files were on the disk: systemd starts what they describe.
    let admin = region.admin();
    until("the API to come up", || async { admin.ready().await.then_some(()) }).await;
    let node = node_is(&admin, "master", "False").await;
    assert!(
        node["metadata"]["labels"]["node-role.kubernetes.io/control-plane"].is_null(),
        "never marked"
    );
    assert!(
        admin
            .get("/api/v1/namespaces/kube-system/configmaps/kubeadm-config")
            .await
            .is_none(),
        "never uploaded"
    );
    assert!(region.failure(MASTER).await.contains("halted while its user data ran"));
    region.guests.stop().await;
}
