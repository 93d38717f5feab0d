//! Which images run: what an operator allows on the cluster, and an agent's owner on one machine.

use bt_tests::http::{curl, post};
use bt_tests::{Cluster, Finished, Images, Options, Registry, docker, wait_until};
use serde_json::json;

const DIGEST: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn with(flags: &[&str]) -> Options {
    let coordinator = flags.iter().map(|flag| (*flag).to_owned()).collect();
    Options { coordinator, ..Options::simulated(&[]) }
}

#[track_caller]
fn refused(finished: &Finished, words: &[&str]) {
    assert_eq!(finished.code, 4, "{finished:?}");
    for word in words {
        assert!(finished.stderr.contains(word), "{word}: {finished:?}");
    }
}

fn submit(cluster: &Cluster, image: &str) -> Finished {
    cluster.run(&["submit", "--image", image, "-m", "64m", "--", "true"])
}

/// Waits until the sweep says that it waits for this, with its job queued.
#[track_caller]
fn waits(cluster: &Cluster, sweep: &str, words: &[&str]) {
    let mut told = String::new();
    wait_until(&format!("the sweep waits for {words:?}"), || {
        told = cluster.ok(&["explain", &format!("{sweep}/0")]);
        words.iter().all(|word| told.contains(word)).then_some(())
    });
    assert_eq!(cluster.count(sweep, "queued"), 1, "{told}");
}

#[test]
fn what_an_operator_does_not_allow_is_refused_before_anything_is_queued() {
    let mut cluster = Cluster::without_agent(with(&["--require-digest"]));
    refused(&submit(&cluster, "reg:5000/bt:1"), &["by their digest", "write reg:5000/bt@sha256:DIGEST"]);
    let manifest = "{\"image\": \"bt:1\", \"command\": [\"true\"], \"results\": \"/out\"}";
    let flags = ["-H", "Content-Type: application/json", "-d", manifest];
    let answer = curl(&cluster, "/api/sweeps", &flags);
    let (status, code, message) = answer.refused();
    assert_eq!((status, code.as_str()), (403, "permission_denied"), "{message}");
    assert!(message.contains("write bt@sha256:DIGEST"), "{message}");
    assert_eq!(cluster.json(&["ls"]), json!([]));
    for image in [format!("reg:5000/bt@{DIGEST}"), format!("bt:1@{DIGEST}"), DIGEST.to_owned()] {
        assert_eq!(submit(&cluster, &image).code, 0, "{image}");
    }

    cluster.coordinator().kill();
    cluster.tell_coordinators(&["--refuse-latest"]);
    cluster.start_coordinator();
    for image in ["bt", "bt:latest", "reg:5000/bt"] {
        refused(&submit(&cluster, image), &["the tag latest", "@sha256:DIGEST"]);
    }
    for image in ["bt:1".to_owned(), format!("bt@{DIGEST}")] {
        assert_eq!(submit(&cluster, &image).code, 0, "{image}");
    }
    assert_eq!(cluster.json(&["ls"]).as_array().unwrap().len(), 5);

    cluster.coordinator().kill();
    cluster.tell_coordinators(&["--allow-image", "reg.io/quant/*", "--allow-image", "python"]);
    cluster.start_coordinator();
    let listed = "only these are allowed: reg.io/quant/*, docker.io/library/python (--allow-image)";
    for (image, name) in [
        ("bt:1", "is docker.io/library/bt"),
        ("reg.io/quantum/bt:1", "is reg.io/quantum/bt"),
        ("evil.io/reg.io/quant/bt:1", "is evil.io/reg.io/quant/bt"),
        (DIGEST, "is named by its id"),
    ] {
        refused(&submit(&cluster, image), &[name, listed]);
    }
    for image in ["REG.io/quant/team/bt:1", "python:3.11", "docker.io/library/python"] {
        assert_eq!(submit(&cluster, image).code, 0, "{image}");
    }
    assert_eq!(cluster.json(&["ls"]).as_array().unwrap().len(), 8);
}

#[test]
fn a_setting_that_means_nothing_ends_the_start() {
    let cluster = Cluster::without_agent(with(&[]));
    for (pattern, word) in [("*", "every image"), ("reg.io/bt:1", "names a tag"), ("reg.io", "reg.io/*")] {
        let url = cluster.database.url();
        let args = ["coordinator", "--database-url", &url, "--store", "/tmp", "--allow-image", pattern];
        let finished = cluster.run(&args);
        assert_eq!(finished.code, 2, "{finished:?}");
        assert!(finished.stderr.contains(word), "{finished:?}");
    }
}

#[test]
fn what_was_queued_before_waits_and_says_why() {
    let mut cluster = Cluster::without_agent(with(&[]));
    let args = ["submit", "--image", "bt:1", "-m", "64m", "--matrix", "n=1", "--", "true"];
    let sweep = cluster.json(&args)["id"].as_str().unwrap().to_owned();
    let open = cluster.json(&["submit", "--image", "bt:1", "-m", "64m", "--open", "--", "true"]);
    let open = open["id"].as_str().unwrap();
    let gone = cluster.submit_simulated(&[]);
    cluster.ok(&["cancel", "-y", &gone]);
    let again = ["submit", "--image", "bt:1", "-m", "64m", "--idempotency-key", "once", "--", "true"];
    let first = cluster.json(&again)["id"].clone();

    cluster.coordinator().kill();
    cluster.tell_coordinators(&["--allow-image", "reg.io/*"]);
    cluster.start_coordinator();
    cluster.add_agent("agent");
    let words =
        ["the image bt:1 is docker.io/library/bt", "only these are allowed: reg.io/* (--allow-image)"];
    waits(&cluster, &sweep, &words);
    assert!(cluster.ok(&["show", &sweep]).contains(words[0]));
    refused(&cluster.run(&["add", open, "--params", "n=1"]), &words);
    let body = json!({ "params": [{ "n": 1 }] });
    assert_eq!(post(&cluster, &format!("/api/sweeps/{open}/jobs"), &body).refused().0, 403);
    refused(&cluster.run(&["retry", &gone]), &["is docker.io/library/x"]);
    assert_eq!(cluster.count(&gone, "cancelled"), 1);
    // A submit that is sent again is answered as before.
    assert_eq!(cluster.json(&again)["id"], first);
    let fine = submit(&cluster, "reg.io/bt:1");
    assert_eq!(fine.code, 0, "{fine:?}");
    cluster.wait_attempts("succeeded", 1);
    assert_eq!(cluster.database.query("select count(*) from attempts"), ["1"]);

    cluster.coordinator().kill();
    cluster.tell_coordinators(&[]);
    cluster.start_coordinator();
    cluster.wait_count(&sweep, "succeeded", 1);
}

#[test]
fn no_image_is_pushed_past_an_allow_list() {
    let images = Images::new();
    let name = images.name("mine:1");
    let id = images.build(&name, "");
    let mut cluster = Cluster::without_agent(with(&["--allow-image", "docker.io/*"]));
    let said = cluster.run(&["image", "push", &name]);
    refused(&said, &["comes from no registry", &format!("--allow-image {id}")]);
    assert_eq!(cluster.json(&["image", "ls"]), json!([]));
    cluster.coordinator().kill();
    cluster.tell_coordinators(&["--allow-image", &id]);
    cluster.start_coordinator();
    cluster.ok(&["image", "push", &name]);
    assert_eq!(cluster.json(&["image", "ls"])[0]["id"], id);
}

#[test]
fn a_machine_runs_only_what_its_owner_allows_whatever_the_coordinator_says() {
    let images = Images::new();
    let registry = Registry::start();
    let (good, evil) = (registry.name("quant/good:1"), images.name("evil:1"));
    images.build(&good, "ENV IMAGE=good");
    let by_digest = registry.push(&good);
    let evil_id = images.build(&evil, "ENV IMAGE=evil");
    let evil_pushed = registry.name("other/evil:1");
    docker(&["tag", &evil, &evil_pushed]);
    let evil_digest = registry.push(&evil_pushed);

    let mut options = Options::default();
    let allowed = format!("{}/quant/*", registry.address());
    options.agent.extend(["--allow-image".to_owned(), allowed.clone()]);
    let cluster = Cluster::with(options);
    let shown = cluster.json(&["agents", "show", "agent"]);
    assert_eq!(shown["about"]["images"], allowed, "{shown}");
    let sweep = |image: &str| {
        let args =
            ["submit", "--image", image, "--cpus", "0.25", "-m", "64m", "--", "sh", "-c", "echo $IMAGE"];
        cluster.json(&args)["id"].as_str().unwrap().to_owned()
    };
    for image in [&good, &by_digest] {
        let sweep = sweep(image);
        cluster.wait_ended(&sweep);
        assert_eq!(cluster.ok(&["logs", &sweep]).trim(), "good", "{}", cluster.ok(&["show", &sweep]));
    }
    let words = ["runs only some images (--allow-image)", &format!("only these are allowed: {allowed}")];
    for image in [&evil, &evil_pushed, &evil_digest] {
        let sweep = sweep(image);
        waits(&cluster, &sweep, &words);
        let containers = cluster.containers(&sweep);
        assert!(containers.is_empty(), "{image}: {containers:?}");
    }
    // A coordinator that calls something else by an allowed name.
    for pin in [&evil_id, &evil_digest] {
        let sweep = sweep_pinned(&cluster, &good, pin);
        waits(&cluster, &sweep, &words);
        assert!(cluster.containers(&sweep).is_empty(), "{pin}");
    }
    // A pushed one of an allowed name.
    let named = registry.name("quant/new:1");
    docker(&["tag", &evil, &named]);
    cluster.ok(&["image", "push", &named]);
    docker(&["rmi", &named]);
    let sweep = sweep(&named);
    cluster.wait_ended(&sweep);
    let reason = cluster.json(&["jobs", &sweep])[0]["reason"].clone();
    assert!(reason.as_str().unwrap().starts_with("image("), "{reason}");
    assert!(!images.has(&named));
    let ran = cluster.database.query("select count(*) from attempts where started_at is not null");
    assert_eq!(ran, ["2"]);
}

/// A sweep of an image that is pinned to something else before its job starts.
#[track_caller]
fn sweep_pinned(cluster: &Cluster, image: &str, pin: &str) -> String {
    cluster.ok(&["agents", "drain", "agent"]);
    let args = ["submit", "--image", image, "--cpus", "0.25", "-m", "64m", "--", "true"];
    let sweep = cluster.json(&args)["id"].as_str().unwrap().to_owned();
    cluster
        .database
        .query(&format!("update sweeps set image_pin = '{pin}' where id = '{sweep}' returning 1"));
    cluster.ok(&["agents", "undrain", "agent"]);
    sweep
}
