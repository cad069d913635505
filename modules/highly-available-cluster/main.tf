# A highly available cluster: masters spread over the zones behind a balancer, and workers in every zone.

locals {
  flannel     = templatefile("${path.module}/pod-network.yaml.tftpl", { pod_cidr = var.pod_cidr })
  pod_network = var.pod_network_manifest == null ? local.flannel : var.pod_network_manifest == "" ? null : var.pod_network_manifest

  # One group for each kind of worker and zone.
  groups = merge([
    for name, group in var.node_groups : {
      for zone in var.zones : "${name}-${zone}" => merge(group, { zone = zone })
    }
  ]...)
}

resource "multizone_cluster" "this" {
  name                = var.name
  zones               = { for zone in var.zones : zone => {} }
  pod_cidr            = var.pod_cidr
  service_cidr        = var.service_cidr
  network_cidr        = var.network_cidr
  deletion_protection = var.deletion_protection
}

# There from the start, so that the API's address never has to be handed over.
resource "multizone_api_load_balancer" "api" {
  cluster = multizone_cluster.this.name
  zones   = keys(multizone_cluster.this.zones)
}

resource "multizone_control_plane" "this" {
  cluster              = multizone_cluster.this.name
  load_balancer        = multizone_api_load_balancer.api.name
  kubernetes_version   = var.kubernetes_version
  machine_type         = var.master_machine_type
  image                = var.image
  replica_count        = var.masters
  tolerate_zone_loss   = var.masters > 1
  pod_network_manifest = local.pod_network
  etcd_backup          = var.etcd_backup
  deletion_protection  = var.deletion_protection
}

resource "multizone_node_group" "this" {
  for_each           = local.groups
  control_plane      = multizone_control_plane.this.id
  kubernetes_version = multizone_control_plane.this.kubernetes_version
  name               = each.key
  zone               = each.value.zone
  size               = each.value.size_per_zone
  machine_type       = each.value.machine_type
  image              = var.image
  labels             = each.value.labels
  taints             = each.value.taints
  boot_disk_gb       = each.value.boot_disk_gb
  max_surge          = each.value.max_surge
  max_unavailable    = each.value.max_unavailable
  drain_timeout      = each.value.drain_timeout
}
