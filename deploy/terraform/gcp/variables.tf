variable "name" {
  description = "Name of the group, and the beginning of the names of all that belongs to it."
  type        = string
  default     = "btctl-agents"
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,20}[a-z0-9]$", var.name))
    error_message = "It is 6 to 22 small letters, digits and hyphens, and begins with a letter."
  }
}

variable "project" {
  description = "The project that all belongs to."
  type        = string
}

variable "zone" {
  description = "Where machines start, such as europe-west1-b."
  type        = string
  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]+-[a-z]$", var.zone))
    error_message = "It is a zone, such as europe-west1-b, and not a region."
  }
}

variable "subnetwork" {
  description = "Subnetwork that machines start in; it must reach the coordinators and the registries of images."
  type        = string
}

variable "machine_type" {
  description = "Kind of machine."
  type        = string
  default     = "c3-standard-8"
}

variable "disk_gib" {
  description = "Disk of a machine: images, and results until they are in the store."
  type        = number
  default     = 100
}

variable "max" {
  description = "Most machines, for the scaler."
  type        = number
  default     = 10
}

variable "token_secret" {
  description = "Id of the secret of Secret Manager that holds the agent's token."
  type        = string
  default     = "btctl-agent-token"
  validation {
    condition     = can(regex("^[A-Za-z0-9_-]+$", var.token_secret))
    error_message = "It is a secret's id, such as btctl-agent-token."
  }
}

variable "store_bucket" {
  description = "Bucket of the store, which agents then write to themselves; null to send all through the coordinator."
  type        = string
  default     = null
}

variable "join" {
  description = "Where agents reach the coordinators: HOST:PORT; several, separated by commas."
  type        = string
}

variable "ca_pin" {
  description = "The pin of their authority, as `btctl coordinator init` prints it."
  type        = string
}

variable "btctl_url" {
  description = "Where the program is had from."
  type        = string
}

variable "btctl_sha256" {
  description = "Its SHA-256."
  type        = string
}

variable "labels" {
  description = "What sweeps can ask for."
  type        = map(string)
  default     = { pool = "spot" }
}

variable "volumes" {
  description = "What jobs may mount: names and directories of the machine."
  type        = map(string)
  default     = {}
}

variable "before" {
  description = "Shell commands before the agent starts, such as those that mount its volumes."
  type        = list(string)
  default     = []
}

variable "packages" {
  description = "Packages that these commands need, such as nfs-common."
  type        = list(string)
  default     = []
}

variable "settings" {
  description = "Other settings of the agent, by their variables."
  type        = map(string)
  default     = {}
}
