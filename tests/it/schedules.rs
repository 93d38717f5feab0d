//! Schedules: each time makes one sweep, whoever looks and whoever dies, and what was not submitted is told with the reason.

use bt_tests::http::{get, post};
use bt_tests::{Cluster, Finished, Options, wait_until};
use serde_json::{Value, json};

/// No time of its rule comes while a test runs.
const FAR: &str = "0 0 1 1 *";
const NYSE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/calendars/nyse.yaml");

fn add<'a>(name: &'a str, flags: &[&'a str]) -> Vec<&'a str> {
    [&["schedule", "add", name, "--image", "x", "-m", "64m"], flags, &["--", "x"]].concat()
}

/// Makes a time due that was so long ago.
fn make_due(cluster: &Cluster, name: &str, ago: &str) {
    cluster
        .database
        .query(&format!("update schedules set next_at = now() - interval '{ago}' where name = '{name}'"));
}

fn runs(cluster: &Cluster, name: &str) -> Vec<Value> {
    cluster.json(&["schedule", "show", name])["runs"].as_array().unwrap().clone()
}

fn wait_outcome(cluster: &Cluster, name: &str, outcome: &str) -> Value {
    wait_until(&format!("{name} is {outcome}"), || {
        runs(cluster, name).into_iter().next().filter(|run| run["outcome"] == outcome)
    })
}

#[track_caller]
fn refused(finished: &Finished, code: i32, words: &str) {
    assert_eq!(finished.code, code, "{finished:?}");
    assert!(finished.stderr.contains(words), "{words}: {finished:?}");
}

#[test]
fn each_time_makes_one_sweep_whoever_looks_and_dies() {
    let mut cluster = Cluster::without_agent(Options::default());
    cluster.add_coordinator();
    cluster.add_coordinator();
    cluster.ok(&add("often", &["--cron", "* * * * *", "--catch-up", "all", "--overlap", "allow"]));
    make_due(&cluster, "often", "40 minutes");
    let counted = |what: &str| {
        cluster.database.query(&format!("select count(*) from {what}"))[0].parse::<u64>().unwrap()
    };
    wait_until("some are submitted", || (counted("sweeps") >= 5).then_some(()));
    cluster.coordinator_number(0).kill();
    cluster.coordinator_number(1).kill();
    // What the dead had taken is taken again when its time has passed.
    cluster.database.query("update schedule_runs set due_at = now() where outcome = 'waiting'");
    cluster.start_coordinator_number(0);
    let counted = |what: &str| {
        cluster.database.query(&format!("select count(*) from {what}"))[0].parse::<u64>().unwrap()
    };
    wait_until("all are submitted", || {
        (counted("schedule_runs where outcome = 'submitted'") >= 41).then_some(())
    });
    wait_until("none waits", || (counted("schedule_runs where outcome = 'waiting'") == 0).then_some(()));
    let each = "select count(*), count(distinct sweep_id), count(distinct at_time) from schedule_runs where outcome = 'submitted'";
    let sweeps = counted("sweeps");
    assert_eq!(cluster.database.query(each), [format!("{sweeps}|{sweeps}|{sweeps}")]);
    // One that was killed between the submit and its note.
    cluster.ok(&["schedule", "pause", "often"]);
    let sweeps = counted("sweeps");
    cluster.database.query("update schedule_runs set outcome = 'waiting', sweep_id = null, due_at = now()");
    wait_until("all are found again", || {
        (counted("schedule_runs where outcome = 'submitted'") >= 41).then_some(())
    });
    wait_until("none waits", || (counted("schedule_runs where outcome = 'waiting'") == 0).then_some(()));
    assert_eq!(
        (counted("sweeps"), cluster.database.query(each)),
        (sweeps, vec![format!("{sweeps}|{sweeps}|{sweeps}")])
    );
}

#[test]
fn what_was_missed_and_what_overlaps_is_told() {
    let cluster = Cluster::without_agent(Options::default());
    cluster.ok(&add("none", &["--cron", FAR]));
    make_due(&cluster, "none", "1 hour");
    let missed = wait_outcome(&cluster, "none", "skipped");
    assert!(missed["why"].as_str().unwrap().contains("it was missed"), "{missed}");
    make_due(&cluster, "none", "1 second");
    wait_outcome(&cluster, "none", "submitted");
    cluster.ok(&add("late", &["--cron", FAR, "--catch-up", "all", "--catch-up-window", "30m"]));
    assert_eq!(cluster.json(&["schedule", "show", "late"])["catch_up_seconds"], 1_800);
    make_due(&cluster, "late", "31 minutes");
    wait_outcome(&cluster, "late", "skipped");
    make_due(&cluster, "late", "29 minutes");
    wait_outcome(&cluster, "late", "submitted");
    cluster.ok(&["schedule", "rm", "late"]);
    cluster.ok(&add("last", &["--cron", FAR, "--catch-up", "last"]));
    make_due(&cluster, "last", "1 hour");
    let first = wait_outcome(&cluster, "last", "submitted");
    // Its sweep has not finished, since there is no agent.
    make_due(&cluster, "last", "1 second");
    let skipped = wait_outcome(&cluster, "last", "skipped");
    assert!(
        skipped["why"].as_str().unwrap().contains("an earlier sweep of the schedule has not finished: x"),
        "{skipped}"
    );
    refused(&cluster.run(&["schedule", "run", "last"]), 4, "has not finished");
    cluster.ok(&["cancel", first["sweep"].as_str().unwrap()]);
    cluster.wait_ended(first["sweep"].as_str().unwrap());
    let asked = cluster.json(&["schedule", "run", "last", "--time", "2026-01-05T22:30:00Z"]);
    assert_eq!((&asked["outcome"], &asked["existed"]), (&"submitted".into(), &false.into()), "{asked}");
    let again = cluster.json(&["schedule", "run", "last", "--time", "2026-01-05T22:30:00Z"]);
    assert_eq!((&again["sweep"], &again["existed"]), (&asked["sweep"], &true.into()), "{again}");
    cluster.ok(&add("queue", &["--overlap", "queue"]));
    let first = cluster.json(&["schedule", "run", "queue"]);
    let second = cluster.json(&["schedule", "run", "queue"]);
    assert_eq!(second["outcome"], "waiting", "{second}");
    cluster.ok(&["cancel", first["sweep"].as_str().unwrap()]);
    let second = wait_outcome(&cluster, "queue", "submitted");
    assert_ne!(second["sweep"], first["sweep"]);
    cluster.ok(&add("allow", &["--overlap", "allow"]));
    for _ in 0..2 {
        assert_eq!(cluster.json(&["schedule", "run", "allow"])["outcome"], "submitted");
    }
    assert_eq!(cluster.json(&["ls", "--tag", "schedule:allow"]).as_array().unwrap().len(), 2);
    // What passes while it is paused is not made up.
    cluster.ok(&["schedule", "pause", "last"]);
    let before = runs(&cluster, "last").len();
    make_due(&cluster, "last", "1 hour");
    assert!(cluster.ok(&["schedule", "ls"]).contains("paused"));
    cluster.ok(&["schedule", "resume", "last"]);
    let shown = cluster.json(&["schedule", "show", "last"]);
    assert_eq!(
        (shown["runs"].as_array().unwrap().len(), shown["next"].as_array().unwrap().len()),
        (before, 5),
        "{shown}"
    );
    cluster.ok(&["schedule", "rm", "last", "queue"]);
    refused(&cluster.run(&["schedule", "show", "lst"]), 3, "there is no schedule \"lst\"");
    let metrics = get(&cluster, "/metrics").text();
    assert!(metrics.contains("btctl_schedule_runs_total{outcome=\"skipped\"} 4"), "{metrics}");
    assert!(metrics.contains("btctl_schedule_next_timestamp_seconds "), "{metrics}");
}

#[test]
fn jobs_are_told_the_time_in_the_schedules_zone() {
    let cluster = Cluster::start();
    let script = "echo $BTCTL_SCHEDULE $BTCTL_SCHEDULE_TIME $BTCTL_SCHEDULE_DATE $BT_PARAM_N ${schedule_date} $AT $BT_PARAM_END";
    std::fs::write(cluster.dir().join("rows.csv"), "n,end\n7,x\n8,to-${schedule_date}\n").unwrap();
    let flags = [
        "--cpus",
        "0.25",
        "-m",
        "64m",
        "--params-from",
        "rows.csv",
        "--cron",
        "30 22 * * 1-5",
        "--zone",
        "Europe/London",
        "-e",
        "AT=at-${schedule_time}",
    ];
    let add = ["schedule", "add", "nightly", "--image", "btctl-test:1"];
    let added = cluster.run(&[&add, &flags[..], &["--", "sh", "-c", script]].concat());
    assert!(
        added.stderr.contains("schedule nightly is kept: sweep btctl-test with 2 jobs")
            && added.stderr.contains(" 22:30 "),
        "{added:?}"
    );
    let run = cluster.json(&["schedule", "run", "nightly", "--time", "2026-03-29T01:30:00Z"]);
    let sweep = run["sweep"].as_str().unwrap();
    cluster.wait_ended(sweep);
    assert_eq!(
        cluster.ok(&["logs", &format!("{sweep}/1")]).trim(),
        "nightly 2026-03-29T02:30:00+01:00 2026-03-29 8 2026-03-29 at-2026-03-29T02:30:00+01:00 to-2026-03-29"
    );
    let words =
        add.iter().chain(&flags).chain(&["--", "echo", "${schedule_day}"]).copied().collect::<Vec<_>>();
    let words: Vec<_> =
        words.into_iter().map(|word| if word == "nightly" { "daily" } else { word }).collect();
    refused(&cluster.run(&words), 2, "the manifest has ${schedule_day}, which a schedule does not know");
}

#[test]
fn what_is_wrong_is_told_before_anything_is_kept() {
    let cluster = Cluster::without_agent(Options::default());
    let text = std::fs::read_to_string(NYSE).unwrap();
    let session = r#"- {open: "09:30", close: "16:00"}"#;
    let overlapping = text.replace(session, &format!("{session}\n  - {{open: \"15:00\", close: \"17:00\"}}"));
    std::fs::write(cluster.dir().join("overlapping.yaml"), overlapping).unwrap();
    let ended = text.split("half_days").next().unwrap().replace("2027-12-31", "2024-02-01");
    std::fs::write(cluster.dir().join("ended.yaml"), ended).unwrap();
    for (flags, words) in [
        (&["--cron", "0 25 * * *"][..], "its hour has \"25\""),
        (&["--cron", "0 0 31 2 *"], "never fires: no month of feb has a day 31"),
        (&["--cron", FAR, "--zone", "Europe/Lodnon"], "did you mean Europe/London?"),
        (&["--cron", FAR, "--catch-up", "some"], "write one of none, last, all"),
        (&["--cron", FAR, "--catch-up-window", "1s"], "a minute is the shortest"),
        (&["--cron", FAR, "--catch-up-window", "soon"], "write 6h"),
        (
            &["--calendar", "overlapping.yaml", "--at", "open"],
            "each opens after the one before it has closed",
        ),
        (&["--calendar", "ended.yaml", "--at", "open"], "ends on 2024-02-01"),
        (&["--calendar", NYSE, "--at", "noon"], "is no time of a session"),
        (&["--cron", FAR, "-e", "BTCTL_SCHEDULE_DATE=x"], "which the schedule sets itself"),
        (&["--cron", FAR, "--timeout", "1x"], "timeout"),
        (&["--cron", FAR, "--secret", "KEY"], "there is no secret KEY"),
    ] {
        refused(&cluster.run(&add("bad", flags)), 2, words);
    }
    refused(&cluster.run(&add("-bad", &["--cron", FAR])), 2, "");
    refused(&cluster.run(&add("b/d", &["--cron", FAR])), 2, "can't be the name of a schedule");
    let planned = cluster.json(&add("market", &["--calendar", NYSE, "--at", "close+15m", "--dry-run"]));
    assert_eq!(
        (&planned["id"], &planned["ends"], &planned["zone"]),
        (&Value::Null, &"2027-12-31".into(), &"America/New_York".into()),
        "{planned}"
    );
    assert_eq!(cluster.database.query("select count(*) from schedules"), ["0"]);
    cluster.ok(&add("good", &["--cron", FAR]));
    refused(&cluster.run(&add("good", &["--cron", FAR])), 2, "there is a schedule good of");
    let wrong =
        post(&cluster, "/api/schedules", &json!({"name": "x", "manifest": {"image": "x:1", "imge": 1}}));
    assert_eq!(wrong.status, 400, "{wrong:?}");
    // A calendar that ends soon.
    let text = text
        .split("half_days")
        .next()
        .unwrap()
        .replace("2027-12-31", &cluster.database.query("select current_date + 20")[0]);
    std::fs::write(cluster.dir().join("short.yaml"), text).unwrap();
    cluster.ok(&add("short", &["--calendar", "short.yaml", "--at", "open"]));
    let listed = cluster.run(&["schedule", "ls"]);
    assert!(listed.stderr.contains("the calendar NYSE of the schedule short ends on"), "{listed:?}");
}

#[test]
fn schedules_are_their_owners_and_so_are_their_sweeps() {
    let cluster = Cluster::without_agent(Options { tokens: true, ..Options::default() });
    let ann = cluster.token("ann", &["--role", "submitter"]);
    let bob = cluster.token("bob", &["--role", "submitter"]);
    let olga = cluster.token("olga", &["--role", "operator"]);
    let vic = cluster.token("vic", &["--role", "viewer"]);
    let run = |token: &str, args: &[&str]| cluster.run_as(token, args);
    refused(&run(&vic, &add("anns", &["--cron", FAR])), 4, "submitter, operator, admin");
    assert_eq!(run(&ann, &add("anns", &["--cron", FAR, "--overlap", "allow"])).code, 0);
    for args in
        [&["schedule", "rm", "anns"][..], &["schedule", "run", "anns"], &["schedule", "pause", "anns"]]
    {
        refused(&run(&bob, args), 4, "belongs to ann");
    }
    assert_eq!(run(&vic, &["schedule", "show", "anns"]).code, 0);
    assert_eq!(run(&olga, &["schedule", "run", "anns"]).code, 0);
    assert_eq!(cluster.database.query("select distinct owner from sweeps"), ["ann"]);
    assert_eq!(run(&olga, &["quota", "set", "ann", "--queued", "1"]).code, 0);
    // Behind the one that was asked for.
    make_due(&cluster, "anns", "0 seconds");
    let failed = wait_outcome(&cluster, "anns", "failed");
    assert!(failed["why"].as_str().unwrap().contains("ann"), "{failed}");
    assert_eq!(run(&olga, &["quota", "rm", "ann"]).code, 0);
    make_due(&cluster, "anns", "0 seconds");
    wait_outcome(&cluster, "anns", "submitted");
    let written = "select who, outcome from audit where what = 'schedule anns' order by number";
    let written = cluster.database.query(written);
    assert!(written[0].starts_with("ann|failed: ") && written[1] == "ann|done", "{written:?}");
    assert_eq!(run(&olga, &["schedule", "rm", "anns"]).code, 0);
}
