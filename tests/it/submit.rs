//! Submitting: from a manifest or from flags, once, whatever happens on the way.

use bt_tests::{Cluster, Options};

const MANIFEST: &str = r#"
name: grid
image: btctl-test:1
command: [sh, -c, "echo {{ fast }} $BT_PARAM_SLOW $BT_JOB $BT_ATTEMPT $LEVEL > /results/out"]
env: { LEVEL: "{{ fast * 2 }}" }
matrix:
  fast: [5, 10]
  slow: { from: 20, to: 40, step: 10 }
  exclude: [{ fast: 10, slow: 20 }]
resources: { cpus: 0.5, memory: 64MiB }
"#;

#[test]
fn a_manifest_fans_out_runs_and_ends() {
    let cluster = Cluster::start();
    std::fs::write(cluster.dir().join("sweep.yaml"), MANIFEST).unwrap();
    let submitted = cluster.json(&["submit", "-f", "sweep.yaml", "--wait"]);
    assert_eq!(submitted["jobs"], 5);
    assert_eq!(submitted["name"], "grid");
    let jobs = cluster.json(&["jobs", "grid"]);
    let jobs = jobs.as_array().unwrap();
    assert!(jobs.iter().all(|job| job["state"] == "succeeded" && job["attempts"] == 1), "{jobs:?}");
    let parameters: Vec<_> = jobs.iter().map(|job| job["params"].to_string()).collect();
    assert_eq!(
        parameters,
        [
            r#"{"fast":5,"slow":20}"#,
            r#"{"fast":5,"slow":30}"#,
            r#"{"fast":5,"slow":40}"#,
            r#"{"fast":10,"slow":30}"#,
            r#"{"fast":10,"slow":40}"#,
        ]
    );
    cluster.ok(&["results", "get", "grid", "-d", "out"]);
    let out = std::fs::read_to_string(cluster.dir().join("out/3/out")).unwrap();
    assert_eq!(out, "10 30 3 1 20\n");
}

#[test]
fn the_flags_say_the_same_as_the_manifest() {
    let cluster = Cluster::without_agent(Options::default());
    std::fs::write(cluster.dir().join("sweep.yaml"), MANIFEST).unwrap();
    let from_file = cluster.json(&["submit", "-f", "sweep.yaml", "--dry-run"]);
    let script = "echo {{ fast }} $BT_PARAM_SLOW $BT_JOB $BT_ATTEMPT $LEVEL > /results/out";
    let from_flags = cluster.json(&[
        "submit",
        "--image",
        "btctl-test:1",
        "--matrix",
        "fast=5,10",
        "--matrix",
        "slow=20:40:10",
        "--where",
        "not (fast == 10 and slow == 20)",
        "-e",
        "LEVEL={{ fast * 2 }}",
        "--cpus",
        "0.5",
        "-m",
        "64m",
        "--dry-run",
        "--",
        "sh",
        "-c",
        script,
    ]);
    assert_eq!(from_file, from_flags);
    assert_eq!(from_file[0]["params"]["slow"], 20);
    assert_eq!(from_file[0]["command"][0], "sh");
    assert_eq!(from_file[0]["env"]["LEVEL"], "10");
}

#[test]
fn a_submit_that_is_sent_again_changes_nothing() {
    let cluster = Cluster::without_agent(Options::default());
    let key = ["submit", "--idempotency-key", "nightly", "--image", "btctl-test:1", "--", "true"];
    let first = cluster.json(&key);
    assert_eq!(cluster.json(&key)["id"], first["id"]);
    assert_eq!(cluster.database.query("select count(*) from sweeps"), ["1"]);
    let other = ["submit", "--idempotency-key", "nightly", "--image", "btctl-test:1", "--", "false"];
    let refused = cluster.run(&other);
    assert_ne!(refused.code, 0);
    assert!(refused.stderr.contains("nightly"), "{refused:?}");
}

#[test]
fn fifty_at_once_with_one_key_make_one_sweep() {
    let cluster = Cluster::without_agent(Options::default());
    let ids: Vec<_> = std::thread::scope(|scope| {
        let submits: Vec<_> = (0..50)
            .map(|_| {
                scope.spawn(|| {
                    let key = ["submit", "--idempotency-key", "k", "--image", "btctl-test:1", "--", "true"];
                    cluster.json(&key)["id"].clone()
                })
            })
            .collect();
        submits.into_iter().map(|submit| submit.join().unwrap()).collect()
    });
    assert!(ids.iter().all(|id| *id == ids[0]));
    assert_eq!(cluster.database.query("select count(*) from sweeps"), ["1"]);
}

#[test]
fn thousands_of_jobs_are_queued_at_once() {
    let cluster = Cluster::without_agent(Options::default());
    let submitted = cluster.json(&[
        "submit",
        "--image",
        "btctl-test:1",
        "--matrix",
        "a=1:100",
        "--matrix",
        "b=1:80",
        "--",
        "true",
        "{{ a }}",
    ]);
    assert_eq!(submitted["jobs"], 8000);
    let id = submitted["id"].as_str().unwrap();
    assert_eq!(cluster.count(id, "queued"), 8000);
    assert_eq!(cluster.database.query("select count(*), max(number) from jobs"), ["8000|7999"]);
    let csv = cluster.ok(&["jobs", id, "-o", "csv"]);
    assert_eq!(csv.lines().count(), 8001);
}

#[test]
fn rows_of_a_csv_file_are_jobs() {
    let cluster = Cluster::without_agent(Options::default());
    std::fs::write(cluster.dir().join("p.csv"), "symbol,fast\nGOOG,5\n\"A,B\",10\n").unwrap();
    let submitted = cluster.json(&[
        "submit",
        "--image",
        "btctl-test:1",
        "--params-from",
        "p.csv",
        "--",
        "echo",
        "{{ symbol }}",
        "{{ fast }}",
    ]);
    assert_eq!(submitted["jobs"], 2);
    let jobs = cluster.json(&["jobs", submitted["id"].as_str().unwrap()]);
    assert_eq!(jobs[1]["params"]["symbol"], "A,B");
    assert_eq!(jobs[1]["params"]["fast"], 10);
}

#[test]
fn the_algorithm_manifest_runs_as_it_is() {
    let cluster = Cluster::start();
    let manifest = r#"{
        "container_parameters": {
            "image": "btctl-test:1",
            "command": ["sh", "-c", "cat $ALGORITHM_INPUT_PATH > /results/algo_output.json"],
            "resource_request": { "gpu": 0, "memory_gb": 0.5, "cpu_millicore": 200 }
        }
    }"#;
    std::fs::write(cluster.dir().join("manifest.json"), manifest).unwrap();
    let submitted = cluster.json(&["submit", "-f", "manifest.json", "--wait"]);
    let id = submitted["id"].as_str().unwrap();
    cluster.ok(&["results", "get", id, "-d", "out"]);
    let input = std::fs::read(cluster.dir().join("out/0/algo_output.json")).unwrap();
    let input: serde_json::Value = serde_json::from_slice(&input).unwrap();
    assert_eq!(input["output_path"], "/results");
    assert_eq!(input["config"]["parameters"], serde_json::json!({}));
    assert!(input["version"].is_string() && input["input_data_path"].is_string());
    assert_eq!(input["input_data"], serde_json::json!([]));
    let sizes = cluster.database.query("select cpu_millis, memory_bytes from sweeps");
    assert_eq!(sizes, [format!("200|{}", 512 << 20)]);
}

#[test]
fn wait_ends_with_what_the_sweep_came_to() {
    let cluster = Cluster::start();
    let failed = cluster.run(&[
        "submit",
        "--image",
        "btctl-test:1",
        "--matrix",
        "n=0,1,2",
        "--cpus",
        "0.5",
        "-m",
        "64m",
        "--wait",
        "--",
        "sh",
        "-c",
        "exit {{ n }}",
    ]);
    assert_eq!(failed.code, 1, "{failed:?}");
    assert!(failed.stderr.contains("exit(1)") && failed.stderr.contains("exit(2)"), "{failed:?}");
    let good = cluster.run(&["submit", "--image", "btctl-test:1", "-m", "64m", "--wait", "--", "true"]);
    assert_eq!(good.code, 0, "{good:?}");
}

#[test]
fn an_earlier_sweep_is_queued_again_with_the_image_that_it_ran() {
    let cluster = Cluster::start();
    std::fs::write(cluster.dir().join("rows.csv"), "n,name\n1,a\n2,b\n3,c\n").unwrap();
    let first = cluster.submit(&["--params-from", "rows.csv", "--where", "n != 2"], "echo $BT_PARAM_NAME");
    cluster.wait_ended(&first);
    let again = cluster.json(&["submit", "--like", &first])["id"].as_str().unwrap().to_owned();
    cluster.wait_count(&again, "succeeded", 2);
    let pins = cluster.database.query("select distinct image_pin from sweeps");
    assert_eq!(pins.len(), 1, "{pins:?}");
    let shown = cluster.json(&["show", &again]);
    assert_eq!(
        (shown["image"].as_str(), shown["image_pin"].as_str()),
        (Some("btctl-test:1"), Some(&*pins[0]))
    );
    let parameters = |sweep: &str| {
        let jobs = cluster.json(&["jobs", sweep]);
        jobs.as_array().unwrap().iter().map(|job| job["params"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(parameters(&first), parameters(&again));
    let refused = cluster.run(&["submit", "--like", &first, "--cpus", "2"]);
    assert!(refused.code == 2 && refused.stderr.contains("as it was"), "{refused:?}");
}
