# What the cloud, the balancer, etcd and Kubernetes say of the cluster, side by side.  To look at it at any time:
#
#   echo 'data.multizone_cluster_status.now' | terraform console -plan

data "multizone_cluster_status" "now" {
  cluster = var.name
}

check "nothing_is_wrong" {
  assert {
    condition     = length(data.multizone_cluster_status.now.disagreements) == 0
    error_message = "When this was planned:\n${join("\n", data.multizone_cluster_status.now.disagreements)}"
  }
}
