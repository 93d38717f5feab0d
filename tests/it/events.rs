//! What happens, as those who watch are told: all of it, in order, once, also to those who come again.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

use bt_tests::http::get;
use bt_tests::{Cluster, Options, PATIENCE};
use serde_json::{Value, json};

/// A client that watches.
struct Watch {
    curl: Child,
    events: Receiver<Value>,
}

impl Watch {
    /// From the moment on at which this returns, or behind an event.
    fn begin(cluster: &Cluster, asked: &str, flags: &[&str]) -> Self {
        let mut curl = Command::new("curl")
            .args(["-sN"])
            .args(flags)
            .arg(format!("{}/api/events{asked}", cluster.address()))
            .stdout(Stdio::piped())
            .spawn()
            .expect("curl is installed");
        let mut lines = BufReader::new(curl.stdout.take().unwrap()).lines();
        assert_eq!(lines.next().unwrap().unwrap(), ":", "the stream has begun");
        let (sender, events) = channel();
        std::thread::spawn(move || {
            let mut id = String::new();
            for line in lines.map_while(Result::ok) {
                if let Some(given) = line.strip_prefix("id: ") {
                    id = given.to_owned();
                }
                let Some(data) = line.strip_prefix("data: ") else { continue };
                let event: Value = serde_json::from_str(data).unwrap();
                assert_eq!(event["id"], id, "{line}");
                if sender.send(event).is_err() {
                    return;
                }
            }
        });
        Self { curl, events }
    }

    #[track_caller]
    fn next(&self) -> Value {
        self.events.recv_timeout(PATIENCE).expect("an event")
    }

    /// All events up to one that is like this, which is the last.
    #[track_caller]
    fn until(&self, is_last: impl Fn(&Value) -> bool) -> Vec<Value> {
        let mut all = Vec::new();
        loop {
            all.push(self.next());
            if is_last(&all[all.len() - 1]) {
                return all;
            }
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.curl.kill().ok();
        self.curl.wait().ok();
    }
}

fn is_finished(event: &Value) -> bool {
    event["change"] == "finished"
}

/// The states in which each job was seen, in their order.
fn states(events: &[Value]) -> BTreeMap<u64, Vec<String>> {
    let mut states: BTreeMap<u64, Vec<String>> = BTreeMap::new();
    for event in events.iter().filter(|event| event["kind"] == "jobs") {
        let jobs = event["jobs"].as_array().unwrap();
        assert_eq!(event["count"], jobs.len(), "{event}");
        for job in jobs {
            states
                .entry(job.as_u64().unwrap())
                .or_default()
                .push(event["state"].as_str().unwrap().to_owned());
        }
    }
    states
}

#[test]
fn all_that_happens_to_a_sweep_is_told_in_order() {
    let cluster = Cluster::with(Options::simulated(&["--cpus", "64"]));
    let watch = Watch::begin(&cluster, "", &[]);
    let sweep = cluster.submit_simulated(&[
        "--name",
        "seen",
        "--matrix",
        "n=0:199",
        "-e",
        "BT_SIM_EXIT={{ 3 if n == 7 else 0 }}",
        "--retries",
        "1",
    ]);
    cluster.wait_ended(&sweep);
    let events = watch.until(is_finished);
    assert_eq!(
        (&events[0]["kind"], &events[0]["change"], &events[0]["name"]),
        (&json!("sweep"), &json!("queued"), &json!("seen"))
    );
    let places: Vec<(u64, u64)> = events
        .iter()
        .map(|event| {
            let (xact, id) = event["id"].as_str().unwrap().split_once('-').unwrap();
            (xact.parse().unwrap(), id.parse().unwrap())
        })
        .collect();
    assert!(places.is_sorted_by(|a, b| a < b), "{places:?}");
    let states = states(&events);
    assert_eq!(states.len(), 200);
    for (job, states) in states {
        let expected: &[&str] = match job {
            7 => &["running", "queued", "running", "failed"],
            _ => &["running", "succeeded"],
        };
        assert_eq!(states, expected, "job {job}");
    }
    let mut attempts: BTreeMap<(u64, u64), Vec<String>> = BTreeMap::new();
    for event in events.iter().filter(|event| event["kind"] == "attempts") {
        for moved in event["attempts"].as_array().unwrap() {
            let key = (moved["job"].as_u64().unwrap(), moved["attempt"].as_u64().unwrap());
            attempts.entry(key).or_default().push(event["state"].as_str().unwrap().to_owned());
            assert_eq!(moved["agent"].as_str().unwrap().len(), 36, "{moved}");
        }
    }
    assert_eq!(attempts.len(), 201);
    for (key, states) in attempts {
        let last = if key.0 == 7 { "failed" } else { "succeeded" };
        assert_eq!(
            (states[0].as_str(), states[states.len() - 1].as_str()),
            ("leased", last),
            "{key:?}: {states:?}"
        );
    }
}

#[test]
fn a_client_that_comes_again_goes_on_where_it_was() {
    let cluster = Cluster::with(Options::simulated(&["--cpus", "8"]));
    let watch = Watch::begin(&cluster, "?kinds=jobs,sweep", &[]);
    let first = cluster.submit_simulated(&["--matrix", "n=0:49"]);
    cluster.wait_ended(&first);
    let all = watch.until(is_finished);
    assert!(all.iter().all(|event| ["jobs", "sweep"].contains(&event["kind"].as_str().unwrap())), "{all:?}");
    for at in [0, all.len() / 2, all.len() - 2] {
        let last = format!("Last-Event-ID: {}", all[at]["id"].as_str().unwrap());
        let again = Watch::begin(&cluster, "?kinds=jobs,sweep", &["-H", &last]);
        assert_eq!(again.until(is_finished), all[at + 1..], "behind event {at}");
    }
    let last = all[all.len() - 1]["id"].as_str().unwrap().to_owned();
    // Another coordinator on the same queue tells the same.
    let second = cluster.submit_simulated(&["--matrix", "n=0:4", "--name", "second"]);
    cluster.wait_ended(&second);
    let of_second = Watch::begin(&cluster, &format!("?after={last}&sweep=second"), &[]);
    let events = of_second.until(is_finished);
    let sweeps: BTreeSet<_> = events.iter().map(|event| event["sweep"].as_str().unwrap()).collect();
    assert_eq!(sweeps, BTreeSet::from([second.as_str()]));
    assert_eq!(events[0]["change"], "queued");
    // Some of what it would go on with is not kept any more.
    cluster.database.query(
        "delete from events where (xact, id) in (select xact, id from events order by xact, id limit 20)",
    );
    let first = all[0]["id"].as_str().unwrap();
    let gap = Watch::begin(&cluster, &format!("?after={first}"), &[]);
    assert_eq!(gap.next()["kind"], "gap");
    cluster.ok(&["agents", "drain", "agent"]);
    assert_eq!(gap.next()["change"], "drained");
}

#[test]
fn what_people_do_and_what_becomes_of_agents_is_told() {
    let mut cluster = Cluster::with(Options::simulated(&["--cpus", "2"]));
    let watch = Watch::begin(&cluster, "", &[]);
    let sweep = cluster.submit_simulated(&["--matrix", "n=0:9", "-e", "BT_SIM_MS=600000"]);
    cluster.wait_count(&sweep, "running", 2);
    cluster.ok(&["pause", &sweep]);
    cluster.ok(&["resume", &sweep]);
    cluster.ok(&["cancel", &sweep]);
    let changes: Vec<String> = watch
        .until(is_finished)
        .iter()
        .filter(|event| event["kind"] == "sweep")
        .map(|event| event["change"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(changes, ["queued", "paused", "resumed", "cancelled", "finished"]);
    cluster.ok(&["retry", &sweep]);
    watch.until(|event| event["change"] == "reopened");
    cluster.ok(&["cancel", &sweep]);
    watch.until(is_finished);
    cluster.ok(&["rm", "--yes", &sweep]);
    watch.until(|event| event["change"] == "removed");
    cluster.agent().kill();
    let gone = watch.until(|event| event["change"] == "disconnected");
    assert_eq!(gone[gone.len() - 1]["name"], "agent");
}

#[test]
fn a_mistake_is_named_and_old_events_are_forgotten() {
    let cluster = Cluster::without_agent(Options::default());
    for (asked, words) in [
        ("?kinds=job", "\"job\" is not a kind of event; kinds are sweep, jobs, attempts, agent"),
        ("?after=12", "\"12\" is not the id of an event"),
        ("?from=12", "unknown field `from`"),
    ] {
        let (status, _, message) = get(&cluster, &format!("/api/events{asked}")).refused();
        assert!(status == 400 && message.contains(words), "{message}");
    }
    assert_eq!(get(&cluster, "/api/events?sweep=nothing").status, 404);
    cluster.submit_simulated(&[]);
    cluster.database.query("update events set at = at - interval '2 hours'");
    bt_tests::wait_until("old events are forgotten", || {
        (cluster.database.query("select count(*) from events") == ["1"]).then_some(())
    });
}
