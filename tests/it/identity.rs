//! What belongs together and what does not: a queue and its store, an agent's id and its machine. And who is let in.

use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use bt_proto::v1::report;
use bt_tests::{Cluster, Options, Process, ScriptedAgent, btctl_path, wait_until};

/// A coordinator of a cluster's database with another store.
fn coordinator(cluster: &Cluster, store: &Path, flags: &[&str]) -> Process {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let mut command = Command::new(btctl_path());
    command.args(["coordinator", "--listen", "127.0.0.1:0", "--store"]).arg(store).args(flags);
    command.env("BTCTL_DATABASE_URL", cluster.database.url());
    Process::start(&format!("another{number}"), cluster.dir(), &mut command)
}

#[track_caller]
fn refused(cluster: &Cluster, store: &Path, words: &[&str]) {
    let mut process = coordinator(cluster, store, &[]);
    assert_eq!(process.wait(), 1, "{}", process.log());
    for word in words.iter().chain(&["--adopt-store"]) {
        assert!(process.log().contains(word), "{word}: {}", process.log());
    }
}

#[track_caller]
fn serves(cluster: &Cluster, store: &Path, flags: &[&str]) {
    let mut process = coordinator(cluster, store, flags);
    wait_until("it serves", || process.log().contains("listening on").then_some(()));
    assert_eq!(process.terminate(), 0, "{}", process.log());
}

#[test]
fn a_queue_has_one_store_until_another_is_adopted() {
    let mut cluster = Cluster::without_agent(Options::default());
    let (own, other) = (cluster.store(), cluster.dir().join("other"));
    let told = own.display().to_string();
    // Also while the first one runs.
    refused(&cluster, &other, &[&told]);
    assert!(!other.exists(), "nothing is made there");
    fs::create_dir(&other).unwrap();
    refused(&cluster, &other, &[&told, "is it mounted?"]);
    assert_eq!(cluster.coordinator().terminate(), 0);
    // A store that was moved as a whole is the same one.
    let moved = cluster.dir().join("moved");
    fs::rename(&own, &moved).unwrap();
    serves(&cluster, &moved, &[]);
    serves(&cluster, &other, &["--adopt-store"]);
    serves(&cluster, &other, &[]);
    refused(&cluster, &moved, &["another store"]);
    // Another queue does not take this one's store.
    let stranger = Cluster::without_agent(Options::default());
    stranger.database.query("delete from queue_store");
    refused(&stranger, &other, &["another queue"]);
}

#[test]
fn a_backup_that_was_put_back_is_noticed() {
    let mut cluster = Cluster::without_agent(Options::default());
    assert_eq!(cluster.coordinator().terminate(), 0);
    let store = cluster.store();
    serves(&cluster, &store, &[]);
    let now = cluster.database.query("select generation, confirmed from queue_store");
    cluster.database.query("update queue_store set generation = 1, confirmed = 1");
    refused(&cluster, &store, &["the database is older"]);
    assert!(now[0].starts_with('2') || now[0].starts_with('3'), "{now:?}");
    cluster.database.query("update queue_store set generation = 9, confirmed = 9");
    refused(&cluster, &store, &["older than the database", "results verify"]);
    serves(&cluster, &store, &["--adopt-store"]);
    serves(&cluster, &store, &[]);
}

#[test]
fn what_a_store_that_is_gone_has_can_not_be_told() {
    let cluster = Cluster::without_agent(Options::default());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let sweep = cluster.json(&["submit", "--image", "none"])["id"].as_str().unwrap().to_owned();
    runtime.block_on(async {
        let mut agent = ScriptedAgent::first(&cluster.address()).await;
        let attempt = agent.assignment().await.attempt;
        let failed = report::Kind::Failed(bt_proto::v1::Failed {
            reason: Some(bt_proto::v1::Reason { kind: Some(bt_proto::v1::reason::Kind::Exit(3)) }),
            ..Default::default()
        });
        let sequence = agent.report(&attempt, failed).await;
        assert_eq!(agent.ack(sequence).await, Some(true));
    });
    let logs = cluster.run(&["logs", &format!("{sweep}/0")]);
    assert_eq!((logs.code, logs.stdout.as_str()), (0, ""), "it printed nothing: {logs:?}");
    fs::rename(cluster.store(), cluster.dir().join("unmounted")).unwrap();
    fs::create_dir(cluster.store()).unwrap();
    wait_until("it is told", || {
        let logs = cluster.run(&["logs", &format!("{sweep}/0")]);
        (logs.code != 0 && logs.stderr.contains("is gone")).then_some(())
    });
}

/// An agent on a directory of the cluster, which is expected not to connect.
fn second_agent(cluster: &Cluster, name: &str, dir: &Path) -> Process {
    let mut command = Command::new(btctl_path());
    command.args(["agent", "--name", name, "--coordinator", &cluster.address(), "--state-dir"]).arg(dir);
    command.args(Options::simulated(&["--cpus", "1"]).agent);
    Process::start(name, cluster.dir(), &mut command)
}

#[test]
fn a_state_directory_has_one_agent_and_its_copy_takes_nothing_away() {
    let mut cluster = Cluster::without_agent(Options::default());
    let flags = Options::simulated(&["--cpus", "1"]).agent;
    cluster.add_agent_with("first", &flags);
    let dir = cluster.dir().join("first");
    let pid = cluster.agent().pid();
    let mut twin = second_agent(&cluster, "twin", &dir);
    assert_eq!(twin.wait(), 1);
    assert!(twin.log().contains(&format!("process {pid}")), "{}", twin.log());

    let sweep = cluster.submit_simulated(&["-e", "BT_SIM_MS=4000"]);
    cluster.wait_attempts("running", 1);
    let copy = cluster.dir().join("copy");
    fs::create_dir(&copy).unwrap();
    for name in ["agent-id", "session", "machine.json"] {
        fs::copy(dir.join(name), copy.join(name)).unwrap();
    }
    let mut twin = second_agent(&cluster, "copied", &copy);
    wait_until("the copy is refused", || twin.log().contains("is connected already").then_some(()));
    let listed = cluster.run(&["agents", "ls"]);
    assert!(listed.code == 0 && listed.stderr.contains(&copy.display().to_string()), "{listed:?}");
    cluster.wait_count(&sweep, "succeeded", 1);
    assert_eq!(cluster.database.query("select count(*), sum(losses) from attempts, jobs"), ["1|0"]);
    // It is this agent's own as soon as the first one has gone.
    cluster.agent().kill();
    wait_until("the copy goes on", || {
        let agents = cluster.json(&["agents", "ls"]);
        (agents[0]["name"] == "copied" && agents[0]["state"] == "ready").then_some(())
    });
    assert_eq!(twin.terminate(), 0);
}

#[test]
fn two_holders_of_an_id_that_say_nothing_of_themselves_cost_no_attempts() {
    let cluster = Cluster::without_agent(Options { lease: "30s", heartbeat: "5s", ..Options::default() });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    cluster.json(&["submit", "--image", "none"]);
    runtime.block_on(async {
        let address = cluster.address();
        let mut holder = ScriptedAgent::first(&address).await;
        let mut others = Vec::new();
        let mut refused = None;
        for _ in 0..10 {
            let attempt = holder.assignment().await.attempt;
            let running = report::Kind::Running(bt_proto::v1::Running { image_id: "sha256:0".into() });
            let sequence = holder.report(&attempt, running).await;
            assert_eq!(holder.ack(sequence).await, Some(true));
            let (id, session) = (holder.id.clone(), holder.session + 1);
            match ScriptedAgent::connect(&address, &id, session, &[]).await {
                // The other one stays connected, and knows nothing of it yet.
                Ok(next) => others.push(std::mem::replace(&mut holder, next)),
                Err(status) => {
                    refused = Some(status);
                    break;
                }
            }
        }
        let refused = refused.expect("the newcomer is refused in the end");
        assert_eq!(refused.code(), tonic::Code::FailedPrecondition);
        assert!(refused.message().contains("connected already"), "{refused}");
    });
    assert_eq!(cluster.database.query("select sum(losses), sum(failures) from jobs"), ["0|0"]);
}

#[test]
fn an_agent_whose_stream_broke_is_not_shown_as_ready() {
    let mut cluster =
        Cluster::without_agent(Options { lease: "60s", heartbeat: "15s", ..Options::default() });
    cluster.add_agent_with("gone", &Options::simulated(&["--cpus", "1"]).agent);
    cluster.agent().kill();
    wait_until("it is not connected", || {
        let state = cluster.json(&["agents", "ls"])[0]["state"].as_str()?.to_owned();
        state.starts_with("not connected").then_some(())
    });
}

#[test]
fn followers_that_have_gone_hold_nothing_at_the_agent() {
    let mut cluster = Cluster::start();
    let sweep = cluster.submit(&[], "echo begun; until [ -e /tmp/go ]; do sleep 0.1; done");
    cluster.wait_attempts("running", 1);
    let pids = [cluster.agent().pid(), cluster.coordinator().pid()];
    let open = || pids.map(|pid| fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count());
    let before = open();
    let mut followers = Vec::new();
    for number in 0..20 {
        let follower = cluster.spawn(&format!("follower{number}"), &["logs", "-f", &format!("{sweep}/0")]);
        followers.push(follower);
    }
    for follower in &followers {
        wait_until("it follows", || follower.log().contains("begun").then_some(()));
    }
    followers.iter_mut().for_each(Process::kill);
    // Others come and go meanwhile: the engine's connections, and those to Postgres.
    wait_until("all is given back", || {
        let now = open();
        (now[0] <= before[0] + 5 && now[1] <= before[1] + 16).then_some(())
    });
    cluster.touch(&sweep, "/tmp/go");
    cluster.wait_count(&sweep, "succeeded", 1);
}

#[test]
fn a_follower_goes_on_where_it_was_when_its_coordinator_goes() {
    for signal in ["KILL", "STOP"] {
        let mut cluster = Cluster::without_agent(Options::default());
        cluster.add_coordinator();
        cluster.add_agent("agent");
        let script = "for n in $(seq 1 150); do echo line $n; sleep 0.1; done";
        let sweep = cluster.submit(&[], script);
        let addresses = cluster.address();
        let job = format!("{sweep}/0");
        let mut follower = cluster.spawn("follower", &["--coordinator", &addresses, "logs", "-f", &job]);
        wait_until("it follows", || follower.log().contains("line 5\n").then_some(()));
        // Whichever it has asked: the first one answers first.
        cluster.coordinator().signal(signal);
        assert_eq!(follower.wait(), 0, "{}", follower.log());
        let printed: Vec<_> =
            follower.log().lines().filter(|line| line.starts_with("line")).map(str::to_owned).collect();
        let expected: Vec<_> = (1..=150).map(|number| format!("line {number}")).collect();
        assert_eq!(printed, expected, "after {signal}");
        if signal == "STOP" {
            // A new command finds the other one at once.
            let begun = std::time::Instant::now();
            cluster.ok(&["ls"]);
            assert!(begun.elapsed().as_secs() < 5, "{:?}", begun.elapsed());
            cluster.coordinator().signal("CONT");
        }
    }
}

#[test]
fn connections_that_say_nothing_keep_nobody_out() {
    let cluster = Cluster::without_agent(Options::default());
    let mut process = {
        let mut command = Command::new("sh");
        command.args(["-c", "ulimit -n 320; exec \"$0\" \"$@\""]).arg(btctl_path());
        command.args(["coordinator", "--listen", "127.0.0.1:0", "--store"]).arg(cluster.store());
        command.env("BTCTL_DATABASE_URL", cluster.database.url());
        Process::start("small", cluster.dir(), &mut command)
    };
    let address = wait_until("it listens", || {
        let log = process.log();
        let (_, rest) = log.split_once("listening on ")?;
        Some(rest.split_whitespace().next()?.trim_matches(|c: char| !c.is_ascii_digit()).to_owned())
    });
    let mut silent = Vec::new();
    for number in 0..400 {
        let socket = TcpStream::connect(&address).unwrap();
        if number % 2 == 0 {
            std::io::Write::write_all(&mut &socket, b"PRI * HTTP/2.0").unwrap();
        }
        silent.push(socket);
    }
    cluster.ok(&["--coordinator", &format!("http://{address}"), "ls"]);
    assert!(fs::read_dir(format!("/proc/{}/fd", process.pid())).unwrap().count() < 320);
    drop(silent);
    assert_eq!(process.terminate(), 0);
}

#[test]
fn addresses_that_can_not_be_a_coordinators_are_refused() {
    let cluster = Cluster::without_agent(Options::default());
    for address in ["unix:/run/btctl.sock", "grpc://127.0.0.1:7600", "https://127.0.0.1:7600/x"] {
        let refused = cluster.run(&["--coordinator", address, "ls"]);
        assert!(refused.code == 2 && refused.stderr.contains("://"), "{refused:?}");
        let mut command = Command::new(btctl_path());
        let asked = command
            .arg("agent")
            .env("BTCTL_COORDINATOR", address)
            .env("HOME", cluster.dir())
            .output()
            .unwrap();
        assert_eq!(asked.status.code(), Some(2), "{asked:?}");
        let file = cluster.dir().join("client.toml");
        fs::write(&file, format!("coordinator = {address:?}\n")).unwrap();
        let mut command = Command::new(btctl_path());
        let asked =
            command.arg("ls").env("BTCTL_CONFIG", &file).env_remove("BTCTL_COORDINATOR").output().unwrap();
        assert_eq!(asked.status.code(), Some(2), "{asked:?}");
    }
}
