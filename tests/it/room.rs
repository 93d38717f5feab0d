//! What an attempt gets of its machine: more memory after it ran out, and cpus that are its own.

use std::fs;
use std::process::Command;

use bt_tests::{Cluster, Options, wait_until};
use serde_json::{Value, json};

/// Takes about so many MiB, and says so.
fn takes(mib: u32) -> String {
    format!(
        "head -c {mib}m /dev/zero | tail -c {mib}m | wc -c > /results/taken; test $(cat /results/taken) -gt 0"
    )
}

fn submit(cluster: &Cluster, manifest: &str) -> String {
    let file = cluster.dir().join("sweep.yaml");
    fs::write(&file, manifest).unwrap();
    let submitted = cluster.json(&["submit", "-f", file.to_str().unwrap()]);
    submitted["id"].as_str().unwrap().to_owned()
}

fn manifest(memory: &str, retries: &str, script: &str) -> String {
    json!({
        "name": "grow", "image": "btctl-test:1", "command": ["sh", "-c", script],
        "resources": {"cpus": 0.25, "memory": memory},
        "retries": serde_json::from_str::<Value>(retries).unwrap(),
    })
    .to_string()
}

fn memory_of_attempts(shown: &Value) -> Vec<(u64, Option<&str>)> {
    let attempts = shown["history"].as_array().unwrap().iter();
    attempts.map(|a| (a["memory_bytes"].as_u64().unwrap() >> 20, a["reason"].as_str())).collect()
}

#[test]
fn a_job_that_ran_out_of_memory_gets_more_until_it_fits() {
    let cluster = Cluster::start();
    let retries = r#"{"failures": 0, "oom": {"times": 3, "factor": 2, "max": "1GiB"}}"#;
    let sweep = submit(&cluster, &manifest("16MiB", retries, &takes(48)));
    cluster.wait_ended(&sweep);
    let job = format!("{sweep}/0");
    let shown = cluster.json(&["show", &job]);
    assert_eq!(shown["state"], "succeeded", "{shown}");
    let tried = memory_of_attempts(&shown);
    assert_eq!(tried[0], (16, Some("oom")), "{shown}");
    let (last, before) = tried.split_last().unwrap();
    assert!(before.iter().all(|(_, reason)| *reason == Some("oom")) && last.1.is_none(), "{tried:?}");
    assert!(tried.windows(2).all(|two| two[1].0 == 2 * two[0].0), "{tried:?}");
    assert_eq!(shown["memory_bytes"].as_u64().unwrap() >> 20, last.0, "{shown}");
    let text = cluster.ok(&["show", &job]);
    assert!(
        text.contains("16 MiB of memory") && text.contains(&format!("{} MiB of memory", last.0)),
        "{text}"
    );
    let table = cluster.ok(&["jobs", &sweep, "-o", "wide"]);
    assert!(table.contains("GIVEN_MEMORY") && table.contains(&format!("{} MiB", last.0)), "{table}");
    // What the agent says that it gave, beside the result.
    let given = cluster.database.query("select given ->> 'memory_bytes' from attempts order by number");
    let given: Vec<u64> = given.iter().map(|bytes| bytes.parse::<u64>().unwrap() >> 20).collect();
    assert_eq!(given, tried.iter().map(|(mib, _)| *mib).collect::<Vec<_>>());
}

#[test]
fn memory_grows_so_often_and_so_far_and_other_failures_do_not_count() {
    let cluster = Cluster::start();
    let ends = |memory: &str, retries: &str, script: &str| {
        let sweep = submit(&cluster, &manifest(memory, retries, script));
        cluster.wait_ended(&sweep);
        let shown = cluster.json(&["show", &format!("{sweep}/0")]);
        assert_eq!(shown["state"], "failed", "{shown}");
        let tried = memory_of_attempts(&shown)
            .into_iter()
            .map(|(mib, reason)| (mib, reason.unwrap_or("").to_owned()));
        tried.collect::<Vec<_>>()
    };
    let oom = |mib| (mib, "oom".to_owned());
    let most = r#"{"oom": {"times": 5, "factor": 1.5, "max": "20MiB"}}"#;
    assert_eq!(ends("16MiB", most, "tail /dev/zero"), [oom(16), oom(20)]);
    let once = r#"{"failures": 3, "oom": {"times": 1, "factor": 1.5}}"#;
    assert_eq!(ends("16MiB", once, "tail /dev/zero"), [oom(16), oom(24)]);
    let same = r#"{"failures": 0, "oom": 1}"#;
    assert_eq!(ends("16MiB", same, "tail /dev/zero"), [oom(16), oom(16)]);
    let failed = (16, "exit(3)".to_owned());
    assert_eq!(ends("16MiB", r#"{"failures": 1, "oom": {"times": 5}}"#, "exit 3"), [failed.clone(), failed]);
}

#[test]
fn what_has_grown_too_large_for_every_agent_waits_and_is_told() {
    let mut cluster = Cluster::without_agent(Options::default());
    cluster.add_agent_with("small", &["--cpus", "2", "--memory", "64MiB"].map(str::to_owned));
    let retries = r#"{"oom": {"times": 3, "factor": 8, "max": "1GiB"}}"#;
    let sweep = submit(&cluster, &manifest("16MiB", retries, &takes(48)));
    let job = format!("{sweep}/0");
    let told = wait_until("it waits for memory", || {
        let told = cluster.ok(&["explain", &job]);
        told.contains("its next attempt gets 128 MiB of memory").then_some(told)
    });
    assert!(
        told.contains("a job needs 0.25 cpus and 128 MiB, and it has 2 cpus and 64 MiB in all"),
        "{told}"
    );
    // The others go on: memory is one job's.
    let other = submit(&cluster, &manifest("16MiB", "0", "true"));
    cluster.wait_ended(&other);
    assert_eq!(cluster.count(&sweep, "queued"), 1);
    cluster.add_agent_with("large", &["--cpus", "2", "--memory", "256MiB"].map(str::to_owned));
    cluster.wait_ended(&sweep);
    let shown = cluster.json(&["show", &job]);
    assert_eq!((&shown["state"], &shown["agent"]), (&json!("succeeded"), &json!("large")), "{shown}");
}

/// The cpus on which a process of the container may run, as the container sees it.
const WRITES_CPUS: &str = "grep Cpus_allowed_list /proc/self/status | cut -f 2 > /results/cpus";
/// Waits until it is let go by itself.
const WAITS: &str = "while ! [ -e /tmp/go ]; do sleep 0.05; done";
const PINNED: [&str; 3] = ["--cpus", "1", "--pin-cpus"];

fn cpus(cluster: &Cluster, sweep: &str, job: u32) -> String {
    fs::read_to_string(cluster.stored(sweep, job, 1).join("cpus")).unwrap().trim().to_owned()
}

fn two_cpus(more: &[&str]) -> Vec<String> {
    let flags = ["--cpus", "2", "--memory", "1GiB"].iter().chain(more);
    flags.map(|flag| (*flag).to_owned()).collect()
}

#[test]
fn a_pinned_jobs_cpus_are_its_own_and_free_again() {
    let mut cluster = Cluster::without_agent(Options::default());
    cluster.add_agent_with("node", &two_cpus(&[]));
    let script = format!("{WRITES_CPUS}; {WAITS}");
    let sweep = cluster.submit(&[&PINNED[..], &["--matrix", "n=1:2"]].concat(), &script);
    wait_until("both run", || (cluster.running_containers(&sweep).len() == 2).then_some(()));
    cluster.touch(&sweep, "/tmp/go");
    cluster.wait_ended(&sweep);
    let seen = [0, 1].map(|job| cpus(&cluster, &sweep, job));
    assert!(seen.iter().all(|cpus| cpus.parse::<u32>().is_ok()), "one cpu each: {seen:?}");
    assert_ne!(seen[0], seen[1], "two at once share a cpu");

    let both = cluster.submit(&["--cpus", "2", "--pin-cpus"], WRITES_CPUS);
    cluster.wait_ended(&both);
    let two = cpus(&cluster, &both, 0);
    assert!(two.contains([',', '-']), "they are free again: {two}");
    let plain = cluster.submit(&["--cpus", "1"], WRITES_CPUS);
    cluster.wait_ended(&plain);
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let all = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap();
    assert_eq!(cpus(&cluster, &plain, 0), all.trim(), "others run anywhere");
    let told =
        cluster.run(&["submit", "--image", "btctl-test:1", "--cpus", "0.5", "--pin-cpus", "--", "true"]);
    assert!(told.stderr.contains("only whole ones can be: write 1"), "{}", told.stderr);
}

/// The cpuset of each of the sweep's running containers, as the engine has it.
fn cpusets(cluster: &Cluster, sweep: &str) -> Vec<(String, String)> {
    let of = |id: String| {
        let out = Command::new("docker")
            .args(["inspect", "-f", "{{ .HostConfig.CpusetCpus }}", &id])
            .output()
            .expect("run docker inspect");
        (id, String::from_utf8_lossy(&out.stdout).trim().to_owned())
    };
    cluster.running_containers(sweep).into_iter().map(of).collect()
}

#[test]
fn a_pinned_job_keeps_its_cpu_when_the_agent_starts_anew() {
    let mut cluster = Cluster::without_agent(Options::default());
    cluster.add_agent_with("node", &two_cpus(&[]));
    let sweep = cluster.submit(&[&PINNED[..], &["--matrix", "n=1:3"]].concat(), WAITS);
    let running = |cluster: &Cluster| {
        wait_until("two run", || Some(cpusets(cluster, &sweep)).filter(|sets| sets.len() == 2))
    };
    let before = running(&cluster);
    assert_ne!(before[0].1, before[1].1);
    cluster.agent().kill();
    cluster.add_agent_with("node", &two_cpus(&[]));
    let (ended, stays) = (&before[0], &before[1]);
    // The one with the lower number goes on, so that who counted anew would take its cpu for free.
    let (ended, stays) = if ended.1 > stays.1 { (ended, stays) } else { (stays, ended) };
    let go = Command::new("docker").args(["exec", &ended.0, "touch", "/tmp/go"]).status().unwrap();
    assert!(go.success());
    let after = wait_until("the third runs", || {
        Some(cpusets(&cluster, &sweep))
            .filter(|sets| sets.len() == 2 && sets.iter().all(|set| set.0 != ended.0))
    });
    assert!(after.contains(stays), "{before:?} {after:?}");
    assert_ne!(after[0].1, after[1].1, "{before:?} {after:?}");
    cluster.touch(&sweep, "/tmp/go");
    cluster.wait_ended(&sweep);
    assert_eq!(cluster.database.query("select count(*) from attempts where state <> 'succeeded'"), ["0"]);
}
