# A group of spot machines that run agents. `btctl scaler` says how many there are; the group starts with none.
locals {
  secret = "https://secretmanager.googleapis.com/v1/projects/${var.project}/secrets/${var.token_secret}/versions/latest:access"
  login  = "http://metadata.google.internal/computeMetadata/v1/instance/service-accounts/default/token"
  field  = "python3 -c 'import json,sys; print(json.load(sys.stdin)[\"access_token\"])'"
  data   = "python3 -c 'import base64,json,sys; print(base64.b64decode(json.load(sys.stdin)[\"payload\"][\"data\"]).decode())'"
}

module "agent" {
  source = "../agent"

  join           = var.join
  ca_pin         = var.ca_pin
  btctl_url      = var.btctl_url
  btctl_sha256   = var.btctl_sha256
  preempt_notice = "gcp"
  labels         = var.labels
  volumes        = var.volumes
  before         = var.before
  packages       = concat(["python3-minimal"], var.packages)
  settings       = var.settings
  # deploy/scaler/gcp-group ends the machine that has this name.
  name_command  = "hostname -s"
  token_command = "curl -fsS -H \"Authorization: Bearer $(curl -fsS -H 'Metadata-Flavor: Google' ${local.login} | ${local.field})\" ${local.secret} | ${local.data}"
}

# What a machine may do: read its token, and write to the store.
resource "google_service_account" "machine" {
  project      = var.project
  account_id   = var.name
  display_name = "Agents of btctl"
}

resource "google_secret_manager_secret_iam_member" "token" {
  project   = var.project
  secret_id = var.token_secret
  role      = "roles/secretmanager.secretAccessor"
  member    = "serviceAccount:${google_service_account.machine.email}"
}

resource "google_storage_bucket_iam_member" "store" {
  count  = var.store_bucket == null ? 0 : 1
  bucket = var.store_bucket
  role   = "roles/storage.objectUser"
  member = "serviceAccount:${google_service_account.machine.email}"
}

resource "google_compute_instance_template" "machine" {
  project      = var.project
  name_prefix  = "${var.name}-"
  machine_type = var.machine_type
  metadata = {
    user-data              = module.agent.user_data
    enable-oslogin         = "TRUE"
    block-project-ssh-keys = "TRUE"
  }

  disk {
    # Google's images of Debian have no cloud-init; those of Ubuntu have.
    source_image = "projects/ubuntu-os-cloud/global/images/family/ubuntu-2404-lts-amd64"
    boot         = true
    auto_delete  = true
    disk_size_gb = var.disk_gib
    disk_type    = "pd-balanced"
  }

  # No address of its own: nobody calls an agent. Registries are reached by Cloud NAT.
  network_interface {
    subnetwork = var.subnetwork
  }

  scheduling {
    provisioning_model  = "SPOT"
    preemptible         = true
    automatic_restart   = false
    on_host_maintenance = "TERMINATE"
  }

  service_account {
    email  = google_service_account.machine.email
    scopes = ["https://www.googleapis.com/auth/cloud-platform"]
  }

  shielded_instance_config {
    enable_secure_boot          = true
    enable_vtpm                 = true
    enable_integrity_monitoring = true
  }

  lifecycle {
    create_before_destroy = true
  }
}

resource "google_compute_instance_group_manager" "agents" {
  project            = var.project
  name               = var.name
  zone               = var.zone
  base_instance_name = var.name
  target_size        = 0

  version {
    instance_template = google_compute_instance_template.machine.self_link_unique
  }

  # New machines have the new template; agents that run jobs are left alone.
  update_policy {
    type                  = "OPPORTUNISTIC"
    minimal_action        = "REPLACE"
    max_surge_fixed       = 1
    max_unavailable_fixed = 0
  }

  lifecycle {
    # It belongs to the scaler.
    ignore_changes = [target_size]
  }
}

# For whoever runs `btctl scaler --exec deploy/scaler/gcp-group`: this, and no more.
resource "google_project_iam_custom_role" "scaler" {
  project = var.project
  role_id = "${replace(var.name, "-", "_")}_scaler"
  title   = "btctl scaler"
  permissions = [
    "compute.instanceGroupManagers.get",
    "compute.instanceGroupManagers.update",
    "compute.instances.delete",
    "compute.instances.get",
    "compute.zoneOperations.get",
  ]
}
