//! One machine: `btctl up`, its twin, its death and its end.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use bt_tests::{Process, as_nobody, btctl_path, wait_until};
use serde_json::Value;
use tempfile::TempDir;

/// A machine of its own for `btctl up`.
struct Machine {
    dir: TempDir,
}

impl Machine {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    fn state(&self) -> String {
        self.dir.path().join("state").display().to_string()
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(btctl_path());
        command
            .args(args)
            .env("HOME", self.dir.path())
            .env("XDG_CONFIG_HOME", self.dir.path().join("config"))
            .env("BTCTL_CONFIG", format!("{}/client.toml", self.state()))
            .env_remove("BTCTL_COORDINATOR");
        command
    }

    fn run(&self, args: &[&str]) -> (i32, String, String) {
        let output = self.command(args).output().unwrap();
        (
            output.status.code().unwrap_or(-1),
            String::from_utf8_lossy(&output.stdout).into_owned(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    }

    fn up(&self) -> Process {
        self.up_with(&[])
    }

    fn up_with(&self, flags: &[&str]) -> Process {
        let state = self.state();
        let all = [&["up", "--state-dir", &state, "--cpus", "1", "--memory", "1GiB"], flags].concat();
        let mut command = self.command(&all);
        let up = Process::start("up", self.dir.path(), &mut command);
        wait_until("the agent is ready", || {
            let (code, stdout, _) = self.run(&["agents", "ls", "-o", "json"]);
            let agents: Value = serde_json::from_str(&stdout).ok()?;
            (code == 0 && agents[0]["state"] == "ready").then_some(())
        });
        up
    }

    /// Queues jobs that take a while and leave one file each; returns the sweep's id.
    fn submit(&self, jobs: u64) -> String {
        let matrix = format!("n=1:{jobs}");
        let mut args = vec!["submit", "--image", "btctl-test:1", "-m", "64m", "--cpus", "0.5"];
        args.extend(["--matrix", &matrix, "-o", "json", "--", "sh", "-c", "sleep 2; : > /results/x"]);
        let (code, stdout, stderr) = self.run(&args);
        assert_eq!(code, 0, "{stderr}");
        let submitted: Value = serde_json::from_str(&stdout).unwrap();
        submitted["id"].as_str().unwrap().to_owned()
    }

    fn count(&self, sweep: &str, state: &str) -> u64 {
        let (_, stdout, _) = self.run(&["show", sweep, "-o", "json"]);
        let shown: Value = serde_json::from_str(&stdout).unwrap_or_default();
        shown["counts"][state].as_u64().unwrap_or(0)
    }

    /// A setting that clients of this machine find.
    fn setting(&self, key: &str) -> String {
        let client = std::fs::read_to_string(format!("{}/client.toml", self.state())).unwrap();
        let line = client.lines().find(|line| line.starts_with(&format!("{key} = ")));
        line.and_then(|line| line.split('"').nth(1)).unwrap_or_default().to_owned()
    }

    fn address(&self) -> String {
        self.setting("coordinator")
    }

    /// The status that curl gets, run by a prefix and with these flags.
    fn asked(&self, prefix: &[&str], path: &str, flags: &[&str]) -> String {
        let curl = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "--max-time", "20"];
        let words: Vec<_> = prefix.iter().chain(&curl).collect();
        let url = format!("{}{path}", self.address());
        let output = Command::new(words[0]).args(&words[1..]).args(flags).arg(url).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    /// What the coordinator serves for Prometheus.
    fn metrics(&self) -> String {
        let address = self.address();
        let output =
            Command::new("curl").args(["-s", "--fail", &format!("{address}/metrics")]).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn kill_postgres(&self) {
        let file = self.dir.path().join("state/postgres/data/postmaster.pid");
        let text = std::fs::read_to_string(file).unwrap();
        let pid = text.lines().next().unwrap();
        assert!(Command::new("kill").args(["-KILL", pid]).status().unwrap().success());
    }

    fn down(&self, mut up: Process) {
        let (code, _, stderr) = self.run(&["down", "--state-dir", &self.state()]);
        assert_eq!(code, 0, "{stderr}");
        assert_eq!(up.wait(), 0);
    }
}

#[test]
fn up_runs_a_sweep_and_ends_cleanly() {
    let machine = Machine::new();
    let mut up = machine.up();
    let (code, _, stderr) =
        machine.run(&["submit", "--image", "btctl-test:1", "-m", "64m", "--wait", "--", "true"]);
    assert_eq!(code, 0, "{stderr}");
    let metrics = machine.metrics();
    for series in [
        "btctl_attempts_ended_total{outcome=\"succeeded\",reason=\"\"} 1",
        "btctl_engine_calls_total{operation=\"wait\",outcome=\"ok\"}",
        "btctl_agent_connected 1",
    ] {
        assert!(metrics.contains(series), "no {series} in {metrics}");
    }

    let (code, _, stderr) = machine.run(&["up", "--state-dir", &machine.state()]);
    assert_eq!(code, 1);
    assert!(stderr.contains("already") && stderr.contains(&up.pid().to_string()), "{stderr}");

    let (code, _, stderr) = machine.run(&["down", "--state-dir", &machine.state()]);
    assert_eq!(code, 0, "{stderr}");
    assert_eq!(up.wait(), 0);
    let left = Command::new("pgrep").args(["-f", &machine.state()]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&left.stdout), "", "a process is left");
}

#[test]
fn up_recovers_from_the_death_of_everything() {
    let machine = Machine::new();
    let mut up = machine.up();
    let sweep = machine.submit(4);
    wait_until("jobs run", || (machine.count(&sweep, "running") == 2).then_some(()));
    up.kill();
    machine.kill_postgres();

    let up = machine.up();
    wait_until("all jobs have succeeded", || (machine.count(&sweep, "succeeded") == 4).then_some(()));
    machine.down(up);
}

#[test]
fn the_death_of_postgres_costs_nothing() {
    let machine = Machine::new();
    let up = machine.up();
    let sweep = machine.submit(6);
    for ended in [0, 2] {
        wait_until("jobs run", || (machine.count(&sweep, "succeeded") >= ended).then_some(()));
        wait_until("jobs run", || (machine.count(&sweep, "running") == 2).then_some(()));
        machine.kill_postgres();
    }
    wait_until("all jobs have succeeded", || (machine.count(&sweep, "succeeded") == 6).then_some(()));
    let (_, jobs, _) = machine.run(&["jobs", &sweep, "-o", "json"]);
    let jobs: Value = serde_json::from_str(&jobs).unwrap();
    let attempts: Vec<_> = jobs.as_array().unwrap().iter().map(|job| job["attempts"].clone()).collect();
    assert_eq!(attempts, [1, 1, 1, 1, 1, 1]);
    let (code, _, stderr) = machine.run(&["results", "get", &sweep, "-d", &machine.state()]);
    assert_eq!(code, 0, "{stderr}");
    let left = Command::new("docker")
        .args(["ps", "-aq", "--filter", &format!("label=btctl.sweep={sweep}")])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&left.stdout), "", "a container is left");
    machine.down(up);
}

#[test]
fn up_takes_over_a_postgres_that_was_left_behind() {
    let machine = Machine::new();
    machine.up().kill();
    let up = machine.up();
    machine.down(up);
}

#[test]
fn up_says_what_is_missing_before_it_starts_anything() {
    let machine = Machine::new();
    let mut command = machine.command(&["up", "--state-dir", &machine.state()]);
    let output = command.env("DOCKER_HOST", "unix:///nowhere").output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("install Docker") && !told.contains("btctl is up"), "{told}");
    assert!(!std::path::Path::new(&machine.state()).join("postgres").exists());
    let (code, _, told) = machine.run(&["up", "--state-dir", &machine.state(), "--postgres-bin", "/nowhere"]);
    assert_eq!(code, 2, "{told}");
    assert!(told.contains("/nowhere"), "{told}");
}

#[test]
fn down_without_up_says_so() {
    let machine = Machine::new();
    let (_, stdout, stderr) = machine.run(&["down", "--state-dir", &machine.state()]);
    assert!(format!("{stdout}{stderr}").contains("runs"), "{stdout}{stderr}");
}

#[test]
fn up_is_for_its_own_user_alone() {
    let machine = Machine::new();
    let up = machine.up();
    let token = machine.dir.path().join("state/up.token");
    assert_eq!(std::fs::metadata(&token).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(machine.setting("token_file"), "up.token");
    // The page, the API and programs of this user need nothing.
    for path in ["/", "/api/sweeps", "/metrics"] {
        assert_eq!(machine.asked(&[], path, &[]), "200", "{path}");
    }
    let text = std::fs::read_to_string(&token).unwrap();
    let bearer = format!("Authorization: Bearer {}", text.trim());
    let nobody = as_nobody();
    assert_eq!(machine.asked(&nobody, "/api/sweeps", &[]), "401");
    assert_eq!(machine.asked(&nobody, "/healthz", &[]), "200");
    assert_eq!(machine.asked(&nobody, "/api/sweeps", &["-H", &bearer]), "200");
    // A page of somebody else in this user's browser, and a name of somebody else's that leads here.
    let post = |headers: &[&str]| {
        let flags: Vec<_> = headers.iter().flat_map(|header| ["-H", header]).collect();
        let body = ["-X", "POST", "-H", "Content-Type: application/json", "-d", "{}"];
        machine.asked(&[], "/api/sweeps/none/cancel", &[&flags[..], &body].concat())
    };
    assert_eq!(post(&[]), "404");
    assert_eq!(post(&["Sec-Fetch-Site: cross-site"]), "403");
    assert_eq!(post(&["Origin: http://evil.example"]), "403");
    assert_eq!(post(&["Sec-Fetch-Site: same-origin"]), "404");
    assert_eq!(machine.asked(&[], "/api/sweeps", &["-H", "Host: evil.example:7600"]), "401");
    assert_eq!(machine.asked(&[], "/api/sweeps", &["-H", "X-Forwarded-For: 10.0.0.9"]), "401");
    // Whose a sweep is says its user, as before.
    let (code, shown, _) = machine.run(&["whoami", "-o", "json"]);
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!((code, shown["role"].as_str()), (0, Some("admin")), "{shown}");
    let (code, _, stderr) = machine.run(&["submit", "--image", "btctl-test:1", "-m", "64m", "--", "true"]);
    assert_eq!(code, 0, "{stderr}");
    machine.down(up);
    // At the next start the token is the same.
    let up = machine.up();
    assert_eq!(std::fs::read_to_string(&token).unwrap(), text);
    machine.down(up);
}

#[test]
fn another_machine_joins_an_up_by_the_line_that_it_prints() {
    let machine = Machine::new();
    let port = bt_tests::free_port();
    let up = machine.up_with(&["--listen", &format!("0.0.0.0:{port}")]);
    assert!(machine.address().starts_with("https://127.0.0.1:"), "{}", machine.address());
    let log = up.log();
    let line =
        log.lines().find(|line| line.contains("btctl agent --join")).unwrap_or_else(|| panic!("{log}"));
    let pin = machine.setting("ca_pin");
    assert!(line.contains(&pin) && !log.contains("asks nobody"), "{log}");
    let (code, token, stderr) = machine.run(&["token", "create", "second", "--role", "agent", "--ttl", "1h"]);
    assert_eq!(code, 0, "{stderr}");
    let other = Machine::new();
    let file = other.dir.path().join("join.token");
    std::fs::write(&file, token).unwrap();
    let words: Vec<_> = line.split_whitespace().skip(1).collect();
    let join = words.join(" ").replace("FILE", &file.display().to_string());
    let mut args: Vec<_> = join.split(' ').collect();
    let state = other.state();
    args.extend(["--state-dir", &state, "--name", "second", "--cpus", "1"]);
    let mut command = Command::new(btctl_path());
    command
        .args(&args)
        .env("HOME", other.dir.path())
        .env_remove("BTCTL_COORDINATOR")
        .env_remove("BTCTL_CONFIG");
    let _second = Process::start("second", other.dir.path(), &mut command);
    wait_until("both agents are ready", || {
        let (_, stdout, _) = machine.run(&["agents", "ls", "-o", "json"]);
        let agents: Value = serde_json::from_str(&stdout).ok()?;
        let ready = agents.as_array()?.iter().filter(|agent| agent["state"] == "ready").count();
        (ready == 2).then_some(())
    });
    machine.down(up);
}
