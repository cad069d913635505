# A cluster over the zones of one region: one master, three nodes in every zone, one zonal disk.
#
#   terraform apply -var 'zones=["us-central1-a"]'
#   terraform apply -var 'zones=["us-central1-a", "us-central1-b"]'
#   terraform apply                                                   # all three

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

resource "multizone_control_plane" "demo" {
  cluster              = multizone_cluster.demo.name
  kubernetes_version   = var.kubernetes_version
  machine_type         = var.master_machine_type
  pod_network_manifest = file("${path.module}/pod-network.yaml")
  replicas             = { a = { zone = var.master_zone } }
  legacy_zone_labels   = var.legacy_zone_labels
}

resource "multizone_node_group" "pool" {
  for_each           = multizone_cluster.demo.zones
  control_plane      = multizone_control_plane.demo.id
  kubernetes_version = multizone_control_plane.demo.kubernetes_version
  name               = "pool-${each.key}"
  zone               = each.key
  size               = var.nodes_per_zone
  machine_type       = var.node_machine_type
  labels             = { "team" = "web" }
  taints             = []
  legacy_zone_labels = var.legacy_zone_labels
}

resource "multizone_disk" "data" {
  cluster = multizone_cluster.demo.name
  name    = "data"
  zone    = var.master_zone
  size_gb = 5
}
