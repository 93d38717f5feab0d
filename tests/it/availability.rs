//! Machines that their owners need now and then: the agent takes no jobs then, and what runs stands still or goes elsewhere.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use bt_tests::{Cluster, Options, wait_until};

/// From when the machine is taken to when its cpus are its owner's again.
const SOON: Duration = Duration::from_secs(20);

/// Power supplies as the kernel tells of them.
struct Laptop(PathBuf);

impl Laptop {
    fn plugged(dir: &Path) -> Self {
        let supplies = dir.join("power");
        for (name, kind) in [("AC", "Mains"), ("BAT0", "Battery")] {
            fs::create_dir_all(supplies.join(name)).unwrap();
            fs::write(supplies.join(name).join("type"), kind).unwrap();
        }
        let laptop = Self(supplies);
        laptop.plug(true);
        laptop
    }

    fn plug(&self, plugged: bool) {
        fs::write(self.0.join("AC/online"), if plugged { "1" } else { "0" }).unwrap();
    }

    fn flag(&self) -> String {
        format!("--power-supplies={}", self.0.display())
    }
}

/// A program of the owner's; it ends with the test.
struct Program(Child);

impl Program {
    fn start(dir: &Path, name: &str) -> Self {
        let program = dir.join(name);
        if !program.exists() {
            fs::copy("/bin/sleep", &program).unwrap();
        }
        Self(Command::new(program).arg("3600").spawn().unwrap())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn agent(flags: &[&str]) -> Options {
    let all = ["--cpus", "1", "--memory", "1GiB", "--stop-grace", "1s", "--available-after", "1s"];
    let agent = [&all[..], flags].concat().into_iter().map(str::to_owned).collect();
    Options { agent, ..Options::default() }
}

#[track_caller]
fn wait_state(cluster: &Cluster, begins: &str) {
    wait_until(&format!("the agent is {begins}"), || {
        let agents = cluster.json(&["agents", "ls"]);
        agents[0]["state"].as_str().unwrap_or_default().starts_with(begins).then_some(())
    });
}

fn is_paused(container: &str) -> bool {
    let told =
        Command::new("docker").args(["inspect", "-f", "{{.State.Paused}}", container]).output().unwrap();
    String::from_utf8_lossy(&told.stdout).trim() == "true"
}

#[test]
fn jobs_stand_still_while_the_machine_is_on_battery_and_their_timeout_with_them() {
    let dir = tempfile::tempdir().unwrap();
    let laptop = Laptop::plugged(dir.path());
    let cluster = Cluster::with(agent(&["--available-on-mains", &laptop.flag()]));
    let shown = cluster.ok(&["agents", "show", "agent"]);
    assert!(shown.contains("on mains; else not, and then jobs are frozen"), "{shown}");
    let script = "for i in 1 2 3 4 5 6 7 8; do sleep 1; done; echo 1 > /results/one";
    let sweep = cluster.submit(&["--timeout", "20s", "--retries", "0"], script);
    wait_until("the job runs", || (cluster.running_containers(&sweep).len() == 1).then_some(()));
    let container = cluster.running_containers(&sweep)[0].clone();
    laptop.plug(false);
    let taken = Instant::now();
    wait_until("the container stands still", || is_paused(&container).then_some(()));
    assert!(taken.elapsed() < SOON, "{:?}", taken.elapsed());
    wait_state(&cluster, "not available: it runs on battery");
    let waits = cluster.submit(&[], "true");
    let told = cluster.ok(&["explain", &format!("{waits}/0")]);
    assert!(told.contains("not available: it runs on battery"), "{told}");
    wait_until("it is explained that the job is frozen", || {
        cluster
            .ok(&["explain", &format!("{sweep}/0")])
            .contains("frozen: its machine is not available")
            .then_some(())
    });
    // Longer than the timeout.
    wait_until("it stood still for longer than its timeout", || {
        (taken.elapsed() > Duration::from_secs(22)).then_some(())
    });
    assert_eq!(cluster.count(&sweep, "running"), 1);
    assert_eq!(cluster.count(&waits, "queued"), 1);
    laptop.plug(true);
    cluster.wait_count(&sweep, "succeeded", 1);
    cluster.wait_count(&waits, "succeeded", 1);
    assert_eq!(
        cluster.database.query("select sum(attempts), sum(losses), sum(failures) from jobs"),
        ["2|0|0"]
    );
    wait_state(&cluster, "ready");
}

#[test]
fn jobs_are_handed_back_when_the_owner_starts_a_program() {
    let dir = tempfile::tempdir().unwrap();
    let name = format!("desk-{}", std::process::id());
    for how in [["--when-unavailable", "hand-back"], ["--freeze-limit", "1s"]] {
        let flags = [&["--unavailable-while", name.as_str()], &how[..]].concat();
        let cluster = Cluster::with(agent(&flags));
        let sweep = cluster.submit_waiting(&["--retries", "0"], "echo 1 > /results/one");
        wait_until("the job runs", || (cluster.running_containers(&sweep).len() == 1).then_some(()));
        let program = Program::start(dir.path(), &name);
        let taken = Instant::now();
        wait_until("the job waits again", || (cluster.count(&sweep, "queued") == 1).then_some(()));
        assert!(taken.elapsed() < SOON, "{:?}", taken.elapsed());
        wait_state(&cluster, &format!("not available: {name} runs (process {})", program.0.id()));
        wait_until("no container runs", || cluster.running_containers(&sweep).is_empty().then_some(()));
        assert_eq!(cluster.database.query("select losses, failures from jobs"), ["0|0"]);
        let events = "select count(*) from events where body->>'change' = 'unavailable'";
        assert_eq!(cluster.database.query(events), ["1"]);
        cluster.open_gate();
        drop(program);
        cluster.wait_count(&sweep, "succeeded", 1);
        cluster.close_gate();
    }
}

#[test]
fn jobs_finish_if_they_may_and_no_more_are_taken() {
    let dir = tempfile::tempdir().unwrap();
    let laptop = Laptop::plugged(dir.path());
    let flags = ["--available-on-mains", "--when-unavailable", "finish", &laptop.flag()];
    let cluster = Cluster::with(agent(&flags));
    let sweep = cluster.submit_waiting(&["--matrix", "n=1:6"], "true");
    wait_until("four jobs run", || (cluster.running_containers(&sweep).len() == 4).then_some(()));
    laptop.plug(false);
    wait_state(&cluster, "not available: it runs on battery");
    cluster.open_gate();
    cluster.wait_count(&sweep, "succeeded", 4);
    assert_eq!(cluster.count(&sweep, "queued"), 2);
    laptop.plug(true);
    cluster.wait_count(&sweep, "succeeded", 6);
}
