resource "multizone_control_plane" "demo" {
  cluster              = multizone_cluster.demo.name
  kubernetes_version   = "1.34.1"
  machine_type         = "n1-standard-2"
  pod_network_manifest = file("${path.module}/pod-network.yaml")
  replicas             = { a = { zone = "us-central1-a" } }
}
