data "multizone_zones" "up" {}

resource "multizone_cluster" "demo" {
  name  = "demo"
  zones = { for zone in data.multizone_zones.up.names : zone => {} }
}
