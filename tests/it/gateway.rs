//! The network by name (`network: {allow: [HOST:PORT]}`): a job reaches the address that its agent's owner offers, and nothing
//! else, however it tries and whatever its coordinator says.

mod ends;

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use bt_tests::{Cluster, Options, btctl_path, docker, wait_until};

/// A server that answers each connection with its name and what it was sent, in capitals.
struct Server {
    address: SocketAddr,
    /// Connections now, and the most that there were at once.
    open: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
}

impl Server {
    fn start() -> Self {
        Self::at(Ipv4Addr::LOCALHOST)
    }

    fn at(address: Ipv4Addr) -> Self {
        let listener = TcpListener::bind((address, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let (open, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let counts = (open.clone(), most.clone());
        thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let (open, most) = counts.clone();
                thread::spawn(move || {
                    most.fetch_max(open.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    answer(connection);
                    open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        Self { address, open, most }
    }

    fn named(&self) -> String {
        self.address.to_string()
    }

    fn port(&self) -> u16 {
        self.address.port()
    }
}

fn answer(mut connection: TcpStream) {
    let mut piece = [0; 64 << 10];
    while let Ok(length @ 1..) = connection.read(&mut piece) {
        let said = piece[..length].to_ascii_uppercase();
        if connection.write_all(&said).is_err() {
            return;
        }
    }
    connection.shutdown(Shutdown::Write).ok();
}

fn flags(more: &[&str]) -> Vec<String> {
    ["--cpus", "2", "--memory", "2GiB", "--drain-timeout", "5s"]
        .iter()
        .chain(more)
        .map(|flag| (*flag).to_owned())
        .collect()
}

fn offering(addresses: &[&str]) -> Cluster {
    let offers: Vec<_> = addresses.iter().flat_map(|address| ["--allow-address", *address]).collect();
    Cluster::with(Options { agent: flags(&offers), ..Options::default() })
}

/// What the jobs of a sweep printed, which must all succeed.
#[track_caller]
fn printed(cluster: &Cluster, sweep: &str) -> String {
    cluster.wait_ended(sweep);
    let jobs = cluster.json(&["jobs", sweep]);
    let numbers = jobs.as_array().unwrap().iter().map(|job| job["job"].to_string());
    let log: String = numbers.map(|number| cluster.ok(&["logs", &format!("{sweep}/{number}")])).collect();
    assert!(jobs.as_array().unwrap().iter().all(|job| job["state"] == "succeeded"), "{jobs}: {log}");
    log
}

fn ask(host: &str, port: u16) -> String {
    format!("echo ping | nc -w 5 {host} {port}")
}

#[test]
fn a_job_reaches_the_address_that_is_offered_and_nothing_else() {
    let (gateway, other) = (Server::start(), Server::start());
    let lan = lan_address().map(Server::at);
    let cluster = offering(&[&gateway.named()]);
    let agents = cluster.json(&["agents", "show", "agent"]);
    assert_eq!(agents["labels"][format!("network:{}", gateway.named())], "offered", "{agents}");
    assert_eq!(agents["about"]["addresses"], gateway.named(), "{agents}");
    let coordinator = cluster.address().rsplit_once(':').unwrap().1.to_owned();
    let mut script =
        format!("{}; cat /proc/net/dev | tail -n +3 | cut -d: -f1;", ask("127.0.0.1", gateway.port()));
    let closed = [
        ("127.0.0.1".to_owned(), other.port().to_string()),
        ("127.0.0.1".to_owned(), coordinator),
        ("127.0.0.1".to_owned(), "5432".to_owned()),
        ("172.17.0.1".to_owned(), gateway.port().to_string()),
        ("169.254.169.254".to_owned(), "80".to_owned()),
        ("10.0.0.1".to_owned(), "80".to_owned()),
        ("8.8.8.8".to_owned(), "53".to_owned()),
    ];
    let lan = lan.map(|server| (server.address.ip().to_string(), server.port().to_string()));
    for (host, port) in closed.iter().chain(&lan) {
        script.push_str(&format!("echo x | nc -w 2 {host} {port} && echo reached {host}:{port};"));
    }
    script.push_str("nslookup example.com 2>/dev/null && echo resolved; ip addr add 10.0.0.9/8 dev lo 2>/dev/null && echo changed;");
    script.push_str("ping -c 1 -W 1 8.8.8.8 >/dev/null 2>&1 && echo pinged; ls /sys/class/net; true");
    let sweep = cluster.submit(&["--network", &gateway.named()], &script);
    let log = printed(&cluster, &sweep);
    assert!(log.starts_with("PING\n"), "{log}");
    let rest = log.replace("PING\n", "").replace(' ', "");
    let devices: Vec<_> = rest.lines().filter(|line| !line.is_empty()).collect();
    assert!(devices.iter().all(|word| *word == "lo"), "the job has nothing but its loopback: {log}");
    // One that names nothing reaches nothing, on the same agent.
    let nothing = cluster.submit(&[], &format!("{} || echo none", ask("127.0.0.1", gateway.port())));
    assert!(printed(&cluster, &nothing).ends_with("none\n"));
    assert_eq!(other.most.load(Ordering::SeqCst), 0);
}

/// An address of this machine that is not its loopback.
fn lan_address() -> Option<Ipv4Addr> {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    match socket.local_addr().ok()?.ip() {
        std::net::IpAddr::V4(address) if !address.is_unspecified() && !address.is_loopback() => Some(address),
        _ => None,
    }
}

#[test]
fn names_and_other_machines_are_found_where_the_job_looks_for_them() {
    let (loopback, everywhere) = (Server::at(Ipv4Addr::new(127, 0, 0, 9)), Server::at(Ipv4Addr::UNSPECIFIED));
    let port = everywhere.port();
    let own_name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap().trim().to_owned();
    // Only where the machine knows its own name or has a network.
    let name = (own_name.as_str(), port).to_socket_addrs().is_ok().then(|| own_name.clone());
    let hosts: Vec<_> = name.into_iter().chain(lan_address().map(|address| address.to_string())).collect();
    assert!(!hosts.is_empty(), "the machine has neither a name nor an address");
    let named = hosts.iter().map(|host| format!("{host}:{port}")).chain([loopback.named()]);
    let named: Vec<_> = named.collect();
    let cluster = offering(&named.iter().map(String::as_str).collect::<Vec<_>>());
    let asked = hosts.iter().map(|host| ask(host, port)).chain([ask("127.0.0.9", loopback.port())]);
    let script = asked.collect::<Vec<_>>().join("; ");
    let log = printed(&cluster, &cluster.submit(&["--network", &named.join(",")], &script));
    assert_eq!(log, "PING\n".repeat(named.len()), "{script}");
}

#[test]
fn what_no_agent_offers_waits_and_says_so() {
    let gateway = Server::start();
    let mut cluster = offering(&[&gateway.named()]);
    let sweep = cluster.submit(&["--network", "127.0.0.1:4009"], "true");
    let told = wait_until("it says what is missing", || {
        let told = cluster.ok(&["explain", &sweep]);
        told.contains("127.0.0.1:4009").then_some(told)
    });
    assert!(
        told.contains(
            "offers jobs no network address 127.0.0.1:4009 (btctl agent --allow-address 127.0.0.1:4009)"
        ),
        "{told}"
    );
    assert_eq!(cluster.count(&sweep, "queued"), 1);
    cluster.add_agent_with("second", &flags(&["--allow-address", "127.0.0.1:4009"]));
    cluster.wait_count(&sweep, "succeeded", 1);
}

#[test]
fn an_agent_that_offers_nothing_refuses_even_if_it_is_told() {
    let gateway = Server::start();
    let cluster = Cluster::with(Options { agent: flags(&[]), ..Options::default() });
    let sweep = cluster.submit(&["--network", &gateway.named()], &ask("127.0.0.1", gateway.port()));
    // A coordinator that has been taken over sends the job all the same.
    cluster.database.query("update sweeps set labels = '{}'");
    let told = wait_until("the agent refuses", || {
        let told = cluster.ok(&["show", &sweep]);
        told.contains("--allow-address").then_some(told)
    });
    assert!(told.contains(&format!("offers jobs no network address {}", gateway.named())), "{told}");
    assert_eq!(cluster.count(&sweep, "queued"), 1);
    assert_eq!(
        cluster.database.query("select failures, losses from jobs"),
        ["0|0"],
        "it costs the job nothing"
    );
    assert_eq!(gateway.most.load(Ordering::SeqCst), 0);
}

#[test]
fn two_jobs_with_a_limit_are_never_at_the_gateway_together() {
    let gateway = Server::start();
    let cluster = offering(&[&gateway.named()]);
    cluster.ok(&["limits", "set", "gateway", "1"]);
    let script = format!("(sleep 0.4; echo bye) | nc -w 5 127.0.0.1 {}", gateway.port());
    let flags = ["--network", &gateway.named(), "--limit", "gateway", "--matrix", "n=1:3"];
    let sweeps = [cluster.submit(&flags, &script), cluster.submit(&flags, &script)];
    for sweep in &sweeps {
        printed(&cluster, sweep);
    }
    assert_eq!(gateway.most.load(Ordering::SeqCst), 1, "one at a time");
}

#[test]
fn containers_of_every_kind_reach_it() {
    let gateway = Server::start();
    let cluster = offering(&[&gateway.named()]);
    let network = gateway.named();
    let ask = ask("127.0.0.1", gateway.port());
    let reused = ["--network", &network, "--containers", "reuse", "--matrix", "n=1:3", "--max-parallel", "1"];
    assert_eq!(printed(&cluster, &cluster.submit(&reused, &ask)).matches("PING").count(), 3);
    let batch = ["--network", &network, "--batch", "3", "--matrix", "n=1:3"];
    let points =
        "{ read -r _; while read -r point n; do ASK; echo \"$point $?\" >> $BT_STATUS; done; } < $BT_POINTS";
    let script = points.replace("ASK", &ask);
    let sweep = cluster.submit(&batch, &script);
    assert!(printed(&cluster, &sweep).contains("PING"));
    // The words of the image's own entrypoint go on behind the gate.
    let entrypoint = cluster.json(&[
        "submit",
        "--image",
        "btctl-test-entrypoint:1",
        "-m",
        "64m",
        "--network",
        &network,
        "--",
        "a",
        "b c",
    ]);
    printed(&cluster, entrypoint["id"].as_str().unwrap());
    // A shell is not a job: it takes no part in the limits that keep two of them apart.
    let mut shell = Command::new(btctl_path());
    shell.args(["debug", &sweep]).env("BTCTL_COORDINATOR", cluster.address()).current_dir(cluster.dir());
    let mut shell =
        shell.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    writeln!(shell.stdin.take().unwrap(), "{ask} || echo none").unwrap();
    let shell = shell.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&shell.stderr).into_owned();
    assert_eq!(shell.stdout, b"none\n", "{told}");
    assert!(told.contains("the shell reaches none of the addresses"), "{told}");
}

#[test]
fn an_address_that_does_not_answer_resets_the_connection() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let address = format!("127.0.0.1:{port}");
    let cluster = offering(&[&address]);
    let sweep = cluster
        .submit(&["--network", &address], &format!("{} && echo answered; true", ask("127.0.0.1", port)));
    let log = printed(&cluster, &sweep);
    assert!(!log.contains("PING"), "{log}");
    let told = cluster.ok(&["show", &format!("{sweep}/0")]);
    assert!(told.contains(&format!("the agent could not reach {address} for the job")), "{told}");
}

#[test]
fn a_program_starts_when_the_address_can_be_reached_and_not_before() {
    let gateway = Server::start();
    let cluster = offering(&[&gateway.named()]);
    // Its first act, many times: not one comes too early.
    let flags = ["--network", &gateway.named(), "--matrix", "n=1:20", "--cpus", "0.1"];
    let sweep = cluster.submit(&flags, &format!("exec nc -w 5 127.0.0.1 {} < /proc/uptime", gateway.port()));
    cluster.wait_ended(&sweep);
    assert_eq!(cluster.count(&sweep, "succeeded"), 20, "{}", cluster.ok(&["jobs", &sweep]));
}

/// An image without a shell, gone when it is dropped.
struct Bare(&'static str);

impl Drop for Bare {
    fn drop(&mut self) {
        docker(&["rmi", "-f", self.0]);
    }
}

#[test]
fn an_image_without_a_shell_is_told_what_it_lacks() {
    let gateway = Server::start();
    let cluster = offering(&[&gateway.named()]);
    let bare = Bare("btctl-test-bare:1");
    let container = docker(&["create", "btctl-test:1"]);
    let make = format!("docker export {container} | tar --delete bin/sh | docker import - {}", bare.0);
    let made = Command::new("sh").args(["-c", &make]).output().unwrap();
    docker(&["rm", &container]);
    assert!(made.status.success(), "{made:?}");
    let flags = ["submit", "--image", bare.0, "-m", "64m", "--retries", "0", "--network", &gateway.named()];
    let sweep = cluster.json(&[&flags[..], &["--", "/bin/nc", "127.0.0.1", "1"]].concat());
    let sweep = sweep["id"].as_str().unwrap();
    cluster.wait_ended(sweep);
    let told = cluster.ok(&["show", &format!("{sweep}/0")]);
    assert!(told.contains("`network.allow` needs the program /bin/sh in the image"), "{told}");
}

#[test]
fn a_job_is_tried_here_with_an_address_by_a_flag_alone() {
    let gateway = Server::start();
    let place = Cluster::without_agent(Options::default());
    let run = |flags: &[&str]| {
        let first = ["run", "--local", "--image", "btctl-test:1", "-m", "64m", "--network", &gateway.named()]
            .map(str::to_owned);
        let ask = ask("127.0.0.1", gateway.port());
        let words: Vec<_> = first
            .iter()
            .map(String::as_str)
            .chain(flags.iter().copied())
            .chain(["--", "sh", "-c", &ask])
            .collect();
        place.run(&words)
    };
    let refused = run(&[]);
    assert!(
        refused.code != 0 && refused.stderr.contains(&format!("--allow-address {}", gateway.named())),
        "{refused:?}"
    );
    let ran = run(&["--allow-address", &gateway.named()]);
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "PING\n"), "{ran:?}");
}

#[test]
fn bad_addresses_are_refused_before_anything_is_queued() {
    let cluster = Cluster::without_agent(Options::default());
    for (address, words) in [
        ("127.0.0.1", "has no port"),
        ("127.0.0.1:0", "no port from 1 to 65535"),
        ("127.0.0.1:70000", "no port from 1 to 65535"),
        ("*:4001", "more than one place"),
        ("http://127.0.0.1:4001", "is a URL"),
        ("a:1,a:1", "twice"),
        ("[::1]:4001", "IPv6"),
    ] {
        let refused = cluster.run(&["submit", "--image", "x", "--network", address, "--", "x"]);
        assert!(refused.code == 2 && refused.stderr.contains(words), "{address}: {refused:?}");
        // An agent that is told the same twice offers it.
        if words != "twice" {
            let agent = agent(cluster.dir(), &["--allow-address", address]);
            let told = String::from_utf8_lossy(&agent.stderr).into_owned();
            assert!(!agent.status.success() && told.contains(words), "{address}: {told}");
        }
    }
    let label = agent(cluster.dir(), &["--label", "network:127.0.0.1:1=offered"]);
    assert!(String::from_utf8_lossy(&label.stderr).contains("--allow-address sets them"), "{label:?}");
    assert_eq!(cluster.json(&["ls"]), serde_json::json!([]));
}

#[test]
fn an_agent_without_the_right_says_so_when_it_starts() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let agent = Command::new("setpriv")
        .args(["--bounding-set", "-sys_admin", "--inh-caps", "-all", "--"])
        .arg(btctl_path())
        .args([
            "agent",
            "--name",
            "x",
            "--coordinator",
            "http://127.0.0.1:1",
            "--allow-address",
            "127.0.0.1:4001",
        ])
        .arg("--state-dir")
        .arg(dir.path().join("state"))
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&agent.stderr).into_owned();
    let words = ["127.0.0.1:4001 (--allow-address)", "lacks CAP_SYS_ADMIN", "run the agent as root"];
    assert!(!agent.status.success() && words.iter().all(|word| told.contains(word)), "{told}");
}

fn agent(dir: &Path, flags: &[&str]) -> std::process::Output {
    let mut command = Command::new(btctl_path());
    command.args(["agent", "--name", "x", "--coordinator", "http://127.0.0.1:1"]).args(flags);
    command.arg("--state-dir").arg(dir.join("x")).output().unwrap()
}

/// Says what the relay carries, beside the machine's own loopback.
#[test]
fn much_goes_through() {
    let gateway = Server::start();
    let cluster = offering(&[&gateway.named()]);
    let bytes = 64_u64 << 20;
    let script = format!("head -c {bytes} /dev/zero | nc -w 5 127.0.0.1 {} | wc -c", gateway.port());
    let direct = {
        let began = Instant::now();
        let connection = TcpStream::connect(gateway.address).unwrap();
        let mut sending = connection.try_clone().unwrap();
        let sender = thread::spawn(move || {
            let piece = vec![0; 64 << 10];
            (0..bytes / piece.len() as u64).for_each(|_| sending.write_all(&piece).unwrap());
            sending.shutdown(Shutdown::Write).unwrap();
        });
        let received = std::io::copy(&mut &connection, &mut std::io::sink()).unwrap();
        sender.join().unwrap();
        assert_eq!(received, bytes);
        began.elapsed()
    };
    let sweep = cluster.submit(&["--network", &gateway.named(), "--cpus", "1"], &script);
    wait_until("the job is connected", || (gateway.open.load(Ordering::SeqCst) == 1).then_some(()));
    let began = Instant::now();
    wait_until("all is through", || (gateway.open.load(Ordering::SeqCst) == 0).then_some(()));
    let relayed = began.elapsed();
    assert_eq!(printed(&cluster, &sweep).trim(), bytes.to_string());
    let rate = |time: Duration| bytes as f64 / f64::from(1 << 20) / time.as_secs_f64();
    eprintln!(
        "there and back: {:.0} MiB/s through the relay, {:.0} MiB/s without it",
        rate(relayed),
        rate(direct)
    );
}
