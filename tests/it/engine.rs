//! The container engine misbehaves: attempts are tried again or fail for the right reason, no capacity is lost, the agent
//! stays up and says how it is.

use bt_tests::{BrokenEngine, Cluster, GATE, Options, WAIT_AT_GATE, wait_until};

/// A cluster whose agent reaches the engine through a socket that can be broken.
fn start() -> (Cluster, BrokenEngine) {
    let mut cluster = Cluster::without_agent(Options::default());
    let engine = BrokenEngine::start(cluster.dir());
    let flags = [
        "--cpus",
        "1",
        "--memory",
        "1GiB",
        "--engine-deadline",
        "8s",
        "--drain-timeout",
        "1s",
        "--stop-grace",
        "1s",
    ];
    cluster.add_agent_in("agent", &flags.map(str::to_owned), &[("DOCKER_HOST", &engine.host())]);
    (cluster, engine)
}

fn state(cluster: &Cluster) -> String {
    cluster.json(&["agents", "ls"])[0]["state"].as_str().unwrap_or_default().to_owned()
}

#[track_caller]
fn wait_state(cluster: &Cluster, begins: &str) {
    wait_until(&format!("the agent is {begins}"), || state(cluster).starts_with(begins).then_some(()));
}

/// The whole capacity is there again: four jobs of a quarter cpu run at once.
#[track_caller]
fn all_capacity_is_there(cluster: &mut Cluster) {
    cluster.close_gate();
    let sweep = cluster.submit_waiting(&["--matrix", "n=1:4"], "true");
    wait_until("four jobs run at once", || (cluster.running_containers(&sweep).len() == 4).then_some(()));
    cluster.open_gate();
    cluster.wait_count(&sweep, "succeeded", 4);
    assert!(cluster.agent().is_running());
    wait_until("no container is left", || cluster.containers(&sweep).is_empty().then_some(()));
}

#[test]
fn an_engine_that_vanishes_in_mid_job_costs_nothing() {
    let (mut cluster, engine) = start();
    let script = format!("echo before; {WAIT_AT_GATE}; echo after; echo 1 > /results/one");
    let sweep = cluster.submit(&GATE, &script);
    // The engine has answered the agent, too.
    cluster.wait_attempts("running", 1);
    wait_until("the job runs", || (cluster.running_containers(&sweep).len() == 1).then_some(()));
    engine.vanish();
    wait_state(&cluster, "unhealthy: ");
    let waits = cluster.submit(&[], "true");
    let told = cluster.ok(&["explain", &format!("{waits}/0")]);
    assert!(told.contains("unhealthy"), "{told}");
    assert_eq!(cluster.count(&waits, "queued"), 1);
    // The job ends while its agent can't see it.
    cluster.open_gate();
    wait_until("the job has ended", || cluster.running_containers(&sweep).is_empty().then_some(()));
    engine.mend();
    cluster.wait_count(&sweep, "succeeded", 1);
    cluster.wait_count(&waits, "succeeded", 1);
    assert_eq!(cluster.ok(&["logs", &sweep]), "before\nafter\n");
    assert_eq!(cluster.database.query("select sum(attempts), sum(losses) from jobs"), ["2|0"]);
    wait_state(&cluster, "ready");
    all_capacity_is_there(&mut cluster);
}

#[test]
fn an_engine_that_starts_nothing_gets_no_more_work() {
    let (mut cluster, engine) = start();
    engine.hang("/start");
    let sweep = cluster.submit(&["--matrix", "n=1:3"], "true");
    wait_state(&cluster, "unhealthy: the container engine did not answer `start` within 8s");
    let told = cluster.ok(&["show", &sweep]);
    assert!(told.contains("unhealthy"), "{told}");
    engine.mend();
    cluster.wait_count(&sweep, "succeeded", 3);
    let failures = cluster.database.query("select sum(failures) from jobs");
    assert_eq!(failures, ["0"], "it is the machine's fault, not the jobs'");
    all_capacity_is_there(&mut cluster);
}

#[test]
fn an_engine_without_room_fails_attempts_as_the_machines_fault() {
    let (mut cluster, engine) = start();
    engine.fail("POST /containers/create", "mkdir /var/lib/docker/x: no space left on device");
    let sweep = cluster.submit(&[], "true");
    wait_until("an attempt fails", || {
        let told =
            cluster.database.query("select reason, reason_message from attempts where state = 'failed'");
        told.iter()
            .any(|row| row.starts_with("agent|") && row.contains("no space left on device"))
            .then_some(())
    });
    assert_eq!(cluster.count(&sweep, "failed"), 0, "it is tried again");
    engine.mend();
    cluster.wait_count(&sweep, "succeeded", 1);
    all_capacity_is_there(&mut cluster);
}

#[test]
fn a_container_that_cannot_be_killed_holds_up_nobody_else() {
    let (mut cluster, engine) = start();
    engine.hang("/stop");
    let sweep = cluster.submit(&["--timeout", "1s"], "sleep 60");
    wait_until("the attempt has ended", || {
        let ended =
            cluster.database.query("select reason, reason_message from attempts where state = 'failed'");
        ended.iter().any(|row| row.contains("did not answer `stop`")).then_some(())
    });
    engine.mend();
    cluster.ok(&["cancel", &sweep]);
    wait_until("its container is removed by a later pass", || {
        cluster.containers(&sweep).is_empty().then_some(())
    });
    all_capacity_is_there(&mut cluster);
}

#[test]
fn containers_of_others_are_never_touched() {
    let mut cluster = Cluster::start();
    let docker = |args: &[&str]| {
        let output = std::process::Command::new("docker").args(args).output().expect("run docker");
        assert!(output.status.success(), "docker {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    };
    // One without labels, and one of an agent of somebody else.
    let plain = docker(&["run", "-d", "--network", "none", "btctl-test:1", "sleep", "300"]);
    let label = "btctl.agent=00000000-0000-4000-8000-000000000000";
    let other = docker(&["run", "-d", "--network", "none", "--label", label, "btctl-test:1", "sleep", "300"]);
    let sweep = cluster.submit(&["--matrix", "n=1:4"], "sleep 1");
    cluster.wait_count(&sweep, "succeeded", 4);
    cluster.agent().kill();
    cluster.add_agent("agent");
    let sweep = cluster.submit(&[], "true");
    cluster.wait_count(&sweep, "succeeded", 1);
    let running = docker(&["ps", "-q", "--no-trunc"]);
    let survived = running.contains(&plain) && running.contains(&other);
    docker(&["rm", "-f", &plain, &other]);
    assert!(survived, "{running}");
}

#[test]
fn jobs_that_share_a_container_are_as_apart_as_is_promised() {
    let mut cluster = Cluster::start();
    let script = "ls -A /results > /results/before; echo $BT_PARAM_N > /results/n; cat $ALGORITHM_INPUT_PATH > /results/input
        test $BT_PARAM_N != 3 || exit 3
        test $BT_PARAM_N != 4 || tail /dev/zero
        test $BT_PARAM_N != 5 || sleep 60
        test $BT_PARAM_N != 6 || { sleep 60 & }
        echo done $BT_PARAM_N";
    let flags = ["--matrix", "n=1:12", "--containers", "reuse", "--timeout", "20s"];
    let sweep = cluster.submit(&flags, script);
    cluster.wait_ended(&sweep);
    let jobs = cluster.json(&["jobs", &sweep]);
    let reasons = [(2, "exit(3)"), (3, "oom"), (4, "timeout")];
    for (job, reason) in reasons {
        assert_eq!(jobs[job]["reason"], reason, "{}", jobs[job]);
    }
    assert_eq!(cluster.count(&sweep, "succeeded"), 9);
    cluster.ok(&["results", "get", &sweep, "-d", "out"]);
    for job in [0, 1, 5, 11] {
        let read = |name: &str| {
            std::fs::read_to_string(cluster.dir().join(format!("out/{job:02}/{name}"))).unwrap_or_default()
        };
        assert_eq!(read("n"), format!("{}\n", job + 1));
        assert!(!read("before").contains("input"), "the results directory was empty: {}", read("before"));
        assert!(read("input").contains(&format!("\"n\":{}", job + 1)), "{}", read("input"));
        let log = cluster.ok(&["logs", &format!("{sweep}/{job}")]);
        assert_eq!(log, format!("done {}\n", job + 1));
    }
    cluster.agent().terminate();
    assert!(cluster.containers(&sweep).is_empty(), "an agent that ends leaves no shared container");
}

#[test]
fn a_shared_container_that_an_agents_death_leaves_is_removed_and_its_job_runs_again() {
    let mut cluster = Cluster::start();
    let sweep = cluster.submit_waiting(&["--containers", "reuse"], "echo $BT_ATTEMPT > /results/attempt");
    wait_until("the job runs", || (cluster.running_containers(&sweep).len() == 1).then_some(()));
    an_agents_death_costs_the_job_an_attempt(&mut cluster, &sweep);
}

/// The agent dies while the only job runs in a container of its sweep's, and waits at the gate.
#[track_caller]
pub(crate) fn an_agents_death_costs_the_job_an_attempt(cluster: &mut Cluster, sweep: &str) {
    cluster.wait_attempts("running", 1);
    let before = cluster.running_containers(sweep);
    assert_eq!(before.len(), 1);
    cluster.agent().kill();
    cluster.add_agent("agent");
    cluster.open_gate();
    cluster.wait_count(sweep, "succeeded", 1);
    wait_until("the old container is gone", || {
        cluster.containers(sweep).iter().all(|container| !before.contains(container)).then_some(())
    });
    assert_eq!(cluster.database.query("select losses, failures from jobs"), ["1|0"]);
}

/// As when the engine is upgraded: it ends its containers and goes away.
#[test]
fn jobs_that_an_engine_ends_on_its_way_out_are_run_again() {
    let (mut cluster, engine) = start();
    let sweep =
        cluster.submit(&["--matrix", "n=1:2"], "test $BT_ATTEMPT -gt 1 || sleep 100; echo > /results/x");
    wait_until("the jobs run", || (cluster.running_containers(&sweep).len() == 2).then_some(()));
    let containers = cluster.running_containers(&sweep);
    for (container, is_first) in containers.iter().zip([true, false]) {
        // One is heard of before the engine is gone, the other after.
        if !is_first {
            engine.vanish();
        }
        let killed = std::process::Command::new("docker").args(["kill", "-s", "TERM", container]).output();
        assert!(killed.is_ok_and(|killed| killed.status.success()));
    }
    wait_until("they have ended", || cluster.running_containers(&sweep).is_empty().then_some(()));
    wait_state(&cluster, "unhealthy: ");
    engine.mend();
    cluster.wait_count(&sweep, "succeeded", 2);
    assert_eq!(cluster.database.query("select sum(failures), sum(losses) from jobs"), ["0|2"]);
    all_capacity_is_there(&mut cluster);
}
