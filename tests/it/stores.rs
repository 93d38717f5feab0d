//! Where results are published: directories and buckets, written to by agents or through the coordinator, on good days and
//! on bad ones.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use bt_tests::{Bucket, Cluster, Fault, Options, btctl_path, wait_until};
use serde_json::Value;

/// Two large outputs and two small ones.
const SCRIPT: &str = "head -c 20000000 /dev/urandom > /results/big; mkdir /results/d; head -c 1000000 /dev/zero > /results/d/zeros; \
     echo small > /results/x; echo other > /results/x.zst";

fn flags(more: &[&str]) -> Vec<String> {
    let all = ["--cpus", "2", "--memory", "2GiB", "--drain-timeout", "5s"];
    all.iter().chain(more).map(|flag| (*flag).to_owned()).collect()
}

fn on(bucket: &Bucket, agent: &[&str]) -> Options {
    Options {
        store: Some(bucket.location()),
        env: bucket.settings(),
        agent: flags(agent),
        ..Options::default()
    }
}

/// How an agent's outputs get into the store.
fn way(cluster: &Cluster, agent: &str) -> String {
    wait_until("the agent has decided", || {
        let shown = cluster.json(&["agents", "show", agent]);
        shown["about"]["store"].as_str().map(str::to_owned)
    })
}

/// Runs a sweep of one job, fetches its results and compares them with what was stored. Returns the place of the result.
#[track_caller]
fn run(cluster: &Cluster, objects: &Path, script: &str) -> PathBuf {
    let sweep = cluster.submit(&[], script);
    cluster.wait_count(&sweep, "succeeded", 1);
    // Each file's SHA-256 is compared.
    cluster.ok(&["results", "get", &sweep, "-d", &format!("got-{sweep}")]);
    assert_eq!(cluster.database.query("select sum(losses), sum(failures) from jobs"), ["0|0"]);
    let job = objects.join(format!("btctl-test-{}/0", &sweep[..8]));
    wait_until("result.json is written", || job.join("result.json").exists().then_some(()));
    job
}

fn document(job: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(job.join("result.json")).unwrap()).unwrap()
}

#[test]
fn results_reach_a_bucket_directly() {
    let bucket = Bucket::start();
    let cluster = Cluster::with(on(&bucket, &[]));
    assert_eq!(way(&cluster, "agent"), format!("direct: {}", bucket.location()));
    let job = run(&cluster, &bucket.objects(), SCRIPT);
    let document = document(&job);
    let paths: Vec<_> =
        document["files"].as_array().unwrap().iter().map(|file| file["path"].as_str().unwrap()).collect();
    assert_eq!(paths, ["big", "d/zeros", "x", "x.zst"]);
    assert!(document["files"][0].get("encoding").is_none(), "{document}");
    assert_eq!(std::fs::metadata(job.join("1/big")).unwrap().len(), 20_000_000);
    assert!(bucket.line().passed("partNumber=3") > 0, "it was sent in parts");
    assert_eq!(bucket.parts(), Vec::<String>::new());
}

#[test]
fn results_reach_a_bucket_through_the_coordinator() {
    let bucket = Bucket::start();
    let cluster = Cluster::with(on(&bucket, &["--store", "relay"]));
    assert_eq!(way(&cluster, "agent"), "relayed: --store relay asks for it");
    let job = run(&cluster, &bucket.objects(), SCRIPT);
    assert_eq!(std::fs::metadata(job.join("1/big")).unwrap().len(), 20_000_000);
}

#[test]
fn results_reach_a_directory_directly_where_it_is_from_there_and_else_relayed() {
    let mut cluster = Cluster::without_agent(Options::default());
    let elsewhere = cluster.dir().join("nfs");
    std::os::unix::fs::symlink(cluster.store(), &elsewhere).unwrap();
    let empty = cluster.dir().join("empty");
    std::fs::create_dir(&empty).unwrap();
    let text = |path: &Path| path.display().to_string();
    let ways = [
        ("auto", "auto".to_owned(), format!("direct: {}", cluster.store().display())),
        ("mounted", text(&elsewhere), format!("direct: {}", elsewhere.display())),
        ("unmounted", text(&empty), format!("relayed: {} is there, but it is not", empty.display())),
        ("missing", text(&cluster.dir().join("nowhere")), "relayed: the store's directory".to_owned()),
    ];
    for (name, store, told) in ways {
        cluster.add_agent_with(name, &flags(&["--store", &store]));
        let way = way(&cluster, name);
        assert!(way.starts_with(&told), "{way}");
        run(&cluster, &cluster.store(), SCRIPT);
        assert_eq!(cluster.agent().terminate(), 0);
    }
    assert!(!cluster.dir().join("nowhere").exists(), "an agent makes no directory");
    assert_eq!(std::fs::read_dir(&empty).unwrap().count(), 0);
    let left = std::fs::read_dir(cluster.store()).unwrap();
    let own: Vec<_> = left.flatten().map(|entry| entry.file_name().into_string().unwrap()).collect();
    assert!(own.iter().all(|name| name.starts_with(".btctl-") || name.starts_with("btctl-test-")), "{own:?}");
}

#[test]
fn a_server_that_fails_now_and_then_is_asked_again() {
    for way in ["auto", "relay"] {
        let bucket = Bucket::start();
        let cluster = Cluster::with(on(&bucket, &["--store", way]));
        self::way(&cluster, "agent");
        let faults = [
            (12, Fault::Answered(500)),
            (12, Fault::Answered(503)),
            (3, Fault::Late(Duration::from_secs(3))),
            (12, Fault::Reset(100_000)),
        ];
        for (requests, fault) in faults {
            let before = bucket.line().broken();
            let sweep = cluster.submit(&[], SCRIPT);
            bucket.line().break_next(requests, fault);
            cluster.wait_count(&sweep, "succeeded", 1);
            assert!(bucket.line().broken() > before, "{fault:?} struck nobody");
            bucket.line().mend();
            cluster.ok(&["results", "get", &sweep, "-d", &format!("got-{sweep}")]);
        }
        assert_eq!(cluster.database.query("select sum(losses), sum(failures) from jobs"), ["0|0"]);
    }
}

#[test]
fn a_coordinator_that_is_not_let_in_says_so_and_an_agent_relays() {
    let bucket = Bucket::start();
    let mut cluster = Cluster::without_agent(on(&bucket, &[]));
    let refused = |location: &str, env: Vec<(String, String)>| {
        let output = Command::new(btctl_path())
            .args(["coordinator", "--listen", "127.0.0.1:0", "--store", location])
            .env("BTCTL_DATABASE_URL", cluster.database.url())
            .envs(env)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    let told = refused(&bucket.location(), bucket.wrong_settings());
    assert!(told.contains("does not let this process in"), "{told}");
    assert!(told.contains("AWS_SECRET_ACCESS_KEY"), "it says what to look at: {told}");
    assert!(!told.contains("let-me-in-please"), "no secret is printed: {told}");
    let told = refused("s3://no-such-bucket/x", bucket.settings());
    assert!(told.contains("s3://no-such-bucket/x is gone"), "{told}");

    let wrong = bucket.wrong_settings();
    let wrong: Vec<_> = wrong.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    cluster.add_agent_in("agent", &flags(&[]), &wrong);
    let way = way(&cluster, "agent");
    assert!(way.starts_with("relayed: ") && way.contains("AWS_SECRET_ACCESS_KEY"), "{way}");
    run(&cluster, &bucket.objects(), SCRIPT);
}

#[test]
fn a_bucket_that_is_gone_holds_results_up_until_it_is_back() {
    let bucket = Bucket::start();
    let cluster = Cluster::with(on(&bucket, &[]));
    assert!(way(&cluster, "agent").starts_with("direct"));
    bucket.line().break_next(usize::MAX, Fault::NoBucket);
    let sweeps = [SCRIPT, "echo small > /results/x"].map(|script| cluster.submit(&[], script));
    for sweep in &sweeps {
        wait_until("it says what it waits for", || {
            cluster.ok(&["show", sweep]).contains("is gone").then_some(())
        });
    }
    bucket.line().mend();
    for sweep in &sweeps {
        cluster.wait_count(sweep, "succeeded", 1);
        cluster.ok(&["results", "get", sweep, "-d", &format!("got-{sweep}")]);
    }
    assert_eq!(cluster.database.query("select sum(losses), sum(failures) from jobs"), ["0|0"]);
}

#[test]
fn a_disk_that_fills_up_holds_results_up_until_there_is_room() {
    for way in ["auto", "relay"] {
        let bucket = Bucket::nearly_full(64 << 20, 50 << 20);
        let cluster = Cluster::with(on(&bucket, &["--store", way]));
        self::way(&cluster, "agent");
        let sweep = cluster.submit(&[], SCRIPT);
        wait_until("it says what it waits for", || {
            cluster.ok(&["show", &sweep]).contains("publishing: ").then_some(())
        });
        assert_eq!(cluster.count(&sweep, "running"), 1);
        bucket.make_room();
        cluster.wait_count(&sweep, "succeeded", 1);
        cluster.ok(&["results", "get", &sweep, "-d", "got"]);
        assert_eq!(cluster.database.query("select sum(losses), sum(failures) from jobs"), ["0|0"]);
    }
}

#[test]
fn a_directory_that_is_read_only_or_was_not_mounted_is_told() {
    let mut cluster = Cluster::without_agent(Options::default());
    let script = "mount --bind $0 $0 && mount -o remount,ro,bind $0 && exec $1 coordinator --listen 127.0.0.1:0 --store $0";
    let output = Command::new("unshare")
        .args(["--map-root-user", "--mount", "sh", "-c", script])
        .args([cluster.store(), btctl_path()])
        .env("BTCTL_DATABASE_URL", cluster.database.url())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("is read-only"), "{told}");

    // What is written where a store was mounted would never be found again.
    cluster.add_agent_with("agent", &flags(&[]));
    assert!(way(&cluster, "agent").starts_with("direct"));
    let away = cluster.dir().join("away");
    std::fs::rename(cluster.store(), &away).unwrap();
    std::fs::create_dir(cluster.store()).unwrap();
    let sweep = cluster.submit(&[], SCRIPT);
    wait_until("it says what it waits for", || {
        cluster.ok(&["show", &sweep]).contains("is the directory mounted?").then_some(())
    });
    assert_eq!(std::fs::read_dir(cluster.store()).unwrap().count(), 0);
    std::fs::remove_dir(cluster.store()).unwrap();
    std::fs::rename(&away, cluster.store()).unwrap();
    cluster.wait_count(&sweep, "succeeded", 1);
}

#[test]
fn compressed_results_come_back_as_they_were() {
    for way in ["auto", "relay"] {
        let bucket = Bucket::start();
        let compressed = Options {
            coordinator: vec!["--compress".into(), "zstd".into()],
            ..on(&bucket, &["--store", way])
        };
        let cluster = Cluster::with(compressed);
        let job = run(&cluster, &bucket.objects(), SCRIPT);
        let document = document(&job);
        let files = document["files"].as_array().unwrap();
        for file in files {
            let path = file["path"].as_str().unwrap();
            assert_eq!(file["encoding"], "zstd", "{document}");
            assert_eq!(file["stored_as"], format!("{path}.zst"));
            let stored = std::fs::read(job.join("1").join(format!("{path}.zst"))).unwrap();
            assert_eq!(stored.len() as u64, file["stored_size"].as_u64().unwrap());
            assert_eq!(stored[..4], [0x28, 0xb5, 0x2f, 0xfd], "{path} is no zstd");
        }
        assert_eq!(files[1]["size"], 1_000_000);
        assert!(files[1]["stored_size"].as_u64().unwrap() < 1_000);
        let got = |path: &str| {
            let dir = std::fs::read_dir(cluster.dir()).unwrap().flatten();
            let mut dirs =
                dir.map(|entry| entry.path()).filter(|path| path.display().to_string().contains("/got-"));
            std::fs::read(dirs.next().unwrap().join("0").join(path)).unwrap()
        };
        assert_eq!((got("x"), got("x.zst")), (b"small\n".to_vec(), b"other\n".to_vec()));
        assert_eq!(got("d/zeros"), vec![0; 1_000_000]);

        // What is damaged is not delivered.
        let mut stored = std::fs::read(job.join("1/x.zst")).unwrap();
        let last = stored.len() - 1;
        stored[last] ^= 1;
        std::fs::write(job.join("1/x.zst"), stored).unwrap();
        let sweep = document["sweep"].as_str().unwrap();
        let failed = cluster.run(&["results", "get", sweep, "-d", "again"]);
        assert!(failed.code == 1 && failed.stderr.contains("job 0: x is damaged"), "{failed:?}");
        assert!(!cluster.dir().join("again/0/x").exists());

        // What a failed attempt left comes back as it was, too.
        let sweep = cluster.submit(&["--retries", "0"], &format!("{SCRIPT}; exit 3"));
        cluster.wait_ended(&sweep);
        let left = cluster.json(&["results", "ls", &sweep, "--partial"]);
        let paths: Vec<_> =
            left.as_array().unwrap().iter().map(|file| file["path"].as_str().unwrap()).collect();
        assert_eq!(paths, ["big", "d/zeros", "x", "x.zst"]);
        assert!(left[1]["size"].is_null() && left[1]["stored_size"].as_u64().unwrap() < 1_000, "{left}");
        cluster.ok(&["results", "get", &sweep, "--partial", "-d", "left"]);
        let got = |path: &str| std::fs::read(cluster.dir().join("left/0").join(path)).unwrap();
        assert_eq!((got("x"), got("x.zst")), (b"small\n".to_vec(), b"other\n".to_vec()));
        assert_eq!(got("d/zeros"), vec![0; 1_000_000]);
        std::fs::remove_dir_all(cluster.dir().join("left")).unwrap();
    }
}

/// A file of thirteen parts, sent in ten seconds.
const LARGE: &str = "head -c 100000000 /dev/urandom > /results/big";

#[test]
fn a_large_file_goes_on_in_a_bucket_after_the_agents_restart() {
    let bucket = Bucket::start();
    let mut cluster = Cluster::with(on(&bucket, &["--upload-rate", "10MiB"]));
    way(&cluster, "agent");
    let sweep = cluster.submit(&[], LARGE);
    wait_until("half of it is there", || (bucket.line().passed("partNumber=") >= 6).then_some(()));
    cluster.agent().kill();
    let before = bucket.line().passed("partNumber=");
    cluster.add_agent("agent");
    cluster.wait_count(&sweep, "succeeded", 1);
    let again = bucket.line().passed("partNumber=") - before;
    let all = 100_000_000_usize.div_ceil(8 << 20);
    assert!(again <= all - before + 3, "{again} parts were sent after {before} of {all}");
    cluster.ok(&["results", "get", &sweep, "-d", "got"]);
    assert_eq!(bucket.parts(), Vec::<String>::new());
}

#[test]
fn a_large_file_goes_on_where_the_relay_was_cut() {
    let mut cluster = Cluster::with(Options {
        agent: flags(&["--store", "relay", "--upload-rate", "10MiB"]),
        ..Options::default()
    });
    let sweep = cluster.submit(&[], LARGE);
    let job = cluster.store().join(format!("btctl-test-{}/0/1", &sweep[..8]));
    wait_until("half of it is there", || {
        let there = std::fs::metadata(job.join("big#1")).ok()?.len();
        (there > 50_000_000).then_some(())
    });
    cluster.agent().kill();
    cluster.add_agent("agent");
    cluster.wait_count(&sweep, "succeeded", 1);
    let log = cluster.agent().log();
    let (_, told) = log.split_once("big goes on after ").expect("it goes on");
    let there: u64 = told.split_whitespace().next().unwrap().parse().unwrap();
    assert!(there > 50_000_000, "{there}");
    cluster.ok(&["results", "get", &sweep, "-d", "got"]);
    assert_eq!(std::fs::read_dir(&job).unwrap().count(), 1);
}

#[test]
fn nothing_is_left_in_a_bucket_of_a_job_that_was_cancelled() {
    let bucket = Bucket::start();
    let cluster = Cluster::with(on(&bucket, &["--upload-rate", "10MiB"]));
    way(&cluster, "agent");
    let sweep = cluster.submit(&[], LARGE);
    wait_until("some of it is there", || (!bucket.parts().is_empty()).then_some(()));
    cluster.ok(&["cancel", &sweep]);
    wait_until("nothing is left", || bucket.parts().is_empty().then_some(()));
    cluster.wait_count(&sweep, "cancelled", 1);
}
