//! A job again, exactly, and whether the same comes out of it.

use std::fs;
use std::process::Command;

use bt_tests::{Cluster, Options};
use serde_json::{Value, json};

/// A job that gives the same result each time: its arguments, and what it reads.
const STEADY: &str = "mkdir /results/a; echo {{ n }} $LEVEL $API_KEY > /results/a/x; cat /data/spy.csv > /results/y; \
                      printf '{\"sharpe\": {{ n }}}' > /results/metrics.json";

fn with_prices() -> (Cluster, String) {
    let mut cluster = Cluster::without_agent(Options::default());
    let prices = cluster.dir().join("prices");
    fs::create_dir_all(&prices).unwrap();
    fs::write(prices.join("spy.csv"), "1.00\n").unwrap();
    let volume = format!("prices={}:ro,fingerprint", prices.display());
    cluster
        .add_agent_with("one", &["--cpus", "1", "--memory", "1GiB", "--volume", &volume].map(str::to_owned));
    (cluster, volume)
}

fn steady(cluster: &Cluster) -> String {
    let flags = [
        "--name",
        "steady",
        "-v",
        "prices:/data:ro",
        "-e",
        "LEVEL=info",
        "-e",
        "API_KEY=hush",
        "--matrix",
        "n=1,2",
    ];
    let sweep = cluster.submit(&flags, STEADY);
    cluster.wait_count(&sweep, "succeeded", 2);
    sweep
}

fn rows(stdout: &str) -> Vec<Value> {
    serde_json::from_str(stdout).unwrap_or_else(|error| panic!("{error}: {stdout}"))
}

#[test]
fn a_job_that_does_the_same_twice_is_verified() {
    let (cluster, _) = with_prices();
    let sweep = steady(&cluster);
    let verified = cluster.json(&["rerun", "--verify", "steady/1"]);
    let told: Vec<_> = verified
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (&row["kind"], &row["name"], &row["verdict"]))
        .collect();
    let same = |kind: &str, name: &str| json!([kind, name, "same"]);
    let told: Vec<_> = told.into_iter().map(|(kind, name, verdict)| json!([kind, name, verdict])).collect();
    assert_eq!(
        told,
        [same("file", "a/x"), same("file", "metrics.json"), same("file", "y"), same("metric", "sharpe")]
    );
    // It was run again as it had been.
    let [then, now] = [format!("{sweep}/1"), "steady-rerun/0".to_owned()];
    let [then, now] = [then, now].map(|job| cluster.json(&["results", "show", &job]));
    for key in ["image", "image_pin", "image_id", "command", "env", "parameters", "volumes", "given"] {
        assert_eq!(then[key], now[key], "{key}");
    }
    assert_ne!(then["sweep"], now["sweep"]);
    // A rerun's rerun bears the same name.
    assert_eq!(cluster.json(&["rerun", "steady-rerun"])["name"], "steady-rerun");
}

#[test]
fn a_job_that_does_something_else_each_time_is_found_out() {
    let cluster = Cluster::start();
    let script = "head -c 64 /dev/urandom > /results/noise.bin; echo steady > /results/x; touch /results/only-$BT_SWEEP";
    let sweep = cluster.submit(&["--name", "noisy"], script);
    cluster.wait_count(&sweep, "succeeded", 1);
    let verified = cluster.run(&["rerun", "--verify", "noisy", "-o", "json"]);
    assert_eq!(verified.code, 1, "{verified:?}");
    assert!(verified.stderr.contains("3 of 4 files and metrics differ"), "{verified:?}");
    assert!(verified.stderr.contains("the job itself does not do the same twice"), "{verified:?}");
    let verdicts: Vec<_> =
        rows(&verified.stdout).into_iter().map(|row| (row["name"].clone(), row["verdict"].clone())).collect();
    assert!(verdicts.contains(&(json!("noise.bin"), json!("different"))), "{verdicts:?}");
    assert!(verdicts.contains(&(json!("x"), json!("same"))), "{verdicts:?}");
    assert!(verdicts.contains(&(json!(format!("only-{sweep}")), json!("missing"))), "{verdicts:?}");
    assert_eq!(verdicts.iter().filter(|(_, verdict)| verdict == "new").count(), 1, "{verdicts:?}");
    let table = cluster.run(&["rerun", "--verify", "noisy"]);
    assert!(
        table.stdout.lines().any(|line| line.contains("noise.bin") && line.contains("different")),
        "{table:?}"
    );
    cluster.ok(&["rerun", "--verify", "noisy", "--ignore", "*.bin", "--ignore", "only-*"]);
}

#[test]
fn what_may_explain_a_difference_is_told() {
    let (cluster, _) = with_prices();
    steady(&cluster);
    fs::write(cluster.dir().join("prices/spy.csv"), "2.00\n").unwrap();
    let verified = cluster.run(&["rerun", "--verify", "steady/0"]);
    assert_eq!(verified.code, 1, "{verified:?}");
    assert!(verified.stderr.contains("note: volume prices had the fingerprint"), "{verified:?}");
    let again = cluster.run(&["rerun", "--verify", "steady/0"]);
    assert!(again.stderr.contains("warning: volume prices is not what it was"), "{again:?}");
}

#[test]
fn every_agent_that_could_run_it_is_compared() {
    let (mut cluster, volume) = with_prices();
    steady(&cluster);
    let small = ["--cpus", "1", "--memory", "1GiB"].map(str::to_owned);
    cluster.add_agent_with("bare", &small);
    let both = [&small[..], &["--volume".to_owned(), volume]].concat();
    cluster.add_agent_with("two", &both);
    let verified = cluster.run(&["rerun", "--everywhere", "steady/0", "-o", "json"]);
    assert_eq!(verified.code, 0, "{verified:?}");
    assert!(
        verified.stderr.contains("agent bare is left out: it does not offer prices:/data:ro"),
        "{verified:?}"
    );
    let agents: std::collections::BTreeSet<_> =
        rows(&verified.stdout).into_iter().map(|row| row["agent"].as_str().unwrap().to_owned()).collect();
    assert_eq!(agents.into_iter().collect::<Vec<_>>(), ["one", "two"]);
    let ran = cluster.database.query(
        "select distinct g.name from attempts a join agents g on g.id = a.agent_id join sweeps s on s.id = a.sweep_id
         where s.name = 'steady-rerun' order by 1",
    );
    assert_eq!(ran, ["one", "two"]);
    let on = cluster.json(&["rerun", "--verify", "steady/0", "--on", "two"]);
    assert!(on.as_array().unwrap().iter().all(|row| row["agent"] == "two"), "{on}");
    let refused = cluster.run(&["rerun", "steady/0", "--on", "bare"]);
    assert_eq!(refused.code, 4, "{refused:?}");
    assert_eq!(cluster.run(&["rerun", "steady/0", "--on", "nobody"]).code, 3);
}

#[test]
fn an_image_that_is_gone_is_told() {
    let cluster = Cluster::start();
    let image = format!("btctl-gone:{}", std::process::id());
    let script = format!(
        "id=$(docker create btctl-test:1 true); docker export $id | docker import --change 'CMD [\"x\"]' - {image}; docker rm $id"
    );
    assert!(Command::new("sh").args(["-c", &script]).output().unwrap().status.success());
    let args = ["submit", "--image", &image, "--name", "gone", "-m", "64m", "--", "/bin/true"];
    let sweep = cluster.json(&args)["id"].as_str().unwrap().to_owned();
    cluster.wait_count(&sweep, "succeeded", 1);
    // The look into the image may still have a container of it.
    bt_tests::wait_until("the image is removed", || {
        Command::new("docker").args(["rmi", &image]).output().unwrap().status.success().then_some(())
    });
    let verified = cluster.run(&["rerun", "--verify", "gone"]);
    assert_eq!(verified.code, 1, "{verified:?}");
    assert!(verified.stderr.contains("it can't be run again now"), "{verified:?}");
    assert!(verified.stderr.contains("does not have btctl-gone:"), "{verified:?}");
    assert_eq!(cluster.json(&["show", "gone-rerun"])["counts"]["cancelled"], 1, "nothing is left queued");
}

#[test]
fn what_can_not_be_run_again_is_refused_before_anything_is_queued() {
    let cluster = Cluster::start();
    let sweep = cluster.submit(&["--name", "failing", "--matrix", "n=1,2"], "exit 3");
    cluster.wait_ended(&sweep);
    let check = |args: &[&str], code: i32, told: &str| {
        let finished = cluster.run(args);
        assert_eq!(finished.code, code, "{args:?}: {finished:?}");
        assert!(finished.stderr.contains(told), "{args:?}: {finished:?}");
    };
    check(&["rerun", "failing"], 2, "say which to run again, such as failing/17");
    check(&["rerun", "failing/9"], 3, "no job 9");
    check(&["rerun", "nobody/1"], 3, "nobody");
    check(&["rerun", "--verify", "failing/0"], 3, "has no published result");
    check(&["rerun", "failing/0", "--ignore", "x"], 2, "--verify");
    check(&["rerun", "--verify", "failing/0", "--ignore", "["], 2, "not a pattern of paths");
    assert_eq!(cluster.database.query("select count(*) from sweeps"), ["1"]);
    // Without --verify a failure can be had again.
    check(&["rerun", "failing/0", "--wait"], 1, "exit(3)");
}
