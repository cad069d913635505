//! Another Kubernetes version in one apply of the whole configuration: the cluster's own settings, then the masters one by
//! one, then kube-proxy and `CoreDNS`, then the workers; no request through the balancer fails.  And what a user chooses beyond kubeadm's settings, seen through the sandbox's API.

#![allow(clippy::unwrap_used)]

use multizone_acceptance_tests::{Prober, Workspace, installed};
use serde_json::Value;

const FROM: &str = "-var=kubernetes_version=1.32.9";
const TO: &str = "-var=kubernetes_version=1.33.5";

fn rollout(workspace: &Workspace, address: &str) -> Vec<String> {
    let plan = workspace.json(&["show", "-json", "planned"]);
    let changes = plan["resource_changes"].as_array().unwrap();
    let change = changes.iter().find(|change| change["address"] == address).unwrap();
    let lines = change["change"]["after"]["rollout"].as_array().unwrap().iter();
    lines.map(|line| line.as_str().unwrap().to_owned()).collect()
}

fn get(workspace: &Workspace, what: &[&str]) -> Value {
    let arguments = [&["get"], what, &["-o", "json"]].concat();
    serde_json::from_str(&workspace.kubectl("demo", &arguments).succeeded().stdout).unwrap()
}

/// Every node with the version of its kubelet.
fn versions(workspace: &Workspace) -> Vec<(String, String)> {
    let nodes = get(workspace, &["nodes"]);
    let of = |node: &Value| {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        (
            text(&node["metadata"]["name"]),
            text(&node["status"]["nodeInfo"]["kubeletVersion"]),
        )
    };
    nodes["items"].as_array().unwrap().iter().map(of).collect()
}

/// A document in a `ConfigMap` of kube-system.
fn document(workspace: &Workspace, name: &str, key: &str) -> String {
    let map = get(workspace, &["configmap", name, "-n", "kube-system"]);
    map["data"][key].as_str().unwrap().to_owned()
}

/// The command of a master's static pod.
fn command(workspace: &Workspace, pod: &str) -> Vec<String> {
    let pod = get(workspace, &["pod", pod, "-n", "kube-system"]);
    let command = pod["spec"]["containers"][0]["command"].as_array().unwrap().iter();
    command.map(|argument| argument.as_str().unwrap().to_owned()).collect()
}

#[test]
fn one_apply_upgrades_the_settings_the_masters_the_addons_and_then_the_workers_without_a_failed_request() {
    if !installed("terraform") || !installed("kubectl") {
        return;
    }
    let workspace = Workspace::of_example("highly-available");
    let _ = workspace.apply(&[FROM]);
    let before = versions(&workspace);
    assert_eq!(before.len(), 6, "{before:?}");
    assert!(before.iter().all(|(_, version)| version == "v1.32.9"), "{before:?}");

    // As a user sees it before.
    let plan = workspace.terraform(&["plan", "-out=planned", TO]).succeeded();
    println!("{}", plan.stdout);
    let steps = rollout(&workspace, "multizone_control_plane.demo");
    println!("{steps:#?}");
    assert!(
        steps[0]
            .trim_start()
            .starts_with("1. set the cluster-wide settings to 1.33.5: kubeadm, kubelet "),
        "{steps:#?}"
    );
    let last = steps.last().unwrap();
    assert!(last.contains(". bring kube-proxy and CoreDNS to 1.33.5 "), "{steps:#?}");
    for replica in ["a", "b", "f"] {
        let joins = steps
            .iter()
            .filter(|step| step.contains(&format!("to replace master {replica},")));
        assert_eq!(joins.count(), 1, "{steps:#?}");
    }
    let workers = rollout(&workspace, "multizone_node_group.pool[\"us-central1-a\"]");
    println!("{workers:#?}");
    assert!(!workers.is_empty());

    let prober = Prober::start(&workspace);
    let applied = workspace.terraform(&["apply", "planned"]).succeeded();
    prober.saw_no_failure("upgrading three masters and three workers", &steps);
    let (masters, pools) = (
        applied
            .stdout
            .find("multizone_control_plane.demo: Modifications complete")
            .unwrap(),
        applied
            .stdout
            .find("multizone_node_group.pool[\"us-central1-a\"]: Modifying")
            .unwrap(),
    );
    assert!(masters < pools, "masters before workers:\n{}", applied.stdout);
    let after = versions(&workspace);
    assert_eq!(after.len(), 6, "{after:?}");
    assert!(after.iter().all(|(_, version)| version == "v1.33.5"), "{after:?}");
    assert!(document(&workspace, "kubeadm-config", "ClusterConfiguration").contains("kubernetesVersion: v1.33.5"));
    let kube_proxy = get(&workspace, &["daemonset", "kube-proxy", "-n", "kube-system"]);
    assert_eq!(
        kube_proxy["spec"]["template"]["spec"]["containers"][0]["image"],
        "registry.k8s.io/kube-proxy:v1.33.5"
    );
    let core_dns = get(&workspace, &["deployment", "coredns", "-n", "kube-system"]);
    assert_eq!(
        core_dns["spec"]["template"]["spec"]["containers"][0]["image"],
        "registry.k8s.io/coredns/coredns:v1.12.0"
    );
    let state = workspace.json(&["show", "-json"]);
    let resources = state["values"]["root_module"]["resources"].as_array().unwrap();
    let masters = resources
        .iter()
        .find(|found| found["address"] == "multizone_control_plane.demo")
        .unwrap();
    for (name, node) in masters["values"]["nodes"].as_object().unwrap() {
        let end = node["certificate_expires_at"].as_str().unwrap_or_default();
        assert!(end.starts_with("20") && end.ends_with('Z'), "{name}: {node}");
    }
    workspace.assert_empty_plan(&[TO]);

    for (version, why) in [
        ("1.32.9", "cannot go back to 1.32.9"),
        ("1.35.0", "one minor version at a time, to 1.34"),
    ] {
        let refused = workspace
            .terraform(&["plan", &format!("-var=kubernetes_version={version}")])
            .exited(1);
        let said = refused.text().replace(['\n', '│'], " ");
        let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(said.contains(why), "{said}");
        assert!(said.contains("kubernetes_version = var.kubernetes_version"), "{said}");
    }
    let _ = workspace.terraform(&["destroy", "-auto-approve", TO]).succeeded();
}

/// Whether a node keeps pods away as a master.
fn tainted(node: &Value) -> bool {
    let mut taints = node["spec"]["taints"].as_array().into_iter().flatten();
    taints.any(|taint| taint["key"] == "node-role.kubernetes.io/control-plane")
}

fn customised(kubeadm: &str) -> String {
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
          kubeadm            = {kubeadm}
        }}
        "#
    )
}

#[test]
fn what_a_user_chooses_is_in_the_cluster_and_a_change_of_it_replaces_the_master() {
    if !installed("terraform") || !installed("kubectl") {
        return;
    }
    let first = r#"{
      api_server = {
        extra_args    = { "audit-log-maxage" = ["7"], "audit-policy-file" = ["/etc/audit/policy.yaml"] }
        extra_volumes = { audit = { host_path = "/etc/audit", mount_path = "/etc/audit", path_type = "DirectoryOrCreate" } }
      }
      etcd                                 = { extra_args = { "quota-backend-bytes" = ["4294967296"] } }
      patches                              = { "kube-scheduler.yaml" = yamlencode({ spec = { priority = 7 } }) }
      kubelet_configuration                = yamlencode({ maxPods = 200, syncFrequency = "90s" })
      kube_proxy_configuration             = yamlencode({ mode = "nftables" })
      image_repository                     = "mirror.example.com/k8s"
      control_plane_taint                  = false
      exclude_from_external_load_balancers = false
    }"#;
    let workspace = Workspace::of(&customised(first));
    let _ = workspace.apply(&[]);
    let arguments = command(&workspace, "kube-apiserver-demo-master-a");
    for argument in ["--audit-log-maxage=7", "--audit-policy-file=/etc/audit/policy.yaml"] {
        assert!(arguments.iter().any(|given| given == argument), "{arguments:?}");
    }
    let etcd = command(&workspace, "etcd-demo-master-a");
    assert!(
        etcd.iter().any(|given| given == "--quota-backend-bytes=4294967296"),
        "{etcd:?}"
    );
    assert!(document(&workspace, "kubelet-config", "kubelet").contains("maxPods: 200"));
    assert!(document(&workspace, "kube-proxy", "config.conf").contains("mode: nftables"));
    let node = get(&workspace, &["node", "demo-master-a"]);
    assert!(!tainted(&node), "{}", node["spec"]);
    let excluded = "node.kubernetes.io/exclude-from-external-load-balancers";
    assert!(node["metadata"]["labels"][excluded].is_null(), "{}", node["metadata"]);
    workspace.assert_empty_plan(&[]);

    let second = r#"{
      api_server            = { extra_args = { "audit-log-maxage" = ["9"] } }
      kubelet_configuration = yamlencode({ maxPods = 150 })
    }"#;
    workspace.write("main.tf", &customised(second));
    let _ = workspace.terraform(&["plan", "-out=planned"]).succeeded();
    let steps = rollout(&workspace, "multizone_control_plane.demo");
    assert!(
        steps[0].contains("set the cluster-wide settings to 1.34.1"),
        "{steps:#?}"
    );
    assert!(
        steps[1].contains("bring kube-proxy and CoreDNS to 1.34.1"),
        "{steps:#?}"
    );
    assert!(
        steps[2].contains("create master a-2 in us-central1-a to replace master a"),
        "{steps:#?}"
    );
    let _ = workspace.terraform(&["apply", "planned"]).succeeded();
    let nodes = versions(&workspace);
    assert_eq!(nodes.len(), 1, "{nodes:?}");
    let name = &nodes[0].0;
    assert_ne!(name, "demo-master-a");
    let arguments = command(&workspace, &format!("kube-apiserver-{name}"));
    assert!(
        arguments.iter().any(|given| given == "--audit-log-maxage=9"),
        "{arguments:?}"
    );
    assert!(
        !arguments.iter().any(|given| given.starts_with("--audit-policy-file")),
        "{arguments:?}"
    );
    let kubelet = document(&workspace, "kubelet-config", "kubelet");
    assert!(
        kubelet.contains("maxPods: 150") && !kubelet.contains("syncFrequency"),
        "{kubelet}"
    );
    assert!(!document(&workspace, "kube-proxy", "config.conf").contains("nftables"));
    let node = get(&workspace, &["node", name]);
    assert!(tainted(&node), "{}", node["spec"]);
    workspace.assert_empty_plan(&[]);
    let _ = workspace.terraform(&["destroy", "-auto-approve"]).succeeded();
}
