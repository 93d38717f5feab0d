//! The driver: starts a cluster, loads it, breaks it, and brings it to rest.

mod faults;
mod load;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use faults::{Ailment, KINDS, Kind};
use serde_json::Value;
use tempfile::TempDir;

use super::Seen;
use super::peers::Peers;
use super::random::Random;
use crate::agent_journal::agent_notes;
use crate::postgres::PostgresServer;
use crate::process::{Finished, Process, btctl_path, free_port, isolate, run_client};
use crate::proxy::Proxy;
use crate::wait_until;

/// How long a lease holds, in milliseconds: an agent that hears nothing from one coordinator for two seconds asks another,
/// and on a loaded machine that takes its time.
const LEASE: u64 = 6_000;
/// Simulated agents in one process.
const IN_PROCESS: u32 = 3;
/// Cpus of each agent.
pub(super) const CPUS: u64 = 4;
/// How long things break, and how long nothing does before what is late has no excuse.
const STORM: Duration = Duration::from_secs(15);
const CALM: Duration = Duration::from_secs(10);
/// A history of this length puts everything at stake.
const LONG: Duration = Duration::from_secs(60);
/// How long the cluster may take to come to rest.
const REST: Duration = Duration::from_secs(180);

/// What is to happen.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub seed: u64,
    pub length: Duration,
    pub coordinators: usize,
    /// Processes of simulated agents.
    pub machines: usize,
}

/// A process of agents, and the line that it has to the coordinators.
struct Machine {
    name: String,
    process: Option<Process>,
    proxy: Proxy,
    /// When it will be well again, and since when it is not.
    recovers: Option<(Instant, u64, Ailment)>,
    copy: Option<Copied>,
}

/// Agents on a copy of a machine's state directory.
struct Copied {
    process: Process,
    ends: Instant,
    since: u64,
}

/// A cluster under load and faults.
pub struct Driver {
    plan: Plan,
    random: Random,
    coordinators: Vec<(SocketAddr, Option<Process>)>,
    machines: Vec<Machine>,
    pub postgres: PostgresServer,
    pub seen: Seen,
    sweeps: Vec<String>,
    /// Faults that are still to be done once.
    due: Vec<Kind>,
    peers: Peers,
    dir: TempDir,
}

impl Driver {
    pub fn start(plan: Plan) -> Self {
        let dir = tempfile::tempdir().expect("make a directory");
        let postgres = PostgresServer::start();
        let mut this = Self {
            random: Random(plan.seed),
            coordinators: (0..plan.coordinators).map(|_| (free_address(), None)).collect(),
            machines: Vec::new(),
            seen: Seen { is_long: plan.length >= LONG, ..Seen::default() },
            sweeps: Vec::new(),
            due: KINDS.to_vec(),
            peers: Peers::new(),
            plan,
            postgres,
            dir,
        };
        for number in 0..plan.coordinators {
            this.start_coordinator(number);
        }
        wait_until("the coordinators answer", || (this.btctl(&["ls"]).code == 0).then_some(()));
        let lowest = this.btctl(&["limits", "set", "shared", "5"]);
        assert_eq!(lowest.code, 0, "{lowest:?}");
        let addresses: Vec<_> = this.coordinators.iter().map(|(address, _)| *address).collect();
        for number in 0..plan.machines {
            let proxy = Proxy::start(addresses.clone());
            this.machines.push(Machine {
                name: format!("m{number}"),
                process: None,
                proxy,
                recovers: None,
                copy: None,
            });
            this.start_machine(number);
        }
        this
    }

    pub fn store(&self) -> PathBuf {
        self.dir.path().join("store")
    }

    /// What the simulated engines of the machines and of their copies ran.
    pub fn run_logs(&self) -> [PathBuf; 2] {
        ["runs.log", "runs-of-copies.log"].map(|name| self.dir.path().join(name))
    }

    /// Loads and breaks the cluster for the plan's time, with a calm now and then.
    pub fn run(&mut self) {
        let began = Instant::now();
        while began.elapsed() < self.plan.length || !self.due.is_empty() {
            let storm = Instant::now();
            while storm.elapsed() < STORM.min(self.plan.length) {
                self.load();
                self.break_something();
                self.heal(false);
                std::thread::park_timeout(Duration::from_millis(20 + self.random.below(120)));
            }
            self.calm();
        }
    }

    /// Nothing breaks for a while: what is late now has no excuse. Long jobs are cancelled while they run.
    fn calm(&mut self) {
        self.heal(true);
        std::thread::park_timeout(CALM);
        let number = self.sweeps.len();
        let (key, name) = (format!("key-{number}"), format!("s{number}"));
        let args =
            ["submit", "--image", "x", "--name", &name, "--idempotency-key", &key, "--priority", "100"];
        let more = [
            "--matrix",
            "n=1:3",
            "-e",
            "BT_SIM_MS=60000",
            "-m",
            "64m",
            "--cpus",
            "0.5",
            "-o",
            "json",
            "--",
            "x",
        ];
        let submitted = self.btctl(&[&args[..], &more[..]].concat());
        let answer: Value = serde_json::from_str(&submitted.stdout).unwrap_or_default();
        let sweep = answer["id"].as_str().unwrap_or_default().to_owned();
        self.seen.submits.push((key, sweep.clone(), 3));
        self.sweeps.push(sweep.clone());
        let running =
            format!("select count(*) from attempts where sweep_id = '{sweep}' and state = 'running'");
        wait_until("the long jobs run", || (self.postgres.query(&running).ok()? == ["3"]).then_some(()));
        let cancelled = self.btctl(&["cancel", &sweep]);
        assert_eq!(cancelled.code, 0, "{cancelled:?}");
        std::thread::park_timeout(CALM / 2);
    }

    /// Ends all faults and waits until every job is finished and every agent has released all it held.
    pub fn come_to_rest(&mut self) {
        self.heal(true);
        for sweep in self.sweeps.clone() {
            self.btctl(&["resume", &sweep]);
        }
        let began = Instant::now();
        let open = "select count(*) from jobs j join sweeps s on s.id = j.sweep_id
            where j.state in ('queued', 'running')";
        let unwritten = "select count(*) from results where not written";
        loop {
            let left = self.postgres.query(open).unwrap_or_default();
            let behind = self.postgres.query(unwritten).unwrap_or_default();
            if left == ["0"] && behind == ["0"] && self.nothing_is_held() {
                return;
            }
            assert!(
                began.elapsed() < REST,
                "seed {}: not at rest after {REST:?}: {left:?} jobs are open, {behind:?} results unwritten\n{}",
                self.plan.seed,
                self.stuck()
            );
            self.heal(true);
            // A sweep may have been paused by its canary meanwhile.
            for sweep in self.sweeps.clone() {
                self.btctl(&["resume", &sweep]);
            }
            std::thread::park_timeout(Duration::from_millis(200));
        }
    }

    fn nothing_is_held(&self) -> bool {
        let of = |machine: &str, number: u32| self.dir.path().join(machine).join(number.to_string());
        self.machines.iter().all(|machine| {
            (1..=IN_PROCESS).all(|number| {
                let state = of(&machine.name, number);
                let dirs = std::fs::read_dir(state.join("attempts"));
                dirs.map_or(true, |mut dirs| dirs.next().is_none()) && agent_notes(&state).is_empty()
            })
        })
    }

    fn stuck(&self) -> String {
        let sql =
            "select s.name, s.paused_at is not null, s.pause_reason, s.cancelled_at is not null, s.ended_at,
                j.number, j.state, j.attempts, j.ready_at - now(), a.state, a.lease_expires_at - now()
            from jobs j join sweeps s on s.id = j.sweep_id
            left join attempts a on a.sweep_id = j.sweep_id and a.job = j.number and a.number = j.attempts
            where j.state in ('queued', 'running') limit 20";
        self.postgres.query(sql).map_or_else(|error| error, |rows| rows.join("\n"))
    }

    fn start_coordinator(&mut self, number: usize) {
        let mut command = Command::new(btctl_path());
        command
            .arg("coordinator")
            .args(["--listen", &self.coordinators[number].0.to_string()])
            .args(["--lease", &format!("{LEASE}ms"), "--heartbeat", "500ms", "--log", "warn"])
            .arg("--store")
            .arg(self.store())
            .env("BTCTL_DATABASE_URL", self.postgres.url());
        isolate(&mut command, self.dir.path());
        let process = Process::start(&format!("coordinator{number}"), self.dir.path(), &mut command);
        self.coordinators[number].1 = Some(process);
    }

    fn start_machine(&mut self, number: usize) {
        let state = self.dir.path().join(&self.machines[number].name);
        let [log, _] = self.run_logs();
        self.machines[number].process = Some(self.start_agents(number, &state, &log));
    }

    /// Agents of a machine, on its state directory or on a copy of it.
    fn start_agents(&self, number: usize, state: &Path, log: &Path) -> Process {
        let machine = &self.machines[number];
        let [count, cpus] = [IN_PROCESS.to_string(), CPUS.to_string()];
        let coordinator = format!("http://{}", machine.proxy.address());
        let mut command = Command::new(btctl_path());
        command
            .args(["agent", "--engine", "simulated", "--name", &machine.name, "--count", &count])
            .args(["--coordinator", &coordinator, "--cpus", &cpus, "--memory", "64GiB", "--disk", "64GiB"])
            .args(["--log", "warn", "--state-dir"])
            .arg(state)
            .env("BTCTL_SIM_LOG", log);
        isolate(&mut command, self.dir.path());
        let name = state.file_name().map(|name| name.to_string_lossy().into_owned());
        Process::start(&name.unwrap_or_default(), self.dir.path(), &mut command)
    }

    /// Runs a client's command; it asks any of the coordinators.
    fn btctl(&self, args: &[&str]) -> Finished {
        let addresses: Vec<_> = self.coordinators.iter().map(|(address, _)| address.to_string()).collect();
        run_client(&addresses.join(","), self.dir.path(), args)
    }
}

fn free_address() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], free_port()))
}
