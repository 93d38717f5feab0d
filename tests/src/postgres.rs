//! A Postgres server of one test's own, which it can kill and start again.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::database::psql;
use crate::process::free_port;
use crate::wait_until;

/// A running server. It is gone when it is dropped.
#[derive(Debug)]
pub struct PostgresServer {
    bin: PathBuf,
    child: Option<Child>,
    /// 0: it listens on no port.
    port: u16,
    settings: Vec<String>,
    dir: TempDir,
}

impl PostgresServer {
    /// One that is reached by a socket only.
    pub fn start() -> Self {
        let mut this = Self::make(0);
        this.start_again();
        this
    }

    /// One that listens on a port of this machine too, and asks for passwords there.
    pub fn listening(settings: &[&str]) -> Self {
        let mut this = Self::make(free_port());
        this.settings = settings.iter().map(|setting| (*setting).to_owned()).collect();
        let access = "local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n";
        std::fs::write(this.data().join("pg_hba.conf"), access).expect("write pg_hba.conf");
        this.start_again();
        this
    }

    /// One that listens on a port of this machine, with this key and certificate.
    pub fn with_certificate(key: &Path, certificate: &Path) -> Self {
        let mut this = Self::listening(&[]);
        this.kill();
        for (from, name) in [(key, "server.key"), (certificate, "server.crt")] {
            let to = this.data().join(name);
            std::fs::copy(from, &to).expect("copy into the cluster");
            std::fs::set_permissions(&to, PermissionsExt::from_mode(0o600)).expect("close it");
            if is_root() {
                let owned = Command::new("chown").arg("postgres").arg(&to).status();
                assert!(owned.is_ok_and(|status| status.success()), "give {name} to the user postgres");
            }
        }
        this.settings = ["-c", "ssl=on"].map(str::to_owned).into();
        this.start_again();
        this
    }

    fn make(port: u16) -> Self {
        let dir = tempfile::tempdir().expect("make a directory");
        let this = Self { bin: installed(), child: None, port, settings: Vec::new(), dir };
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
        this
    }

    /// Starts it after a kill. What was left of the killed one may keep it from starting at first.
    pub fn start_again(&mut self) {
        self.child = Some(self.spawn());
        wait_until("Postgres is ready", || {
            if self.query("select 1").is_ok() {
                return Some(());
            }
            let ended = self.child.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(Some(_))));
            if ended {
                self.child = Some(self.spawn());
            }
            None
        });
    }

    fn spawn(&self) -> Child {
        let log = std::fs::File::options().create(true).append(true).open(self.dir.path().join("log"));
        let log = log.unwrap_or_else(|_| std::fs::File::create("/dev/null").expect("open /dev/null"));
        let child = self
            .program("postgres")
            .arg("-D")
            .arg(self.data())
            .arg("-k")
            .arg(self.dir.path())
            .args(match self.port {
                0 => ["-c".to_owned(), "listen_addresses=".to_owned()],
                port => ["-c".to_owned(), format!("port={port}")],
            })
            .args(["-c", "max_connections=200"])
            .args(&self.settings)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn();
        child.expect("start Postgres")
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
        self.url_of("postgres")
    }

    fn url_of(&self, database: &str) -> String {
        let port = if self.port == 0 { String::new() } else { format!("&port={}", self.port) };
        format!("postgres://btctl@localhost/{database}?host={}{port}", self.dir.path().display())
    }

    /// The port that it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// As [`query`](Self::query), in another database.
    pub fn query_in(&self, database: &str, sql: &str) -> Result<Vec<String>, String> {
        psql(&self.url_of(database), sql)
    }

    /// A program that is run as the server is, for those that refuse to run as root.
    pub fn as_its_user(&self, program: &str) -> Command {
        as_postgres(Path::new(program))
    }

    /// The rows of a query, one line each, columns separated by `|`.
    pub fn query(&self, sql: &str) -> Result<Vec<String>, String> {
        psql(&self.url(), sql)
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn program(&self, name: &str) -> Command {
        let mut command = as_postgres(&self.bin.join(name));
        command.current_dir("/").env_remove("PGHOST").env_remove("PGDATABASE").stdin(Stdio::null());
        command
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        self.kill();
    }
}

fn as_postgres(program: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid", "postgres", "--regid", "postgres", "--clear-groups"]).arg(program);
    command
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
