//! Results: whole or not at all, and the same bytes wherever they are read.

use std::process::Command;

use bt_tests::Cluster;
use serde_json::Value;

#[test]
fn outputs_are_published_with_their_hashes() {
    let cluster = Cluster::start();
    let script = "mkdir -p /results/a/b; head -c 3000000 /dev/urandom > /results/a/b/big.bin; : > /results/empty; ln -s /etc/passwd /results/link";
    let sweep = cluster.submit(&[], script);
    cluster.wait_ended(&sweep);
    let listed = cluster.json(&["results", "ls", &sweep]);
    let paths: Vec<_> =
        listed.as_array().unwrap().iter().map(|file| file["path"].as_str().unwrap()).collect();
    assert_eq!(paths, ["a/b/big.bin", "empty"], "a link is no output");
    assert_eq!(listed[0]["size"], 3_000_000);

    cluster.ok(&["results", "get", &sweep, "-d", "got"]);
    let got = cluster.dir().join("got/0/a/b/big.bin");
    let sum = Command::new("sha256sum").arg(&got).output().unwrap();
    let sum = String::from_utf8_lossy(&sum.stdout).into_owned();
    assert_eq!(sum.split(' ').next().unwrap(), listed[0]["sha256"].as_str().unwrap());

    // A reader without Postgres finds the same.
    let job = cluster.store().join(format!("btctl-test-{}", &sweep[..8])).join("0");
    let document: Value = serde_json::from_slice(&std::fs::read(job.join("result.json")).unwrap()).unwrap();
    assert_eq!(document["files"][0]["sha256"], listed[0]["sha256"]);
    assert_eq!(document["attempt"], 1);
    let stored = job.join("1/a/b/big.bin");
    assert_eq!(std::fs::read(stored).unwrap(), std::fs::read(&got).unwrap());
}

#[test]
fn a_damaged_file_is_not_delivered() {
    let cluster = Cluster::start();
    let sweep = cluster.submit(&[], "echo good > /results/x");
    cluster.wait_ended(&sweep);
    let stored = cluster.store().join(format!("btctl-test-{}/0/1/x", &sweep[..8]));
    std::fs::write(&stored, "evil\n").unwrap();
    let got = cluster.run(&["results", "get", &sweep, "-d", "got"]);
    assert_eq!(got.code, 1, "{got:?}");
    assert!(got.stderr.contains('x'), "{got:?}");
    assert!(!cluster.dir().join("got/0/x").exists());
}

#[test]
fn a_failed_job_publishes_nothing() {
    let cluster = Cluster::start();
    let sweep = cluster.submit(&[], "echo half > /results/x; exit 1");
    cluster.wait_ended(&sweep);
    assert_eq!(cluster.json(&["results", "ls", &sweep]), serde_json::json!([]));
    let job = cluster.store().join(format!("btctl-test-{}/0", &sweep[..8]));
    assert!(!job.join("result.json").exists());
}

#[test]
fn metrics_rank_the_jobs() {
    let cluster = Cluster::start();
    let script =
        r#"printf '{"sharpe": %s, "nested": {"dd": -0.5}, "nan": NaN}' {{ n }} > /results/metrics.json"#;
    let sweep = cluster.submit(&["--matrix", "n=0.5,2.25,-1"], script);
    cluster.wait_ended(&sweep);
    let top = cluster.json(&["top", &sweep, "--by", "sharpe"]);
    let order: Vec<_> = top.as_array().unwrap().iter().map(|job| job["job"].as_u64().unwrap()).collect();
    assert_eq!(order, [1, 0, 2]);
    assert_eq!(top[0]["metrics"]["sharpe"], 2.25);
    assert_eq!(top[0]["metrics"]["nested.dd"], -0.5);
    let csv = cluster.ok(&["jobs", &sweep, "-o", "csv"]);
    let header = csv.lines().next().unwrap();
    assert!(header.contains("n") && header.contains("sharpe") && header.contains("nested.dd"), "{header}");
    let unknown = cluster.run(&["top", &sweep, "--by", "sharp"]);
    assert_eq!(unknown.code, 2);
    assert!(unknown.stderr.contains("sharpe"), "{unknown:?}");
}

#[test]
fn metrics_that_are_none_fail_the_job() {
    let cluster = Cluster::start();
    let sweep = cluster.submit(&[], "echo 'not json' > /results/metrics.json");
    cluster.wait_ended(&sweep);
    let jobs = cluster.json(&["jobs", &sweep]);
    assert!(jobs[0]["reason"].as_str().unwrap().starts_with("outputs("), "{jobs}");
}

#[test]
fn a_name_that_cannot_be_kept_fails_the_job() {
    let cluster = Cluster::start();
    let sweep = cluster.submit(&[], "touch \"/results/$(printf 'a\\nb')\"");
    cluster.wait_ended(&sweep);
    let jobs = cluster.json(&["jobs", &sweep]);
    assert!(jobs[0]["reason"].as_str().unwrap().starts_with("outputs("), "{jobs}");
}

#[test]
fn a_full_store_holds_up_what_is_to_be_put_there_and_nothing_else() {
    let cluster = Cluster::start();
    // A file stands where the sweep's directory belongs, as if there were no room for one.
    let sweep = cluster.submit_waiting(&[], "echo small > /results/x");
    let blocked = cluster.store().join(format!("btctl-test-{}", &sweep[..8]));
    std::fs::write(&blocked, "").unwrap();
    cluster.open_gate();
    bt_tests::wait_until("it says what it waits for", || {
        cluster.ok(&["show", &sweep]).contains("publishing: ").then_some(())
    });
    let other = cluster.submit(&["--name", "other"], "echo small > /results/x");
    cluster.wait_count(&other, "succeeded", 1);
    assert_eq!(cluster.count(&sweep, "running"), 1);
    std::fs::remove_file(&blocked).unwrap();
    cluster.wait_count(&sweep, "succeeded", 1);
    assert_eq!(
        cluster.database.query("select sum(attempts), sum(losses), sum(failures) from jobs"),
        ["2|0|0"]
    );
    cluster.ok(&["results", "get", &sweep, "-d", "got"]);
}
