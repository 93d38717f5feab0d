//! `preempt`: running jobs of a lower priority make room.

use bt_tests::http::get;
use bt_tests::{Cluster, Options, wait_until};

/// The flags of jobs that run until the gate is open.
fn gated(cluster: &Cluster) -> String {
    format!("BT_SIM_GATE={}", cluster.dir().join("gate/open").display())
}

/// Attempts that made room, as `sweep name/job`.
fn preempted(cluster: &Cluster) -> Vec<String> {
    cluster.database.query(
        "select s.name || '/' || a.job from attempts a join sweeps s on s.id = a.sweep_id
         where a.preempted_by is not null and a.state = 'returned' order by a.finished_at, a.job",
    )
}

/// What jobs have spent of what they may.
fn spent(cluster: &Cluster) -> Vec<String> {
    cluster.database.query("select sum(failures + ooms + losses + preemptions) from jobs")
}

#[test]
fn a_job_that_may_preempt_takes_the_place_of_the_youngest_of_the_lowest_priority() {
    let cluster = Cluster::with(Options::simulated(&["--cpus", "3"]));
    let gate = gated(&cluster);
    for (name, priority) in [("better", "1"), ("old", "0"), ("young", "0")] {
        cluster.submit_simulated(&["--name", name, "-e", &gate, "--priority", priority]);
        wait_until("it runs", || {
            let started = "select count(*) from attempts a join sweeps s on s.id = a.sweep_id
                           where a.started_at is not null and s.name = ";
            (cluster.database.query(&format!("{started}'{name}'")) == ["1"]).then_some(())
        });
    }
    // Without being asked for it nothing makes room, whatever the priority.
    let patient = cluster.submit_simulated(&["--name", "patient", "-e", "BT_SIM_MS=10", "--priority", "9"]);
    let told = cluster.ok(&["explain", &patient]);
    assert!(!told.contains("preempt"), "{told}");
    cluster.ok(&["pause", &patient]);
    let urgent = ["--name", "urgent", "-e", &gate, "--priority", "2", "--preempt"];
    cluster.submit_simulated(&urgent);
    wait_until("it runs", || (cluster.count("urgent", "running") == 1).then_some(()));
    assert_eq!(preempted(&cluster), ["young/0"]);
    // What it lost its place to, it is told.
    let shown = cluster.json(&["show", "young/0"]);
    assert_eq!(shown["history"][0]["state"], "returned", "{shown}");
    let told = cluster.ok(&["explain", "young/0"]);
    assert!(told.contains("preempted by sweep urgent of priority 2"), "{told}");
    let metrics = String::from_utf8(get(&cluster, "/metrics").body).unwrap();
    assert!(metrics.lines().any(|line| line == "btctl_jobs_preempted_total 1"), "{metrics}");
    cluster.open_gate();
    for sweep in ["better", "old", "young", "urgent"] {
        cluster.wait_count(sweep, "succeeded", 1);
    }
    assert_eq!(spent(&cluster), ["0"]);
    assert_eq!(preempted(&cluster), ["young/0"]);
}

#[test]
fn a_large_job_ends_as_few_as_it_needs_and_many_jobs_one_each() {
    let cluster = Cluster::with(Options::simulated(&["--cpus", "6"]));
    let gate = gated(&cluster);
    let low = cluster.submit_simulated(&["--matrix", "n=1:6", "-e", &gate]);
    cluster.wait_count(&low, "running", 6);
    let large = cluster.submit_simulated(&["--cpus", "2", "-e", &gate, "--priority", "1", "--preempt"]);
    cluster.wait_count(&large, "running", 1);
    assert_eq!(preempted(&cluster).len(), 2);
    // Two may run, of five: no more room is made than that.
    let bound = ["--matrix", "n=1:5", "-e", &gate, "--priority", "1", "--preempt", "--max-parallel", "2"];
    let bound = cluster.submit_simulated(&bound);
    cluster.wait_count(&bound, "running", 2);
    let told = cluster.ok(&["explain", &format!("{bound}/4")]);
    assert!(told.contains("it may preempt nothing: more room would not help it"), "{told}");
    // Nor for one that a limit holds back that nobody has set.
    let held = cluster.submit_simulated(&["--priority", "9", "--preempt", "--limit", "nas=1"]);
    let told = cluster.ok(&["explain", &held]);
    assert!(told.contains("it may preempt nothing: more room would not help it"), "{told}");
    let equal = cluster.submit_simulated(&["--priority", "0", "--preempt"]);
    let told = cluster.ok(&["explain", &equal]);
    assert!(
        told.contains("it may preempt nothing: no job of a priority below 0 runs where it could"),
        "{told}"
    );
    // Long enough for several more turns.
    let began = std::time::Instant::now();
    wait_until("some seconds pass", || (began.elapsed().as_secs() >= 6).then_some(()));
    assert_eq!(preempted(&cluster).len(), 4);
    assert_eq!(cluster.count(&low, "running"), 2);
    cluster.open_gate();
    for (sweep, jobs) in [(&low, 6), (&large, 1), (&bound, 5), (&equal, 1)] {
        cluster.wait_count(sweep, "succeeded", jobs);
    }
    assert_eq!(spent(&cluster), ["0"]);
}

#[test]
fn a_job_that_made_room_three_times_runs_to_its_end() {
    let cluster = Cluster::with(Options::simulated(&["--cpus", "1"]));
    let gate = gated(&cluster);
    let low = cluster.submit_simulated(&["--name", "low", "-e", &gate]);
    for time in 1..=3 {
        cluster.wait_count(&low, "running", 1);
        let high = cluster.submit_simulated(&["-e", "BT_SIM_MS=10", "--priority", "1", "--preempt"]);
        cluster.wait_count(&high, "succeeded", 1);
        assert_eq!(preempted(&cluster).len(), time);
    }
    cluster.wait_count(&low, "running", 1);
    let high = cluster.submit_simulated(&["-e", "BT_SIM_MS=10", "--priority", "1", "--preempt"]);
    let told = cluster.ok(&["explain", &high]);
    assert!(told.contains("has been preempted 3 times"), "{told}");
    // One that is cancelled needs no room any more.
    let cancelled = cluster.submit_simulated(&["--priority", "7", "--preempt"]);
    cluster.ok(&["cancel", &cancelled]);
    cluster.open_gate();
    for sweep in [&low, &high] {
        cluster.wait_count(sweep, "succeeded", 1);
    }
    assert_eq!(
        cluster
            .database
            .query("select attempts from jobs where sweep_id = (select id from sweeps where name = 'low')"),
        ["4"]
    );
}

#[test]
fn other_owners_jobs_make_room_only_where_the_operator_says_so() {
    let mut cluster = Cluster::with(Options { tokens: true, ..Options::simulated(&["--cpus", "1"]) });
    let gate = gated(&cluster);
    let (ann, bob) =
        (cluster.token("ann", &["--role", "submitter"]), cluster.token("bob", &["--role", "submitter"]));
    let submit = |cluster: &Cluster, token: &str, flags: &[&str]| {
        let args = [&["submit", "--image", "x", "-m", "64m"], flags, &["--", "x"]].concat();
        let done = cluster.run_as(token, &args);
        assert_eq!(done.code, 0, "{done:?}");
    };
    submit(&cluster, &ann, &["--name", "hers", "-e", &gate]);
    wait_until("it runs", || (cluster.count("hers", "running") == 1).then_some(()));
    submit(&cluster, &bob, &["--name", "his", "-e", "BT_SIM_MS=10", "--priority", "5", "--preempt"]);
    let told = cluster.ok(&["explain", "his/0"]);
    assert!(
        told.contains("it may preempt nothing: no job of bob with a lower priority runs where it could"),
        "{told}"
    );
    let token = cluster.dir().join("admin.token").display().to_string();
    let asking = ["--auth", "tokens", "--admin-token-file", &token, "--preemption"];
    cluster.tell_coordinators(&[&asking[..], &["off"]].concat());
    cluster.coordinator().kill();
    cluster.start_coordinator();
    wait_until("nothing may end", || {
        let told = cluster.run(&["explain", "his/0"]).stdout;
        told.contains("it may preempt nothing: this coordinator has --preemption off").then_some(())
    });
    assert_eq!(preempted(&cluster).len(), 0);
    cluster.tell_coordinators(&[&asking[..], &["all"]].concat());
    cluster.coordinator().kill();
    cluster.start_coordinator();
    wait_until("room is made", || {
        (cluster.database.query("select count(*) from results") == ["1"]).then_some(())
    });
    assert_eq!(preempted(&cluster), ["hers/0"]);
    cluster.open_gate();
    cluster.wait_count("hers", "succeeded", 1);
    assert_eq!(spent(&cluster), ["0"]);
}

#[test]
fn a_container_that_makes_room_is_gone_and_its_job_runs_again() {
    let mut cluster = Cluster::without_agent(Options::default());
    cluster.add_agent_with("agent", &["--cpus", "1", "--memory", "1GiB"].map(str::to_owned));
    let low = cluster.submit_waiting(&["--cpus", "1"], "echo done >/results/out");
    wait_until("it runs", || (cluster.running_containers(&low).len() == 1).then_some(()));
    let before = cluster.running_containers(&low);
    let high = cluster.submit(&["--cpus", "1", "--priority", "3", "--preempt"], "true");
    cluster.wait_count(&high, "succeeded", 1);
    assert_eq!(preempted(&cluster).len(), 1);
    wait_until("it runs again", || {
        let now = cluster.running_containers(&low);
        (now.len() == 1 && now != before).then_some(())
    });
    cluster.open_gate();
    cluster.wait_count(&low, "succeeded", 1);
    let shown = cluster.json(&["show", &format!("{low}/0")]);
    let states: Vec<_> =
        shown["history"].as_array().unwrap().iter().map(|attempt| attempt["state"].clone()).collect();
    assert_eq!(states, ["returned", "succeeded"], "{shown}");
    let published = cluster.database.query(
        "select a.number from results r join attempts a on a.id = r.attempt_id where r.sweep_id <> a.preempted_by or a.preempted_by is null order by a.number desc limit 1",
    );
    assert_eq!(published, ["2"]);
    assert_eq!(spent(&cluster), ["0"]);
}
