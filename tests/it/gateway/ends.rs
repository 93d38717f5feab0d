//! When a relay ends, and when it is made again.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use bt_tests::{GATE, docker, docker_finds, wait_until};

use super::{Server, ask, flags, offering, printed};

#[test]
fn the_relay_ends_with_the_container() {
    let gateway = Server::start();
    let mut cluster = offering(&[&gateway.named()]);
    let agent = cluster.agent().pid();
    let before = sockets(agent);
    let script = format!("(echo hello; sleep 600) | nc 127.0.0.1 {}", gateway.port());
    let sweep = cluster.submit(&["--network", &gateway.named()], &script);
    wait_until("the job is connected", || (gateway.open.load(Ordering::SeqCst) == 1).then_some(()));
    let container = cluster.running_containers(&sweep).pop().unwrap();
    let pid = docker(&["inspect", "-f", "{{.State.Pid}}", &container]);
    let namespace = fs::read_link(format!("/proc/{pid}/ns/net")).unwrap();
    assert!(sockets(agent) > before, "the agent listens in the container");
    // One that is frozen keeps what it has.
    docker(&["pause", &container]);
    thread::park_timeout(Duration::from_millis(500));
    assert_eq!(gateway.open.load(Ordering::SeqCst), 1);
    docker(&["unpause", &container]);
    docker(&["kill", &container]);
    cluster.wait_ended(&sweep);
    wait_until("the connection is closed", || (gateway.open.load(Ordering::SeqCst) == 0).then_some(()));
    wait_until("nobody is in its namespace", || {
        let left = namespaces().contains(&namespace);
        (!left && threads_named(agent, "gateway") == 0).then_some(())
    });
    wait_until("no socket is left", || (sockets(agent) <= before).then_some(()));
}

fn threads_named(process: u32, name: &str) -> usize {
    let tasks = fs::read_dir(format!("/proc/{process}/task")).unwrap().flatten();
    tasks
        .filter(|task| fs::read_to_string(task.path().join("comm")).is_ok_and(|comm| comm.trim() == name))
        .count()
}

/// Sockets of the process that are not of its own network: they are in no table of it.
fn sockets(process: u32) -> usize {
    let own: String = ["tcp", "tcp6", "unix", "netlink", "udp", "udp6"]
        .iter()
        .filter_map(|table| fs::read_to_string(format!("/proc/{process}/net/{table}")).ok())
        .collect();
    let own: Vec<_> = own.split_whitespace().collect();
    let fds = fs::read_dir(format!("/proc/{process}/fd")).unwrap().flatten();
    let sockets = fds.filter_map(|fd| fs::read_link(fd.path()).ok());
    let inodes = sockets.filter_map(|path| {
        let text = path.to_string_lossy().into_owned();
        Some(text.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned())
    });
    inodes.filter(|inode| !own.contains(&inode.as_str())).count()
}

/// The network namespaces of all threads of the machine.
fn namespaces() -> Vec<PathBuf> {
    let tasks = fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|entry| fs::read_dir(entry.path().join("task")).ok());
    tasks
        .flat_map(|tasks| tasks.flatten())
        .filter_map(|task| fs::read_link(task.path().join("ns/net")).ok())
        .collect()
}

#[test]
fn an_agent_that_starts_anew_makes_the_relay_again() {
    let gateway = Server::start();
    let mut cluster = offering(&[&gateway.named()]);
    let ask = ask("127.0.0.1", gateway.port());
    let script =
        format!("{ask}; until [ -e /gate/open ]; do sleep 0.1; done; until {ask}; do sleep 0.2; done");
    let network = gateway.named();
    let sweep = cluster.submit(&[&GATE[..], &["--network", &network]].concat(), &script);
    wait_until("the job has asked once", || (gateway.most.load(Ordering::SeqCst) == 1).then_some(()));
    cluster.agent().kill();
    let container = cluster.running_containers(&sweep).pop().unwrap();
    let refused = format!("echo x | nc -w 2 127.0.0.1 {} || exit 7", gateway.port());
    assert!(
        !docker_finds(&["exec", &container, "sh", "-c", &refused]),
        "nobody relays while the agent is dead"
    );
    let flags = flags(&["--allow-address", &network]);
    cluster.add_agent_with("agent", &flags);
    cluster.open_gate();
    assert_eq!(printed(&cluster, &sweep).matches("PING").count(), 2);
    assert_eq!(cluster.json(&["jobs", &sweep])[0]["attempts"], 1, "it is the same attempt");
    // One whose owner does not offer the address any more ends the job's connection for good.
    cluster.close_gate();
    let sweep = cluster.submit(&[&GATE[..], &["--network", &network]].concat(), &script);
    cluster.wait_count(&sweep, "running", 1);
    wait_until("its container runs", || cluster.running_containers(&sweep).pop());
    cluster.agent().kill();
    cluster.add_agent_with("agent", &super::flags(&[]));
    cluster.open_gate();
    wait_until("it is taken from the job", || cluster.running_containers(&sweep).is_empty().then_some(()));
    assert_eq!(cluster.count(&sweep, "succeeded"), 0);
}
