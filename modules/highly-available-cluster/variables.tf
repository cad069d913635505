variable "name" {
  description = "Name of the cluster, unique in its project and region."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z]([a-z0-9-]{0,30}[a-z0-9])?$", var.name))
    error_message = "name has up to 32 lower-case letters, digits and hyphens, a letter first, for example: demo."
  }
}

variable "zones" {
  description = "Zones of the provider's region that the cluster spans: three or more, unless there is one master only."
  type        = set(string)
  nullable    = false

  validation {
    condition     = length(var.zones) >= (var.masters == 1 ? 1 : 3)
    error_message = "zones needs three zones or more: of masters in two zones, the loss of one can stop all writes. With masters = 1, one zone is enough."
  }
}

variable "masters" {
  description = "Number of masters, spread over the zones: 3 survive the loss of one zone or master, 5 that of two masters. 1 survives nothing, and is a legal way to begin."
  type        = number
  default     = 3
  nullable    = false

  validation {
    condition     = contains([1, 3, 5, 7], var.masters)
    error_message = "masters is 1, 3, 5 or 7: an even number survives no more losses than one less."
  }
}

variable "kubernetes_version" {
  description = "Kubernetes version of masters and workers."
  type        = string
  default     = "1.34.1"
  nullable    = false
}

variable "master_machine_type" {
  description = "Machine type of the masters: 2 CPUs and 2 GiB at least."
  type        = string
  default     = "n1-standard-2"
  nullable    = false
}

variable "node_groups" {
  description = "Kinds of workers, by name. Each is made in every zone, as the group NAME-ZONE."
  type = map(object({
    size_per_zone   = number
    machine_type    = optional(string, "n1-standard-2")
    labels          = optional(map(string))
    taints          = optional(list(object({ key = string, value = optional(string), effect = string })))
    boot_disk_gb    = optional(number)
    max_surge       = optional(number)
    max_unavailable = optional(number)
    drain_timeout   = optional(string)
  }))
  default  = { pool = { size_per_zone = 1 } }
  nullable = false

  validation {
    condition     = alltrue([for group in var.node_groups : group.size_per_zone >= 0 && floor(group.size_per_zone) == group.size_per_zone])
    error_message = "size_per_zone is a whole number of 0 or more: so many workers in each zone."
  }
  validation {
    condition     = alltrue([for name in keys(var.node_groups) : can(regex("^[a-z][a-z0-9-]*$", name)) && length(name) <= 16])
    error_message = "Names of node_groups have up to 16 lower-case letters, digits and hyphens, a letter first: they are part of the machines' names."
  }
}

variable "pod_cidr" {
  description = "Addresses of the pods, a /8 to a /24: every node gets a /24 of them."
  type        = string
  default     = "10.244.0.0/16"
  nullable    = false
}

variable "service_cidr" {
  description = "Addresses of the services, a /12 to a /28."
  type        = string
  default     = "10.96.0.0/12"
  nullable    = false
}

variable "network_cidr" {
  description = "Addresses of the machines. Null for a range of the cloud's."
  type        = string
  default     = null
}

variable "pod_network_manifest" {
  description = "Manifest of the pod network, in YAML. Null for the module's Flannel over pod_cidr; \"\" to install one yourself."
  type        = string
  default     = null
}

variable "etcd_backup" {
  description = "Directory on the machine that runs Terraform for a snapshot of etcd before masters change: an encrypted place, it holds every Secret. Null for none."
  type        = string
  default     = null
}

variable "image" {
  description = "Image of masters and workers, in the cloud's words. Null for the cloud's current Ubuntu LTS."
  type        = string
  default     = null
}

variable "deletion_protection" {
  description = "Refuse to destroy the cluster and its control plane. Turn it on for what must not go."
  type        = bool
  default     = false
  nullable    = false
}
