//! What agents offer: how much runs at once, what jobs get that ask for nothing, volumes, and what becomes of a job whose
//! volume can't be used.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use bt_tests::{Cluster, Options, btctl_path, docker, wait_until};

const SIZE: [&str; 4] = ["--cpus", "2", "--memory", "2GiB"];

fn flags(more: &[&str]) -> Vec<String> {
    SIZE.iter().chain(more).map(|flag| (*flag).to_owned()).collect()
}

/// A directory with a file.
fn data(dir: &Path) -> PathBuf {
    fs::create_dir_all(dir).unwrap();
    fs::write(dir.join("goog.csv"), "1,2,3\n").unwrap();
    dir.to_owned()
}

#[track_caller]
fn log_of(cluster: &Cluster, sweep: &str) -> String {
    cluster.wait_ended(sweep);
    let log = cluster.ok(&["logs", sweep]);
    assert_eq!(cluster.count(sweep, "succeeded"), 1, "{log}");
    log
}

/// Waits until the sweep says that it waits for this.
#[track_caller]
fn waits(cluster: &Cluster, sweep: &str, words: &[&str]) {
    let mut told = String::new();
    let mut says = || {
        told = cluster.ok(&["show", sweep]);
        words.iter().all(|word| told.contains(word)).then_some(())
    };
    wait_until(&format!("the sweep waits for {words:?}"), &mut says);
    assert_eq!(cluster.count(sweep, "queued"), 1, "{told}");
}

#[test]
fn no_more_jobs_run_at_once_than_the_owner_wants() {
    let cluster = Cluster::with(Options { agent: flags(&["--max-jobs", "2"]), ..Options::default() });
    let sweep = cluster.submit(&["--matrix", "n=1:6", "--cpus", "0.1"], "sleep 0.5");
    let mut most = 0;
    wait_until("the sweep has ended", || {
        most = most.max(cluster.running_containers(&sweep).len());
        (cluster.count(&sweep, "succeeded") == 6).then_some(())
    });
    assert!((1..=2).contains(&most), "{most} at once");
    assert_eq!(cluster.json(&["agents", "show", "agent"])["capacity"]["jobs"], 2);
}

#[test]
fn a_job_that_asks_for_no_memory_gets_what_the_owner_gives() {
    let cluster = Cluster::with(Options { agent: flags(&["--job-memory", "96MiB"]), ..Options::default() });
    let args =
        ["submit", "--image", "btctl-test:1", "--", "sh", "-c", "df -k /dev/shm | tail -n 1; sleep 60"];
    let sweep = cluster.json(&args)["id"].as_str().unwrap().to_owned();
    let container = wait_until("the job runs", || cluster.running_containers(&sweep).pop());
    let form = "{{.HostConfig.Memory}} {{.HostConfig.ShmSize}}";
    assert_eq!(docker(&["inspect", "-f", form, &container]), "100663296 100663296");
    let agent = cluster.json(&["agents", "show", "agent"]);
    assert_eq!(agent["default_memory_bytes"], 96 << 20);
    assert_eq!(agent["free"]["memory_bytes"], (2_u64 << 30) - (96 << 20));
    assert_eq!(agent["about"]["default_memory"], "96 MiB");
    cluster.ok(&["cancel", &sweep]);
}

#[test]
fn a_drained_agent_gets_no_jobs_until_it_is_undrained() {
    let cluster = Cluster::start();
    cluster.ok(&["agents", "drain", "agent"]);
    assert_eq!(cluster.json(&["agents", "show", "agent"])["state"], "draining");
    let sweep = cluster.submit(&[], "true");
    waits(&cluster, &sweep, &["draining"]);
    cluster.ok(&["agents", "undrain", "agent"]);
    cluster.wait_count(&sweep, "succeeded", 1);
    assert_eq!(cluster.run(&["agents", "drain", "nobody"]).code, 3);
    assert_eq!(cluster.run(&["agents", "show", "nobody"]).code, 3);
}

#[test]
fn a_job_finds_each_volume_by_a_variable_and_can_write_to_none_that_is_read_only() {
    let mut cluster = Cluster::without_agent(Options::default());
    let dir = data(&cluster.dir().join("prices"));
    let (prices, file) = (format!("prices={}:ro", dir.display()), dir.join("goog.csv"));
    let list = format!("sym-list={}:ro", file.display());
    cluster.add_agent_with("owner", &flags(&["--volume", &prices, "--volume", &list]));
    let mounts = ["-v", "prices:/data:ro", "-v", "sym-list:/lists/goog.csv:ro"];
    let script = "cat $BT_VOLUME_PRICES/goog.csv $BT_VOLUME_SYM_LIST; echo $BT_VOLUME_PRICES $BT_VOLUME_SYM_LIST
        for path in /data/goog.csv /data/new /lists/goog.csv; do echo x 2>/dev/null > $path && exit 9; done; true";
    let log = log_of(&cluster, &cluster.submit(&mounts, script));
    assert_eq!(log, "1,2,3\n1,2,3\n/data /lists/goog.csv\n");
    assert_eq!(fs::read_to_string(file).unwrap(), "1,2,3\n");
}

#[test]
fn paths_below_what_is_allowed_can_be_mounted_and_links_are_not_followed() {
    let mut cluster = Cluster::without_agent(Options::default());
    let top = cluster.dir().join("data");
    let inner = data(&top.join("a/b"));
    let outside = data(&cluster.dir().join("data2"));
    symlink(&outside, top.join("link")).unwrap();
    cluster.add_agent_with("owner", &flags(&["--allow-host-path", &format!("{}:ro", top.display())]));
    let submit = |path: &Path, mode: &str| {
        let mount = format!("{}:/in{mode}", path.display());
        cluster.submit(&["-v", &mount], "cat /in/goog.csv; touch /in/x 2>/dev/null && exit 9; true")
    };
    assert_eq!(log_of(&cluster, &submit(&inner, ":ro")), "1,2,3\n");
    waits(&cluster, &submit(&inner, ""), &["read-only"]);
    waits(&cluster, &submit(&outside, ":ro"), &["offers no volume", "data2"]);
    let climbs = top.join("link");
    waits(&cluster, &submit(&climbs, ":ro"), &[climbs.to_str().unwrap(), "links are not followed"]);
    waits(&cluster, &submit(&top.join("missing"), ":ro"), &["is not there, and is not made"]);
    assert!(!top.join("missing").exists());
    let spent = cluster.database.query("select sum(failures), sum(losses) from jobs");
    assert_eq!(spent, ["0|0"], "an agent's refusal costs a job nothing");
}

#[test]
fn a_volume_that_the_jobs_user_cannot_read_costs_nothing_and_says_what_to_do() {
    let mut cluster = Cluster::without_agent(Options::default());
    if fs::metadata(cluster.dir()).unwrap().uid() != 0 {
        // Jobs run as the agent's own user then, who may read all that it owns.
        return;
    }
    let closed = data(&cluster.dir().join("closed"));
    fs::set_permissions(&closed, Permissions::from_mode(0o700)).unwrap();
    let place = closed.to_str().unwrap();
    cluster.add_agent_with("owner", &flags(&["--volume", &format!("prices={place}:ro")]));
    let sweep = cluster.submit(&["-v", "prices:/data:ro"], "cat /data/goog.csv");
    waits(&cluster, &sweep, &[place, "uid 65534", "mode 0700", &format!("setfacl -m u:65534:rx {place}")]);
    assert_eq!(cluster.database.query("select failures, losses from jobs"), ["0|0"]);
    let neighbour = cluster.submit(&[], "echo fine");
    assert_eq!(log_of(&cluster, &neighbour), "fine\n");
    fs::set_permissions(&closed, Permissions::from_mode(0o755)).unwrap();
    assert_eq!(log_of(&cluster, &sweep), "1,2,3\n");
}

/// A volume of the engine, gone when it is dropped.
struct Volume(String);

impl Drop for Volume {
    fn drop(&mut self) {
        docker(&["volume", "rm", "-f", &self.0]);
    }
}

#[test]
fn a_volume_of_the_engine_can_be_offered() {
    let volume = Volume(docker(&["volume", "create"]));
    let mount = format!("{}:/v", volume.0);
    docker(&[
        "run",
        "--rm",
        "--network",
        "none",
        "-v",
        &mount,
        "btctl-test:1",
        "sh",
        "-c",
        "echo 4,5 > /v/goog.csv",
    ]);
    let mut cluster = Cluster::without_agent(Options::default());
    cluster.add_agent_with("owner", &flags(&["--volume", &format!("prices={}:ro", volume.0)]));
    let script = "cat /data/goog.csv; touch /data/x 2>/dev/null && exit 9; true";
    assert_eq!(log_of(&cluster, &cluster.submit(&["-v", "prices:/data:ro"], script)), "4,5\n");
    waits(&cluster, &cluster.submit(&["-v", "prices:/data"], script), &["read-only"]);
    drop(cluster);
}

#[test]
fn an_agent_does_not_start_with_an_offer_that_is_not_there() {
    let dir = tempfile::tempdir().unwrap();
    let check = |offer: &str, words: &[&str]| {
        let output = Command::new(btctl_path())
            .args([
                "agent",
                "--name",
                "x",
                "--coordinator",
                "http://127.0.0.1:1",
                "--volume",
                offer,
                "--state-dir",
            ])
            .arg(dir.path().join("state"))
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && words.iter().all(|word| told.contains(word)), "{told}");
    };
    check("prices=btctl-test-no-such-volume:ro", &["btctl-test-no-such-volume", "docker volume create"]);
    check("prices=/no/such/dir", &["/no/such/dir"]);
    check("prices=/proc", &["the whole machine"]);
}
