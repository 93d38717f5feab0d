//! Kills: whatever dies in mid-sweep, every job ends succeeded once, with one whole result, and no container is left.

use bt_tests::{Cluster, GATE, Options, WAIT_AT_GATE, docker, wait_until};

const JOBS: u64 = 8;
const SCRIPT: &str = "echo {{ n }} > /results/n; head -c 100000 /dev/urandom > /results/noise";

/// Jobs that run until the gate is open. The agent has room for all of them.
fn submit(cluster: &Cluster) -> String {
    cluster.submit_waiting(&["--matrix", "n=1:8"], SCRIPT)
}

/// A cluster whose leases outlast everything that a test does meanwhile, however slow the machine is.
fn with_long_leases() -> Cluster {
    Cluster::with(Options { lease: "60s", ..Options::default() })
}

/// Waits until the job's containers run, and Postgres knows it.
#[track_caller]
fn wait_running(cluster: &Cluster, sweep: &str, jobs: usize) {
    wait_until("containers run", || (cluster.running_containers(sweep).len() >= jobs).then_some(()));
    wait_until("Postgres knows it", || {
        let sql = format!("select count(*) from attempts where sweep_id = '{sweep}' and state = 'running'");
        (cluster.database.query(&sql)[0].parse::<usize>().unwrap() >= jobs).then_some(())
    });
}

/// What must hold when the sweep is finished.
#[track_caller]
fn check(cluster: &Cluster, sweep: &str) {
    cluster.wait_count(sweep, "succeeded", JOBS);
    let sql = "select count(*), count(distinct job), count(distinct attempt_id) from results";
    assert_eq!(cluster.database.query(sql), [format!("{JOBS}|{JOBS}|{JOBS}")]);
    let sql = "select count(*) from attempts where state = 'succeeded'";
    assert_eq!(cluster.database.query(sql), [JOBS.to_string()]);
    let sql = "select count(*) from attempts where state in ('leased', 'preparing', 'running', 'publishing')";
    assert_eq!(cluster.database.query(sql), ["0"]);
    // `results get` compares every file's SHA-256.
    cluster.ok(&["results", "get", sweep, "-d", "all"]);
    for job in 0..JOBS {
        let n = std::fs::read_to_string(cluster.dir().join(format!("all/{job}/n"))).unwrap();
        assert_eq!(n, format!("{}\n", job + 1));
    }
    wait_until("every result.json is written", || {
        (cluster.database.query("select count(*) from results where not written") == ["0"]).then_some(())
    });
    wait_until("no container is left", || cluster.containers(sweep).is_empty().then_some(()));
}

/// No job was charged with anything, and none was started twice. A lease that never reached its agent costs nothing.
#[track_caller]
fn nothing_was_lost(cluster: &Cluster) {
    assert_eq!(cluster.database.query("select sum(losses), sum(failures) from jobs"), ["0|0"]);
    let sql = "select count(*), count(distinct job) from attempts where started_at is not null";
    assert_eq!(cluster.database.query(sql), [format!("{JOBS}|{JOBS}")]);
}

/// The same where other sweeps run too.
#[track_caller]
fn nothing_was_lost_of(cluster: &Cluster, sweep: &str) {
    let sql =
        format!("select sum(losses), sum(failures), max(attempts) from jobs where sweep_id = '{sweep}'");
    assert_eq!(cluster.database.query(&sql), ["0|0|1"]);
}

#[test]
fn an_agent_that_is_killed_takes_its_containers_back() {
    let mut cluster = with_long_leases();
    let sweep = submit(&cluster);
    wait_running(&cluster, &sweep, 4);
    cluster.agent().kill();
    cluster.add_agent("agent");
    cluster.open_gate();
    check(&cluster, &sweep);
    let sql = "select count(*) from attempts where state = 'lost'";
    assert_eq!(cluster.database.query(sql), ["0"], "a restart within the lease loses no attempt");
}

#[test]
fn an_agent_that_is_upgraded_keeps_its_containers_their_logs_and_exit_codes() {
    let mut cluster = with_long_leases();
    let script = format!("echo before; {WAIT_AT_GATE}; echo after; exit 7");
    let tells = cluster.submit(&GATE, &script);
    let sweep = submit(&cluster);
    wait_running(&cluster, &tells, 1);
    wait_running(&cluster, &sweep, 4);
    let before = cluster.running_containers(&sweep);
    let process = cluster.agent().pid();
    cluster.agent().signal("USR1");
    wait_until("the agent has connected again", || {
        (cluster.agent().log().matches("offers").count() == 2).then_some(())
    });
    assert_eq!(cluster.agent().pid(), process);
    let kept = cluster.containers(&sweep);
    assert!(before.iter().all(|container| kept.contains(container)), "{before:?} in {kept:?}");
    cluster.open_gate();
    cluster.wait_ended(&tells);
    check(&cluster, &sweep);
    nothing_was_lost_of(&cluster, &sweep);
    assert_eq!(cluster.json(&["jobs", &tells])[0]["reason"], "exit(7)");
    assert_eq!(cluster.ok(&["logs", &tells]), "before\nafter\n");
}

#[test]
fn an_agent_ends_by_itself_when_it_is_idle_and_when_its_time_is_over() {
    let mut cluster = Cluster::without_agent(Options::default());
    // The job is there before the agent, which would be idle without it, and runs longer than an idle agent stays. That
    // is long enough for a busy machine to bring the two together.
    let sweep = cluster.submit(&[], "sleep 11");
    let flags = ["--cpus", "1", "--memory", "1GiB", "--exit-when-idle", "10s"].map(str::to_owned);
    cluster.add_agent_unseen("idle", &flags);
    cluster.wait_count(&sweep, "succeeded", 1);
    assert_eq!(cluster.agent().wait(), 0);
    let sweep = cluster.submit_waiting(&["--matrix", "n=1:6"], "true");
    let flags =
        ["--cpus", "1", "--memory", "1GiB", "--lifetime", "20s", "--drain-timeout", "10m"].map(str::to_owned);
    cluster.add_agent_unseen("mortal", &flags);
    wait_until("four jobs run", || (cluster.running_containers(&sweep).len() == 4).then_some(()));
    wait_until("the agent takes no more", || {
        (cluster.json(&["agents", "show", "mortal"])["state"] == "draining").then_some(())
    });
    cluster.open_gate();
    assert_eq!(cluster.agent().wait(), 0);
    // What ran was finished, and what had not begun is as it was.
    assert_eq!(cluster.count(&sweep, "succeeded"), 4);
    assert_eq!(cluster.count(&sweep, "queued"), 2);
    assert_eq!(cluster.database.query("select sum(losses), sum(failures) from jobs"), ["0|0"]);
}

#[test]
fn the_jobs_of_an_agent_that_never_comes_back_run_elsewhere() {
    let mut cluster = Cluster::start();
    let sweep = submit(&cluster);
    wait_running(&cluster, &sweep, 2);
    cluster.agent().kill();
    cluster.add_agent("second");
    wait_until("leases are lost", || {
        (cluster.database.query("select count(*) > 0 from attempts where state = 'lost'") == ["t"])
            .then_some(())
    });
    cluster.open_gate();
    cluster.wait_count(&sweep, "succeeded", JOBS);
    let sql = "select count(*), count(distinct job) from results";
    assert_eq!(cluster.database.query(sql), [format!("{JOBS}|{JOBS}")]);
    // The first one comes back late, and removes what it left behind without changing anything.
    cluster.add_agent("agent");
    check(&cluster, &sweep);
}

#[test]
fn an_agent_that_was_stopped_past_its_lease_is_fenced() {
    let mut cluster = Cluster::with(Options { lease: "2s", ..Options::default() });
    let sweep = submit(&cluster);
    wait_running(&cluster, &sweep, 2);
    cluster.agent().signal("STOP");
    wait_until("its attempts are lost", || {
        let lost = cluster.database.query("select count(*) from attempts where state = 'lost'");
        (lost != ["0"]).then_some(())
    });
    cluster.agent().signal("CONT");
    cluster.open_gate();
    check(&cluster, &sweep);
}

#[test]
fn a_coordinator_that_is_killed_costs_nothing() {
    let mut cluster = Cluster::start();
    let sweep = submit(&cluster);
    wait_running(&cluster, &sweep, 4);
    cluster.coordinator().kill();
    // Containers end while there is no coordinator to hear of it.
    cluster.open_gate();
    wait_until("containers have ended", || cluster.running_containers(&sweep).is_empty().then_some(()));
    cluster.start_coordinator();
    check(&cluster, &sweep);
    nothing_was_lost(&cluster);
}

#[test]
fn postgres_connections_that_are_cut_cost_nothing() {
    let cluster = with_long_leases();
    let sweep = submit(&cluster);
    for cut in 0..10 {
        if cut == 5 {
            cluster.open_gate();
        }
        cluster.database.query(
            "select pg_terminate_backend(pid) from pg_stat_activity
             where datname = current_database() and pid <> pg_backend_pid()",
        );
        std::thread::park_timeout(std::time::Duration::from_millis(300));
    }
    check(&cluster, &sweep);
    nothing_was_lost(&cluster);
}

#[test]
fn a_drained_agent_finishes_its_jobs_and_takes_no_more() {
    let patient = ["--cpus", "2", "--memory", "2GiB", "--drain-timeout", "10m"].map(str::to_owned);
    let mut cluster = Cluster::with(Options { agent: patient.into(), ..Options::default() });
    let sweep = cluster.submit_waiting(&["--matrix", "n=1:8", "--cpus", "0.5"], SCRIPT);
    wait_running(&cluster, &sweep, 4);
    cluster.agent().signal("TERM");
    wait_until("the agent takes no more", || {
        (cluster.json(&["agents", "show", "agent"])["state"] == "draining").then_some(())
    });
    cluster.open_gate();
    assert_eq!(cluster.agent().wait(), 0);
    assert!(cluster.containers(&sweep).is_empty());
    let sql = "select count(*) from jobs where losses > 0 or failures > 0";
    assert_eq!(cluster.database.query(sql), ["0"]);
    assert!(cluster.count(&sweep, "queued") > 0);
    cluster.add_agent("agent");
    check(&cluster, &sweep);
}

#[test]
fn what_does_not_end_in_time_is_handed_back_at_no_cost() {
    let mut cluster = Cluster::with(Options {
        agent: ["--cpus", "2", "--drain-timeout", "0s", "--stop-grace", "1s"].map(str::to_owned).into(),
        ..Options::default()
    });
    let sweep = cluster.submit(&[], "sleep 100");
    wait_until("the container runs", || (cluster.containers(&sweep).len() == 1).then_some(()));
    cluster.agent().terminate();
    assert_eq!(cluster.count(&sweep, "queued"), 1);
    assert!(cluster.containers(&sweep).is_empty());
    assert_eq!(cluster.database.query("select losses, failures from jobs"), ["0|0"]);
}

#[test]
fn a_container_that_somebody_else_removed_is_run_again() {
    let cluster = Cluster::start();
    let sweep = cluster.submit_waiting(&[], ": > /results/x");
    wait_running(&cluster, &sweep, 1);
    docker(&["rm", "-f", &cluster.containers(&sweep)[0]]);
    cluster.open_gate();
    cluster.wait_count(&sweep, "succeeded", 1);
    assert_eq!(cluster.database.query("select attempts, losses from jobs"), ["2|1"]);
}

#[test]
fn a_job_that_asks_for_it_is_stopped_before_anybody_else_can_run_it() {
    let simulated = Options::simulated(&["--cpus", "2", "--stop-grace", "0s"]);
    let mut cluster = Cluster::with(Options { lease: "24s", ..simulated });
    let submit =
        |choice: &str| cluster.submit_simulated(&["-e", "BT_SIM_MS=600000", "--on-disconnect", choice]);
    let (stops, keeps) = (submit("stop"), submit("keep"));
    cluster.wait_count(&stops, "running", 1);
    cluster.wait_count(&keeps, "running", 1);
    cluster.wait_attempts("running", 2);
    cluster.coordinator().kill();
    let log = cluster.dir().join("agent.log");
    wait_until("the one that asked for it is stopped", || {
        let log = std::fs::read_to_string(&log).unwrap_or_default();
        log.contains("no coordinator was heard of for too long").then_some(())
    });
    // The lease may not have passed by then, by Postgres's clock.
    let sql = "select min(lease_expires_at) > now() from attempts where state = 'running'";
    assert_eq!(cluster.database.query(sql), ["t"], "its lease may have passed");
    cluster.start_coordinator();
    wait_until("it is handed back at no cost, and runs again", || {
        let sql = "select count(*) from attempts where state = 'running'";
        let again = cluster.database.query("select max(attempts), sum(losses), sum(failures) from jobs");
        (cluster.database.query(sql) == ["2"] && again == ["2|0|0"]).then_some(())
    });
    cluster.ok(&["cancel", &stops]);
    cluster.ok(&["cancel", &keeps]);
}

#[test]
fn a_machine_that_is_taken_back_hands_its_jobs_on() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("preempted");
    let notice = format!("--preempt-notice=file:{}", path.display());
    let mut cluster = Cluster::with(Options::simulated(&["--cpus", "2", "--drain-timeout", "1s", &notice]));
    let sweep = cluster.submit_simulated(&["-e", "BT_SIM_MS=600000", "--retries", "0"]);
    cluster.wait_attempts("running", 1);
    std::fs::write(&path, "").unwrap();
    assert_eq!(cluster.agent().wait(), 0);
    assert_eq!(cluster.count(&sweep, "queued"), 1);
    let accounts = "select preemptions, losses, failures from jobs";
    assert_eq!(cluster.database.query(accounts), ["1|0|0"]);
    cluster.ok(&["cancel", &sweep]);
}
