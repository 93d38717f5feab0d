//! `btctl results get`: whole files or none, whatever breaks on the way, and nothing fetched twice.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use bt_tests::{Cluster, Options, Proxy, btctl_path, wait_until};
use sha2::{Digest, Sha256};

/// Bytes of a file that takes a while.
const BIG: u64 = 48 << 20;

fn sha256(path: &Path) -> String {
    Sha256::digest(fs::read(path).unwrap()).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A sweep of one job with a big output and a small one.
fn big(cluster: &Cluster) -> String {
    let script = format!("head -c {BIG} /dev/urandom > /results/big; echo small > /results/small");
    let sweep = cluster.submit(&[], &script);
    cluster.wait_ended(&sweep);
    sweep
}

fn published(cluster: &Cluster, sweep: &str) -> Vec<(String, String)> {
    let listed = cluster.json(&["results", "ls", sweep]);
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    listed.as_array().unwrap().iter().map(|file| (text(&file["path"]), text(&file["sha256"]))).collect()
}

/// A line to the coordinator that can be cut, and its address.
fn line(cluster: &Cluster) -> (Proxy, String) {
    let address = cluster.address();
    let target = address.strip_prefix("http://").unwrap().parse().unwrap();
    let proxy = Proxy::start(vec![target]);
    let address = format!("http://{}", proxy.address());
    (proxy, address)
}

/// Bytes that have come of files that are not whole.
fn come(dir: &Path) -> u64 {
    let parts = fs::read_dir(dir.join(".btctl-parts")).into_iter().flatten().flatten();
    parts.map(|part| part.metadata().map_or(0, |metadata| metadata.len())).sum()
}

fn are_there(cluster: &Cluster, sweep: &str, dir: &Path) {
    for (path, hash) in published(cluster, sweep) {
        assert_eq!(sha256(&dir.join("0").join(path)), hash);
    }
    assert!(!dir.join(".btctl-parts").exists(), "nothing else is left");
}

#[test]
fn a_fetch_that_was_killed_goes_on_where_it_was() {
    let cluster = Cluster::start();
    let sweep = big(&cluster);
    let (proxy, address) = line(&cluster);
    let got = cluster.dir().join("got");
    for signal in ["KILL", "INT"] {
        proxy.let_through(BIG / 2);
        let get = ["--coordinator", &address, "results", "get", &sweep, "-d", "got"];
        let mut client = cluster.spawn("get", &get);
        wait_until("half of it has come", || (come(&got) > BIG / 4).then_some(()));
        client.signal(signal);
        let code = client.wait();
        assert!(!got.join("0/big").exists());
        if signal == "INT" {
            assert_eq!(code, 130);
            assert!(client.log().contains("the same command goes on where this was"), "{}", client.log());
        }
        let before = come(&got);
        assert!(before > BIG / 4);
        // Too little for all of it: it must go on, not begin anew.
        proxy.let_through(BIG - before + (4 << 20));
        let done = cluster.run(&get);
        assert_eq!(done.code, 0, "{done:?}");
        are_there(&cluster, &sweep, &got);
        fs::remove_dir_all(&got).unwrap();
    }
}

#[test]
fn a_connection_that_breaks_in_mid_file_is_made_again() {
    let mut cluster = Cluster::start();
    let sweep = big(&cluster);
    let (proxy, address) = line(&cluster);
    let got = cluster.dir().join("got");
    proxy.let_through(BIG / 2);
    let mut client =
        cluster.spawn("get", &["--coordinator", &address, "results", "get", &sweep, "-d", "got"]);
    wait_until("half of it has come", || (come(&got) > BIG / 4).then_some(()));
    cluster.coordinator().kill();
    cluster.start_coordinator();
    proxy.let_through(BIG - come(&got) + (4 << 20));
    assert_eq!(client.wait(), 0, "{}", client.log());
    are_there(&cluster, &sweep, &got);
}

#[test]
fn a_part_that_is_none_is_fetched_anew() {
    let cluster = Cluster::start();
    let sweep = big(&cluster);
    let (proxy, address) = line(&cluster);
    let got = cluster.dir().join("got");
    proxy.let_through(BIG / 2);
    let mut client =
        cluster.spawn("get", &["--coordinator", &address, "results", "get", &sweep, "-d", "got"]);
    wait_until("half of it has come", || (come(&got) > BIG / 4).then_some(()));
    // While one fetches, another does not.
    let other = cluster.run(&["results", "get", &sweep, "-d", "got"]);
    assert_eq!(other.code, 4, "{other:?}");
    assert!(other.stderr.contains("another `btctl results get`"), "{other:?}");
    client.kill();
    let parts = fs::read_dir(got.join(".btctl-parts")).unwrap().flatten();
    let part = parts.max_by_key(|part| part.metadata().unwrap().len()).unwrap().path();
    fs::write(&part, vec![7; 1 << 20]).unwrap();
    cluster.ok(&["results", "get", &sweep, "-d", "got"]);
    are_there(&cluster, &sweep, &got);
}

#[test]
fn a_full_disk_leaves_nothing_half_and_is_gone_on_with() {
    let cluster = Cluster::start();
    let sweep = big(&cluster);
    let dir = cluster.dir().join("small");
    fs::create_dir(&dir).unwrap();
    // A file system of its own, seen by this shell and what it starts alone.
    let script = r#"
        mount -t tmpfs -o size=16m none "$1" || exit 99
        "$2" results get "$3" -d "$1"; echo "code $?"
        test -e "$1/0/big" && echo half
        mount -o remount,size=64m none "$1" || exit 99
        "$2" results get "$3" -d "$1"; echo "code $?"
        sha256sum "$1/0/big" "$1/0/small"
        ls -A "$1"
    "#;
    let mut command = Command::new("unshare");
    command.args(["--mount", "--user", "--map-root-user", "sh", "-c", script, "sh"]);
    command.arg(&dir).arg(btctl_path()).arg(&sweep).env("BTCTL_COORDINATOR", cluster.address());
    let output = command.env("HOME", cluster.dir()).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines[..2], ["code 1", "code 0"], "{out}{err}");
    assert!(err.contains("small has room for"), "{err}");
    assert!(err.contains("No space left on device") && err.contains("it goes on where it was"), "{err}");
    for (_, hash) in published(&cluster, &sweep) {
        assert!(out.contains(&hash), "{out}");
    }
    assert_eq!(lines.last(), Some(&"0"));
}

#[test]
fn what_is_there_is_kept_or_nothing_is_written() {
    let cluster = Cluster::start();
    let sweep = cluster.submit(&[], "cd /results; echo 1 > a; echo 2 > b; mkdir d; echo 3 > d/c");
    cluster.wait_ended(&sweep);
    cluster.ok(&["results", "get", &sweep, "-d", "got"]);
    let got = cluster.dir().join("got/0");
    let inode = |path: &PathBuf| fs::metadata(path).unwrap().ino();
    let kept = inode(&got.join("a"));
    fs::write(got.join("b"), "mine").unwrap();
    fs::remove_dir_all(got.join("d")).unwrap();
    fs::write(got.join("d"), "a file").unwrap();
    let refused = cluster.run(&["results", "get", &sweep, "-d", "got"]);
    assert_eq!(refused.code, 4, "{refused:?}");
    assert!(
        refused.stderr.contains("2 files are there with another content: got/0/b, got/0/d/c"),
        "{refused:?}"
    );
    assert_eq!(fs::read(got.join("b")).unwrap(), b"mine");
    assert!(got.join("d").is_file());
    fs::remove_file(got.join("d")).unwrap();
    let replaced = cluster.run(&["results", "get", &sweep, "-d", "got", "--overwrite"]);
    assert_eq!(replaced.code, 0, "{replaced:?}");
    assert!(
        replaced.stderr.contains("3 files") && replaced.stderr.contains("(1 were there already)"),
        "{replaced:?}"
    );
    assert_eq!(fs::read(got.join("b")).unwrap(), b"2\n");
    assert_eq!(fs::read(got.join("d/c")).unwrap(), b"3\n");
    assert_eq!(inode(&got.join("a")), kept, "what was right was left alone");
}

#[test]
fn names_that_differ_in_case_alone_are_two_files() {
    let cluster = Cluster::start();
    let sweep = cluster.submit(
        &[],
        "cd /results; mkdir P p; echo 1 > P/Equity.csv; echo 2 > P/equity.csv; echo 3 > p/equity.csv",
    );
    cluster.wait_ended(&sweep);
    cluster.ok(&["results", "get", &sweep, "-d", "got"]);
    let got = cluster.dir().join("got/0");
    let read = |path: &str| fs::read_to_string(got.join(path)).unwrap();
    assert_eq!([read("P/Equity.csv"), read("P/equity.csv"), read("p/equity.csv")], ["1\n", "2\n", "3\n"]);
}

#[test]
fn very_many_files_are_listed_and_fetched() {
    const JOBS: usize = 100;
    const EACH: usize = 100;
    let cluster = Cluster::with(Options::simulated(&["--cpus", "16"]));
    let range = format!("n=0:{}:1", JOBS - 1);
    let sweep = cluster.submit_simulated(&["--cpus", "0.1", "--matrix", &range]);
    cluster.wait_ended(&sweep);
    let content = "1,2,3\n".repeat(100);
    let hash: String = Sha256::digest(&content).iter().map(|byte| format!("{byte:02x}")).collect();
    cluster.database.query(&format!(
        "delete from result_files where sweep_id = '{sweep}';
         insert into result_files (sweep_id, job, path, size, sha256)
         select '{sweep}', job, 'f' || f || '.csv', {}, '\\x{hash}'
         from generate_series(0, {}) job, generate_series(1, {EACH}) f",
        content.len(),
        JOBS - 1
    ));
    let listed = cluster.ok(&["results", "ls", &sweep, "-o", "name"]);
    assert_eq!(listed.lines().count(), JOBS * EACH);
    assert_eq!(cluster.json(&["results", "ls", &sweep]).as_array().unwrap().len(), JOBS * EACH);
    let name = cluster.json(&["show", &sweep])["name"].as_str().unwrap().to_owned();
    for job in 0..JOBS {
        let dir = cluster.store().join(format!("{name}-{}/{job:02}/1", &sweep[..8]));
        fs::create_dir_all(&dir).unwrap();
        for file in 1..=EACH {
            fs::write(dir.join(format!("f{file}.csv")), &content).unwrap();
        }
    }
    cluster.ok(&["results", "get", &sweep, "-d", "got"]);
    let again = cluster.run(&["results", "get", &sweep, "-d", "got"]);
    assert!(again.stderr.contains(&format!("({} were there already)", JOBS * EACH)), "{again:?}");
    assert_eq!(sha256(&cluster.dir().join("got/99/f100.csv")), hash);
}

/// Small files, an empty one, ones that are larger than what is sent together, and ones that grow when they are decoded.
const MANY_SIZES: &str = "cd /results; mkdir 'a b'; for n in $(seq 700); do echo $n > 'a b/'$n; done; : > empty; \
    for n in 1 2 3; do yes $n | head -c 300000 > large$n; head -c 200000 /dev/urandom > random$n; done; \
    head -c 700000 /dev/urandom > larger";

#[test]
fn small_files_come_together_and_each_is_whole() {
    for flags in [&[][..], &["--compress", "zstd"]] {
        let coordinator = flags.iter().map(|flag| (*flag).to_owned()).collect();
        let cluster = Cluster::with(Options { coordinator, ..Options::default() });
        let sweep = cluster.submit(&["--matrix", "n=1:3"], MANY_SIZES);
        cluster.wait_count(&sweep, "succeeded", 3);
        let place = cluster.stored(&sweep, 1, 1);
        let damaged = fs::read_dir(place.join("a b")).unwrap().flatten().next().unwrap().path();
        let content = fs::read(&damaged).unwrap();
        fs::write(&damaged, b"something else").unwrap();
        let got = cluster.run(&["results", "get", &sweep, "-d", "got"]);
        assert_eq!(got.code, 1, "{got:?}");
        let name = damaged.file_name().unwrap().to_string_lossy().into_owned();
        let named = name.trim_end_matches(".zst");
        assert!(got.stderr.contains(&format!("job 1: a b/{named}")), "{got:?}");
        fs::write(&damaged, content).unwrap();
        let (proxy, address) = line(&cluster);
        // The line breaks again and again: what has come stays, and the rest comes.
        fs::remove_dir_all(cluster.dir().join("got")).unwrap();
        proxy.let_through(1_500_000);
        let mut client =
            cluster.spawn("get", &["--coordinator", &address, "results", "get", &sweep, "-d", "got"]);
        wait_until("the line broke", || proxy.is_cut().then_some(()));
        proxy.mend();
        assert_eq!(client.wait(), 0, "{}", client.log());
        let listed = cluster.json(&["results", "ls", &sweep]);
        let listed = listed.as_array().unwrap();
        assert_eq!(listed.len(), 3 * (700 + 1 + 6 + 1));
        for file in listed {
            let path = cluster.dir().join("got").join(file["job"].to_string());
            let path = path.join(file["path"].as_str().unwrap());
            assert_eq!(sha256(&path), file["sha256"].as_str().unwrap(), "{}", path.display());
        }
        assert!(!cluster.dir().join("got/.btctl-parts").exists());
    }
}

#[test]
fn the_job_the_store_and_the_analyst_see_the_same_bytes() {
    let mut cluster = Cluster::without_agent(Options::default());
    let prices = cluster.dir().join("prices");
    fs::create_dir(&prices).unwrap();
    fs::write(prices.join("goog.csv"), "2026-01-02,101.5\n".repeat(1000)).unwrap();
    let offer = format!("prices={}:ro", prices.display());
    let flags = ["--cpus", "2", "--memory", "2GiB", "--volume", &offer].map(str::to_owned);
    cluster.add_agent_with("agent", &flags);
    let script = "cd /results; mkdir 'päth with spaces'; head -c 5000000 /dev/urandom > 'päth with spaces/equity #1.bin'; \
                  cp /data/goog.csv .; sha256sum /data/goog.csv; sha256sum goog.csv 'päth with spaces/equity #1.bin'";
    let sweep = cluster.submit(&["-v", "prices:/data:ro"], script);
    cluster.wait_ended(&sweep);
    let log = cluster.ok(&["logs", &format!("{sweep}/0")]);
    let hashes: Vec<&str> = log.lines().filter_map(|line| line.split_whitespace().next()).collect();
    let [volume, copy, equity] = hashes[..] else { panic!("{log}") };
    assert_eq!(volume, sha256(&prices.join("goog.csv")), "the volume");
    cluster.ok(&["results", "get", &sweep, "-d", "got"]);
    let stored = cluster.store().join(format!("btctl-test-{}/0/1", &sweep[..8]));
    for (path, hash) in [("goog.csv", copy), ("päth with spaces/equity #1.bin", equity)] {
        assert_eq!(sha256(&stored.join(path)), hash, "the shared folder: {path}");
        assert_eq!(sha256(&cluster.dir().join("got/0").join(path)), hash, "the analyst: {path}");
        assert!(
            published(&cluster, &sweep).contains(&(path.to_owned(), hash.to_owned())),
            "the coordinator: {path}"
        );
    }
    assert_eq!(copy, volume);
}
