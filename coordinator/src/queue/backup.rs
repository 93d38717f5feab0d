//! Backups: the queue at one moment, and a database that one is restored into. The rows are `pg_dump`'s and
//! `pg_restore`'s business; what is here gives them a moment, says what must be in the store, and keeps others away.

use bt_model::encoding::Encoding;
use bt_model::id::SweepId;
use bt_model::layout::AttemptPlace;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt};
use jiff::Timestamp;
use sqlx::migrate::Migrate;
use sqlx::postgres::PgConnection;
use sqlx::{Executor, query_file, raw_sql};
use uuid::Uuid;

use super::connections::{self, Connections};
use super::files::StoredFile;
use super::row::{Pg, sha256, time, unsigned};
use super::schema::{SchemaChange, beside};
use super::{Error, MIGRATOR};

/// The first version of the schema that a backup can be taken of.
const OLDEST: i64 = 18;
/// These sessions wait for as long as `pg_dump` and `pg_restore` take.
const WAITS: &str = "set idle_in_transaction_session_timeout = 0; set statement_timeout = 0";
/// Not every version of Postgres has it.
const WAITS_TOO: &str = "select pg_catalog.set_config(name, '0', false) from pg_catalog.pg_settings \
    where name = 'idle_session_timeout'";
/// All that is read after it is of one moment.
const MOMENT: &str = "begin isolation level repeatable read, read only";

/// What a queue holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    pub sweeps: u64,
    pub jobs: u64,
    pub results: u64,
    /// Jobs that run, and jobs that wait.
    pub running: u64,
    pub queued: u64,
}

/// The queue at one moment.
#[derive(Clone, Debug)]
pub struct SnapshotFacts {
    /// By which other sessions see the same moment.
    pub snapshot: String,
    pub taken: Timestamp,
    /// The server's version, in full and its first number.
    pub postgres: String,
    pub postgres_major: u32,
    pub migration: i64,
    pub counts: Counts,
    pub store: Option<SnapshotStore>,
}

/// The store that the queue's results are in.
#[derive(Clone, Debug)]
pub struct SnapshotStore {
    /// By which the store knows the queue, and the queue the store.
    pub queue: Uuid,
    pub id: Uuid,
    pub location: String,
    pub generation: u64,
}

/// A session that sees the queue at one moment, for as long as it is open.
#[derive(Debug)]
pub(crate) struct BackupSession {
    own: PgConnection,
}

impl BackupSession {
    pub(crate) async fn begin(url: &str) -> Result<(Self, SnapshotFacts), Error> {
        let pool = beside(url)?;
        let mut own = pool.open("btctl backup").await?;
        let change = pool.pending(&mut own, &MIGRATOR).await?;
        let migration = match change.from {
            None => return Err(Error::NoStart("the database holds no queue of btctl".to_owned())),
            Some(old) if old < OLDEST => {
                return Err(Error::NoStart(format!(
                    "the schema is at migration {old}, too old for this btctl to back up: run `btctl migrate` first, or \
                     use pg_dump"
                )));
            }
            Some(migration) => migration,
        };
        for text in [WAITS, WAITS_TOO, MOMENT] {
            own.execute(raw_sql(text)).await?;
        }
        let moment = query_file!("queries/backup/export_snapshot.sql").fetch_one(&mut own).await?;
        let counts = counts(&mut own).await?;
        let store = query_file!("queries/store/known_store.sql").fetch_optional(&mut own).await?;
        let store = store.map(|row| {
            let generation = unsigned(row.generation)?;
            Ok::<_, Error>(SnapshotStore {
                queue: row.queue_id,
                id: row.store_id,
                location: row.location,
                generation,
            })
        });
        let facts = SnapshotFacts {
            snapshot: moment.snapshot,
            taken: time(moment.taken)?,
            postgres: moment.version,
            postgres_major: unsigned::<u32>(moment.version_number)? / 10_000,
            migration,
            counts,
            store: store.transpose()?,
        };
        Ok((Self { own }, facts))
    }

    /// Each file that a published result names.
    pub(crate) fn stored_files(&mut self) -> BoxStream<'_, Result<StoredFile, Error>> {
        let rows = query_file!("queries/backup/stored_files.sql").fetch(&mut self.own);
        let listed = rows.map_err(Error::from).and_then(|row| async move {
            let place = AttemptPlace {
                sweep_name: row.name,
                sweep: SweepId::from_uuid(row.sweep_id),
                jobs: unsigned(row.jobs)?,
                job: unsigned(row.job)?,
                attempt: unsigned(row.attempt)?,
            };
            let encoding = row.encoding.0;
            let stored_as = row.stored_as.unwrap_or_else(|| encoding.stored_as(&row.path));
            Ok(StoredFile {
                place: place.output(&stored_as),
                size: unsigned(row.stored_size)?,
                encoding,
                plain_size: unsigned(row.size)?,
                sha256: sha256(&row.sha256)?,
            })
        });
        listed.boxed()
    }

    pub(crate) async fn end(self) {
        connections::close(self.own).await;
    }
}

/// A session that keeps everybody else from making tables in an empty database, for as long as it is open.
#[derive(Debug)]
pub(crate) struct RestoreSession {
    pool: Connections,
    own: PgConnection,
}

impl RestoreSession {
    /// Refuses a database that holds anything. Returns the first number of the server's version, too.
    pub(crate) async fn begin(url: &str) -> Result<(Self, u32), Error> {
        let pool = beside(url)?;
        let mut own = pool.open("btctl restore").await?;
        for text in [WAITS, WAITS_TOO] {
            own.execute(raw_sql(text)).await?;
        }
        let locked = own.lock().await;
        locked.map_err(|error| match error {
            sqlx::migrate::MigrateError::Execute(error) => Error::from(error),
            error => Error::NoStart(error.to_string()),
        })?;
        let held = query_file!("queries/backup/objects.sql").fetch_all(&mut own).await?;
        if let Some(first) = held.first() {
            let live = live_coordinators(&mut own).await?;
            let running = match live {
                0 => String::new(),
                1 => ", and a coordinator runs on it".to_owned(),
                live => format!(", and {live} coordinators run on it"),
            };
            return Err(Error::NoStart(format!(
                "the database is not empty: it holds {} tables, types and functions, such as the {} {}{running}. A backup is \
                 restored into an empty database: make one with `createdb`, and name it in --database-url",
                first.all, first.kind, first.name
            )));
        }
        let server = query_file!("queries/backup/server.sql").fetch_one(&mut own).await?;
        Ok((Self { pool, own }, unsigned::<u32>(server.version_number)? / 10_000))
    }

    /// Brings what was restored up to date, and returns what that took and what is in it.
    pub(crate) async fn finish(mut self) -> Result<(SchemaChange, Counts), Error> {
        // Where the tables are is known only now.
        self.pool.set_up_again(&mut self.own).await?;
        let change = self.pool.migrate(&mut self.own, &MIGRATOR).await?;
        let counts = counts(&mut self.own).await?;
        connections::close(self.own).await;
        Ok((change, counts))
    }
}

async fn counts(own: &mut PgConnection) -> Result<Counts, Error> {
    let row = query_file!("queries/backup/counts.sql").fetch_one(own).await?;
    Ok(Counts {
        sweeps: unsigned(row.sweeps)?,
        jobs: unsigned(row.jobs)?,
        results: unsigned(row.results)?,
        running: unsigned(row.running)?,
        queued: unsigned(row.queued)?,
    })
}

/// None where the tables are not btctl's.
async fn live_coordinators(own: &mut PgConnection) -> Result<i64, Error> {
    if !query_file!("queries/schema/has_migrations.sql").fetch_one(&mut *own).await?.there {
        return Ok(0);
    }
    let row = query_file!("queries/inspect/live_coordinators.sql").fetch_one(own).await;
    Ok(row.map_or(0, |row| row.live))
}
