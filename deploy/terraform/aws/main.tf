# A group of spot machines that run agents. `btctl scaler` says how many there are; the group starts with none.
data "aws_region" "here" {}
data "aws_partition" "here" {}
data "aws_caller_identity" "here" {}

data "aws_ssm_parameter" "debian" {
  name = "/aws/service/debian/release/12/latest/${var.architecture}"
}

locals {
  hook        = "${var.name}-leave"
  group_arn   = "arn:${data.aws_partition.here.partition}:autoscaling:${data.aws_region.here.region}:${data.aws_caller_identity.here.account_id}:autoScalingGroup:*:autoScalingGroupName/${var.name}"
  token_arn   = "arn:${data.aws_partition.here.partition}:ssm:${data.aws_region.here.region}:${data.aws_caller_identity.here.account_id}:parameter${var.token_parameter}"
  bucket      = var.store_bucket == null ? null : split("/", var.store_bucket)[0]
  prefix      = var.store_bucket == null ? null : join("/", slice(split("/", var.store_bucket), 1, length(split("/", var.store_bucket))))
  bucket_arn  = var.store_bucket == null ? null : "arn:${data.aws_partition.here.partition}:s3:::${local.bucket}"
  objects_arn = var.store_bucket == null ? null : "${local.bucket_arn}/${local.prefix == "" ? "*" : "${local.prefix}/*"}"
}

module "agent" {
  source = "../agent"

  join           = var.join
  ca_pin         = var.ca_pin
  btctl_url      = var.btctl_url
  btctl_sha256   = var.btctl_sha256
  preempt_notice = "aws"
  labels         = var.labels
  volumes        = var.volumes
  before         = var.before
  packages       = concat(["awscli"], var.packages)
  settings       = merge({ AWS_REGION = data.aws_region.here.region }, var.settings)
  # deploy/scaler/aws-group ends the machine that has this name.
  name_command  = "cat /var/lib/cloud/data/instance-id"
  token_command = "aws ssm get-parameter --region ${data.aws_region.here.region} --name ${var.token_parameter} --with-decryption --query Parameter.Value --output text"
  # The group waits for this no longer than it must.
  leave_command = "aws autoscaling complete-lifecycle-action --region ${data.aws_region.here.region} --auto-scaling-group-name ${var.name} --lifecycle-hook-name ${local.hook} --lifecycle-action-result CONTINUE --instance-id \"$(cat /var/lib/cloud/data/instance-id)\""
}

# What a machine may do: read its token, say that it is done, and write to the store.
data "aws_iam_policy_document" "machine" {
  statement {
    sid       = "Token"
    actions   = ["ssm:GetParameter"]
    resources = [local.token_arn]
  }
  statement {
    sid       = "Leave"
    actions   = ["autoscaling:CompleteLifecycleAction"]
    resources = [local.group_arn]
  }
  dynamic "statement" {
    for_each = var.token_key_arn == null ? [] : [var.token_key_arn]
    content {
      sid       = "TokenKey"
      actions   = ["kms:Decrypt"]
      resources = [statement.value]
    }
  }
  dynamic "statement" {
    for_each = var.store_bucket == null ? [] : [local.objects_arn]
    content {
      sid       = "Store"
      actions   = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"]
      resources = [statement.value]
    }
  }
  dynamic "statement" {
    for_each = var.store_bucket == null ? [] : [local.bucket_arn]
    content {
      sid       = "StoreList"
      actions   = ["s3:ListBucket"]
      resources = [statement.value]
    }
  }
}

data "aws_iam_policy_document" "machines_only" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["ec2.amazonaws.com"]
    }
  }
}

resource "aws_iam_role" "machine" {
  name_prefix        = "${var.name}-"
  assume_role_policy = data.aws_iam_policy_document.machines_only.json
}

resource "aws_iam_role_policy" "machine" {
  name_prefix = "${var.name}-"
  role        = aws_iam_role.machine.id
  policy      = data.aws_iam_policy_document.machine.json
}

resource "aws_iam_instance_profile" "machine" {
  name_prefix = "${var.name}-"
  role        = aws_iam_role.machine.name
}

# Nobody calls an agent: it calls the coordinator.
resource "aws_security_group" "machine" {
  name_prefix = "${var.name}-"
  description = "Agents of btctl: outwards alone"
  vpc_id      = var.vpc_id
}

resource "aws_vpc_security_group_egress_rule" "all" {
  security_group_id = aws_security_group.machine.id
  ip_protocol       = "-1"
  cidr_ipv4         = "0.0.0.0/0"
}

resource "aws_launch_template" "machine" {
  name_prefix            = "${var.name}-"
  image_id               = data.aws_ssm_parameter.debian.value
  user_data              = base64encode(module.agent.user_data)
  update_default_version = true
  vpc_security_group_ids = [aws_security_group.machine.id]

  iam_instance_profile {
    arn = aws_iam_instance_profile.machine.arn
  }

  # Jobs in containers do not reach the machine's role: answers go one hop far.
  metadata_options {
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }

  block_device_mappings {
    device_name = "/dev/xvda"
    ebs {
      volume_size           = var.disk_gib
      volume_type           = "gp3"
      encrypted             = "true"
      delete_on_termination = "true"
    }
  }

  tag_specifications {
    resource_type = "instance"
    tags          = { Name = var.name }
  }
}

resource "aws_autoscaling_group" "agents" {
  name                = var.name
  min_size            = 0
  max_size            = var.max
  vpc_zone_identifier = var.subnet_ids
  # A machine that is likely to be taken back is replaced before it is.
  capacity_rebalance = true

  mixed_instances_policy {
    instances_distribution {
      on_demand_base_capacity                  = 0
      on_demand_percentage_above_base_capacity = 0
      spot_allocation_strategy                 = "price-capacity-optimized"
    }
    launch_template {
      launch_template_specification {
        launch_template_id = aws_launch_template.machine.id
        version            = aws_launch_template.machine.latest_version
      }
      dynamic "override" {
        for_each = var.instance_types
        content {
          instance_type = override.value
        }
      }
    }
  }

  tag {
    key                 = "Name"
    value               = var.name
    propagate_at_launch = true
  }

  lifecycle {
    # It belongs to the scaler.
    ignore_changes = [desired_capacity]
  }
}

# A machine that is to go waits for its agent, which sees the state Terminated, drains, and says that it is done.
resource "aws_autoscaling_lifecycle_hook" "leave" {
  name                   = local.hook
  autoscaling_group_name = aws_autoscaling_group.agents.name
  lifecycle_transition   = "autoscaling:EC2_INSTANCE_TERMINATING"
  heartbeat_timeout      = 180
  default_result         = "CONTINUE"
}

# For the user or role that runs `btctl scaler --exec deploy/scaler/aws-group`.
data "aws_iam_policy_document" "scaler" {
  statement {
    sid       = "Size"
    actions   = ["autoscaling:SetDesiredCapacity", "autoscaling:TerminateInstanceInAutoScalingGroup"]
    resources = [local.group_arn]
  }
  statement {
    sid       = "Find"
    actions   = ["ec2:DescribeInstances"]
    resources = ["*"]
  }
}

resource "aws_iam_policy" "scaler" {
  name_prefix = "${var.name}-scaler-"
  policy      = data.aws_iam_policy_document.scaler.json
}
