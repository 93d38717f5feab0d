//! What is known of a result later: what its volumes held, what it was given, and what was in its image.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use bt_tests::{Cluster, wait_until};
use serde_json::Value;

/// A cluster whose agent offers a directory with a fingerprint.
fn with_prices() -> (Cluster, PathBuf) {
    let mut cluster = Cluster::without_agent(bt_tests::Options::default());
    let prices = cluster.dir().join("prices");
    fs::create_dir_all(prices.join("2026")).unwrap();
    fs::write(prices.join("2026/spy.csv"), "1.00\n").unwrap();
    let volume = format!("prices={}:ro,fingerprint", prices.display());
    let flags = ["--cpus", "2", "--memory", "2GiB", "--volume", &volume].map(str::to_owned);
    cluster.add_agent_with("agent", &flags);
    (cluster, prices)
}

/// What the volumes held, as the latest attempt of the newest sweep was told.
fn told(cluster: &Cluster) -> String {
    let sql = "select coalesce(a.volume_fingerprints ->> 'prices', 'nothing') from attempts a
               join sweeps s on s.id = a.sweep_id order by s.created_at desc, a.number desc limit 1";
    cluster.database.query(sql).remove(0)
}

fn by_hand(dir: &std::path::Path) -> String {
    let line = "(find . -type f -print0 | LC_ALL=C sort -z | xargs -0r sha256sum -z) | sha256sum";
    let output = Command::new("bash").args(["-c", line]).current_dir(dir).output().unwrap();
    String::from_utf8(output.stdout).unwrap().split(' ').next().unwrap().to_owned()
}

#[test]
fn a_volumes_fingerprint_is_told_and_another_content_of_equal_size_is_another() {
    let (cluster, prices) = with_prices();
    let run = || {
        let sweep = cluster.submit(&["-v", "prices:/data:ro"], "cat /data/2026/spy.csv");
        cluster.wait_count(&sweep, "succeeded", 1);
        told(&cluster)
    };
    let first = run();
    assert_eq!(first, by_hand(&prices));
    let shown = cluster.json(&["agents", "show", "agent"]);
    assert_eq!(shown["volume_fingerprints"]["prices"], Value::from(first.clone()));
    fs::write(prices.join("2026/spy.csv"), "2.00\n").unwrap();
    let second = run();
    // The look before the job may be as old as two seconds; what is never told is what the job did not read.
    assert_ne!(second, first);
    wait_until("the agent tells the new fingerprint", || {
        let shown = cluster.json(&["agents", "show", "agent"]);
        (shown["volume_fingerprints"]["prices"] == Value::from(by_hand(&prices))).then_some(())
    });
    wait_until("a job is told it", || (run() == by_hand(&prices)).then_some(()));
    let sweep = cluster.submit(&[], "true");
    cluster.wait_count(&sweep, "succeeded", 1);
    assert_eq!(told(&cluster), "nothing", "it mounts no volume");
}

#[test]
fn a_volume_that_changes_while_a_job_runs_is_recorded_as_such() {
    let (cluster, prices) = with_prices();
    let script = "touch /results/began; until [ -e /data/go ]; do sleep 0.1; done";
    let sweep = cluster.submit(&["-v", "prices:/data:ro"], script);
    cluster.wait_attempts("running", 1);
    fs::write(prices.join("go"), "").unwrap();
    cluster.wait_count(&sweep, "succeeded", 1);
    assert_eq!(told(&cluster), "changed");
}

#[test]
fn shared_containers_tell_what_each_job_has_read() {
    let (cluster, prices) = with_prices();
    let flags = ["-v", "prices:/data:ro", "--containers", "reuse", "--matrix", "n=1,2,3"];
    let sweep = cluster.submit(&flags, "cat /data/2026/spy.csv > /results/x");
    cluster.wait_count(&sweep, "succeeded", 3);
    let all = cluster.database.query("select distinct volume_fingerprints ->> 'prices' from attempts");
    assert_eq!(all, [by_hand(&prices)]);
}
