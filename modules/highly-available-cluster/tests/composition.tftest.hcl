# for_each over the module: two clusters, each with its own machines and its own address.

provider "multizone" {
  sandbox = { region = "us-central1" }
}

run "two_clusters" {
  module {
    source = "./tests/two-clusters"
  }

  assert {
    condition     = output.masters == toset(["blue-master-a", "green-master-a"])
    error_message = "each cluster has its own master"
  }
  assert {
    condition     = output.endpoints["blue"] != output.endpoints["green"]
    error_message = "each cluster has its own address"
  }
}
