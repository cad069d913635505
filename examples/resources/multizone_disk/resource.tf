resource "multizone_disk" "data" {
  cluster = multizone_cluster.demo.name
  name    = "data"
  zone    = "us-central1-a"
  size_gb = 5
}

# terraform output -raw persistent_volume | kubectl apply -f -
output "persistent_volume" {
  value = multizone_disk.data.persistent_volume
}
