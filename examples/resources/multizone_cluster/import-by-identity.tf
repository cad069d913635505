import {
  to = multizone_cluster.demo
  identity = {
    region  = "us-central1"
    cluster = "demo"
  }
}
