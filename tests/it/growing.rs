//! Sweeps that take more jobs while they run: `submit --open`, `add`, `close`, and the same over HTTP.

use bt_tests::http::{curl, post};
use bt_tests::{Cluster, Options, wait_until};
use serde_json::json;

fn cluster() -> Cluster {
    Cluster::with(Options::simulated(&["--cpus", "4"]))
}

/// An open sweep of jobs that have a parameter `n`, without any yet.
fn open(cluster: &Cluster, flags: &[&str]) -> String {
    let args = [
        &["submit", "--open", "--image", "x:1", "--name", "found", "-m", "64m"],
        flags,
        &["--", "x", "{{ n }}"],
    ];
    let submitted = cluster.json(&args.concat());
    assert_eq!(submitted["jobs"], 0, "{submitted}");
    submitted["id"].as_str().unwrap().to_owned()
}

#[test]
fn a_sweep_grows_until_it_is_closed() {
    let cluster = cluster();
    let sweep = open(&cluster, &[]);
    let shown = cluster.json(&["show", &sweep]);
    assert_eq!((&shown["state"], &shown["open"]), (&json!("open"), &json!(true)), "{shown}");
    assert!(
        cluster.run(&["jobs", "found"]).stdout.is_empty() || cluster.json(&["jobs", "found"]) == json!([])
    );
    let missing = cluster.run(&["show", "found/0"]);
    assert!(missing.code == 3 && missing.stderr.contains("it has no jobs yet"), "{missing:?}");
    let added = cluster.json(&["add", "found", "--params", "n=1", "--params", "n=1.10"]);
    assert_eq!(added, json!({"first_job": 0, "jobs": 2, "existed": false}));
    cluster.wait_count(&sweep, "succeeded", 2);
    let shown = cluster.json(&["show", "found"]);
    assert_eq!((&shown["state"], &shown["finished"]), (&json!("open"), &json!(null)), "{shown}");
    let listed = cluster.json(&["ls"]);
    assert_eq!(listed[0]["state"], "open", "{listed}");
    assert_eq!(cluster.json(&["ls", "--state", "open"])[0]["id"], listed[0]["id"]);
    // What is sent twice is added once.
    let once = ["add", "found", "--idempotency-key", "a", "--params", "n=3"];
    assert_eq!(cluster.json(&once), json!({"first_job": 2, "jobs": 1, "existed": false}));
    assert_eq!(cluster.json(&once), json!({"first_job": 2, "jobs": 1, "existed": true}));
    let other = cluster.run(&["add", "found", "--idempotency-key", "a", "--params", "n=4"]);
    assert!(other.code != 0 && other.stderr.contains("choose another key"), "{other:?}");
    // From files.
    std::fs::write(cluster.dir().join("rows.csv"), "n\n4\n5\n").unwrap();
    std::fs::write(cluster.dir().join("rows.jsonl"), "{\"n\": 6}\n\n{\"n\": \"7\"}\n").unwrap();
    cluster.ok(&["add", "found", "--params-from", "rows.csv"]);
    cluster.ok(&["add", "found", "--params-from", "rows.jsonl"]);
    let mut waiting = cluster.spawn("wait", &["wait", "found"]);
    cluster.wait_count(&sweep, "succeeded", 7);
    wait_until("wait says that it is open", || waiting.log().contains("open for more jobs").then_some(()));
    let closed = cluster.run(&["close", "found"]);
    assert!(closed.code == 0 && closed.stderr.contains("takes no more jobs"), "{closed:?}");
    assert_eq!(waiting.wait(), 0);
    let jobs = cluster.json(&["jobs", "found"]);
    let all: Vec<_> = jobs.as_array().unwrap().iter().map(|job| job["params"]["n"].to_string()).collect();
    assert_eq!(all, ["1", "1.10", "3", "4", "5", "6", "\"7\""]);
    let shown = cluster.json(&["show", "found"]);
    assert_eq!((&shown["state"], &shown["open"]), (&json!("succeeded"), &json!(false)), "{shown}");
    // The names of directories do not depend on how many jobs there were when one ended.
    let got = cluster.run(&["results", "get", "found", "-d", "out"]);
    assert_eq!(got.code, 0, "{got:?}");
    assert!(cluster.dir().join("out/0000006/simulated.json").exists());
}

#[test]
fn jobs_are_checked_before_they_are_added() {
    let cluster = cluster();
    let sweep = open(&cluster, &["--where", "n < 10"]);
    let refused = |args: &[&str], code: u8, part: &str| {
        let finished = cluster.run(&[&["add"], args].concat());
        assert!(finished.code == i32::from(code) && finished.stderr.contains(part), "{args:?}: {finished:?}");
    };
    refused(&["found", "--params", "m=1"], 2, "`n`");
    refused(&["found", "--params", "n=11"], 2, "n < 10");
    refused(&["found", "--params", "n"], 2, "name=value");
    refused(&["found", "--params", "n=1,n=2"], 2, "twice");
    refused(&["found", "--params", "n="], 2, "no value");
    refused(&["nowhere", "--params", "n=1"], 3, "there is no sweep");
    assert_eq!(cluster.json(&["show", &sweep])["counts"]["queued"], 0);
    let plain = cluster.submit_simulated(&["--name", "plain"]);
    refused(&[&plain, "--params", "n=1"], 1, "it was not submitted open");
    cluster.ok(&["cancel", "found"]);
    refused(&["found", "--params", "n=1"], 1, "it was cancelled");
    let both = cluster.run(&["submit", "--open", "--image", "x:1", "--sample", "3", "--", "x"]);
    assert_eq!(both.code, 2, "{both:?}");
}

#[test]
fn programs_add_jobs_over_http() {
    let cluster = cluster();
    let manifest =
        json!({"name": "found", "image": "x:1", "command": ["x", "{{ n }}"], "matrix": {"n": [1, 2]}});
    let submitted = post(&cluster, "/api/sweeps?open=true", &manifest).json();
    assert_eq!(submitted["jobs"], 2, "{submitted}");
    let add = |key: &str, body: &str| {
        let key = format!("Idempotency-Key: {key}");
        curl(
            &cluster,
            "/api/sweeps/found/jobs",
            &["-H", "Content-Type: application/json", "-H", &key, "-d", body],
        )
    };
    let first = add("a", r#"{"params": [{"n": 1.50}, {"n": "x"}]}"#).json();
    assert_eq!(first, json!({"first_job": 2, "jobs": 2, "existed": false}));
    assert_eq!(add("a", r#"{"params":[{"n":1.50},{"n":"x"}]}"#).json()["existed"], true);
    assert_eq!(add("b", r#"{"params": []}"#).refused().0, 400);
    assert_eq!(add("c", r#"{"params": [{"n": [1]}]}"#).refused().0, 400);
    assert_eq!(post(&cluster, "/api/sweeps/found/close", &json!({})).json()["changed"], true);
    assert_eq!(post(&cluster, "/api/sweeps/found/close", &json!({})).json()["changed"], false);
    let (status, code, message) = add("d", r#"{"params": [{"n": 9}]}"#).refused();
    assert_eq!((status, code.as_str()), (409, "failed_precondition"), "{message}");
    assert!(message.contains("it was closed"), "{message}");
    cluster.wait_ended("found");
    let jobs = cluster.json(&["jobs", "found"]);
    let all: Vec<_> = jobs.as_array().unwrap().iter().map(|job| job["params"]["n"].to_string()).collect();
    assert_eq!(all, ["1", "2", "1.50", "\"x\""]);
}
