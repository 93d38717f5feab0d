//! The power of the machine that has the store and the agents' state is cut, again and again, while jobs run; Postgres, on
//! another machine, keeps its commits. So all that Postgres says of a result must have been on the disk before it said so.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use bt_tests::{Cluster, CutDisk, Options, wait_until};
use serde_json::Value;
use sha2::{Digest, Sha256};

const AGENTS: [&str; 3] = ["a", "b", "c"];
/// Bytes of the larger one of a job's two files: some travel with the report, others by themselves.
const SIZES: &str = "bytes=7,20000,300000";
const JOBS_OF_A_SIZE: usize = 400;
const JOBS: usize = 3 * JOBS_OF_A_SIZE;
/// How often the power is cut, each time after so many results more.
const CUTS: usize = 7;

#[test]
fn a_power_cut_takes_no_published_result_and_nothing_runs_twice_in_one_attempt() {
    // Two disks, so that no sync of one makes up for a missing one of the other.
    let (mut stores, mut agents) = (CutDisk::new(), CutDisk::new());
    // On the machine's own disk, as Postgres is.
    let log = tempfile::NamedTempFile::new().unwrap();
    let store = stores.path().join("store");
    let options = Options {
        store: Some(store.display().to_string()),
        lease: "60s",
        heartbeat: "3s",
        env: vec![("BTCTL_SIM_LOG".to_owned(), log.path().display().to_string())],
        ..Options::simulated(&["--cpus", "16"])
    };
    let agent_flags = options.agent.clone();
    let mut cluster = Cluster::without_agent(options);
    for name in AGENTS {
        let state = agents.path().join(name);
        fs::create_dir(&state).unwrap();
        fs::File::open(agents.path()).and_then(|disk| disk.sync_all()).unwrap();
        std::os::unix::fs::symlink(state, cluster.dir().join(name)).unwrap();
    }
    AGENTS.iter().for_each(|name| cluster.add_agent_with(name, &agent_flags));
    let sweep = cluster.submit_simulated(&[
        "--name",
        "cut",
        "--matrix",
        &format!("n=1:{JOBS_OF_A_SIZE}"),
        "--matrix",
        SIZES,
        "-e",
        "BT_SIM_BYTES={{ bytes }}",
        "-e",
        "BT_SIM_PRINT=a line",
        "-e",
        "BT_SIM_MS=20",
    ]);
    let mut at_stake = 0;
    for cut in 1..=CUTS {
        let enough = JOBS * cut / (CUTS + 2);
        wait_until("results are published", || {
            let results: usize = cluster.database.query("select count(*) from results")[0].parse().ok()?;
            (results >= enough).then_some(())
        });
        let servers = 0..AGENTS.len();
        // All of the machine stops at once; a process that sees its disk fail would be another test.
        servers.clone().for_each(|number| cluster.agent_number(number).signal("STOP"));
        cluster.coordinator().signal("STOP");
        [&stores, &agents].iter().for_each(|disk| disk.cut());
        servers.clone().for_each(|number| cluster.agent_number(number).kill());
        cluster.coordinator().kill();
        [&mut stores, &mut agents].into_iter().for_each(CutDisk::restore);
        let live = "select count(*) from attempts where state in ('preparing', 'running', 'publishing')";
        at_stake += cluster.database.query(live)[0].parse::<u64>().unwrap();
        let (results, written) = each_result_is_whole(&cluster, &store);
        println!("cut {cut}: {results} results, {written} with their result.json, are whole");
        cluster.start_coordinator();
        cluster.forget_agents();
        AGENTS.iter().for_each(|name| cluster.add_agent_with(name, &agent_flags));
    }
    cluster.wait_ended(&sweep);
    assert_eq!(cluster.count(&sweep, "succeeded"), JOBS as u64, "every job has its result");
    let sql = "select count(*) from results where not written";
    wait_until("each result.json is written", || (cluster.database.query(sql) == ["0"]).then_some(()));
    assert_eq!(each_result_is_whole(&cluster, &store), (JOBS, JOBS));
    let succeeded = "select count(*), count(distinct job) from attempts where state = 'succeeded'";
    assert_eq!(cluster.database.query(succeeded), [format!("{JOBS}|{JOBS}")]);
    // What an agent had told of was on its disk: it knew each of these attempts again, and none had to be waited for
    // until its lease was over.
    println!("{at_stake} attempts were under way at a cut");
    assert!(at_stake > 0);
    assert_eq!(cluster.database.query("select count(*) from attempts where state = 'lost'"), ["0"]);
    assert!(each_started_once(log.path()) >= JOBS);
}

/// The container of a batch has notes of its own: after a cut neither it nor a point is lost, and it does not run again.
#[test]
fn a_power_cut_starts_no_batch_twice_and_each_of_its_points_gets_a_result() {
    let mut disk = CutDisk::new();
    let log = tempfile::NamedTempFile::new().unwrap();
    let options = Options {
        lease: "60s",
        heartbeat: "3s",
        env: vec![("BTCTL_SIM_LOG".to_owned(), log.path().display().to_string())],
        ..Options::simulated(&["--cpus", "4"])
    };
    let flags = options.agent.clone();
    let mut cluster = Cluster::without_agent(options);
    let state = disk.path().join("agent");
    fs::create_dir(&state).unwrap();
    fs::File::open(disk.path()).and_then(|disk| disk.sync_all()).unwrap();
    std::os::unix::fs::symlink(&state, cluster.dir().join("agent")).unwrap();
    cluster.add_agent_with("agent", &flags);
    let points = 200_u64;
    let matrix = format!("n=1:{points}");
    let sweep = cluster.submit_simulated(&["--batch", "10", "--matrix", &matrix, "-e", "BT_SIM_MS=300"]);
    let mut at_stake = 0;
    for cut in 1..=3 {
        wait_until("results are published", || {
            (cluster.count(&sweep, "succeeded") >= points * cut / 5).then_some(())
        });
        cluster.agent().signal("STOP");
        disk.cut();
        cluster.agent().kill();
        disk.restore();
        let running = "select count(*) from attempts where state in ('preparing', 'running', 'publishing')";
        at_stake += cluster.database.query(running)[0].parse::<u64>().unwrap();
        cluster.forget_agents();
        cluster.add_agent_with("agent", &flags);
    }
    cluster.wait_ended(&sweep);
    println!("{at_stake} points were under way at a cut");
    assert!(at_stake > 0);
    assert_eq!(cluster.count(&sweep, "succeeded"), points, "every point has its result");
    let succeeded = "select count(*), count(distinct job) from attempts where state = 'succeeded'";
    assert_eq!(cluster.database.query(succeeded), [format!("{points}|{points}")]);
    assert_eq!(cluster.database.query("select count(*) from attempts where state = 'lost'"), ["0"]);
    assert!(each_started_once(log.path()) >= 20);
    wait_until("no directory of a batch is left", || {
        fs::read_dir(state.join("batches")).unwrap().next().is_none().then_some(())
    });
}

/// How many containers were started, by what the simulated engine has noted; none of them more than once.
fn each_started_once(log: &Path) -> usize {
    let mut starts: BTreeMap<String, u32> = BTreeMap::new();
    for line in fs::read_to_string(log).unwrap().lines() {
        let event: Value = serde_json::from_str(line).unwrap();
        if event["event"] == "start" {
            *starts.entry(event["attempt"].as_str().unwrap().to_owned()).or_default() += 1;
        }
    }
    let twice: Vec<_> = starts.iter().filter(|(_, count)| **count > 1).collect();
    assert!(twice.is_empty(), "containers that were started twice: {twice:?}");
    starts.len()
}

/// Right after the commit, before anything else is synced on that disk: the files have their names there. Few files are
/// synced one by one, many together.
#[test]
fn a_result_that_was_just_published_is_on_the_disk() {
    let mut disk = CutDisk::new();
    let store = disk.path().join("store");
    let options =
        Options { store: Some(store.display().to_string()), ..Options::simulated(&["--cpus", "64"]) };
    let mut cluster = Cluster::with(options);
    // Held until the end: the writer of `result.json` waits for it.
    let held = cluster.database.hold_from_readers("image_descriptions");
    let mut published = 0;
    for jobs in [1, 40] {
        cluster.submit_simulated(&["--name", "cut", "--matrix", &format!("n=1:{jobs}")]);
        published += jobs;
        wait_until("the results are published", || {
            (cluster.database.query("select count(*) from results") == [published.to_string()]).then_some(())
        });
        cluster.coordinator().signal("STOP");
        disk.cut();
        cluster.coordinator().kill();
        disk.restore();
        let sql =
            "select s.name || '-' || left(s.id::text, 8), s.jobs, r.job, f.path, encode(f.sha256, 'hex')
            from results r join sweeps s on s.id = r.sweep_id
            join result_files f on f.sweep_id = r.sweep_id and f.job = r.job";
        let files = cluster.database.query(sql);
        assert_eq!(files.len(), published);
        for row in files {
            let columns: Vec<&str> = row.split('|').collect();
            let [dir, jobs, job, path, sha256] = columns[..] else { panic!("{row}") };
            let digits = (jobs.parse::<usize>().unwrap() - 1).to_string().len();
            let file = store.join(dir).join(format!("{job:0>digits$}")).join("1").join(path);
            let content = fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
            assert_eq!(hex(&content), sha256, "{row}");
        }
        cluster.start_coordinator();
    }
    drop(held);
    let sql = "select count(*) from results where written";
    let all = [published.to_string()];
    wait_until("each result.json is written", || (cluster.database.query(sql) == all).then_some(()));
}

/// Reads each result that Postgres has, and each `result.json` that is there. Says how many there are of both.
fn each_result_is_whole(cluster: &Cluster, store: &Path) -> (usize, usize) {
    let sql = "select r.job, a.number, f.path, coalesce(f.stored_as, f.path), f.size, encode(f.sha256, 'hex'), r.written
        from results r join attempts a on a.id = r.attempt_id
        join result_files f on f.sweep_id = r.sweep_id and f.job = r.job order by r.job, f.path";
    let sweep_dir = fs::read_dir(store).unwrap().flatten().map(|entry| entry.path());
    let sweep_dir = sweep_dir
        .filter(|path| path.is_dir())
        .find(|path| path.file_name().unwrap().to_string_lossy().starts_with("cut-"));
    let digits = (JOBS - 1).to_string().len();
    let mut jobs = BTreeMap::new();
    for row in cluster.database.query(sql) {
        let columns: Vec<&str> = row.split('|').collect();
        let [job, number, path, stored_as, size, sha256, written] = columns[..] else { panic!("{row}") };
        let job_dir =
            sweep_dir.as_ref().expect("the sweep's directory is there").join(format!("{job:0>digits$}"));
        let file = job_dir.join(number).join(stored_as);
        let content = fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}; {row}", file.display()));
        assert_eq!(content.len().to_string(), size, "{}: {row}", file.display());
        assert_eq!(hex(&content), sha256, "{}: {row}", file.display());
        let files: &mut BTreeMap<String, String> = jobs.entry((job_dir, written == "t")).or_default();
        files.insert(path.to_owned(), sha256.to_owned());
    }
    let mut documents = 0;
    for ((dir, written), files) in &jobs {
        let document = match fs::read(dir.join("result.json")) {
            Ok(document) => document,
            Err(error) => {
                assert!(!written, "{}: Postgres calls its result.json written: {error}", dir.display());
                continue;
            }
        };
        documents += usize::from(*written);
        let document: Value = serde_json::from_slice(&document)
            .unwrap_or_else(|error| panic!("{}/result.json is not whole: {error}", dir.display()));
        let listed = document["files"].as_array().unwrap().iter().map(|file| {
            (file["path"].as_str().unwrap().to_owned(), file["sha256"].as_str().unwrap().to_owned())
        });
        assert_eq!(&listed.collect::<BTreeMap<_, _>>(), files, "{}", dir.display());
        for log in document["logs"].as_array().into_iter().flatten() {
            let content = fs::read(dir.join(log["path"].as_str().unwrap())).unwrap();
            assert_eq!(Value::from(hex(&content)), log["sha256"], "{}: {log}", dir.display());
        }
    }
    (jobs.len(), documents)
}

fn hex(content: &[u8]) -> String {
    Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect()
}
