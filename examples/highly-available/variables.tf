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
