output "endpoint" {
  description = "Where the Kubernetes API answers."
  value       = multizone_cluster.demo.endpoint
}

output "persistent_volume" {
  description = "The disk as a PersistentVolume: terraform output -raw persistent_volume | kubectl apply -f -"
  value       = multizone_disk.data.persistent_volume
}
