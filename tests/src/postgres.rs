//! A Postgres server of one test's own, which it can kill and start again.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::database::psql;
use crate::wait_until;

/// A running server. It is gone when it is dropped.
#[derive(Debug)]
pub struct PostgresServer {
    bin: PathBuf,
    child: Option<Child>,
    dir: TempDir,
}

impl PostgresServer {
    pub fn start() -> Self {
        let dir = tempfile::tempdir().expect("make a directory");
        let mut this = Self { bin: installed(), child: None, dir };
        if is_root() {
            // Postgres refuses to run as root.
            let owned = Command::new("chown").arg("postgres").arg(this.dir.path()).status();
            assert!(owned.is_ok_and(|status| status.success()), "give the directory to the user postgres");
        } else {
            std::fs::set_permissions(this.dir.path(), PermissionsExt::from_mode(0o700)).expect("close it");
        }
        let made = this
            .program("initdb")
            .arg("-D")
            .arg(this.data())
            .args(["-U", "btctl", "--auth=trust", "--no-sync", "-E", "UTF8", "--locale=C"])
            .stdout(Stdio::null())
            .status();
        assert!(made.is_ok_and(|status| status.success()), "make a Postgres cluster");
        this.start_again();
        this
    }

    /// Starts it after a kill.
    pub fn start_again(&mut self) {
        let log = std::fs::File::options().create(true).append(true).open(self.dir.path().join("log"));
        let log = log.unwrap_or_else(|_| std::fs::File::create("/dev/null").expect("open /dev/null"));
        let child = self
            .program("postgres")
            .arg("-D")
            .arg(self.data())
            .arg("-k")
            .arg(self.dir.path())
            .args(["-c", "listen_addresses=", "-c", "max_connections=200"])
            .stdout(Stdio::null())
            .stderr(log)
            .spawn();
        self.child = Some(child.expect("start Postgres"));
        wait_until("Postgres is ready", || self.query("select 1").ok().map(drop));
    }

    /// Ends the server and all its processes without giving them a chance to do anything about it.
    pub fn kill(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        let pid = child.id().to_string();
        // Its children first, so that none is left to answer.
        drop(Command::new("pkill").args(["-KILL", "-P", &pid]).status());
        drop(Command::new("kill").args(["-KILL", &pid]).status());
        drop(child.wait());
        drop(Command::new("pkill").args(["-KILL", "-f", &self.data().display().to_string()]).status());
        drop(std::fs::remove_file(self.data().join("postmaster.pid")));
    }

    pub fn url(&self) -> String {
        format!("postgres://btctl@localhost/postgres?host={}", self.dir.path().display())
    }

    /// The rows of a query, one line each, columns parted by `|`.
    pub fn query(&self, sql: &str) -> Result<Vec<String>, String> {
        psql(&self.url(), sql)
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn program(&self, name: &str) -> Command {
        let program = self.bin.join(name);
        let mut command = match is_root() {
            true => {
                let mut command = Command::new("setpriv");
                command.args(["--reuid", "postgres", "--regid", "postgres", "--clear-groups"]).arg(program);
                command
            }
            false => Command::new(program),
        };
        command.current_dir("/").env_remove("PGHOST").env_remove("PGDATABASE").stdin(Stdio::null());
        command
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        self.kill();
    }
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output().expect("run id");
    id.stdout.starts_with(b"0\n")
}

/// The newest server that is installed.
fn installed() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let found = versions.map(|entry| entry.path().join("bin")).filter(|bin| bin.join("initdb").exists());
    let newest = found.max_by_key(|bin| version(bin));
    newest.expect("no Postgres server is installed; apt-get install postgresql")
}

fn version(bin: &Path) -> u32 {
    let name = bin.parent().and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
    name.and_then(|name| name.parse().ok()).unwrap_or(0)
}
