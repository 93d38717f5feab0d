//! Processes that tests start, talk to and kill.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::wait_until;

/// Lines of each server's log that a failed test shows, and characters of each.
const LAST_LINES: usize = 40;
const LINE: usize = 240;

/// The `btctl` that was built with the tests.
pub fn btctl_path() -> PathBuf {
    let test = std::env::current_exe().expect("a running test has a path");
    let dir = test.ancestors().nth(2).expect("tests are built into target/<profile>/deps");
    let path = dir.join("btctl");
    assert!(path.exists(), "{} is missing; build the whole workspace", path.display());
    path
}

/// A program that the tests need, by any of its names: in the path, or where `make test` puts it.
///
/// # Panics
/// If it is nowhere.
pub(crate) fn tool(what: &str, names: &[&str]) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let target = btctl_path().ancestors().nth(2).map(Path::to_owned).unwrap_or_default();
    let dirs: Vec<PathBuf> = std::env::split_paths(&path).chain([target.join("tools/bin")]).collect();
    let places = names.iter().flat_map(|name| dirs.iter().map(move |dir| dir.join(name)));
    let found = places.into_iter().find(|program| program.is_file());
    found
        .unwrap_or_else(|| panic!("{what} is not installed ({}); `make test` sets it up", names.join(" or ")))
}

/// What a finished command printed.
#[derive(Clone, Debug)]
pub struct Finished {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

/// Runs a client's command to its end, with no settings but these coordinators.
pub(crate) fn run_client(coordinators: &str, home: &Path, args: &[&str]) -> Finished {
    run_client_as(coordinators, home, &[], args)
}

/// The same, with these settings in its environment.
pub(crate) fn run_client_as(
    coordinators: &str,
    home: &Path,
    env: &[(&str, &str)],
    args: &[&str],
) -> Finished {
    let mut command = Command::new(btctl_path());
    command.args(args).env("BTCTL_COORDINATOR", coordinators).current_dir(home);
    isolate(&mut command, home);
    command.envs(env.iter().copied());
    Finished::of(&mut command)
}

impl Finished {
    /// Runs a command to its end.
    pub(crate) fn of(command: &mut Command) -> Self {
        let output = command.output().expect("run btctl");
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// Nothing of the user's own settings reaches a test.
pub(crate) fn isolate(command: &mut Command, home: &Path) {
    command
        .env("HOME", home)
        .env("XDG_CONFIG_HOME", home.join("config"))
        .env("XDG_STATE_HOME", home.join("state"))
        .env_remove("BTCTL_CONFIG")
        .env_remove("BTCTL_TOKEN")
        .env_remove("BTCTL_TOKEN_FILE")
        .env_remove("BTCTL_AUTH")
        .env_remove("DOCKER_CONFIG")
        .env_remove("BTCTL_STORE")
        .env_remove("BTCTL_COMPRESS")
        .env_remove("BTCTL_AGENT_STORE");
}

/// A port that no process listens on now.
pub fn free_port() -> u16 {
    let socket = std::net::TcpListener::bind("127.0.0.1:0").expect("find a free port");
    socket.local_addr().expect("a bound socket has an address").port()
}

/// A server that runs in the background, with all that it says in a file.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    pub fn start(name: &str, dir: &Path, command: &mut Command) -> Self {
        let log = dir.join(format!("{name}.log"));
        let file = File::options().create(true).append(true).open(&log).expect("open a log");
        let errors = file.try_clone().expect("share a log");
        let child = command.stdin(Stdio::null()).stdout(file).stderr(errors).spawn();
        let child = child.unwrap_or_else(|error| panic!("start {name}: {error}"));
        Self { name: name.to_owned(), child, log }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How many descriptors it has open.
    pub fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.pid())).expect("list its descriptors").count()
    }

    /// The memory that it takes, in KiB.
    pub fn memory_kib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("read its status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
        kib.expect("the kernel says what it takes")
    }

    /// What it takes, for the output of tests that measure.
    pub fn figures(&self) -> String {
        format!("{} descriptors, {} KiB", self.descriptors(), self.memory_kib())
    }

    /// All that it has said so far, and what earlier processes of the same name said.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Sends a signal such as `TERM`, `KILL`, `STOP`.
    #[track_caller]
    pub fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([&format!("-{signal}"), &self.pid().to_string()]).status();
        assert!(sent.is_ok_and(|status| status.success()), "signal {} with {signal}", self.name);
    }

    /// Ends it without giving it a chance to do anything about it.
    pub fn kill(&mut self) {
        self.signal("KILL");
        self.child.wait().expect("wait for a killed process");
    }

    /// Asks it to end, and waits until it has. Returns its exit code.
    #[track_caller]
    pub fn terminate(&mut self) -> i32 {
        self.signal("TERM");
        self.wait()
    }

    #[track_caller]
    pub fn wait(&mut self) -> i32 {
        let name = self.name.clone();
        let status = wait_until(&format!("{name} has ended"), || self.child.try_wait().ok().flatten());
        status.code().unwrap_or(-1)
    }

    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let ended = self.child.try_wait().ok().flatten();
        if ended.is_none() {
            self.kill();
        }
        if std::thread::panicking() {
            let ended = ended.map(|status| format!(" (it had ended before: {status})")).unwrap_or_default();
            eprintln!("---- {}, its last lines{ended}\n{}", self.name, last_lines(&self.log()));
        }
    }
}

/// The end of a log, short enough that a failed test's own words are not lost in it.
fn last_lines(log: &str) -> String {
    let lines: Vec<_> = log.lines().map(|line| line.chars().take(LINE).collect::<String>()).collect();
    lines[lines.len().saturating_sub(LAST_LINES)..].join("\n")
}
