//! A local directory laid over the image of a sweep (`--dev-mount`): what jobs see of it, what is said of their results, and that
//! what was touched on the way is not used.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use bt_tests::{Cluster, Images, Options, wait_until};
use serde_json::{Value, json};

/// Prints which version of the package it finds.
const SCRIPT: &str = "cat /pkg/version; cat /pkg/version > /results/version";

/// An image whose package is of version A.
fn image(images: &Images) -> String {
    let name = images.name("strategy:1");
    images.build(&name, "RUN mkdir /pkg && echo A > /pkg/version && echo old > /pkg/old");
    name
}

/// A directory with the package in this version.
fn package(cluster: &Cluster, version: &str) -> PathBuf {
    let dir = cluster.dir().join("src");
    fs::create_dir_all(dir.join("__pycache__")).unwrap();
    fs::write(dir.join("__pycache__/x.pyc"), version).unwrap();
    fs::write(dir.join("version"), version).unwrap();
    dir
}

fn args<'a>(image: &'a str, flag: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let args = ["submit", "--image", image, "--cpus", "0.25", "-m", "64m", "--dev-mount", flag];
    [&args[..], more, &["--", "sh", "-c", SCRIPT]].concat()
}

/// Runs a sweep of one job to its end. What it is, and what its job has printed.
fn succeeds(cluster: &Cluster, image: &str, dir: &Path, more: &[&str]) -> (Value, String) {
    let flag = format!("{}:/pkg", dir.display());
    let sweep = cluster.json(&args(image, &flag, more))["id"].as_str().unwrap().to_owned();
    cluster.wait_ended(&sweep);
    let shown = cluster.json(&["show", &sweep]);
    assert_eq!(cluster.count(&sweep, "succeeded"), 1, "{}", cluster.ok(&["show", &sweep]));
    let printed = cluster.ok(&["logs", &sweep]);
    (shown, printed)
}

fn hash(shown: &Value) -> String {
    shown["dev_mount"][0]["sha256"].as_str().unwrap_or_else(|| panic!("{shown}")).to_owned()
}

/// The copy of the only agent.
fn kept(cluster: &Cluster, sha256: &str) -> Option<PathBuf> {
    let find = std::process::Command::new("find")
        .args([cluster.dir().to_str().unwrap(), "-type", "d", "-name", sha256])
        .output()
        .unwrap();
    String::from_utf8(find.stdout).unwrap().lines().next().map(PathBuf::from)
}

#[test]
fn jobs_run_the_local_version_and_their_results_say_so() {
    let images = Images::new();
    let mut cluster = Cluster::start();
    let image = image(&images);
    let dir = package(&cluster, "B\n");
    let (shown, printed) = succeeds(&cluster, &image, &dir, &["--name", "first"]);
    assert_eq!(printed, "B\n");
    let first = hash(&shown);
    let words = format!("not reproducible: dev mount /pkg sha256 {first}");
    let mount = json!([{"target": "/pkg", "sha256": first, "files": 1, "bytes": 2}]);
    assert_eq!((&shown["dev_mount"], &shown["not_reproducible"]), (&mount, &json!(words)), "{shown}");
    assert_eq!(shown["manifest"]["dev_mount"], mount, "{shown}");
    for target in ["first", "first/0"] {
        assert!(cluster.ok(&["show", target]).contains(&words), "{target}");
    }
    let document = cluster.store().join(shown["store"].as_str().unwrap()).join("0/result.json");
    let written = wait_until("result.json is written", || fs::read(&document).ok());
    let document: Value = serde_json::from_slice(&written).unwrap();
    assert_eq!((&document["dev_mount"], &document["not_reproducible"]), (&mount, &json!(words)));

    // Nothing is sent or fetched twice, and the same is identical.
    let flag = format!("{}:/pkg", dir.display());
    let again = cluster.run(&args(&image, &flag, &["--name", "again", "--reuse", "--wait"]));
    assert!(again.stderr.contains("dev mount /pkg is in the store already"), "{again:?}");
    assert_eq!(cluster.json(&["show", "again"])["reuse"]["taken"], 1);

    // Another byte is another result.
    let dir = package(&cluster, "C\n");
    let (shown, printed) = succeeds(&cluster, &image, &dir, &["--name", "other", "--reuse"]);
    assert_eq!((printed.as_str(), hash(&shown) == first), ("C\n", false));
    assert_eq!(shown["reuse"]["taken"], 0);

    // A copy that was touched is fetched again.
    let copy = kept(&cluster, &hash(&shown)).unwrap();
    fs::write(copy.join("version"), "X\n").unwrap();
    assert_eq!(succeeds(&cluster, &image, &dir, &["--name", "touched"]).1, "C\n");
    assert_eq!(fs::read_to_string(copy.join("version")).unwrap(), "C\n");

    // So is it by an agent that has none, and a sweep like it needs no directory.
    cluster.agent().terminate();
    cluster.add_agent("other");
    fs::remove_dir_all(&dir).unwrap();
    let like = cluster.json(&["submit", "--like", "other"])["id"].as_str().unwrap().to_owned();
    cluster.wait_ended(&like);
    assert_eq!(cluster.ok(&["logs", &like]), "C\n");

    // It tested no image as it is.
    let promoted = cluster.run(&["image", "promote", "prod/strategy", &image, "--gate", "other"]);
    assert_ne!(promoted.code, 0, "{promoted:?}");
    assert!(promoted.stderr.contains("did not test the image as it is"), "{promoted:?}");
}

#[test]
fn what_is_no_dev_mount_is_refused_by_name() {
    let images = Images::new();
    let cluster = Cluster::without_agent(Options::default());
    let image = images.name("strategy:1");
    let dir = package(&cluster, "B\n");
    let empty = cluster.dir().join("empty");
    fs::create_dir_all(&empty).unwrap();
    let leaves = cluster.dir().join("leaves");
    fs::create_dir_all(&leaves).unwrap();
    symlink("/etc/passwd", leaves.join("link")).unwrap();
    let of = |dir: &Path, target: &str| format!("{}:{target}", dir.display());
    for (flag, words) in [
        (of(&dir, "pkg"), "does not start with `/`"),
        (of(&dir, "/results/pkg"), "overlaps with `results`"),
        (of(&empty, "/pkg"), "has no files"),
        (of(&cluster.dir().join("gone"), "/pkg"), "gone does not exist"),
        (of(&leaves, "/pkg"), "link is a link to /etc/passwd"),
    ] {
        let refused = cluster.run(&args(&image, &flag, &[]));
        assert_eq!(refused.code, 2, "{flag}: {refused:?}");
        assert!(refused.stderr.contains(words), "{flag}: {refused:?}");
    }
    let refused = cluster.run(&args(&image, &of(&dir, "/pkg"), &["-v", "prices:/pkg/data:ro"]));
    assert!(refused.code == 2 && refused.stderr.contains("overlaps with"), "{refused:?}");
    // A manifest that names what nobody has sent.
    let manifest = format!(
        "image: {image}\ndev_mount: [{{ target: /pkg, sha256: '{}', files: 1, bytes: 2 }}]\n",
        "0a".repeat(32)
    );
    let file = cluster.dir().join("s.yaml");
    fs::write(&file, manifest).unwrap();
    let refused = cluster.run(&["submit", "-f", file.to_str().unwrap()]);
    assert!(refused.code != 0 && refused.stderr.contains("is not in the store"), "{refused:?}");
}

#[test]
fn run_local_lays_it_over_the_image_too_and_gc_keeps_what_is_named() {
    let images = Images::new();
    let coordinator = ["--gc-every", "200ms"].map(str::to_owned).into();
    let cluster = Cluster::with(Options { coordinator, ..Options::default() });
    let image = image(&images);
    let dir = package(&cluster, "B\n");
    let flag = format!("{}:/pkg", dir.display());
    let ran =
        ["run", "--local", "--image", &image, "-m", "64m", "--dev-mount", &flag, "--", "cat", "/pkg/version"];
    assert!(cluster.ok(&ran).contains("B\n"));

    let (shown, _) = succeeds(&cluster, &image, &dir, &[]);
    let id = shown["id"].as_str().unwrap().to_owned();
    let files = || cluster.database.query("select stored_as from layers");
    let old =
        || cluster.database.query("update layers set stored_at = now() - interval '2 days' returning size");
    let [file] = &files()[..] else { panic!("{:?}", files()) };
    old();
    // Passes of the collector, which removes what is old and has no name.
    let passes = || {
        cluster.database.query(
            "insert into layers values (decode(repeat('0b', 32), 'hex'), 1, 'x', now() - interval '2 days')",
        )
    };
    let gone = || (files().iter().all(|known| known != "x")).then_some(());
    passes();
    wait_until("the collector passes", gone);
    assert_eq!(files(), std::slice::from_ref(file));
    cluster.ok(&["rm", &id, "--yes"]);
    old();
    wait_until("the collector passes", || files().is_empty().then_some(()));
    wait_until("its file is gone", || (!cluster.store().join(file).exists()).then_some(()));
}
