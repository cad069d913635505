# Three nodes in every zone of the cluster.
resource "multizone_node_group" "pool" {
  for_each           = multizone_cluster.demo.zones
  control_plane      = multizone_control_plane.demo.id
  kubernetes_version = multizone_control_plane.demo.kubernetes_version
  name               = "pool-${each.key}"
  zone               = each.key
  size               = 3
  machine_type       = "n1-standard-2"
  labels             = { "team" = "web" }
}

# Nodes for one kind of work only.
resource "multizone_node_group" "batch" {
  control_plane      = multizone_control_plane.demo.id
  kubernetes_version = multizone_control_plane.demo.kubernetes_version
  name               = "batch"
  zone               = "us-central1-b"
  size               = 2
  machine_type       = "n1-standard-4"
  taints             = [{ key = "workload", value = "batch", effect = "NoSchedule" }]
  max_surge          = 2
  drain_timeout      = "30m"
}
