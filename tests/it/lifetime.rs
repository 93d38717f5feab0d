//! `--lifetime` of agents: no job is started that may not be done by then.

use bt_tests::http::get;
use bt_tests::{Cluster, Options, wait_until};

const OTHER: [&str; 8] = ["--engine", "simulated", "--cpus", "4", "--memory", "64GiB", "--disk", "1TiB"];

#[test]
fn a_job_that_may_take_longer_than_its_agent_lives_waits_for_another_one() {
    let limited = ["--cpus", "4", "--lifetime", "10m", "--drain-timeout", "5m"];
    let mut cluster = Cluster::with(Options::simulated(&limited));
    // 15 minutes in all, but for the time that images and outputs take.
    let fits = cluster.submit_simulated(&["-e", "BT_SIM_MS=10", "--timeout", "14m"]);
    let open = cluster.submit_simulated(&["-e", "BT_SIM_MS=10"]);
    for sweep in [&fits, &open] {
        cluster.wait_count(sweep, "succeeded", 1);
    }
    let long = cluster.submit_simulated(&["-e", "BT_SIM_MS=10", "--timeout", "15m"]);
    let why = cluster.ok(&["explain", &long]);
    assert!(why.contains("its lifetime is over too soon: it lets jobs run for 14m"), "{why}");
    assert!(why.contains("this one may take 15m 0s"), "{why}");
    // A job that comes later and fits does not wait for it.
    let small = cluster.submit_simulated(&["-e", "BT_SIM_MS=10", "--timeout", "1m"]);
    cluster.wait_count(&small, "succeeded", 1);
    assert_eq!(cluster.count(&long, "queued"), 1);

    // An agent that is there, and is of no use.
    let kind = |cluster: &Cluster| get(cluster, "/api/demand?hold=1s").json()["kinds"][0].clone();
    let wanted = kind(&cluster);
    assert_eq!((&wanted["agents"], &wanted["wanted"]), (&1.into(), &2.into()), "{wanted}");

    // By Postgres's clock, and only where there is an end.
    let shown = cluster.json(&["agents", "show", "agent"]);
    let ends = shown["ends"].as_str().expect("it ends").to_owned();
    let left = format!("select extract(epoch from '{ends}'::timestamptz - now()) between 600 and 870");
    assert_eq!(cluster.database.query(&left), ["t"]);
    assert!(cluster.ok(&["agents", "ls"]).lines().next().unwrap().contains("ENDS"));

    cluster.add_agent_with("lasting", &OTHER.map(str::to_owned));
    cluster.wait_count(&long, "succeeded", 1);
    assert_eq!(cluster.json(&["jobs", &long])[0]["agent"], "lasting");
    assert_eq!(cluster.json(&["agents", "show", "lasting"])["ends"], serde_json::Value::Null);
    // Those who ask Postgres, instead of looking at who is connected, hear the same of it.
    let estimate =
        ["submit", "--estimate", "--image", "x", "-m", "64m", "--timeout", "15m", "-o", "json", "--", "x"];
    let told = cluster.json(&estimate);
    assert_eq!((&told["agents"], &told["why"]), (&1.into(), &serde_json::json!([])), "{told}");
    let reused = cluster.submit_simulated(&["-e", "BT_SIM_MS=10", "--timeout", "15m", "--reuse"]);
    cluster.wait_count(&reused, "succeeded", 1);
}

#[test]
fn an_agent_that_connects_again_has_no_more_time_than_before() {
    let mut cluster =
        Cluster::with(Options::simulated(&["--cpus", "1", "--lifetime", "70s", "--drain-timeout", "1s"]));
    let ends = |cluster: &Cluster| -> f64 {
        cluster.database.query("select extract(epoch from ends_at) from agents")[0].parse().expect("it ends")
    };
    let first = ends(&cluster);
    cluster.coordinator().kill();
    cluster.start_coordinator();
    wait_until("the agent is back", || {
        let sessions = cluster
            .database
            .query("select count(*) from agents where disconnected_at is null and session > 1");
        (sessions == ["1"] && ends(&cluster) != first).then_some(())
    });
    let moved = ends(&cluster) - first;
    assert!(moved.abs() < 2.0, "{moved}");
    let sweep = cluster.submit_simulated(&["-e", "BT_SIM_MS=10", "--timeout", "71s"]);
    assert!(cluster.ok(&["explain", &sweep]).contains("its lifetime is over too soon"));
}
