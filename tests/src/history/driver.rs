//! The driver: starts a cluster, loads it, breaks it, and brings it to rest.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use super::peers::Peers;
use super::random::Random;
use super::{Seen, now};
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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ailment {
    Killed,
    Stopped,
    Cut,
}

/// What can be broken, in the order in which each is done at least once.
const KINDS: [Kind; 12] = [
    Kind::Ail(Ailment::Killed),
    Kind::FreezeCoordinator,
    Kind::SilentClients,
    Kind::Ail(Ailment::Stopped),
    Kind::FreezeBackend,
    Kind::KillCoordinator,
    Kind::ReadOnly,
    Kind::Copy,
    Kind::Ail(Ailment::Cut),
    Kind::StoppedReaders,
    Kind::CutConnections,
    Kind::KillPostgres,
];
/// Clients that fall silent together: more than a coordinator has sessions with Postgres.
const SILENT: u32 = 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Ail(Ailment),
    Copy,
    KillCoordinator,
    FreezeCoordinator,
    KillPostgres,
    FreezeBackend,
    ReadOnly,
    CutConnections,
    SilentClients,
    StoppedReaders,
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

    /// What the simulated engines ran: those of the machines, and those of their copies.
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

    /// Ends all faults and waits until every job has ended and every agent has let go of all it held.
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
            // A sweep may have been paused by its canary meanwhile.
            for sweep in self.sweeps.clone() {
                self.btctl(&["resume", &sweep]);
            }
            std::thread::park_timeout(Duration::from_millis(200));
        }
    }

    fn nothing_is_held(&self) -> bool {
        let mut dirs = Vec::new();
        for machine in &self.machines {
            for number in 1..=IN_PROCESS {
                dirs.push(self.dir.path().join(&machine.name).join(number.to_string()).join("attempts"));
            }
        }
        dirs.iter().all(|dir| std::fs::read_dir(dir).map_or(true, |mut entries| entries.next().is_none()))
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

    fn load(&mut self) {
        match self.random.below(10) {
            0..=4 => self.submit(),
            5 | 9 => self.on_some_sweep(&["cancel"]),
            6 => self.on_some_sweep(&["pause"]),
            7 => self.on_some_sweep(&["resume"]),
            8 => self.on_some_sweep(&["retry"]),
            _ => {}
        }
    }

    fn submit(&mut self) {
        let number = self.sweeps.len();
        let (mut jobs, mut millis) = (1 + self.random.below(40) as u32, 150 * self.random.below(4));
        if self.random.once_in(12) {
            (jobs, millis) = (jobs % 4 + 1, 4_000 + self.random.below(2_000));
        }
        let (key, name) = (format!("key-{number}"), format!("s{number}"));
        // One job in eight fails by its own doing.
        let exit = if self.random.once_in(8) { "1" } else { "0" };
        let mut args: Vec<String> =
            ["submit", "--image", "x", "--name", &name, "--idempotency-key", &key].map(str::to_owned).into();
        let flags = [
            format!("--matrix=n=1:{jobs}"),
            format!("--env=BT_SIM_MS={millis}"),
            format!("--env=BT_SIM_EXIT={exit}"),
            format!("--priority={}", self.random.below(3)),
            format!("--retries={}", self.random.below(3)),
            format!("--cpus={}", ["0.5", "1", "2"][self.random.below(3) as usize]),
            "--memory=64m".to_owned(),
        ];
        args.extend(flags);
        match self.random.below(6) {
            0 => args.push("--max-parallel=2".to_owned()),
            1 => args.push("--limit=shared=2".to_owned()),
            2 => args.push("--canary=2".to_owned()),
            _ => {}
        }
        // Many are identical to others: the numbers begin at 1, and there are few lengths.
        if self.random.once_in(3) {
            args.push("--reuse".to_owned());
        }
        args.extend(["-o", "json", "--", "x"].map(str::to_owned));
        let args: Vec<_> = args.iter().map(String::as_str).collect();
        let submitted = self.btctl(&args);
        if submitted.code == 0
            && let Ok(answer) = serde_json::from_str::<Value>(&submitted.stdout)
        {
            let id = answer["id"].as_str().unwrap_or_default().to_owned();
            self.seen.submits.push((key, id.clone(), jobs));
            self.sweeps.push(id);
            if self.random.once_in(3) {
                // Sent again, as a client does whose line broke.
                let again = self.btctl(&args);
                if again.code == 0 {
                    let answer: Value = serde_json::from_str(&again.stdout).unwrap_or_default();
                    let id = answer["id"].as_str().unwrap_or_default().to_owned();
                    self.seen.submits.push((format!("key-{number}"), id, jobs));
                }
            }
        }
    }

    fn on_some_sweep(&mut self, command: &[&str]) {
        if self.sweeps.is_empty() {
            return;
        }
        let recent = self.sweeps.len().min(6) as u64;
        let sweep = self.sweeps[self.sweeps.len() - 1 - self.random.below(recent) as usize].clone();
        let mut args = command.to_vec();
        args.push(&sweep);
        // It may well be refused, or nobody be there to take it.
        self.btctl(&args);
    }

    fn break_something(&mut self) {
        let kind = match self.due.first().copied() {
            Some(kind) if self.random.once_in(4) => kind,
            Some(_) => return,
            None => match self.random.below(60) {
                at @ 0..12 => KINDS[at as usize],
                12 | 13 => Kind::Ail(Ailment::Killed),
                _ => return,
            },
        };
        let done = match kind {
            Kind::Ail(ailment) => self.ail(ailment),
            Kind::Copy => self.copy_machine(),
            Kind::KillCoordinator => self.restart_coordinator(),
            Kind::FreezeCoordinator => self.freeze_coordinator(),
            Kind::KillPostgres => self.restart_postgres(),
            Kind::FreezeBackend => self.freeze_backend(),
            Kind::ReadOnly => self.spell_read_only(),
            Kind::CutConnections => self.cut_connections(),
            Kind::SilentClients => self.silent_clients(),
            Kind::StoppedReaders => self.stopped_readers(),
        };
        if done {
            self.due.retain(|due| *due != kind);
        }
    }

    fn some_coordinator(&mut self) -> usize {
        self.random.below(self.coordinators.len() as u64) as usize
    }

    /// For less than a lease, or for more: a paused machine.
    fn freeze_coordinator(&mut self) -> bool {
        let number = self.some_coordinator();
        let Some(process) = &self.coordinators[number].1 else { return false };
        let since = now();
        process.signal("STOP");
        std::thread::park_timeout(Duration::from_millis(200 + self.random.below(2 * LEASE)));
        process.signal("CONT");
        self.seen.coordinators_frozen += 1;
        self.seen.freezes.push((since, now()));
        true
    }

    /// One of a coordinator's sessions stands still, with all that it holds. Rather one that is at work.
    fn freeze_backend(&mut self) -> bool {
        let sql =
            "select pid from pg_stat_activity where application_name = 'btctl' and pid <> pg_backend_pid()
            order by state = 'idle', random() limit 1";
        let Some(pid) = self.postgres.query(sql).ok().and_then(|rows| rows.first().cloned()) else {
            return false;
        };
        let signal =
            |signal: &str| Command::new("kill").args([signal, &pid]).status().is_ok_and(|s| s.success());
        let since = now();
        if !signal("-STOP") {
            return false;
        }
        std::thread::park_timeout(Duration::from_millis(200 + self.random.below(LEASE)));
        signal("-CONT");
        self.seen.backends_frozen += 1;
        self.seen.freezes.push((since, now()));
        true
    }

    /// Sessions that are opened meanwhile can never write, also afterwards.
    fn spell_read_only(&mut self) -> bool {
        let set = |how: &str| {
            let sql = format!(
                "begin; set transaction read write; alter database postgres {how}; commit;
                select count(pg_terminate_backend(pid)) from pg_stat_activity
                where application_name = 'btctl' and pid <> pg_backend_pid() and random() < 0.7"
            );
            self.postgres.query(&sql).is_ok()
        };
        let since = now();
        if !set("set default_transaction_read_only = on") {
            return false;
        }
        std::thread::park_timeout(Duration::from_millis(200 + self.random.below(1_500)));
        let reset = "begin; set transaction read write;
            alter database postgres reset default_transaction_read_only; commit";
        wait_until("the spell is over", || self.postgres.query(reset).ok().map(drop));
        self.seen.read_only_spells += 1;
        self.seen.outages.push((since, now()));
        true
    }

    fn silent_clients(&mut self) -> bool {
        let coordinator = self.some_coordinator();
        let address = self.coordinators[coordinator].0;
        for _ in 0..SILENT {
            let key = self.random.next().to_string();
            self.seen.silent_clients += u32::from(self.peers.submit(address, &key));
        }
        self.seen.silent_clients > 0
    }

    fn stopped_readers(&mut self) -> bool {
        let Some(sweep) = self.sweeps.last().cloned() else { return false };
        let coordinator = self.some_coordinator();
        let address = self.coordinators[coordinator].0;
        for _ in 0..SILENT {
            self.seen.stopped_readers += u32::from(self.peers.list(address, &sweep));
        }
        self.seen.stopped_readers > 0
    }

    fn ail(&mut self, ailment: Ailment) -> bool {
        let number = self.random.below(self.machines.len() as u64) as usize;
        // For less than a lease, or for more.
        let millis = 200 + self.random.below(2 * LEASE);
        let machine = &mut self.machines[number];
        if machine.recovers.is_some() {
            return false;
        }
        let Some(process) = &mut machine.process else { return false };
        match ailment {
            Ailment::Killed => {
                process.kill();
                self.seen.agent_kills += 1;
            }
            Ailment::Stopped => {
                process.signal("STOP");
                self.seen.agent_stops += 1;
            }
            Ailment::Cut => {
                machine.proxy.cut();
                self.seen.cuts += 1;
            }
        }
        machine.recovers = Some((Instant::now() + Duration::from_millis(millis), now(), ailment));
        true
    }

    /// Another process begins as the same agents, as where a virtual machine's image was taken of a running one.
    fn copy_machine(&mut self) -> bool {
        let number = self.random.below(self.machines.len() as u64) as usize;
        let ends = Instant::now() + Duration::from_millis(1_000 + self.random.below(2 * LEASE));
        if self.machines[number].copy.is_some() {
            return false;
        }
        self.seen.copies += 1;
        let name = &self.machines[number].name;
        let [from, to] =
            [name.clone(), format!("{name}-copy{}", self.seen.copies)].map(|name| self.dir.path().join(name));
        // Files that go while it copies are no matter.
        let _ = Command::new("cp").arg("-r").args([&from, &to]).stderr(Stdio::null()).status();
        let (since, [_, log]) = (now(), self.run_logs());
        let process = self.start_agents(number, &to, &log);
        self.machines[number].copy = Some(Copied { process, ends, since });
        true
    }

    fn end_copies(&mut self, all: bool) {
        for machine in &mut self.machines {
            if let Some(mut copy) = machine.copy.take_if(|copy| all || copy.ends <= Instant::now()) {
                copy.process.kill();
                self.seen.faults.entry(machine.name.clone()).or_default().push((copy.since, now()));
            }
        }
    }

    fn heal(&mut self, all: bool) {
        self.end_copies(all);
        for number in 0..self.machines.len() {
            let machine = &mut self.machines[number];
            let Some((due, since, ailment)) = machine.recovers else { continue };
            if !all && due > Instant::now() {
                continue;
            }
            machine.recovers = None;
            let name = machine.name.clone();
            match ailment {
                Ailment::Killed => self.start_machine(number),
                Ailment::Stopped => {
                    if let Some(process) = &machine.process {
                        process.signal("CONT");
                    }
                }
                Ailment::Cut => machine.proxy.mend(),
            }
            self.seen.faults.entry(name).or_default().push((since, now()));
        }
    }

    fn restart_coordinator(&mut self) -> bool {
        let number = self.some_coordinator();
        if let Some(process) = &mut self.coordinators[number].1 {
            process.kill();
        }
        self.seen.coordinator_kills += 1;
        let since = now();
        std::thread::park_timeout(Duration::from_millis(self.random.below(1_000)));
        self.start_coordinator(number);
        self.seen.outages.push((since, now()));
        true
    }

    fn restart_postgres(&mut self) -> bool {
        self.postgres.kill();
        self.seen.postgres_kills += 1;
        let since = now();
        std::thread::park_timeout(Duration::from_millis(self.random.below(1_500)));
        self.postgres.start_again();
        self.seen.outages.push((since, now()));
        true
    }

    fn cut_connections(&mut self) -> bool {
        self.seen.connections_cut += 1;
        let sql =
            "select count(pg_terminate_backend(pid)) from pg_stat_activity where pid <> pg_backend_pid()
            and application_name = 'btctl'";
        self.postgres.query(sql).is_ok()
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
