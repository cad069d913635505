import {
  to = multizone_api_load_balancer.api
  identity = {
    region  = "us-central1"
    cluster = "demo"
    name    = "api"
  }
}
