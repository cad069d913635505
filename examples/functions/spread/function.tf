locals {
  zones    = ["us-central1-a", "us-central1-b", "us-central1-f"]
  replicas = { for index, zone in provider::multizone::spread(5, local.zones) : "replica-${index}" => { zone = zone } }
}
