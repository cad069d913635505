resource "multizone_cluster" "demo" {
  name = "demo"
  zones = {
    "us-central1-a" = {}
    "us-central1-b" = {}
    "us-central1-f" = {}
  }
}
