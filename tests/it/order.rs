//! What users ask of the queue: hold a sweep up, keep it on a leash, and say why a job waits.

use bt_tests::{Cluster, Options, wait_until};

fn cluster(cpus: &str) -> Cluster {
    Cluster::with(Options::simulated(&["--cpus", cpus, "--label", "queue=cpu"]))
}

/// Queues jobs that take so many milliseconds.
#[track_caller]
fn submit(cluster: &Cluster, jobs: u32, millis: u32, flags: &[&str]) -> String {
    let (matrix, millis) = (format!("n=1:{jobs}"), format!("BT_SIM_MS={millis}"));
    cluster.submit_simulated(&[&["--matrix", &matrix, "-e", &millis], flags].concat())
}

#[track_caller]
fn explained(cluster: &Cluster, job: &str, expected: &str) {
    let told = wait_until("the reason is there", || {
        let told = cluster.ok(&["explain", job]);
        told.contains(expected).then_some(told)
    });
    assert!(told.contains(expected), "{told}");
}

#[test]
fn a_paused_sweep_starts_no_job_until_it_is_resumed() {
    let cluster = cluster("2");
    let sweep = submit(&cluster, 40, 100, &[]);
    cluster.wait_count(&sweep, "succeeded", 4);
    cluster.ok(&["pause", &sweep]);
    assert_eq!(cluster.json(&["show", &sweep])["state"], "paused");
    wait_until("what runs has ended", || (cluster.count(&sweep, "running") == 0).then_some(()));
    let queued = cluster.count(&sweep, "queued");
    assert!(queued > 0);
    explained(&cluster, &format!("{sweep}/39"), "the sweep is paused; btctl resume starts it again");
    assert_eq!(cluster.count(&sweep, "queued"), queued);
    cluster.ok(&["resume", &sweep]);
    cluster.wait_count(&sweep, "succeeded", 40);
}

#[test]
fn a_leash_holds_in_the_whole_cluster() {
    let mut cluster = cluster("4");
    cluster.add_agent_with("second", &Options::simulated(&["--cpus", "4"]).agent);
    let parallel = submit(&cluster, 12, 150, &["--max-parallel", "3"]);
    let limited = submit(&cluster, 12, 150, &["--limit", "nas-io"]);
    explained(&cluster, &limited, "nobody has set the limit nas-io; btctl limits set nas-io CAPACITY does");
    cluster.ok(&["limits", "set", "nas-io", "2"]);
    let mut most = (0, 0);
    wait_until("both have ended", || {
        most.0 = most.0.max(cluster.count(&parallel, "running"));
        most.1 = most.1.max(cluster.count(&limited, "running"));
        (cluster.count(&parallel, "succeeded") + cluster.count(&limited, "succeeded") == 24).then_some(())
    });
    assert!(most.0 <= 3 && most.1 <= 2, "{most:?} at once");
    // The same, and that both were reached, by what Postgres has of the past.
    let at_once = |sweep: &str| {
        let sql = format!(
            "select max((select count(*) from attempts b where b.sweep_id = a.sweep_id
                and b.leased_at <= a.leased_at and b.finished_at > a.leased_at))
             from attempts a where a.sweep_id = '{sweep}'"
        );
        cluster.database.query(&sql)
    };
    assert_eq!((at_once(&parallel), at_once(&limited)), (vec!["3".to_owned()], vec!["2".to_owned()]));
    assert_eq!(cluster.json(&["limits", "ls"])[0]["capacity"], 2);
    cluster.ok(&["limits", "rm", "nas-io"]);
    assert_eq!(cluster.run(&["limits", "rm", "nas-io"]).code, 3);
}

#[test]
fn a_canary_goes_first() {
    let cluster = cluster("8");
    let good = submit(&cluster, 20, 50, &["--canary", "2"]);
    cluster.wait_count(&good, "succeeded", 20);
    let sql = "select count(*) from attempts a, attempts c where a.job >= 2 and c.job < 2 and a.leased_at < c.finished_at";
    assert_eq!(
        cluster.database.query(sql),
        ["0"],
        "none of the others started before the canary had succeeded"
    );

    let args =
        ["submit", "--image", "x", "-m", "64m", "--matrix", "n=1:20", "--canary", "3", "-e", "BT_SIM_EXIT=1"];
    let mut args = args.to_vec();
    args.extend(["--name", "bad", "--wait", "--", "x"]);
    let waited = cluster.run(&args);
    assert_eq!(waited.code, 1, "{waited:?}");
    assert!(waited.stderr.contains("its canary failed"), "{waited:?}");
    assert_eq!(cluster.count("bad", "failed"), 3);
    assert_eq!(cluster.count("bad", "queued"), 17);
    cluster.ok(&["cancel", "bad"]);
    assert_eq!(cluster.count("bad", "cancelled"), 17);
}

#[test]
fn failures_are_retried_by_their_reason() {
    let cluster = cluster("8");
    let sweep = submit(&cluster, 3, 0, &["-e", "BT_SIM_EXIT=7", "--retries", "5", "--retry-on", "oom"]);
    cluster.wait_ended(&sweep);
    assert_eq!(cluster.database.query("select distinct attempts from jobs"), ["1"]);
    cluster.ok(&["retry", &sweep, "--failed=oom,timeout"]);
    assert_eq!(cluster.count(&sweep, "failed"), 3);
    cluster.ok(&["retry", &sweep, "--failed=exit"]);
    wait_until("all are tried again", || {
        (cluster.database.query("select sum(attempts) from jobs") == ["6"]).then_some(())
    });
    let wrong = cluster.run(&["retry", &sweep, "--failed=oops"]);
    assert_eq!(wrong.code, 2, "{wrong:?}");
    assert!(wrong.stderr.contains("oom"), "{wrong:?}");
}

#[test]
fn a_job_is_explained_agent_by_agent() {
    let cluster = cluster("2");
    let busy = submit(&cluster, 2, 600_000, &["--priority", "5"]);
    cluster.wait_count(&busy, "running", 2);
    explained(&cluster, &format!("{busy}/1"), "it does not wait: attempt 1 is running on agent agent");
    let waits = submit(&cluster, 5, 0, &[]);
    let job = format!("{waits}/3");
    explained(&cluster, &job, "agent agent: it is busy: a job needs 1 cpus and 64 MiB");
    explained(&cluster, &job, "3 queued jobs of its sweep go first");
    let elsewhere = submit(&cluster, 1, 0, &["--agent-label", "queue=gpu"]);
    explained(&cluster, &elsewhere, "agent agent: its label queue is cpu, not gpu");
    let large = submit(&cluster, 1, 0, &["--disk", "900TiB"]);
    explained(&cluster, &large, "a job needs 1 cpus");
    let json = cluster.json(&["explain", &job]);
    assert_eq!(json["state"], "queued");
    cluster.ok(&["cancel", &busy]);
    cluster.wait_count(&waits, "succeeded", 5);
    explained(&cluster, &job, "it succeeded");
}

#[test]
fn users_share_what_there_is() {
    let cluster = cluster("4");
    let mine = submit(&cluster, 200, 50, &["--name", "flood"]);
    cluster.wait_count(&mine, "running", 4);
    // Another owner's few jobs don't wait for the two hundred.
    let mut command = std::process::Command::new(bt_tests::btctl_path());
    command
        .args(["submit", "--image", "x", "--name", "few", "-m", "64m", "--matrix", "n=1:10", "--", "x"])
        .env("BTCTL_COORDINATOR", cluster.address())
        .env("BTCTL_OWNER", "somebody-else")
        .env("HOME", cluster.dir())
        .env("XDG_CONFIG_HOME", cluster.dir())
        .env_remove("BTCTL_CONFIG");
    assert!(command.output().unwrap().status.success());
    cluster.wait_count("few", "succeeded", 10);
    assert!(cluster.count(&mine, "succeeded") < 150, "the flood went first");
    cluster.ok(&["cancel", &mine]);
}
