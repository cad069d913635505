# Two clusters of one call of the module, side by side in one region.

terraform {
  required_providers {
    multizone = { source = "multizone/multizone" }
  }
}

module "cluster" {
  source   = "../.."
  for_each = toset(["blue", "green"])

  name        = each.key
  zones       = ["us-central1-a"]
  masters     = 1
  node_groups = { pool = { size_per_zone = 1 } }
}

output "masters" {
  value = toset(flatten([for cluster in module.cluster : keys(cluster.masters)]))
}

output "endpoints" {
  value = { for name, cluster in module.cluster : name => cluster.endpoint }
}
