//! A whole walk-forward: real backtests in real containers, and the curve that their tests make.

use std::path::{Path, PathBuf};
use std::process::Command;

use bt_tests::http::curl;
use bt_tests::{Cluster, Options};
use serde_json::Value;

fn project() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().expect("the crate lies in the workspace").to_owned()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

/// All digits: the same numbers, summed in the same order.
#[track_caller]
fn same(found: &Value, expected: &Value, what: &str) {
    assert_eq!(number(found).to_bits(), number(expected).to_bits(), "{what}: {found} and {expected}");
}

#[test]
fn a_walk_forward_is_what_one_process_makes_of_it() {
    let prices = project().join("target/prices");
    let strategy = project().join("examples/walk-forward");
    assert!(
        prices.join("GOOG.csv").exists(),
        "the prices are missing; scripts/images sma-cross fetches them"
    );
    let mut options = Options::default();
    for (name, path) in [("prices", &prices), ("strategy", &strategy)] {
        options.agent.extend(["--volume".to_owned(), format!("{name}={}:ro", path.display())]);
    }
    let cluster = Cluster::with(options);
    let manifest = strategy.join("sweep.yaml").display().to_string();
    let submitted = cluster.json(&["submit", "-f", &manifest, "--wait"]);
    assert_eq!(submitted["jobs"], 50);
    let walked = cluster.json(&["walk", "walk-forward"]);

    let mount = |path: &Path, to: &str| format!("{}:{to}:ro", path.display());
    let reference = Command::new("docker")
        .args([
            "run",
            "--rm",
            "--network",
            "none",
            "-v",
            &mount(&prices, "/data"),
            "-v",
            &mount(&strategy, "/strategy"),
        ])
        .args(["sma-cross:1", "python3", "-B", "/strategy/reference.py", "/data/GOOG.csv"])
        .output()
        .unwrap();
    assert!(reference.status.success(), "{}", String::from_utf8_lossy(&reference.stderr));
    let reference: Value = serde_json::from_slice(&reference.stdout).unwrap();

    let windows = walked["windows"].as_array().unwrap();
    let expected = reference["windows"].as_array().unwrap();
    assert_eq!((windows.len(), expected.len()), (10, 10));
    for (number, (window, expected)) in windows.iter().zip(expected).enumerate() {
        assert_eq!(window["window"], number);
        assert_eq!(window["test_job"], 40 + number);
        for name in ["fast", "slow"] {
            assert_eq!(window["params"][name], expected[name], "{window}");
        }
        same(&window["in_sample"], &expected["in_sample"], "in sample");
        same(&window["out_of_sample"], &expected["out_of_sample"], "out of sample");
    }
    assert_eq!(
        (&windows[0]["train_start"], &windows[0]["test_last"]),
        (&"2005-01-01".into(), &"2008-06-30".into())
    );

    let (stitched, expected) = (&walked["stitched"], &reference["stitched"]);
    let (curve, expected_curve) =
        (stitched["curve"].as_array().unwrap(), expected["curve"].as_array().unwrap());
    assert_eq!(curve.len(), expected_curve.len());
    assert!(curve.len() > 1200, "{}", curve.len());
    for (point, expected) in curve.iter().zip(expected_curve) {
        assert_eq!(point[0], expected[0]);
        same(&point[1], &expected[1], "return");
        same(&point[2], &expected[2], "equity");
    }
    for name in ["total_return", "sharpe", "annual_sharpe", "max_drawdown"] {
        same(&stitched[name], &expected[name], name);
    }
    assert_eq!(walked["missing"], Value::Array(Vec::new()));
    let changes = expected_changes(windows);
    assert_eq!(walked["changes"], changes);
    let table = cluster.run(&["walk", "walk-forward"]);
    let times = if changes == 1 { "once".to_owned() } else { format!("{changes} times") };
    assert!(table.stderr.contains(&format!("the choice changed {times} in 10 windows")), "{table:?}");

    assert_eq!(curl(&cluster, "/api/sweeps/walk-forward/walk", &[]).json(), walked);
    let page = curl(&cluster, "/sweeps/walk-forward", &[]).text();
    for part in
        ["In 10 of 10 windows a best job was chosen by sharpe", "2005-01-01 to 2007-12-31", "/jobs/49\""]
    {
        assert!(page.contains(part), "{part}: {page}");
    }
    assert!(page.contains("What one unit became out of sample"), "the curve is drawn: {page}");
}

fn expected_changes(windows: &[Value]) -> u32 {
    windows.windows(2).filter(|pair| pair[0]["params"] != pair[1]["params"]).count() as u32
}

#[test]
fn without_a_choice_the_best_of_each_window_is_picked_out() {
    let cluster = Cluster::start();
    let script = "echo '{\\\"sharpe\\\": {{ a if window == 0 else -a }}, \\\"series\\\": {\\\"equity\\\": [[\\\"{{ train_last }}\\\", 100], \
                  [\\\"{{ test_start }}\\\", 10{{ a }}]]}}' > /results/metrics.json; [ {{ a }} != 3 ]";
    let manifest = format!(
        "name: plain\nimage: btctl-test:1\ncommand: [sh, -c, \"{script}\"]\nmatrix: {{ a: [1, 2, 3] }}\n\
         windows: {{ train: 1y, test: 1y, from: 2005-01-01, to: 2008-01-01 }}\n\
         resources: {{ cpus: 0.25, memory: 64MiB }}\n"
    );
    std::fs::write(cluster.dir().join("plain.yaml"), manifest).unwrap();
    let submitted = cluster.json(&["submit", "-f", "plain.yaml"]);
    cluster.wait_ended(submitted["id"].as_str().unwrap());
    let walked = cluster.json(&["walk", "plain"]);
    let picked: Vec<_> = walked["windows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|window| (window["job"].as_u64(), window["reported"].as_u64(), window["in_sample"].as_f64()))
        .collect();
    assert_eq!(picked, [(Some(1), Some(2), Some(2.0)), (Some(3), Some(2), Some(-1.0))]);
    assert_eq!(walked["stitched"]["curve"][1][0], "2007-01-01");
    assert_eq!(walked["stitched"]["curve"][0][1].as_f64(), Some(102.0 / 100.0 - 1.0));
    assert_eq!((&walked["selects"], &walked["changes"]), (&false.into(), &1.into()));
    assert_eq!(walked["parameters"][0]["lowest"].as_f64(), Some(1.0));

    let none = cluster.submit(&[], "true");
    let refused = cluster.run(&["walk", &none]);
    assert!(refused.code == 2 && refused.stderr.contains("no `windows`"), "{refused:?}");
}
