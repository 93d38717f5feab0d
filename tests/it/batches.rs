//! Commands that work on several things: one bad thing never stops the others, each is named, and the command exits
//! with 1.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use bt_tests::{Cluster, Options, wait_until};

/// Puts something in a path's place that opens for no user.
fn break_path(path: &Path) {
    match path.is_dir() {
        true => fs::remove_dir_all(path).unwrap(),
        false => fs::remove_file(path).unwrap(),
    }
    symlink(path.file_name().unwrap(), path).unwrap();
}

#[test]
fn all_good_files_are_fetched_and_the_bad_ones_listed() {
    let cluster = Cluster::start();
    let sweep = cluster.submit(&["--matrix", "n=0:5"], "cd /results; echo {{ n }} > a; echo {{ n }} > b");
    cluster.wait_ended(&sweep);
    fs::remove_file(cluster.stored(&sweep, 0, 1).join("a")).unwrap();
    fs::write(cluster.stored(&sweep, 2, 1).join("b"), "x\n").unwrap();
    fs::remove_dir_all(cluster.stored(&sweep, 4, 1)).unwrap();
    let got = cluster.run(&["results", "get", &sweep, "-d", "got"]);
    assert_eq!(got.code, 1, "{got:?}");
    for bad in ["job 0: a", "job 2: b is damaged", "job 4: a", "job 4: b"] {
        assert!(got.stderr.lines().any(|line| line.starts_with(&format!("btctl: {bad}"))), "{bad}: {got:?}");
    }
    assert!(got.stderr.contains("8 files") && got.stderr.contains("4 of 12 failed"), "{got:?}");
    let there = |path: &str| cluster.dir().join("got").join(path).exists();
    for good in ["0/b", "1/a", "1/b", "2/a", "3/a", "3/b", "5/a", "5/b"] {
        assert!(there(good), "{good}");
    }
    for bad in ["0/a", "2/b", "4/a", "4/b"] {
        assert!(!there(bad), "{bad}");
    }
    // What was mended is fetched by the same command.
    fs::write(cluster.stored(&sweep, 0, 1).join("a"), "0\n").unwrap();
    let again = cluster.run(&["results", "get", &sweep, "-d", "got"]);
    assert!(again.code == 1 && again.stderr.contains("(8 were there already)"), "{again:?}");
    assert!(there("0/a"));
    let one = cluster.run(&["results", "get", &format!("{sweep}/2"), "-d", "one"]);
    assert!(one.code == 1 && one.stderr.contains("job 2: b is damaged in the store"), "{one:?}");
}

#[test]
fn a_place_that_can_not_be_written_here_costs_one_file() {
    let cluster = Cluster::start();
    let sweep = cluster.submit(&["--matrix", "n=0:2"], "echo {{ n }} > /results/x");
    cluster.wait_ended(&sweep);
    fs::create_dir_all(cluster.dir().join("got")).unwrap();
    symlink("1", cluster.dir().join("got/1")).unwrap();
    let got = cluster.run(&["results", "get", &sweep, "-d", "got", "--overwrite"]);
    assert!(got.code == 1 && got.stderr.contains("job 1: x"), "{got:?}");
    assert!(cluster.dir().join("got/0/x").exists() && cluster.dir().join("got/2/x").exists());
}

#[test]
fn a_file_that_can_not_be_read_is_one_fault_of_many() {
    let cluster = Cluster::start();
    let sweep = cluster.submit(&["--matrix", "n=0:3"], "cd /results; echo {{ n }} > a; echo {{ n }} > b");
    cluster.wait_ended(&sweep);
    break_path(&cluster.stored(&sweep, 0, 1).join("a"));
    fs::write(cluster.stored(&sweep, 3, 1).join("b"), "x\n").unwrap();
    let verified = cluster.run(&["results", "verify", &sweep, "-o", "json"]);
    assert_eq!(verified.code, 1, "{verified:?}");
    let found: serde_json::Value = serde_json::from_str(&verified.stdout).unwrap();
    let found: Vec<_> = found.as_array().unwrap().iter().map(|item| item["job"].as_u64().unwrap()).collect();
    assert_eq!(found, [0, 3], "{verified:?}");
}

#[test]
fn each_sweep_and_job_that_is_named_is_done() {
    let cluster = Cluster::without_agent(Options::default());
    let [one, two] = ["n=0:1", "n=0:2"].map(|range| cluster.submit(&["--matrix", range], "true"));
    let paused = cluster.run(&["pause", "nosuch", &one, &two]);
    assert_eq!(paused.code, 1, "{paused:?}");
    assert!(paused.stderr.contains("nosuch") && paused.stderr.contains("1 of 3 failed"), "{paused:?}");
    assert_eq!(cluster.json(&["show", &two])["state"], "paused");
    assert_eq!(cluster.run(&["resume", "nosuch", &two]).code, 1);
    assert_eq!(cluster.json(&["show", &two])["state"], "queued");
    let cancelled = cluster.run(&["cancel", &format!("{one}/9"), "nosuch", &format!("{one}/0"), &two]);
    assert_eq!(cancelled.code, 1, "{cancelled:?}");
    assert!(cancelled.stderr.contains("2 of 4 failed"), "{cancelled:?}");
    assert_eq!([cluster.count(&one, "cancelled"), cluster.count(&two, "cancelled")], [1, 3]);
    let retried = cluster.run(&["retry", "nosuch", &two, &format!("{one}/7")]);
    assert_eq!(retried.code, 1, "{retried:?}");
    assert_eq!(cluster.count(&two, "queued"), 3);
    // A single thing keeps its exit code.
    assert_eq!(cluster.run(&["cancel", "nosuch"]).code, 3);
}

#[test]
fn a_sweep_that_can_not_be_collected_does_not_keep_the_others() {
    let cluster = Cluster::start();
    let failing = |_| {
        let sweep = cluster.submit(&[], "echo 1 > /results/x; exit 1");
        cluster.wait_ended(&sweep);
        sweep
    };
    let sweeps = [0, 1, 2].map(failing);
    let left = |sweep: &str| cluster.stored(sweep, 0, 1).join("x");
    wait_until("what failed is stored", || sweeps.iter().all(|sweep| left(sweep).exists()).then_some(()));
    for sweep in &sweeps {
        let dir = cluster.store().join(format!("btctl-test-{}", &sweep[..8]));
        if sweep == &sweeps[1] {
            break_path(&dir);
        }
    }
    let collected = cluster.run(&["gc", "--older-than", "0s"]);
    assert_eq!(collected.code, 1, "{collected:?}");
    assert!(collected.stderr.contains(&sweeps[1][..8]), "{collected:?}");
    assert!(!left(&sweeps[0]).exists() && !left(&sweeps[2]).exists());
}

#[test]
fn metrics_of_all_good_outputs_are_imported_if_asked() {
    let cluster = Cluster::start();
    let script = r#"cd /results; case {{ n }} in
        1) ;; 2) echo '{"a": ' > s.json;; *) echo '{"a": {{ n }}}' > s.json;; esac"#;
    let sweep = cluster.submit(&["--matrix", "n=0:4"], script);
    cluster.wait_ended(&sweep);
    let import =
        |more: &[&str]| cluster.run(&[&["metrics", "import", &sweep, "--output", "s.json"], more].concat());
    let metrics = || cluster.database.query("select count(*) from jobs where metrics is not null");
    let refused = import(&[]);
    assert!(refused.code != 0 && refused.stderr.contains("job 2: s.json"), "{refused:?}");
    assert_eq!(metrics(), ["0"]);
    let imported = import(&["--keep-going"]);
    assert_eq!(imported.code, 1, "{imported:?}");
    assert!(imported.stderr.contains("job 2: s.json") && imported.stderr.contains("3 jobs got metrics"));
    assert_eq!(metrics(), ["3"]);
}
