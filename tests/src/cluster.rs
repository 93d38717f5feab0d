//! A cluster for one test: its own database, store and directories; coordinators and agents that it can kill.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::engine::docker_finds;
use crate::process::{Finished, Process, btctl_path, free_port, isolate, run_client, run_client_as};
use crate::{Database, Proxy, Terminal, wait_until};

/// How a cluster is set up.
#[derive(Clone, Debug)]
pub struct Options {
    pub lease: &'static str,
    pub heartbeat: &'static str,
    /// More flags of the agents.
    pub agent: Vec<String>,
    /// More flags of the coordinators.
    pub coordinator: Vec<String>,
    /// Where results are published; in a directory of its own if not given.
    pub store: Option<String>,
    /// What coordinators have in their environment, and agents unless they are given another.
    pub env: Vec<(String, String)>,
    /// The coordinators ask for tokens; clients have the administrator's, agents one of their own.
    pub tokens: bool,
    /// The coordinators speak TLS, and clients and agents know the pin.
    pub tls: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            lease: "6s",
            heartbeat: "500ms",
            agent: ["--cpus", "2", "--memory", "2GiB", "--drain-timeout", "5s"].map(str::to_owned).into(),
            coordinator: Vec::new(),
            store: None,
            env: Vec::new(),
            tokens: false,
            tls: false,
        }
    }
}

impl Options {
    /// Agents that run no containers; what is not given is plentiful.
    pub fn simulated(more: &[&str]) -> Self {
        let flags = ["--engine", "simulated", "--memory", "64GiB", "--disk", "1TiB"];
        Self { agent: flags.iter().chain(more).map(|flag| (*flag).to_owned()).collect(), ..Self::default() }
    }
}

/// A running cluster. Everything of it is gone when it is dropped.
#[derive(Debug)]
pub struct Cluster {
    agents: Vec<Process>,
    /// Each with its port.
    coordinators: Vec<(u16, Option<Process>)>,
    pub database: Database,
    options: Options,
    dir: TempDir,
}

/// What a job does until [`Cluster::open_gate`], so that it runs for as long as its test needs.
pub const WAIT_AT_GATE: &str = "until [ -e /gate/open ]; do sleep 0.1; done";

/// The flags that bring the gate into a sweep's containers. Every agent that runs containers offers it.
pub const GATE: [&str; 2] = ["-v", "gate:/gate:ro"];

impl Cluster {
    /// One coordinator and one agent.
    pub fn start() -> Self {
        Self::with(Options::default())
    }

    pub fn with(options: Options) -> Self {
        let mut cluster = Self::without_agent(options);
        cluster.add_agent("agent");
        cluster
    }

    pub fn without_agent(options: Options) -> Self {
        let dir = tempfile::tempdir().expect("make a directory");
        // Containers' bind mounts and other users must get through.
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o711);
        std::fs::set_permissions(dir.path(), mode).expect("open the directory");
        std::fs::create_dir(dir.path().join("gate")).expect("make the gate");
        let mut options = options;
        let mut settings = String::new();
        if options.tokens {
            let token = dir.path().join("admin.token").display().to_string();
            options.coordinator.extend(["--auth", "tokens", "--admin-token-file", &token].map(str::to_owned));
            settings.push_str(&format!("token_file = {token:?}\n"));
        }
        if options.tls {
            let tls = dir.path().join("tls").display().to_string();
            let made = run_client("", dir.path(), &["coordinator", "init", "--tls-dir", &tls, "-o", "json"]);
            let made: Value = serde_json::from_str(&made.stdout).unwrap_or_else(|_| panic!("{made:?}"));
            options.coordinator.extend(["--tls-dir".to_owned(), tls]);
            settings.push_str(&format!("ca_pin = {}\n", made["pin"]));
        }
        if !settings.is_empty() {
            std::fs::create_dir_all(dir.path().join("config/btctl")).expect("make a directory");
            std::fs::write(dir.path().join("config/btctl/client.toml"), settings).expect("write settings");
        }
        let database = Database::new();
        let mut cluster = Self { agents: Vec::new(), coordinators: Vec::new(), database, options, dir };
        cluster.add_coordinator();
        cluster
    }

    /// One more coordinator on the same Postgres and store; agents and clients that start from now on know it too.
    pub fn add_coordinator(&mut self) {
        self.coordinators.push((free_port(), None));
        self.start_coordinator_number(self.coordinators.len() - 1);
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub fn store(&self) -> PathBuf {
        self.dir().join("store")
    }

    /// The coordinators' addresses, separated by commas.
    pub fn address(&self) -> String {
        let addresses: Vec<_> = self.coordinators.iter().map(|(port, _)| self.address_at(*port)).collect();
        addresses.join(",")
    }

    pub fn address_of(&self, number: usize) -> String {
        self.address_at(self.coordinators[number].0)
    }

    fn address_at(&self, port: u16) -> String {
        let scheme = if self.options.tls { "https" } else { "http" };
        format!("{scheme}://127.0.0.1:{port}")
    }

    /// Starts the first coordinator again, at the same address.
    pub fn start_coordinator(&mut self) {
        self.start_coordinator_number(0);
    }

    pub fn start_coordinator_number(&mut self, number: usize) {
        let port = self.coordinators[number].0;
        let mut command = Command::new(btctl_path());
        command
            .arg("coordinator")
            .args(["--listen", &format!("127.0.0.1:{port}")])
            .args(["--lease", self.options.lease, "--heartbeat", self.options.heartbeat])
            .args(&self.options.coordinator)
            .arg("--store");
        match &self.options.store {
            Some(location) => command.arg(location),
            None => command.arg(self.store()),
        };
        command.env("BTCTL_DATABASE_URL", self.database.url());
        isolate(&mut command, self.dir());
        command.envs(self.options.env.iter().map(|(name, value)| (name, value)));
        let process = Process::start(&format!("coordinator{number}"), self.dir(), &mut command);
        self.coordinators[number].1 = Some(process);
        let address = self.address_at(port);
        wait_until("the coordinator answers", || {
            (self.run(&["--coordinator", &address, "ls"]).code == 0).then_some(())
        });
    }

    /// What coordinators that start from now on are told besides.
    pub fn tell_coordinators(&mut self, flags: &[&str]) {
        self.options.coordinator = flags.iter().map(|flag| (*flag).to_owned()).collect();
    }

    /// The first coordinator.
    pub fn coordinator(&mut self) -> &mut Process {
        self.coordinator_number(0)
    }

    pub fn coordinator_number(&mut self, number: usize) -> &mut Process {
        self.coordinators[number].1.as_mut().expect("the coordinator was started")
    }

    /// Starts an agent. One of the same name as an earlier one comes back with its state.
    pub fn add_agent(&mut self, name: &str) {
        let flags = self.options.agent.clone();
        self.add_agent_with(name, &flags);
    }

    pub fn add_agent_with(&mut self, name: &str, flags: &[String]) {
        let env = self.options.env.clone();
        let env: Vec<_> = env.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        self.add_agent_in(name, flags, &env);
    }

    /// As [`add_agent_with`](Self::add_agent_with), with these settings in its environment.
    pub fn add_agent_in(&mut self, name: &str, flags: &[String], env: &[(&str, &str)]) {
        self.start_agent(name, &self.address(), flags, env);
    }

    /// As [`add_agent`](Self::add_agent), and all that it says and hears goes over this line.
    pub fn add_agent_over(&mut self, name: &str, line: &Proxy) {
        self.add_agent_over_in(name, line, &[]);
    }

    /// As [`add_agent_over`](Self::add_agent_over), with these settings in its environment.
    pub fn add_agent_over_in(&mut self, name: &str, line: &Proxy, env: &[(&str, &str)]) {
        let flags = self.options.agent.clone();
        let address = self.address_at(line.address().port());
        self.start_agent(name, &address, &flags, env);
    }

    fn start_agent(&mut self, name: &str, coordinators: &str, flags: &[String], env: &[(&str, &str)]) {
        self.launch_agent(name, coordinators, flags, env);
        wait_until("the agent is ready", || {
            let agents = self.json(&["agents", "ls"]);
            let agents = agents.as_array()?;
            agents.iter().any(|agent| agent["name"] == name && agent["state"] == "ready").then_some(())
        });
    }

    /// Starts an agent that may end before anything sees it ready.
    pub fn add_agent_unseen(&mut self, name: &str, flags: &[String]) {
        self.launch_agent(name, &self.address(), flags, &[]);
    }

    fn launch_agent(&mut self, name: &str, coordinators: &str, flags: &[String], env: &[(&str, &str)]) {
        let mut command = Command::new(btctl_path());
        command
            .args(["agent", "--name", name, "--coordinator", coordinators, "--state-dir"])
            .arg(self.dir().join(name))
            .args(flags);
        if !flags.iter().any(|flag| flag == "simulated") {
            command.arg("--volume").arg(format!("gate={}:ro", self.dir().join("gate").display()));
        }
        isolate(&mut command, self.dir());
        if self.options.tokens {
            let token = self.dir().join("agent.token");
            if !token.exists() {
                std::fs::write(&token, self.token("agents", &["--role", "agent"])).expect("write a token");
            }
            command.env("BTCTL_TOKEN_FILE", token);
        }
        command.envs(env.iter().copied());
        self.agents.push(Process::start(name, self.dir(), &mut command));
    }

    /// Starts an agent of a coordinator that is not this cluster's.
    pub fn add_agent_of(&mut self, name: &str, coordinator: &str, flags: &[String]) {
        self.launch_agent(name, coordinator, flags, &[]);
    }

    /// Lets go of all agents that were started so far; those that still run are killed.
    pub fn forget_agents(&mut self) {
        self.agents.clear();
    }

    /// How many agents were started.
    pub fn agents_so_far(&self) -> usize {
        self.agents.len()
    }

    /// An agent by the order in which they were started.
    pub fn agent_number(&mut self, number: usize) -> &mut Process {
        &mut self.agents[number]
    }

    /// The latest agent.
    pub fn agent(&mut self) -> &mut Process {
        self.agents.last_mut().expect("an agent was started")
    }

    /// Runs a client's command to its end.
    pub fn run(&self, args: &[&str]) -> Finished {
        run_client(&self.address(), self.dir(), args)
    }

    /// Makes a token.
    #[track_caller]
    pub fn token(&self, name: &str, flags: &[&str]) -> String {
        self.ok(&[&["token", "create", name], flags].concat()).trim().to_owned()
    }

    /// Runs a client's command to its end, by whoever has this token.
    pub fn run_as(&self, token: &str, args: &[&str]) -> Finished {
        run_client_as(&self.address(), self.dir(), &[("BTCTL_TOKEN", token)], args)
    }

    /// Starts a client's command in the background.
    pub fn spawn(&self, name: &str, args: &[&str]) -> Process {
        let mut command = Command::new(btctl_path());
        command.args(args).env("BTCTL_COORDINATOR", self.address()).current_dir(self.dir());
        isolate(&mut command, self.dir());
        Process::start(name, self.dir(), &mut command)
    }

    /// Runs a client's command on a terminal of so many columns and rows.
    pub fn terminal(&self, args: &[&str], columns: u16, rows: u16) -> Terminal {
        let mut command = Command::new(btctl_path());
        command.args(args).env("BTCTL_COORDINATOR", self.address()).current_dir(self.dir());
        isolate(&mut command, self.dir());
        Terminal::run(&command, columns, rows)
    }

    /// Runs a command that must succeed, and returns what it printed.
    #[track_caller]
    pub fn ok(&self, args: &[&str]) -> String {
        let finished = self.run(args);
        assert_eq!(finished.code, 0, "btctl {args:?}: {finished:?}");
        finished.stdout
    }

    /// Runs a command with `-o json` and reads what it printed.
    #[track_caller]
    pub fn json(&self, args: &[&str]) -> Value {
        let mut args = args.to_vec();
        let flag = args.iter().position(|arg| *arg == "--").unwrap_or(args.len());
        args.splice(flag..flag, ["-o", "json"]);
        let text = self.ok(&args);
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("btctl {args:?}: {error}: {text}"))
    }

    /// Submits a sweep of `btctl-test:1` with these flags and this shell script, and returns its id.
    #[track_caller]
    pub fn submit(&self, flags: &[&str], script: &str) -> String {
        let mut args = vec!["submit", "--image", "btctl-test:1", "--cpus", "0.25", "-m", "64m"];
        args.extend(flags);
        args.extend(["--", "sh", "-c", script]);
        let submitted = self.json(&args);
        submitted["id"].as_str().expect("submit prints an id").to_owned()
    }

    /// Submits a sweep of jobs that do nothing, for agents that run no containers, and returns its id.
    #[track_caller]
    pub fn submit_simulated(&self, flags: &[&str]) -> String {
        let args = [&["submit", "--image", "x", "-m", "64m"], flags, &["--", "x"]].concat();
        self.json(&args)["id"].as_str().expect("submit prints an id").to_owned()
    }

    /// As [`submit`](Self::submit), of jobs that wait at the gate before they run the script.
    #[track_caller]
    pub fn submit_waiting(&self, flags: &[&str], script: &str) -> String {
        self.submit(&[&GATE, flags].concat(), &format!("{WAIT_AT_GATE}; {script}"))
    }

    /// Lets all jobs go on that wait at the gate.
    pub fn open_gate(&self) {
        std::fs::write(self.dir().join("gate/open"), "").expect("open the gate");
    }

    /// Lets jobs that start from now on wait.
    pub fn close_gate(&self) {
        if let Err(error) = std::fs::remove_file(self.dir().join("gate/open")) {
            assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "close the gate: {error}");
        }
    }

    /// Waits until so many attempts of all sweeps are in a state.
    #[track_caller]
    pub fn wait_attempts(&self, state: &str, attempts: u64) {
        let sql = format!("select count(*) from attempts where state = '{state}'");
        wait_until(&format!("{attempts} attempts are {state}"), || {
            (self.database.query(&sql) == [attempts.to_string()]).then_some(())
        });
    }

    /// The number of a sweep's jobs in a state.
    pub fn count(&self, sweep: &str, state: &str) -> u64 {
        self.json(&["show", sweep])["counts"][state].as_u64().unwrap_or(0)
    }

    /// Waits until no job of a sweep is queued or running.
    #[track_caller]
    pub fn wait_ended(&self, sweep: &str) {
        wait_until("the sweep has ended", || {
            let counts = &self.json(&["show", sweep])["counts"];
            (counts["queued"] == 0 && counts["running"] == 0).then_some(())
        });
    }

    #[track_caller]
    pub fn wait_count(&self, sweep: &str, state: &str, jobs: u64) {
        wait_until(&format!("{jobs} jobs of {sweep} are {state}"), || {
            (self.count(sweep, state) >= jobs).then_some(())
        });
    }

    /// A line to the first coordinator that can be cut.
    pub fn line(&self) -> Proxy {
        Proxy::start(vec![SocketAddr::from(([127, 0, 0, 1], self.coordinators[0].0))])
    }

    /// The directory of a job's attempt in the store, of a sweep of [`submit`](Self::submit) with fewer than ten jobs.
    pub fn stored(&self, sweep: &str, job: u32, attempt: u32) -> PathBuf {
        self.store().join(format!("btctl-test-{}/{job}/{attempt}", &sweep[..8]))
    }

    /// Makes a file in the containers of a sweep that run, for scripts that wait for it.
    #[track_caller]
    pub fn touch(&self, sweep: &str, path: &str) {
        wait_until(&format!("{path} is made in the container"), || {
            let containers = self.running_containers(sweep);
            let made = containers.iter().all(|container| docker_finds(&["exec", container, "touch", path]));
            (made && !containers.is_empty()).then_some(())
        });
    }

    /// Ids of the containers that carry the label of one of a sweep's jobs.
    pub fn containers(&self, sweep: &str) -> Vec<String> {
        containers(&["ps", "-aq", "--no-trunc"], sweep)
    }

    /// Those of them that run.
    pub fn running_containers(&self, sweep: &str) -> Vec<String> {
        containers(&["ps", "-q", "--no-trunc"], sweep)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // Agents that were killed leave their containers, and no agent will take them back.
        self.agents.clear();
        let ids = self.database.query("select id from agents");
        for id in ids {
            // Where an agent that was killed had its jobs' secrets.
            std::fs::remove_dir_all(format!("/dev/shm/btctl-secrets-{id}")).ok();
            let agents = format!("label=btctl.agent={id}");
            let listed = Command::new("docker").args(["ps", "-aq", "--filter", &agents]).output();
            let Ok(listed) = listed else { continue };
            for container in String::from_utf8_lossy(&listed.stdout).lines() {
                if let Err(error) = Command::new("docker").args(["rm", "-fv", container]).output() {
                    eprintln!("the container {container} is left behind: {error}");
                }
            }
        }
    }
}

fn containers(list: &[&str], sweep: &str) -> Vec<String> {
    let output = Command::new("docker")
        .args(list)
        .args(["--filter", &format!("label=btctl.sweep={sweep}")])
        .output()
        .expect("docker can't be run; `make test` sets it up");
    assert!(output.status.success(), "docker ps: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}
