//! `batch`: containers that run several points, in C and in shell, and what becomes of points when a container ends early,
//! lies, or loses its agent.

use std::fs;
use std::path::Path;
use std::process::Command;

use bt_tests::{Cluster, Options, docker, wait_until};
use serde_json::Value;
use tempfile::TempDir;

/// Runs `$2` for each point with `$point` and `$n` set, and reports its exit code.
const LOOP: &str = r#"
tab=$(printf '\t'); results=${BT_STATUS%/*}; several=$(($(wc -l < $BT_POINTS) > 2))
each() { { read -r _; while IFS=$tab read -r point n; do out=$results/$point; "$1"; echo "$point $?" >> $BT_STATUS; done; } < $BT_POINTS; }
"#;

fn jobs(cluster: &Cluster, sweep: &str) -> Vec<Value> {
    cluster.json(&["jobs", sweep]).as_array().unwrap().clone()
}

/// State, attempts and reason of each job.
fn ends(cluster: &Cluster, sweep: &str) -> Vec<(String, u64, String)> {
    let end = |job: &Value| {
        let text = |key: &str| job[key].as_str().unwrap_or_default().to_owned();
        (text("state"), job["attempts"].as_u64().unwrap(), text("reason"))
    };
    jobs(cluster, sweep).iter().map(end).collect()
}

fn succeeded(attempts: u64) -> (String, u64, String) {
    ("succeeded".to_owned(), attempts, String::new())
}

/// Numbers of the attempts in each container, in the order of their first jobs.
fn containers(cluster: &Cluster) -> Vec<String> {
    let sql = "select string_agg(job::text, ',' order by job) from attempts group by batch order by min(number), min(job)";
    cluster.database.query(sql)
}

fn batched(cluster: &Cluster, size: &str, points: u32, script: &str) -> String {
    let values: Vec<_> = (0..points).map(|n| n.to_string()).collect();
    let flags = ["--batch", size, "--matrix", &format!("n={}", values.join(","))];
    cluster.submit(&flags, &format!("{LOOP}{script}"))
}

/// One agent with an offer of the examples, the one in C compiled.
fn with_examples() -> (Cluster, TempDir) {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/batch");
    let place = tempfile::tempdir().unwrap();
    let dir = place.path();
    fs::set_permissions(dir, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let compiled = Command::new("cc")
        .args(["-O2", "-static", "-Wall", "-Wextra", "-Werror", "-o"])
        .args([dir.join("sma"), examples.join("sma.c")])
        .status();
    assert!(compiled.unwrap().success(), "a C compiler and a static libc are needed");
    fs::copy(examples.join("sma.sh"), dir.join("sma.sh")).unwrap();
    let mut options = Options::default();
    options.agent.extend(["--volume".to_owned(), format!("batch-example={}:ro", dir.display())]);
    (Cluster::with(options), place)
}

#[test]
fn the_examples_in_c_and_in_shell_find_the_same() {
    let (cluster, _place) = with_examples();
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/batch/sweep.yaml");
    let manifest = manifest.display().to_string();
    let mut found = Vec::new();
    for command in [&["/example/sma"][..], &["sh", "/example/sma.sh"]] {
        let mut args = vec![
            "submit",
            "-f",
            &manifest,
            "--image",
            "btctl-test:1",
            "-v",
            "batch-example:/example:ro",
            "--",
        ];
        args.extend(command);
        let sweep = cluster.json(&args)["id"].as_str().unwrap().to_owned();
        cluster.wait_ended(&sweep);
        let jobs = jobs(&cluster, &sweep);
        assert_eq!(jobs.len(), 15);
        for job in &jobs {
            let (fast, slow) = (job["params"]["fast"].as_f64(), job["params"]["slow"].as_f64());
            let (state, reason) = if fast < slow { ("succeeded", "") } else { ("failed", "exit(2)") };
            assert_eq!(
                (job["state"].as_str().unwrap(), job["reason"].as_str().unwrap_or_default()),
                (state, reason),
                "{job}"
            );
            assert_eq!(job["metrics"]["trades"].is_number(), fast < slow, "{job}");
        }
        let files = cluster.json(&["results", "ls", &sweep]);
        let of_one = files.as_array().unwrap().iter().filter(|file| file["job"] == 1);
        let mut paths: Vec<_> = of_one.map(|file| file["path"].as_str().unwrap()).collect();
        paths.retain(|path| !path.ends_with(".log"));
        assert_eq!(paths, ["metrics.json"], "{files}");
        assert_eq!(cluster.ok(&["logs", &format!("{sweep}/1")]).lines().count(), 1, "each has its own log");
        found.push(jobs.iter().map(|job| job["metrics"].clone()).collect::<Vec<_>>());
    }
    assert_eq!(found[0], found[1]);
    assert_eq!(containers(&cluster).len(), 2, "{:?}", containers(&cluster));
}

#[test]
fn a_point_that_takes_its_container_down_fails_alone_and_the_others_run_again() {
    let cluster = Cluster::start();
    let script = r#"
        work() { if [ $n = 2 ]; then kill -9 $$; fi; echo "{\"n\": $n}" > $out/metrics.json; }
        each work"#;
    let sweep = batched(&cluster, "5", 5, script);
    cluster.wait_ended(&sweep);
    let ends = ends(&cluster, &sweep);
    let killed = ("failed".to_owned(), 2, "signal(9)".to_owned());
    assert_eq!(ends, [succeeded(1), succeeded(1), killed, succeeded(2), succeeded(2)]);
    assert_eq!(containers(&cluster), ["0,1,2,3,4", "2", "3", "4"]);
    assert_eq!(jobs(&cluster, &sweep)[4]["metrics"]["n"], 4.0);
}

#[test]
fn a_status_file_that_lies_deceives_nobody() {
    let cluster = Cluster::start();
    let script = r#"
        honest() { echo "{\"n\": $n}" > $out/metrics.json; }
        if [ $several = 0 ]; then each honest; exit; fi
        for point in 0 1 2 3 4; do echo "{\"n\": $point}" > $results/$point/metrics.json; done
        rm -r $results/3; ln -s /etc $results/3
        mkdir -p $results/77 && echo x > $results/77/metrics.json
        printf '0 0\n77 0\n../0 0\n1 0\n1 3\n0 0\n3 0\nhello\n4 0' > $BT_STATUS"#;
    let sweep = batched(&cluster, "5", 5, script);
    cluster.wait_ended(&sweep);
    let ends = ends(&cluster, &sweep);
    let contradicted = ("failed".to_owned(), 1);
    assert_eq!(ends[0], succeeded(1));
    assert_eq!((ends[1].0.clone(), ends[1].1), contradicted);
    assert!(ends[1].2.contains("/results/status reports it with 0 and with 3"), "{ends:?}");
    // Not reported, and half reported.
    assert_eq!([&ends[2], &ends[4]], [&succeeded(2), &succeeded(2)]);
    // Its link leads to a directory of the container's, and nothing of any is taken.
    assert_eq!(ends[3], succeeded(1));
    let files = cluster.json(&["results", "ls", &sweep]);
    let of = |job: u32| {
        let of_job = files.as_array().unwrap().iter().filter(move |file| file["job"] == job);
        of_job.map(|file| file["path"].as_str().unwrap()).filter(|path| !path.ends_with(".log")).count()
    };
    assert_eq!([0, 2, 3, 4].map(of), [1, 1, 0, 1], "{files}");
    let told = cluster.ok(&["show", &format!("{sweep}/0")]);
    for words in ["77 is no point of this container", "\"../0 0\" is no", "and 1 more"] {
        assert!(told.contains(words), "{words}: {told}");
    }
}

#[test]
fn what_is_no_status_file_reports_nothing() {
    let cluster = Cluster::start();
    for (make, words) in [
        ("mkdir $BT_STATUS", "directory"),
        ("ln -s /etc/passwd $BT_STATUS", "link"),
        ("dd if=/dev/zero of=$BT_STATUS bs=1 count=1 seek=1G 2>/dev/null", "more than 4 MiB"),
        ("mkfifo $BT_STATUS", "pipe"),
        ("true", ""),
    ] {
        let sweep = batched(&cluster, "2", 2, make);
        cluster.wait_ended(&sweep);
        for (state, attempts, reason) in ends(&cluster, &sweep) {
            assert_eq!((state.as_str(), attempts), ("failed", 2), "{make}");
            assert!(reason.contains("did not report it in /results/status"), "{make}: {reason}");
        }
        let told = cluster.ok(&["show", &format!("{sweep}/1")]);
        assert!(told.contains(words), "{make}: {told}");
    }
}

#[test]
fn a_container_that_ran_out_of_memory_is_not_trusted() {
    let cluster = Cluster::start();
    let script = r#"
        work() { if [ $n = 1 ] ; then head -c 200m /dev/zero | tail -c 190m | wc -c; fi; true; }
        each work"#;
    let sweep = batched(&cluster, "3", 3, script);
    cluster.wait_ended(&sweep);
    let oom = ("failed".to_owned(), 2, "oom".to_owned());
    assert_eq!(ends(&cluster, &sweep), [succeeded(2), oom, succeeded(2)]);
}

#[test]
fn a_batch_outlives_its_agent_and_the_end_of_one_of_its_points() {
    let mut cluster = Cluster::start();
    let script = r#"
        work() { echo "point $n"; [ $n != 1 ] || until [ -e /results/go ]; do sleep 0.1; done; echo x > $out/a; }
        each work"#;
    let sweep = batched(&cluster, "4", 4, script);
    cluster.wait_count(&sweep, "running", 4);
    wait_until("the second point runs", || {
        cluster.ok(&["logs", &format!("{sweep}/3")]).contains("point 1").then_some(())
    });
    let container = cluster.running_containers(&sweep);
    assert_eq!(container.len(), 1);
    cluster.ok(&["cancel", &format!("{sweep}/2")]);
    wait_until("it is cancelled", || (cluster.count(&sweep, "cancelled") == 1).then_some(()));
    assert_eq!(cluster.running_containers(&sweep), container, "the others go on");
    cluster.agent().kill();
    cluster.add_agent("agent");
    cluster.touch(&sweep, "/results/go");
    cluster.wait_ended(&sweep);
    let cancelled = ("cancelled".to_owned(), 1, String::new());
    assert_eq!(ends(&cluster, &sweep), [succeeded(1), succeeded(1), cancelled, succeeded(1)]);
    wait_until("nothing is left of it", || cluster.containers(&sweep).is_empty().then_some(()));
}

#[test]
fn a_batch_that_dies_while_its_agent_is_dead_keeps_what_it_had_reported() {
    let mut cluster = Cluster::start();
    let script = r#"
        work() { echo "point $n"; [ $n != 2 ] || [ $several = 0 ] || sleep 1000; echo "{\"n\": $n}" > $out/metrics.json; }
        each work"#;
    let sweep = batched(&cluster, "5", 5, script);
    cluster.wait_count(&sweep, "running", 5);
    wait_until("the third point runs", || {
        cluster.ok(&["logs", &format!("{sweep}/4")]).contains("point 2").then_some(())
    });
    cluster.agent().kill();
    docker(&["kill", &cluster.running_containers(&sweep)[0]]);
    cluster.add_agent("agent");
    cluster.wait_ended(&sweep);
    let expected = [1, 1, 2, 2, 2].map(succeeded);
    assert_eq!(ends(&cluster, &sweep), expected);
    assert_eq!(containers(&cluster), ["0,1,2,3,4", "2", "3", "4"]);
    let results = "select job, count(*) from results group by job order by job";
    assert_eq!(cluster.database.query(results), ["0|1", "1|1", "2|1", "3|1", "4|1"]);
    assert!(jobs(&cluster, &sweep).iter().zip(0..).all(|(job, n)| job["metrics"]["n"] == f64::from(n)));
    wait_until("nothing is left of it", || cluster.containers(&sweep).is_empty().then_some(()));
}

#[test]
fn a_batch_that_takes_too_long_keeps_what_it_had_reported() {
    let cluster = Cluster::start();
    let script = r#"
        work() { [ $n != 1 ] || sleep 1000; }
        each work"#;
    let flags = ["--batch", "3", "--matrix", "n=0:2", "--timeout", "2s", "--stop-timeout", "1s"];
    let sweep = cluster.submit(&flags, &format!("{LOOP}{script}"));
    cluster.wait_ended(&sweep);
    let timeout = ("failed".to_owned(), 2, "timeout".to_owned());
    assert_eq!(ends(&cluster, &sweep), [succeeded(1), timeout, succeeded(2)]);
}

#[test]
fn cancelling_the_sweep_stops_the_container_and_its_room_is_free() {
    let cluster = Cluster::start();
    let sweep = batched(&cluster, "4", 4, "sleep 1000");
    cluster.wait_count(&sweep, "running", 4);
    wait_until("it runs", || (!cluster.running_containers(&sweep).is_empty()).then_some(()));
    cluster.ok(&["cancel", &sweep, "--yes"]);
    wait_until("its container is gone", || cluster.containers(&sweep).is_empty().then_some(()));
    let next = cluster.submit(&["--cpus", "2"], "true");
    cluster.wait_count(&next, "succeeded", 1);
}

#[test]
fn one_that_is_told_to_stop_publishes_what_is_reported() {
    let mut cluster = Cluster::start();
    let script = r#"
        work() { [ $n != 1 ] || [ $several = 0 ] || until [ -e /results/go ]; do sleep 0.1; done; echo x > $out/a; }
        each work"#;
    let sweep = batched(&cluster, "3", 3, script);
    wait_until("the second point runs", || {
        (cluster.count(&sweep, "running") == 3 && !cluster.running_containers(&sweep).is_empty())
            .then_some(())
    });
    cluster.agent().signal("TERM");
    cluster.agent().wait();
    cluster.wait_count(&sweep, "succeeded", 1);
    cluster.wait_count(&sweep, "queued", 2);
    assert!(cluster.containers(&sweep).is_empty());
}

#[test]
fn a_job_of_a_batch_runs_here_as_a_batch_of_one() {
    let cluster = Cluster::without_agent(Options::default());
    let run = |script: &str| {
        let script = format!("{LOOP}{script}");
        let args =
            ["run", "--local", "--image", "btctl-test:1", "-m", "64m", "--batch", "7", "--matrix", "n=5,6"];
        cluster.run(&[&args[..], &["--job", "1", "-d", "out", "--", "sh", "-c", &script]].concat())
    };
    let ended = run("work() { echo $n > $out/n; echo \"job $BT_JOB\"; }; each work");
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(format!("{ended:?}").contains("job 1"), "{ended:?}");
    assert_eq!(fs::read_to_string(cluster.dir().join("out/n")).unwrap(), "6\n");
    let ended = run("true");
    assert!(ended.code != 0 && format!("{ended:?}").contains("did not report it"), "{ended:?}");
}
