variable "name" {
  description = "Name of the cluster."
  type        = string
  default     = "demo"
}

variable "zones" {
  description = "Zones that the cluster spans. The master and the disk are in us-central1-a: keep it first in and last out."
  type        = list(string)
  default     = ["us-central1-a", "us-central1-b", "us-central1-f"]
}

variable "nodes_per_zone" {
  description = "Worker nodes in each zone."
  type        = number
  default     = 3
}

variable "kubernetes_version" {
  description = "Kubernetes version of the master and the nodes."
  type        = string
  default     = "1.34.1"
}

variable "legacy_zone_labels" {
  description = "Also label nodes with the failure-domain.beta.kubernetes.io pair that older manifests select."
  type        = bool
  default     = false
}
