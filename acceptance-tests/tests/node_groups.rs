//! Node groups: labels and taints in place, rolling replacement, shrinking through the eviction API.

#![allow(clippy::unwrap_used)]

use multizone_acceptance_tests::{Workspace, installed};
use serde_json::Value;

fn configuration(group: &str) -> String {
    format!(
        r#"
resource "multizone_cluster" "demo" {{
  name  = "demo"
  zones = {{ "us-central1-a" = {{}} }}
}}
resource "multizone_control_plane" "demo" {{
  cluster            = multizone_cluster.demo.name
  kubernetes_version = "1.34.1"
  machine_type       = "n1-standard-2"
  replicas           = {{ a = {{ zone = "us-central1-a" }} }}
  pod_network_manifest = file("pod-network.yaml")
}}
resource "multizone_node_group" "pool" {{
  control_plane = multizone_control_plane.demo.id
  name          = "pool"
  zone          = "us-central1-a"
  {group}
}}
"#
    )
}

fn workspace(group: &str) -> Workspace {
    let workspace = Workspace::of(&configuration(group));
    let _ = workspace.apply(&[]);
    workspace
}

fn workers(workspace: &Workspace) -> Vec<Value> {
    let run = workspace
        .kubectl(
            "demo",
            &[
                "get",
                "nodes",
                "-l",
                "!node-role.kubernetes.io/control-plane",
                "-o",
                "json",
            ],
        )
        .succeeded();
    let list: Value = serde_json::from_str(&run.stdout).unwrap();
    list["items"].as_array().unwrap().clone()
}

fn uids(nodes: &[Value]) -> Vec<String> {
    let mut uids: Vec<_> = nodes
        .iter()
        .map(|node| node["metadata"]["uid"].as_str().unwrap().to_owned())
        .collect();
    uids.sort();
    uids
}

const GROUP: &str = r#"
  kubernetes_version = "1.34.1"
  size         = 2
  machine_type = "n1-standard-1"
  labels       = { "team" = "web" }
"#;

#[test]
fn labels_and_taints_change_on_the_nodes_in_place() {
    if !installed("terraform") || !installed("kubectl") {
        return;
    }
    let workspace = workspace(GROUP);
    let before = workers(&workspace);
    let changed = GROUP.replace(
        r#"{ "team" = "web" }"#,
        "{ \"tier\" = \"back\" }\n  taints = [{ key = \"dedicated\", value = \"db\", effect = \"NoSchedule\" }]",
    );
    workspace.write("main.tf", &configuration(&changed));
    let _ = workspace.apply(&[]);
    let after = workers(&workspace);
    assert_eq!(uids(&before), uids(&after), "no node was replaced");
    for node in &after {
        assert_eq!(node["metadata"]["labels"]["tier"], "back");
        assert!(
            node["metadata"]["labels"]["team"].is_null(),
            "the label that went is gone"
        );
        let taints = node["spec"]["taints"].as_array().cloned().unwrap_or_default();
        assert!(
            taints
                .iter()
                .any(|t| t["key"] == "dedicated" && t["value"] == "db" && t["effect"] == "NoSchedule")
        );
    }
    workspace.assert_empty_plan(&[]);
}

#[test]
fn a_new_machine_type_rolls_the_group_without_dropping_below_its_size() {
    if !installed("terraform") || !installed("kubectl") {
        return;
    }
    let workspace = workspace(GROUP);
    let before = workers(&workspace);
    workspace.write(
        "main.tf",
        &configuration(&GROUP.replace("n1-standard-1", "n1-standard-2")),
    );
    let changes = workspace.planned_changes(&[]);
    assert_eq!(changes, [("multizone_node_group.pool".to_owned(), "update".to_owned())]);
    let _ = workspace.apply(&[]);
    let after = workers(&workspace);
    assert_eq!(after.len(), 2);
    assert!(
        uids(&after).iter().all(|uid| !uids(&before).contains(uid)),
        "every node is new"
    );
    let types: Vec<_> = workspace.status()["machines"]
        .as_array()
        .unwrap()
        .iter()
        .map(|machine| machine["type"].as_str().unwrap_or_default().to_owned())
        .collect();
    assert!(
        types.iter().all(|machine_type| machine_type == "n1-standard-2"),
        "{types:?}"
    );
    workspace.assert_empty_plan(&[]);
}

const WORKLOAD: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: { name: web, namespace: default }
spec:
  replicas: 2
  selector: { matchLabels: { app: web } }
  template:
    metadata: { labels: { app: web } }
    spec:
      containers: [{ name: web, image: registry.k8s.io/pause:3.10 }]
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: { name: web, namespace: default }
spec:
  minAvailable: 2
  selector: { matchLabels: { app: web } }
";

#[test]
fn shrinking_respects_a_disruption_budget_and_fails_closed_at_the_timeout() {
    if !installed("terraform") || !installed("kubectl") {
        return;
    }
    let workspace = workspace(GROUP);
    workspace.write("workload.yaml", WORKLOAD);
    let _ = workspace.kubectl("demo", &["apply", "-f", "workload.yaml"]).succeeded();
    let _ = workspace
        .kubectl(
            "demo",
            &["wait", "--for=condition=Available", "deployment/web", "--timeout=60s"],
        )
        .succeeded();

    let empty = GROUP.replace("size         = 2", "size = 0\n  drain_timeout = \"3s\"");
    workspace.write("main.tf", &configuration(&empty));
    let run = workspace.terraform(&["apply", "-auto-approve"]).exited(1);
    let text = run.text();
    assert!(
        text.contains("web"),
        "the error names the pods and the budget in the way: {text}"
    );
    assert!(
        !workers(&workspace).is_empty(),
        "the node that could not be drained is still there"
    );

    // With the budget gone the same apply finishes: nothing was lost on the way.
    let _ = workspace.kubectl("demo", &["delete", "pdb", "web"]).succeeded();
    let _ = workspace.apply(&[]);
    assert!(workers(&workspace).is_empty());
    workspace.assert_empty_plan(&[]);
}

#[test]
fn a_terminated_machine_is_shown_by_the_next_plan_and_replaced_by_apply() {
    if !installed("terraform") || !installed("kubectl") {
        return;
    }
    let workspace = workspace(GROUP);
    let node = workers(&workspace)[0]["metadata"]["name"].as_str().unwrap().to_owned();
    let _ = workspace.sandbox(&["halt", &node]).succeeded();
    let _ = workspace.terraform(&["plan", "-detailed-exitcode"]).exited(2);
    let _ = workspace.apply(&[]);
    assert_eq!(workers(&workspace).len(), 2);
    workspace.assert_empty_plan(&[]);
}

#[test]
fn workers_newer_than_the_control_plane_are_refused_at_plan() {
    if !installed("terraform") {
        return;
    }
    let workspace = workspace(GROUP);
    let newer = GROUP.replace("1.34.1", "1.35.0");
    workspace.write("main.tf", &configuration(&newer));
    let text = workspace.terraform(&["plan"]).exited(1).text();
    for said in [
        "Workers that do not fit the control plane",
        "Node group pool is to run Kubernetes 1.35.0, and the control plane of cluster demo runs 1.34.1",
        "multizone_control_plane.NAME.kubernetes_version",
    ] {
        assert!(text.contains(said), "{said}: {text}");
    }
    // Older ones fit, and join with a kubeadm of the control plane's version.
    let older = GROUP.replace("1.34.1", "1.33.5");
    workspace.write("main.tf", &configuration(&older));
    let _ = workspace.apply(&[]);
    let kubelets: Vec<_> = workers(&workspace)
        .iter()
        .map(|node| {
            node["status"]["nodeInfo"]["kubeletVersion"]
                .as_str()
                .unwrap_or_default()
                .to_owned()
        })
        .collect();
    assert_eq!(kubelets, ["v1.33.5", "v1.33.5"]);
    workspace.assert_empty_plan(&[]);
}

#[test]
fn workers_with_a_taint_that_evicts_become_ready() {
    if !installed("terraform") || !installed("kubectl") {
        return;
    }
    let tainted = format!("{GROUP}\n  taints = [{{ key = \"dedicated\", value = \"db\", effect = \"NoExecute\" }}]");
    let workspace = workspace(&tainted);
    assert_eq!(workers(&workspace).len(), 2);
    workspace.assert_empty_plan(&[]);

    // A pod network that tolerates less never gets there, and the error says what to do.
    let network = std::fs::read_to_string(workspace.path().join("pod-network.yaml")).unwrap();
    let network = network.replace("- operator: Exists", "- { operator: Exists, effect: NoSchedule }");
    workspace.write("pod-network.yaml", &network);
    let larger = tainted.replace("size         = 2", "size = 3\n  timeouts = { update = \"20s\" }");
    workspace.write("main.tf", &configuration(&larger));
    let text = workspace.terraform(&["apply", "-auto-approve"]).exited(1).text();
    for said in [
        "Not every worker has joined after",
        "the group's taints dedicated=db:NoExecute keep every pod away that does not tolerate them",
        "tolerations: [{ operator: Exists }]",
        "timeouts",
    ] {
        assert!(text.contains(said), "{said}: {text}");
    }
}
