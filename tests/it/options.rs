//! Run options, as a job sees them from inside its container and as the engine has them.

use std::fs;

use bt_tests::{Cluster, Options, docker, docker_finds, wait_until};
use serde_json::{Value, json};

/// Keeps a job running until it is let go.
const HOLD: &str = "until [ -e /results/go ]; do sleep 0.1; done";

fn with_agent(flags: &[&str]) -> Cluster {
    Cluster::with(Options {
        agent: flags.iter().map(|flag| (*flag).to_owned()).collect(),
        ..Options::default()
    })
}

/// The container of a sweep's only job.
#[track_caller]
fn container(cluster: &Cluster, sweep: &str) -> String {
    wait_until("the job runs", || cluster.running_containers(sweep).pop())
}

/// All that the engine has of a container.
#[track_caller]
fn inspect(container: &str) -> Value {
    serde_json::from_str::<Value>(&docker(&["inspect", container])).unwrap()[0].take()
}

/// Lets a job that holds on end, and waits for its success.
#[track_caller]
fn let_go(cluster: &Cluster, sweep: &str, container: &str) {
    wait_until("the job is let go", || {
        docker_finds(&["exec", container, "touch", "/results/go"]).then_some(())
    });
    cluster.wait_count(sweep, "succeeded", 1);
}

/// What the only job of a sweep that must succeed printed.
#[track_caller]
fn printed(cluster: &Cluster, flags: &[&str], script: &str) -> String {
    let sweep = cluster.submit(flags, script);
    cluster.wait_ended(&sweep);
    let log = cluster.ok(&["logs", &sweep]);
    assert_eq!(cluster.count(&sweep, "succeeded"), 1, "{log}");
    log
}

#[test]
fn the_engine_gets_every_option() {
    let cluster = Cluster::start();
    let flags = [
        &["--pids-limit", "77", "--ulimit", "nofile=77:99", "--tmpfs", "/scratch:1m", "--shm-size", "32m"][..],
        &[
            "--group-add",
            "4321",
            "--stop-signal",
            "int",
            "--stop-timeout",
            "7s",
            "-w",
            "/bin",
            "--cpus",
            "0.3",
        ],
        &["-m", "80m"],
    ];
    let sweep = cluster.submit(&flags.concat(), HOLD);
    let id = container(&cluster, &sweep);
    let found = inspect(&id);
    let host = &found["HostConfig"];
    assert_eq!(host["PidsLimit"], 77);
    assert_eq!(host["Ulimits"], json!([{ "Name": "nofile", "Soft": 77, "Hard": 99 }]));
    assert!(host["Tmpfs"]["/scratch"].as_str().unwrap().contains("size=1048576"), "{host}");
    assert_eq!(host["ShmSize"], 32 << 20);
    assert_eq!(host["GroupAdd"], json!(["4321"]));
    assert_eq!((&host["NanoCpus"], &host["Memory"]), (&json!(300_000_000), &json!(80 << 20)));
    assert_eq!(host["MemorySwap"], host["Memory"], "no swap");
    assert_eq!(host["NetworkMode"], "none");
    let config = &found["Config"];
    assert_eq!((&config["StopSignal"], &config["StopTimeout"]), (&json!("SIGINT"), &json!(7)));
    assert_eq!(config["WorkingDir"], "/bin");
    let_go(&cluster, &sweep, &id);
}

#[test]
fn a_job_finds_the_options_inside() {
    let cluster = Cluster::start();
    let told = printed(&cluster, &["--ulimit", "nofile=77:99"], "ulimit -n; ulimit -Hn");
    assert_eq!(told, "77\n99\n");
    let told = printed(&cluster, &["--group-add", "4321"], "id -G");
    assert!(told.split_whitespace().any(|group| group == "4321"), "{told}");
    assert_eq!(printed(&cluster, &["-w", "/bin"], "pwd"), "/bin\n");
    let script = "touch /scratch/x; head -c 2m /dev/zero > /scratch/x; wc -c < /scratch/x";
    assert_eq!(printed(&cluster, &["--tmpfs", "/scratch:1m"], script), "1048576\n");
    // By default it is as large as the job's memory.
    let size = "df -k /dev/shm | tail -n 1 | awk '{ print $2 }'";
    assert_eq!(printed(&cluster, &[], size), "65536\n");
    assert_eq!(printed(&cluster, &["--shm-size", "8m"], size), "8192\n");
    let cpus = "echo $OMP_NUM_THREADS $OPENBLAS_NUM_THREADS $MKL_NUM_THREADS $NUMEXPR_NUM_THREADS $NUMBA_NUM_THREADS";
    assert_eq!(printed(&cluster, &["--cpus", "0.2"], cpus), "1 1 1 1 1\n");
    assert_eq!(printed(&cluster, &["--cpus", "1.2"], cpus), "2 2 2 2 2\n");
    // The program takes the place of the shell, and the shell's words are its arguments.
    assert_eq!(printed(&cluster, &["--entrypoint", "/bin/echo"], "words"), "sh -c words\n");
}

#[test]
fn a_job_is_stopped_by_its_own_signal_and_in_its_own_time() {
    let cluster = Cluster::start();
    let script = |signal: &str, takes: u32| {
        format!("trap 'echo stops; sleep {takes}; echo done; exit 0' {signal}; while :; do sleep 0.1; done")
    };
    let flags = ["--timeout", "1s", "--stop-signal", "SIGINT", "--stop-timeout", "30s"];
    let sweep = cluster.submit(&flags, &script("INT", 2));
    cluster.wait_ended(&sweep);
    assert_eq!(cluster.ok(&["logs", &sweep]), "stops\ndone\n");
    let sweep = cluster.submit(&["--timeout", "1s", "--stop-timeout", "3s"], &script("TERM", 100));
    cluster.wait_ended(&sweep);
    assert_eq!(cluster.ok(&["logs", &sweep]), "stops\n");
    assert_eq!(cluster.json(&["jobs", &sweep])[0]["reason"], "timeout");
}

#[test]
fn what_no_agent_can_run_waits_and_says_why() {
    let cluster = Cluster::start();
    let check = |flags: &[&str], expected: &str| {
        let sweep = cluster.submit(flags, "true");
        for command in ["show", "explain"] {
            let told = cluster.ok(&[command, &sweep]);
            assert!(told.contains(expected), "{told}");
        }
        assert_eq!(cluster.count(&sweep, "queued"), 1);
    };
    check(&["--platform", "linux/s390x"], "its label arch is amd64, not s390x");
    check(&["--network", "bridge"], "its label network is none, not bridge");
}

#[test]
fn a_network_is_there_where_the_owner_allows_one() {
    let cluster = with_agent(&["--cpus", "1", "--memory", "1GiB", "--allow-network"]);
    assert_eq!(printed(&cluster, &["--network", "bridge"], "ls /sys/class/net"), "eth0\nlo\n");
    assert_eq!(printed(&cluster, &[], "ls /sys/class/net"), "lo\n");
}

#[test]
fn the_manifest_of_an_algorithm_is_taken_as_it_is() {
    let cluster = with_agent(&["--cpus", "1", "--memory", "6GiB"]);
    let manifest = json!({ "name": "My algorithm!", "container_parameters": {
        "image": "btctl-test:1",
        "command": ["sh", "-c", format!("echo $OMP_NUM_THREADS '{{{{ x }}}}'; {HOLD}")],
        "resource_request": { "gpu": 0, "memory_gb": 5, "cpu_millicore": 200 },
    }});
    fs::write(cluster.dir().join("manifest.json"), manifest.to_string()).unwrap();
    let sweep = cluster.json(&["submit", "-f", "manifest.json"])["id"].as_str().unwrap().to_owned();
    let id = container(&cluster, &sweep);
    let host = &inspect(&id)["HostConfig"];
    assert_eq!((&host["NanoCpus"], &host["Memory"]), (&json!(200_000_000), &json!(5_u64 << 30)));
    let_go(&cluster, &sweep, &id);
    assert_eq!(cluster.ok(&["logs", &sweep]), "1 {{ x }}\n");
}

#[test]
fn of_a_long_log_both_ends_are_kept() {
    let cluster = Cluster::start();
    let sweep = cluster.submit(&["--log-limit", "64KiB"], "seq 1 100000");
    cluster.wait_ended(&sweep);
    let log = cluster.run(&["logs", &sweep]);
    let lines: Vec<_> = log.stdout.lines().collect();
    assert_eq!((lines[0], lines[lines.len() - 1]), ("1", "100000"));
    assert!(log.stdout.len() < 64 << 10, "{} bytes", log.stdout.len());
    let told = log.stderr.lines().find(|line| line.starts_with("btctl: ")).unwrap_or_default();
    assert!(told.contains("of the log are cut out here; log_limit is 64 KiB"), "{told}");
    assert_eq!(log.stderr.lines().count(), 1);
}

#[test]
fn what_a_job_used_is_told_and_makes_a_suggestion() {
    let cluster = Cluster::start();
    let script =
        "head -c 40m /dev/zero > /dev/shm/x; i=0; while [ $i -lt 20000 ]; do i=$((i + 1)); done; sleep 2";
    let sweep = cluster.submit(&["-m", "160m", "--cpus", "1"], script);
    cluster.wait_ended(&sweep);
    let usage = &cluster.json(&["jobs", &sweep])[0]["usage"];
    let peak = usage["peak_memory_bytes"].as_u64().unwrap();
    assert!((40 << 20..64 << 20).contains(&peak), "{usage}");
    let (cpu, wall) = (usage["cpu_seconds"].as_f64().unwrap(), usage["wall_seconds"].as_f64().unwrap());
    assert!(cpu > 0.0 && cpu < wall && wall >= 1.0, "{usage}");
    let told = cluster.json(&["submit", "--suggest-resources", &sweep]);
    assert_eq!(told["measured"]["peak_memory_bytes"], peak);
    assert_eq!(told["memory_bytes"].as_u64().unwrap() % (64 << 20), 0, "{told}");
    assert!(told["memory_bytes"].as_u64().unwrap() > peak);
    let told = cluster.ok(&["submit", "--suggest-resources", &sweep]);
    assert!(told.starts_with("resources: { cpus: 0."), "{told}");
    // It can be put into a manifest as it is.
    let manifest = format!("image: btctl-test:1\ncommand: [\"true\"]\n{told}");
    fs::write(cluster.dir().join("suggested.yaml"), manifest).unwrap();
    cluster.ok(&["submit", "-f", "suggested.yaml", "--dry-run"]);
}

#[test]
fn a_cache_is_shared_by_the_jobs_of_an_image() {
    let cluster = Cluster::start();
    let script =
        "echo $NUMBA_CACHE_DIR; mkdir -p $NUMBA_CACHE_DIR; ls $NUMBA_CACHE_DIR; touch $NUMBA_CACHE_DIR/made";
    assert_eq!(printed(&cluster, &["--cache", "/cache"], script), "/cache/numba\n");
    assert_eq!(printed(&cluster, &["--cache", "/cache"], script), "/cache/numba\nmade\n");
    assert_eq!(printed(&cluster, &[], script), "/btctl/cache/numba\n");
    // Not by processes of another user.
    assert_eq!(printed(&cluster, &["--cache", "/cache", "-u", "4321:4321"], script), "/cache/numba\n");
}
