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

/// What the volumes held by the record of the newest sweep's latest attempt.
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
    // The look before the job may be as old as two seconds; what is never recorded is content that the job did not read.
    assert_ne!(second, first);
    wait_until("the agent tells the new fingerprint", || {
        let shown = cluster.json(&["agents", "show", "agent"]);
        (shown["volume_fingerprints"]["prices"] == by_hand(&prices)).then_some(())
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

/// The record of a job's result as a reader of the store finds it.
fn in_store(cluster: &Cluster, sweep: &str, name: &str) -> Value {
    let path = cluster.store().join(format!("{name}-{}/0/result.json", &sweep[..8]));
    wait_until("result.json is written", || serde_json::from_slice(&fs::read(&path).ok()?).ok())
}

#[test]
fn a_result_says_how_it_came_about() {
    let (cluster, prices) = with_prices();
    let flags = [
        "-v",
        "prices:/data:ro",
        "-e",
        "LEVEL=info",
        "-e",
        "API_KEY=hush-hush",
        "--matrix",
        "seed=42",
        "--timezone",
        "Asia/Kolkata",
        "--shm-size",
        "8m",
    ];
    let sweep = cluster.submit(&flags, "echo {{ seed }} > /results/x");
    cluster.wait_count(&sweep, "succeeded", 1);
    let shown = cluster.json(&["results", "show", &format!("{sweep}/0")]);
    let stored = in_store(&cluster, &sweep, "btctl-test");
    for record in [&shown, &stored] {
        assert_eq!(record["image"], "btctl-test:1");
        for id in ["image_pin", "image_id"] {
            assert!(record[id].as_str().unwrap().starts_with("sha256:"), "{record}");
        }
        assert_eq!(record["command"], serde_json::json!(["sh", "-c", "echo 42 > /results/x"]));
        assert_eq!(record["entrypoint"], Value::Null);
        assert_eq!(record["env"]["LEVEL"], "info");
        assert_eq!(record["env"]["API_KEY"], "***");
        assert_eq!(record["env"]["BT_PARAM_SEED"], "42");
        assert_eq!((&record["seed"], &record["sample_seed"]), (&Value::from(42), &Value::Null));
        let volume = serde_json::json!({
            "volume": "prices", "target": "/data", "read_only": true, "fingerprint": by_hand(&prices), "changed": false
        });
        assert_eq!(record["volumes"], serde_json::json!([volume]));
        let given = &record["given"];
        assert_eq!((&given["threads"], &given["cpus"]), (&Value::from(1), &Value::from(0.25)));
        assert_eq!(
            (&given["memory_bytes"], &given["shm_bytes"]),
            (&Value::from(64 << 20), &Value::from(8 << 20))
        );
        assert_eq!(given["timezone"], "Asia/Kolkata");
        assert_eq!(record["machine"]["name"], "agent");
        assert_eq!(record["machine"]["os"], "linux");
        assert!(record["versions"]["engine"].as_str().unwrap().contains('.'), "{record}");
        assert_eq!(record["versions"]["agent"], record["versions"]["coordinator"]);
    }
    let text = cluster.ok(&["results", "show", &sweep]);
    assert!(text.contains("fingerprint ") && text.contains("Asia/Kolkata"), "{text}");
    let everywhere = [
        text,
        stored.to_string(),
        shown.to_string(),
        cluster.ok(&["show", &sweep]),
        cluster.json(&["show", &sweep]).to_string(),
        cluster.json(&["show", &format!("{sweep}/0")]).to_string(),
        cluster.json(&["jobs", &sweep]).to_string(),
        cluster.ok(&["jobs", &sweep, "-o", "csv"]),
    ];
    for place in everywhere {
        assert!(!place.contains("hush-hush"), "{place}");
    }
    // What is run again gets it all the same.
    let flags = ["submit", "--like", &sweep, "--dry-run"];
    assert_eq!(cluster.json(&flags)[0]["env"]["API_KEY"], "hush-hush");
}

#[test]
fn a_job_without_a_result_has_no_record() {
    let cluster = Cluster::start();
    let sweep = cluster.submit(&["--name", "failing"], "exit 1");
    cluster.wait_ended(&sweep);
    let shown = cluster.run(&["results", "show", "failing/0"]);
    assert_eq!(shown.code, 3, "{shown:?}");
    assert!(shown.stderr.contains("job 0 of sweep failing has no published result"), "{shown:?}");
    assert_eq!(cluster.run(&["results", "show", "failing/7"]).code, 3);
}

#[test]
fn the_versions_of_python_and_pandas_are_known() {
    let cluster = Cluster::start();
    let args = ["submit", "--image", "sma-cross:1", "--name", "py", "--entrypoint", "true", "-m", "256m"];
    let sweep = cluster.json(&args)["id"].as_str().unwrap().to_owned();
    cluster.wait_count(&sweep, "succeeded", 1);
    // Written before anybody had looked into the image, and once more after that.
    let record = wait_until("the versions are in the store", || {
        let record = in_store(&cluster, &sweep, "py");
        (!record["software"].is_null()).then_some(record)
    });
    let version = |program: &str| {
        let args =
            ["run", "--rm", "--network", "none", "--entrypoint", "python", "sma-cross:1", "-c", program];
        let output = Command::new("docker").args(args).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    let software = &record["software"];
    assert_eq!(software["python"], version("import platform; print(platform.python_version())"));
    for package in ["numpy", "pandas"] {
        let told = version(&format!("import {package}; print({package}.__version__)"));
        assert_eq!(software["packages"][package], told, "{software}");
    }
    assert_eq!(cluster.json(&["results", "show", &sweep])["software"], *software);
    assert_eq!(cluster.json(&["image", "inspect", "sma-cross:1"])["software"], *software);
    let guests = "select count(*) from attempts";
    assert_eq!(cluster.database.query(guests), ["1"], "the look is no attempt");
}

#[test]
fn an_image_without_python_has_no_versions_and_is_not_asked_again() {
    let cluster = Cluster::start();
    let sweep = cluster.submit(&[], "true");
    cluster.wait_count(&sweep, "succeeded", 1);
    wait_until("it is known that there is none", || {
        let told = cluster.database.query("select description ->> 'python' is null from image_descriptions");
        (told == ["t"]).then_some(())
    });
    assert_eq!(cluster.json(&["results", "show", &sweep])["software"]["packages"], serde_json::json!({}));
}
