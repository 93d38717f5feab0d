//! `btctl up --detach` and `btctl down`: starting it in the background, and ending it.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::time::{Instant, sleep};

use super::access::for_others;
use super::lock::{Holder, holder};
use crate::error::Error;
use crate::output::say;
use crate::settings::ClientFile;
use crate::state_dir::UpDir;

const LOOK: Duration = Duration::from_millis(100);
/// How long a start may take: a first one makes a Postgres cluster.
const START: Duration = Duration::from_secs(120);
/// How long after `--now` the end may take: containers' grace, and Postgres's last checkpoint.
const END: Duration = Duration::from_secs(120);
/// Bytes of the log that are shown when a start fails.
const SHOWN: u64 = 4096;
/// How long a start may take before it is said what it waits for.
const PATIENCE: Duration = Duration::from_secs(2);
/// What begins the words that a start waits with, and those that it ends with.
const WAITING: &str = "waiting for ";
const LAST_WORDS: &str = "btctl: ";

/// Set for the process that stays in the background; its command line is the one that started it.
const IN_BACKGROUND: &str = "BTCTL_UP_IN_BACKGROUND";

pub(crate) fn is_background() -> bool {
    std::env::var_os(IN_BACKGROUND).is_some()
}

/// Makes a session of its own: the end of the user's terminal does not end it.
pub(crate) fn leave_terminal() -> Result<(), Error> {
    match rustix::process::setsid() {
        Ok(_) => Ok(()),
        Err(error) => Err(Error::Failed(format!("the terminal can't be left: {error}"))),
    }
}

/// Starts `btctl up` in the background, and returns when it serves.
pub(crate) async fn detach(state_dir: &UpDir, listen: Option<SocketAddr>) -> Result<(), Error> {
    state_dir.create()?;
    if let Some(Holder { pid, .. }) = holder(state_dir)? {
        return Err(Error::Failed(format!(
            "btctl up runs already in {} (process {pid}); {} ends it",
            state_dir.dir().display(),
            state_dir.down_command()
        )));
    }
    let path = state_dir.log_file();
    let failed = |error: std::io::Error| Error::Failed(format!("{}: {error}", path.display()));
    let mut log = File::options().create(true).append(true).read(true).open(&path).map_err(failed)?;
    let began = log.seek(SeekFrom::End(0)).map_err(failed)?;
    let myself = std::env::current_exe()
        .map_err(|error| Error::Failed(format!("btctl's own program can't be found: {error}")))?;
    let mut child = Command::new(myself)
        .args(std::env::args_os().skip(1))
        .env(IN_BACKGROUND, "1")
        .stdin(Stdio::null())
        .stdout(log.try_clone().map_err(failed)?)
        .stderr(log.try_clone().map_err(failed)?)
        .spawn()
        .map_err(|error| Error::Failed(format!("btctl can't be started: {error}")))?;
    let (began_at, mut told) = (Instant::now(), String::new());
    let deadline = began_at + START;
    loop {
        let ended = child.try_wait().map_err(failed)?;
        if ended.is_none()
            && let Some(Holder { pid, address: Some(address) }) = holder(state_dir)?
            && pid == child.id()
        {
            say(&format!(
                "btctl is up in the background (process {pid}) at {address}, where its page is; its log is {}; {} ends it",
                path.display(),
                state_dir.down_command()
            ));
            // What it listens on, with the port that it got.
            let port = address.rsplit(':').next().and_then(|port| port.parse().ok());
            let listens = listen.map(|listen| SocketAddr::new(listen.ip(), port.unwrap_or(listen.port())));
            let pin = ClientFile::read(&state_dir.client_file()).ok().flatten().and_then(|file| file.ca_pin);
            if let Some(told) = listens.and_then(|listens| for_others(pin.as_deref(), listens)) {
                say(&told);
            }
            return Ok(());
        }
        if let Some(status) = ended {
            return Err(ended_with(status.code(), &tail(&mut log, began).map_err(failed)?));
        }
        if Instant::now() > deadline {
            signal(child.id())?;
            let said = tail(&mut log, began).map_err(failed)?;
            return Err(Error::Failed(format!(
                "btctl up did not serve within {} s and is stopped; it said:\n{}",
                START.as_secs(),
                said.trim_end()
            )));
        }
        if began_at.elapsed() > PATIENCE {
            let said = tail(&mut log, began).map_err(failed)?;
            let waits = said.lines().filter_map(|line| Some(&line[line.find(WAITING)?..])).next_back();
            if let Some(waits) = waits.filter(|waits| *waits != told) {
                say(waits);
                told = waits.to_owned();
            }
        }
        sleep(LOOK).await;
    }
}

/// The error of a failed start: its own last words and exit code.
fn ended_with(code: Option<i32>, said: &str) -> Error {
    let lines: Vec<_> = said.lines().collect();
    let last = lines.iter().rposition(|line| line.starts_with(LAST_WORDS));
    let words = match last {
        Some(last) => lines[last..].join("\n").trim_start_matches(LAST_WORDS).to_owned(),
        None => format!("btctl up ended; it said:\n{}", said.trim_end()),
    };
    match code {
        Some(2) => Error::Usage(words),
        Some(3) => Error::NotFound(words),
        Some(4) => Error::Refused(words),
        Some(5) => Error::Unreachable(words),
        _ => Error::Failed(words),
    }
}

fn tail(log: &mut File, from: u64) -> std::io::Result<String> {
    let end = log.seek(SeekFrom::End(0))?;
    log.seek(SeekFrom::Start(from.max(end.saturating_sub(SHOWN))))?;
    let mut text = Vec::new();
    log.read_to_end(&mut text)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// Ends the `btctl up` of a state directory, and returns when it is down. Without `now`, its running jobs may finish first.
pub(crate) async fn down(state_dir: &UpDir, now: bool) -> Result<(), Error> {
    let Some(first) = holder(state_dir)? else {
        say(&format!("no btctl up runs in {}", state_dir.dir().display()));
        return Ok(());
    };
    signal(first.pid)?;
    if now {
        // A second signal right behind the first would be one signal.
        sleep(LOOK * 5).await;
        if holder(state_dir)?.is_some() {
            signal(first.pid)?;
        }
    } else {
        say("running jobs may finish; btctl down --now stops them at once");
    }
    let began = Instant::now();
    while holder(state_dir)?.is_some_and(|holder| holder.pid == first.pid) {
        if now && began.elapsed() > END {
            return Err(Error::Failed(format!("process {} has not ended after {END:?}", first.pid)));
        }
        sleep(LOOK).await;
    }
    say("btctl is down; what was queued is kept");
    Ok(())
}

fn signal(pid: u32) -> Result<(), Error> {
    let target = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let target = target.ok_or_else(|| Error::Failed(format!("{pid} is not a process id")))?;
    kill_process(target, Signal::TERM)
        .map_err(|error| Error::Failed(format!("process {pid} can't be ended: {error}")))
}
