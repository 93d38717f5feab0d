//! Results that count for more than one job (`submit --reuse`): which jobs are identical and which are not, and that what
//! is taken over is whole.

use std::fs;
use std::path::PathBuf;

use bt_tests::{Cluster, Images, Options, docker, wait_until};
use serde_json::{Value, json};

/// What no job can make twice.
const NOISE: &str = "head -c 300000 /dev/urandom > /results/noise.pck; mkdir /results/d; echo {{ n }} > /results/d/n; \
                     echo printed {{ n }}; echo \"{\\\"sharpe\\\": {{ n }}.5}\" > /results/metrics.json";

fn succeeds(cluster: &Cluster, flags: &[&str], script: &str) -> String {
    let sweep = cluster.submit(flags, script);
    cluster.wait_ended(&sweep);
    assert_eq!(cluster.count(&sweep, "failed"), 0, "{}", cluster.ok(&["show", &sweep]));
    sweep
}

/// How many of its jobs have another's result.
fn taken(cluster: &Cluster, sweep: &str) -> u64 {
    cluster.json(&["show", sweep])["reuse"]["taken"].as_u64().unwrap()
}

#[test]
fn what_is_taken_over_is_byte_for_byte_what_was_made() {
    let cluster = Cluster::start();
    let first = succeeds(&cluster, &["--name", "first", "--matrix", "n=1:4"], NOISE);
    let told = cluster.run(&[
        "submit",
        "--name",
        "second",
        "--image",
        "btctl-test:1",
        "--cpus",
        "0.25",
        "-m",
        "64m",
        "--matrix",
        "n=3:6",
        "--reuse",
        "--wait",
        "--",
        "sh",
        "-c",
        NOISE,
    ]);
    assert_eq!(told.code, 0, "{told:?}");
    let sentence = format!("of 4 jobs, 2 have results of identical jobs (first-{}: 2)", &first[..8]);
    assert!(told.stderr.contains(&sentence), "{told:?}");
    assert!(cluster.ok(&["show", "second"]).contains(&sentence));
    assert_eq!(cluster.database.query("select count(*) from attempts"), ["6"]);

    let jobs = cluster.json(&["jobs", "second"]);
    let origin = json!({ "id": first, "name": "first", "job": 2, "attempt": 1 });
    assert_eq!(jobs[0]["reused_from"], origin);
    assert_eq!((&jobs[0]["attempts"], &jobs[0]["metrics"]["sharpe"]), (&json!(0), &json!(3.5)));
    assert_eq!((&jobs[2]["attempts"], &jobs[2]["reused_from"]), (&json!(1), &Value::Null));
    assert_eq!(cluster.json(&["top", "second", "--by", "sharpe", "-n", "4"])[3]["job"], 0);
    assert_eq!(cluster.ok(&["logs", "second/0"]), "printed 3\n");
    assert!(cluster.ok(&["show", "second/0"]).contains("first/2"));

    let listed = |sweep: &str, job: u64| {
        let all = cluster.json(&["results", "ls", sweep]);
        let of_job = all.as_array().unwrap().iter().filter(|file| file["job"] == job);
        of_job
            .map(|file| (file["path"].clone(), file["size"].clone(), file["sha256"].clone()))
            .collect::<Vec<_>>()
    };
    assert_eq!(listed("second", 0), listed("first", 2));
    assert_eq!(listed("second", 0).len(), 3);
    for sweep in ["first", "second"] {
        cluster.ok(&["results", "get", sweep, "-d", sweep]);
        cluster.ok(&["results", "verify", sweep]);
    }
    let got =
        |sweep: &str, job: u64| fs::read(cluster.dir().join(format!("{sweep}/{job}/noise.pck"))).unwrap();
    assert_eq!(got("second", 1), got("first", 3));
    assert_ne!(got("second", 2), got("first", 3));

    // A reader of the store alone finds it.
    let second = cluster.json(&["show", "second"])["store"].as_str().unwrap().to_owned();
    let document = cluster.store().join(second).join("0/result.json");
    let document = wait_until("result.json is written", || fs::read(&document).ok());
    let document: Value = serde_json::from_slice(&document).unwrap();
    let dir = document["reused_from"]["dir"].as_str().unwrap();
    assert_eq!((&document["attempt"], &document["reused_from"]["job"]), (&json!(0), &json!(2)));
    assert_eq!(fs::read(cluster.store().join(dir).join("noise.pck")).unwrap(), got("second", 0));

    // What was taken over can be taken over again, and is whose it was.
    let third = succeeds(&cluster, &["--name", "third", "--matrix", "n=3:6", "--reuse"], NOISE);
    assert_eq!(taken(&cluster, &third), 4);
    assert_eq!(cluster.json(&["jobs", &third])[0]["reused_from"], origin);
}

#[test]
fn only_what_changes_no_result_may_differ() {
    let (cluster, images) = (Cluster::start(), Images::new());
    let image = images.name("app:1");
    let old = images.build(&image, "ENV BYTES=old");
    let submit = |more: &[&str], script: &str| {
        let flags = ["--name", "s", "--matrix", "n=1:2", "--reuse"];
        let mut args = vec!["submit", "--image", &image, "-m", "64m"];
        args.extend(flags.iter().chain(more));
        args.extend(["--", "sh", "-c", script]);
        let sweep = cluster.json(&args)["id"].as_str().unwrap().to_owned();
        cluster.wait_ended(&sweep);
        (taken(&cluster, &sweep), cluster.json(&["jobs", &sweep])[0]["state"].clone())
    };
    let plain = ["--cpus", "0.5"];
    assert_eq!(submit(&plain, "true").0, 0, "nobody has run it");
    assert_eq!(submit(&plain, "true").0, 2);
    let same = ["--cpus", "1", "--timeout", "1h", "--priority", "3", "--retries", "2"];
    assert_eq!(submit(&same, "true").0, 2);
    assert_eq!(submit(&["--cpus", "1", "-m", "96m"], "true").0, 2);
    for (more, script) in [
        (&["--cpus", "1"][..], ":"),
        (&["--cpus", "2"], "true"),
        (&["--cpus", "1", "-e", "A=b"], "true"),
        (&["--cpus", "1", "--user", "12:12"], "true"),
        (&["--cpus", "1", "--matrix", "m=1"], "true"),
    ] {
        assert_eq!(submit(more, script).0, 0, "{more:?} {script}");
    }
    // A failure is no result.
    assert_eq!(submit(&plain, "exit 3"), (0, json!("failed")));
    assert_eq!(submit(&plain, "exit 3"), (0, json!("failed")));

    // The tag moves: another image.
    images.build(&image, "ENV BYTES=new");
    assert_eq!(submit(&plain, "true").0, 0);
    docker(&["tag", &old, &image]);
    assert_eq!(submit(&plain, "true").0, 2);

    // Nobody can tell what this one is: the sweep goes on as it is, and says so.
    let missing = cluster.json(&[
        "submit",
        "--image",
        &images.name("none:1"),
        "--reuse",
        "--pull",
        "never",
        "-m",
        "64m",
    ]);
    let missing = missing["id"].as_str().unwrap();
    cluster.wait_count(missing, "failed", 1);
    let shown = cluster.json(&["show", missing]);
    assert_eq!(shown["reuse"]["state"], "declined");
    let told = cluster.ok(&["show", missing]);
    assert!(
        told.contains("no results are taken: no agent could tell what") && told.contains("none:1"),
        "{told}"
    );
}

#[test]
fn of_results_that_differ_the_latest_is_taken_and_that_is_told() {
    let cluster = Cluster::start();
    let script = "echo \"{\\\"noise\\\": $(od -An -N3 -tu4 /dev/urandom)}\" > /results/metrics.json";
    let before = ["a", "b"].map(|name| succeeds(&cluster, &["--name", name, "--matrix", "n=1:3"], script));
    let third = succeeds(&cluster, &["--name", "c", "--matrix", "n=1:4", "--reuse"], script);
    let (jobs, latest) = (cluster.json(&["jobs", &third]), cluster.json(&["jobs", &before[1]]));
    assert_eq!(jobs[1]["metrics"], latest[1]["metrics"]);
    assert_eq!(jobs[1]["reused_from"]["id"], Value::from(before[1].clone()));
    assert_eq!(cluster.json(&["show", &third])["reuse"]["differing"], 3);
    let told = cluster.ok(&["show", &third]);
    assert!(told.contains("3 were run before with different metrics; the latest are taken"), "{told}");
}

/// A cluster whose agent offers a directory, as it does by default or with more options.
fn with_prices(fingerprint: &str) -> (Cluster, PathBuf) {
    let mut cluster = Cluster::without_agent(Options::default());
    let prices = cluster.dir().join("prices");
    fs::create_dir_all(&prices).unwrap();
    fs::write(prices.join("spy.csv"), "1.00\n").unwrap();
    let volume = format!("prices={}:ro{fingerprint}", prices.display());
    let flags = ["--cpus", "2", "--memory", "2GiB", "--volume", &volume].map(str::to_owned);
    cluster.add_agent_with("agent", &flags);
    (cluster, prices)
}

#[test]
fn a_result_counts_only_for_the_same_data() {
    let (cluster, prices) = with_prices("");
    let flags = ["-v", "prices:/data:ro", "--matrix", "n=1:2", "--reuse"];
    let script = "cat /data/spy.csv > /results/seen";
    let told = || cluster.json(&["agents", "show", "agent"])["volume_fingerprints"]["prices"].clone();
    assert_eq!(taken(&cluster, &succeeds(&cluster, &flags, script)), 0);
    assert_eq!(taken(&cluster, &succeeds(&cluster, &flags, script)), 2);
    let before = told();
    fs::write(prices.join("spy.csv"), "2.00\n").unwrap();
    wait_until("the agent tells the new content", || (told() != before).then_some(()));
    let other = succeeds(&cluster, &flags, script);
    assert_eq!(taken(&cluster, &other), 0);

    // What is waited for counts only if the data stayed the same meanwhile.
    let now = told();
    let gate = prices.join("gate");
    let slow = "cat /data/spy.csv > /results/seen; until [ -e /data/gate ]; do sleep 0.1; done";
    let leader = cluster.submit(&[&["--name", "leader"], &flags[..]].concat(), slow);
    cluster.wait_count(&leader, "running", 2);
    let follower = cluster.submit(&[&["--name", "follower"], &flags[..]].concat(), slow);
    wait_until("it waits", || (cluster.json(&["show", "follower"])["reuse"]["attached"] == 2).then_some(()));
    fs::write(&gate, "").unwrap();
    cluster.wait_ended(&leader);
    cluster.wait_ended(&follower);
    assert_ne!(told(), now);
    assert_eq!(taken(&cluster, &follower), 0);
    assert_eq!(cluster.count(&follower, "succeeded"), 2);
}

#[test]
fn what_volumes_hold_that_nobody_tells_is_not_assumed() {
    let (cluster, _) = with_prices(",nofingerprint");
    let flags = ["-v", "prices:/data:ro", "--reuse"];
    for _ in 0..2 {
        let sweep = succeeds(&cluster, &flags, "true");
        let told = cluster.ok(&["show", &sweep]);
        assert!(
            told.contains("no results are taken: agent agent does not tell what volume prices holds"),
            "{told}"
        );
        assert!(told.contains("--volume prices=DIR:ro,fingerprint"), "{told}");
        assert_eq!(taken(&cluster, &sweep), 0);
    }
}

#[test]
fn what_was_taken_over_outlives_the_sweep_that_made_it() {
    let cluster = Cluster::start();
    let first = succeeds(&cluster, &["--name", "first", "--matrix", "n=1:3", "--keep", "20s"], NOISE);
    let second = succeeds(&cluster, &["--name", "second", "--matrix", "n=2:4", "--reuse"], NOISE);
    assert_eq!(taken(&cluster, &second), 2);
    let held = |job: u32| cluster.store().join(format!("first-{}/{job}/1/noise.pck", &first[..8]));
    wait_until("the first is given up", || {
        cluster.ok(&["gc", "--older-than", "0s"]);
        (!held(0).exists()).then_some(())
    });
    assert!(held(1).exists() && held(2).exists(), "they are the second's results");
    cluster.ok(&["results", "verify", &second]);
    cluster.ok(&["results", "get", &second, "-d", "got"]);
    // What was given up is not taken; what another has taken over is.
    let third = succeeds(&cluster, &["--name", "third", "--matrix", "n=1:3", "--reuse"], NOISE);
    assert_eq!(taken(&cluster, &third), 2);
    assert_eq!(cluster.json(&["jobs", &third])[0]["attempts"], 1);
}

#[test]
fn a_sweep_for_one_agent_knows_what_its_volumes_hold() {
    let (cluster, _) = with_prices(",fingerprint");
    let agent = cluster.json(&["agents", "ls"])[0]["id"].as_str().unwrap().to_owned();
    let label = format!("btctl.agent={agent}");
    let flags = ["-v", "prices:/data:ro", "--agent-label", &label];
    succeeds(&cluster, &flags, "cat /data/* > /results/x");
    let again = succeeds(&cluster, &[&flags[..], &["--reuse"]].concat(), "cat /data/* > /results/x");
    let settled = cluster.json(&["show", &again]);
    assert_eq!(settled["reuse"]["state"], "settled", "{settled}");
}
