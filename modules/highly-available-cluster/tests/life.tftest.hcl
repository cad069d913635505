# A cluster's life on the sandbox region: made, grown, looked at; the end of the test destroys it.  The module's checks are
# part of each run.

provider "multizone" {
  sandbox = { region = "us-central1" }
}

variables {
  name  = "life"
  zones = ["us-central1-a", "us-central1-b", "us-central1-f"]
}

run "one_master_first" {
  variables {
    masters     = 1
    node_groups = {}
  }

  assert {
    condition     = length(output.masters) == 1
    error_message = "one master is there"
  }
}

run "three_masters_and_workers" {
  assert {
    condition     = toset([for master in output.masters : master.zone]) == var.zones
    error_message = "each zone has a master"
  }
  assert {
    condition     = alltrue([for master in output.masters : master.state == "ready"])
    error_message = "all masters are ready"
  }
  assert {
    condition     = sum([for group in output.workers : length(group)]) == 3
    error_message = "each zone has a worker"
  }
}

run "as_it_is_then" {
  command = plan

  assert {
    condition     = data.multizone_cluster_status.now.quorum_margin == 1
    error_message = "one member of etcd may fail"
  }
  assert {
    condition     = toset(data.multizone_cluster_status.now.survives_loss_of) == var.zones
    error_message = "any one zone may be lost"
  }
}
