data "multizone_zones" "all" {}

resource "multizone_cluster" "demo" {
  name  = "demo"
  zones = { for zone in data.multizone_zones.all.names : zone => {} }
}
