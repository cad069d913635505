terraform import multizone_cluster.demo us-central1/demo
