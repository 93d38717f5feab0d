//! What one peer can take of a coordinator: connections, calls, and answers that it does not read.

use std::io::Write;
use std::net::TcpStream;

use bt_proto::v1::sweeps_client::SweepsClient;
use bt_proto::v1::{self, ListOutputsRequest, LogsRequest};
use bt_tests::{Cluster, Options, wait_until};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::task::JoinSet;
use tonic::Streaming;

/// Outputs of a sweep: several times what a connection takes without being read.
const OUTPUTS: usize = 100_000;
/// Clients that stop reading: four times as many as the coordinator has sessions of Postgres.
const READERS: usize = 64;
/// Calls that one client makes at once.
const CALLS: usize = 1_100;
/// Connections of one peer.
const CONNECTIONS: usize = 1_100;
/// What the coordinator may need besides.
const SLACK: usize = 40;

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap()
}

async fn outputs(address: &str, sweep: &str) -> Streaming<v1::JobOutput> {
    let mut client = SweepsClient::connect(address.to_owned()).await.unwrap();
    let request = ListOutputsRequest { sweep: sweep.to_owned(), ..ListOutputsRequest::default() };
    client.list_outputs(request).await.unwrap().into_inner()
}

#[test]
fn clients_that_stop_reading_hold_no_session_of_postgres() {
    let mut cluster = Cluster::with(Options::simulated(&["--cpus", "2"]));
    let sweep = cluster.submit_simulated(&["--name", "many"]);
    cluster.wait_count(&sweep, "succeeded", 1);
    cluster.database.query(&format!(
        "insert into result_files (sweep_id, job, path, size, sha256)
        select '{sweep}', 0, 'out/' || n, n, sha256(n::text::bytea) from generate_series(2, {OUTPUTS}) n"
    ));
    let address = cluster.address();
    println!("before: {}", cluster.coordinator().figures());
    let before = cluster.coordinator().descriptors();
    let runtime = runtime();
    let stopped: Vec<_> = (0..READERS)
        .map(|_| {
            runtime.block_on(async {
                let mut outputs = outputs(&address, &sweep).await;
                assert!(outputs.message().await.unwrap().is_some());
                outputs
            })
        })
        .collect();
    let busy = "select count(*) from pg_stat_activity where datname = current_database()
        and pid <> pg_backend_pid() and state <> 'idle' and query not like '%listen%'";
    wait_until("all that is to be read is read", || (cluster.database.query(busy) == ["0"]).then_some(()));
    println!("{READERS} clients have stopped reading: {}", cluster.coordinator().figures());
    let sessions = "select count(*) from pg_stat_activity where datname = current_database()";
    println!("sessions of Postgres: {}", cluster.database.query(sessions)[0]);
    // Others are served as ever, and may read the same.
    let listed = runtime.block_on(async {
        let mut outputs = outputs(&address, &sweep).await;
        let mut listed = 0;
        while outputs.message().await.unwrap().is_some() {
            listed += 1;
        }
        listed
    });
    assert_eq!(listed, OUTPUTS);
    let next = cluster.submit_simulated(&["--name", "next"]);
    cluster.wait_count(&next, "succeeded", 1);
    drop(stopped);
    wait_until("all is given back", || (cluster.coordinator().descriptors() <= before + SLACK).then_some(()));
    println!("after: {}", cluster.coordinator().figures());
}

#[test]
fn one_client_with_calls_without_end_is_served_some_at_a_time() {
    let mut cluster = Cluster::without_agent(Options::default());
    let sweep = cluster.submit_simulated(&[]);
    println!("before: {}", cluster.coordinator().figures());
    let before = cluster.coordinator().memory_kib();
    let runtime = runtime();
    let mut calls = JoinSet::new();
    let (answered, mut answers) = tokio::sync::mpsc::channel(CALLS);
    let client = runtime.block_on(SweepsClient::connect(cluster.address())).unwrap();
    for _ in 0..CALLS {
        let (mut client, answered) = (client.clone(), answered.clone());
        // The job never starts, so each call stays open.
        let request = LogsRequest { sweep: sweep.clone(), follow: true, ..LogsRequest::default() };
        calls.spawn_on(
            async move {
                let lines = client.logs(request).await.unwrap();
                answered.send(()).await.unwrap();
                let mut lines = lines.into_inner();
                lines.message().await
            },
            runtime.handle(),
        );
    }
    let mut open = 0;
    while open < 256 {
        assert!(runtime.block_on(answers.recv()).is_some());
        open += 1;
    }
    // Another client is served meanwhile, and the rest of this one's calls is not.
    cluster.ok(&["ls"]);
    assert!(answers.try_recv().is_err(), "more than {open} calls are open");
    println!("{CALLS} calls: {}", cluster.coordinator().figures());
    let taken = cluster.coordinator().memory_kib().saturating_sub(before);
    assert!(taken < 64 << 10, "{taken} KiB for the calls of one client");
    cluster.ok(&["cancel", &sweep]);
    calls.abort_all();
    drop((client, calls));
    wait_until("no connection is left", || (cluster.coordinator().descriptors() < SLACK).then_some(()));
    println!("after: {}", cluster.coordinator().figures());
}

#[test]
fn one_peer_with_connections_without_end_takes_what_they_need_and_no_longer_than_they_speak() {
    let mut cluster = Cluster::with(Options::simulated(&["--cpus", "2"]));
    let before = cluster.coordinator().descriptors();
    println!("before: {}", cluster.coordinator().figures());
    let address = cluster.address().trim_start_matches("http://").to_owned();
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
    let mut silent = Vec::new();
    for number in 0..CONNECTIONS {
        let mut socket = TcpStream::connect(&address).unwrap();
        if number % 2 == 0 {
            socket.write_all(b"PRI * HTTP/2.0").unwrap();
        }
        silent.push(socket);
    }
    println!("{CONNECTIONS} connections: {}", cluster.coordinator().figures());
    let sweep = cluster.submit_simulated(&["--matrix", "n=1:8"]);
    cluster.wait_count(&sweep, "succeeded", 8);
    wait_until("those that said nothing are closed", || {
        (cluster.coordinator().descriptors() <= before + SLACK).then_some(())
    });
    println!("after, with their other ends still open: {}", cluster.coordinator().figures());
    drop(silent);
}
