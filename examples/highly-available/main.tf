# A highly available cluster: masters in three zones behind a balancer, workers in each zone.  README.md is the walk-through.

terraform {
  required_version = ">= 1.11"
  required_providers {
    multizone = { source = "multizone/multizone" }
  }
}

provider "multizone" {
  sandbox = { region = "us-central1" }
}

resource "multizone_cluster" "demo" {
  name         = var.name
  network_cidr = var.network_cidr
  zones        = { for zone in var.zones : zone => { subnet_cidr = lookup(var.subnet_cidrs, zone, null) } }
}

resource "multizone_api_load_balancer" "api" {
  count   = var.balancer ? 1 : 0
  cluster = multizone_cluster.demo.name
  zones   = keys(multizone_cluster.demo.zones)
}

resource "multizone_control_plane" "demo" {
  cluster              = multizone_cluster.demo.name
  load_balancer        = one(multizone_api_load_balancer.api[*].name)
  kubernetes_version   = var.kubernetes_version
  machine_type         = var.master_machine_type
  pod_network_manifest = file("${path.module}/pod-network.yaml")
  etcd_backup          = var.etcd_backup
  # The key is the last letter of the zone's name: a, b and f.
  replicas = { for zone in var.masters : regex("[a-z]$", zone) => { zone = zone } }
}

resource "multizone_node_group" "pool" {
  for_each           = multizone_cluster.demo.zones
  control_plane      = multizone_control_plane.demo.id
  kubernetes_version = multizone_control_plane.demo.kubernetes_version
  name               = "pool-${each.key}"
  zone               = each.key
  size               = var.nodes_per_zone
  machine_type       = var.node_machine_type
}
