# What the module refuses before anything is asked.

provider "multizone" {
  sandbox = { region = "us-central1" }
}

variables {
  name  = "demo"
  zones = ["us-central1-a", "us-central1-b", "us-central1-f"]
}

run "a_name_that_no_cloud_takes" {
  command = plan
  variables {
    name = "Demo_1"
  }
  expect_failures = [var.name]
}

run "masters_in_two_zones" {
  command = plan
  variables {
    zones = ["us-central1-a", "us-central1-b"]
  }
  expect_failures = [var.zones]
}

run "an_even_number_of_masters" {
  command = plan
  variables {
    masters = 4
  }
  expect_failures = [var.masters]
}

run "half_a_worker" {
  command = plan
  variables {
    node_groups = { pool = { size_per_zone = 0.5 } }
  }
  expect_failures = [var.node_groups]
}

run "defaults" {
  command = plan

  assert {
    condition     = toset([for replica in multizone_control_plane.this.replicas : replica.zone]) == var.zones
    error_message = "three masters are in three zones"
  }
  assert {
    condition     = length(multizone_node_group.this) == 3
    error_message = "workers are in every zone"
  }
  assert {
    condition     = multizone_api_load_balancer.api.zones == var.zones
    error_message = "the balancer spans the zones"
  }
}

run "five_masters_no_workers" {
  command = plan
  variables {
    masters     = 5
    node_groups = {}
  }

  assert {
    condition = alltrue([
      for zone in var.zones : length([for replica in multizone_control_plane.this.replicas : replica if replica.zone == zone]) <= 2
    ])
    error_message = "no zone has more masters than may be lost"
  }
  assert {
    condition     = length(multizone_node_group.this) == 0
    error_message = "no worker is asked for"
  }
}
