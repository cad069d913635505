# Said as warnings in every plan and apply; they block nothing.

# As it is when a plan is made.  A data source inside the check would be read again after every apply, and would for that
# stand in every plan as something to do.
data "multizone_cluster_status" "now" {
  cluster = var.name
}

locals {
  status = data.multizone_cluster_status.now
  # How many of the members that there are may fail, and how many of them could if all were healthy.
  margin      = local.status.quorum_margin
  full_margin = local.status.etcd == null ? floor((length(local.status.masters) - 1) / 2) : floor((local.status.etcd.voters - 1) / 2)
}

check "quorum_margin" {
  assert {
    condition = length(local.status.masters) == 0 || coalesce(local.margin, -1) >= local.full_margin
    error_message = join("\n", concat(
      [
        local.margin == null ?
        "When this was planned, nobody could say how many etcd members of cluster ${var.name} may still fail." :
        local.margin < 0 ?
        "When this was planned, etcd of cluster ${var.name} had no quorum: writes had stopped." :
        "When this was planned, ${local.margin} etcd members of cluster ${var.name} could fail before writes stop; it should be ${local.full_margin}."
      ],
      local.status.disagreements,
      local.status.not_asked,
    ))
  }
}

check "zone_spread" {
  assert {
    condition = var.masters == 1 || alltrue([
      for zone in var.zones :
      length([for replica in multizone_control_plane.this.replicas : replica if replica.zone == zone]) <= floor((var.masters - 1) / 2)
    ])
    error_message = "The masters of cluster ${var.name} do not survive the loss of each zone: ${join(", ", [
      for key, replica in multizone_control_plane.this.replicas : "${key} in ${replica.zone}"
    ])}."
  }
}
