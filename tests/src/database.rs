//! A database of its own for each test, copied from a template that has the schema.

use std::process::Command;

use uuid::Uuid;

/// A fresh database, dropped with the value unless the test failed.
#[derive(Debug)]
pub struct Database {
    name: String,
    server: String,
}

impl Database {
    /// Makes an empty database; the coordinator brings the schema.
    pub fn new() -> Self {
        let server = std::env::var("DATABASE_URL").unwrap_or_else(|_| {
            panic!(
                "DATABASE_URL names no Postgres; run `make test`, or scripts/with-postgres cargo nextest run"
            )
        });
        let name = format!("test_{}", Uuid::new_v4().simple());
        let this = Self { name, server };
        let made = psql(&this.server, &format!("create database {}", this.name));
        assert!(made.is_ok(), "{made:?}");
        this
    }

    pub fn url(&self) -> String {
        let (front, back) = self.server.split_once("/postgres?").unwrap_or_else(|| {
            panic!("DATABASE_URL must name the database `postgres` of a local server: {}", self.server)
        });
        format!("{front}/{}?{back}", self.name)
    }

    /// The rows of a query, one line each, columns parted by `|`.
    #[track_caller]
    pub fn query(&self, sql: &str) -> Vec<String> {
        match psql(&self.url(), sql) {
            Ok(rows) => rows,
            Err(error) => panic!("{sql}: {error}"),
        }
    }
}

/// The rows of a query at a server, one line each, columns parted by `|`.
pub(crate) fn psql(url: &str, sql: &str) -> Result<Vec<String>, String> {
    let output = Command::new("psql")
        .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", url, "-c", sql])
        .env_remove("PGDATABASE")
        .output()
        .map_err(|error| format!("psql can't be run: {error}; install postgresql-client"))?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}

impl Default for Database {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the database {} is kept", self.name);
            return;
        }
        let drop = format!("drop database if exists {} with (force)", self.name);
        if let Err(error) = psql(&self.server, &drop) {
            eprintln!("the database {} is left behind: {error}", self.name);
        }
    }
}
