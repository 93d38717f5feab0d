//! What a job finds in its container, and how its end is reported.

use bt_tests::{Cluster, Options};

/// How the first job of a sweep failed.
#[track_caller]
pub(crate) fn reason(cluster: &Cluster, sweep: &str) -> String {
    cluster.wait_ended(sweep);
    let jobs = cluster.json(&["jobs", sweep]);
    let told = &jobs[0]["reason"];
    match told.as_str() {
        Some(text) => text.to_owned(),
        None => panic!("job 0 did not fail: {jobs}"),
    }
}

#[test]
fn an_image_or_a_command_that_is_not_there_is_told() {
    let cluster = Cluster::start();
    let submit = |args: &[&str]| {
        let mut all = vec!["submit", "-m", "64m", "--image"];
        all.extend(args);
        cluster.json(&all)["id"].as_str().unwrap().to_owned()
    };
    let told = reason(&cluster, &submit(&["btctl-test:1", "--", "/no/such/command"]));
    assert!(told.starts_with("image(") && told.contains("/no/such/command"), "{told}");
    let told = reason(&cluster, &submit(&["localhost:1/no/such:image", "--", "true"]));
    assert!(told.starts_with("image(") && told.contains("localhost:1/no/such:image"), "{told}");
}

#[test]
fn the_container_is_hardened() {
    let cluster = Cluster::start();
    let script = r#"
        id -u > /results/uid
        touch /etc/x 2>/dev/null && echo writable > /results/root || echo readonly > /results/root
        touch /tmp/x && echo writable > /results/tmp
        grep CapEff /proc/self/status | awk '{print $2}' > /results/caps
        grep NoNewPrivs /proc/self/status | awk '{print $2}' > /results/nnp
        ls /sys/class/net > /results/net
        touch /btctl/input.json 2>/dev/null && echo writable > /results/input || echo readonly > /results/input
    "#;
    let sweep = cluster.submit(&[], script);
    cluster.wait_ended(&sweep);
    cluster.ok(&["results", "get", &sweep, "-d", "out"]);
    let read = |name: &str| {
        let path = cluster.dir().join("out/0").join(name);
        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{name}: {error}"))
    };
    assert_ne!(read("uid"), "0\n");
    assert_eq!(read("root"), "readonly\n");
    assert_eq!(read("tmp"), "writable\n");
    assert_eq!(read("caps"), "0000000000000000\n");
    assert_eq!(read("nnp"), "1\n");
    assert_eq!(read("net"), "lo\n");
    assert_eq!(read("input"), "readonly\n");
}

#[test]
fn the_environment_is_as_documented() {
    let cluster = Cluster::start();
    let flags = [
        "--cpus",
        "1.5",
        "--timezone",
        "Asia/Kolkata",
        "-e",
        "MKL_NUM_THREADS=7",
        "--matrix",
        "fast-ma=0.1:0.3:0.1",
    ];
    let sweep = cluster.submit(&flags, "env > /results/env");
    cluster.wait_ended(&sweep);
    cluster.ok(&["results", "get", &sweep, "-d", "out"]);
    let env = std::fs::read_to_string(cluster.dir().join("out/2/env")).unwrap();
    let has = |line: &str| assert!(env.lines().any(|l| l == line), "{line} is not in\n{env}");
    has(&format!("BT_SWEEP={sweep}"));
    has("BT_JOB=2");
    has("BT_ATTEMPT=1");
    has("BT_PARAM_FAST_MA=0.3");
    has("PYTHONUNBUFFERED=1");
    has("TZ=Asia/Kolkata");
    has("OMP_NUM_THREADS=2");
    has("MKL_NUM_THREADS=7");

    let sweep = cluster.json(&[
        "submit",
        "--image",
        "btctl-test:1",
        "-m",
        "64m",
        "--",
        "sh",
        "-c",
        "env > /results/env",
    ]);
    let sweep = sweep["id"].as_str().unwrap();
    cluster.wait_ended(sweep);
    cluster.ok(&["results", "get", sweep, "-d", "plain"]);
    let env = std::fs::read_to_string(cluster.dir().join("plain/0/env")).unwrap();
    for name in ["OMP", "OPENBLAS", "MKL", "NUMEXPR", "NUMBA"] {
        assert!(env.contains(&format!("{name}_NUM_THREADS=2\n")), "{env}");
    }
}

#[test]
fn volumes_are_mounted_where_they_are_offered() {
    let mut cluster = Cluster::without_agent(Options::default());
    let prices = cluster.dir().join("prices");
    std::fs::create_dir(&prices).unwrap();
    std::fs::write(prices.join("goog.csv"), "1,2,3\n").unwrap();
    let flags = ["--volume".to_owned(), format!("prices={}:ro", prices.display())];
    cluster.add_agent_with("owner", &flags);
    let script = "cat /data/goog.csv > /results/copy; touch /data/x 2>/dev/null && exit 9; true";
    let sweep = cluster.submit(&["-v", "prices:/data:ro"], script);
    cluster.wait_ended(&sweep);
    assert_eq!(cluster.count(&sweep, "succeeded"), 1);

    let waits = cluster.submit(&["-v", "prices:/data"], "true");
    let told = cluster.ok(&["show", &waits]);
    assert!(told.contains("read-only"), "{told}");
    let waits = cluster.submit(&["-v", "ticks:/data:ro"], "true");
    let told = cluster.ok(&["show", &waits]);
    assert!(told.contains("ticks"), "{told}");
    assert_eq!(cluster.count(&waits, "queued"), 1);
}

#[test]
fn arguments_are_appended_to_the_images_entrypoint() {
    let cluster = Cluster::start();
    let built = std::process::Command::new("docker")
        .args(["build", "-q", "-t", "btctl-test-entrypoint:1", "-"])
        .env("DOCKER_BUILDKIT", "0")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .spawn()
        .and_then(|mut child| {
            use std::io::Write;
            let file = b"FROM btctl-test:1\nENTRYPOINT [\"sh\", \"-c\", \"echo $0 $1 > /results/argv\"]\nCMD [\"default\"]\n";
            child.stdin.take().map(|mut stdin| stdin.write_all(file)).transpose()?;
            child.wait()
        });
    assert!(built.is_ok_and(|status| status.success()));
    let run = |args: &[&str], dir: &str| {
        let mut all = vec!["submit", "--image", "btctl-test-entrypoint:1", "-m", "64m", "--wait"];
        all.extend(args);
        let sweep = cluster.json(&all);
        cluster.ok(&["results", "get", sweep["id"].as_str().unwrap(), "-d", dir]);
        std::fs::read_to_string(cluster.dir().join(dir).join("0/argv")).unwrap()
    };
    assert_eq!(run(&["--", "one", "two"], "a"), "one two\n");
    assert_eq!(run(&[], "b"), "default\n");
}

#[test]
fn every_job_of_a_sweep_runs_the_image_that_the_first_one_ran() {
    let cluster = Cluster::start();
    let sweep = cluster.submit(&["--matrix", "n=1:6"], "true");
    cluster.wait_ended(&sweep);
    let pins = cluster
        .database
        .query("select distinct s.image_pin = a.image_id from attempts a join sweeps s on s.id = a.sweep_id");
    assert_eq!(pins, ["t"], "one local image, pinned by its id");
    let shown = cluster.json(&["show", &sweep]);
    assert_eq!(shown["image"], "btctl-test:1");
}

#[test]
fn nothing_is_left_on_the_machine() {
    let cluster = Cluster::start();
    let sweep = cluster.submit(&["--matrix", "n=0:3"], "echo hello; exit {{ n }}");
    cluster.wait_ended(&sweep);
    bt_tests::wait_until("containers and directories are gone", || {
        let dirs = std::fs::read_dir(cluster.dir().join("agent/attempts")).ok()?.count();
        (cluster.containers(&sweep).is_empty() && dirs == 0).then_some(())
    });
}
