//! The real kubectl reads, labels, taints and cordons nodes, and applies manifests.

use crate::fixture::{Cluster, kubectl_is_there, node};

#[tokio::test(flavor = "multi_thread")]
async fn nodes_are_shown_labelled_tainted_and_cordoned() {
    if !kubectl_is_there() {
        return;
    }
    let cluster = Cluster::start().await;
    let kubectl = cluster.kubectl();
    for (name, zone) in [("n1", "us-central1-a"), ("n2", "us-central1-b")] {
        kubectl
            .apply_with(&["create", "-f", "-"], &node(name, zone).to_string())
            .await;
    }
    let table = kubectl
        .run(&["get", "nodes", "-L", "topology.kubernetes.io/zone"])
        .await;
    println!("{table}");
    assert!(
        table
            .lines()
            .next()
            .unwrap()
            .split_whitespace()
            .eq(["NAME", "STATUS", "ROLES", "AGE", "VERSION", "ZONE"])
    );
    assert!(table.contains("us-central1-b"));
    let labels = kubectl.run(&["get", "nodes", "--show-labels"]).await;
    assert!(labels.contains("topology.kubernetes.io/region=us-central1"));
    let wide = kubectl.run(&["get", "nodes", "-o", "wide"]).await;
    println!("{wide}");
    assert!(wide.contains("Ubuntu 24.04 LTS") && wide.contains("containerd://1.7.24"));

    kubectl.run(&["label", "node", "n1", "team=web"]).await;
    assert_eq!(
        kubectl.run(&["get", "nodes", "-l", "team=web", "-o", "name"]).await,
        "node/n1\n"
    );
    kubectl.run(&["label", "node", "n1", "team-"]).await;
    assert_eq!(kubectl.run(&["get", "nodes", "-l", "team=web", "-o", "name"]).await, "");
    kubectl.run(&["taint", "node", "n1", "dedicated=db:NoSchedule"]).await;
    kubectl.run(&["taint", "node", "n1", "dedicated=db:NoSchedule-"]).await;
    let add = r#"[{"op": "add", "path": "/metadata/labels/patched", "value": "yes"}]"#;
    kubectl.run(&["patch", "node", "n1", "--type=json", "-p", add]).await;
    assert_eq!(
        kubectl.run(&["get", "nodes", "-l", "patched=yes", "-o", "name"]).await,
        "node/n1\n"
    );
    kubectl.run(&["cordon", "n1"]).await;
    assert!(
        kubectl
            .run(&["get", "node", "n1"])
            .await
            .contains("Ready,SchedulingDisabled")
    );
    kubectl.run(&["uncordon", "n1"]).await;
    assert!(!kubectl.run(&["get", "node", "n1"]).await.contains("SchedulingDisabled"));
    let described = kubectl.run(&["describe", "node", "n1"]).await;
    println!("{described}");
    assert!(described.contains("topology.kubernetes.io/zone=us-central1-a"));
    assert!(kubectl.run(&["delete", "node", "n2"]).await.contains("deleted"));
    let missing = kubectl.try_with(&["get", "node", "n2"], "").await;
    assert!(
        missing
            .err
            .contains("Error from server (NotFound): nodes \"n2\" not found")
    );
}
