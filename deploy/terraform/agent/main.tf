# What a machine needs to become an agent: user data for cloud-init. No provider is needed for this.
locals {
  flags = concat(
    ["--preempt-notice ${var.preempt_notice}"],
    [for key, value in var.labels : "--label ${key}=${value}"],
    [for name, path in var.volumes : "--volume ${name}=${path}"],
  )
}

output "user_data" {
  description = "User data of a machine with Debian or Ubuntu."
  value = templatefile("${path.module}/cloud-init.yaml.tftpl", {
    before         = var.before
    btctl_sha256   = var.btctl_sha256
    btctl_url      = var.btctl_url
    ca_pin         = var.ca_pin
    flags          = local.flags
    join           = var.join
    leave_command  = var.leave_command
    name_command   = var.name_command
    packages       = concat(["ca-certificates", "curl", "docker.io"], var.packages)
    preempt_notice = var.preempt_notice
    settings       = var.settings
    token_command  = var.token_command
  })
}
