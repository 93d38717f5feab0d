//! Logs: byte for byte, while a job runs and after its end, whatever the outcome.

use bt_tests::Cluster;

#[test]
fn a_log_comes_back_as_it_was_written() {
    let cluster = Cluster::start();
    let sweep = cluster.submit(&[], "echo out; echo err >&2; printf 'no newline'");
    cluster.wait_ended(&sweep);
    let log = cluster.run(&["logs", &format!("{sweep}/0")]);
    assert_eq!(log.stdout, "out\nno newline");
    assert_eq!(log.stderr, "err\n");
}

#[test]
fn a_large_log_is_whole() {
    let cluster = Cluster::start();
    let sweep = cluster.submit(&[], "seq 1 200000; printf end");
    cluster.wait_ended(&sweep);
    let log = cluster.ok(&["logs", &sweep]);
    let expected: String = (1..=200_000).map(|n| format!("{n}\n")).collect::<String>() + "end";
    assert!(log == expected, "{} of {} bytes", log.len(), expected.len());
}

#[test]
fn a_follower_sees_lines_while_the_job_runs() {
    let cluster = Cluster::start();
    let script = "echo first; until [ -e /results/go ]; do sleep 0.1; done; echo last";
    let sweep = cluster.submit(&["--timeout", "3s"], script);
    cluster.wait_count(&sweep, "running", 1);
    bt_tests::wait_until("the first line is there", || {
        (cluster.run(&["logs", &sweep]).stdout == "first\n").then_some(())
    });
    // The timeout ends the job, and the follower with it.
    let followed = cluster.ok(&["logs", "-f", &sweep]);
    assert_eq!(followed, "first\n");
    cluster.wait_ended(&sweep);
    assert_eq!(cluster.ok(&["logs", &sweep]), "first\n");
}

#[test]
fn the_log_of_a_failed_and_of_a_cancelled_job_is_kept() {
    let cluster = Cluster::start();
    let failed = cluster.submit(&[], "echo why; exit 1");
    cluster.wait_ended(&failed);
    assert_eq!(cluster.ok(&["logs", &failed]), "why\n");

    let cancelled = cluster.submit(&[], "echo begun; sleep 100");
    bt_tests::wait_until("the job prints", || {
        (cluster.run(&["logs", &cancelled]).stdout == "begun\n").then_some(())
    });
    cluster.ok(&["cancel", &cancelled]);
    bt_tests::wait_until("the log is kept", || {
        let log = cluster.run(&["logs", &cancelled]);
        (log.code == 0 && log.stdout == "begun\n" && cluster.containers(&cancelled).is_empty()).then_some(())
    });
}

#[test]
fn a_job_that_has_not_started_says_so() {
    let cluster = Cluster::without_agent(bt_tests::Options::default());
    let sweep = cluster.submit(&[], "true");
    let log = cluster.run(&["logs", &sweep]);
    assert_eq!(log.code, 3);
    assert!(log.stderr.contains("not started"), "{log:?}");
}

/// A job that prints without end slows itself: its neighbour and the agent go on, and little of the disk is taken.
#[test]
fn a_job_that_prints_without_end_harms_nobody_else() {
    let mut cluster = Cluster::start();
    let flags = ["--log-limit", "1MiB", "--timeout", "8s"];
    let loud = cluster.submit(&flags, "while true; do seq 1 1000000; done");
    cluster.wait_count(&loud, "running", 1);
    let quiet = cluster.submit(&["--matrix", "n=1:8"], "echo $BT_PARAM_N");
    cluster.wait_count(&quiet, "succeeded", 8);
    assert_eq!(cluster.count(&loud, "running"), 1, "the neighbour did not wait for it");
    cluster.wait_ended(&loud);
    let jobs = cluster.json(&["jobs", &loud]);
    assert_eq!(jobs[0]["reason"], "timeout");
    let log = cluster.run(&["logs", &loud]);
    assert!(log.stdout.starts_with("1\n2\n3\n") && log.stdout.len() < 2 << 20, "{} bytes", log.stdout.len());
    assert!(log.stderr.contains("of the log are cut out here; log_limit is 1 MiB"), "{}", log.stderr);
    let stored = cluster.store().join(format!("btctl-test-{}/0/1.log", &loud[..8]));
    let stored = std::fs::metadata(stored).unwrap().len();
    assert!(stored <= (1 << 20) + 4096, "{stored} bytes of log in the store");
    let pid = cluster.agent().pid();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let kib: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(kib < 200 << 10, "the agent took {peak} at its peak");
}

/// Bytes that must not be changed, whatever an engine's log does with them: invalid UTF-8, NUL, carriage returns, a line of
/// 200 kB whose characters lie across any place where it could be cut, and no newline at the end.
const STRANGE: &str = r"printf 'caf\351\n\0\r\n\377\376'; printf x; yes é | head -n 100000 | tr -d '\n'; echo; printf 'end\303'";

fn strange() -> Vec<u8> {
    [b"caf\xe9\n\0\r\n\xff\xfex", "é".repeat(100_000).as_bytes(), b"\nend\xc3"].concat()
}

/// What a job wrote to standard output, as it is published.
fn published(cluster: &Cluster, sweep: &str, job: &str) -> Vec<u8> {
    let place = cluster.store().join(format!("btctl-test-{}/{job}/stdout.log", &sweep[..8]));
    bt_tests::wait_until("the log is published", || std::fs::read(&place).ok())
}

#[test]
fn the_bytes_of_many_short_jobs_are_in_their_logs() {
    let cluster = Cluster::start();
    let sweep = cluster.submit(&["--matrix", "n=0:39"], &format!("printf $BT_PARAM_N; {STRANGE}"));
    cluster.wait_count(&sweep, "succeeded", 40);
    for job in 0..40 {
        let log = published(&cluster, &sweep, &format!("{job:02}"));
        let expected = [job.to_string().into_bytes(), strange()].concat();
        assert!(log == expected, "job {job}: {} of {} bytes", log.len(), expected.len());
    }
}

#[test]
fn a_log_has_each_byte_once_when_the_agent_dies_in_the_middle_of_it() {
    let mut cluster = Cluster::start();
    let wait = "until [ -e /results/$NAME ]; do sleep 0.05; done";
    let wait_for = |name: &str| wait.replace("$NAME", name);
    let script = format!(
        "{STRANGE}; seq 1 20000; {}; {STRANGE}; echo second; {}; {STRANGE}",
        wait_for("go"),
        wait_for("end")
    );
    let sweep = cluster.submit(&[], &script);
    bt_tests::wait_until("the first part is in the log", || {
        let log = cluster.run(&["logs", &sweep]);
        log.stdout.ends_with("20000\n").then_some(())
    });
    cluster.agent().kill();
    cluster.touch(&sweep, "/results/go");
    cluster.add_agent("agent");
    bt_tests::wait_until("the second part is in the log", || {
        cluster.run(&["logs", &sweep]).stdout.ends_with("second\n").then_some(())
    });
    cluster.touch(&sweep, "/results/end");
    cluster.wait_ended(&sweep);
    let count = (1..=20_000).map(|n| format!("{n}\n")).collect::<String>().into_bytes();
    let log = published(&cluster, &sweep, "0");
    assert!(
        log == [strange(), count, strange(), b"second\n".to_vec(), strange()].concat(),
        "{} bytes",
        log.len()
    );
}

#[test]
fn a_log_is_shown_as_dockers_is() {
    let cluster = Cluster::start();
    let script = "echo problem >&2; seq 1 9; until [ -e /results/go ]; do sleep 0.05; done; echo 10";
    let sweep = cluster.submit(&[], script);
    bt_tests::wait_until("the first lines are there", || {
        let log = cluster.run(&["logs", &sweep]);
        (log.stdout.lines().count() + log.stderr.lines().count() == 10).then_some(())
    });
    // Which of two streams is read first is not known.
    let last = cluster.run(&["logs", "-n", "10", &sweep]);
    assert_eq!((last.stdout.lines().count(), last.stderr.as_str()), (9, "problem\n"));
    let last = cluster.run(&["logs", "-n", "3", &sweep]);
    assert_eq!(last.stdout.lines().count() + last.stderr.lines().count(), 3, "{last:?}");
    assert_eq!(cluster.ok(&["logs", "--since", "1h", &sweep]).lines().count(), 9);
    assert_eq!(cluster.ok(&["logs", "--since", "2200-01-01T00:00:00Z", &sweep]), "");
    let mut follower = cluster.spawn("follower", &["logs", "-f", "-n", "2", &sweep]);
    bt_tests::wait_until("the last lines are shown", || follower.log().contains("9\n").then_some(()));
    cluster.touch(&sweep, "/results/go");
    assert_eq!(follower.wait(), 0);
    let followed = follower.log();
    assert!(followed.contains("9\n") && followed.contains("10\n") && !followed.contains("7\n"), "{followed}");
}

#[test]
fn the_logs_of_all_failed_jobs_come_at_once() {
    let cluster = Cluster::start();
    let sweep = cluster.submit(&["--matrix", "n=1:4"], "echo job $BT_PARAM_N; exit $((BT_PARAM_N % 2))");
    cluster.wait_ended(&sweep);
    let logs = cluster.ok(&["logs", "--failed", &sweep]);
    let expected = format!("==> {sweep}/0: exit(1) <==\njob 1\n==> {sweep}/2: exit(1) <==\njob 3\n");
    assert_eq!(logs, expected);
}
