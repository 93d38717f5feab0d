//! What Prometheus reads of coordinators and agents: clean, true, there while Postgres is away; and the alerts.

use std::io::Write;
use std::process::{Command, Stdio};

use bt_tests::{
    Cluster, Options, PostgresServer, Process, Prometheus, btctl_path, deploy, free_port, promtool,
    wait_until,
};

/// What a server says at /metrics.
#[track_caller]
fn scrape(address: &str) -> String {
    let output = Command::new("curl")
        .args(["-s", "--fail", "--max-time", "20", &format!("{address}/metrics")])
        .output()
        .expect("curl is installed");
    assert!(output.status.success(), "{address}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The value of a series, written as Prometheus writes it.
fn value(text: &str, series: &str) -> Option<f64> {
    let of = |line: &str| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok();
    text.lines().find_map(of)
}

#[track_caller]
fn check(text: &str) {
    let mut child = promtool()
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && told.is_empty(), "{told}");
}

/// A cluster whose agent serves its metrics, and at which address.
fn cluster(mut options: Options) -> (Cluster, String) {
    let address = format!("127.0.0.1:{}", free_port());
    options.agent.extend(["--metrics-address".to_owned(), address.clone()]);
    (Cluster::with(options), address)
}

fn coordinator(cluster: &Cluster) -> String {
    cluster.address().trim_start_matches("http://").to_owned()
}

#[test]
fn a_real_prometheus_reads_what_real_jobs_did() {
    let (cluster, agent) = cluster(Options::default());
    let good = cluster.submit(&["--matrix", "n=1:3"], "echo hello > /results/out.txt");
    cluster.wait_ended(&good);
    let bad = cluster.submit(&["--retries", "0"], "exit 17");
    cluster.wait_ended(&bad);
    let waiting = cluster.submit_waiting(&["--matrix", "n=1:20", "--max-parallel", "2"], "true");
    cluster.wait_count(&waiting, "running", 2);
    let prometheus = Prometheus::start(&coordinator(&cluster), &agent);
    for (query, expected) in [
        ("btctl_attempts_ended_total{outcome=\"succeeded\"}", 3.0),
        ("btctl_attempts_ended_total{outcome=\"failed\",reason=\"exit\"}", 1.0),
        ("sum(btctl_attempts_ended_total)", 4.0),
        ("btctl_jobs_claimed_total", 6.0),
        ("btctl_job_wait_seconds_count", 6.0),
        ("sum(btctl_job_run_seconds_count) > bool 0", 1.0),
        ("btctl_published_files_total", 3.0),
        ("btctl_published_bytes_total", 18.0),
        ("btctl_jobs{state=\"running\"}", 2.0),
        ("btctl_jobs{state=\"queued\"}", 18.0),
        ("btctl_agents{state=\"ready\"}", 1.0),
        ("btctl_capacity_cpus{use=\"offered\"}", 2.0),
        ("btctl_capacity_cpus{use=\"used\"}", 0.5),
        ("btctl_postgres_up", 1.0),
        ("btctl_agent_connected", 1.0),
        ("btctl_agent_attempts", 2.0),
        // Containers that look into the image are among them.
        ("btctl_engine_calls_total{operation=\"start\",outcome=\"ok\"} >= bool 6", 1.0),
        ("btctl_engine_calls_total{operation=\"wait\",outcome=\"ok\"} >= bool 4", 1.0),
        ("btctl_grpc_requests_total{method=\"btctl.v1.Sweeps/Submit\",code=\"ok\"}", 3.0),
        ("count(count by (version) (btctl_build_info))", 1.0),
    ] {
        prometheus.wait_value(query, expected);
    }
    // Each alert is known there, and none fires.
    prometheus.wait_value("count(ALERTS{alertstate=\"firing\"}) or vector(0)", 0.0);
    for address in [coordinator(&cluster), agent] {
        check(&scrape(&address));
    }
    cluster.open_gate();
    cluster.wait_ended(&waiting);
    prometheus.wait_value("btctl_attempts_ended_total{outcome=\"succeeded\"}", 23.0);
    prometheus.wait_value("btctl_agent_attempts", 0.0);
    prometheus.wait_value("btctl_jobs{state=\"running\"}", 0.0);
}

#[test]
fn callers_make_no_series() {
    let (cluster, _) = cluster(Options::simulated(&[]));
    let address = cluster.address();
    let ask = |path: &str, flags: &[&str]| {
        let mut command = Command::new("curl");
        command
            .args(["-s", "-o", "/dev/null", "--max-time", "20"])
            .args(flags)
            .arg(format!("{address}{path}"));
        assert!(command.status().unwrap().success(), "{path}");
    };
    for n in 0..20 {
        ask(&format!("/nothing/{n}"), &[]);
        ask(&format!("/api/sweeps/nosuch{n}"), &[]);
        let grpc = ["--http2-prior-knowledge", "-X", "POST", "-H", "content-type: application/grpc"];
        ask(&format!("/btctl.v1.Sweeps/Nothing{n}"), &grpc);
    }
    let text = scrape(&address);
    assert_eq!(value(&text, "btctl_http_requests_total{route=\"other\",code=\"404\"}"), Some(20.0));
    assert_eq!(
        value(&text, "btctl_http_requests_total{route=\"/api/sweeps/{sweep}\",code=\"404\"}"),
        Some(20.0)
    );
    assert_eq!(
        value(&text, "btctl_grpc_requests_total{method=\"other\",code=\"unimplemented\"}"),
        Some(20.0)
    );
    assert!(!text.contains("nosuch") && !text.contains("Nothing"), "{text}");
}

#[test]
fn metrics_are_there_while_postgres_is_away() {
    let mut server = PostgresServer::start();
    let dir = tempfile::tempdir().unwrap();
    let port = free_port();
    let mut command = Command::new(btctl_path());
    command
        .args(["coordinator", "--listen", &format!("127.0.0.1:{port}"), "--store"])
        .arg(dir.path().join("store"))
        .env("BTCTL_DATABASE_URL", server.url());
    let _coordinator = Process::start("coordinator", dir.path(), &mut command);
    let address = format!("http://127.0.0.1:{port}");
    let up = |expected: f64| {
        wait_until(&format!("btctl_postgres_up is {expected}"), || {
            let output =
                Command::new("curl").args(["-s", "--max-time", "20", &format!("{address}/metrics")]).output();
            let text = String::from_utf8(output.unwrap().stdout).unwrap();
            (value(&text, "btctl_postgres_up") == Some(expected)).then_some(text)
        })
    };
    up(1.0);
    server.kill();
    let text = up(0.0);
    let jobs = value(&text, "btctl_jobs{state=\"queued\"}").unwrap();
    assert!(jobs.is_nan(), "what is not known is told: {jobs}");
    check(&text);
    server.start_again();
    up(1.0);
}

#[test]
fn the_configuration_and_the_alerts_for_prometheus_are_right() {
    let dir = deploy().join("prometheus");
    for args in [
        ["check", "config", "prometheus.yml"],
        ["check", "rules", "alerts.yml"],
        ["test", "rules", "alerts_test.yml"],
    ] {
        let output = promtool().args(args).current_dir(&dir).output().unwrap();
        assert!(output.status.success(), "promtool {args:?}: {output:?}");
    }
    let alerts = std::fs::read_to_string(dir.join("alerts.yml")).unwrap();
    let tests = std::fs::read_to_string(dir.join("alerts_test.yml")).unwrap();
    for name in alerts.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")) {
        let named = tests.lines().filter(|line| line.trim() == format!("alertname: {name}"));
        assert!(
            named.count() >= 2,
            "alerts_test.yml has no case of {name} that fires, or none that does not"
        );
    }
}

/// How many sockets a process listens on.
fn listening(pid: u32) -> usize {
    let links = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
    let links: Vec<_> = links.filter_map(|link| std::fs::read_link(link.path()).ok()).collect();
    let sockets =
        ["tcp", "tcp6"].map(|kind| std::fs::read_to_string(format!("/proc/{pid}/net/{kind}")).unwrap());
    let is_own = |line: &&str| {
        let columns: Vec<_> = line.split_whitespace().collect();
        columns[3] == "0A"
            && links.iter().any(|link| link.to_str() == Some(&format!("socket:[{}]", columns[9])))
    };
    sockets.iter().flat_map(|text| text.lines().skip(1)).filter(is_own).count()
}

#[test]
fn an_agent_listens_only_if_it_is_told() {
    let mut cluster = Cluster::with(Options::simulated(&[]));
    assert_eq!(listening(cluster.agent().pid()), 0);
    assert_eq!(listening(cluster.coordinator().pid()), 1);
    let taken = coordinator(&cluster);
    let flags = ["--engine", "simulated", "--metrics-address", &taken].map(str::to_owned);
    cluster.add_agent_unseen("second", &flags);
    assert_eq!(cluster.agent().wait(), 1);
    let log = cluster.agent().log();
    assert!(log.contains(&format!("--metrics-address {taken} can't be listened on")), "{log}");
}
