resource "multizone_api_load_balancer" "api" {
  cluster = multizone_cluster.demo.name
  zones   = keys(multizone_cluster.demo.zones)
}
