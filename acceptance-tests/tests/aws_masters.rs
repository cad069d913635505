//! Masters on AWS's code, by real `terraform` against moto, whose instances are guests of the sandbox that boot from their
//! user data: the control plane really comes up, behind the load balancer's name.
#![allow(clippy::unwrap_used)]

use multizone_acceptance_tests::{Moto, Workspace, installed};
use serde_json::json;

const CONFIGURATION: &str = r#"
variable "networks" {
  type = string
}
variable "masters" {
  type    = list(string)
  default = ["a"]
}
locals {
  zones = ["a", "b", "c"]
}
resource "multizone_cluster" "demo" {
  name         = "demo"
  network_cidr = var.networks
  zones        = { for zone in var.masters : "us-west-2${zone}" => { subnet_cidr = cidrsubnet(var.networks, 6, index(local.zones, zone)) } }
}
resource "multizone_control_plane" "demo" {
  cluster              = multizone_cluster.demo.name
  kubernetes_version   = "1.34.1"
  machine_type         = "t3.medium"
  pod_network_manifest = file("pod-network.yaml")
  replicas             = { for zone in var.masters : zone => { zone = "us-west-2${zone}" } }
}
"#;

#[test]
fn a_master_comes_up_behind_the_name_of_its_load_balancer() {
    if !installed("terraform") || !installed("kubectl") {
        return;
    }
    let Some(moto) = Moto::start_with_machines() else {
        return;
    };
    let workspace = Workspace::on_aws(&moto, CONFIGURATION);
    let networks = format!("-var=networks={}", moto.networks());
    let _ = workspace.apply(&[&networks]);
    workspace.assert_empty_plan(&[&networks]);
    let nodes = workspace.kubectl("demo", &["get", "nodes", "-L", "topology.kubernetes.io/zone"]);
    let nodes = nodes.succeeded().text();
    assert!(nodes.contains("demo-master-a Ready control-plane"), "{nodes}");
    assert!(nodes.contains("us-west-2a"), "{nodes}");
    let _ = workspace
        .terraform(&["destroy", "-auto-approve", &networks])
        .succeeded();
    assert_eq!(moto.left(), json!({}));
}
