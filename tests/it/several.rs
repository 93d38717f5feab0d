//! Many agents, several coordinators: whoever goes, the work goes on.

use bt_tests::{Cluster, Options, agent_notes, wait_until};

/// A setting of a larger run.
fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Each job number succeeded once, and none was started again after it had succeeded.
#[track_caller]
fn each_once(cluster: &Cluster, jobs: u64) {
    let sql = "select count(*), count(distinct number) from jobs where state = 'succeeded'";
    assert_eq!(cluster.database.query(sql), [format!("{jobs}|{jobs}")]);
    let sql = "select count(*), count(distinct (sweep_id, job)) from results";
    assert_eq!(cluster.database.query(sql), [format!("{jobs}|{jobs}")]);
    let sql = "select count(*) from attempts a join attempts b using (sweep_id, job)
        where a.state = 'succeeded' and b.leased_at > a.finished_at";
    assert_eq!(cluster.database.query(sql), ["0"]);
}

#[test]
fn machines_that_die_all_the_time_lose_no_job() {
    let (jobs, agents) = (setting("BTCTL_SPOT_JOBS", 1_500), setting("BTCTL_SPOT_AGENTS", 8));
    let mut cluster = Cluster::without_agent(Options { lease: "3s", ..Options::default() });
    let flags = Options::simulated(&["--cpus", "4"]).agent;
    for number in 0..agents {
        cluster.add_agent_with(&format!("spot{number}"), &flags);
    }
    let matrix = format!("n=1:{jobs}");
    let sweep = cluster.submit_simulated(&["--name", "spot", "--matrix", &matrix, "-e", "BT_SIM_MS=50"]);
    let mut next = 0;
    let mut deaths = 0;
    let mut last = std::time::Instant::now();
    let began = last;
    loop {
        // What is waited for is far away in a larger run.
        assert!(began.elapsed() < std::time::Duration::from_secs(1_200), "not all jobs have succeeded");
        std::thread::park_timeout(std::time::Duration::from_millis(100));
        let done = cluster.count(&sweep, "succeeded");
        // One of the machines that are there dies, and another one comes in its place.
        if done < jobs && last.elapsed() > std::time::Duration::from_secs(1) {
            last = std::time::Instant::now();
            cluster.agent_number(next).kill();
            cluster.add_agent_with(&format!("new{next}"), &flags);
            next += 1;
            deaths += 1;
        }
        if done == jobs {
            break;
        }
    }
    assert!(deaths > 0);
    println!("{jobs} jobs, {agents} agents, {deaths} deaths, {:?}", began.elapsed());
    each_once(&cluster, jobs);
}

#[test]
fn coordinators_can_be_killed_and_restarted_one_after_the_other() {
    let mut cluster = Cluster::without_agent(Options::default());
    cluster.add_coordinator();
    let flags = Options::simulated(&["--cpus", "8"]).agent;
    for name in ["a", "b", "c"] {
        cluster.add_agent_with(name, &flags);
    }
    let sweep = cluster.submit_simulated(&["--matrix", "n=1:600", "-e", "BT_SIM_MS=100"]);
    for (number, done) in [(0, 30), (1, 150), (0, 300), (1, 400)] {
        cluster.wait_count(&sweep, "succeeded", done);
        cluster.coordinator_number(number).kill();
        // The other one goes on alone.
        cluster.wait_count(&sweep, "succeeded", done + 40);
        cluster.start_coordinator_number(number);
    }
    cluster.wait_count(&sweep, "succeeded", 600);
    each_once(&cluster, 600);
    assert_eq!(cluster.database.query("select sum(losses), sum(failures) from jobs"), ["0|0"]);
}

#[test]
fn what_notifications_lose_the_poll_finds() {
    let mut cluster = Cluster::with(Options::simulated(&["--cpus", "2"]));
    // The agent knows the first coordinator only, and all is asked of the second.
    cluster.add_coordinator();
    let other = cluster.address_of(1);
    // From now on every notification is swallowed: the function of that name does nothing.
    for sql in [
        "set allow_system_table_mods = on;
         update pg_catalog.pg_proc set proname = 'pg_notify_that_works' where proname = 'pg_notify';
         create function pg_catalog.pg_notify(text, text) returns void language sql as 'select'",
        "select pg_terminate_backend(pid) from pg_stat_activity
         where datname = current_database() and pid <> pg_backend_pid()",
    ] {
        cluster.database.query(sql);
    }
    let submit = |millis: &str| {
        let millis = format!("BT_SIM_MS={millis}");
        let submitted = cluster.json(&[
            "--coordinator",
            &other,
            "submit",
            "--image",
            "x",
            "--matrix",
            "n=1:2",
            "-e",
            &millis,
            "-m",
            "64m",
            "--",
            "x",
        ]);
        submitted["id"].as_str().unwrap().to_owned()
    };
    let short = submit("0");
    cluster.wait_count(&short, "succeeded", 2);
    let long = submit("600000");
    cluster.wait_attempts("running", 2);
    cluster.ok(&["--coordinator", &other, "cancel", &long]);
    wait_until("the agent has let go of them", || {
        let agent = cluster.dir().join("agent");
        let dirs = std::fs::read_dir(agent.join("attempts")).unwrap();
        (dirs.count() == 0 && agent_notes(&agent).is_empty()).then_some(())
    });
}
