import {
  to = multizone_node_group.pool["us-central1-a"]
  identity = {
    region  = "us-central1"
    cluster = "demo"
    name    = "pool-us-central1-a"
  }
}
