//! `--lifetime` of agents: no job is started that may not be done by then.

use bt_tests::{Cluster, Options, wait_until};

#[test]
fn a_job_that_may_take_longer_than_its_agent_lives_waits_for_another_one() {
    let limited = ["--cpus", "4", "--lifetime", "10m", "--drain-timeout", "5m"];
    let mut cluster = Cluster::with(Options::simulated(&limited));
    let fits = cluster.submit_simulated(&["-e", "BT_SIM_MS=10", "--timeout", "14m"]);
    let open = cluster.submit_simulated(&["-e", "BT_SIM_MS=10"]);
    for sweep in [&fits, &open] {
        cluster.wait_count(sweep, "succeeded", 1);
    }
    let long = cluster.submit_simulated(&["-e", "BT_SIM_MS=10", "--timeout", "16m"]);
    wait_until("explain says why", || {
        cluster.ok(&["explain", &long]).contains("its lifetime is over too soon").then_some(())
    });
    assert_eq!(cluster.count(&long, "queued"), 1);
    let flags = ["--engine", "simulated", "--cpus", "4", "--memory", "64GiB", "--disk", "1TiB"];
    cluster.add_agent_with("lasting", &flags.map(str::to_owned));
    cluster.wait_count(&long, "succeeded", 1);
    let jobs = cluster.json(&["jobs", &long]);
    assert_eq!(jobs[0]["agent"], "lasting", "{jobs}");
}
