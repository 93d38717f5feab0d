//! One thing that can't be read, as if a newer btctl had written it, among many that can: the others go on, and it does
//! when it was mended.

use std::path::PathBuf;

use bt_tests::{Cluster, Options, wait_until};

/// What is changed of a sweep so that it can't be read.
const BAD: [(&str, &str); 4] = [
    ("manifest", r#"'{"image": {"of": "tomorrow"}}'"#),
    ("labels", r#"'["of tomorrow"]'"#),
    ("volumes", r#"'{"v": "of tomorrow"}'"#),
    ("limits", r#"'{"l": "of tomorrow"}'"#),
];

fn submit(cluster: &Cluster, name: &str) -> String {
    cluster.submit_simulated(&["--name", name, "--matrix", "n=1:3"])
}

/// Keeps a column as it is, and replaces it in the sweep.
fn spoil(cluster: &Cluster, sweep: &str, column: &str, bad: &str) {
    cluster.database.query(&format!(
        "create table kept_{column} as select {column} as good from sweeps where id = '{sweep}';
        update sweeps set {column} = {bad} where id = '{sweep}'"
    ));
}

fn mend(cluster: &Cluster, sweep: &str, column: &str) {
    cluster.database.query(&format!(
        "update sweeps set {column} = (select good from kept_{column}) where id = '{sweep}'"
    ));
}

#[test]
fn jobs_of_other_sweeps_start_and_its_own_when_it_is_mended() {
    let mut cluster = Cluster::without_agent(Options::default());
    let bad: Vec<_> = BAD.iter().map(|(column, _)| submit(&cluster, &format!("bad-{column}"))).collect();
    for (sweep, (column, value)) in bad.iter().zip(BAD) {
        spoil(&cluster, sweep, column, value);
    }
    let good = submit(&cluster, "good");
    // It has read none of them yet.
    cluster.coordinator().kill();
    cluster.start_coordinator();
    cluster.add_agent_with("agent", &Options::simulated(&["--cpus", "2"]).agent);
    cluster.wait_count(&good, "succeeded", 3);
    assert_eq!(cluster.database.query("select count(*) from attempts"), ["3"], "no other job was leased");
    assert_eq!(cluster.database.query("select count(*) from sweeps where paused_at is not null"), ["0"]);
    for (sweep, (column, _)) in bad.iter().zip(BAD) {
        mend(&cluster, sweep, column);
        cluster.wait_count(sweep, "succeeded", 3);
    }
}

#[test]
fn results_of_other_sweeps_are_written_and_its_own_when_it_is_mended() {
    let mut cluster = Cluster::with(Options::simulated(&["--cpus", "2"]));
    let names = ["bad", "good", "odd"];
    let sweeps = names.map(|name| submit(&cluster, name));
    let documents = |name: &str, sweep: &str| {
        let dir = cluster.store().join(format!("{name}-{}", &sweep[..8]));
        (0..3).map(|job| dir.join(format!("{job}/result.json"))).collect::<Vec<PathBuf>>()
    };
    let [bad, good, odd] = [0, 1, 2].map(|number| documents(names[number], &sweeps[number]));
    wait_until("all is written", || {
        (cluster.database.query("select count(*) from results where written") == ["9"]).then_some(())
    });
    cluster.coordinator().kill();
    // The oldest ones can't be read, of one sweep all and of another one the second.
    spoil(&cluster, &sweeps[0], "manifest", BAD[0].1);
    cluster.database.query(&format!(
        "update attempts set volume_fingerprints = '[1]' where sweep_id = '{}' and job = 1;
        update results set written = false",
        sweeps[2]
    ));
    for path in bad.iter().chain(&good).chain(&odd) {
        std::fs::remove_file(path).unwrap();
    }
    cluster.start_coordinator();
    let are_there = |paths: &[&PathBuf]| paths.iter().all(|path| path.exists()).then_some(());
    let others: Vec<_> = good.iter().chain([&odd[0], &odd[2]]).collect();
    wait_until("the others are written", || are_there(&others));
    assert!(!odd[1].exists() && !bad.iter().any(|path| path.exists()));
    mend(&cluster, &sweeps[0], "manifest");
    cluster.database.query("update attempts set volume_fingerprints = null");
    let mended: Vec<_> = bad.iter().chain([&odd[1]]).collect();
    wait_until("those that were mended are written too", || are_there(&mended));
}

/// What a failed job left in the store.
fn left_over(cluster: &Cluster, name: &str, sweep: &str) -> PathBuf {
    let file = cluster.store().join(format!("{name}-{}/0/1/left", &sweep[..8]));
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(&file, "over").unwrap();
    file
}

#[test]
fn garbage_of_other_sweeps_goes_and_its_own_when_it_is_mended() {
    let flags = ["--gc-every", "300ms", "--keep-unpublished", "1s"].map(str::to_owned).into();
    let simulated = Options::simulated(&["--cpus", "2"]);
    let mut cluster = Cluster::without_agent(Options { coordinator: flags, ..simulated });
    let names = ["first", "bad", "last"];
    let sweeps = names.map(|name| cluster.submit_simulated(&["--name", name, "-e", "BT_SIM_EXIT=1"]));
    // A directory that no reader can open stands in the place of the sweep's own.
    let dir = cluster.store().join(format!("bad-{}", &sweeps[1][..8]));
    std::fs::create_dir_all(cluster.store()).unwrap();
    std::os::unix::fs::symlink(dir.file_name().unwrap(), &dir).unwrap();
    let good = [0, 2].map(|number| left_over(&cluster, names[number], &sweeps[number]));
    cluster.add_agent("agent");
    for sweep in &sweeps {
        cluster.wait_ended(sweep);
    }
    wait_until("the garbage of the others is gone", || good.iter().all(|file| !file.exists()).then_some(()));
    std::fs::remove_file(&dir).unwrap();
    let bad = left_over(&cluster, "bad", &sweeps[1]);
    wait_until("its own is gone when it was mended", || (!bad.exists()).then_some(()));
}

#[test]
fn other_sweeps_take_results_and_it_does_when_it_is_mended() {
    let mut cluster = Cluster::with(Options::simulated(&["--cpus", "2"]));
    let made = cluster.submit_simulated(&["--name", "made", "--matrix", "n=1:3"]);
    cluster.wait_count(&made, "succeeded", 3);
    // Nothing is settled while its agent is away.
    cluster.agent().kill();
    wait_until("the agent is gone", || {
        (cluster.json(&["agents", "ls"])[0]["state"] != "ready").then_some(())
    });
    let reusing = ["bad", "good"]
        .map(|name| cluster.submit_simulated(&["--name", name, "--matrix", "n=1:3", "--reuse"]));
    let [bad, good] = &reusing;
    spoil(&cluster, bad, "manifest", BAD[0].1);
    cluster.coordinator().kill();
    cluster.start_coordinator();
    cluster.add_agent("agent");
    cluster.wait_count(good, "succeeded", 3);
    assert_eq!(cluster.count(bad, "queued"), 3);
    mend(&cluster, bad, "manifest");
    cluster.wait_count(bad, "succeeded", 3);
}

#[test]
fn other_canaries_pass_and_its_own_when_it_is_mended() {
    let cluster = Cluster::with(Options::simulated(&["--cpus", "2"]));
    cluster.database.query(
        "create function refuse() returns trigger language plpgsql as $$ begin
            if new.name = 'bad' and new.canary_passed_at is not null then raise exception 'refused'; end if;
            return new;
        end $$;
        create trigger refuse before update on sweeps for each row execute function refuse()",
    );
    let flags = |name| ["--name", name, "--matrix", "n=1:3", "--canary", "1"];
    let bad = cluster.submit_simulated(&flags("bad"));
    cluster.wait_count(&bad, "succeeded", 1);
    let good = cluster.submit_simulated(&flags("good"));
    cluster.wait_count(&good, "succeeded", 3);
    assert_eq!(cluster.count(&bad, "queued"), 2);
    cluster.database.query("drop trigger refuse on sweeps");
    cluster.wait_count(&bad, "succeeded", 3);
}

#[test]
fn an_agent_that_comes_back_goes_on_with_what_it_can_read() {
    let mut cluster = Cluster::with(Options { lease: "60s", ..Options::default() });
    let sweep = cluster.submit_waiting(&["--matrix", "n=1:3"], "echo {{ n }} > /results/n");
    cluster.wait_attempts("running", 3);
    cluster.agent().kill();
    let attempt = cluster.database.query("select id from attempts where job = 1").remove(0);
    bt_tests::add_agent_note(&cluster.dir().join("agent"), attempt.parse().unwrap(), "assignment", "{}");
    cluster.add_agent("agent");
    cluster.open_gate();
    cluster.wait_count(&sweep, "succeeded", 3);
    let tries = "select j.number, j.attempts from jobs j order by j.number";
    assert_eq!(cluster.database.query(tries), ["0|1", "1|2", "2|1"], "only the one is run again");
    wait_until("no container is left", || cluster.containers(&sweep).is_empty().then_some(()));
}
