//! How long a sweep would take and what it would cost, before it is queued.

use bt_tests::{Cluster, Options};

/// Jobs of one cpu that take two seconds.
const FAMILY: [&str; 10] =
    ["--family", "trend", "--cpus", "1", "-m", "64m", "--image", "x:1", "-e", "BT_SIM_MS=2000"];

fn submit<'a>(flags: &[&'a str]) -> Vec<&'a str> {
    [&["submit"], &FAMILY[..], flags, &["--", "x"]].concat()
}

#[test]
fn time_and_cost_are_told_by_what_ran_before_and_nothing_is_queued() {
    let with_price = |label: &str| Options::simulated(&["--cpus", "4", "--label", label]).agent;
    let mut cluster = Cluster::without_agent(Options::default());
    let jobs = |jobs: &'static str, more: &[&'static str]| {
        submit(&[&["--estimate", "--matrix", jobs], more].concat())
    };
    // Nobody has run one, and nobody is there to.
    let told = cluster.ok(&jobs("n=1:10:1", &[]));
    assert!(told.contains("10 jobs; how long one takes is not known"), "{told}");
    assert!(told.contains("no agent could run them now") && told.contains("btctl agent"), "{told}");
    cluster.add_agent_with("dear", &with_price("price-per-hour=7.2"));
    cluster.add_agent_with("free", &with_price("price-per-hour=free"));
    let sweep = cluster.ok(&submit(&["--matrix", "n=1:8:1", "--name", "before", "--wait", "-o", "name"]));
    cluster.wait_count(sweep.trim(), "succeeded", 8);

    let told = cluster.json(&jobs("n=1:100:1", &["-o", "json"]));
    let each = told["job_time"]["seconds"].as_f64().unwrap();
    assert!((1.9..4.0).contains(&each), "{told}");
    assert_eq!((&told["job_time"]["jobs"], &told["job_time"]["sweep"]), (&8.into(), &"before".into()));
    assert_eq!((&told["jobs"], &told["agents"], &told["at_once"]), (&100.into(), &2.into(), &8.into()));
    let near = |key: &str, right: f64| {
        let figure = told[key].as_f64().unwrap();
        assert!((figure - right).abs() < 1e-6 * right, "{key}: {figure}, not {right}");
    };
    // Thirteen rounds of eight; a hundred jobs on one cpu each; four places for 7.20 an hour.
    near("seconds", 13.0 * each);
    near("cpu_hours", 100.0 * each / 3_600.0);
    near("cost", 100.0 * each / 3_600.0 * 7.2 / 4.0);
    assert_eq!((&told["unpriced"], &told["ahead_seconds"]), (&1.into(), &0.0.into()));
    let told = cluster.json(&jobs("n=1:100:1", &["--max-parallel", "2", "-o", "json"]));
    assert_eq!(told["at_once"], 2, "{told}");
    // Another family has never run; what asks for more than any agent has is told as it is when it waits.
    let other = ["submit", "--estimate", "--family", "other", "--image", "x:1", "--cpus", "64", "--", "x"];
    let told = cluster.json(&[&other[..9], &["-o", "json", "--", "x"]].concat());
    assert_eq!((&told["seconds"], &told["agents"]), (&serde_json::Value::Null, &0.into()), "{told}");
    assert!(told["why"][0].as_str().unwrap().contains("cpus"), "{told}");

    // What waits already comes first, unless its priority is lower.
    cluster.ok(&submit(&["--matrix", "n=1:400:1", "--name", "ahead"]));
    let ahead = |more: &[&'static str]| {
        let told = cluster.json(&jobs("n=1:8:1", &[more, &["-o", "json"]].concat()));
        (told["ahead_seconds"].as_f64().unwrap(), told["ahead_unknown"].as_u64().unwrap())
    };
    let (seconds, unknown) = ahead(&[]);
    assert!(seconds > 0.0 || unknown == 1, "{seconds} {unknown}");
    assert_eq!(ahead(&["--priority", "5"]), (0.0, 0));
    let told = cluster.ok(&jobs("n=1:8:1", &[]));
    assert!(
        told.contains("more for what waits") && told.contains("price-per-hour (1 agent without one)"),
        "{told}"
    );
    let names: Vec<_> = cluster.json(&["ls", "--all"]).as_array().unwrap().clone();
    assert_eq!(names.len(), 2, "{names:?}");
}

#[test]
fn what_could_not_be_submitted_can_not_be_estimated() {
    let cluster = Cluster::without_agent(Options::default());
    let refused = cluster.run(&submit(&["--estimate", "--after", "nobody"]));
    assert!(refused.code != 0 && refused.stderr.contains("nobody"), "{refused:?}");
    let refused = cluster.run(&submit(&["--estimate", "--dry-run"]));
    assert!(refused.code == 2 && refused.stderr.contains("--dry-run"), "{refused:?}");
}
