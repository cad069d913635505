import {
  to = multizone_control_plane.demo
  identity = {
    region  = "us-central1"
    cluster = "demo"
  }
}
