//! Peers that don't move: frozen coordinators, clients that fall silent, readers that stop reading. Nobody waits for them.

use std::time::{Duration, Instant};

use bt_proto::v1::sweeps_client::SweepsClient;
use bt_proto::v1::{self, submit_request};
use bt_tests::{Cluster, Options, ScriptedAgent, wait_until};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

/// Times that a coordinator is frozen, each at another moment of its work.
const FREEZES: u64 = 8;
/// Much less than a frozen peer stays frozen, and more than its sessions' time limits and a loaded machine take.
const SOON: Duration = Duration::from_secs(60);

#[test]
fn a_frozen_coordinator_holds_up_neither_the_other_nor_its_agents() {
    let mut cluster = Cluster::without_agent(Options { lease: "20s", ..Options::default() });
    cluster.add_coordinator();
    let flags = Options::simulated(&["--cpus", "4"]).agent;
    for name in ["a", "b", "c"] {
        cluster.add_agent_with(name, &flags);
    }
    let healthy = cluster.address_of(1);
    cluster.submit_simulated(&["--matrix", "n=1:100000", "-e", "BT_SIM_MS=20", "--name", "load"]);
    let mut caught = 0;
    for round in 0..FREEZES {
        // Another moment each time: so many jobs further.
        let done = "select coalesce(sum(succeeded), 0) from sweep_counts";
        let before: u64 = cluster.database.query(done)[0].parse().unwrap();
        wait_until("jobs end", || {
            let now: u64 = cluster.database.query(done)[0].parse().ok()?;
            (now > before + 7 * round + 3).then_some(())
        });
        cluster.coordinator_number(0).signal("STOP");
        let open = "select count(*) from pg_stat_activity where datname = current_database()
            and state like 'idle in transaction%'";
        caught += u64::from(cluster.database.query(open) != ["0"]);
        let began = Instant::now();
        let urgent = cluster.json(&[
            "--coordinator",
            &healthy,
            "submit",
            "--image",
            "x",
            "--name",
            "urgent",
            "--priority",
            "9",
            "-m",
            "64m",
            "--matrix",
            "n=1:12",
            "--",
            "x",
        ]);
        let urgent = urgent["id"].as_str().unwrap().to_owned();
        wait_until("the urgent jobs have succeeded", || {
            let sql =
                format!("select count(*) from jobs where sweep_id = '{urgent}' and state = 'succeeded'");
            (cluster.database.query(&sql) == ["12"]).then_some(())
        });
        assert!(began.elapsed() < SOON, "round {round}: {:?}", began.elapsed());
        let listed = cluster.run(&["--coordinator", &healthy, "ls"]);
        assert_eq!(listed.code, 0, "{listed:?}");
        cluster.coordinator_number(0).signal("CONT");
        let first = cluster.address_of(0);
        wait_until("it answers again", || {
            (cluster.run(&["--coordinator", &first, "ls"]).code == 0).then_some(())
        });
    }
    println!("frozen {FREEZES} times, {caught} times within a transaction");
}

/// A submit that stops in the middle: its stream, held open.
async fn silent_submit(address: String) -> tonic::Status {
    let mut client = SweepsClient::connect(address).await.unwrap();
    let (sender, receiver) = mpsc::channel(4);
    let manifest = r#"{"name":"silent","image":"x","command":["x","{{ n }}"]}"#;
    let header = v1::SubmitHeader {
        idempotency_key: uuid::Uuid::new_v4().to_string(),
        manifest: manifest.to_owned(),
        owner: "ann".to_owned(),
        ..v1::SubmitHeader::default()
    };
    let rows = v1::ParameterRows { rows: vec![r#"{"n":1}"#.to_owned()] };
    for kind in [submit_request::Kind::Header(header), submit_request::Kind::Rows(rows)] {
        sender.send(v1::SubmitRequest { kind: Some(kind) }).await.unwrap();
    }
    let answer = client.submit(ReceiverStream::new(receiver)).await;
    drop(sender);
    answer.map(|_| ()).unwrap_err()
}

#[test]
fn clients_that_fall_silent_hold_no_session_and_are_ended() {
    let cluster = Cluster::with(Options::simulated(&["--cpus", "2"]));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let silent: Vec<_> = (0..40).map(|_| runtime.spawn(silent_submit(cluster.address()))).collect();
    let sweep = cluster.submit_simulated(&["--matrix", "n=1:3"]);
    cluster.wait_count(&sweep, "succeeded", 3);
    let open = "select count(*) from pg_stat_activity where datname = current_database()
        and state like 'idle in transaction%'";
    wait_until("no transaction is open", || (cluster.database.query(open) == ["0"]).then_some(()));
    for ended in silent {
        let status = runtime.block_on(ended).unwrap();
        assert_eq!(status.code(), tonic::Code::DeadlineExceeded, "{status:?}");
    }
    assert_eq!(cluster.database.query("select count(*) from sweeps"), ["1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn heartbeats_are_answered_while_reports_wait_for_the_store() {
    let cluster = Cluster::without_agent(Options { lease: "20s", ..Options::default() });
    let mut agent = ScriptedAgent::first(&cluster.address()).await;
    agent.beat(&[]).await;
    let sweep = cluster.submit_simulated(&["--name", "s"]);
    let assignment = agent.assignment().await;
    // Nothing can be written where its outputs belong.
    std::fs::write(cluster.store().join(format!("s-{}", &sweep[..8])), "in the way").unwrap();
    let sha256 = Sha256::digest(b"x").to_vec();
    for _ in 0..400 {
        agent.succeed(&assignment.attempt, b"x", sha256.clone()).await;
    }
    for _ in 0..3 {
        agent.beat(&[&assignment.attempt]).await;
        assert!(agent.renewed().await, "a heartbeat is answered");
    }
}

#[test]
fn documents_that_can_not_be_written_do_not_hold_up_the_others() {
    let mut cluster = Cluster::without_agent(Options::default());
    let sweep = cluster.submit_simulated(&["--name", "s", "--matrix", "n=1:560"]);
    let dir = cluster.store().join(format!("s-{}", &sweep[..8]));
    // More than a coordinator reads at once, and the oldest of all.
    for job in 0..520 {
        std::fs::create_dir_all(dir.join(format!("{job:03}/result.json/x"))).unwrap();
    }
    cluster.add_agent_with("a", &Options::simulated(&["--cpus", "64"]).agent);
    cluster.wait_count(&sweep, "succeeded", 560);
    wait_until("the others are written", || {
        (cluster.database.query("select count(*) from results where written") == ["40"]).then_some(())
    });
    std::fs::remove_dir_all(dir.join("000/result.json")).unwrap();
    wait_until("one that was mended is written too", || {
        (cluster.database.query("select count(*) from results where written") == ["41"]).then_some(())
    });
}

#[test]
fn a_sweep_is_finished_as_soon_as_it_was_waited_for() {
    let cluster = Cluster::with(Options::simulated(&["--cpus", "4"]));
    for number in 0..5 {
        let name = format!("s{number}");
        cluster.ok(&[
            "submit", "--image", "x", "-m", "64m", "--name", &name, "--matrix", "n=1:4", "--wait", "--", "x",
        ]);
        let shown = cluster.json(&["show", &name]);
        assert!(shown["finished"].is_string(), "{shown}");
    }
}
