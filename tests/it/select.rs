//! Walk-forward in two phases: which job tests a window, when, and with which parameters.

use bt_tests::{Cluster, Options, wait_until};
use serde_json::Value;

/// Two windows of three jobs, and the tests 6 and 7.
const MANIFEST: &str = r#"
name: walk
image: btctl-test:1
command: [sh, -c, "SCRIPT"]
matrix: { a: [1, 2, 3] }
windows: { train: 1y, test: 1y, from: 2005-01-01, to: 2008-01-01 }
select: { maximize: sharpe }
volumes: ["gate:/gate:ro"]
resources: { cpus: 0.25, memory: 64MiB }
"#;

/// A sweep, of whose jobs nothing runs: what they would do is written into the queue.
struct Sweep {
    cluster: Cluster,
    id: String,
}

impl Sweep {
    fn new(manifest: &str) -> Self {
        let cluster = Cluster::without_agent(Options::default());
        let id = submit(&cluster, manifest);
        Self { cluster, id }
    }

    /// A job succeeds with these metrics.
    fn reports(&self, job: u32, metrics: &str) {
        self.ends(job, "succeeded", &format!("metrics = '{metrics}'"));
    }

    fn fails(&self, job: u32) {
        self.ends(job, "failed", "reason = 'exit', reason_code = 1");
    }

    fn ends(&self, job: u32, state: &str, also: &str) {
        let sql = format!(
            "update jobs set state = '{state}', finished_at = now(), {also}
             where sweep_id = '{}' and number = {job} and state = 'queued' returning number",
            self.id
        );
        assert_eq!(self.cluster.database.query(&sql), [job.to_string()]);
    }

    fn job(&self, job: u32) -> Value {
        self.cluster.json(&["jobs", &self.id])[job as usize].clone()
    }

    /// Waits until a test has its parameters, and returns its `a`.
    fn tested(&self, test: u32) -> i64 {
        wait_until(&format!("test {test} has its parameters"), || self.job(test)["params"]["a"].as_i64())
    }

    fn waits(&self, test: u32) -> bool {
        let job = self.job(test);
        job["state"] == "queued" && job["waits_for"].is_u64() && job["params"].get("a").is_none()
    }

    fn explained(&self, job: u32) -> String {
        self.cluster.json(&["explain", &format!("{}/{job}", self.id)])["reasons"].to_string()
    }
}

fn submit(cluster: &Cluster, manifest: &str) -> String {
    std::fs::write(cluster.dir().join("sweep.yaml"), manifest).unwrap();
    cluster.json(&["submit", "-f", "sweep.yaml"])["id"].as_str().unwrap().to_owned()
}

#[test]
fn the_best_of_each_window_is_tested_once() {
    let cluster = Cluster::start();
    // The best of window 0 is 3, of window 1 it is 1.
    let script = "until [ -e /gate/open ]; do sleep 0.1; done; echo $BT_PARAM_PHASE {{ a }} {{ test_start }} > /results/out; \
                  echo '{\\\"sharpe\\\": {{ a if window == 0 else 5 - a }}}' > /results/metrics.json";
    let manifest = MANIFEST.replace("SCRIPT", script);
    let id = submit(&cluster, &manifest);
    let planned = cluster.json(&["submit", "-f", "sweep.yaml", "--dry-run"]);
    assert_eq!(planned.as_array().unwrap().len(), 8);
    assert_eq!((&planned[5]["params"]["phase"], &planned[5]["params"]["a"]), (&"train".into(), &3.into()));
    assert_eq!(
        (&planned[7]["waits_for"], &planned[7]["params"]["test_end"]),
        (&1.into(), &"2008-01-01".into())
    );
    assert!(planned[7]["params"].get("a").is_none());

    let counts = cluster.json(&["show", &id])["counts"].clone();
    assert_eq!(counts["queued"].as_u64().unwrap() + counts["running"].as_u64().unwrap(), 8, "{counts}");
    let waiting = cluster.json(&["explain", &format!("{id}/7")])["reasons"].to_string();
    assert!(
        waiting.contains("waits for the training of window 1") && waiting.contains("0 of the 3 jobs 3 to 5"),
        "{waiting}"
    );
    let table = cluster.ok(&["jobs", &id]);
    assert!(table.contains("waits for the training of window 0"), "{table}");

    cluster.open_gate();
    cluster.wait_ended(&id);
    let jobs = cluster.json(&["jobs", &id]);
    let jobs = jobs.as_array().unwrap();
    assert!(jobs.iter().all(|job| job["state"] == "succeeded" && job["attempts"] == 1), "{jobs:?}");
    let tests: Vec<_> = jobs[6..]
        .iter()
        .map(|job| {
            (job["params"]["window"].as_i64(), job["params"]["phase"].as_str(), job["params"]["a"].as_i64())
        })
        .collect();
    assert_eq!(tests, [(Some(0), Some("test"), Some(3)), (Some(1), Some("test"), Some(1))]);
    cluster.ok(&["results", "get", &id, "-d", "out"]);
    assert_eq!(std::fs::read_to_string(cluster.dir().join("out/7/out")).unwrap(), "test 1 2007-01-01\n");
    let told = cluster.json(&["explain", &format!("{id}/7")])["reasons"].to_string();
    assert!(told.contains("parameters of job 3, the best of window 1: 3 of its 3"), "{told}");

    // The same again takes the results of the tests, as soon as they have their parameters. While the training ran, the gate's
    // directory held something else.
    let again = cluster.json(&["submit", "-f", "sweep.yaml", "--reuse", "--wait"]);
    let again = cluster.json(&["jobs", again["id"].as_str().unwrap()]);
    let again = again.as_array().unwrap();
    for test in [6, 7] {
        assert_eq!(
            (&again[test]["attempts"], &again[test]["reused_from"]["job"]),
            (&0.into(), &test.into()),
            "{again:?}"
        );
        assert_eq!(again[test]["params"], jobs[test]["params"]);
    }
}

#[test]
fn of_equals_the_lowest_number_is_tested_and_what_is_not_reported_does_not_count() {
    let sweep = Sweep::new(MANIFEST);
    sweep.reports(0, r#"{"other": 9}"#);
    sweep.reports(1, r#"{"sharpe": -0.5}"#);
    assert!(sweep.waits(6));
    sweep.reports(2, r#"{"sharpe": -0.50}"#);
    assert_eq!(sweep.tested(6), 2);
    assert!(sweep.waits(7));
    assert!(
        sweep.explained(6).contains("parameters of job 1, the best of window 0: 2 of its 3"),
        "{}",
        sweep.explained(6)
    );
    assert_eq!(sweep.job(6)["params"]["phase"], "test");
}

#[test]
fn the_lowest_is_tested_where_less_is_better_and_rows_are_as_good_as_a_matrix() {
    let manifest = MANIFEST.replace("maximize: sharpe", "minimize: dd").replace(
        "matrix: { a: [1, 2, 3] }",
        "params: [{ a: 1, s: \"x\" }, { a: 2, s: \"y\" }, { a: 3, s: \"z\" }]",
    );
    let sweep = Sweep::new(&manifest);
    for (job, value) in [(3, 7), (4, 2), (5, 4)] {
        sweep.reports(job, &format!(r#"{{"dd": {value}}}"#));
    }
    assert_eq!(sweep.tested(7), 2);
    let params = sweep.job(7)["params"].clone();
    assert_eq!((&params["phase"], &params["s"], &params["window"]), (&"test".into(), &"y".into(), &1.into()));
    assert!(sweep.waits(6));
}

#[test]
fn a_window_without_anything_to_choose_fails_and_can_be_tried_again() {
    let sweep = Sweep::new(MANIFEST);
    for job in 0..6 {
        match job {
            0..3 => sweep.fails(job),
            _ => sweep.reports(job, r#"{"sharpe": 1}"#),
        }
    }
    wait_until("the test has failed", || (sweep.job(6)["state"] == "failed").then_some(()));
    let reason = sweep.job(6)["reason"].to_string();
    assert!(
        reason.contains("none of its 3 training jobs (0 to 2) has succeeded and reported a finite sharpe"),
        "{reason}"
    );
    assert_eq!(sweep.tested(7), 1);
    sweep.reports(7, "{}");
    wait_until("the sweep has ended", || {
        (sweep.cluster.json(&["show", &sweep.id])["state"] == "failed").then_some(())
    });

    sweep.cluster.ok(&["retry", &sweep.id, "--failed"]);
    assert!(sweep.waits(6), "it waits for its window's training again");
    sweep.fails(0);
    sweep.reports(1, r#"{"sharpe": 2}"#);
    sweep.reports(2, r#"{"sharpe": 1}"#);
    assert_eq!(sweep.tested(6), 2);
}

#[test]
fn a_retry_after_the_test_has_its_parameters_does_not_change_them() {
    let sweep = Sweep::new(MANIFEST);
    sweep.fails(0);
    sweep.reports(1, r#"{"sharpe": 1}"#);
    // Before: the test waits for it.
    sweep.cluster.ok(&["retry", &format!("{}/0", sweep.id)]);
    sweep.fails(0);
    sweep.reports(2, r#"{"sharpe": 2}"#);
    assert_eq!(sweep.tested(6), 3);
    let told = sweep.cluster.run(&["retry", &format!("{}/0", sweep.id)]);
    assert!(told.stderr.contains("tests of windows 0 have their parameters already"), "{told:?}");
    sweep.reports(0, r#"{"sharpe": 9}"#);
    sweep.reports(6, "{}");
    assert_eq!(sweep.tested(6), 3);
    // A test is tried again with what it has.
    let undo = format!(
        "update jobs set state = 'failed', reason = 'oom', metrics = null where sweep_id = '{}' and number = 6 returning 1",
        sweep.id
    );
    sweep.cluster.database.query(&undo);
    sweep.cluster.ok(&["retry", &format!("{}/6", sweep.id)]);
    assert_eq!((sweep.job(6)["state"].as_str(), sweep.tested(6)), (Some("queued"), 3));
}

#[test]
fn a_cancelled_sweep_takes_its_tests_along_and_brings_them_back() {
    let sweep = Sweep::new(MANIFEST);
    sweep.reports(0, r#"{"sharpe": 1}"#);
    sweep.cluster.ok(&["cancel", &sweep.id]);
    wait_until("all are cancelled", || (sweep.cluster.count(&sweep.id, "cancelled") == 7).then_some(()));
    let states = format!("select count(*) from jobs where sweep_id = '{}' and state = 'cancelled'", sweep.id);
    wait_until("the rows are cancelled", || (sweep.cluster.database.query(&states) == ["7"]).then_some(()));
    sweep.cluster.ok(&["retry", &sweep.id]);
    assert!(sweep.waits(6) && sweep.waits(7));
    sweep.reports(1, r#"{"sharpe": 3}"#);
    sweep.cluster.ok(&["cancel", &format!("{}/2", sweep.id)]);
    assert_eq!(sweep.tested(6), 2, "a cancelled job is out of the running");
    sweep.cluster.ok(&["cancel", &format!("{}/7", sweep.id)]);
    assert_eq!(sweep.job(7)["state"], "cancelled");
    let counts = sweep.cluster.database.query("select sum(queued), sum(waiting) from sweep_counts");
    assert_eq!(counts, ["4|0"]);
}

#[test]
fn what_a_dead_coordinator_left_another_does() {
    let mut sweep = Sweep::new(MANIFEST);
    sweep.cluster.ok(&["pause", &sweep.id]);
    sweep.cluster.coordinator().kill();
    for (job, value) in [(0, 1), (1, 3), (2, 2)] {
        sweep.reports(job, &format!(r#"{{"sharpe": {value}}}"#));
    }
    sweep.cluster.add_coordinator();
    sweep.cluster.start_coordinator();
    assert_eq!(sweep.tested(6), 2, "also while the sweep is paused");
    assert!(sweep.waits(7));
    let chosen = sweep
        .cluster
        .database
        .query("select job, chosen_job, chosen_value, reported from window_tests order by 1");
    assert_eq!(chosen, ["6|1|3|3", "7|||"]);
    let counts =
        sweep.cluster.database.query("select sum(queued), sum(waiting), sum(succeeded) from sweep_counts");
    assert_eq!(counts, ["5|1|3"]);
}
