//! What the owner of a job reads besides how it ended.

use bt_tests::Cluster;

#[test]
fn outputs_that_are_left_out_are_named() {
    let cluster = Cluster::start();
    let script =
        "cd /results; echo x > kept; ln -s kept link; mkfifo pipe; ln -s /etc/passwd metrics.json; echo done";
    let sweep = cluster.submit(&[], script);
    cluster.wait_count(&sweep, "succeeded", 1);
    let shown = cluster.ok(&["show", &format!("{sweep}/0")]);
    for told in [
        "no metrics are reported: metrics.json is a symbolic link",
        "link (a symbolic link",
        "pipe (a named pipe)",
    ] {
        assert!(shown.contains(told), "{told}: {shown}");
    }
    let log = cluster.run(&["logs", &sweep]);
    assert_eq!(log.stdout, "done\n", "the job's own output is its own");
    let last = log.stderr.lines().last().unwrap_or_default().to_owned();
    assert!(
        last.starts_with("btctl: 3 outputs are left out") && last.contains("pipe (a named pipe)"),
        "{last}"
    );
    let listed = cluster.json(&["results", "ls", &sweep]);
    assert_eq!(listed.as_array().map(Vec::len), Some(1), "{listed}");
}

/// Nothing ever writes into the pipe: whoever opened it to read would wait for ever.
#[test]
fn metrics_that_are_a_pipe_are_left_out_and_hold_nothing_up() {
    let cluster = Cluster::start();
    let pipe = "mkfifo /results/metrics.json; echo x > /results/kept";
    let sweep = cluster.submit(&[], pipe);
    cluster.wait_count(&sweep, "succeeded", 1);
    let shown = cluster.ok(&["show", &format!("{sweep}/0")]);
    assert!(shown.contains("no metrics are reported: metrics.json is a named pipe"), "{shown}");
    assert_eq!(cluster.ok(&["results", "ls", &sweep, "-o", "name"]), "0/kept\n");
    let sweep = cluster.submit(&["--require-metric", "sharpe"], pipe);
    cluster.wait_ended(&sweep);
    let jobs = cluster.json(&["jobs", &sweep]);
    let reason = jobs[0]["reason"].as_str().unwrap_or_default();
    assert!(reason.starts_with("outputs(") && reason.contains("named pipe"), "{jobs}");
}

#[test]
fn a_failure_that_the_log_explains_comes_with_a_hint() {
    let cluster = Cluster::start();
    for (script, reason, hint) in [
        ("echo x > /data.csv", "exit(1)", "read-only: write to /results (kept), to /tmp (not kept)"),
        ("dd if=/dev/zero of=/tmp/x bs=1M count=4000", "exit(1)", "`tmpfs`"),
        ("nosuchprogram", "exit(127)", "not in the image"),
        ("echo 'ValueError: no'; exit 3", "exit(3)", ""),
    ] {
        let sweep = cluster.submit(&[], script);
        cluster.wait_ended(&sweep);
        let jobs = cluster.json(&["jobs", &sweep]);
        assert_eq!(jobs[0]["reason"], reason, "{script}: a hint decides nothing");
        let shown = cluster.ok(&["show", &format!("{sweep}/0")]);
        assert!(shown.contains(hint) && shown.contains("Note") != hint.is_empty(), "{script}: {shown}");
    }
}

#[test]
fn metrics_are_read_in_other_programs_encodings_and_spellings() {
    let cluster = Cluster::start();
    let utf16 = r#"printf '\377\376{\000"\000a\000"\000:\0001\000}\000'"#;
    let bom = r#"printf '\357\273\277{"a": 1, "b": -nan, "c": inf}'"#;
    for print in [utf16, bom] {
        let sweep = cluster.submit(&[], &format!("{print} > /results/metrics.json"));
        cluster.wait_ended(&sweep);
        let jobs = cluster.json(&["jobs", &sweep]);
        assert_eq!((&jobs[0]["state"], &jobs[0]["metrics"]["a"]), (&"succeeded".into(), &1.into()), "{jobs}");
    }
}

/// Handing back costs a job nothing; without a pause each round would be written to Postgres hundreds of times a second.
#[test]
fn an_agent_that_can_not_write_gets_nothing_says_so_and_comes_back() {
    let cluster = Cluster::start();
    let attempts = cluster.dir().join("agent/attempts");
    let away = cluster.dir().join("agent/attempts.away");
    std::fs::rename(&attempts, &away).unwrap();
    std::fs::write(&attempts, "no directory").unwrap();
    let sweep = cluster.submit(&["--matrix", "n=1:20"], "true");
    bt_tests::wait_until("the agent says so", || {
        let listed = cluster.json(&["agents", "ls"]);
        let state = listed[0]["state"].as_str().unwrap_or_default();
        state.contains("can't write to its state directory").then_some(())
    });
    bt_tests::wait_until("the jobs' wait is explained", || {
        cluster.ok(&["show", &sweep]).contains("can't write to its state directory").then_some(())
    });
    let tried: u32 = cluster.database.query("select count(*) from attempts")[0].parse().unwrap();
    assert!(tried <= 40, "{tried} attempts were written");
    assert_eq!(cluster.count(&sweep, "failed"), 0);
    std::fs::remove_file(&attempts).unwrap();
    std::fs::rename(&away, &attempts).unwrap();
    cluster.wait_count(&sweep, "succeeded", 20);
    assert_eq!(cluster.database.query("select sum(failures), sum(losses) from jobs"), ["0|0"]);
}
