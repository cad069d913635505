output "name" {
  description = "Name of the cluster."
  value       = multizone_cluster.this.name
}

output "endpoint" {
  description = "URL of the Kubernetes API. It never changes while the cluster lives."
  value       = multizone_cluster.this.endpoint
}

output "ca_certificate" {
  description = "Certificate of the cluster's authority, in PEM: public."
  value       = multizone_cluster.this.ca_certificate
}

output "control_plane_id" {
  description = "What ephemeral multizone_kubeconfig and further node groups take; known once the API serves."
  value       = multizone_control_plane.this.id
}

output "kubernetes_version" {
  description = "Kubernetes version of the masters, for further node groups."
  value       = multizone_control_plane.this.kubernetes_version
}

output "zones" {
  description = "The zones that the cluster spans."
  value       = keys(multizone_cluster.this.zones)
}

output "masters" {
  description = "The masters' machines and nodes, by name."
  value       = multizone_control_plane.this.nodes
}

output "workers" {
  description = "The workers' machines and nodes, by node group and name."
  value       = { for name, group in multizone_node_group.this : name => group.nodes }
}
