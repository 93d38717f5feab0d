output "group" {
  description = "BTCTL_GROUP of deploy/scaler/gcp-group."
  value       = google_compute_instance_group_manager.agents.name
}

output "scaler_role" {
  description = "What the account that runs the scaler needs."
  value       = google_project_iam_custom_role.scaler.name
}

output "scaler" {
  description = "Beside a coordinator; --cpus and --memory are what one agent offers (btctl agents show)."
  value       = "BTCTL_GROUP=${var.name} BTCTL_ZONE=${var.zone} btctl scaler --cpus N --memory SIZE --max ${var.max}${join("", [for key, value in var.labels : " --label ${key}=${value}"])} --exec deploy/scaler/gcp-group"
}
