//! One machine: `btctl up`, its twin, its death and its end.

use std::process::Command;

use bt_tests::{Process, btctl_path, wait_until};
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
        let mut command =
            self.command(&["up", "--state-dir", &self.state(), "--cpus", "1", "--memory", "1GiB"]);
        let up = Process::start("up", self.dir.path(), &mut command);
        wait_until("the agent is ready", || {
            let (code, stdout, _) = self.run(&["agents", "ls", "-o", "json"]);
            let agents: Value = serde_json::from_str(&stdout).ok()?;
            (code == 0 && agents[0]["state"] == "ready").then_some(())
        });
        up
    }
}

#[test]
fn up_runs_a_sweep_and_ends_cleanly() {
    let machine = Machine::new();
    let mut up = machine.up();
    let (code, _, stderr) =
        machine.run(&["submit", "--image", "btctl-test:1", "-m", "64m", "--wait", "--", "true"]);
    assert_eq!(code, 0, "{stderr}");

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
    let (code, stdout, _) = machine.run(&[
        "submit",
        "--image",
        "btctl-test:1",
        "-m",
        "64m",
        "--cpus",
        "0.5",
        "--matrix",
        "n=1:4",
        "-o",
        "json",
        "--",
        "sh",
        "-c",
        "sleep 3; : > /results/x",
    ]);
    assert_eq!(code, 0);
    let sweep: Value = serde_json::from_str(&stdout).unwrap();
    let sweep = sweep["id"].as_str().unwrap();
    let count = |state: &str| {
        let (_, stdout, _) = machine.run(&["show", sweep, "-o", "json"]);
        let shown: Value = serde_json::from_str(&stdout).unwrap_or_default();
        shown["counts"][state].as_u64().unwrap_or(0)
    };
    wait_until("jobs run", || (count("running") == 2).then_some(()));
    up.kill();
    let postgres =
        std::fs::read_to_string(machine.dir.path().join("state/postgres/data/postmaster.pid")).unwrap();
    let pid = postgres.lines().next().unwrap();
    assert!(Command::new("kill").args(["-KILL", pid]).status().unwrap().success());

    let mut up = machine.up();
    wait_until("all jobs have succeeded", || (count("succeeded") == 4).then_some(()));
    let (code, _, stderr) = machine.run(&["down", "--state-dir", &machine.state()]);
    assert_eq!(code, 0, "{stderr}");
    assert_eq!(up.wait(), 0);
}

#[test]
fn up_takes_over_a_postgres_that_was_left_behind() {
    let machine = Machine::new();
    machine.up().kill();
    let mut up = machine.up();
    assert_eq!(machine.run(&["down", "--state-dir", &machine.state()]).0, 0);
    assert_eq!(up.wait(), 0);
}

#[test]
fn down_without_up_says_so() {
    let machine = Machine::new();
    let (_, stdout, stderr) = machine.run(&["down", "--state-dir", &machine.state()]);
    assert!(format!("{stdout}{stderr}").contains("runs"), "{stdout}{stderr}");
}
