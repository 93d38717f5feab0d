//! Jobs outside of containers: the same life as in a container, told by the same tests, and what is said where it is not.

use std::fs;
use std::time::{Duration, Instant};

use bt_tests::{Cluster, Options, wait_until};
use serde_json::Value;

use crate::container::reason;

/// What a sweep's jobs run in.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Driver {
    Container,
    Process,
}

const BOTH: [Driver; 2] = [Driver::Container, Driver::Process];

fn cluster() -> Cluster {
    with_agent(&["--allow-process"])
}

fn with_agent(flags: &[&str]) -> Cluster {
    let mut options = Options::default();
    options.agent.extend(flags.iter().map(|flag| (*flag).to_owned()));
    Cluster::with(options)
}

fn submit(cluster: &Cluster, driver: Driver, flags: &[&str], script: &str) -> String {
    let mut args = match driver {
        Driver::Container => vec!["submit", "--image", "btctl-test:1"],
        Driver::Process => vec!["submit", "--driver", "process"],
    };
    args.extend(["--cpus", "0.25", "-m", "64m"]);
    args.extend(flags);
    args.extend(["--", "sh", "-c", script]);
    cluster.json(&args)["id"].as_str().unwrap().to_owned()
}

/// Processes of the machine whose command line has this word.
fn running(word: &str) -> usize {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let lines = entries.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    lines.filter(|line| line.split(|byte| *byte == 0).any(|part| part == word.as_bytes())).count()
}

#[test]
fn every_end_is_told_apart_by_both_drivers() {
    let cluster = cluster();
    for driver in BOTH {
        let check = |flags: &[&str], script: &str, expected: &str| {
            let sweep = submit(&cluster, driver, flags, script);
            let told = reason(&cluster, &sweep);
            assert!(told.starts_with(expected), "{driver:?}: {script}: {told}");
        };
        check(&[], "exit 3", "exit(3)");
        check(&[], "exit 255", "exit(255)");
        check(&[], "kill -KILL $$", "signal(9)");
        check(&[], "kill -SEGV $$", "signal(11)");
        check(&[], "tail /dev/zero", "oom");
        check(&["--timeout", "1s"], "sleep 60", "timeout");
        check(&["--timeout", "1s"], "trap '' TERM; while true; do sleep 1; done", "timeout");
        check(&[], "exit 126", "exit(126)");
        check(
            &["--timeout", "1s", "--stop-timeout", "1s"],
            "trap '' TERM; while true; do sleep 1; done",
            "timeout",
        );
    }
    let nothing = ["submit", "--driver", "process", "-m", "64m", "--", "/no/such/command"];
    let told = reason(&cluster, cluster.json(&nothing)["id"].as_str().unwrap());
    assert!(told.starts_with("image(") && told.contains("/no/such/command"), "{told}");
}

#[test]
fn one_argv_finds_parameters_results_volumes_and_input_with_both_drivers() {
    let cluster = cluster();
    fs::write(cluster.dir().join("gate/prices.csv"), "1,2\n").unwrap();
    let script = r#"
        cp "$BT_VOLUME_GATE/prices.csv" "$BT_RESULTS/copy.csv"
        printf '{"sharpe": 1.5}' > "$BT_RESULTS/metrics.json"
        echo "fast $BT_PARAM_FAST of job $BT_JOB, try $BT_ATTEMPT"; echo trouble >&2
        out=$(sed 's/.*"output_path":"\([^"]*\)".*/\1/' "$ALGORITHM_INPUT_PATH"); [ "$out" = "$BT_RESULTS" ] || exit 7
        touch "${TMPDIR:-/tmp}/scratch" "$HOME/home" || exit 8
        [ -n "$OMP_NUM_THREADS" ] || exit 9
    "#;
    for driver in BOTH {
        let sweep = submit(
            &cluster,
            driver,
            &["--name", "btctl-test", "-v", "gate:/gate:ro", "--matrix", "fast=7"],
            script,
        );
        cluster.wait_ended(&sweep);
        let log = cluster.run(&["logs", &sweep]);
        assert_eq!(cluster.count(&sweep, "succeeded"), 1, "{driver:?}: {log:?}");
        assert_eq!(log.stdout, "fast 7 of job 0, try 1\n", "{driver:?}");
        assert!(log.stderr.contains("trouble"), "{driver:?}: {log:?}");
        let dir = cluster.stored(&sweep, 0, 1);
        assert_eq!(fs::read_to_string(dir.join("copy.csv")).unwrap(), "1,2\n", "{driver:?}");
        let path = dir.parent().unwrap().join("result.json");
        wait_until("the document is there", || path.exists().then_some(()));
        let document: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
        assert_eq!(document["metrics"]["sharpe"], 1.5, "{driver:?}");
        let told = (driver == Driver::Process).then_some("process");
        assert_eq!(document["given"]["driver"].as_str(), told, "{document}");
    }
}

#[test]
fn what_a_job_leaves_running_ends_with_it() {
    let cluster = cluster();
    // A session of its own, without a parent: no group and no tree has it.
    let daemon =
        |seconds: &str| format!("setsid sh -c 'sleep {seconds} & sleep {seconds}' >/dev/null 2>&1 &");
    for (script, state) in [(daemon("71234"), "succeeded"), (daemon("71235") + " sleep 71235", "cancelled")] {
        let word = if state == "succeeded" { "71234" } else { "71235" };
        let sweep = submit(&cluster, Driver::Process, &[], &format!("{script}\nsleep 1"));
        if state == "cancelled" {
            wait_until("it runs", || (running(word) >= 3).then_some(()));
            cluster.ok(&["cancel", &sweep]);
        }
        cluster.wait_ended(&sweep);
        assert_eq!(cluster.count(&sweep, state), 1);
        wait_until("all of it has ended", || (running(word) == 0).then_some(()));
    }
}

#[test]
fn a_killed_agent_leaves_nothing_beside_the_next_attempt() {
    let mut cluster = cluster();
    let script = "echo $$ >> \"$BT_VOLUME_GATE/pids\"; [ \"$BT_ATTEMPT\" = 1 ] || exit 0; sleep 71236";
    let dir = cluster.dir().join("gate");
    let flags = [format!("pids={}", dir.display())];
    cluster.agent().kill();
    let more: Vec<String> = ["--cpus", "2", "--memory", "2GiB", "--allow-process", "--volume"]
        .map(str::to_owned)
        .into_iter()
        .chain(flags)
        .collect();
    cluster.add_agent_with("other", &more);
    let script = script.replace("BT_VOLUME_GATE", "BT_VOLUME_PIDS");
    let sweep = submit(&cluster, Driver::Process, &["-v", "pids:/pids", "--retries", "2"], &script);
    wait_until("it runs", || (running("71236") == 1).then_some(()));
    let last = cluster.agents_so_far() - 1;
    cluster.agent_number(last).kill();
    assert_eq!(running("71236"), 1, "it outlives the agent");
    cluster.add_agent_with("other", &more);
    cluster.wait_ended(&sweep);
    assert_eq!(cluster.count(&sweep, "succeeded"), 1);
    assert_eq!(running("71236"), 0, "what was left is gone");
    assert_eq!(fs::read_to_string(dir.join("pids")).unwrap().lines().count(), 2, "each attempt ran once");
}

#[test]
fn only_an_agent_whose_owner_allows_it_runs_processes() {
    let mut cluster = Cluster::start();
    let sweep = submit(&cluster, Driver::Process, &[], "true");
    let told = cluster.ok(&["explain", &sweep]);
    assert!(told.contains("it allows no process jobs (btctl agent --allow-process)"), "{told}");
    cluster.add_agent_with("plain", &["--allow-process", "--no-engine"].map(str::to_owned));
    let began = Instant::now();
    cluster.wait_count(&sweep, "succeeded", 1);
    assert!(began.elapsed() < Duration::from_secs(60));
    let shown = cluster.ok(&["agents", "show", "plain"]);
    assert!(shown.contains("driver:process"), "{shown}");
    let refused = cluster.run(&["submit", "--driver", "process", "--network", "bridge", "--", "true"]);
    assert!(refused.stderr.contains("`network` is kept by a container"), "{refused:?}");
}

#[test]
fn results_of_processes_are_not_reused() {
    let cluster = cluster();
    for _ in 0..2 {
        let sweep = submit(&cluster, Driver::Process, &["--reuse"], "echo x > \"$BT_RESULTS/x\"");
        cluster.wait_ended(&sweep);
        assert_eq!(cluster.json(&["jobs", &sweep])[0]["reused_from"], Value::Null);
        let shown = cluster.ok(&["show", &sweep]);
        assert!(shown.contains("its jobs are processes"), "{shown}");
    }
}
