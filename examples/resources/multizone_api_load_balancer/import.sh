terraform import multizone_api_load_balancer.api us-central1/demo/api
