//! The audit log: what was changed and refused, by whom, in a chain that breaks where somebody touches it.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use bt_tests::http::curl;
use bt_tests::{Cluster, Options, wait_until};
use serde_json::Value;

fn cluster(more: &[&str]) -> Cluster {
    let mut options = Options { tokens: true, ..Options::simulated(&[]) };
    options.coordinator.extend(more.iter().map(|flag| (*flag).to_owned()));
    Cluster::without_agent(options)
}

fn entries(cluster: &Cluster, flags: &[&str]) -> Vec<Value> {
    cluster.json(&[&["audit"], flags].concat()).as_array().unwrap().clone()
}

#[test]
fn what_was_done_and_refused_is_written_down() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("audit.jsonl");
    let cluster = cluster(&["--audit-file", file.to_str().unwrap()]);
    let ann = cluster.token("ann", &["--role", "submitter"]);
    let eve = cluster.token("eve", &["--role", "viewer"]);
    let submit = ["submit", "--image", "x", "--name", "annas", "--", "x"];
    assert_eq!(cluster.run_as(&ann, &submit).code, 0);
    assert_eq!(cluster.run_as(&ann, &["cancel", "annas"]).code, 0);
    assert_eq!(cluster.run_as(&eve, &["retry", "annas"]).code, 4);
    assert_eq!(cluster.run_as("btctl_nonsense", &["ls"]).code, 4);
    assert_eq!(cluster.run_as(&ann, &["cancel", "nothing"]).code, 3, "changed nothing");
    cluster.ok(&["limits", "set", "nas", "4"]);
    cluster.ok(&["limits", "set", "nas", "6"]);
    let json = ["-H", "Content-Type: application/json", "-d", "{}"];
    let bearer = format!("Authorization: Bearer {ann}");
    let flags: Vec<_> = ["-H", &bearer].into_iter().chain(json).collect();
    assert_eq!(curl(&cluster, "/api/sweeps/annas/retry", &flags).status, 200);
    // Reading is not written down.
    cluster.ok(&["ls"]);

    let all = wait_until("all is written", || {
        let all = entries(&cluster, &[]);
        (all.len() >= 9).then_some(all)
    });
    let told: Vec<_> = all
        .iter()
        .map(|entry| {
            let text = |key: &str| entry[key].as_str().unwrap_or("-").to_owned();
            let outcome = text("outcome").split(':').next().unwrap().to_owned();
            format!("{} {} {} {outcome}", text("who"), text("role"), text("what"))
        })
        .collect();
    let expected = [
        "root admin Access/CreateToken done",
        "root admin Access/CreateToken done",
        "ann submitter Sweeps/Submit done",
        "ann submitter Sweeps/Cancel done",
        "eve viewer Sweeps/Retry refused",
        "unknown - Sweeps/ListSweeps refused",
        "root admin Sweeps/SetLimit done",
        "root admin Sweeps/SetLimit done",
        "ann submitter POST /api/sweeps/{sweep}/retry done",
    ];
    assert_eq!(told, expected);
    let numbers: Vec<_> = all.iter().map(|entry| entry["number"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (1..=9).collect::<Vec<_>>());
    assert!(all[3]["target"].as_str().unwrap().starts_with("annas ("), "{}", all[3]);
    assert_eq!((&all[7]["before"], &all[7]["after"]), (&Value::from(4), &Value::from(6)));
    assert!(all.iter().all(|entry| entry["from"] == "127.0.0.1"));
    assert_eq!(entries(&cluster, &["--who", "ann"]).len(), 3);
    assert_eq!(entries(&cluster, &["--since", "1h"]).len(), 9);
    assert!(entries(&cluster, &["--since", "2100-01-01"]).is_empty());

    let lines = wait_until("the file has all", || {
        let text = fs::read_to_string(&file).ok()?;
        (text.lines().count() == 9).then_some(text)
    });
    for (line, entry) in lines.lines().zip(&all) {
        let line: Value = serde_json::from_str(line).unwrap();
        for key in ["number", "who", "what", "target", "outcome", "hash"] {
            assert_eq!(line[key], entry[key], "{line}");
        }
    }
}

#[test]
fn a_touched_entry_breaks_the_chain() {
    let cluster = cluster(&[]);
    for limit in ["a", "b", "c", "d", "e"] {
        cluster.ok(&["limits", "set", limit, "1"]);
    }
    let sound = cluster.json(&["audit", "--verify"]);
    assert_eq!((sound["sound"].as_bool(), sound["entries"].as_u64()), (Some(true), Some(5)), "{sound}");
    let last = entries(&cluster, &[])[4]["hash"].clone();
    assert_eq!(sound["hash"], last);

    // Postgres itself refuses.
    for sql in ["update audit set who = 'bob'", "delete from audit where number = 3", "truncate audit"] {
        let refused = cluster.database.try_query(sql).unwrap_err();
        assert!(refused.contains("only grows"), "{sql}: {refused}");
    }
    assert_eq!(cluster.json(&["audit", "--verify"])["sound"], true);

    // Whoever may switch that off is found out.
    let touch = |sql: &str| {
        cluster.database.query("alter table audit disable trigger user");
        cluster.database.query(sql);
        let found = cluster.run(&["audit", "--verify"]);
        assert_eq!(found.code, 1, "{sql}: {found:?}");
        found.stderr
    };
    let told = touch("update audit set target = 'x' where number = 3");
    assert!(told.contains("entry 3"), "{told}");
    cluster.database.query("update audit set target = 'c' where number = 3");
    assert_eq!(cluster.run(&["audit", "--verify"]).code, 0);
    let told = touch("delete from audit where number = 2");
    assert!(told.contains("entry 2") && told.contains("missing"), "{told}");
}

#[test]
fn many_writers_make_one_chain() {
    let mut options = Options { tokens: true, ..Options::simulated(&[]) };
    options.heartbeat = "1s";
    let mut cluster = Cluster::without_agent(options);
    cluster.add_coordinator();
    let addresses = [cluster.address_of(0), cluster.address_of(1)];
    std::thread::scope(|scope| {
        for writer in 0..4 {
            let (cluster, address) = (&cluster, &addresses[writer % 2]);
            scope.spawn(move || {
                for number in 0..5 {
                    let limit = format!("w{writer}-{number}");
                    cluster.ok(&["--coordinator", address, "limits", "set", &limit, "1"]);
                }
            });
        }
    });
    let chain = cluster.json(&["audit", "--verify"]);
    assert_eq!(chain["sound"], true, "{chain}");
    let all = entries(&cluster, &[]);
    let done = all.iter().filter(|entry| entry["outcome"] == "done");
    assert_eq!(done.count(), 20, "{all:#?}");
    assert_eq!(all.len(), 20, "{all:#?}");
}

#[test]
fn each_entry_is_sent_to_the_systems_log_too() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let log = UnixDatagram::bind(&path).unwrap();
    log.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let cluster = cluster(&["--audit-syslog", path.to_str().unwrap()]);
    let read = |log: &UnixDatagram| {
        let mut message = vec![0; 65_536];
        let length = log.recv(&mut message).unwrap();
        String::from_utf8(message[..length].to_vec()).unwrap()
    };
    cluster.ok(&["limits", "set", "nas", "4"]);
    let message = read(&log);
    let (head, json) = message.split_once(": audit ").unwrap();
    assert!(head.starts_with("<85>btctl["), "{message}");
    let entry: Value = serde_json::from_str(json).unwrap();
    assert_eq!(entry["hash"], entries(&cluster, &[])[0]["hash"], "{message}");
    // A log that is started anew gets the next ones; one that is away holds up nobody.
    drop(log);
    fs::remove_file(&path).unwrap();
    cluster.ok(&["limits", "set", "nas", "5"]);
    let log = UnixDatagram::bind(&path).unwrap();
    log.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    cluster.ok(&["limits", "set", "nas", "6"]);
    let message = read(&log);
    assert!(message.contains("6"), "{message}");
    assert_eq!(entries(&cluster, &[]).len(), 3);
}
