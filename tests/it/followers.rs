//! Many who follow one log.

use std::sync::Arc;

use bt_proto::v1::sweeps_client::SweepsClient;
use bt_proto::v1::{self, LogsRequest};
use bt_tests::{Cluster, wait_until};
use tokio::sync::{Barrier, watch};
use tonic::Streaming;

/// Followers, a few on each connection as if of many users.
const FOLLOWERS: usize = 1_000;
const ON_A_CONNECTION: usize = 50;

/// Descriptors by which a process has an attempt's log open.
fn open_logs(pid: u32) -> usize {
    let descriptors = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
    let targets = descriptors.filter_map(|descriptor| std::fs::read_link(descriptor.path()).ok());
    targets
        .filter(|target| target.to_string_lossy().contains("/attempts/") && target.ends_with("log"))
        .count()
}

fn tell(cluster: &mut Cluster, when: &str) {
    println!("{when}: coordinator {}; agent {}", cluster.coordinator().figures(), cluster.agent().figures());
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap()
}

async fn follow(client: &SweepsClient<tonic::transport::Channel>, sweep: &str) -> Streaming<v1::LogLine> {
    let request = LogsRequest { sweep: sweep.to_owned(), follow: true, ..LogsRequest::default() };
    client.clone().logs(request).await.unwrap().into_inner()
}

/// Reads so many lines; one may come in pieces.
async fn read(lines: &mut Streaming<v1::LogLine>, most: usize) -> Vec<u8> {
    let (mut text, mut read) = (Vec::new(), 0);
    while read < most {
        let Some(line) = lines.message().await.unwrap() else { break };
        read += usize::from(line.text.ends_with(b"\n"));
        text.extend_from_slice(&line.text);
    }
    text
}

fn counted(from: u32, to: u32) -> Vec<u8> {
    (from..=to).map(|number| format!("{number}\n")).collect::<String>().into_bytes()
}

#[test]
fn a_thousand_followers_cost_the_agent_one_stream_and_each_reads_every_line_once() {
    let mut cluster = Cluster::start();
    let wait = bt_tests::WAIT_AT_GATE;
    let sweep = cluster.submit(&bt_tests::GATE, &format!("seq 1 100; {wait}; seq 101 200"));
    wait_until("the first lines are there", || {
        cluster.run(&["logs", &sweep]).stdout.ends_with("100\n").then_some(())
    });
    let agent = cluster.agent().pid();
    tell(&mut cluster, "before");
    let runtime = runtime();
    let address = cluster.address();
    let all_there = Arc::new(Barrier::new(FOLLOWERS + 1));
    let opened = watch::Sender::new(false);
    let mut followers = Vec::new();
    for _ in 0..FOLLOWERS / ON_A_CONNECTION {
        let client = runtime.block_on(SweepsClient::connect(address.clone())).unwrap();
        for _ in 0..ON_A_CONNECTION {
            let (client, sweep) = (client.clone(), sweep.clone());
            let (all_there, mut opened) = (all_there.clone(), opened.subscribe());
            followers.push(runtime.spawn(async move {
                let mut lines = follow(&client, &sweep).await;
                let mut text = read(&mut lines, 100).await;
                all_there.wait().await;
                opened.wait_for(|opened| *opened).await.unwrap();
                text.extend(read(&mut lines, usize::MAX).await);
                text
            }));
        }
    }
    runtime.block_on(all_there.wait());
    tell(&mut cluster, "followed");
    // The one that writes it, and one that reads it for all.
    assert_eq!(open_logs(agent), 2);
    // Half of them leave.
    for follower in followers.iter().skip(1).step_by(2) {
        follower.abort();
    }
    cluster.open_gate();
    // Clients that left delay no other.
    opened.send_replace(true);
    for follower in followers.into_iter().step_by(2) {
        assert_eq!(runtime.block_on(follower).unwrap(), counted(1, 200));
    }
    cluster.wait_count(&sweep, "succeeded", 1);
    wait_until("the agent reads no log any more", || (open_logs(agent) == 0).then_some(()));
    tell(&mut cluster, "after");
}

#[test]
fn followers_who_leave_take_the_agents_stream_with_them() {
    let mut cluster = Cluster::start();
    let sweep = cluster.submit(&bt_tests::GATE, &format!("echo began; {}", bt_tests::WAIT_AT_GATE));
    cluster.wait_attempts("running", 1);
    let agent = cluster.agent().pid();
    wait_until("the log is begun", || (open_logs(agent) == 1).then_some(()));
    let runtime = runtime();
    runtime.block_on(async {
        let client = SweepsClient::connect(cluster.address()).await.unwrap();
        let mut followers = Vec::new();
        for _ in 0..ON_A_CONNECTION {
            followers.push(follow(&client, &sweep).await);
        }
        wait_until("it is read", || (open_logs(agent) == 2).then_some(()));
        // As long as one is there.
        followers.truncate(1);
        let kept = followers.remove(0);
        assert_eq!(open_logs(agent), 2);
        drop(kept);
    });
    wait_until("nobody reads it", || (open_logs(agent) == 1).then_some(()));
    assert_eq!(cluster.count(&sweep, "running"), 1);
    cluster.open_gate();
    cluster.wait_count(&sweep, "succeeded", 1);
}

#[test]
fn slow_and_late_followers_hold_up_nobody_and_read_every_line_once() {
    let mut cluster = Cluster::start();
    // Many times what is kept for all, and what a connection holds.
    const LINES: u32 = 300_000;
    let wait = bt_tests::WAIT_AT_GATE;
    let script = format!("seq 1 {}; {wait}; seq {} {LINES}", LINES / 2, LINES / 2 + 1);
    let flags = [&bt_tests::GATE[..], &["--log-limit", "256MiB"]].concat();
    let sweep = cluster.submit(&flags, &script);
    cluster.wait_attempts("running", 1);
    let agent = cluster.agent().pid();
    let runtime = runtime();
    runtime.block_on(async {
        let address = cluster.address();
        // Each has a connection of its own: one that leaves its window full delays no other.
        let connect = || SweepsClient::connect(address.clone());
        let mut slow = follow(&connect().await.unwrap(), &sweep).await;
        let mut slow_read = read(&mut slow, 10).await;
        let mut fast = follow(&connect().await.unwrap(), &sweep).await;
        let mut fast_read = read(&mut fast, LINES as usize / 2).await;
        assert!(fast_read == counted(1, LINES / 2), "the slow one holds up the fast one");
        let mut late = follow(&connect().await.unwrap(), &sweep).await;
        let mut late_read = read(&mut late, LINES as usize / 2).await;
        assert!(late_read == counted(1, LINES / 2), "the late one has {} bytes", late_read.len());
        slow_read.extend(read(&mut slow, LINES as usize / 2 - 10).await);
        assert!(slow_read == counted(1, LINES / 2), "the slow one has {} bytes", slow_read.len());
        wait_until("all read the same stream", || (open_logs(agent) == 2).then_some(()));
        cluster.open_gate();
        let (fast, late) = tokio::join!(read(&mut fast, usize::MAX), read(&mut late, usize::MAX));
        fast_read.extend(fast);
        late_read.extend(late);
        let whole = counted(1, LINES);
        assert!(fast_read == whole, "the fast one has {} bytes", fast_read.len());
        assert!(late_read == whole, "the late one has {} bytes", late_read.len());
    });
    cluster.wait_count(&sweep, "succeeded", 1);
    wait_until("the agent reads no log any more", || (open_logs(agent) == 0).then_some(()));
}
