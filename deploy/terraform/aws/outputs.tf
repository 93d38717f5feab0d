output "group" {
  description = "BTCTL_GROUP of deploy/scaler/aws-group."
  value       = aws_autoscaling_group.agents.name
}

output "scaler_policy_arn" {
  description = "What the user or role that runs the scaler needs."
  value       = aws_iam_policy.scaler.arn
}

output "scaler" {
  description = "Beside a coordinator; --cpus and --memory are what one agent offers (btctl agents show)."
  value       = "BTCTL_GROUP=${var.name} btctl scaler --cpus N --memory SIZE --max ${var.max}${join("", [for key, value in var.labels : " --label ${key}=${value}"])} --exec deploy/scaler/aws-group"
}
