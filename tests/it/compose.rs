//! deploy/compose as a user runs it: `btctl init`, docker compose, a sweep, down and up again. Postgres and Prometheus are this
//! machine's own, in images that start as their makers' do (scripts/images services); Grafana is not there.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use bt_tests::{btctl_path, docker, free_port, wait_until};
use serde_json::Value;
use tempfile::TempDir;

const SERVICES: [&str; 5] = ["postgres", "coordinator", "agent", "prometheus", "reports"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A directory that `btctl init` has made. What runs of it ends with this.
struct Deployment {
    /// The directory's, which compose makes a part of the names of what it starts.
    name: String,
    dir: PathBuf,
    port: u16,
    pin: String,
    #[expect(dead_code, reason = "its files live as long as this")]
    parent: TempDir,
}

impl Deployment {
    fn new() -> Self {
        let images = Command::new(root().join("scripts/images"))
            .args(["test", "btctl", "services"])
            .env("BTCTL_BINARY", btctl_path())
            .output()
            .unwrap();
        assert!(images.status.success(), "{}", String::from_utf8_lossy(&images.stderr));
        // Others pass through it: services run as users of their own.
        let parent =
            tempfile::Builder::new().permissions(fs::Permissions::from_mode(0o755)).tempdir().unwrap();
        let name = format!("btctltest{}", std::process::id());
        let (dir, port) = (parent.path().join(&name), free_port());
        let made = btctl(
            &[],
            &[
                "init",
                &dir.display().to_string(),
                "--name",
                "localhost",
                "--port",
                &port.to_string(),
                "-o",
                "json",
            ],
        );
        let made: Value = serde_json::from_str(&made).unwrap();
        let pin = made["pin"].as_str().unwrap().to_owned();
        assert_eq!(made["coordinator"], format!("https://localhost:{port}"));
        let env = fs::read_to_string(dir.join(".env")).unwrap();
        let env = env.replace("POSTGRES_IMAGE=postgres:17", "POSTGRES_IMAGE=btctl-test-postgres:1");
        let env = env.replace("PROMETHEUS_IMAGE=prom/", "PROMETHEUS_IMAGE=btctl-test-prometheus:1\n# prom/");
        let env = env
            .replace("# BTCTL_LEASE=60s", "BTCTL_LEASE=30s")
            .replace("# BTCTL_HEARTBEAT=15s", "BTCTL_HEARTBEAT=1s");
        fs::write(dir.join(".env"), env).unwrap();
        Self { name, dir, port, pin, parent }
    }

    /// Runs compose, whichever of its two forms is installed.
    fn compose(&self, args: &[&str]) -> String {
        let is_plugin =
            Command::new("docker").args(["compose", "version"]).output().unwrap().status.success();
        let mut command = Command::new(if is_plugin { "docker" } else { "docker-compose" });
        if is_plugin {
            command.arg("compose");
        }
        let told = command.args(args).current_dir(&self.dir).output();
        let told = told.expect("docker compose is installed (scripts/setup tests)");
        let text =
            format!("{}{}", String::from_utf8_lossy(&told.stdout), String::from_utf8_lossy(&told.stderr));
        assert!(told.status.success(), "compose {args:?}: {text}");
        text
    }

    fn up(&self) {
        self.compose(&[&["up", "-d"], SERVICES.as_slice()].concat());
    }

    fn btctl(&self, args: &[&str]) -> String {
        let (address, token) =
            (format!("https://localhost:{}", self.port), self.dir.join("tokens/admin.token"));
        let token = token.display().to_string();
        btctl(
            &[("BTCTL_COORDINATOR", &address), ("BTCTL_CA_PIN", &self.pin), ("BTCTL_TOKEN_FILE", &token)],
            args,
        )
    }

    /// Waits for the agent's jobs to have somewhere to run.
    fn wait_for_agent(&self) {
        let ready = || {
            let args = ["agents", "ls", "-o", "json"];
            let (address, token) =
                (format!("https://localhost:{}", self.port), self.dir.join("tokens/admin.token"));
            let told = Command::new(btctl_path())
                .args(args)
                .env("BTCTL_COORDINATOR", address)
                .env("BTCTL_CA_PIN", &self.pin)
                .env("BTCTL_TOKEN_FILE", token)
                .output()
                .unwrap();
            let agents: Value = serde_json::from_slice(&told.stdout).ok()?;
            agents.as_array()?.iter().any(|agent| agent["state"] == "ready").then_some(())
        };
        wait_until("the agent is ready", ready);
    }

    fn container(&self, service: &str) -> String {
        let found = docker(&[
            "ps",
            "-a",
            "-q",
            "--filter",
            &format!("label=com.docker.compose.project={}", self.name),
            "--filter",
            &format!("label=com.docker.compose.service={service}"),
        ]);
        found.trim().to_owned()
    }

    /// Asks something of the inner network, by a container in it.
    fn inside(&self, args: &[&str]) -> String {
        let network = format!("{}_inner", self.name);
        docker(&[&["run", "--rm", "--network", &network, "btctl-test:1"], args].concat())
    }
}

impl Drop for Deployment {
    fn drop(&mut self) {
        self.compose(&["down", "-v", "--timeout", "5"]);
    }
}

fn btctl(env: &[(&str, &str)], args: &[&str]) -> String {
    let told = Command::new(btctl_path()).args(args).envs(env.iter().copied()).output().unwrap();
    assert!(told.status.success(), "btctl {args:?}: {}", String::from_utf8_lossy(&told.stderr));
    String::from_utf8(told.stdout).unwrap()
}

#[test]
fn a_cluster_starts_by_one_command_and_keeps_what_it_has() {
    let cluster = Deployment::new();
    // The coordinator is first, and waits.
    cluster.compose(&["up", "-d", "coordinator"]);
    cluster.up();
    cluster.wait_for_agent();
    fs::write(cluster.dir.join("data/prices.csv"), "1\n2\n").unwrap();
    cluster.btctl(&[
        "submit",
        "--name",
        "composed",
        "--image",
        "btctl-test:1",
        "--matrix",
        "x=1,2,3",
        "--cpus",
        "0.25",
        "-m",
        "64m",
        "-v",
        "data:/data:ro",
        "--wait",
        "--",
        "sh",
        "-c",
        "wc -l </data/prices.csv >/results/lines; id -u >/results/uid",
    ]);
    let got = cluster.dir.join("got").display().to_string();
    cluster.btctl(&["results", "get", "composed", "--dir", &got]);

    // Nothing but the coordinator's port is published, and no process of ours is root.
    for service in SERVICES {
        let ports =
            docker(&["inspect", "-f", "{{json .HostConfig.PortBindings}}", &cluster.container(service)]);
        let published = ports.contains("HostPort");
        assert_eq!(published, service == "coordinator", "{service}: {ports}");
    }
    for service in ["coordinator", "agent", "prometheus"] {
        let told = docker(&["top", &cluster.container(service), "-o", "pid,uid"]);
        let uids: Vec<_> = told.lines().skip(1).filter_map(|line| line.split_whitespace().nth(1)).collect();
        assert!(!uids.is_empty() && !uids.contains(&"0"), "{service}: {told}");
    }
    for image in ["coordinator", "agent", "btctl"] {
        let version = btctl(&[], &["version"]);
        let version = version.split_whitespace().nth(1).unwrap();
        let made = docker(&["create", &format!("btctl/{image}:{version}")]);
        let files = Command::new("sh")
            .args(["-c", &format!("docker export {} | tar -t", made.trim())])
            .output()
            .unwrap();
        docker(&["rm", made.trim()]);
        let files = String::from_utf8(files.stdout).unwrap();
        assert!(files.contains("usr/bin/btctl"), "{files}");
        let has = |name: &str| files.lines().any(|file| file.rsplit('/').next() == Some(name));
        assert!(!["sh", "bash", "busybox", "gcc", "cargo", "psql", "apt"].into_iter().any(has), "{files}");
    }

    // Prometheus reads coordinator and agent; Grafana's role may read the views, and nothing else.
    wait_until("Prometheus reads both", || {
        let targets =
            cluster.inside(&["wget", "-q", "-O", "-", "http://prometheus:9090/api/v1/targets?state=active"]);
        let targets: Value = serde_json::from_str(&targets).ok()?;
        let targets = targets["data"]["activeTargets"].as_array()?;
        (targets.len() == 2 && targets.iter().all(|target| target["health"] == "up")).then_some(())
    });
    let env = fs::read_to_string(cluster.dir.join(".env")).unwrap();
    let password = env.lines().find_map(|line| line.strip_prefix("GRAFANA_POSTGRES_PASSWORD=")).unwrap();
    let as_grafana = |query: &str| {
        let container = cluster.container("postgres");
        let url = format!("postgres://grafana:{password}@127.0.0.1/btctl");
        Command::new("docker").args(["exec", &container, "psql", &url, "-At", "-c", query]).output().unwrap()
    };
    wait_until("the role is there", || {
        as_grafana("select name from reports.sweeps").stdout.starts_with(b"composed").then_some(())
    });
    let refused = as_grafana("select hash from tokens");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("permission denied"), "{refused:?}");

    // Down and up: all is there, and the agent is the one that it was.
    let agents = cluster.btctl(&["agents", "ls", "-o", "json"]);
    let id = |agents: &str| serde_json::from_str::<Value>(agents).unwrap()[0]["id"].clone();
    cluster.compose(&["down", "--timeout", "20"]);
    cluster.up();
    cluster.wait_for_agent();
    assert_eq!(id(&cluster.btctl(&["agents", "ls", "-o", "json"])), id(&agents));
    let shown: Value = serde_json::from_str(&cluster.btctl(&["show", "composed", "-o", "json"])).unwrap();
    assert_eq!(shown["counts"]["succeeded"], 3, "{shown}");
    cluster.btctl(&["results", "verify", "composed"]);
}

#[test]
fn what_is_there_is_kept_and_what_is_wrong_makes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = dir.path().join("cluster");
    let path = cluster.display().to_string();
    let run = |args: &[&str], env: &[(&str, &str)]| {
        let told = Command::new(btctl_path()).args(args).envs(env.iter().copied()).output().unwrap();
        (
            told.status.code(),
            format!("{}{}", String::from_utf8_lossy(&told.stdout), String::from_utf8_lossy(&told.stderr)),
        )
    };
    let (code, told) = run(&["init", &path, "--data", "/nowhere/at/all"], &[]);
    assert!(code == Some(2) && told.contains("/nowhere/at/all") && !cluster.exists(), "{told}");
    let (code, told) = run(&["init", &path], &[("PORT", "http")]);
    assert!(code == Some(2) && told.contains("PORT") && !cluster.exists(), "{told}");
    assert_eq!(run(&["init"], &[]).0, Some(2));

    // A cloud says by what name and port the machine is reached.
    let (code, told) = run(&["init", &path], &[("HOST_SERVER", "bt.example"), ("PORT", "8080")]);
    assert!(code == Some(0) && told.contains("https://bt.example:8080"), "{told}");
    let env = fs::read_to_string(cluster.join(".env")).unwrap();
    assert!(env.contains("\nBTCTL_PUBLISH=8080\n"), "{env}");
    for file in [".env", "tls/ca.key", "tokens/admin.token", "tokens/agent.token", "secrets/key"] {
        assert_eq!(fs::metadata(cluster.join(file)).unwrap().mode() & 0o777, 0o600, "{file}");
    }
    let read = |file: &str| fs::read(cluster.join(file)).unwrap();
    let kept = ["tls/ca.pem", "tls/server.pem", "tokens/admin.token", "secrets/key", ".env"];
    let before = kept.map(read);
    fs::remove_file(cluster.join("tokens/prometheus.token")).unwrap();
    fs::write(cluster.join("compose.yaml"), "services: {}\n").unwrap();
    let (code, told) = run(&["init", &path], &[]);
    assert!(code == Some(0) && told.contains("https://bt.example:8080") && told.contains("kept"), "{told}");
    assert!(told.contains("compose.yaml"), "{told}");
    assert_eq!(kept.map(read), before);
    assert_eq!(read("compose.yaml"), b"services: {}\n");
    assert!(cluster.join("tokens/prometheus.token").exists());
    let (code, told) = run(&["init", &path, "--refresh"], &[]);
    assert!(code == Some(0) && !told.contains("kept ("), "{told}");
    assert!(String::from_utf8(read("compose.yaml")).unwrap().contains("BTCTL_AGENT_CPUS:"));
    assert_eq!(kept.map(read), before);
}
