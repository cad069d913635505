terraform {
  required_version = ">= 1.11"
  required_providers {
    multizone = { source = "multizone/multizone" }
  }
}
