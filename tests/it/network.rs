//! A cluster of three machines on a network, with TLS and tokens, through what happens to one in its life: while a sweep runs,
//! a line is cut, certificates change, a coordinator dies, and agents are drained and revoked.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use bt_tests::{Database, Finished, Network, Process, free_port, wait_until};
use serde_json::Value;
use tempfile::TempDir;

const JOBS: u64 = 60;
const SECRET: &str = "xylophone-and-zither-7";

/// Writes what its user alone may read.
fn write_private(path: &str, text: &str) {
    let mut options = OpenOptions::new();
    let file = options.write(true).create(true).truncate(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes())).unwrap();
}

struct Firm {
    network: Network,
    database: Database,
    dir: TempDir,
    ports: [u16; 2],
    pin: String,
}

impl Firm {
    fn new() -> Self {
        let mut firm = Self {
            network: Network::new(3),
            database: Database::new(),
            dir: tempfile::tempdir().unwrap(),
            ports: [free_port(), free_port()],
            pin: String::new(),
        };
        firm.pin = firm.certify();
        firm
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    /// Makes the coordinators' certificate, or another one.
    fn certify(&self) -> String {
        let tls = self.path("tls");
        let names: Vec<_> = (0..3).map(|number| self.network.hub_address(number)).collect();
        let mut args = vec!["coordinator", "init", "--tls-dir", &tls, "-o", "json"];
        names.iter().for_each(|name| args.extend(["--name", name]));
        let made = self.network.run(self.dir.path(), &args, &[]);
        let made: Value = serde_json::from_str(&made.stdout).unwrap_or_else(|_| panic!("{made:?}"));
        made["pin"].as_str().unwrap().to_owned()
    }

    /// Another key for secrets; the one before is kept behind it.
    fn change_key(&self) {
        std::fs::rename(self.path("secrets.key"), self.path("secrets.old")).ok();
        let key = [uuid::Uuid::new_v4(), uuid::Uuid::new_v4()].map(|half| half.simple().to_string()).concat();
        write_private(&self.path("secrets.key"), &key);
    }

    fn coordinator(&self, number: usize) -> Process {
        let listen = format!("0.0.0.0:{}", self.ports[number]);
        let (store, tls, token) = (self.path("store"), self.path("tls"), self.path("admin.token"));
        let (key, old) = (self.path("secrets.key"), self.path("secrets.old"));
        let args = [
            "coordinator",
            "--listen",
            &listen,
            "--store",
            &store,
            "--tls-dir",
            &tls,
            "--auth",
            "tokens",
            "--admin-token-file",
            &token,
            "--lease",
            "6s",
            "--heartbeat",
            "500ms",
            // Longer than a line is cut for: whoever is away for longer joins again by a token.
            "--agent-cert-ttl",
            "60s",
            "--secrets-key-file",
            &key,
            "--secrets-old-key-file",
            &old,
        ];
        let env = [("BTCTL_DATABASE_URL", &*self.database.url())];
        let process = self.network.start(&format!("coordinator{number}"), None, self.dir.path(), &args, &env);
        wait_until("the coordinator listens", || process.log().contains("listening on").then_some(()));
        process
    }

    fn run(&self, args: &[&str]) -> Finished {
        let [first, second] = self.ports;
        let addresses = format!("https://127.0.0.1:{first},https://127.0.0.1:{second}");
        let token = self.path("admin.token");
        let env =
            [("BTCTL_COORDINATOR", &*addresses), ("BTCTL_CA_PIN", &*self.pin), ("BTCTL_TOKEN_FILE", &*token)];
        self.network.run(self.dir.path(), args, &env)
    }

    #[track_caller]
    fn json(&self, args: &[&str]) -> Value {
        let flags = args.iter().position(|arg| *arg == "--").unwrap_or(args.len());
        let told = self.run(&[&args[..flags], &["-o", "json"], &args[flags..]].concat());
        serde_json::from_str(&told.stdout).unwrap_or_else(|_| panic!("{args:?}: {told:?}"))
    }

    fn agent(&self, number: usize, token: &Path) -> Process {
        let hub = self.network.hub_address(number);
        let join = format!("{hub}:{},{hub}:{}", self.ports[0], self.ports[1]);
        let (name, state) = (format!("node{number}"), self.path(&format!("node{number}")));
        let token = token.display().to_string();
        let args = [
            "agent",
            "--join",
            &join,
            "--ca-pin",
            &self.pin,
            "--token-file",
            &token,
            "--name",
            &name,
            "--state-dir",
            &state,
            "--cpus",
            "2",
            "--max-jobs",
            "2",
            "--memory",
            "1GiB",
            "--drain-timeout",
            "60s",
        ];
        self.network.start(&name, Some(number), self.dir.path(), &args, &[])
    }

    fn ready(&self) -> u64 {
        let agents = self.json(&["agents", "ls"]);
        agents.as_array().unwrap().iter().filter(|agent| agent["state"] == "ready").count() as u64
    }

    fn count(&self, sweep: &str, state: &str) -> u64 {
        self.json(&["show", sweep])["counts"][state].as_u64().unwrap_or(0)
    }

    fn wait_succeeded(&self, sweep: &str, jobs: u64) {
        wait_until(&format!("{jobs} jobs have succeeded"), || {
            (self.count(sweep, "succeeded") >= jobs).then_some(())
        });
    }
}

#[test]
fn three_machines_lose_nothing_whatever_happens_to_them() {
    let firm = Firm::new();
    firm.change_key();
    let mut first = firm.coordinator(0);
    let _second = firm.coordinator(1);
    let made = firm.run(&["token", "create", "pool", "--role", "agent", "--uses", "3", "--ttl", "1h"]);
    assert_eq!(made.code, 0, "{made:?}");
    let token = firm.dir.path().join("join.token");
    std::fs::write(&token, &made.stdout).unwrap();
    let agents: Vec<_> = (0..3).map(|number| firm.agent(number, &token)).collect();
    wait_until("all three have joined", || (firm.ready() == 3).then_some(()));
    // Nobody comes with it any more.
    std::fs::remove_file(&token).unwrap();

    write_private(&firm.path("value"), SECRET);
    let told = firm.run(&["secrets", "set", "BROKER_KEY", "--file", &firm.path("value")]);
    assert_eq!(told.code, 0, "{told:?}");

    let matrix = format!("n=1:{JOBS}");
    let flags = [
        "submit",
        "--image",
        "btctl-test:1",
        "-m",
        "64m",
        "--cpus",
        "0.5",
        "--retries",
        "5",
        "--secret",
        "BROKER_KEY",
    ];
    let script =
        format!("sleep 1; grep -qx {SECRET} /run/secrets/BROKER_KEY && echo $BT_PARAM_N > /results/n");
    let command = ["--", "sh", "-c", &script];
    let submitted = firm.json(&[&flags[..], &["--matrix", &matrix], &command].concat());
    let sweep = submitted["id"].as_str().unwrap();
    firm.wait_succeeded(sweep, 5);

    firm.network.cut(0);
    wait_until("the node that is cut off is missed", || (firm.ready() == 2).then_some(()));
    // Another certificate and another key for secrets, while jobs run.
    assert_eq!(firm.certify(), firm.pin);
    firm.change_key();
    let told = firm.run(&["secrets", "rotate"]);
    assert_eq!(told.code, 0, "{told:?}");
    firm.wait_succeeded(sweep, 15);
    firm.network.mend(0);
    wait_until("it is back", || (firm.ready() == 3).then_some(()));

    first.kill();
    firm.wait_succeeded(sweep, 25);
    let told = firm.run(&["agents", "drain", "node1"]);
    assert_eq!(told.code, 0, "{told:?}");
    let _again = firm.coordinator(0);
    let told = firm.run(&["agents", "revoke", "node2"]);
    assert_eq!(told.code, 0, "{told:?}");
    wait_until("the one that was revoked is told so", || agents[2].log().contains("revoked").then_some(()));
    let told = firm.run(&["agents", "undrain", "node1"]);
    assert_eq!(told.code, 0, "{told:?}");
    firm.wait_succeeded(sweep, JOBS);

    // Each job has one result, whole, and what it says.
    let published = firm.database.query(&format!(
        "select count(*), count(distinct job) from attempts where sweep_id = '{sweep}' and state = 'succeeded'"
    ));
    assert_eq!(published, [format!("{JOBS}|{JOBS}")]);
    let told = firm.run(&["results", "verify", sweep]);
    assert_eq!(told.code, 0, "{told:?}");
    let all = firm.path("results");
    let told = firm.run(&["results", "get", sweep, "-d", &all]);
    assert_eq!(told.code, 0, "{told:?}");
    let audit = firm.json(&["audit", "--verify"]);
    assert_eq!(audit["sound"], true, "{audit}");
}
