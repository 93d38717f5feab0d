//! Keeping sweeps in order: lists with filters, tags and notes, waiting, cancelling all, removing.

use bt_tests::{Cluster, Options, wait_until};
use serde_json::Value;

fn names(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|sweep| sweep["name"].as_str().unwrap()).collect()
}

/// From now on commands are this user's.
fn become_owner(cluster: &Cluster, owner: &str) {
    let dir = cluster.dir().join("config/btctl");
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::write(dir.join("client.toml"), format!("owner = \"{owner}\"\n")).unwrap();
}

fn submit(cluster: &Cluster, name: &str, owner: &str, more: &[&str]) -> String {
    become_owner(cluster, owner);
    let flags = ["submit", "--name", name, "--image", "btctl-test:1", "-m", "64m"];
    let command = ["--", "sh", "-c", if name == "bad" { "exit 1" } else { "echo 1 > /results/x" }];
    cluster.json(&[&flags[..], more, &command].concat())["id"].as_str().unwrap().to_owned()
}

#[test]
fn lists_are_filtered_and_say_what_they_leave_out() {
    let cluster = Cluster::start();
    let good = submit(&cluster, "good", "ann", &["--tag", "nightly", "--tag", "fx", "--note", "for Friday"]);
    let bad = submit(&cluster, "bad", "ann", &["--tag", "nightly"]);
    let other = submit(&cluster, "good_2", "bob", &[]);
    for sweep in [&good, &bad, &other] {
        cluster.wait_ended(sweep);
    }
    let waits = submit(&cluster, "waits", "bob", &["--cpus", "64"]);
    let ls = |more: &[&str]| cluster.json(&[&["ls"], more].concat());
    wait_until("ends are noted", || {
        let ended = "select count(*) from sweeps where ended_at is not null";
        (cluster.database.query(ended) == ["3"]).then_some(())
    });
    assert_eq!(names(&ls(&[])), ["waits"]);
    let listed = cluster.run(&["ls"]);
    assert!(listed.stderr.contains("3 finished sweeps are not listed"), "{listed:?}");
    let listed = cluster.run(&["ls", "--owner", "ann", "--tag", "fx"]);
    assert!(listed.stderr.contains("1 finished sweep is not listed"), "{listed:?}");
    assert_eq!(names(&ls(&["--all"])), ["waits", "good_2", "bad", "good"]);
    assert_eq!(names(&ls(&["--state", "failed"])), ["bad"]);
    assert_eq!(names(&ls(&["--state", "failed,queued"])), ["waits", "bad"]);
    assert_eq!(names(&ls(&["--all", "--owner", "bob"])), ["waits", "good_2"]);
    assert_eq!(names(&ls(&["--all", "--name", "good*"])), ["good_2", "good"]);
    assert_eq!(names(&ls(&["--all", "--name", "good"])), ["good"]);
    assert_eq!(names(&ls(&["--all", "--name", "good%"])), Vec::<&str>::new());
    assert_eq!(names(&ls(&["--all", "--tag", "nightly"])), ["bad", "good"]);
    assert_eq!(names(&ls(&["--all", "--tag", "nightly", "--tag", "fx"])), ["good"]);
    assert_eq!(names(&ls(&["--all", "--since", "1h"])).len(), 4);
    assert_eq!(names(&ls(&["--all", "--since", "2999-01-01"])).len(), 0);
    assert_eq!(cluster.run(&["ls", "--since", "yesterday"]).code, 2);
    let listed = ls(&["--name", "good", "--all"]);
    assert_eq!(listed[0]["tags"], serde_json::json!(["fx", "nightly"]));
    assert_eq!(listed[0]["note"], "for Friday");
    let shown = cluster.ok(&["show", "good"]);
    assert!(shown.contains("fx, nightly") && shown.contains("for Friday"), "{shown}");
    cluster.ok(&["tag", "good", "gold", "--remove", "fx"]);
    cluster.ok(&["note", "good", ""]);
    let shown = cluster.json(&["show", "good"]);
    assert_eq!((&shown["tags"], &shown["note"]), (&serde_json::json!(["gold", "nightly"]), &Value::Null));
    assert_eq!(cluster.run(&["tag", "good", "two words"]).code, 2);
    cluster.ok(&["cancel", &waits]);
}

#[test]
fn waiting_begins_again_after_it_was_interrupted() {
    let cluster = Cluster::start();
    let sweep = cluster.submit(&[], "while [ ! -e /tmp/go ]; do sleep 0.1; done");
    let mut waiting = cluster.spawn("wait", &["wait", &sweep]);
    wait_until("it waits", || waiting.log().contains("0/1").then_some(()));
    waiting.signal("INT");
    assert_eq!(waiting.wait(), 130);
    assert!(waiting.log().contains("btctl wait "), "{}", waiting.log());
    let late = cluster.run(&["wait", &sweep, "--timeout", "1s"]);
    assert!(late.code == 1 && late.stderr.contains("not finished within 1s"), "{late:?}");
    let mut watching = cluster.spawn("watch", &["show", "-w", &sweep]);
    cluster.touch(&sweep, "/tmp/go");
    let done = cluster.run(&["wait", &sweep]);
    assert!(done.code == 0 && done.stderr.contains("1 succeeded"), "{done:?}");
    assert_eq!(watching.wait(), 0);
    assert!(watching.log().contains("succeeded"), "{}", watching.log());
    let failing = cluster.submit(&[], "exit 1");
    let both = cluster.run(&["wait", &sweep, "nosuch", &failing]);
    assert!(both.code == 1 && both.stderr.contains("nosuch") && both.stderr.contains("1 failed"), "{both:?}");
    assert_eq!(cluster.run(&["wait", "nosuch"]).code, 3);
    assert_eq!(cluster.run(&["wait", &failing]).code, 1);
}

#[test]
fn all_of_ones_own_sweeps_are_cancelled_when_that_is_meant() {
    let cluster = Cluster::without_agent(Options::default());
    let [one, two] = ["one", "two"].map(|name| submit(&cluster, name, "ann", &[]));
    let other = submit(&cluster, "other", "bob", &[]);
    become_owner(&cluster, "ann");
    let asked = cluster.run(&["cancel", "--all"]);
    assert!(asked.code == 2 && asked.stderr.contains("--yes") && asked.stderr.contains(&one), "{asked:?}");
    assert_eq!(cluster.count(&one, "cancelled"), 0);
    cluster.ok(&["cancel", "--all", "--yes"]);
    assert_eq!([&one, &two, &other].map(|sweep| cluster.count(sweep, "cancelled")), [1, 1, 0]);
    assert_eq!(cluster.run(&["cancel", "--all", &other]).code, 2);
    cluster.ok(&["cancel", "--all", "--owner", "bob", "--yes"]);
    assert_eq!(cluster.count(&other, "cancelled"), 1);
}

#[test]
fn a_removed_sweep_is_gone_with_its_files() {
    let cluster = Cluster::start();
    let sweep = submit(&cluster, "gone", "ann", &["--matrix", "n=1,2"]);
    let early = cluster.run(&["rm", "gone", "--yes"]);
    if early.code != 0 {
        assert!(early.stderr.contains("has not finished"), "{early:?}");
    }
    cluster.wait_ended(&sweep);
    let kept = submit(&cluster, "kept", "ann", &[]);
    cluster.wait_ended(&kept);
    let dir = |name: &str, id: &str| cluster.store().join(format!("{name}-{}", &id[..8]));
    wait_until("documents are written", || {
        let written = dir("kept", &kept).join("0/result.json").exists();
        (written && dir("gone", &sweep).join("1/result.json").exists()).then_some(())
    });
    assert_eq!(cluster.run(&["rm", "gone"]).code, 2, "nobody can be asked");
    let dry = cluster.run(&["rm", "gone", "--dry-run"]);
    assert!(dry.code == 0 && dry.stderr.contains("2 files of results"), "{dry:?}");
    assert_eq!(cluster.json(&["show", "gone"])["state"], "succeeded");
    let removed = cluster.run(&["rm", "gone", "nosuch", "--yes"]);
    assert!(removed.code == 1 && removed.stderr.contains("removed, with 2 jobs"), "{removed:?}");
    for command in [&["show", &sweep][..], &["jobs", "gone"], &["results", "ls", "gone"], &["retry", &sweep]]
    {
        assert_eq!(cluster.run(command).code, 3, "{command:?}");
    }
    assert_eq!(names(&cluster.json(&["ls", "--all"])), ["kept"]);
    wait_until("its files are gone", || {
        let files = std::fs::read_dir(dir("gone", &sweep)).map_or(0, Iterator::count);
        (files == 0).then_some(())
    });
    assert!(dir("kept", &kept).join("0/1/x").exists());
    cluster.ok(&["results", "verify", "kept"]);
}

#[test]
fn a_removal_that_breaks_off_is_finished_by_the_collector() {
    let cluster = Cluster::start();
    let sweep = submit(&cluster, "gone", "ann", &[]);
    cluster.wait_ended(&sweep);
    let dir = cluster.store().join(format!("gone-{}", &sweep[..8]));
    wait_until("the result is written", || dir.join("0/result.json").exists().then_some(()));
    // As a coordinator leaves it that is killed after the commit.
    cluster.database.query(&format!(
        "update sweeps set removed_at = now(), expired_at = now(), collected_at = null where id = '{sweep}'"
    ));
    cluster.ok(&["gc"]);
    assert!(!dir.join("0").exists(), "{dir:?}");
}

#[test]
fn a_sweep_whose_results_another_one_uses_stays() {
    let cluster = Cluster::start();
    let first = submit(&cluster, "first", "ann", &[]);
    cluster.wait_ended(&first);
    let second = submit(&cluster, "first", "ann", &["--reuse"]);
    cluster.wait_ended(&second);
    assert_eq!(cluster.json(&["show", &second])["reuse"]["taken"], 1);
    let refused = cluster.run(&["rm", &first, "--yes"]);
    assert!(refused.code != 0 && refused.stderr.contains(&second), "{refused:?}");
    assert_eq!(cluster.run(&["results", "verify", &second]).code, 0);
    cluster.ok(&["rm", &second, "--yes"]);
    cluster.ok(&["rm", &first, "--yes"]);
}
