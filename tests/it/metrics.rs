//! What jobs report: what counts, what is said when it can't be read, and how it is searched.

use bt_tests::{Cluster, Options};
use serde_json::{Value, json};

fn reasons(cluster: &Cluster, sweep: &str) -> Vec<String> {
    let jobs = cluster.json(&["jobs", sweep]);
    jobs.as_array().unwrap().iter().map(|job| job["reason"].as_str().unwrap_or("").to_owned()).collect()
}

fn numbers(jobs: &Value) -> Vec<u64> {
    jobs.as_array().unwrap().iter().map(|job| job["job"].as_u64().unwrap()).collect()
}

#[test]
fn metrics_that_are_none_fail_the_job_and_say_where() {
    let cluster = Cluster::start();
    let script = r#"cd /results; case {{ case }} in
        json) echo '{"a": 1' > metrics.json;;
        text) printf '{\n "a": {"b": "high"}}' > metrics.json;;
        huge) truncate -s 1G metrics.json;;
        many) awk 'BEGIN { printf "{\"m\":1"; for (i = 0; i < 1000000; i++) printf ",\"m%d\":1", i; print "}" }' > metrics.json;;
        deep) awk 'BEGIN { for (i = 0; i < 100000; i++) printf "{\"a\":" }' > metrics.json;;
        twice) echo '{"a.b": 1, "a": {"b": 2}}' > metrics.json;;
        series) echo '{"series": {"x": "none"}}' > metrics.json;;
        dir) mkdir metrics.json;;
    esac"#;
    let cases = ["json", "text", "huge", "many", "deep", "twice", "series", "dir"];
    let matrix = format!("case={}", cases.join(","));
    let sweep = cluster.submit(&["--matrix", &matrix, "--disk", "2g"], script);
    cluster.wait_ended(&sweep);
    let expected = [
        "not JSON: EOF",
        "the metric `a.b` is a text; a metric is a number at line 2 column",
        "larger than 16777216 bytes",
        "more than 10000 names",
        "more than 32 deep",
        "`a.b` is given twice",
        "a list of numbers, or of [time, number], as `series.x`",
        "metrics.json",
    ];
    for ((reason, expected), case) in reasons(&cluster, &sweep).iter().zip(expected).zip(cases) {
        assert!(reason.starts_with("outputs(") && reason.contains(expected), "{case}: {reason}");
    }
}

#[test]
fn what_counts_as_not_reported_is_told_in_the_log() {
    let cluster = Cluster::start();
    let script = r#"echo hello; printf '{"sharpe": NaN, "dd": {"max": -Infinity}, "n": 1, "series": {"e": [["2026-01-02", NaN]]}}' > /results/metrics.json"#;
    let sweep = cluster.submit(&[], script);
    cluster.wait_ended(&sweep);
    let jobs = cluster.json(&["jobs", &sweep]);
    assert_eq!(jobs[0]["state"], "succeeded", "{jobs}");
    assert_eq!(jobs[0]["metrics"], json!({"n": 1}));
    let log = cluster.ok(&["logs", &format!("{sweep}/0")]);
    assert!(log.contains("hello"), "{log}");
    let finished = cluster.run(&["logs", &format!("{sweep}/0")]);
    let told = format!("{}{}", finished.stdout, finished.stderr);
    assert!(
        told.contains("btctl: metrics.json: NaN, infinite or null, and so not reported: sharpe, dd.max"),
        "{told}"
    );
}

#[test]
fn a_job_without_a_required_metric_has_failed() {
    let cluster = Cluster::start();
    let manifest = cluster.dir().join("sweep.yaml");
    let text = r#"
image: btctl-test:1
resources: { cpus: 0.25, memory: 64MiB }
matrix: { case: [good, other, nan, none] }
metrics: { path: stats/m.json, require: [sharpe, dd.max] }
command: [sh, -c, "mkdir /results/stats; cd /results/stats; case {{ case }} in
  good) echo '{\"sharpe\": 1, \"dd\": {\"max\": 2}}' > m.json;;
  other) echo '{\"cagr\": 1}' > m.json;;
  nan) echo '{\"sharpe\": NaN, \"dd.max\": 2}' > m.json;; esac"]
"#;
    std::fs::write(&manifest, text).unwrap();
    let submitted = cluster.json(&["submit", "-f", "sweep.yaml"]);
    let sweep = submitted["id"].as_str().unwrap();
    cluster.wait_ended(sweep);
    let expected = [
        "",
        "outputs(stats/m.json: sharpe, dd.max are missing, which the manifest requires; it holds cagr)",
        "outputs(stats/m.json: sharpe is NaN, infinite or null, which the manifest requires; it holds dd.max)",
        "outputs(stats/m.json is missing; the manifest requires sharpe, dd.max in it)",
    ];
    assert_eq!(reasons(&cluster, sweep), expected);
    // The same by a flag.
    let flag = cluster.submit(&["--require-metric", "sharpe"], "true");
    cluster.wait_ended(&flag);
    assert_eq!(
        reasons(&cluster, &flag),
        ["outputs(metrics.json is missing; the manifest requires sharpe in it)"]
    );
}

/// A sweep of simulated jobs with these metrics.
fn reported(cluster: &Cluster, flags: &[&str], metrics: &str) -> String {
    let sweep = cluster.submit_simulated(flags);
    cluster.wait_ended(&sweep);
    cluster.database.query(&format!("update jobs set metrics = {metrics} where sweep_id = '{sweep}'"));
    sweep
}

#[test]
fn jobs_are_ranked_among_those_that_are_wanted() {
    let cluster = Cluster::with(Options::simulated(&["--cpus", "16"]));
    let metrics = r#"case when number = 3 then '{"trades": 9}'::jsonb else
        jsonb_build_object('sharpe', number % 7, 'trades', number, 'dd.max', -number, 'Net Profit', number * 10) end"#;
    let sweep =
        reported(&cluster, &["--cpus", "1", "--matrix", "fast=0:19:1", "--matrix", "trades=1"], metrics);
    let top = |more: &[&str]| numbers(&cluster.json(&[&["top", &sweep, "--by", "sharpe"], more].concat()));
    assert_eq!(top(&["-n", "3"]), [6, 13, 5], "ties go by number");
    assert_eq!(top(&["--asc", "-n", "3"]), [0, 7, 14]);
    assert_eq!(top(&["--where", "metrics.trades > 10 and fast < 15", "-n", "3"]), [13, 12, 11]);
    assert_eq!(top(&["--where", "dd.max > -4", "-n", "9"]), [2, 1, 0], "3 has no dd.max");
    assert_eq!(top(&["--where", "metrics['Net Profit'] in [30, 40]"]), [4]);
    assert_eq!(top(&["--where", "metrics.trades > 100"]), Vec::<u64>::new());
    let jobs = cluster.json(&["jobs", &sweep, "--where", "fast < 5 and params.trades == 1"]);
    assert_eq!(numbers(&jobs), [0, 1, 2, 3, 4]);
    for (flags, part) in [
        (vec!["--where", "trades > 3"], "`trades` is a metric and a parameter"),
        (vec!["--where", "metrics.trade > 3"], "did you mean `trades`?"),
        (vec!["--where", "fats > 3"], "which no job has; did you mean `fast`?"),
        (vec!["--where", "fast >"], "is not an expression"),
        (vec!["--where", "fast + 1"], "it must be true or false"),
    ] {
        let run = cluster.run(&[&["top", &sweep, "--by", "sharpe"], &flags[..]].concat());
        assert_eq!(run.code, 2, "{run:?}");
        assert!(run.stderr.contains(part), "{run:?}");
    }
    let unknown = cluster.run(&["top", &sweep, "--by", "sharp", "--where", "fast > 3"]);
    assert_eq!(unknown.code, 2);
    assert!(unknown.stderr.contains("reported are: Net Profit, dd.max, sharpe, trades"), "{unknown:?}");
}

#[test]
fn goals_decide_which_way_a_metric_is_better() {
    let cluster = Cluster::start();
    let script = r#"echo "{\"dd_days\": {{ n }}, \"sharpe\": {{ n }}}" > /results/metrics.json"#;
    let goals = ["--goal", "dd_days=minimize", "--goal", "sharpe=maximize"];
    let submit = |axis: &'static str, goals: &[&'static str]| {
        let sweep = cluster.submit(&[&["--matrix", axis], goals].concat(), script);
        cluster.wait_ended(&sweep);
        sweep
    };
    let first = submit("n=3,1,2", &goals);
    let top = |more: &[&str]| numbers(&cluster.json(&[&["top", &first, "--by"], more].concat()));
    assert_eq!(top(&["dd_days"]), [1, 2, 0]);
    assert_eq!(top(&["dd_days", "--where", "n < 3"]), [1, 2]);
    assert_eq!(top(&["dd_days", "--descending"]), [0, 2, 1]);
    assert_eq!(top(&["sharpe"]), [0, 2, 1]);
    assert_eq!(top(&["sharpe", "--ascending"]), [1, 2, 0]);

    let second = submit("n=3,1,2", &["--name", "second", "--goal", "dd_days=minimize"]);
    let compared = cluster.json(&["compare", &first, &second]);
    let goal = |metric: &str| {
        let all = compared["metrics"].as_array().unwrap();
        all.iter().find(|summary| summary["metric"] == metric).unwrap().clone()
    };
    assert_eq!((&goal("dd_days")["goal"], &goal("dd_days")["best"]["a"]), (&json!("minimize"), &json!(1.0)));
    assert_eq!((&goal("sharpe")["goal"], &goal("sharpe")["best"]["a"]), (&json!("maximize"), &json!(3.0)));

    let third = submit("n=3", &["--name", "third", "--goal", "dd_days=maximize"]);
    let refused = cluster.run(&["compare", &first, &third]);
    assert_eq!(refused.code, 2, "{refused:?}");
    assert!(refused.stderr.contains("contradict"), "{refused:?}");
    cluster.ok(&["compare", &first, &third, "--ascending"]);
}
