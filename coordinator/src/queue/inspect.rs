//! A look at a Postgres server before or beside a coordinator's work: nothing is changed.

use std::time::SystemTime;

use sqlx::query_file;

use super::connections::{self, SESSIONS};
use super::row::unsigned;
use super::schema::{SchemaChange, beside};
use super::store::KnownStore;
use super::{Error, MIGRATOR, Queue};

/// What a server is set to, as far as coordinators depend on it.
#[derive(Clone, Debug)]
pub(crate) struct ServerFacts {
    pub(crate) version: String,
    pub(crate) database: String,
    pub(crate) role: String,
    pub(crate) bytes: u64,
    pub(crate) fsync: bool,
    pub(crate) full_page_writes: bool,
    pub(crate) autovacuum: bool,
    /// What sessions begin with; a coordinator sets what it needs.
    pub(crate) synchronous_commit: String,
    /// Sessions that there may be for this role in this database.
    pub(crate) most_sessions: u32,
    pub(crate) sessions: u32,
    /// Sessions that one coordinator may open.
    pub(crate) needed: u32,
    pub(crate) may_create: bool,
    /// Seconds by which Postgres's clock is ahead of this machine's.
    pub(crate) ahead: f64,
}

/// What was found of a server.
#[derive(Clone, Debug)]
pub(crate) struct Inspected {
    pub(crate) facts: ServerFacts,
    pub(crate) change: SchemaChange,
    /// Tables that this role may not change, and whose rows it may not; zero where there are none yet.
    pub(crate) not_owned: u32,
    pub(crate) not_writable: u32,
    pub(crate) live_coordinators: u32,
    /// The queue's store, where the schema is up to date.
    pub(crate) store: Option<KnownStore>,
    /// By which keys secrets are encrypted, and how many, where the schema is up to date.
    pub(crate) secret_keys: Vec<(String, u32)>,
}

impl Queue {
    /// Looks at the server behind a URL.
    pub(crate) async fn inspect(url: &str) -> Result<Inspected, Error> {
        let pool = beside(url)?;
        let mut own = pool.open("btctl check").await?;
        let change = pool.pending(&mut own, &MIGRATOR).await?;
        let began = unix_time();
        let row = query_file!("queries/inspect/server_facts.sql").fetch_one(&mut own).await?;
        let own_now = (began + unix_time()) / 2.0;
        let limits = [row.role_limit, row.database_limit].into_iter().filter(|limit| *limit >= 0);
        let most = limits.chain([row.max_connections - row.reserved]).min().unwrap_or(0);
        let facts = ServerFacts {
            version: row.version,
            database: row.database,
            role: row.role,
            bytes: unsigned(row.bytes)?,
            fsync: row.fsync,
            full_page_writes: row.full_page_writes,
            autovacuum: row.autovacuum,
            synchronous_commit: row.synchronous_commit,
            most_sessions: unsigned(most.max(0))?,
            sessions: unsigned(row.sessions)?,
            needed: SESSIONS + 1,
            may_create: row.may_create,
            ahead: row.now - own_now,
        };
        let (mut not_owned, mut not_writable, mut live_coordinators) = (0, 0, 0);
        if change.from.is_some() {
            let foreign = query_file!("queries/inspect/foreign_tables.sql").fetch_one(&mut own).await?;
            (not_owned, not_writable) = (unsigned(foreign.not_owned)?, unsigned(foreign.not_writable)?);
        }
        if change.from.is_some() && not_writable == 0 {
            let live = query_file!("queries/inspect/live_coordinators.sql").fetch_one(&mut own).await?;
            live_coordinators = unsigned(live.live)?;
        }
        connections::close(own).await;
        let is_current = change.from.is_some() && change.steps.is_empty() && not_writable == 0;
        let (mut store, mut secret_keys) = (None, Vec::new());
        if is_current {
            let queue = Self::over(pool);
            store = queue.known_store().await?;
            secret_keys = queue.secret_keys().await?;
        }
        Ok(Inspected { facts, change, not_owned, not_writable, live_coordinators, store, secret_keys })
    }

    /// What is known of the store of a queue whose schema is up to date.
    pub(crate) async fn store_at(url: &str) -> Result<Option<KnownStore>, Error> {
        Self::over(beside(url)?).known_store().await
    }
}

fn unix_time() -> f64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}
