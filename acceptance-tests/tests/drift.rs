//! Changes behind Terraform's back: the next plan shows each as what it is, apply heals it or says why it cannot, and what
//! others change legitimately is not shown.
//!
//! The changes are made with the cloud's own API, `sandbox halt` and kubectl.

#![allow(clippy::unwrap_used)]

use multizone_acceptance_tests::{Region, Workspace, installed};
use serde_json::{Value, json};

const A: &str = "zones/us-central1-a";

const CONFIGURATION: &str = r#"
resource "multizone_cluster" "demo" {
  name  = "demo"
  zones = { "us-central1-a" = {}, "us-central1-b" = {} }
}
resource "multizone_disk" "data" {
  cluster = multizone_cluster.demo.name
  name    = "data"
  zone    = "us-central1-a"
  size_gb = 5
  labels  = { "team" = "web" }
}
"#;

const NODES: &str = r#"
resource "multizone_control_plane" "demo" {
  cluster              = multizone_cluster.demo.name
  kubernetes_version   = "1.34.1"
  machine_type         = "n1-standard-2"
  replicas             = { a = { zone = "us-central1-a" } }
  pod_network_manifest = file("pod-network.yaml")
}
resource "multizone_node_group" "pool" {
  control_plane      = multizone_control_plane.demo.id
  kubernetes_version = "1.34.1"
  name               = "pool"
  zone               = "us-central1-b"
  size               = 2
  machine_type       = "n1-standard-1"
  labels             = { "team" = "web" }
  taints             = [{ key = "dedicated", value = "web", effect = "NoSchedule" }]
}
"#;

fn workspace(parts: &[&str]) -> Workspace {
    let workspace = Workspace::of(&parts.concat());
    let _ = workspace.apply(&[]);
    workspace.assert_empty_plan(&[]);
    workspace
}

/// The plan shows this change of this resource, and all of these words; apply heals it.
#[track_caller]
fn shown_and_healed(workspace: &Workspace, change: (&str, &str), words: &[&str]) {
    shown(workspace, change, words);
    let _ = workspace.apply(&[]);
    workspace.assert_empty_plan(&[]);
}

#[track_caller]
fn shown(workspace: &Workspace, (address, action): (&str, &str), words: &[&str]) {
    let plan = workspace.terraform(&["plan"]).succeeded().saying(words);
    let changes = workspace.planned_changes(&[]);
    assert_eq!(changes, [(address.to_owned(), action.to_owned())], "{}", plan.text());
}

#[track_caller]
fn refused(workspace: &Workspace, command: &str, words: &[&str]) {
    let arguments = if command == "apply" {
        vec!["apply", "-auto-approve"]
    } else {
        vec![command]
    };
    let _ = workspace.terraform(&arguments).exited(1).saying(words);
}

#[test]
fn a_clusters_network_rules_address_and_secrets() {
    if !installed("terraform") {
        return;
    }
    let workspace = workspace(&[CONFIGURATION]);
    let region = Region::of(&workspace);
    let cluster = ("multizone_cluster.demo", "update");
    let rules = region.get("global/firewalls");
    let rule = |ending: &str| {
        let mut names = rules["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|rule| rule["name"].as_str().unwrap());
        let name = names
            .find(|name| name.contains(&format!("demo-{ending}-")))
            .unwrap_or_else(|| panic!("{rules}"));
        format!("global/firewalls/{name}")
    };
    region.delete(&rule("api"));
    shown_and_healed(&workspace, cluster, &["the firewall rule api is gone"]);
    region.patch(&rule("api"), &json!({ "disabled": true }));
    shown_and_healed(&workspace, cluster, &["the firewall rule api was changed"]);
    region.patch(&rule("api"), &json!({ "sourceRanges": ["10.9.0.0/16"] }));
    shown_and_healed(
        &workspace,
        cluster,
        &["the firewall rule api lets other traffic through"],
    );
    region.delete(&rule("api"));
    region.delete(&rule("internal"));
    shown_and_healed(&workspace, cluster, &["rule api is gone", "rule internal is gone"]);

    region.delete_secret("multizone-us-central1-demo-node-credential");
    shown_and_healed(&workspace, cluster, &["with the node groups' credential is gone"]);
    region.delete_secret("multizone-us-central1-demo-settings");
    shown_and_healed(&workspace, cluster, &["with the settings is gone"]);

    // The authority cannot be made anew, nor an address be chosen.
    region.delete_secret("multizone-us-central1-demo-keys");
    shown(&workspace, cluster, &["with the keys is gone"]);
    refused(
        &workspace,
        "apply",
        &["Restore it in the secret store", "would lock every node out"],
    );
    let addresses = region.get("regions/us-central1/addresses");
    let address = addresses["items"][0]["name"].as_str().unwrap();
    region.delete(&format!("regions/us-central1/addresses/{address}"));
    let _ = workspace
        .terraform(&["plan", "-detailed-exitcode"])
        .exited(2)
        .saying(&["The cluster's address is gone", "must be replaced"]);
}

#[test]
fn a_disks_size_labels_and_being() {
    if !installed("terraform") {
        return;
    }
    let workspace = workspace(&[CONFIGURATION]);
    let region = Region::of(&workspace);
    let disk = ("multizone_disk.data", "update");
    let path = format!("{A}/disks/demo-data");

    region.label(&path, &[("team", Some("db"))]);
    shown_and_healed(&workspace, disk, &["\"team\" = \"db\" -> \"web\""]);
    region.label(&path, &[("team", None), ("topology-zone", Some("us-central1-f"))]);
    shown_and_healed(
        &workspace,
        disk,
        &["+ \"team\" = \"web\"", "\"us-central1-f\" -> \"us-central1-a\""],
    );
    assert_eq!(region.get(&path)["labels"]["team"], "web");
    // Without the cluster's label it is in no inventory, and still not gone.
    region.label(&path, &[("multizone-cluster", None)]);
    let id = region.get(&path)["id"].clone();
    shown_and_healed(&workspace, disk, &["+ \"multizone-cluster\" = \"demo\""]);
    assert_eq!(region.get(&path)["id"], id, "the disk and its data are the same");
    // What carries another cluster's label is that cluster's: it is shown, and neither taken back nor deleted.
    region.label(&path, &[("multizone-cluster", Some("other"))]);
    let owner = "\"multizone-cluster\" = \"other\" -> \"demo\"";
    shown(&workspace, disk, &[owner, "belongs to cluster other now"]);
    refused(&workspace, "apply", &["Cannot update disk data", "terraform state rm"]);
    let destroy = ["destroy", "-auto-approve", "-target=multizone_disk.data"];
    let text = workspace.terraform(&destroy).exited(1).text();
    assert!(text.contains("Cannot delete disk data"), "{text}");
    assert_eq!(region.get(&path)["labels"]["multizone-cluster"], "other");
    region.label(&path, &[("multizone-cluster", Some("demo"))]);
    workspace.assert_empty_plan(&[]);
    // Others' labels are theirs.
    region.label(&path, &[("cost-centre", Some("7"))]);
    workspace.assert_empty_plan(&[]);

    region.delete(&path);
    shown_and_healed(
        &workspace,
        ("multizone_disk.data", "create"),
        &["multizone_disk.data will be created"],
    );
    region.post(&format!("{path}/resize"), &json!({ "sizeGb": "8" }));
    refused(&workspace, "plan", &["size_gb = 8 or more"]);
    workspace.write("main.tf", &CONFIGURATION.replace("size_gb = 5", "size_gb = 8"));
    workspace.assert_empty_plan(&[]);
}

/// The group's workers, by name.
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

fn names(workspace: &Workspace) -> Vec<String> {
    let workers = workers(workspace);
    workers
        .iter()
        .map(|node| node["metadata"]["name"].as_str().unwrap().to_owned())
        .collect()
}

/// A machine that carries another cluster's label is a worker still, and is not touched.
fn given_to_another_cluster(workspace: &Workspace, machine: &str) {
    let region = Region::of(workspace);
    region.label(machine, &[("multizone-cluster", Some("other"))]);
    let text = workspace.terraform(&["plan"]).succeeded().text();
    assert!(text.contains("belongs to cluster other now"), "{text}");
    assert!(workspace.planned_changes(&[]).is_empty(), "{text}");
    let replace = ["apply", "-auto-approve", "-replace=multizone_node_group.pool"];
    let text = workspace.terraform(&replace).exited(1).text();
    assert!(text.contains("The provider does not touch it"), "{text}");
    assert_eq!(region.get(machine)["status"], "RUNNING");
    region.label(machine, &[("multizone-cluster", Some("demo"))]);
    workspace.assert_empty_plan(&[]);
}

#[test]
fn nodes_and_their_machines() {
    if !installed("terraform") || !installed("kubectl") {
        return;
    }
    let workspace = workspace(&[CONFIGURATION, NODES]);
    let region = Region::of(&workspace);
    let pool = ("multizone_node_group.pool", "update");
    let kubectl = |arguments: &[&str]| {
        let _ = workspace.kubectl("demo", arguments).succeeded();
    };
    let before = names(&workspace);
    let (first, second) = (before[0].as_str(), before[1].as_str());
    let machine = format!("zones/us-central1-b/instances/{first}");

    kubectl(&["cordon", first]);
    shown_and_healed(
        &workspace,
        pool,
        &["state = \"cordoned\"", &format!("let worker {first} take pods again")],
    );
    kubectl(&["cordon", first]);
    kubectl(&["label", "node", first, "multizone.dev/hold=true"]);
    workspace.assert_empty_plan(&[]);
    kubectl(&["label", "node", first, "multizone.dev/hold-"]);
    kubectl(&["taint", "node", first, "ToBeDeletedByClusterAutoscaler=1:NoSchedule"]);
    workspace.assert_empty_plan(&[]);
    kubectl(&["taint", "node", first, "ToBeDeletedByClusterAutoscaler-"]);
    kubectl(&["uncordon", first]);

    // The same change twice is shown twice, though it is healed by the same steps.
    for _ in 0..2 {
        kubectl(&["label", "node", first, "team=db", "--overwrite"]);
        shown_and_healed(&workspace, pool, &["set labels and taints"]);
    }
    kubectl(&[
        "label",
        "node",
        first,
        "topology.kubernetes.io/zone-",
        "multizone.dev/node-group=other",
        "--overwrite",
    ]);
    shown_and_healed(&workspace, pool, &["set labels and taints"]);
    kubectl(&["taint", "node", first, "dedicated-"]);
    shown_and_healed(&workspace, pool, &["set labels and taints"]);
    kubectl(&["annotate", "node", first, "multizone.dev/node-group-settings-"]);
    shown_and_healed(&workspace, pool, &["set labels and taints"]);
    // What others add is theirs.
    kubectl(&["label", "node", first, "their=label"]);
    kubectl(&["taint", "node", first, "their=taint:PreferNoSchedule"]);
    kubectl(&["annotate", "node", first, "their=annotation"]);
    region.label(&machine, &[("cost-centre", Some("7"))]);
    workspace.assert_empty_plan(&[]);

    region.label(
        &machine,
        &[("multizone-node-group", None), ("multizone-specification", None)],
    );
    shown_and_healed(
        &workspace,
        pool,
        &["state = \"relabelled\"", "the group's labels again"],
    );
    region.label(&machine, &[("multizone-role", Some("master-of-none"))]);
    shown_and_healed(&workspace, pool, &["the group's labels again"]);
    region.label(&machine, &[("multizone-cluster", None)]);
    shown_and_healed(
        &workspace,
        pool,
        &["state = \"relabelled\"", "the group's labels again"],
    );
    given_to_another_cluster(&workspace, &machine);
    assert_eq!(names(&workspace), before, "no node was replaced so far");

    let _ = workspace.sandbox(&["halt", first]).succeeded();
    shown_and_healed(
        &workspace,
        pool,
        &["state = \"halted\"", &format!("start worker {first}")],
    );
    assert_eq!(names(&workspace), before, "a halted machine is started again");
    kubectl(&["delete", "node", second]);
    shown_and_healed(&workspace, pool, &["state = \"not registered\""]);
    region.delete(&machine);
    shown_and_healed(&workspace, pool, &["state = \"machine gone\""]);
    let before = names(&workspace);
    assert_eq!(before.len(), 2);

    // Somebody gives a worker another machine type, which the cloud lets them do while it is halted.
    let first = before[0].as_str();
    let machine = format!("zones/us-central1-b/instances/{first}");
    let _ = workspace.sandbox(&["halt", first]).succeeded();
    let larger = json!({ "machineType": "zones/us-central1-b/machineTypes/n1-standard-2" });
    region.post(&format!("{machine}/setMachineType"), &larger);
    shown_and_healed(
        &workspace,
        pool,
        &["n1-standard-2", &format!("delete the machine of worker {first}")],
    );
    for name in names(&workspace) {
        let found = region.get(&format!("zones/us-central1-b/instances/{name}"));
        let machine_type = found["machineType"].as_str().unwrap();
        assert!(machine_type.ends_with("/n1-standard-1"), "{name} is {machine_type}");
    }
}

const CONTROL_PLANE: &str = r#"
resource "multizone_control_plane" "demo" {
  cluster              = multizone_cluster.demo.name
  kubernetes_version   = "1.34.1"
  machine_type         = "n1-standard-2"
  replicas             = { a = { zone = "us-central1-a" } }
  pod_network_manifest = file("pod-network.yaml")
}
"#;

#[test]
fn a_master_its_labels_and_its_cordon() {
    if !installed("terraform") || !installed("kubectl") {
        return;
    }
    let workspace = workspace(&[CONFIGURATION, CONTROL_PLANE]);
    let region = Region::of(&workspace);
    let control_plane = ("multizone_control_plane.demo", "update");
    let master = "demo-master-a";
    let kubectl = |arguments: &[&str]| {
        let _ = workspace.kubectl("demo", arguments).succeeded();
    };
    kubectl(&["cordon", master]);
    shown_and_healed(
        &workspace,
        control_plane,
        &["state = \"cordoned\"", "let master a take pods again"],
    );
    let taint = "node-role.kubernetes.io/control-plane:NoSchedule";
    kubectl(&["taint", "node", master, &format!("{taint}-")]);
    shown_and_healed(&workspace, control_plane, &["set labels and taints of master a"]);
    // Whoever wants it so says so.
    kubectl(&["label", "node", master, "multizone.dev/hold=single"]);
    kubectl(&["cordon", master]);
    kubectl(&["taint", "node", master, &format!("{taint}-")]);
    workspace.assert_empty_plan(&[]);
    kubectl(&["label", "node", master, "multizone.dev/hold-"]);
    shown_and_healed(
        &workspace,
        control_plane,
        &["let master a take pods again", "set labels and taints of master a"],
    );
    for label in [
        "topology.kubernetes.io/zone-",
        "topology.kubernetes.io/region=mars",
        "node-role.kubernetes.io/control-plane-",
        "node.kubernetes.io/exclude-from-external-load-balancers-",
    ] {
        kubectl(&["label", "node", master, label, "--overwrite"]);
        shown_and_healed(&workspace, control_plane, &["set labels and taints of master a"]);
    }
    // What others add is theirs.
    kubectl(&["label", "node", master, "their=label"]);
    kubectl(&["taint", "node", master, "their=taint:PreferNoSchedule"]);
    kubectl(&["annotate", "node", master, "their=annotation"]);
    workspace.assert_empty_plan(&[]);

    let machine = format!("{A}/instances/{master}");
    let labels = region.get(&machine)["labels"].clone();
    region.label(
        &machine,
        &[("multizone-role", Some("nobody")), ("multizone-specification", None)],
    );
    shown_and_healed(
        &workspace,
        control_plane,
        &[
            "state = \"relabelled\"",
            "give the machine of master a its labels again",
        ],
    );
    assert_eq!(region.get(&machine)["labels"], labels);
    region.label(
        &machine,
        &[
            ("multizone-role", None),
            ("multizone-replica", None),
            ("topology-zone", None),
        ],
    );
    shown_and_healed(
        &workspace,
        control_plane,
        &["give the machine of master a its labels again"],
    );
    assert_eq!(region.get(&machine)["labels"], labels);
    region.label(&machine, &[("cost-centre", Some("7"))]);
    workspace.assert_empty_plan(&[]);
    // What does not carry the cluster's label is touched by nobody, and is not taken for gone.
    region.label(&machine, &[("multizone-cluster", None)]);
    let text = workspace.terraform(&["plan", "-detailed-exitcode"]).exited(0).text();
    assert!(text.contains("The master of cluster demo has lost its label"), "{text}");
    region.label(&machine, &[("multizone-cluster", Some("demo"))]);
    workspace.assert_empty_plan(&[]);

    let _ = workspace.sandbox(&["halt", master]).succeeded();
    shown_and_healed(
        &workspace,
        control_plane,
        &["state = \"halted\"", "start master a in us-central1-a"],
    );
}

#[test]
fn what_the_control_plane_keeps_in_the_cluster() {
    if !installed("terraform") || !installed("kubectl") {
        return;
    }
    let workspace = workspace(&[CONFIGURATION, CONTROL_PLANE]);
    let control_plane = ("multizone_control_plane.demo", "update");
    let kubectl = |arguments: &[&str]| {
        let _ = workspace.kubectl("demo", arguments).succeeded();
    };
    let patch = |object: &[&str], change: &str| {
        kubectl(&[&["patch", "--type=merge", "-p", change], object].concat());
    };
    kubectl(&["delete", "daemonset", "flannel", "-n", "kube-flannel"]);
    let again = "apply the pod network's manifest again: ";
    shown_and_healed(
        &workspace,
        control_plane,
        &[&format!("{again}DaemonSet kube-flannel/flannel is gone")],
    );
    let template = r#"{"spec":{"template":{"spec":{"hostNetwork":false}}}}"#;
    patch(&["daemonset", "flannel", "-n", "kube-flannel"], template);
    shown_and_healed(
        &workspace,
        control_plane,
        &[&format!("{again}DaemonSet kube-flannel/flannel was changed")],
    );
    let settings = r#"{"data":{"net-conf.json":"{}"}}"#;
    for _ in 0..2 {
        patch(&["configmap", "flannel", "-n", "kube-flannel"], settings);
        shown_and_healed(
            &workspace,
            control_plane,
            &[&format!("{again}ConfigMap kube-flannel/flannel was changed")],
        );
    }
    kubectl(&["delete", "clusterrolebinding", "flannel"]);
    kubectl(&["delete", "serviceaccount", "flannel", "-n", "kube-flannel"]);
    shown_and_healed(
        &workspace,
        control_plane,
        &[
            "ServiceAccount kube-flannel/flannel is gone",
            "ClusterRoleBinding flannel is gone",
        ],
    );
    // What others add, and what controllers report, is theirs.
    patch(
        &["configmap", "flannel", "-n", "kube-flannel"],
        r#"{"data":{"theirs":"x"}}"#,
    );
    kubectl(&[
        "annotate",
        "daemonset",
        "flannel",
        "-n",
        "kube-flannel",
        "their=annotation",
    ]);
    kubectl(&["rollout", "restart", "daemonset", "flannel", "-n", "kube-flannel"]);
    workspace.assert_empty_plan(&[]);

    let rights = "let node groups join, label and drain nodes again: ";
    kubectl(&["delete", "clusterrole", "multizone:node-groups"]);
    shown_and_healed(
        &workspace,
        control_plane,
        &[&format!("{rights}ClusterRole multizone:node-groups is gone")],
    );
    patch(
        &["role", "multizone:node-groups", "-n", "kube-system"],
        r#"{"rules":[]}"#,
    );
    shown_and_healed(
        &workspace,
        control_plane,
        &[&format!("{rights}Role kube-system/multizone:node-groups was changed")],
    );

    let record = ["configmap", "multizone-control-plane", "-n", "kube-system"];
    let kept = "keep the control plane's settings in the cluster again";
    patch(&record, r#"{"data":{"settings":"{}"}}"#);
    shown_and_healed(&workspace, control_plane, &[kept]);
    patch(&record, r#"{"data":{"pod-network-manifest":"changed"}}"#);
    shown_and_healed(&workspace, control_plane, &[kept]);
    kubectl(&[&["delete"], &record[..]].concat());
    shown_and_healed(&workspace, control_plane, &[kept]);

    // An API that does not answer is no drift, and says so.
    let _ = workspace.sandbox(&["outage", "us-central1-a"]).succeeded();
    let text = workspace.terraform(&["plan", "-detailed-exitcode"]).exited(0).text();
    for said in [
        "The Kubernetes API of cluster demo does not answer",
        "Machine demo-master-a in us-central1-a runs",
        "an apply does nothing about it",
    ] {
        assert!(text.contains(said), "{said}: {text}");
    }
    let _ = workspace.sandbox(&["restore", "us-central1-a"]).succeeded();
}

#[test]
fn a_zones_outage_is_a_warning_that_names_the_nodes() {
    if !installed("terraform") || !installed("kubectl") {
        return;
    }
    let workspace = workspace(&[CONFIGURATION, NODES]);
    let worker = names(&workspace).remove(0);
    let _ = workspace.sandbox(&["outage", "us-central1-b"]).succeeded();
    let run = workspace.kubectl(
        "demo",
        &[
            "wait",
            "--for=condition=Ready=Unknown",
            "node",
            "-l",
            "multizone.dev/node-group=pool",
            "--timeout=60s",
        ],
    );
    let _ = run.succeeded();
    let run = workspace.terraform(&["plan", "-detailed-exitcode"]).exited(0);
    let text = run.text();
    for said in [
        "2 of 2 nodes of node group pool not ready",
        &worker,
        "since ",
        "an apply changes nothing about them",
    ] {
        assert!(text.contains(said), "{said}: {text}");
    }
    let _ = workspace.sandbox(&["restore", "us-central1-b"]).succeeded();
    let run = workspace.kubectl(
        "demo",
        &[
            "wait",
            "--for=condition=Ready",
            "node",
            "-l",
            "multizone.dev/node-group=pool",
            "--timeout=60s",
        ],
    );
    let _ = run.succeeded();
    workspace.assert_empty_plan(&[]);
}

#[test]
fn what_a_changed_pod_network_no_longer_has_is_deleted() {
    if !installed("terraform") || !installed("kubectl") {
        return;
    }
    let workspace = workspace(&[CONFIGURATION, CONTROL_PLANE]);
    let network = std::fs::read_to_string(workspace.path().join("pod-network.yaml")).unwrap();
    let further = "
---
apiVersion: v1
kind: Namespace
metadata: { name: network-tools }
---
apiVersion: v1
kind: ConfigMap
metadata: { name: further, namespace: kube-system }
---
apiVersion: v1
kind: ConfigMap
metadata: { name: remade, namespace: kube-system }
";
    workspace.write("pod-network.yaml", &format!("{network}{further}"));
    let control_plane = ("multizone_control_plane.demo", "update");
    shown_and_healed(&workspace, control_plane, &["apply the pod network's manifest"]);
    // Somebody makes one of them anew: from then on it is theirs.
    let remade = ["configmap", "remade", "-n", "kube-system"];
    let _ = workspace
        .kubectl("demo", &[&["delete"], &remade[..]].concat())
        .succeeded();
    let _ = workspace
        .kubectl("demo", &[&["create"], &remade[..]].concat())
        .succeeded();
    workspace.write("pod-network.yaml", &network);
    let dropped = "and delete what it no longer has: ConfigMap kube-system/remade, ConfigMap kube-system/further";
    shown_and_healed(&workspace, control_plane, &[dropped]);
    let gone = workspace.kubectl("demo", &["get", "configmap", "further", "-n", "kube-system"]);
    assert_ne!(gone.code, 0, "{}", gone.stdout);
    let _ = workspace.kubectl("demo", &[&["get"], &remade[..]].concat()).succeeded();
    let _ = workspace
        .kubectl("demo", &["get", "namespace", "network-tools"])
        .succeeded();
}
