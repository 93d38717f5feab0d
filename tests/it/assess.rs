//! How much of a sweep's best result is luck: which trials count, what is joined, and what is missing.

use bt_tests::Cluster;
use serde_json::{Value, json};

/// A script that reports 120 days of returns. Their mean rises with the parameter `a`, and `b` shakes them.
const RETURNS: &str = r#"awk -v a={{ a }} -v b={{ b }} 'BEGIN {
    printf "{\"sharpe\": %s, \"series\": {\"returns\": [", a - b
    for (day = 0; day < 120; day++)
        printf "%s[%d, %.6f]", (day ? "," : ""), 1325376000 + 86400 * day, a / 1000 + ((day * day * (b + 3) + 7 * day) % 41 - 20) / 1000
    print "]}}" }' > /results/metrics.json"#;

fn submit(cluster: &Cluster, flags: &[&str], script: &str) -> String {
    let flags = [&["--family", "waves"], flags].concat();
    let sweep = cluster.submit(&flags, script);
    cluster.wait_ended(&sweep);
    sweep
}

fn close(a: &Value, b: &Value) -> bool {
    let (a, b) = (a.as_f64().unwrap(), b.as_f64().unwrap());
    (a - b).abs() <= 1e-9 * a.abs().max(b.abs())
}

#[test]
fn the_best_is_judged_as_the_best_of_all_trials_of_its_family() {
    let cluster = Cluster::start();
    let failing = format!("[ {{{{ a }}}}{{{{ b }}}} != 00 ] || exit 1; {RETURNS}");
    let first = submit(&cluster, &["--matrix", "a=0,1,2", "--matrix", "b=0,1"], &failing);
    let assessed = cluster.json(&["assess", &first]);
    let trials = &assessed["trials"];
    assert_eq!(
        (&trials["counted"], &trials["failed"], &trials["elsewhere"]),
        (&json!(6), &json!(1), &json!(0))
    );
    let returns = &assessed["returns"];
    assert_eq!((&returns["periods"], &returns["trials"]), (&json!(120), &json!(5)));
    assert_eq!((&returns["first"], &returns["last"]), (&json!("2012-01-01"), &json!("2012-04-29")));
    assert_eq!(assessed["by"], "sharpe");
    let best = &assessed["best"];
    assert_eq!((&best["job"], &best["parameters"]), (&json!(4), &json!({"a": 2, "b": 0})));
    assert_eq!(assessed["missing"], json!([]));
    assert_eq!(assessed["pbo"]["trials"], 5);
    assert_eq!(assessed["robust"]["neighbours"], 2);

    // Another sweep of the family tries two of the points again, with the same command, and two new ones.
    let second = submit(&cluster, &["--matrix", "a=2,3", "--matrix", "b=0,1"], &failing);
    let later = cluster.json(&["assess", &first]);
    assert_eq!((&later["trials"]["counted"], &later["trials"]["elsewhere"]), (&json!(8), &json!(2)));
    assert!(later["best"]["dsr"].as_f64() < best["dsr"].as_f64(), "{later}");
    let family = cluster.json(&["trials", "waves"]);
    assert_eq!((&family["trials"], &family["tried"]), (&json!(8), &json!(10)));
    assert_eq!((&family["sweeps"][1]["id"], &family["sweeps"][1]["new"]), (&json!(second), &json!(2)));

    // What was tried stays tried.
    cluster.ok(&["rm", &second, "--yes"]);
    let kept = cluster.json(&["assess", &first]);
    assert_eq!(kept["trials"]["counted"], 8);
    assert_eq!(cluster.json(&["trials", &first])["sweeps"][1]["removed"], true);
    assert_eq!(kept, cluster.json(&["assess", &first]), "the same sweep has the same figures");
}

#[test]
fn the_figures_are_those_of_the_formulas() {
    let cluster = Cluster::start();
    let sweep = submit(&cluster, &["--matrix", "a=1:4:1", "--matrix", "b=0,1,2"], RETURNS);
    let assessed = cluster.json(&["assess", &sweep, "--by", "sharpe"]);
    let best = &assessed["best"];
    let text = |name: &str| best[name].to_string();
    let observed = [
        "--sharpe",
        &text("sharpe"),
        "--observations",
        "120",
        "--skew",
        &text("skew"),
        "--kurtosis",
        &text("kurtosis"),
    ];
    let psr = cluster.json(&[&["stats", "psr"], &observed[..]].concat());
    assert!(close(&psr["psr"], &best["psr"]), "{psr} {best}");
    let variance = (1.0_f64 / 119.0).to_string();
    let deflated = ["--trials", "12", "--variance", &variance];
    let dsr = cluster.json(&[&["stats", "dsr"], &observed[..], &deflated[..]].concat());
    assert!(close(&dsr["dsr"], &best["dsr_null"]), "{dsr} {best}");
    assert!(best["dsr"].as_f64().unwrap() <= best["dsr_null"].as_f64().unwrap());

    // A list can be filtered and ordered by the same figures.
    let named =
        cluster.json(&["top", &sweep, "--by", "sharpe", "--where", "psr > 0 and dsr >= 0", "-n", "12"]);
    assert_eq!(named.as_array().unwrap().len(), 12);
    let job = named.as_array().unwrap().iter().find(|job| job["job"] == best["job"]).unwrap();
    assert!(close(&job["metrics"]["psr"], &best["psr"]), "{job}");
    let ordered = cluster.json(&["top", &sweep, "--by", "dsr", "-n", "12"]);
    let ordered: Vec<f64> =
        ordered.as_array().unwrap().iter().map(|job| job["metrics"]["dsr"].as_f64().unwrap()).collect();
    assert!(ordered.is_sorted_by(|a, b| a >= b) && ordered.len() == 12, "{ordered:?}");
    let robust = cluster.json(&["top", &sweep, "--by", "sharpe", "--robust", "-n", "1"]);
    assert_eq!(robust[0]["job"], assessed["robust"]["job"]);
    assert_eq!(robust[0]["metrics"]["robust"], assessed["robust"]["median"]);

    let against = cluster.json(&["assess", &sweep, "--benchmark", "0"]);
    let p = against["benchmark"]["p"].as_f64().unwrap();
    assert!((0.0..=1.0).contains(&p), "{against}");
    for (flags, part) in [
        (vec!["--by", "shrape"], "did you mean `sharpe`?"),
        (vec!["--blocks", "5"], "an even number from 2 to 24"),
        (vec!["--benchmark", "12"], "12"),
    ] {
        let refused = cluster.run(&[&["assess", sweep.as_str()], flags.as_slice()].concat());
        assert!(refused.code != 0 && refused.stderr.contains(part), "{flags:?}: {}", refused.stderr);
    }
    let address = format!("/api/sweeps/{sweep}/assess?by=sharpe");
    let answer = bt_tests::http::get(&cluster, &address);
    assert_eq!(answer.json(), assessed, "the API says the same");
}

#[test]
fn what_can_not_be_estimated_is_missing_with_its_reason() {
    let cluster = Cluster::start();
    let missing = |sweep: &str| {
        let assessed = cluster.json(&["assess", sweep]);
        let missing: Vec<String> = serde_json::from_value(assessed["missing"].clone()).unwrap();
        (missing.join("\n"), assessed)
    };
    let nothing = submit(&cluster, &[], "exit 1");
    let (why, assessed) = missing(&nothing);
    assert!(why.contains("best: no job has reported a metric or returns yet"), "{why}");
    assert_eq!(assessed["best"], Value::Null);

    let numbers =
        submit(&cluster, &["--matrix", "a=1,2,3"], r#"echo '{"sharpe": {{ a }}}' > /results/metrics.json"#);
    let (why, assessed) = missing(&numbers);
    assert!(why.contains("pbo: no job has reported returns"), "{why}");
    assert!(why.contains("has not reported observations, periods_per_year, skew, kurtosis"), "{why}");
    assert_eq!((&assessed["best"]["job"], &assessed["best"]["dsr"]), (&json!(2), &Value::Null));

    let shape = r#""observations": 500, "periods_per_year": 252, "skew": -0.5, "kurtosis": 5"#;
    let script = format!(r#"echo '{{"sharpe": 1.{{{{ a }}}}, {shape}}}' > /results/metrics.json"#);
    let shaped = submit(&cluster, &["--matrix", "a=1,2,3"], &script);
    let (why, assessed) = missing(&shaped);
    assert!(why.contains("pbo: ") && !why.contains("dsr"), "{why}");
    assert!(close(&assessed["best"]["sharpe_annual"], &json!(1.3)), "{assessed}");
    assert!(assessed["best"]["dsr"].is_f64(), "{assessed}");

    // Metrics that are added later make another best.
    let added = json!({"jobs": {"0": {"sharpe": 9}}, "overwrite": true});
    let added = bt_tests::http::post(&cluster, &format!("/api/sweeps/{numbers}/metrics"), &added);
    assert_eq!(added.json()["changed"], 1);
    assert_eq!(missing(&numbers).1["best"]["job"], 0);

    let refused = cluster.run(&["top", &numbers, "--by", "dsr"]);
    assert!(
        refused.code != 0 && refused.stderr.contains("psr and dsr can't be estimated"),
        "{}",
        refused.stderr
    );
}

#[test]
fn returns_come_from_a_table_that_the_manifest_names() {
    let cluster = Cluster::start();
    std::fs::write(
        cluster.dir().join("sweep.yaml"),
        r#"
image: btctl-test:1
resources: { cpus: 0.25, memory: 64MiB }
matrix: { a: [1, 2] }
returns: { path: out/equity.csv, column: Equity, kind: equity }
command: [sh, -c, "mkdir /results/out; awk -v a={{ a }} 'BEGIN { print \"Date,Equity\";
  for (day = 0; day < 100; day++) printf \"2012-%02d-%02d,%.4f\\n\", 1 + int(day / 25), 1 + day % 25, 100 + a * day + (day * 7) % 5
  }' > /results/out/equity.csv"]
"#,
    )
    .unwrap();
    let sweep = cluster.json(&["submit", "-f", "sweep.yaml"])["id"].as_str().unwrap().to_owned();
    cluster.wait_ended(&sweep);
    let assessed = cluster.json(&["assess", &sweep]);
    assert_eq!(assessed["returns"]["periods"], 99, "the first value of an account has no return: {assessed}");
    assert_eq!((&assessed["by"], &assessed["best"]["job"]), (&Value::Null, &json!(1)));
    assert!(assessed["family"].as_str().unwrap().starts_with("btctl-test sh -c"), "{assessed}");
}

#[test]
fn returns_that_can_not_be_used_leave_their_job_as_it_is() {
    let cluster = Cluster::start();
    let script = r#"echo '{"sharpe": 1, "series": {"returns": [["2012-01-03", 0.1], ["2012-01-03", 0.2]]}}' > /results/metrics.json"#;
    let sweep = submit(&cluster, &[], script);
    let shown = cluster.json(&["show", &format!("{sweep}/0")]);
    assert_eq!(shown["state"], "succeeded", "{shown}");
    let told = cluster.run(&["logs", &format!("{sweep}/0")]).stderr;
    assert!(told.contains("its returns can't be used: series.returns: 2012-01-03 stands twice"), "{told}");
}
