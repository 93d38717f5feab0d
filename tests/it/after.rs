//! `after`: sweeps that wait for others, and what becomes of them when these do not succeed.

use bt_tests::{Cluster, GATE, Options, wait_until};

fn cluster() -> Cluster {
    Cluster::with(Options::simulated(&["--cpus", "4"]))
}

/// Jobs that exit with a code after so many milliseconds.
fn submit(cluster: &Cluster, name: &str, millis: u32, exit: i32, flags: &[&str]) -> String {
    let (millis, exit) = (format!("BT_SIM_MS={millis}"), format!("BT_SIM_EXIT={exit}"));
    cluster.submit_simulated(&[&["--name", name, "-e", &millis, "-e", &exit], flags].concat())
}

/// Waits until the sweep's lines say this.
#[track_caller]
fn says(cluster: &Cluster, command: &str, sweep: &str, words: &str) -> String {
    wait_until(&format!("{command} says {words:?}"), || {
        let told = cluster.ok(&[command, sweep]);
        told.contains(words).then_some(told)
    })
}

#[test]
fn a_sweep_starts_when_the_others_have_succeeded() {
    let mut cluster = Cluster::without_agent(Options::simulated(&["--cpus", "4"]));
    cluster.add_coordinator();
    cluster.add_agent("agent");
    let first = submit(&cluster, "prices", 3_000, 0, &["--matrix", "n=1:2"]);
    let second = submit(&cluster, "features", 10, 0, &["--after", "prices"]);
    let third = submit(&cluster, "models", 10, 0, &["--after", "features", "--after", &first]);
    says(&cluster, "explain", &second, "it waits for sweep prices to end");
    let told = cluster.ok(&["explain", &third]);
    assert!(told.contains("it waits for the sweeps features, prices to end"), "{told}");
    assert!(cluster.ok(&["show", &second]).contains("prices must end before it starts"));
    let listed = cluster.json(&["ls"]);
    assert_eq!(listed[0]["waits_for"], serde_json::json!(["features", "prices"]), "{listed}");
    assert_eq!((cluster.count(&second, "queued"), cluster.count(&third, "queued")), (1, 1));
    for sweep in [&first, &second, &third] {
        cluster.wait_ended(sweep);
    }
    assert_eq!(cluster.count(&third, "succeeded"), 1);
    let order = "select count(*), bool_and(next.started_at >= earlier.finished_at)
        from attempts next, attempts earlier, sweeps s where s.id = next.sweep_id and earlier.sweep_id = any(s.after)";
    assert_eq!(cluster.database.query(order), ["5|t"]);
    assert!(!cluster.ok(&["show", &second]).contains("must end before it starts"));
    // What has happened already is not waited for, and one that was removed counts as it ended.
    cluster.ok(&["rm", "--yes", &third]);
    let late = submit(&cluster, "late", 10, 0, &["--after", "prices"]);
    cluster.wait_count(&late, "succeeded", 1);
}

#[test]
fn a_sweep_is_cancelled_when_another_one_has_failed() {
    let cluster = Cluster::start();
    let first = cluster.submit(&[&GATE[..], &["--name", "prices"]].concat(), "sleep 1; [ -e /gate/open ]");
    let second = cluster.submit(&["--name", "features", "--after", &first], "true");
    let third = cluster.submit(&["--name", "models", "--after", "features"], "true");
    let report = cluster.submit(&["--name", "report", "--after", "features:ended"], "true");
    let why = "sweep prices, which it waits for, has failed: 1 job failed";
    says(&cluster, "show", &second, why);
    says(&cluster, "explain", &format!("{second}/0"), why);
    // What waits for that one goes the same way, unless any end will do.
    says(&cluster, "show", &third, "sweep features, which it waits for, was cancelled");
    cluster.wait_count(&report, "succeeded", 1);
    let shown = cluster.json(&["show", &second]);
    assert_eq!((&shown["state"], &shown["cancel_reason"]), (&"cancelled".into(), &why.into()), "{shown}");
    // To try it again is of no use before the other one was tried again.
    let refused = cluster.run(&["retry", &second]);
    assert!(refused.code != 0 && refused.stderr.contains("retry that one first"), "{refused:?}");
    let refused = cluster.run(&["submit", "--image", "x", "--after", "prices", "--", "x"]);
    assert!(refused.code != 0 && refused.stderr.contains("retry that one first"), "{refused:?}");
    cluster.open_gate();
    cluster.ok(&["retry", &first]);
    cluster.ok(&["retry", &second]);
    cluster.wait_count(&second, "succeeded", 1);
    assert_eq!(cluster.count(&first, "succeeded"), 1);
    assert!(!cluster.ok(&["show", &second]).contains("which it waits for"));
}

#[test]
fn a_paused_and_a_cancelled_sweep_are_waited_for_as_they_stand() {
    let cluster = cluster();
    let first = submit(&cluster, "prices", 600_000, 0, &[]);
    let second = submit(&cluster, "features", 10, 0, &["--after", "prices"]);
    let any = submit(&cluster, "any", 10, 0, &["--after", "prices:ended"]);
    cluster.ok(&["pause", &first]);
    says(&cluster, "explain", &second, "it waits for sweep prices to end");
    cluster.ok(&["cancel", &first]);
    says(&cluster, "show", &second, "sweep prices, which it waits for, was cancelled");
    cluster.wait_ended(&second);
    assert_eq!(cluster.count(&second, "cancelled"), 1);
    cluster.wait_count(&any, "succeeded", 1);
    // A user's own pause of one that waits stays.
    let slow = submit(&cluster, "slow", 1_000, 0, &[]);
    let held = submit(&cluster, "held", 10, 0, &["--after", "slow"]);
    cluster.ok(&["pause", &held]);
    cluster.wait_count(&slow, "succeeded", 1);
    wait_until("it has been decided", || {
        let passed =
            cluster.database.query("select after_passed_at is not null from sweeps where name = 'held'");
        (passed == ["t"]).then_some(())
    });
    assert_eq!(cluster.count(&held, "queued"), 1);
    cluster.ok(&["resume", &held]);
    cluster.wait_count(&held, "succeeded", 1);
    // One that is cancelled while it waits is cancelled as any other.
    let slow = submit(&cluster, "slower", 600_000, 0, &[]);
    let dropped = submit(&cluster, "dropped", 10, 0, &["--after", &slow]);
    cluster.ok(&["cancel", &dropped]);
    cluster.wait_ended(&dropped);
    assert_eq!(cluster.json(&["show", &dropped])["cancel_reason"], serde_json::Value::Null);
}

#[test]
fn what_is_not_there_can_not_be_waited_for() {
    let cluster = Cluster::without_agent(Options::default());
    submit(&cluster, "prices", 10, 0, &[]);
    for (flags, words) in [
        (&["--after", "price"][..], "`after`: there is no sweep \"price\"; did you mean prices?"),
        (&["--after", "itself", "--name", "itself"], "there is no sweep \"itself\""),
        (&["--after", "prices", "--after", "prices"], "names prices twice"),
        (&["--after", ""], "not the name or id of a sweep"),
    ] {
        let refused = cluster.run(&[&["submit", "--image", "x"], flags, &["--", "x"]].concat());
        assert!(refused.code != 0 && refused.stderr.contains(words), "{flags:?}: {refused:?}");
    }
    assert_eq!(cluster.json(&["ls"]).as_array().unwrap().len(), 1);
}
