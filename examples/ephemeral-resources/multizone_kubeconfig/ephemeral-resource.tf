ephemeral "multizone_kubeconfig" "demo" {
  control_plane = multizone_control_plane.demo.id
}

# The credential exists while Terraform runs, and is in neither plan nor state.
provider "kubernetes" {
  host                   = ephemeral.multizone_kubeconfig.demo.host
  cluster_ca_certificate = ephemeral.multizone_kubeconfig.demo.cluster_ca_certificate
  client_certificate     = ephemeral.multizone_kubeconfig.demo.client_certificate
  client_key             = ephemeral.multizone_kubeconfig.demo.client_key
}
