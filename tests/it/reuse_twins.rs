//! Identical jobs that are queued or running at the same time (`submit --reuse`): one of them runs, the others wait for it,
//! whoever goes meanwhile.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use bt_tests::{Cluster, Options, btctl_path, wait_until};
use serde_json::Value;

/// A cluster of these many coordinators and agents that run no containers, and the log of what they run.
fn simulated(coordinators: usize, agents: usize, options: Options) -> (Cluster, PathBuf) {
    let mut cluster = Cluster::without_agent(options);
    for _ in 1..coordinators {
        cluster.add_coordinator();
    }
    let log = cluster.dir().join("runs");
    let flags = Options::simulated(&["--cpus", "4"]).agent;
    let path = log.display().to_string();
    for number in 0..agents {
        cluster.add_agent_in(&format!("a{number}"), &flags, &[("BTCTL_SIM_LOG", &path)]);
    }
    (cluster, log)
}

/// Containers that were started.
fn starts(log: &Path) -> usize {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    text.lines().filter(|line| line.contains(r#""event":"start""#)).count()
}

/// A submit of `n` in this range that runs at the same time as others; its idempotency key makes it safe to repeat.
fn submit_as(
    cluster: &Cluster,
    owner: &str,
    coordinator: &str,
    matrix: &str,
    millis: &str,
) -> std::process::Child {
    let mut command = Command::new(btctl_path());
    command
        .args(["submit", "--name", owner, "--image", "x", "-m", "64m", "--reuse", "-o", "json"])
        .args(["--matrix", matrix, "-e", &format!("BT_SIM_MS={millis}"), "--idempotency-key", owner])
        .args(["--", "run", "{{ n }}"])
        .env("BTCTL_COORDINATOR", coordinator)
        .env("BTCTL_OWNER", owner)
        .env("HOME", cluster.dir())
        .env_remove("BTCTL_CONFIG")
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    command.spawn().expect("run btctl")
}

#[track_caller]
fn submitted(child: std::process::Child) -> Value {
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The state of the only job of a sweep.
fn state(cluster: &Cluster, sweep: &str) -> String {
    let jobs = cluster.json(&["jobs", sweep]);
    jobs[0]["state"].as_str().unwrap_or_default().to_owned()
}

/// A sweep of one job, `--reuse` and these flags.
fn one(cluster: &Cluster, name: &str, flags: &[&str]) -> String {
    cluster.submit_simulated(&[&["--name", name, "--reuse"], flags].concat())
}

fn attached(cluster: &Cluster, sweep: &str) -> Value {
    cluster.json(&["jobs", sweep])[0]["attached_to"]["name"].clone()
}

#[test]
fn overlapping_grids_of_several_people_cost_one_run_each_point() {
    let (cluster, log) = simulated(2, 2, Options::default());
    let grids = [("ann", 1, 60), ("bob", 31, 90), ("cy", 21, 70), ("di", 1, 90)];
    let submits = grids.iter().enumerate().map(|(number, (owner, from, to))| {
        let coordinator = cluster.address_of(number % 2);
        submit_as(&cluster, owner, &coordinator, &format!("n={from}:{to}"), "30")
    });
    let submits: Vec<_> = submits.collect();
    for child in submits {
        let told = submitted(child);
        assert!(["settled", "pending"].contains(&told["reuse"]["state"].as_str().unwrap()), "{told}");
    }
    for (owner, from, to) in grids {
        cluster.wait_count(owner, "succeeded", to - from + 1);
    }
    // On a machine that is very busy, a lease may be lost; what was not lost was not run again.
    let sql =
        "select count(*) filter (where state = 'succeeded'), count(*) filter (where started_at is not null)
        from attempts";
    let begun = starts(&log);
    assert_eq!(cluster.database.query(sql), [format!("90|{begun}")], "each point runs once");
    let sql = "select count(*) from results r join jobs j on j.sweep_id = r.sweep_id and j.number = r.job
        join attempts a on a.id = r.attempt_id
        where j.state = 'succeeded' and r.reused = ((a.sweep_id, a.job) <> (j.sweep_id, j.number))";
    assert_eq!(cluster.database.query(sql), [(60 + 60 + 50 + 90).to_string()]);
    wait_until("every result.json is written", || {
        (cluster.database.query("select count(*) from results where not written") == ["0"]).then_some(())
    });
    // Whose it is, each job says.
    let shared = cluster.json(&["show", "di"])["reuse"]["taken"].as_u64().unwrap();
    let jobs = cluster.json(&["jobs", "di"]);
    let of_others = jobs.as_array().unwrap().iter().filter(|job| !job["reused_from"].is_null());
    assert_eq!(of_others.count() as u64, shared);
}

#[test]
fn coordinators_that_are_killed_settle_every_sweep_once() {
    let options = Options { lease: "4s", ..Options::default() };
    let (mut cluster, log) = simulated(2, 2, options);
    let address = cluster.address();
    let mut sweeps = HashMap::new();
    for round in 0..4 {
        let (name, from) = (format!("s{round}"), round * 40 + 1);
        // Killed a little later each time: before it is settled, meanwhile, after it.
        let child = submit_as(&cluster, &name, &address, &format!("n={from}:{}", from + 199), "0");
        std::thread::park_timeout(std::time::Duration::from_millis(60 * round));
        cluster.coordinator_number(round as usize % 2).kill();
        // Whoever was not answered asks again: the key makes it one sweep.
        let acknowledged = child.wait_with_output().unwrap().status.success();
        cluster.start_coordinator_number(round as usize % 2);
        if !acknowledged {
            submitted(submit_as(&cluster, &name, &address, &format!("n={from}:{}", from + 199), "0"));
        }
        sweeps.insert(name, 200);
    }
    for (name, jobs) in &sweeps {
        cluster.wait_count(name, "succeeded", *jobs);
    }
    let points = 3 * 40 + 200;
    let sql = "select count(*), count(distinct (sweep_id, job)) from attempts where state = 'succeeded'";
    assert_eq!(cluster.database.query(sql), [format!("{points}|{points}")]);
    assert!(starts(&log) >= points as usize);
    let sql = "select count(*) from jobs where attached_sweep is not null";
    assert_eq!(cluster.database.query(sql), ["0"]);
    let sql = "select count(*) from sweeps s cross join lateral
        (select sum(queued) q, sum(attached) a, sum(succeeded) s from sweep_counts where sweep_id = s.id) c
        where (c.q, c.a, c.s) <> (0, 0, 200)";
    assert_eq!(cluster.database.query(sql), ["0"], "the counts are the jobs'");
}

/// Settling stops at this statement, in the middle of its transaction, and the coordinator is killed there.
#[track_caller]
fn killed_at(statement: &str, table: &str) {
    let (mut cluster, log) = simulated(1, 1, Options::default());
    let flags = ["-e", "BT_SIM_MS={{ 600000 if n == 3 else 0 }}", "--matrix"];
    let first = cluster.submit_simulated(&[&["--name", "first"], &flags[..], &["n=1:3"]].concat());
    cluster.wait_count(&first, "succeeded", 2);
    let function = "create function stall() returns trigger language plpgsql as
        $$ begin perform pg_sleep(600); return null; end $$";
    cluster.database.query(function);
    cluster.database.query(&format!("create trigger stall after {statement} execute function stall()"));
    let second =
        [&["submit", "--name", "second", "--image", "x", "-m", "64m", "--reuse"], &flags[..], &["n=2:4"]];
    let mut command = Command::new(btctl_path());
    command
        .args(second.concat())
        .args(["--", "x"])
        .env("BTCTL_COORDINATOR", cluster.address())
        .env("HOME", cluster.dir())
        .env_remove("BTCTL_CONFIG")
        .stderr(Stdio::null());
    let mut submit = command.spawn().expect("run btctl");
    let stalled =
        "select pid from pg_stat_activity where datname = current_database() and wait_event = 'PgSleep'";
    let stalled = wait_until("it is in the middle of it", || cluster.database.query(stalled).pop());
    cluster.coordinator().kill();
    cluster.database.query(&format!("select pg_terminate_backend({stalled})"));
    let done = "select (select count(*) from results where reused), (select count(*) from reused_from),
        (select count(*) from jobs where attached_sweep is not null),
        (select count(*) from sweeps where reuse = 'settled')";
    assert_eq!(cluster.database.query(done), ["0|0|0|0"], "nothing of it counts");
    cluster.database.query(&format!("drop trigger stall on {table}"));
    cluster.start_coordinator();
    submit.wait().unwrap();
    cluster.wait_count("second", "succeeded", 2);
    assert_eq!(cluster.database.query(done), ["1|1|1|1"]);
    assert_eq!(starts(&log), 3 + 1);
}

#[test]
fn a_coordinator_that_is_killed_while_it_takes_results_takes_none() {
    killed_at("insert on reused_from for each statement", "reused_from");
}

#[test]
fn a_coordinator_that_is_killed_before_it_commits_leaves_nothing_half_done() {
    killed_at("update on sweeps for each row when (new.reuse = 'settled')", "sweeps");
}

#[test]
fn where_the_leader_fails_exactly_one_other_runs() {
    let (cluster, log) = simulated(2, 2, Options::default());
    let gate = cluster.dir().join("first-may-fail");
    let waits = format!("BT_SIM_GATE={}", gate.display());
    let flags = ["-e", &waits, "-e", "BT_SIM_EXIT=3", "-e", "BT_SIM_MS=100"];
    let leader = one(&cluster, "first", &flags);
    cluster.wait_count(&leader, "running", 1);
    let others = ["second", "third", "fourth"].map(|name| one(&cluster, name, &flags));
    for other in &others {
        assert_eq!(attached(&cluster, other), "first");
    }
    let told = cluster.ok(&["explain", &format!("{}/0", others[1])]);
    assert!(told.contains("waits for the identical job first/0") && told.contains("running"), "{told}");
    let told = cluster.ok(&["show", &others[1]]);
    assert!(told.contains("1 wait for identical jobs (first-"), "{told}");
    // None is given its failure; one after the other they fail by themselves.
    std::fs::write(gate, "").unwrap();
    for sweep in &others {
        cluster.wait_count(sweep, "failed", 1);
    }
    assert_eq!(starts(&log), 4);
    let sql = "select count(*) from attempts a join attempts b on b.leased_at > a.leased_at
        where b.leased_at < a.finished_at";
    assert_eq!(cluster.database.query(sql), ["0"], "two of them ran at once");
    let sql = "select string_agg(s.name, ' ' order by a.leased_at) from attempts a join sweeps s on s.id = a.sweep_id";
    assert_eq!(cluster.database.query(sql), ["first second third fourth"]);
    // Nobody takes a failure.
    let fifth = one(&cluster, "fifth", &flags);
    cluster.wait_count(&fifth, "failed", 1);
    assert_eq!(starts(&log), 5);
}

#[test]
fn where_the_leader_is_cancelled_or_paused_another_takes_its_place() {
    let (cluster, log) = simulated(1, 1, Options::default());
    let long = ["-e", "BT_SIM_MS=600000"];
    let leader = one(&cluster, "leader", &long);
    cluster.wait_count(&leader, "running", 1);
    let (second, third) = (one(&cluster, "second", &long), one(&cluster, "third", &long));
    // Who waits may go, and it does not touch the one that runs.
    cluster.ok(&["cancel", &third]);
    assert_eq!(state(&cluster, &third), "cancelled");
    assert_eq!(state(&cluster, &leader), "running");
    cluster.ok(&["cancel", &leader]);
    cluster.wait_count(&second, "running", 1);
    assert_eq!(starts(&log), 2);
    // Cancelled and tried again, a job runs by itself.
    cluster.ok(&["retry", &third]);
    cluster.wait_count(&third, "running", 1);
    cluster.ok(&["cancel", &second]);
    cluster.ok(&["cancel", &third]);

    // All room is taken, so that what comes now is queued.
    let full = cluster.submit_simulated(&["--name", "full", "--cpus", "4", "-e", "BT_SIM_MS=600000"]);
    cluster.wait_count(&full, "running", 1);
    let short = ["-e", "BT_SIM_MS=1"];
    let leader = one(&cluster, "queued", &short);
    let (fifth, sixth) = (one(&cluster, "fifth", &short), one(&cluster, "sixth", &short));
    assert_eq!([&fifth, &sixth].map(|sweep| attached(&cluster, sweep)), ["queued", "queued"]);
    cluster.ok(&["pause", &leader]);
    wait_until("the fifth takes the place of the paused one", || {
        let waits = [&leader, &fifth, &sixth].map(|sweep| attached(&cluster, sweep));
        (waits == [Value::from("fifth"), Value::Null, Value::from("fifth")]).then_some(())
    });
    // While all are paused none of them can take another's place.
    cluster.ok(&["pause", &fifth]);
    cluster.ok(&["pause", &sixth]);
    cluster.ok(&["cancel", &full]);
    cluster.ok(&["resume", &leader]);
    for sweep in [&leader, &fifth, &sixth] {
        cluster.wait_count(sweep, "succeeded", 1);
    }
    assert_eq!(starts(&log), 5);
}

#[test]
fn a_job_that_nobody_could_wait_for_is_not_waited_for() {
    let (cluster, _) = simulated(1, 1, Options::default());
    let long = ["-e", "BT_SIM_MS=600000"];
    // It asks for an agent that is not there, and the other does not.
    let elsewhere = one(&cluster, "elsewhere", &[&long[..], &["--agent-label", "pool=gone"]].concat());
    let here = one(&cluster, "here", &long);
    cluster.wait_count(&here, "running", 1);
    assert_eq!(state(&cluster, &elsewhere), "queued");
    // One point twice in a list runs once.
    let list = cluster.dir().join("twice.yaml");
    let text = "name: twice\nimage: x\ncommand: [run]\nenv: { BT_SIM_MS: '200' }\nparams: [{ n: 1 }, { n: 2 }, { n: 1 }]\n";
    std::fs::write(&list, text).unwrap();
    let path = list.display().to_string();
    let twice = cluster.json(&["submit", "-f", &path, "--reuse"])["id"].as_str().unwrap().to_owned();
    cluster.wait_count(&twice, "succeeded", 3);
    let jobs = cluster.json(&["jobs", &twice]);
    assert_eq!(jobs[2]["reused_from"]["job"], 0);
    assert_eq!(jobs[2]["attempts"], 0);
}

/// The resident memory of a process, in MiB.
fn memory(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()).unwrap_or(0) / 1024
}

#[test]
fn a_large_grid_is_taken_over_in_bounded_memory() {
    let (mut cluster, _) = simulated(1, 1, Options::default());
    let first = cluster.submit_simulated(&["--name", "large", "--matrix", "n=1:20000"]);
    // As if all of them had been run: that takes longer than what is to be seen here.
    for sql in [
        "insert into attempts (id, sweep_id, job, number, agent_id, state, finished_at, image_id)
         select gen_random_uuid(), j.sweep_id, j.number, 1, g.id, 'succeeded', now(), 'sha256:0'
         from jobs j, agents g where j.state = 'queued' and j.number >= 100",
        "update jobs set state = 'succeeded', attempts = 1, finished_at = now(), metrics = '{\"sharpe\": 1}'
         where state = 'queued' and number >= 100",
        "insert into results (sweep_id, job, attempt_id, written) select a.sweep_id, a.job, a.id, true from attempts a
         join jobs j on j.sweep_id = a.sweep_id and j.number = a.job
         where j.state = 'succeeded' and not exists (select from results r where r.attempt_id = a.id)",
        "insert into result_files select r.sweep_id, r.job, 'metrics.json', 14, sha256('x') from results r
         where not exists (select from result_files f where f.sweep_id = r.sweep_id and f.job = r.job)",
    ] {
        cluster.database.query(sql);
    }
    cluster.wait_ended(&first);
    let before = memory(cluster.coordinator().pid());
    let began = std::time::Instant::now();
    let second = cluster.submit_simulated(&["--name", "again", "--matrix", "n=1:20000", "--reuse"]);
    cluster.wait_count(&second, "succeeded", 20_000);
    let took = began.elapsed();
    let after = memory(cluster.coordinator().pid());
    println!("20,000 results are taken over in {took:?}, with {before} MiB before and {after} MiB at most");
    assert_eq!(cluster.database.query("select count(*) from results where reused"), ["20000"]);
    assert!(after < before + 60, "{before} MiB before, {after} MiB at most");
}
