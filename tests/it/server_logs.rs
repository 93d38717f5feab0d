//! What servers log: lines that name what they concern, as text or JSON, and as much as is wanted while they run.

use std::process::Command;

use bt_tests::{Cluster, Options, Process, wait_until};
use serde_json::{Value, json};

fn with_json() -> Options {
    let mut options = Options::simulated(&["--log-format", "json"]);
    options.coordinator = ["--log-format", "json"].map(str::to_owned).into();
    options
}

fn lines(process: &Process) -> Vec<Value> {
    let log = process.log();
    let parse = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    log.lines().map(parse).collect()
}

/// The spans that a line is in, by their names.
fn span<'l>(line: &'l Value, name: &str) -> Option<&'l Value> {
    line["spans"].as_array()?.iter().find(|span| span["name"] == name)
}

#[test]
fn a_line_names_the_agent_the_sweep_the_job_and_the_attempt_that_it_concerns() {
    let mut cluster = Cluster::with(with_json());
    let sweep = cluster.submit_simulated(&["--matrix", "n=1:3"]);
    cluster.wait_ended(&sweep);
    let agent = cluster.json(&["agents", "ls"])[0]["id"].as_str().unwrap().to_owned();
    let attempts = cluster.database.query("select id from attempts order by job");
    wait_until("the agent has said of each attempt that it is over", || {
        let over = lines(cluster.agent());
        let over: Vec<_> = over.iter().filter(|line| line["message"] == "the attempt is over").collect();
        (over.len() == 3).then_some(())
    });
    for line in lines(cluster.agent()).iter().filter(|line| line["message"] == "the attempt is over") {
        let span = span(line, "attempt").unwrap_or_else(|| panic!("{line}"));
        let job = span["job"].as_u64().unwrap();
        assert_eq!(span["attempt.id"], attempts[usize::try_from(job).unwrap()], "{line}");
        assert_eq!((&span["sweep.id"], &span["agent.id"]), (&json!(sweep), &json!(agent)), "{line}");
        assert_eq!(span["attempt.number"], 1, "{line}");
    }
    let connected = lines(cluster.agent());
    let connected = connected.iter().find(|line| line["message"] == "connected").unwrap();
    assert_eq!(span(connected, "agent").unwrap()["agent.name"], "agent", "{connected}");
    let here = lines(cluster.coordinator());
    let here = here.iter().find(|line| line["message"] == "agent agent is here").unwrap();
    assert_eq!(span(here, "session").unwrap()["agent.id"], agent, "{here}");
}

#[test]
fn lines_for_people_have_the_same_ids() {
    let mut cluster = Cluster::with(Options::simulated(&[]));
    let sweep = cluster.submit_simulated(&[]);
    cluster.wait_ended(&sweep);
    let line = wait_until("the attempt is over", || {
        cluster.agent().log().lines().find(|line| line.ends_with("the attempt is over")).map(str::to_owned)
    });
    let attempt = &cluster.database.query("select id from attempts")[0];
    for part in [format!("sweep.id={sweep}"), format!("attempt.id={attempt}"), "job=0".to_owned()] {
        assert!(line.contains(&part), "{line} lacks {part}");
    }
}

/// Asks the coordinator what it logs, or tells it.
fn filter(cluster: &Cluster, flags: &[&str]) -> Value {
    let address = format!("{}/api/log", cluster.address());
    let output =
        Command::new("curl").args(["-s", "--max-time", "60"]).args(flags).arg(address).output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap()
}

fn change(cluster: &Cluster, filter: &str) -> Value {
    let body = json!({ "filter": filter }).to_string();
    self::filter(cluster, &["-H", "Content-Type: application/json", "-d", &body])
}

#[test]
fn a_coordinator_says_more_when_it_is_told_to() {
    let mut cluster = Cluster::with(Options::simulated(&[]));
    let sent = |cluster: &mut Cluster| cluster.coordinator().log().matches("jobs are sent").count();
    assert_eq!(filter(&cluster, &[]), json!({ "filter": "info" }));
    let sweep = cluster.submit_simulated(&[]);
    cluster.wait_ended(&sweep);
    assert_eq!(sent(&mut cluster), 0);
    assert_eq!(change(&cluster, "info,bt_coordinator=debug")["filter"], "bt_coordinator=debug,info");
    let sweep = cluster.submit_simulated(&[]);
    cluster.wait_ended(&sweep);
    assert_eq!(sent(&mut cluster), 1);
    for wrong in ["", "loud", "bt_coordinator=loud"] {
        let refused = change(&cluster, wrong);
        assert_eq!(refused["error"]["code"], "invalid_argument", "{refused}");
        let told = refused["error"]["message"].as_str().unwrap();
        assert!(told.contains("it is not a filter") && told.contains("info,bt_agent=debug"), "{told}");
    }
    assert_eq!(change(&cluster, "info")["filter"], "info");
    let sweep = cluster.submit_simulated(&[]);
    cluster.wait_ended(&sweep);
    assert_eq!(sent(&mut cluster), 1);
}

#[test]
fn a_signal_makes_an_agent_say_more_and_another_one_less() {
    let mut cluster = Cluster::with(Options::simulated(&["--log", "warn"]));
    let heard = |cluster: &mut Cluster, text: &str| cluster.agent().log().matches(text).count();
    assert_eq!(heard(&mut cluster, "connected"), 0);
    cluster.agent().signal("USR2");
    wait_until("it says so", || (heard(&mut cluster, "bt_agent=debug") == 1).then_some(()));
    let sweep = cluster.submit_simulated(&[]);
    cluster.wait_ended(&sweep);
    wait_until("it says more", || (heard(&mut cluster, "the attempt is over") == 1).then_some(()));
    cluster.agent().signal("USR2");
    wait_until("it says less", || (heard(&mut cluster, "from now on: warn") == 1).then_some(()));
    let sweep = cluster.submit_simulated(&[]);
    cluster.wait_ended(&sweep);
    cluster.agent().signal("USR2");
    wait_until("it says more again", || (heard(&mut cluster, "bt_agent=debug") == 2).then_some(()));
    let log = cluster.agent().log();
    let (_, less) = log.split_once("from now on: warn\n").unwrap();
    let (less, _) = less.split_once("bt_agent=debug").unwrap();
    assert!(!less.contains(" INFO "), "{less}");
}
