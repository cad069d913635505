variable "name" {
  description = "Name of the cluster."
  type        = string
  default     = "demo"
}

variable "zones" {
  description = "Zones that the cluster spans. The master and the disk are in master_zone: keep it first in and last out."
  type        = list(string)
  default     = ["us-central1-a", "us-central1-b", "us-central1-f"]
}

variable "master_zone" {
  description = "Zone of the master and of the disk, one of the cluster's."
  type        = string
  default     = "us-central1-a"
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

variable "master_machine_type" {
  description = "What masters run on: 2 CPUs and 2 GiB at least."
  type        = string
  default     = "n1-standard-2"
}

variable "node_machine_type" {
  description = "What worker nodes run on."
  type        = string
  default     = "n1-standard-2"
}

variable "network_cidr" {
  description = "Range of the cluster's network. Null for the cloud's usual one."
  type        = string
  default     = null
}

variable "subnet_cidrs" {
  description = "Range of the subnet in each zone, where every zone has one of its own (AWS)."
  type        = map(string)
  default     = {}
}
