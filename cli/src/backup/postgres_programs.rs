//! Postgres's own programs `pg_dump` and `pg_restore`: found by their version, and given no password on a command line.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use bt_coordinator::LibpqTarget;
use tokio::process::{Child, Command};

use crate::error::Error;
use crate::postgres_dirs::bin_dirs;

/// A program that is installed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Program {
    path: PathBuf,
    /// As it says itself, such as 15.13.
    pub(crate) version: String,
    pub(crate) major: u32,
}

impl Program {
    /// Finds a program that is as new as this version of Postgres, best of the same one.
    pub(crate) async fn find(name: &str, bin: Option<&Path>, least: u32, best: u32) -> Result<Self, Error> {
        let mut found = Vec::new();
        for dir in bin.map_or_else(places, |bin| vec![bin.to_owned()]) {
            found.extend(Self::at(dir.join(name)).await);
        }
        let newest = found.iter().max_by_key(|program| program.major).cloned();
        let fitting = found.into_iter().filter(|program| program.major >= least);
        if let Some(program) = fitting.min_by_key(|program| (program.major != best, program.major)) {
            return Ok(program);
        }
        let problem = match newest {
            Some(old) => format!(
                "{} is of Postgres {}, and Postgres {least} needs one of {least} or newer",
                old.path.display(),
                old.version
            ),
            None => format!("no {name} is installed"),
        };
        Err(Error::Failed(format!(
            "{problem}: install it (Debian, Ubuntu: apt-get install postgresql-client-{best}; Fedora: dnf install \
             postgresql{best}), or name the directory that has it with --postgres-bin"
        )))
    }

    /// The program at this path, if it is one.
    async fn at(path: PathBuf) -> Option<Self> {
        if !path.is_file() {
            return None;
        }
        let said = Command::new(&path).arg("--version").stdin(Stdio::null()).output().await.ok()?;
        let (version, major) = version(&String::from_utf8_lossy(&said.stdout))?;
        Some(Self { path, version, major })
    }

    /// The program, about to work on a database.
    pub(crate) fn on(&self, target: &LibpqTarget) -> Command {
        let mut command = Command::new(&self.path);
        command.arg("--no-password").arg("--dbname").arg(&target.url);
        if let Some(password) = &target.password {
            command.env("PGPASSWORD", password.as_str());
        }
        // Messages are shown, not read; but they are in English like all others.
        command.env("LC_MESSAGES", "C").current_dir("/").stderr(Stdio::piped()).kill_on_drop(true);
        command
    }

    pub(crate) fn spawn(&self, command: &mut Command) -> Result<Child, Error> {
        command
            .spawn()
            .map_err(|error| Error::Failed(format!("{} can't be run: {error}", self.path.display())))
    }
}

/// `pg_dump (PostgreSQL) 15.13 (Debian 15.13-0+deb12u1)`.
fn version(said: &str) -> Option<(String, u32)> {
    let version = said.split("(PostgreSQL)").nth(1)?.split_whitespace().next()?;
    let major = version.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()?;
    Some((version.to_owned(), major))
}

/// Where Postgres's programs may be: where packages put them, and the path.
fn places() -> Vec<PathBuf> {
    let places = [("/usr/lib/postgresql", ""), ("/usr", "pgsql-"), ("/opt/homebrew/opt", "postgresql@")];
    let mut dirs: Vec<PathBuf> = bin_dirs(&places).into_iter().map(|(_, dir)| dir).collect();
    let path = std::env::var_os("PATH").unwrap_or_default();
    dirs.extend(std::env::split_paths(&path));
    dirs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_read() {
        let said = "pg_dump (PostgreSQL) 15.13 (Debian 15.13-0+deb12u1)\n";
        assert_eq!(version(said), Some(("15.13".to_owned(), 15)));
        assert_eq!(version("pg_restore (PostgreSQL) 19devel\n"), Some(("19devel".to_owned(), 19)));
        assert_eq!(version("pg_dump: command not found"), None);
    }
}
