//! Jobs that are given up for what they report while they run: by `stop_when` of their manifest, and over HTTP.

use bt_tests::http::{get, post};
use bt_tests::{Cluster, Options, wait_until};
use serde_json::{Value, json};

/// Says in the progress file that the drawdown is `$1`.
const SAY: &str = r#"say() { echo "{\"metrics\": {\"drawdown\": $1, \"sharpe\": 9}}" > /results/.next; mv /results/.next /results/progress; }"#;
/// The drawdown of a job with a negative `n` grows to that, and it never ends by itself.
const FALLS: &str = r#"say -0.1; [ $BT_PARAM_N -gt 0 ] || { say $BT_PARAM_N; sleep 1000; }
    echo "{\"drawdown\": -0.1, \"sharpe\": $BT_PARAM_N}" > /results/metrics.json"#;

fn jobs(cluster: &Cluster, sweep: &str) -> Vec<Value> {
    cluster.json(&["jobs", sweep]).as_array().unwrap().clone()
}

fn states(cluster: &Cluster, sweep: &str) -> Vec<String> {
    jobs(cluster, sweep).iter().map(|job| job["state"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn jobs_that_fall_too_deep_are_pruned_and_the_others_succeed() {
    let cluster = Cluster::start();
    let script = format!("{SAY}; {FALLS}");
    let flags =
        ["--name", "deep", "--matrix", "n=1,2,-3", "--stop-when", "drawdown < -0.5", "--stop-timeout", "1s"];
    let sweep = cluster.submit(&[&flags[..], &["--wait"]].concat(), &script);
    assert_eq!(states(&cluster, &sweep), ["succeeded", "succeeded", "pruned"]);
    let pruned = &jobs(&cluster, &sweep)[2];
    assert_eq!(pruned["metrics"], json!({"drawdown": -3.0, "sharpe": 9.0}), "{pruned}");
    assert_eq!(pruned["reason"], "pruned(drawdown < -0.5: drawdown is -3)");
    assert_eq!((&pruned["attempts"], &pruned["progress"]), (&json!(1), &Value::Null));
    let history = &cluster.json(&["show", "deep/2"])["history"];
    assert_eq!((&history[0]["state"], &history[0]["reason"]), (&json!("cancelled"), &pruned["reason"]));
    wait_until("no container is left", || cluster.containers(&sweep).is_empty().then_some(()));

    // A sweep that ended as it was asked to.
    let shown = cluster.json(&["show", "deep"]);
    assert_eq!((&shown["state"], &shown["counts"]["pruned"]), (&json!("succeeded"), &json!(1)), "{shown}");
    let waited = cluster.run(&["wait", "deep"]);
    assert!(waited.code == 0 && waited.stderr.contains("2 succeeded, 1 were pruned"), "{waited:?}");
    let text = cluster.ok(&["show", "deep/2"]);
    assert!(text.contains("pruned") && text.contains("drawdown is -3"), "{text}");
    assert!(cluster.ok(&["show", "deep"]).contains("2 succeeded, 1 pruned"));
    let explained = cluster.ok(&["explain", "deep/2"]);
    assert!(explained.contains("it was pruned") && explained.contains("--pruned"), "{explained}");
    assert_eq!(cluster.json(&["jobs", "deep", "--state", "pruned"])[0]["job"], 2);

    // It does not compete, unless that is asked for.
    let top = |filter: &[&str]| {
        let listed = cluster.json(&[&["top", "deep", "--by", "sharpe"], filter].concat());
        listed.as_array().unwrap().iter().map(|job| job["job"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(top(&[]), [1, 0]);
    assert_eq!(top(&["--where", "sharpe > 1"]), [1]);
    assert_eq!(top(&["--where", "state == 'pruned'"]), [2]);
    assert_eq!(top(&["--where", "state in ['pruned', 'succeeded'] and n < 2"]), [2, 0]);
    let trials = cluster.json(&["trials", "deep"]);
    assert_eq!((&trials["trials"], &trials["sweeps"][0]["pruned"]), (&json!(3), &json!(1)), "{trials}");
    let assessed = cluster.json(&["assess", "deep", "--by", "sharpe"]);
    assert_eq!(
        (&assessed["best"]["job"], &assessed["trials"]["pruned"]),
        (&json!(1), &json!(1)),
        "{assessed}"
    );

    let page = get(&cluster, &format!("/sweeps/{sweep}")).text();
    assert!(page.contains("2 of 3 jobs succeeded, 1 was pruned"), "{page}");
    assert!(page.contains("<rect class=\"pruned\""), "{page}");
    let page = get(&cluster, &format!("/sweeps/{sweep}/jobs/2")).text();
    assert!(page.contains("It was given up on") && page.contains("drawdown is -3"), "{page}");
    assert!(page.contains(">pruned</text>"), "the attempt in the picture: {page}");
    let metrics = get(&cluster, "/metrics").text();
    assert!(metrics.contains("btctl_attempts_ended_total{outcome=\"pruned\",reason=\"\"} 1"), "{metrics}");

    // Again, as it says itself.
    assert!(cluster.run(&["retry", "deep"]).stderr.contains("no job has failed or been cancelled"));
    assert!(cluster.run(&["retry", "deep/0", "--pruned"]).stderr.contains("it was not pruned"));
    assert!(cluster.run(&["retry", "deep", "--pruned"]).stderr.contains("1 queued again"));
    wait_until("it is pruned again", || {
        let job = jobs(&cluster, "deep")[2].clone();
        (job["state"] == "pruned" && job["attempts"] == 2).then_some(())
    });
}

#[test]
fn one_point_of_a_batch_is_given_up_and_the_others_go_on() {
    let cluster = Cluster::start();
    let script = r#"
        tab=$(printf '\t'); results=${BT_STATUS%/*}
        { read -r _; while IFS=$tab read -r point n; do
            echo "{\"metrics\": {\"drawdown\": -$n}}" > $results/$point/progress
            [ $n != 2 ] || until [ -e /results/go ]; do sleep 0.1; done
            echo "{\"n\": $n}" > $results/$point/metrics.json; echo "$point 0" >> $BT_STATUS
        done; } < $BT_POINTS"#;
    let flags = ["--batch", "3", "--matrix", "n=1,2,3", "--stop-when", "drawdown < -1.5 and n < 3"];
    let sweep = cluster.submit(&flags, script);
    cluster.wait_count(&sweep, "pruned", 1);
    assert_eq!(cluster.running_containers(&sweep).len(), 1, "the others go on");
    cluster.touch(&sweep, "/results/go");
    cluster.wait_ended(&sweep);
    assert_eq!(states(&cluster, &sweep), ["succeeded", "pruned", "succeeded"]);
    assert_eq!(jobs(&cluster, &sweep)[1]["metrics"], json!({"drawdown": -2.0}));
    let batches = "select count(distinct batch) from attempts";
    assert_eq!(cluster.database.query(batches), ["1"], "none was run again");
    assert_eq!(cluster.database.query("select job from results order by job"), ["0", "2"]);
}

#[test]
fn running_jobs_are_pruned_over_http() {
    let cluster = Cluster::start();
    let script = format!("{SAY}; say -0.3; until [ -e /results/end ]; do sleep 0.1; done");
    let sweep =
        cluster.submit(&["--matrix", "n=1,2", "--max-parallel", "1", "--stop-timeout", "1s"], &script);
    wait_until("the first says how it is", || {
        (!jobs(&cluster, &sweep)[0]["progress"].is_null()).then_some(())
    });
    let prune = |body: Value| post(&cluster, &format!("/api/sweeps/{sweep}/prune"), &body);
    let (status, _, message) = prune(json!({"jobs": []})).refused();
    assert!(status == 400 && message.contains("name the jobs"), "{message}");
    let (status, _, message) = prune(json!({"jobs": [7]})).refused();
    assert!(status == 404 && message.contains('7'), "{message}");
    let (status, _, message) = prune(json!({"jobs": [0], "why": "a\nb"})).refused();
    assert!(status == 400 && message.contains("one line"), "{message}");
    let done = prune(json!({"jobs": [0, 1], "why": "worse than the median"})).json();
    assert_eq!(done, json!({"pruned": 1, "queued": 1, "finished": 0}));
    let job = &jobs(&cluster, &sweep)[0];
    assert_eq!((&job["state"], &job["reason"]), (&json!("pruned"), &json!("pruned(worse than the median)")));
    assert_eq!(job["metrics"]["drawdown"], json!(-0.3));
    assert_eq!(prune(json!({"jobs": [0]})).json(), json!({"pruned": 0, "queued": 0, "finished": 1}));
    cluster.wait_count(&sweep, "running", 1);
    cluster.ok(&["cancel", &sweep]);
}

#[test]
fn mistakes_are_said_before_anything_is_queued_and_typos_when_a_job_runs() {
    let cluster = Cluster::with(Options::simulated(&[]));
    for (stop_when, part) in [
        ("drawdown <", "is not an expression"),
        ("drawdown", "it must be true or false"),
        ("n < 3", "names no metric"),
        ("1 < 2", "names no metric"),
    ] {
        let args =
            ["submit", "--image", "x:1", "--matrix", "n=1,2", "--stop-when", stop_when, "--", "x", "{{ n }}"];
        let refused = cluster.run(&args);
        assert!(refused.code == 2 && refused.stderr.contains("`stop_when`"), "{stop_when}: {refused:?}");
        assert!(refused.stderr.contains(part), "{stop_when}: {refused:?}");
    }
    assert_eq!(cluster.json(&["ls", "--all"]), json!([]));

    let cluster = Cluster::start();
    let script = format!("{SAY}; say -0.7; until [ -e /results/end ]; do sleep 0.1; done");
    let sweep = cluster.submit(&["--stop-when", "drawdwn < -0.5", "--stop-timeout", "1s"], &script);
    wait_until("explain says what is meant", || {
        let explained = cluster.ok(&["explain", &format!("{sweep}/0")]);
        explained
            .contains("`drawdwn`, which this job has not reported; did you mean `drawdown`?")
            .then_some(())
    });
    assert_eq!(states(&cluster, &sweep), ["running"]);
    cluster.touch(&sweep, "/results/end");
    cluster.wait_count(&sweep, "succeeded", 1);
}
