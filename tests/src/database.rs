//! A database of its own for each test, copied from a template that has the schema.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};

use uuid::Uuid;

use crate::wait_until;

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

    /// What Postgres says to a statement: its rows, or why not.
    ///
    /// # Errors
    /// If Postgres refuses it.
    pub fn try_query(&self, sql: &str) -> Result<Vec<String>, String> {
        psql(&self.url(), sql)
    }

    /// The rows of a query, one line each, columns separated by `|`.
    #[track_caller]
    pub fn query(&self, sql: &str) -> Vec<String> {
        match psql(&self.url(), sql) {
            Ok(rows) => rows,
            Err(error) => panic!("{sql}: {error}"),
        }
    }
}

/// A table that no other session can write to until this is dropped.
#[derive(Debug)]
pub struct HeldTable(Child);

impl Database {
    /// Holds a table, so that who writes to it waits.
    pub fn hold(&self, table: &str) -> HeldTable {
        self.hold_in(table, "exclusive")
    }

    /// Holds a table, so that who reads it waits too.
    pub fn hold_from_readers(&self, table: &str) -> HeldTable {
        self.hold_in(table, "access exclusive")
    }

    fn hold_in(&self, table: &str, mode: &str) -> HeldTable {
        let mut command = Command::new("psql");
        command.args(["-X", "-q", "-A", "-t", "-d", &self.url()]).env_remove("PGDATABASE");
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("psql can't be run: {error}; install postgresql-client"));
        let sql = format!("begin; lock table {table} in {mode} mode; select 'held';\n");
        child.stdin.as_mut().expect("psql reads").write_all(sql.as_bytes()).expect("psql listens");
        let mut said = String::new();
        let output = child.stdout.take().expect("psql writes");
        BufReader::new(output).read_line(&mut said).expect("psql answers");
        assert_eq!(said, "held\n");
        HeldTable(child)
    }

    /// Waits until a statement that begins like this waits for a lock.
    #[track_caller]
    pub fn wait_for_waiter(&self, statement: &str) {
        let sql = format!(
            "select count(*) > 0 from pg_stat_activity where datname = current_database()
             and wait_event_type = 'Lock' and query like '{statement}%'"
        );
        wait_until("the statement waits", || (self.query(&sql) == ["t"]).then_some(()));
    }
}

impl Drop for HeldTable {
    fn drop(&mut self) {
        // The end of its input ends psql and its transaction.
        drop(self.0.stdin.take());
        if let Err(error) = self.0.wait() {
            eprintln!("psql is left behind: {error}");
        }
    }
}

/// The rows of a query at a server, one line each, columns separated by `|`.
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
