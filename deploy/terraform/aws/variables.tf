variable "name" {
  description = "Name of the group, and the beginning of the names of all that belongs to it."
  type        = string
  default     = "btctl-agents"
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,30}$", var.name))
    error_message = "It is up to 31 small letters, digits and hyphens, and begins with a letter."
  }
}

variable "subnet_ids" {
  description = "Subnets that machines start in; they must reach the coordinators and the registries of images."
  type        = list(string)
}

variable "vpc_id" {
  description = "The network of these subnets."
  type        = string
}

variable "instance_types" {
  description = "Kinds of machines, alike in cpus and memory; the more there are, the more spot capacity there is."
  type        = list(string)
  default     = ["c7i.4xlarge", "c6i.4xlarge", "c7a.4xlarge", "m7i.4xlarge"]
}

variable "architecture" {
  description = "Their instruction set: amd64 or arm64."
  type        = string
  default     = "amd64"
  validation {
    condition     = contains(["amd64", "arm64"], var.architecture)
    error_message = "It is amd64 or arm64."
  }
}

variable "max" {
  description = "Most machines."
  type        = number
  default     = 10
}

variable "disk_gib" {
  description = "Disk of a machine: images, and results until they are in the store."
  type        = number
  default     = 100
}

variable "token_parameter" {
  description = "Name of the parameter (SecureString) of Systems Manager that holds the agent's token."
  type        = string
  default     = "/btctl/agent-token"
  validation {
    condition     = can(regex("^/[A-Za-z0-9_./-]+$", var.token_parameter))
    error_message = "It is a parameter's full name, such as /btctl/agent-token."
  }
}

variable "token_key_arn" {
  description = "ARN of the key that the parameter is encrypted by, if it is not aws/ssm."
  type        = string
  default     = null
}

variable "store_bucket" {
  description = "Bucket and prefix of the store, BUCKET/PREFIX, which agents then write to themselves; null to send all through the coordinator."
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
