//! A backup of a running cluster, and what goes on from it.

use std::path::Path;
use std::process::Command;

use bt_tests::{Cluster, Database, Options, btctl_path, wait_until};
use serde_json::Value;

/// Seconds that a machine full of tests may take for the drill.
const DRILL: u64 = 170;

#[test]
fn a_cluster_goes_on_from_its_backup() {
    let mut cluster = Cluster::with(Options::simulated(&["--cpus", "4"]));
    let gate = cluster.dir().join("gate/open").display().to_string();
    let done = cluster.submit_simulated(&["--matrix", "n=1:20", "--name", "done", "-e", "BT_SIM_BYTES=100"]);
    cluster.wait_count(&done, "succeeded", 20);
    let gate = format!("BT_SIM_GATE={gate}");
    let open =
        cluster.submit_simulated(&["--matrix", "n=1:10", "--name", "open", "--cpus", "1", "-e", &gate]);
    cluster.wait_count(&open, "running", 4);

    let backup = cluster.dir().join("backup").display().to_string();
    let url = cluster.database.url();
    let told = cluster.json(&["backup", &backup, "--database-url", &url]);
    let counts = &told["counts"];
    for (key, value) in [("sweeps", 2), ("jobs", 30), ("results", 20), ("running", 4), ("queued", 6)] {
        assert_eq!(counts[key], value, "{key}: {told}");
    }
    // The simulated job's own file, and that of its bytes.
    assert_eq!(counts["files"], 40, "{told}");
    assert_eq!(cluster.json(&["backup", "verify", &backup]), told);
    let mode = |path: &Path| {
        let about = std::fs::metadata(path).unwrap();
        std::os::unix::fs::PermissionsExt::mode(&about.permissions()) & 0o777
    };
    assert_eq!(mode(Path::new(&backup)), 0o700);
    for entry in std::fs::read_dir(&backup).unwrap() {
        assert_eq!(mode(&entry.unwrap().path()), 0o600);
    }

    // What happens after the backup is lost: these four finish, and a sweep is submitted.
    cluster.open_gate();
    cluster.wait_count(&open, "succeeded", 10);
    let lost = cluster.submit_simulated(&["--name", "lost"]);
    cluster.wait_count(&lost, "succeeded", 1);

    // The machine with Postgres is lost, and the agent's with it.
    cluster.agent().kill();
    cluster.coordinator().kill();
    let new = Database::new();
    let restored = cluster.json(&["restore", &backup, "--database-url", &new.url(), "--verify"]);
    assert_eq!(restored["counts"]["running"], 4, "{restored}");
    assert_eq!(restored["migrations"], serde_json::json!([]));
    for (key, value) in [("files", 40), ("missing", 0), ("different", 0)] {
        assert_eq!(restored["store"][key], value, "{restored}");
    }
    assert_eq!(restored["adopt_store"], false, "the store has not heard of a later moment: {restored}");
    let again = cluster.run(&["restore", &backup, "--database-url", &new.url()]);
    assert!(again.code == 1 && again.stderr.contains("is not empty"), "{again:?}");

    cluster.database = new;
    cluster.start_coordinator();
    let shown = cluster.json(&["show", &open]);
    assert_eq!(shown["counts"]["succeeded"], 0, "{shown}");
    assert_eq!(cluster.run(&["show", &lost]).code, 3);
    cluster.add_agent("agent");
    cluster.wait_count(&open, "succeeded", 10);
    let results = "select count(*), count(distinct job) from results where sweep_id =";
    assert_eq!(cluster.database.query(&format!("{results} '{open}'")), ["10|10"]);
    // What ran when the backup was taken was lost with the agent's containers, and cost one attempt each.
    assert_eq!(
        cluster.database.query(&format!("select sum(failures) from jobs where sweep_id = '{open}'")),
        ["0"]
    );

    // All else goes on: results, their hashes, the audit log's chain, events, numbers that are given out.
    for sweep in [&done, &open] {
        cluster.ok(&["results", "verify", sweep]);
        cluster.ok(&["results", "get", sweep, "-d", &format!("got-{sweep}")]);
    }
    assert_eq!(cluster.json(&["jobs", &done]).as_array().unwrap().len(), 20);
    cluster.ok(&["audit", "--verify"]);
    let more = cluster.submit_simulated(&["--matrix", "n=1:5", "--name", "more"]);
    cluster.wait_count(&more, "succeeded", 5);
    cluster.ok(&["audit", "--verify"]);
    let ended = "select count(*) from events where sweep_id =";
    assert_ne!(cluster.database.query(&format!("{ended} '{more}'")), ["0"]);
}

#[test]
fn a_store_that_went_on_is_told_and_its_faults_are_named() {
    let mut cluster = Cluster::with(Options::simulated(&["--cpus", "4"]));
    let sweep = cluster.submit_simulated(&["--matrix", "n=1:5", "--name", "x", "-e", "BT_SIM_BYTES=100"]);
    cluster.wait_count(&sweep, "succeeded", 5);
    let backup = cluster.dir().join("backup").display().to_string();
    cluster.ok(&["backup", &backup, "--database-url", &cluster.database.url()]);
    // Each start of a coordinator tells the store.
    cluster.coordinator().kill();
    cluster.start_coordinator();
    let job = |number: u32| cluster.store().join(format!("x-{}/{number}/1", &sweep[..8]));
    std::fs::remove_file(job(1).join("simulated.bin")).unwrap();
    std::fs::write(job(2).join("simulated.bin"), "short").unwrap();
    std::fs::write(job(3).join("simulated.bin"), [b'x'; 100]).unwrap();

    let new = Database::new();
    let restore = ["restore", &backup, "--database-url", &new.url()];
    let restored = cluster.run(&[&restore[..], &["-o", "json"]].concat());
    assert_eq!(restored.code, 1, "{restored:?}");
    let told: Value = serde_json::from_str(&restored.stdout).unwrap();
    assert_eq!((&told["store"]["missing"], &told["store"]["different"]), (&1.into(), &1.into()), "{told}");
    assert_eq!(told["adopt_store"], true, "{told}");
    for word in ["1/1/simulated.bin is missing", "2/1/simulated.bin has 5 bytes", "--adopt-store", "older"] {
        assert!(restored.stderr.contains(word), "{word}: {restored:?}");
    }

    let new = Database::new();
    let restore = ["restore", &backup, "--database-url", &new.url(), "--verify", "-o", "json"];
    let told: Value = serde_json::from_str(&cluster.run(&restore).stdout).unwrap();
    assert_eq!((&told["store"]["missing"], &told["store"]["different"]), (&1.into(), &2.into()), "{told}");

    // What it says helps.
    cluster.coordinator().kill();
    cluster.database = new;
    let mut flags = vec!["--adopt-store"];
    cluster.tell_coordinators(&flags);
    cluster.start_coordinator();
    flags.clear();
    cluster.tell_coordinators(&flags);
    assert_eq!(cluster.json(&["show", &sweep])["counts"]["succeeded"], 5);
}

#[test]
fn a_standby_takes_over_from_a_backup() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("scripts/drill");
    let dir = tempfile::tempdir().unwrap();
    let began = std::time::Instant::now();
    let output = Command::new(script)
        .args(["--btctl", &btctl_path().display().to_string(), "--jobs", "24", "--image", "btctl-test:1"])
        .current_dir(dir.path())
        .env_remove("BTCTL_CONFIG")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("24 jobs, 24 succeeded, each with one result"), "{said}");
    assert!(began.elapsed().as_secs() < DRILL, "{said}");
    println!("{said}");
}

#[test]
fn a_machine_of_its_own_is_backed_up_and_restored_too() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o711)).unwrap();
    let at = |name: &str| dir.path().join(name).display().to_string();
    let run = |args: &[&str]| {
        let mut command = Command::new(btctl_path());
        command
            .args(args)
            .env("HOME", dir.path())
            .env_remove("BTCTL_DATABASE_URL")
            .env_remove("BTCTL_CONFIG");
        let output = command.output().unwrap();
        (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, said) = run(&["backup", &at("b"), "--state-dir", &at("state")]);
    assert!(code == 2 && said.contains("no `btctl up` runs in"), "{said}");
    let up = ["up", "--detach", "--no-agent", "--listen", "127.0.0.1:0", "--state-dir"];
    assert_eq!(run(&[&up[..], &[&at("state")]].concat()).0, 0);
    wait_until("it is up", || Path::new(&at("state")).join("client.toml").exists().then_some(()));
    let (code, said) = run(&["backup", &at("b"), "--state-dir", &at("state")]);
    assert_eq!(code, 0, "{said}");
    let (code, said) = run(&["restore", &at("b"), "--state-dir", &at("state")]);
    assert!(code == 1 && said.contains("runs already"), "{said}");
    assert_eq!(run(&["down", "--state-dir", &at("state")]).0, 0);
    let (code, said) = run(&["restore", &at("b"), "--state-dir", &at("state")]);
    assert!(code == 1 && said.contains("is not empty"), "{said}");
    let (code, said) = run(&["restore", &at("b"), "--state-dir", &at("new")]);
    assert_eq!(code, 0, "{said}");
    // In the new directory the store would be another one, which is told.
    let (code, said) = run(&[&up[..], &[&at("new")]].concat());
    assert!(code != 0 && said.contains("--store"), "{said}");
    let store = Path::new(&at("state")).join("store").display().to_string();
    let (code, said) = run(&[&up[..], &[&at("new"), "--store", &store]].concat());
    assert_eq!(code, 0, "{said}");
    assert_eq!(run(&["down", "--state-dir", &at("new")]).0, 0);
}
