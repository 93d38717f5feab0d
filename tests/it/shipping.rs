//! Outputs are in the store while their job still runs, whatever becomes of it; and only what its last attempt leaves is
//! ever its result.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use bt_tests::{Cluster, Options, wait_until};

/// Waits for the test in a job's script.
const WAIT: &str = "until [ -e /tmp/go ]; do sleep 0.1; done";

#[track_caller]
fn wait_for(path: &Path, content: &[u8]) {
    wait_until(&format!("{} is in the store", path.display()), || {
        fs::read(path).is_ok_and(|found| found == content).then_some(())
    });
}

/// Paths of all files below a directory.
fn paths(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(next) = dirs.pop() {
        for entry in fs::read_dir(next).into_iter().flatten().flatten() {
            match entry.path().is_dir() {
                true => dirs.push(entry.path()),
                false => found.push(entry.path().strip_prefix(dir).unwrap().display().to_string()),
            }
        }
    }
    found.sort();
    found
}

/// What is listed of a sweep: each path and its attempt.
#[track_caller]
fn listed(cluster: &Cluster, args: &[&str]) -> Vec<(String, u64)> {
    let listed = cluster.json(args);
    let file = |file: &serde_json::Value| {
        (file["path"].as_str().unwrap().to_owned(), file["attempt"].as_u64().unwrap())
    };
    listed.as_array().unwrap().iter().map(file).collect()
}

fn of(attempt: u64, paths: &[&str]) -> Vec<(String, u64)> {
    paths.iter().map(|path| ((*path).to_owned(), attempt)).collect()
}

#[test]
fn closed_files_are_in_the_store_while_their_job_runs() {
    let cluster = Cluster::start();
    let script = format!(
        "cd /results; echo early > early; sleep 2; echo one > one; mkdir -p w/x; echo two > w/x/two; echo three > .new; mv .new three;
         exec 3> open; echo half >&3; {WAIT}; echo whole >&3; echo last > last"
    );
    let sweep = cluster.submit(&[], &script);
    let stored = cluster.stored(&sweep, 0, 1);
    for (path, content) in
        [("early", "early\n"), ("one", "one\n"), ("w/x/two", "two\n"), ("three", "three\n")]
    {
        wait_for(&stored.join(path), content.as_bytes());
    }
    assert_eq!(cluster.count(&sweep, "running"), 1);
    assert!(!stored.join("open").exists(), "it is not closed");
    let partial = of(1, &["early", "one", "three", "w/x/two"]);
    assert_eq!(listed(&cluster, &["results", "ls", &sweep, "--partial"]), partial);
    assert_eq!(listed(&cluster, &["results", "ls", &sweep]), []);
    assert_eq!(cluster.json(&["results", "ls", &sweep, "--partial"])[0]["state"], "running");
    let refused = cluster.run(&["results", "get", &sweep, "-d", "got"]);
    assert_eq!(refused.code, 3, "{refused:?}");

    let got = cluster.run(&["results", "get", &sweep, "--partial", "-d", "got"]);
    assert!(
        got.code == 0 && got.stderr.contains("not published") && got.stderr.contains(": 1 running"),
        "{got:?}"
    );
    let dir = cluster.dir().join("got/0");
    assert_eq!(paths(&dir), ["early", "one", "three", "w/x/two"]);
    assert_eq!(fs::read_to_string(dir.join("w/x/two")).unwrap(), "two\n");

    cluster.touch(&sweep, "/tmp/go");
    cluster.wait_count(&sweep, "succeeded", 1);
    let all = of(1, &["early", "last", "one", "open", "three", "w/x/two"]);
    assert_eq!(listed(&cluster, &["results", "ls", &sweep]), all);
    // Published and unpublished files don't mix, in either order.
    let mixed = cluster.run(&["results", "get", &sweep, "-d", "got"]);
    assert!(mixed.code == 4 && mixed.stderr.contains("unpublished files of attempt 1"), "{mixed:?}");
    cluster.ok(&["results", "get", &sweep, "-d", "all"]);
    assert_eq!(fs::read_to_string(cluster.dir().join("all/0/open")).unwrap(), "half\nwhole\n");
    let none = cluster.run(&["results", "get", &sweep, "--partial", "-d", "all"]);
    assert!(none.code == 3 && none.stderr.contains("not published"), "{none:?}");
    let published = cluster.run(&["results", "ls", &format!("{sweep}/0"), "--partial", "--attempt", "1"]);
    assert!(published.code == 2 && published.stderr.contains("is its result"), "{published:?}");
    assert_eq!(cluster.run(&["results", "ls", &sweep, "--attempt", "1"]).code, 2);
}

/// Python that leaves these files with `first` in them, waits until they are in the store, and then does something with
/// them. Returns what is published in the end.
#[track_caller]
fn published_after(files: &[&str], then: &str) -> BTreeMap<String, String> {
    let cluster = Cluster::start();
    let begin = "
import mmap, os, time
def write(name, text):
    with open('/results/' + name, 'w') as file: file.write(text)
def wait(name):
    while not os.path.exists('/tmp/' + name): time.sleep(0.1)
time.sleep(2)
os.chdir('/results'); os.mkdir('d')
";
    let script = format!("{begin}for name in {files:?}: write(name, 'first')\n{then}");
    let args = ["submit", "--image", "sma-cross:1", "-m", "128m", "--", "python3", "-c", &script];
    let sweep = cluster.json(&args)["id"].as_str().unwrap().to_owned();
    let stored = cluster.store().join(format!("sma-cross-{}/0/1", &sweep[..8]));
    for name in files {
        wait_for(&stored.join(name), b"first");
    }
    cluster.touch(&sweep, "/tmp/go");
    cluster.wait_count(&sweep, "succeeded", 1);
    cluster.ok(&["results", "get", &sweep, "-d", "got"]);
    let got = cluster.dir().join("got/0");
    let read = |path: &str| fs::read_to_string(got.join(path)).unwrap();
    paths(&got).into_iter().map(|path| (path.clone(), read(&path))).collect()
}

fn texts(files: &[(&str, &str)]) -> BTreeMap<String, String> {
    files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect()
}

#[test]
fn what_changed_after_it_was_sent_is_published_as_it_is_at_the_end() {
    let files = ["kept", "rewritten", "removed", "renamed", "stamped", "swapped", "d/inner"];
    let then = "
wait('go')
write('rewritten', 'again'); write('d/inner', 'again')
os.remove('removed')
os.rename('renamed', 'moved')
before = os.stat('stamped'); write('stamped', 'again')
os.utime('stamped', ns=(before.st_atime_ns, before.st_mtime_ns))
write('new', 'again'); os.replace('new', 'swapped')
";
    let expected = [
        ("d/inner", "again"),
        ("kept", "first"),
        ("moved", "first"),
        ("rewritten", "again"),
        ("stamped", "again"),
        ("swapped", "again"),
    ];
    assert_eq!(published_after(&files, then), texts(&expected));
}

#[test]
fn what_is_written_by_who_has_the_file_open_or_mapped_since_before_is_published_too() {
    let then = "
mapped = open('mapped', 'r+b'); mapping = mmap.mmap(mapped.fileno(), 5); mapped.close()
opened = open('opened', 'r+b', buffering=0)
wait('go')
mapping[:] = b'again'
opened.write(b'again')
";
    let expected = [("kept", "first"), ("mapped", "again"), ("opened", "again")];
    assert_eq!(published_after(&["kept", "mapped", "opened"], then), texts(&expected));
}

#[test]
fn what_is_in_a_directory_that_is_renamed_is_published_where_it_is_at_the_end() {
    let then = "
wait('go')
os.rename('d', 'e'); write('e/a', 'again'); os.rename('e', 'd')
os.mkdir('f'); os.rename('d/b', 'f/b'); os.rename('f', 'g')
";
    let expected = [("d/a", "again"), ("g/b", "first")];
    assert_eq!(published_after(&["d/a", "d/b"], then), texts(&expected));
}

#[test]
fn a_lost_attempts_files_can_be_had_and_are_no_part_of_the_result() {
    let mut cluster = Cluster::start();
    let script = format!(
        "cd /results; echo $BT_ATTEMPT > both; [ $BT_ATTEMPT = 2 ] || {{ head -c 3000000 /dev/urandom > first; {WAIT}; }}"
    );
    let sweep = cluster.submit(&[], &script);
    let stored = cluster.stored(&sweep, 0, 1);
    wait_until("the first attempt has shipped", || {
        (stored.join("both").exists() && stored.join("first").exists()).then_some(())
    });
    cluster.agent().kill();
    let attempts = fs::read_dir(cluster.dir().join("agent/attempts")).unwrap();
    let left = attempts.flatten().next().unwrap().path().join("results/first");
    cluster.add_agent("second");
    cluster.wait_count(&sweep, "succeeded", 1);
    assert_eq!(cluster.database.query("select attempts, losses from jobs"), ["2|1"]);

    assert_eq!(listed(&cluster, &["results", "ls", &sweep]), of(2, &["both"]));
    cluster.ok(&["results", "get", &sweep, "-d", "got"]);
    assert_eq!(fs::read_to_string(cluster.dir().join("got/0/both")).unwrap(), "2\n");
    let mixed = cluster.run(&["results", "get", &sweep, "--partial", "--attempt", "1", "-d", "got"]);
    assert!(mixed.code == 4 && mixed.stderr.contains("don't mix"), "{mixed:?}");
    assert_eq!(paths(&cluster.dir().join("got/0")), ["both"]);
    assert_eq!(listed(&cluster, &["results", "ls", &sweep, "--partial"]), [], "the job has a result");

    let told = cluster.run(&["results", "get", &sweep, "--partial", "--attempt", "1", "-d", "lost"]);
    assert!(told.code == 0 && told.stderr.contains("1 lost"), "{told:?}");
    let lost = cluster.dir().join("lost/0");
    assert_eq!(paths(&lost), ["both", "first"]);
    assert_eq!(fs::read_to_string(lost.join("both")).unwrap(), "1\n");
    assert_eq!(fs::read(lost.join("first")).unwrap(), fs::read(left).unwrap());
}

#[test]
fn a_restarted_agent_does_not_send_again_what_is_in_the_store() {
    let mut cluster = Cluster::start();
    let script = format!("head -c 5000000 /dev/urandom > /results/sent; {WAIT}; echo late > /results/late");
    let sweep = cluster.submit(&[], &script);
    let sent = cluster.stored(&sweep, 0, 1).join("sent");
    wait_until("it is in the store", || sent.exists().then_some(()));
    // Whatever is written anew is another file.
    let before = fs::metadata(&sent).unwrap().ino();
    wait_until("that is written down", || {
        let attempts = fs::read_dir(cluster.dir().join("agent/attempts")).ok()?;
        let journal = attempts.flatten().next()?.path().join("stored.jsonl");
        fs::read_to_string(journal).is_ok_and(|text| text.ends_with('\n')).then_some(())
    });
    cluster.agent().kill();
    cluster.add_agent("agent");
    cluster.touch(&sweep, "/tmp/go");
    cluster.wait_count(&sweep, "succeeded", 1);
    assert_eq!(cluster.database.query("select attempts from jobs"), ["1"]);
    assert_eq!(fs::metadata(&sent).unwrap().ino(), before, "it was sent again");
    cluster.ok(&["results", "get", &sweep, "-d", "got"]);
}

#[test]
fn what_a_failed_attempt_left_is_kept() {
    what_failed_attempts_left_is_kept("none");
}

#[test]
fn what_a_failed_attempt_left_compressed_is_kept() {
    what_failed_attempts_left_is_kept("zstd");
}

fn what_failed_attempts_left_is_kept(compress: &str) {
    let coordinator = ["--compress", compress].map(str::to_owned).into();
    let cluster = Cluster::with(Options { coordinator, ..Options::default() });
    // A name that leaves no room for another ending.
    let long = "n".repeat(255);
    let script = format!(
        "mkdir /results/w; echo 1 > /results/w/1; echo 2 > /results/2; echo 3 > /results/2.zst; echo 4 > /results/{long};"
    );
    let cases = [
        ("exit 3", "exit(3)", vec![]),
        ("sleep 60", "timeout", vec!["--timeout", "1s"]),
        ("exec tail /dev/zero", "oom", vec![]),
        ("printf '[' > /results/metrics.json", "outputs(", vec![]),
        ("exit 4", "exit(4)", vec!["--containers", "reuse"]),
    ];
    for (end, reason, flags) in cases {
        let sweep = cluster.submit(&flags, &format!("{script} {end}"));
        cluster.wait_ended(&sweep);
        let job = &cluster.json(&["jobs", &sweep])[0];
        assert!(job["reason"].as_str().is_some_and(|told| told.starts_with(reason)), "{job}");
        assert_eq!(listed(&cluster, &["results", "ls", &sweep]), [], "{reason}");
        let dir = format!("kept after {reason}");
        cluster.ok(&["results", "get", &sweep, "--partial", "-d", &dir]);
        let kept = cluster.dir().join(&dir).join("0");
        assert_eq!(fs::read_to_string(kept.join("w/1")).unwrap(), "1\n", "{reason}");
        let read = |name: &str| fs::read_to_string(kept.join(name)).unwrap();
        assert_eq!([read("2"), read("2.zst"), read(&long)], ["2\n", "3\n", "4\n"], "{reason}");
        assert_eq!(cluster.json(&["results", "ls", &sweep, "--partial"])[0]["state"], "failed");
    }
}

#[test]
fn what_a_job_left_whose_agent_stops_is_kept() {
    let mut cluster = Cluster::with(Options {
        agent: ["--cpus", "2", "--memory", "2GiB", "--drain-timeout", "0s", "--stop-grace", "0s"]
            .map(str::to_owned)
            .into(),
        ..Options::default()
    });
    let sweep = cluster.submit(&[], "echo 1 > /results/1; touch /tmp/written; sleep 600");
    let container = wait_until("the container runs", || cluster.running_containers(&sweep).pop());
    wait_until("it has written", || {
        bt_tests::docker_finds(&["exec", &container, "ls", "/tmp/written"]).then_some(())
    });
    assert_eq!(cluster.agent().terminate(), 0);
    assert_eq!(cluster.count(&sweep, "queued"), 1);
    assert_eq!(listed(&cluster, &["results", "ls", &sweep, "--partial"]), of(1, &["1"]));
}

#[test]
fn a_store_that_is_away_does_not_hold_up_the_end_of_a_failed_job_for_long() {
    let cluster = Cluster::start();
    let sweep = cluster.submit_waiting(&[], "echo small > /results/x; exit 1");
    // A file stands where the sweep's directory belongs, as if there were no room for one.
    let blocked = cluster.store().join(format!("btctl-test-{}", &sweep[..8]));
    fs::write(&blocked, "").unwrap();
    cluster.open_gate();
    cluster.wait_count(&sweep, "failed", 1);
    assert!(blocked.is_file());
}

#[test]
fn jobs_that_write_without_end_harm_nobody() {
    let mut cluster = Cluster::start();
    let many = "cd /results; seq 100000 | xargs touch; until [ -e /tmp/go ]; do sleep 0.1; done; seq 100000 | xargs rm; echo done > x";
    let renames = "cd /results; head -c 1000000 /dev/zero > a; touch /tmp/on; until [ -e /tmp/go ]; do mv a b; mv b a; done; rm a; echo done > x";
    let rewrites =
        "cd /results; until [ -e /tmp/go ]; do head -c 1000000 /dev/zero > a; done; rm a; echo done > x";
    let dirs = "cd /results; until [ -e /tmp/go ]; do mkdir -p a/b/c; touch a/b/c/d; mv a e; rm -r e; done; echo done > x";
    let links = "cd /results; until [ -e /tmp/go ]; do ln -sfn /etc l; ln -sf /etc/passwd p; rm -rf d; mkdir d; rm -r d; ln -s /etc d; done; rm l p d; echo done > x";
    let sweeps =
        [many, renames, rewrites, dirs, links].map(|script| cluster.submit(&["--cpus", "0.3"], script));
    for sweep in &sweeps {
        cluster.wait_count(sweep, "running", 1);
    }
    wait_until("the many files are there", || {
        let stored = cluster.stored(&sweeps[0], 0, 1);
        (paths(&stored).len() > 100).then_some(())
    });
    let neighbour = cluster.submit(&["--matrix", "n=1:10"], "echo {{ n }} > /results/n");
    cluster.wait_count(&neighbour, "succeeded", 10);
    for sweep in &sweeps {
        cluster.touch(sweep, "/tmp/go");
    }
    for sweep in &sweeps {
        cluster.wait_ended(sweep);
        assert_eq!(listed(&cluster, &["results", "ls", sweep]), of(1, &["x"]));
    }
    assert_eq!(listed(&cluster, &["results", "ls", &neighbour]).len(), 10);
    let stored = paths(&cluster.stored(&sweeps[4], 0, 1));
    assert_eq!(stored, ["x"], "a link was followed");
    let status = fs::read_to_string(format!("/proc/{}/status", cluster.agent().pid())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let kib: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    println!("the agent's peak of memory: {} MiB", kib >> 10);
    assert!(kib < 256 << 10, "the agent took {kib} KiB");
}
