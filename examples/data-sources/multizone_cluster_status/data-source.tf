data "multizone_cluster_status" "demo" {
  cluster = "demo"
}

# Says so in every plan; blocks nothing.
check "demo_survives_a_zone" {
  assert {
    condition = !data.multizone_cluster_status.demo.exists || (
      length(data.multizone_cluster_status.demo.survives_loss_of) ==
      length(data.multizone_cluster_status.demo.zones)
    )
    error_message = join("\n", concat(
      ["Cluster demo does not survive the loss of each of its zones now."],
      data.multizone_cluster_status.demo.disagreements,
    ))
  }
}

output "what_the_loss_of_each_zone_would_cost" {
  value = data.multizone_cluster_status.demo.zones
}
