//! `btctl watch` without a sweep: all that happens, over a coordinator's restart.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

use bt_tests::{Cluster, Options, PATIENCE, btctl_path};
use serde_json::Value;

struct Watch {
    child: Child,
    lines: Receiver<String>,
}

impl Watch {
    fn begin(cluster: &Cluster, flags: &[&str]) -> Self {
        let mut child = Command::new(btctl_path())
            .arg("watch")
            .args(flags)
            .env("BTCTL_COORDINATOR", cluster.address())
            .env("HOME", cluster.dir())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (sender, receiver) = channel();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self { child, lines: receiver }
    }

    #[track_caller]
    fn next(&self) -> String {
        self.lines.recv_timeout(PATIENCE).expect("a line")
    }

    #[track_caller]
    fn event(&self) -> Value {
        let line = self.next();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

#[test]
fn all_that_happens_is_printed_once_over_a_restart_of_the_coordinator() {
    let mut cluster = Cluster::with(Options::simulated(&["--cpus", "8"]));
    // There is no such event: a gap says that it has begun.
    let watch = Watch::begin(&cluster, &["-o", "json", "--kinds", "sweep", "--after", "0-0"]);
    let gap = watch.event();
    assert_eq!(gap["kind"], "gap", "{gap}");
    let mut seen = Vec::new();
    let mut until_finished = |watch: &Watch| loop {
        let event = watch.event();
        assert_eq!(event["kind"], "sweep", "{event}");
        seen.push(format!("{} {}", event["name"].as_str().unwrap(), event["change"].as_str().unwrap()));
        if event["change"] == "finished" {
            return;
        }
    };
    cluster.submit_simulated(&["--name", "one"]);
    until_finished(&watch);
    cluster.coordinator().kill();
    cluster.start_coordinator();
    cluster.submit_simulated(&["--name", "two"]);
    until_finished(&watch);
    assert_eq!(seen, ["one queued", "one finished", "two queued", "two finished"]);

    // The same for people, from the first event on.
    let after = gap["id"].as_str().unwrap();
    let lines = Watch::begin(&cluster, &["--after", after, "--kinds", "sweep,jobs"]);
    let mut told = Vec::new();
    while !told.last().is_some_and(|line: &String| line.contains("two: finished")) {
        told.push(lines.next());
    }
    for text in
        [" sweep    one: queued (of ", " jobs     one: 1 running (0)", " jobs     two: 1 succeeded (0)"]
    {
        assert!(told.iter().any(|line| line.contains(text)), "{text}: {told:#?}");
    }
}

#[test]
fn what_is_no_event_and_no_kind_is_refused() {
    let cluster = Cluster::without_agent(Options::default());
    for (flags, told) in [
        (["watch", "--after", "x"], "is not the id of an event"),
        (["watch", "--kinds", "job"], "kinds are sweep, jobs, attempts, agent"),
        (["watch", "one", "--kinds=sweep"], "cannot be used with"),
    ] {
        let refused = cluster.run(&flags);
        assert!(refused.code == 2 && refused.stderr.contains(told), "{flags:?}: {refused:?}");
    }
}
