//! Who pays when the engine does not start a job's container, and what an agent may not offer.

use std::process::Command;

use bt_tests::{Cluster, Images, Options, btctl_path};

#[test]
fn what_the_engine_refuses_of_a_manifest_ends_the_job_at_once() {
    let cluster = Cluster::start();
    let images = Images::new();
    images.build(&images.name("nobody"), "USER nosuch");
    let nobody = images.name("nobody");
    let plain = "btctl-test:1";
    for (image, flags, words) in [
        (plain, &["-w", "/bin/busybox"][..], "/bin/busybox"),
        (plain, &["-w", "/bin/busybox/x"], "not a directory"),
        (nobody.as_str(), &["--user", "image"], "nosuch"),
    ] {
        let base = ["submit", "--image", image, "--cpus", "0.25", "-m", "64m", "--retries", "3"];
        let submitted = cluster.json(&[&base[..], flags, &["--", "true"]].concat());
        let sweep = submitted["id"].as_str().unwrap();
        cluster.wait_ended(sweep);
        let job = cluster.json(&["jobs", sweep])[0].take();
        let reason = job["reason"].as_str().unwrap();
        assert!(reason.starts_with("manifest(") && reason.contains(words), "{reason}");
        assert_eq!(job["attempts"], 1, "{job}");
    }
    assert_eq!(cluster.database.query("select sum(losses) from jobs"), ["0"]);
    assert_eq!(cluster.json(&["agents", "show", "agent"])["state"], "ready");
    let good = cluster.submit(&[], "true");
    cluster.wait_count(&good, "succeeded", 1);
}

#[test]
fn an_agent_does_not_start_with_an_offer_that_its_engine_can_not_keep() {
    let cluster = Cluster::without_agent(Options::default());
    let refused = |flags: &[&str], words: &[&str]| {
        let mut command = Command::new(btctl_path());
        command.args(["agent", "--name", "wrong", "--coordinator", &cluster.address(), "--state-dir"]);
        command.arg(cluster.dir().join("wrong")).args(flags);
        let ended = command.output().unwrap();
        let told = String::from_utf8_lossy(&ended.stderr);
        assert!(!ended.status.success(), "{flags:?}");
        assert!(words.iter().all(|word| told.contains(word)), "{flags:?}: {told}");
    };
    refused(&["--cpus", "4096"], &["--cpus is 4096", "the container engine has"]);
    refused(&["--memory", "900TiB"], &["--memory is 900 TiB"]);
    refused(&["--oci-runtime", "nosuch"], &["nosuch", "runc", "daemon.json"]);
    refused(&["--memory", "256MiB", "--job-memory", "1GiB"], &["--job-memory", "--memory"]);
    refused(&["--gpus", "1"], &["--gpus", "toolkit"]);
    assert_eq!(cluster.json(&["agents", "ls"]).as_array().map(Vec::len), Some(0));
}
