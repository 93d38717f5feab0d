//! Walk-forward: what windows make of a sweep.

use bt_tests::{Cluster, Options};

const MANIFEST: &str = r#"
name: walk
image: btctl-test:1
command:
  - sh
  - -c
  - 'echo {{ fast }} {{ train_start }} $BT_PARAM_TRAIN_LAST $BT_PARAM_TEST_START $BT_PARAM_TEST_END $BT_PARAM_WINDOW_PARTIAL
    > /results/out; cp $ALGORITHM_INPUT_PATH /results/input.json'
matrix: { fast: [5, 10] }
windows: { train: 1y, test: 6m, from: 2005-01-01, to: 2006-10-01, purge: 5d, tail: keep }
resources: { cpus: 0.5, memory: 64MiB }
"#;

#[test]
fn jobs_are_given_the_dates_of_their_window() {
    let cluster = Cluster::start();
    std::fs::write(cluster.dir().join("sweep.yaml"), MANIFEST).unwrap();
    let planned = cluster.json(&["submit", "-f", "sweep.yaml", "--dry-run"]);
    let submitted = cluster.json(&["submit", "-f", "sweep.yaml", "--wait"]);
    assert_eq!(submitted["jobs"], 4);
    let jobs = cluster.json(&["jobs", "walk"]);
    for (job, planned) in jobs.as_array().unwrap().iter().zip(planned.as_array().unwrap()) {
        assert_eq!(job["params"], planned["params"]);
        assert_eq!(job["state"], "succeeded", "{job}");
    }
    let params =
        r#"{"window":1,"train_start":"2005-07-01","train_end":"2006-06-26","train_last":"2006-06-25","#
            .to_owned()
            + r#""test_start":"2006-07-01","test_end":"2006-10-01","test_last":"2006-09-30","window_partial":1,"fast":10}"#;
    assert_eq!(jobs[3]["params"].to_string(), params);
    cluster.ok(&["results", "get", "walk", "-d", "out"]);
    let out = std::fs::read_to_string(cluster.dir().join("out/3/out")).unwrap();
    assert_eq!(out, "10 2005-07-01 2006-06-25 2006-07-01 2006-10-01 1\n");
    let input = std::fs::read_to_string(cluster.dir().join("out/3/input.json")).unwrap();
    let input: serde_json::Value = serde_json::from_str(&input).unwrap();
    assert_eq!(input["config"]["parameters"].to_string(), params);
}

#[test]
fn rows_are_multiplied_and_can_be_submitted_again() {
    let cluster = Cluster::without_agent(Options::default());
    let manifest = MANIFEST.replace("matrix: { fast: [5, 10] }", "params_from: rows.csv");
    std::fs::write(cluster.dir().join("rows.csv"), "fast\n5\n10\n20\n").unwrap();
    std::fs::write(cluster.dir().join("sweep.yaml"), manifest).unwrap();
    assert_eq!(cluster.json(&["submit", "-f", "sweep.yaml"])["jobs"], 6);
    let params = || {
        let jobs = cluster.json(&["jobs", "walk"]);
        jobs.as_array().unwrap().iter().map(|job| job["params"].to_string()).collect::<Vec<_>>()
    };
    let first = params();
    assert!(first[5].contains(r#""window":1"#) && first[5].contains(r#""fast":20"#), "{first:?}");
    assert_eq!(cluster.json(&["submit", "--like", "walk"])["jobs"], 6);
    assert_eq!(params(), first);
}

#[test]
fn days_that_no_window_tests_are_named() {
    let cluster = Cluster::without_agent(Options::default());
    let manifest = MANIFEST.replace("test: 6m,", "test: 2m, step: 4m,");
    std::fs::write(cluster.dir().join("sweep.yaml"), manifest).unwrap();
    let told = cluster.run(&["submit", "-f", "sweep.yaml", "--dry-run"]);
    assert_eq!(told.code, 0, "{told:?}");
    assert!(told.stderr.contains("no window tests 2006-03-01 to 2006-04-30"), "{told:?}");
}
