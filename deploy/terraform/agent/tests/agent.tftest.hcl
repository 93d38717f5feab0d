variables {
  join           = "btctl.example:7600"
  ca_pin         = "sha256:0000000000000000000000000000000000000000000000000000000000000000"
  btctl_url      = "https://downloads.example/btctl-linux-amd64"
  btctl_sha256   = "0000000000000000000000000000000000000000000000000000000000000000"
  token_command  = "printf token"
  preempt_notice = "aws"
}

run "least" {
  command = plan
  assert {
    condition     = startswith(output.user_data, "#cloud-config\n")
    error_message = "cloud-init takes it for something else"
  }
  assert {
    condition     = strcontains(yamldecode(output.user_data).write_files[2].content, "ExecStart=/usr/local/bin/btctl agent --preempt-notice aws --label pool=spot\n")
    error_message = "the agent is not started with its flags"
  }
  assert {
    condition     = !strcontains(output.user_data, "ExecStopPost")
    error_message = "something is run at its end, and nothing was given"
  }
}

run "all" {
  command = plan
  variables {
    leave_command = "echo left"
    packages      = ["awscli"]
    labels        = { pool = "spot", zone = "a" }
    volumes       = { prices = "/srv/prices:ro" }
    before        = ["mkdir -p /srv/prices\nmount fs.example:/prices /srv/prices"]
    settings      = { BTCTL_AGENT_MAX_JOBS = "8" }
  }
  assert {
    condition     = strcontains(output.user_data, "--label pool=spot --label zone=a --volume prices=/srv/prices:ro\n")
    error_message = "labels or volumes are missing"
  }
  assert {
    condition     = strcontains(yamldecode(output.user_data).write_files[0].content, "BTCTL_AGENT_MAX_JOBS=8\n")
    error_message = "settings are missing"
  }
  assert {
    condition     = yamldecode(output.user_data).packages == ["ca-certificates", "curl", "docker.io", "awscli"]
    error_message = "packages are missing"
  }
  assert {
    condition     = strcontains(yamldecode(output.user_data).runcmd[0][2], "mount fs.example:/prices /srv/prices\nsystemctl daemon-reload")
    error_message = "the commands before are missing"
  }
}

run "a_scheme" {
  command = plan
  variables { join = "https://btctl.example:7600" }
  expect_failures = [var.join]
}

run "a_short_pin" {
  command = plan
  variables { ca_pin = "sha256:00" }
  expect_failures = [var.ca_pin]
}

run "another_cloud" {
  command = plan
  variables { preempt_notice = "hetzner" }
  expect_failures = [var.preempt_notice]
}

run "no_program" {
  command = plan
  variables { btctl_sha256 = "latest" }
  expect_failures = [var.btctl_sha256]
}

run "a_file" {
  command = plan
  variables { btctl_url = "/srv/btctl" }
  expect_failures = [var.btctl_url]
}

run "a_relative_volume" {
  command = plan
  variables { volumes = { prices = "srv/prices" } }
  expect_failures = [var.volumes]
}

run "a_label_of_two_words" {
  command = plan
  variables { labels = { pool = "spot night" } }
  expect_failures = [var.labels]
}

run "a_setting_of_two_lines" {
  command = plan
  variables { settings = { BTCTL_LOG = "info\nExecStart=" } }
  expect_failures = [var.settings]
}
