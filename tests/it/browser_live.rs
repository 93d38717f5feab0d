//! The page in a real browser while things happen: buttons, what changes by itself, and all of it behind a real nginx.

use bt_tests::{Cluster, GATE, Nginx, Options, WAIT_AT_GATE, browse, wait_until};
use serde_json::json;

#[test]
fn buttons_do_what_they_say() {
    let cluster = Cluster::with(Options::simulated(&["--cpus", "1"]));
    let sweep = cluster.submit_simulated(&["--matrix", "n=0:9", "--agent-label", "zone=none"]);
    let given = json!({
        "address": format!("{}/", cluster.address()), "path": format!("/sweeps/{sweep}"), "agents": true,
    });
    let pressed = browse("cancel.mjs", &given);
    let sentence = |button: &str| pressed["sentences"][button].as_str().unwrap().to_owned();
    assert!(sentence("pause").contains("It is paused"), "{pressed}");
    assert!(sentence("resume").contains("10 jobs wait"), "{pressed}");
    assert!(sentence("retry").contains("10 jobs wait"), "{pressed}");
    assert!(sentence("cancel").contains("0 of 10 jobs succeeded before it was cancelled"), "{pressed}");
    let states = cluster.database.query("select state, count(*) from jobs group by state");
    assert_eq!(states, ["cancelled|10"]);
    let buttons = pressed["buttons"].to_string();
    assert!(buttons.contains("retry") && !buttons.contains("pause"), "{buttons}");
    assert_eq!(pressed["at"], format!("{}/agents", cluster.address()));
    assert_eq!(cluster.database.query("select drained_at is not null from agents"), ["t"]);
}

#[test]
fn what_changes_is_shown_without_loading_the_page_again() {
    let cluster = Cluster::start();
    let script = format!("echo before; {WAIT_AT_GATE}; echo after");
    let sweep = cluster.submit(&[&GATE[..], &["--name", "live", "--matrix", "n=0:2"]].concat(), &script);
    wait_until("all run", || {
        let sql = "select count(*) from attempts where state = 'running'";
        (cluster.database.query(sql) == ["3"]).then_some(())
    });
    let given = json!({
        "address": format!("{}/", cluster.address()),
        "gate": cluster.dir().join("gate/open"),
        "pages": [
            {"path": format!("/sweeps/{sweep}"), "before": "0 of 3 jobs have finished, 3 run now", "after": "All 3 jobs succeeded"},
            {"path": "/?name=live&all=true", "before": "running", "after": "succeeded"},
            {"path": "/agents", "before": "live/2", "after": "2 of 2"},
        ],
        "followed": {"path": format!("/api/sweeps/{sweep}/jobs/1/log?follow=true"), "before": "before\n", "after": "after\n"},
    });
    let seen = browse("live.mjs", &given);
    for page in given["pages"].as_array().unwrap() {
        let path = page["path"].as_str().unwrap();
        let changed = &seen["changed"][path];
        assert_eq!(changed["isTheSame"], true, "{path} was loaded again: {seen}");
        assert_eq!(changed["keepsFocus"], true, "{path} takes the focus away: {seen}");
    }
    assert_eq!(seen["changed"]["/?name=live&all=true"]["hasTarget"], true, "{seen}");
    let log = seen["log"].as_str().unwrap();
    assert_eq!(log.split_whitespace().collect::<Vec<_>>(), ["before", "after"]);
}

#[test]
fn all_works_behind_nginx_below_a_path() {
    let cluster = Cluster::with(Options::simulated(&["--cpus", "1"]));
    let done = cluster.submit_simulated(&["--name", "done", "--matrix", "n=0:2"]);
    cluster.wait_ended(&done);
    let waits =
        cluster.submit_simulated(&["--name", "waits", "--matrix", "n=0:4", "--agent-label", "zone=none"]);
    let nginx = Nginx::start(&cluster.address());
    // A name that is not this machine's own: over plain HTTP the browser then says only by `Origin` where a form is from.
    let address = format!("http://btctl.test:{}/btctl/", nginx.port());
    let seen = browse(
        "proxy.mjs",
        &json!({
            "address": address, "flags": ["--host-resolver-rules=MAP btctl.test 127.0.0.1"],
            "done": done, "waits": waits,
        }),
    );
    assert_eq!(seen["first"], address, "without its last slash it is found, too");
    let at = |path: &str| json!(format!("{address}{path}"));
    assert_eq!(
        seen["visited"],
        json!([
            at(&format!("sweeps/{done}")),
            at(&format!("sweeps/{done}/jobs/1")),
            at(&format!("sweeps/{done}")),
            at("queue"),
            at("agents"),
            at("api"),
            at(""),
        ])
    );
    assert_eq!(seen["paused"], "It is paused: 0 of 5 jobs have finished.");
    assert_eq!((&seen["sweeps"], &seen["cancelled"]), (&json!(2), &json!(5)), "{seen}");
    assert_eq!(seen["event"]["name"], "waits", "{seen}");
    assert!(seen["live"].as_str().unwrap().contains("before it was cancelled"), "{seen}");
    assert_eq!(cluster.count(&waits, "cancelled"), 5);
    assert!(seen["drained"].as_str().unwrap().contains("undrain"), "{seen}");
}
