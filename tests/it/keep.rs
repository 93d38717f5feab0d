//! What is kept, and for how long: garbage goes, and nothing else; results that are damaged are found.

use std::fs;
use std::path::PathBuf;

use bt_tests::{Cluster, Options, wait_until};
use serde_json::{Value, json};

/// The directory of a sweep's job in the store.
fn job_dir(cluster: &Cluster, sweep: &str, job: u32) -> PathBuf {
    cluster.store().join(format!("btctl-test-{}/{job}", &sweep[..8]))
}

fn put(cluster: &Cluster, sweep: &str, path: &str) -> PathBuf {
    let file = cluster.store().join(format!("btctl-test-{}", &sweep[..8])).join(path);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(&file, "left behind").unwrap();
    file
}

/// A sweep of one job that succeeds and one that fails, with unpublished files in the store.
fn with_garbage(cluster: &Cluster) -> (String, [PathBuf; 2], [PathBuf; 4]) {
    let sweep = cluster.submit(&["--matrix", "n=0,1"], "echo said; echo {{ n }} > /results/x; exit {{ n }}");
    cluster.wait_ended(&sweep);
    wait_until("result.json is written", || {
        job_dir(cluster, &sweep, 0).join("result.json").exists().then_some(())
    });
    let garbage = [put(cluster, &sweep, "1/1/window.pck"), put(cluster, &sweep, "0/1/renamed.pck")];
    let strangers = [
        // An attempt that Postgres knows nothing of: it may have been restored from an older backup.
        put(cluster, &sweep, "1/7/window.pck"),
        put(cluster, &sweep, "notes/mine.txt"),
        put(cluster, &sweep, "0/1/x.d/../../notes.txt"),
        cluster.store().join("somebody.txt"),
    ];
    fs::write(&strangers[3], "else").unwrap();
    (sweep, garbage, strangers)
}

fn collect(cluster: &Cluster, more: &[&str]) -> Vec<Value> {
    let mut args = vec!["gc", "--older-than", "0s"];
    args.extend(more);
    cluster.json(&args).as_array().unwrap().clone()
}

#[test]
fn only_garbage_goes() {
    let cluster = Cluster::start();
    let (sweep, garbage, strangers) = with_garbage(&cluster);
    let told = collect(&cluster, &["--dry-run"]);
    let found: Vec<_> =
        told.iter().map(|heap| (heap["job"].clone(), heap["why"].clone(), heap["size"].clone())).collect();
    let expected =
        [(json!(0), json!("not in the result"), json!(11)), (json!(1), json!("unpublished"), json!(13))];
    assert_eq!(found, expected);
    assert!(garbage.iter().all(|file| file.exists()), "a dry run removes nothing");
    assert_eq!(collect(&cluster, &[]), told);
    assert!(!garbage.iter().any(|file| file.exists()), "{garbage:?}");
    assert!(strangers.iter().all(|file| file.exists()), "{strangers:?}");
    assert!(!job_dir(&cluster, &sweep, 1).join("1").exists(), "no empty directory is left");
    assert_eq!(cluster.ok(&["logs", &format!("{sweep}/1")]), "said\n");
    assert_eq!(collect(&cluster, &[&sweep]), Vec::<Value>::new());
    cluster.ok(&["results", "verify", &sweep]);
    cluster.ok(&["results", "get", &sweep, "-d", "got"]);
}

#[test]
fn what_is_young_or_still_runs_is_no_garbage() {
    let cluster = Cluster::start();
    let (_, garbage, _) = with_garbage(&cluster);
    let running = cluster.submit(&[], "sleep 300");
    cluster.wait_count(&running, "running", 1);
    let partial = put(&cluster, &running, "0/1/window.pck");
    assert_eq!(cluster.json(&["gc"]), json!([]), "a week is kept unless told otherwise");
    assert_eq!(cluster.json(&["gc", &running, "--older-than", "0s"]), json!([]));
    assert!(partial.exists() && garbage.iter().all(|file| file.exists()));
    cluster.ok(&["cancel", &running]);
}

#[test]
fn a_sweep_goes_when_its_time_has_passed_and_its_metrics_stay() {
    let cluster = Cluster::start();
    let script = "echo 1 > /results/x; echo said; echo '{\"sharpe\": 1.5}' > /results/metrics.json";
    let kept = cluster.submit(&["--keep", "1h"], script);
    let sweep = cluster.submit(&["--keep", "1s", "--matrix", "n=1:2"], script);
    for sweep in [&kept, &sweep] {
        cluster.wait_ended(sweep);
    }
    let due = wait_until("its time has passed", || {
        let told = cluster.json(&["gc", "--dry-run"]).as_array().unwrap().clone();
        (!told.is_empty()).then_some(told)
    });
    assert!(due.iter().all(|heap| heap["why"] == "expired" && heap["sweep_id"] == *sweep), "{due:?}");
    cluster.ok(&["results", "get", &sweep, "-d", "before"]);
    let gone = cluster.json(&["gc"]);
    let files: u64 = gone.as_array().unwrap().iter().map(|heap| heap["files"].as_u64().unwrap()).sum();
    assert!(files >= 2 * 4, "{gone}: two files, two documents beside them and the log");
    let dir = cluster.store().join(format!("btctl-test-{}", &sweep[..8]));
    assert!(!dir.exists(), "nothing is left: {:?}", fs::read_dir(&dir).map(Iterator::count));
    for args in [
        ["results", "get", &sweep, "-d", "after"].as_slice(),
        &["results", "ls", &sweep],
        &["results", "verify", &sweep],
    ] {
        let refused = cluster.run(args);
        assert_eq!(refused.code, 3, "{refused:?}");
        assert!(refused.stderr.contains("expired"), "{refused:?}");
    }
    assert_eq!(cluster.json(&["top", &sweep, "--by", "sharpe"]).as_array().unwrap().len(), 2);
    let shown = cluster.json(&["show", &sweep]);
    assert!(shown["expired"] == true && shown["kept_until"].is_string(), "{shown}");
    assert!(cluster.json(&["show", &kept])["expired"] == false);
    let retried = cluster.run(&["retry", &sweep]);
    assert!(retried.code != 0 && retried.stderr.contains("expired"), "{retried:?}");
    cluster.ok(&["results", "verify", &kept]);
}

#[test]
fn what_killed_writers_left_goes() {
    let cluster = Cluster::start();
    let (sweep, _, _) = with_garbage(&cluster);
    let running = cluster.submit(&[], "sleep 300");
    cluster.wait_count(&running, "running", 1);
    let half = [
        put(&cluster, &sweep, "1/1/a.pck#1"),
        put(&cluster, &sweep, "0/1/d/.btctl-0123456789abcdef"),
        put(&cluster, &sweep, "0/result.json#1"),
    ];
    let young = [put(&cluster, &sweep, "0/1.log#1"), put(&cluster, &running, "0/1/a.pck#1")];
    let day = std::time::Duration::from_secs(25 * 3600);
    fs::File::open(&half[2]).unwrap().set_modified(std::time::SystemTime::now() - day).unwrap();
    collect(&cluster, &[]);
    assert!(!half.iter().any(|file| file.exists()), "{half:?}");
    assert!(young.iter().all(|file| file.exists()), "{young:?}");
    cluster.ok(&["results", "verify", &sweep]);
    cluster.ok(&["cancel", &running]);
}

#[test]
fn compressed_results_are_no_garbage() {
    let flags = ["--compress", "zstd"].map(str::to_owned).into();
    let cluster = Cluster::with(Options { coordinator: flags, ..Options::default() });
    let script = "echo 1 > /results/x; echo 2 > /results/x.zst; head -c 100000 /dev/zero > /results/big";
    let sweep = cluster.submit(&[], script);
    cluster.wait_ended(&sweep);
    let stray = put(&cluster, &sweep, "0/1/big");
    let gone = collect(&cluster, &[]);
    assert_eq!(gone.len(), 1, "{gone:?}");
    assert!(gone[0]["files"] == 1 && !stray.exists(), "{gone:?}");
    let verified = wait_until("the document is written", || {
        let verified = cluster.run(&["results", "verify", &sweep]);
        (!verified.stdout.contains("not written yet")).then_some(verified)
    });
    assert_eq!(verified.code, 0, "{verified:?}");
    // A job that takes the result over finds it where it is.
    let taken = cluster.submit(&["--reuse"], script);
    cluster.wait_ended(&taken);
    cluster.ok(&["results", "get", &taken, "-d", "got"]);
    assert_eq!(fs::read(cluster.dir().join("got/0/x.zst")).unwrap(), b"2\n");
    let exported = cluster.ok(&["export", &taken, "-o", "csv"]);
    assert!(exported.contains(&format!("{sweep}/0")), "{exported}");
    let listed = cluster.ok(&["jobs", &taken]);
    assert!(listed.contains("the result of btctl-test/0"), "{listed}");
}

#[test]
fn coordinators_collect_by_themselves() {
    let flags = ["--gc-every", "300ms", "--keep-unpublished", "1s"].map(str::to_owned).into();
    let cluster = Cluster::with(Options { coordinator: flags, ..Options::default() });
    let sweep = cluster.submit(&["--keep", "1s"], "echo 1 > /results/x");
    let (_, garbage, strangers) = with_garbage(&cluster);
    wait_until("the garbage is gone", || (!garbage.iter().any(|file| file.exists())).then_some(()));
    let dir = cluster.store().join(format!("btctl-test-{}", &sweep[..8]));
    wait_until("the sweep has expired", || (!dir.exists()).then_some(()));
    assert!(strangers.iter().all(|file| file.exists()), "{strangers:?}");
}

#[test]
fn damage_is_found_and_documents_are_written_anew() {
    let cluster = Cluster::start();
    let sweep =
        cluster.submit(&["--matrix", "n=0:3"], "echo {{ n }}00 > /results/a; echo {{ n }} > /results/b");
    cluster.wait_ended(&sweep);
    wait_until("all is as published", || {
        (cluster.run(&["results", "verify", &sweep]).code == 0).then_some(())
    });
    let dir = |job| job_dir(&cluster, &sweep, job);
    fs::write(dir(0).join("1/a"), "999\n").unwrap();
    fs::write(dir(0).join("1/b"), "longer\n").unwrap();
    fs::remove_file(dir(1).join("1/b")).unwrap();
    let document = fs::read(dir(2).join("result.json")).unwrap();
    fs::remove_file(dir(2).join("result.json")).unwrap();
    fs::write(dir(3).join("result.json"), "{").unwrap();
    let verified = cluster.run(&["results", "verify", &sweep, "-o", "json"]);
    assert_eq!(verified.code, 1, "{verified:?}");
    let found: Value = serde_json::from_str(&verified.stdout).unwrap();
    let found: Vec<_> = found
        .as_array()
        .unwrap()
        .iter()
        .map(|item| {
            (item["job"].as_u64().unwrap(), item["path"].as_str().unwrap(), item["fault"].as_str().unwrap())
        })
        .collect();
    let expected = [
        (0, "a", "another content"),
        (0, "b", "7 bytes, where 2"),
        (1, "b", "missing"),
        (2, "result.json", "missing"),
        (3, "result.json", "can't be read"),
    ];
    assert_eq!(found.len(), expected.len(), "{found:?}");
    for (found, expected) in found.iter().zip(expected) {
        assert!((found.0, found.1) == (expected.0, expected.1) && found.2.contains(expected.2), "{found:?}");
    }
    assert_eq!(cluster.run(&["results", "verify", &sweep, "--repair"]).code, 1);
    wait_until("documents are written anew", || {
        let verified = cluster.run(&["results", "verify", &sweep, "-o", "name"]);
        (verified.stdout.lines().count() == 3).then_some(())
    });
    assert_eq!(fs::read(dir(2).join("result.json")).unwrap(), document);
    let one = cluster.run(&["results", "verify", &format!("{sweep}/2")]);
    assert_eq!(one.code, 0, "{one:?}");
}
