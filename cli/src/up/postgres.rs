//! A private Postgres: its cluster in the state directory, reached by a socket only, run from the installed programs.
//!
//! As root it runs as an unprivileged user, because Postgres refuses to run as root. It is a child of this process;
//! one that a killed `btctl up` left behind is stopped first, because its settings may be another's.

mod server;
mod user;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bt_model::percent;
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};
use tracing::{info, warn};

use crate::error::Error;

pub(super) use self::server::Server;
pub(crate) use self::server::installed;
use self::server::socket_dir_of;

/// The superuser of the cluster and the database in it.
const ROLE: &str = "btctl";
const DATABASE: &str = "btctl";
const LOOK: Duration = Duration::from_millis(50);
/// How long a start may take: after a crash the log is replayed.
const START: Duration = Duration::from_secs(60);
/// How long an orderly end may take.
const STOP: Duration = Duration::from_secs(60);
/// The wait before one that died is started again.
const AGAIN: Duration = Duration::from_secs(1);

/// A running private Postgres.
#[derive(Debug)]
pub(super) struct Postgres {
    server: Server,
    child: Child,
}

impl Postgres {
    /// Makes the cluster if there is none, and starts it.
    pub(super) async fn start(server: Server) -> Result<Self, Error> {
        stop_orphan(&server).await?;
        if !server.data().exists() {
            init(&server).await?;
        }
        let child = spawn(&server)?;
        let mut postgres = Self { server, child };
        postgres.wait_ready().await?;
        postgres.create_database().await?;
        Ok(postgres)
    }

    pub(super) fn url(&self) -> String {
        url(self.server.socket_dir())
    }

    /// Starts it again whenever it ends.
    pub(super) async fn keep_up(&mut self) {
        loop {
            let ended = self.child.wait().await;
            warn!("Postgres stopped ({ended:?}); it is started again");
            sleep(AGAIN).await;
            let started = match stop_orphan(&self.server).await {
                Ok(()) => spawn(&self.server),
                Err(error) => Err(error),
            };
            match started {
                Ok(child) => self.child = child,
                Err(error) => warn!("{error}"),
            }
        }
    }

    /// Ends it in an orderly way.
    pub(super) async fn stop(mut self) {
        let pid = self.child.id().and_then(|pid| Pid::from_raw(pid.cast_signed()));
        let Some(pid) = pid else { return };
        if let Err(error) = kill_process(pid, Signal::INT) {
            warn!("Postgres can't be stopped: {error}");
            return;
        }
        match timeout(STOP, self.child.wait()).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => warn!("Postgres can't be waited for: {error}"),
            Err(_) => warn!("Postgres has not ended after {STOP:?}; the next start replays its log"),
        }
    }

    async fn wait_ready(&mut self) -> Result<(), Error> {
        let deadline = Instant::now() + START;
        loop {
            let ready = self.server.tool("pg_isready").args(["-q", "-U", ROLE]).status().await;
            if ready.is_ok_and(|status| status.success()) {
                return Ok(());
            }
            let ended = self.child.try_wait().ok().flatten();
            if ended.is_some() || Instant::now() > deadline {
                return Err(Error::Failed(format!(
                    "Postgres does not start; the end of {}:\n{}",
                    self.server.log().display(),
                    last_lines(&self.server.log())
                )));
            }
            sleep(LOOK).await;
        }
    }

    async fn create_database(&self) -> Result<(), Error> {
        let made = self.server.tool("createdb").args(["-U", ROLE, DATABASE]).output().await;
        let made = made.map_err(|error| Error::Failed(format!("createdb can't be run: {error}")))?;
        let said = String::from_utf8_lossy(&made.stderr);
        match made.status.success() || said.contains("already exists") {
            true => Ok(()),
            false => Err(Error::Failed(format!("the database can't be made: {}", said.trim()))),
        }
    }
}

/// The URL of the server in a directory that may be run by another process.
pub(super) fn url_in(dir: &Path) -> String {
    url(&socket_dir_of(dir))
}

fn url(socket_dir: &Path) -> String {
    format!("postgres://{ROLE}@localhost/{DATABASE}?host={}", encode(socket_dir))
}

/// Makes the cluster. It gets its name when it is whole, so that a killed start leaves nothing half.
async fn init(server: &Server) -> Result<(), Error> {
    info!("making a Postgres cluster in {}", server.data().display());
    let new = server.new_data();
    let failed = |error: std::io::Error| Error::Failed(format!("{}: {error}", new.display()));
    if new.exists() {
        fs::remove_dir_all(&new).map_err(failed)?;
    }
    let mut command = server.program("initdb")?;
    command.arg("-D").arg(server.inside(&new));
    command.args(["-U", ROLE, "--auth=trust", "-E", "UTF8", "--locale=C", "--data-checksums"]);
    let made = command.output().await;
    let made = made.map_err(|error| Error::Failed(format!("initdb can't be run: {error}")))?;
    if !made.status.success() {
        let said = String::from_utf8_lossy(&made.stderr);
        return Err(Error::Failed(format!("a Postgres cluster can't be made: {}", said.trim())));
    }
    fs::rename(&new, server.data()).map_err(failed)
}

fn spawn(server: &Server) -> Result<Child, Error> {
    let path = server.log();
    let failed = |error: std::io::Error| Error::Failed(format!("{}: {error}", path.display()));
    let log = File::options().create(true).append(true).open(&path).map_err(failed)?;
    let mut command = server.program("postgres")?;
    command.arg("-D").arg(server.inside(&server.data()));
    command.arg("-k").arg(server.inside(server.socket_dir()));
    command.args([
        "-c",
        "listen_addresses=",
        "-c",
        "unix_socket_permissions=0700",
        "-c",
        "logging_collector=off",
    ]);
    command.stdout(log.try_clone().map_err(failed)?).stderr(log);
    let child = command.spawn();
    child.map_err(|error| Error::Failed(format!("Postgres can't be started: {error}")))
}

/// Stops the server that an earlier `btctl up` left in this cluster.
async fn stop_orphan(server: &Server) -> Result<(), Error> {
    let Some(pid) = orphan(&server.data()) else { return Ok(()) };
    info!("a Postgres of an earlier start is still there (process {}); it is stopped", pid.as_raw_nonzero());
    let deadline = Instant::now() + STOP;
    while orphan(&server.data()) == Some(pid) {
        // Again and again: one that is still starting may miss it.
        if let Err(error) = kill_process(pid, Signal::INT) {
            warn!("it can't be stopped: {error}");
        }
        if Instant::now() > deadline {
            return Err(Error::Failed(format!(
                "the Postgres of an earlier start (process {}) does not end; end it by hand",
                pid.as_raw_nonzero()
            )));
        }
        sleep(LOOK).await;
    }
    Ok(())
}

/// The process that serves this cluster. The file that names it may be old, and its number another program's by now.
fn orphan(data: &Path) -> Option<Pid> {
    use std::os::unix::fs::MetadataExt;
    let text = fs::read_to_string(data.join("postmaster.pid")).ok()?;
    let pid: i32 = text.lines().next()?.trim().parse().ok()?;
    let is_ours = match fs::metadata(format!("/proc/{pid}/cwd")) {
        Ok(works_in) => {
            let data = fs::metadata(data).ok()?;
            (works_in.dev(), works_in.ino()) == (data.dev(), data.ino())
        }
        // One that was killed and is not quite gone works nowhere any more, but Postgres still minds it.
        Err(error) => {
            let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            error.kind() == std::io::ErrorKind::NotFound && name.trim_end() == "postgres"
        }
    };
    Pid::from_raw(pid).filter(|_| is_ours)
}

fn last_lines(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(10)..].join("\n")
}

/// A path in a URL's query.
fn encode(path: &Path) -> String {
    use std::os::unix::ffi::OsStrExt;
    percent::encoded(path.as_os_str().as_bytes(), b"/")
}

/// A command with a clean environment: what the user has set for his own Postgres is not meant for this one.
fn clean(program: PathBuf) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("PG")) {
        command.env_remove(name);
    }
    command.stdin(std::process::Stdio::null()).kill_on_drop(false);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_survive_a_url() {
        assert_eq!(encode(Path::new("/a b/ü&x")), "/a%20b/%C3%BC%26x");
    }
}
