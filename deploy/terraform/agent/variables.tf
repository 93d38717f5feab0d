variable "join" {
  description = "Where agents reach the coordinators: HOST:PORT; several, separated by commas."
  type        = string
  validation {
    condition     = can(regex("^[^\\s/,:]+:[0-9]+(,[^\\s/,:]+:[0-9]+)*$", var.join))
    error_message = "It is HOST:PORT, such as btctl.example:7600; several are separated by commas."
  }
}

variable "ca_pin" {
  description = "The pin of their authority, as `btctl coordinator init` prints it."
  type        = string
  validation {
    condition     = can(regex("^sha256:[0-9a-f]{64}$", var.ca_pin))
    error_message = "It is sha256: and 64 hexadecimal digits, as `btctl coordinator init` prints it."
  }
}

variable "btctl_url" {
  description = "Where the program is had from, for the instruction set of these machines."
  type        = string
  validation {
    condition     = can(regex("^https?://[^\\s\"'$`\\\\]+$", var.btctl_url))
    error_message = "It is an address that curl can fetch, https://..."
  }
}

variable "btctl_sha256" {
  description = "The program's SHA-256, as sha256sum prints it."
  type        = string
  validation {
    condition     = can(regex("^[0-9a-f]{64}$", var.btctl_sha256))
    error_message = "It is 64 hexadecimal digits, as sha256sum prints them."
  }
}

variable "token_command" {
  description = "Shell command by which a machine gets the agent's token when it boots, printed to standard output."
  type        = string
}

variable "leave_command" {
  description = "Shell command that is run when the agent has finished, such as one that tells the group; empty for none."
  type        = string
  default     = ""
}

variable "name_command" {
  description = "Shell command that prints the agent's name."
  type        = string
  default     = "hostname"
}

variable "packages" {
  description = "Packages beside the engine that these commands need."
  type        = list(string)
  default     = []
}

variable "preempt_notice" {
  description = "Where a machine hears that it is taken back: aws, gcp or azure."
  type        = string
  validation {
    condition     = contains(["aws", "gcp", "azure"], var.preempt_notice)
    error_message = "It is aws, gcp or azure."
  }
}

variable "labels" {
  description = "What sweeps can ask for."
  type        = map(string)
  default     = { pool = "spot" }
  validation {
    condition     = alltrue([for key, value in var.labels : can(regex("^[A-Za-z0-9_.-]+$", key)) && can(regex("^[A-Za-z0-9_.:/-]+$", value))])
    error_message = "Keys and values are letters, digits and any of _ . - (values also : and /)."
  }
}

variable "volumes" {
  description = "What jobs may mount: names and directories of the machine, with :ro where they may only read."
  type        = map(string)
  default     = {}
  validation {
    condition     = alltrue([for name, path in var.volumes : can(regex("^[A-Za-z0-9_.-]+$", name)) && can(regex("^/[A-Za-z0-9_./-]*[A-Za-z0-9_-](:ro(,(no)?fingerprint)?)?$", path))])
    error_message = "A volume is a name and an absolute directory, such as { prices = \"/srv/prices:ro\" }."
  }
}

variable "before" {
  description = "Shell commands before the agent starts, such as those that mount its volumes."
  type        = list(string)
  default     = []
}

variable "settings" {
  description = "Other settings of the agent, by their variables (docs/SETTINGS.md)."
  type        = map(string)
  default     = {}
  validation {
    condition     = alltrue([for name, value in var.settings : can(regex("^[A-Z][A-Z0-9_]*$", name)) && can(regex("^[^\\n\"'$`\\\\]*$", value))])
    error_message = "Names are variables such as BTCTL_AGENT_MAX_JOBS; values have no quotes, backslashes, dollars or line breaks."
  }
}
