//! One session, checked out. Each statement has a time limit; a session that a statement left in an unknown state is
//! closed, which makes Postgres end the statement too.

use std::ops::{Deref, DerefMut};
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt, TryStreamExt};
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnection, PgQueryResult, PgRow, PgStatement};
use sqlx::{Describe, Either, Execute, Executor, Postgres, SqlStr, raw_sql};
use tokio::runtime::Handle;
use tokio::time::{Instant, timeout_at};
use tracing::debug;

use super::watched::watched;
use super::words::{Trouble, is_about_session};

/// How long a rollback may take that nobody waits for.
const ROLLBACK: Duration = Duration::from_secs(3);

/// Begins a transaction whose statements are planned anew each time: for the values at hand, and for tables as large as they
/// are now.
const BEGIN_FREE: &str = "begin; set local plan_cache_mode = force_custom_plan";
/// Begins a transaction whose statements find every row by a key. No table is read from end to end in it, be it as small as
/// it may when the plan is made: each is looked into, through an index, for one row of the step before. So plans may be
/// kept, as those of foreign keys must be, which are followed for each row.
const BEGIN_BY_KEY: &str = "begin; \
    set local enable_seqscan = off; set local enable_bitmapscan = off; \
    set local enable_hashjoin = off; set local enable_mergejoin = off";

/// How Postgres plans the statements of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::queue) enum Planning {
    /// As it sees fit, each time: see [`BEGIN_FREE`].
    Free,
    /// Through indexes alone: see [`BEGIN_BY_KEY`].
    ByKey,
}

#[derive(Debug)]
pub(in crate::queue) struct Connection {
    /// None once it is closed.
    raw: Option<PoolConnection<Postgres>>,
    state: State,
    patience: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Ready,
    /// A statement is under way: nothing else can be said before it has ended.
    Busy,
    /// Only a new session helps.
    Broken,
}

/// A transaction. It is rolled back if it is dropped.
#[derive(Debug)]
pub(in crate::queue) struct Transaction {
    connection: Connection,
    /// Nothing has ended it yet.
    open: bool,
}

impl Connection {
    pub(super) fn new(raw: PoolConnection<Postgres>, patience: Duration) -> Self {
        Self { raw: Some(raw), state: State::Ready, patience }
    }

    pub(super) fn set_patience(&mut self, patience: Duration) {
        self.patience = patience;
    }

    /// Closes the session at once.
    pub(super) fn close(mut self) {
        self.state = State::Broken;
    }

    pub(super) async fn begin(mut self, planning: Planning) -> Result<Transaction, sqlx::Error> {
        let begin = match planning {
            Planning::Free => BEGIN_FREE,
            Planning::ByKey => BEGIN_BY_KEY,
        };
        self.execute(raw_sql(begin)).await?;
        Ok(Transaction { connection: self, open: true })
    }

    fn parts(&mut self) -> Result<(&mut PgConnection, &mut State, Instant), sqlx::Error> {
        let deadline = Instant::now() + self.patience;
        match &mut self.raw {
            Some(raw) if self.state == State::Ready => Ok((raw, &mut self.state, deadline)),
            _ => Err(Trouble::Away("this session was lost".to_owned()).into()),
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if self.state != State::Ready
            && let Some(raw) = self.raw.take()
        {
            // Without a word to the server, which may not listen: the end of the connection says it.
            drop(raw.detach());
        }
    }
}

/// What a statement's end says about its session.
fn note<T>(state: &mut State, result: &Result<T, sqlx::Error>) {
    *state = match result {
        Ok(_) => State::Ready,
        Err(sqlx::Error::Database(_)) if result.as_ref().is_err_and(is_about_session) => State::Broken,
        Err(sqlx::Error::Database(_) | sqlx::Error::RowNotFound | sqlx::Error::Encode(_)) => State::Ready,
        Err(_) => State::Broken,
    };
}

fn too_late(patience: Duration) -> sqlx::Error {
    Trouble::Away(format!("it did not answer a statement within {} s", patience.as_secs())).into()
}

impl<'c> Executor<'c> for &'c mut Connection {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxStream<'e, Result<Either<PgQueryResult, PgRow>, sqlx::Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let patience = self.patience;
        let (raw, state, deadline) = match self.parts() {
            Ok(parts) => parts,
            Err(error) => return stream::once(std::future::ready(Err(error))).boxed(),
        };
        *state = State::Busy;
        let (query, clock) = watched(query);
        let begun = (raw.fetch_many(query), state);
        let rows = stream::try_unfold((begun, clock), move |((mut rows, state), clock)| async move {
            let next = match timeout_at(deadline, rows.try_next()).await {
                Ok(next) => next,
                Err(_) => {
                    *state = State::Broken;
                    clock.stop(false);
                    return Err(too_late(patience));
                }
            };
            if !matches!(next, Ok(Some(_))) {
                clock.stop(next.is_ok());
            }
            match next {
                Ok(Some(row)) => Ok(Some((row, ((rows, state), clock)))),
                ended => {
                    note(state, &ended);
                    ended.map(|_| None)
                }
            }
        });
        rows.boxed()
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Option<PgRow>, sqlx::Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        Box::pin(async move {
            let patience = self.patience;
            let (raw, state, deadline) = self.parts()?;
            *state = State::Busy;
            let (query, clock) = watched(query);
            let found = timeout_at(deadline, raw.fetch_optional(query)).await;
            let found = found.unwrap_or_else(|_| Err(too_late(patience)));
            clock.stop(found.is_ok());
            note(state, &found);
            found
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
        Box::pin(async move {
            let patience = self.patience;
            let (raw, state, deadline) = self.parts()?;
            *state = State::Busy;
            let prepared = timeout_at(deadline, raw.prepare_with(sql, parameters)).await;
            let prepared = prepared.unwrap_or_else(|_| Err(too_late(patience)));
            note(state, &prepared);
            prepared
        })
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, Result<Describe<Postgres>, sqlx::Error>>
    where
        'c: 'e,
    {
        Box::pin(async move {
            let patience = self.patience;
            let (raw, state, deadline) = self.parts()?;
            *state = State::Busy;
            let described = timeout_at(deadline, raw.describe(sql)).await;
            let described = described.unwrap_or_else(|_| Err(too_late(patience)));
            note(state, &described);
            described
        })
    }
}

impl Transaction {
    pub(in crate::queue) async fn commit(mut self) -> Result<(), sqlx::Error> {
        self.open = false;
        self.connection.execute(raw_sql("commit")).await.map(drop)
    }

    pub(in crate::queue) async fn rollback(mut self) -> Result<(), sqlx::Error> {
        self.open = false;
        self.connection.execute(raw_sql("rollback")).await.map(drop)
    }
}

impl Deref for Transaction {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.connection
    }
}

impl DerefMut for Transaction {
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.connection
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        if !self.open || self.connection.state != State::Ready {
            return;
        }
        let mut connection =
            Connection { raw: self.connection.raw.take(), state: State::Ready, patience: ROLLBACK };
        match Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(async move {
                if let Err(error) = connection.execute(raw_sql("rollback")).await {
                    debug!(error = %error, "a session is closed instead of rolled back");
                    connection.close();
                }
            })),
            Err(_) => connection.close(),
        }
    }
}
