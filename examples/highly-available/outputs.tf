output "endpoint" {
  description = "Where the Kubernetes API answers."
  value       = multizone_cluster.demo.endpoint
}

output "nodes" {
  description = "All nodes with zone and state, masters first."
  value = join("\n", concat(
    [for name, node in multizone_control_plane.demo.nodes : format("%-30s %-15s %s", name, node.zone, node.state)],
    flatten([
      for zone, pool in multizone_node_group.pool : [
        for name, node in pool.nodes : format("%-30s %-15s %s", name, zone, node.state)
      ]
    ]),
  ))
}
