import {
  to = multizone_disk.data
  identity = {
    region  = "us-central1"
    cluster = "demo"
    name    = "data"
  }
}
