output "endpoint" {
  description = "Where the Kubernetes API answers."
  value       = multizone_cluster.demo.endpoint
}

output "masters" {
  description = "The masters' machines and nodes."
  value       = multizone_control_plane.demo.nodes
}
