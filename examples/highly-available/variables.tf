variable "name" {
  description = "Name of the cluster."
  type        = string
  default     = "demo"
}

variable "zones" {
  description = "Zones that the cluster spans."
  type        = list(string)
  default     = ["us-central1-a", "us-central1-b", "us-central1-f"]
}

variable "masters" {
  description = "Zones with a master each: one, three or five of them, all among the cluster's."
  type        = list(string)
  default     = ["us-central1-a", "us-central1-b", "us-central1-f"]
}

variable "balancer" {
  description = "Whether a balancer is in front of the masters. Without one the API's address is on one master."
  type        = bool
  default     = true
}

variable "nodes_per_zone" {
  description = "Worker nodes in each zone."
  type        = number
  default     = 1
}

variable "kubernetes_version" {
  description = "Kubernetes version of the masters and the nodes."
  type        = string
  default     = "1.34.1"
}

variable "etcd_backup" {
  description = "Directory for a snapshot of etcd before masters change: an encrypted place. Null for none."
  type        = string
  default     = null
}
