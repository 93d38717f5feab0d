//! Sessions with Postgres: the only place where they are opened, set up, used and given up.
//!
//! What always holds: a session is handed out only after it has answered, was set up, and may write. Every statement has
//! a time limit. A session that is in an unknown state (its caller left in the middle of a statement, Postgres did not
//! answer, the server said that only a new session helps) is closed and never used again.

mod connection;
mod pooler;
mod start;
mod watched;
mod words;

use std::time::Duration;

use bt_measures::POSTGRES_ACQUIRE;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt, TryStreamExt};
use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions, PgQueryResult, PgRow, PgStatement};
use sqlx::{Describe, Either, Execute, Executor, PgPool, Postgres, SqlStr, query_file};
use tokio::time::{Instant, timeout_at};
use tracing::debug;

pub(super) use connection::{Connection, Planning, Transaction};
pub(super) use start::{NAME, close, read_url};
pub(super) use words::{Trouble, is_about_session, reason};

/// Sessions that a coordinator has at most, besides the one that listens.
pub(super) const SESSIONS: u32 = 16;
/// How long a caller may wait for a session.
const ACQUIRE: Duration = Duration::from_secs(10);
/// How long a lock is waited for, and how long a transaction may stand still: a sixth of the lease, within these.
const SHORTEST_HOLD: Duration = Duration::from_secs(1);
const LONGEST_HOLD: Duration = Duration::from_secs(10);
/// How long a session may take to answer before it is handed out.
const LOOK: Duration = Duration::from_secs(3);
/// How long a statement may take that touches a bounded number of rows.
const STATEMENT: Duration = Duration::from_secs(20);
/// How long a statement may take that touches all rows of a sweep or a table.
const LONG_STATEMENT: Duration = Duration::from_secs(300);

/// The sessions. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Connections {
    pool: PgPool,
    /// Notifications have a session of their own, which is none of the others' [`SESSIONS`].
    listening: PgPool,
    options: PgConnectOptions,
    patience: Duration,
    /// How long a lock is waited for, and how long a transaction may stand still.
    hold: Duration,
    planning: Planning,
}

/// What a look at a session found.
enum Look {
    Usable {
        was_set_up: bool,
    },
    /// The server itself is read-only where the session was opened just now.
    ReadOnly {
        was_set_up: bool,
        trouble: Trouble,
    },
}

impl Connections {
    /// Opens nothing yet. Leases of this length must not run out because somebody does not move.
    pub(super) fn new(options: PgConnectOptions, lease: Duration) -> Self {
        let options = options.application_name(NAME);
        let pool = |sessions| {
            PgPoolOptions::new()
                .max_connections(sessions)
                .acquire_timeout(ACQUIRE)
                // Each is looked at with a time limit when it is handed out.
                .test_before_acquire(false)
                .connect_lazy_with(options.clone())
        };
        let hold = (lease / 6).clamp(SHORTEST_HOLD, LONGEST_HOLD);
        Self {
            pool: pool(SESSIONS),
            listening: pool(1),
            options,
            patience: STATEMENT,
            hold,
            planning: Planning::Free,
        }
    }

    /// The same sessions, for statements that touch all rows of a sweep or a table.
    pub(super) fn patient(&self) -> Self {
        Self { patience: LONG_STATEMENT, ..self.clone() }
    }

    /// The same sessions, for statements that find every row by a key.
    pub(super) fn by_key(&self) -> Self {
        Self { planning: Planning::ByKey, ..self.clone() }
    }

    /// A session, set up and able to write.
    pub(super) async fn acquire(&self) -> Result<Connection, sqlx::Error> {
        let began = Instant::now();
        let acquired = self.acquire_unmeasured().await;
        POSTGRES_ACQUIRE.record([], began.elapsed());
        acquired
    }

    /// Sessions that are idle, and that are used.
    pub(super) fn sessions(&self) -> [u32; 2] {
        let (all, idle) = (self.pool.size(), self.pool.num_idle());
        let idle = u32::try_from(idle).unwrap_or(u32::MAX).min(all);
        [idle, all - idle]
    }

    async fn acquire_unmeasured(&self) -> Result<Connection, sqlx::Error> {
        let deadline = Instant::now() + ACQUIRE;
        loop {
            let acquired = match timeout_at(deadline, self.pool.acquire()).await {
                Ok(acquired) => acquired,
                Err(_) => Err(sqlx::Error::PoolTimedOut),
            };
            let mut connection = match acquired {
                Ok(raw) => Connection::new(raw, LOOK),
                Err(sqlx::Error::PoolTimedOut) => return Err(self.why_none().await.into()),
                Err(error) => return Err(error),
            };
            match self.set_up(&mut connection).await {
                Ok(Look::Usable { .. }) => {
                    connection.set_patience(self.patience);
                    return Ok(connection);
                }
                Ok(Look::ReadOnly { was_set_up: false, trouble }) => {
                    connection.close();
                    return Err(trouble.into());
                }
                // Perhaps only this session is: it was opened while the server was.
                Ok(Look::ReadOnly { was_set_up: true, .. }) => connection.close(),
                Err(error) => {
                    connection.close();
                    let is_lost = matches!(error, sqlx::Error::Io(_)) || is_about_session(&error);
                    if !is_lost || Instant::now() >= deadline {
                        return Err(error);
                    }
                    debug!(error = %reason(&error), "a session is given up");
                }
            }
        }
    }

    pub(super) async fn begin(&self) -> Result<Transaction, sqlx::Error> {
        self.acquire().await?.begin(self.planning).await
    }

    /// A session that hears notifications.
    pub(super) async fn listener(&self) -> Result<PgListener, sqlx::Error> {
        PgListener::connect_with(&self.listening).await
    }

    /// Options for a session that is nobody else's.
    pub(super) fn options(&self) -> &PgConnectOptions {
        &self.options
    }

    /// Why no session was to be had in time.
    async fn why_none(&self) -> Trouble {
        use sqlx::ConnectOptions;
        if self.pool.num_idle() == 0 && self.pool.size() >= SESSIONS {
            return Trouble::Away(format!(
                "all {SESSIONS} sessions of this coordinator were busy for {} s",
                ACQUIRE.as_secs()
            ));
        }
        let opened = timeout_at(Instant::now() + LOOK, self.options.connect()).await;
        Trouble::Away(match opened {
            Ok(Ok(_)) => format!("no session was opened within {} s", ACQUIRE.as_secs()),
            Ok(Err(error)) => reason(&error),
            Err(_) => format!("it does not answer within {} s", ACQUIRE.as_secs()),
        })
    }
}

impl Connections {
    /// Looks at a session, and sets it up if it is new.
    async fn set_up(&self, connection: &mut Connection) -> Result<Look, sqlx::Error> {
        let look = query_file!("queries/connections/look_at_session.sql").fetch_one(&mut *connection).await?;
        if look.read_only || look.standby {
            let trouble = Trouble::read_only(look.standby);
            return Ok(Look::ReadOnly { was_set_up: look.is_set_up, trouble });
        }
        if look.is_set_up {
            return Ok(Look::Usable { was_set_up: true });
        }
        query_file!("queries/connections/set_up_session.sql", self.hold_millis())
            .fetch_all(&mut *connection)
            .await?;
        match query_file!("queries/connections/end_with_caller.sql").fetch_all(&mut *connection).await {
            Err(sqlx::Error::Database(error)) => {
                debug!(error = %error, "statements go on when their caller has gone");
            }
            other => drop(other?),
        }
        Ok(Look::Usable { was_set_up: false })
    }

    fn hold_millis(&self) -> String {
        self.hold.as_millis().to_string()
    }
}

/// A statement of its own. Its rows are read and the session is given back before the first of them is passed on, so
/// that no session is held by whoever takes them.
impl<'c> Executor<'c> for &'c Connections {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxStream<'e, Result<Either<PgQueryResult, PgRow>, sqlx::Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let all = async move {
            let mut tx = self.begin().await?;
            let rows: Vec<_> = tx.fetch_many(query).try_collect().await?;
            tx.commit().await?;
            Ok::<_, sqlx::Error>(stream::iter(rows.into_iter().map(Ok)))
        };
        stream::once(all).try_flatten().boxed()
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Option<PgRow>, sqlx::Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        Box::pin(async move {
            let mut tx = self.begin().await?;
            let row = tx.fetch_optional(query).await?;
            tx.commit().await?;
            Ok(row)
        })
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [<Postgres as sqlx::Database>::TypeInfo],
    ) -> BoxFuture<'e, Result<PgStatement, sqlx::Error>>
    where
        'c: 'e,
    {
        Box::pin(async move { self.acquire().await?.prepare_with(sql, parameters).await })
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, Result<Describe<Postgres>, sqlx::Error>>
    where
        'c: 'e,
    {
        Box::pin(async move { self.acquire().await?.describe(sql).await })
    }
}
