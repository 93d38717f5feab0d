//! The queue: all state of btctl in Postgres, and the only module that runs SQL.
//!
//! Every move is made by a statement that names the state it expects, so a stale actor changes nothing. Rows are
//! locked in one order everywhere: agent, sweep, job, attempt. All times are Postgres's.

mod attempts;
mod cancel;
mod claim;
mod describe;
mod error;
mod files;
mod find;
mod images;
mod import;
mod keep;
mod limits;
mod maintain;
mod rank;
mod read;
mod record;
mod reuse;
mod row;
mod session;
mod settle;
mod software;
mod store;
mod submit;
mod unpublished;

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use sqlx::{PgConnection, PgPool, query_file};

pub(crate) use attempts::{LiveAttempt, PastAttempt};
pub(crate) use cancel::Chosen;
pub(crate) use claim::{Candidate, Claimed, Usage, Want, Written};
pub(crate) use describe::Description;
pub(crate) use error::Error;
pub(crate) use files::PublishedFile;
pub(crate) use find::Found;
pub(crate) use images::ImageRow;
pub(crate) use import::{Change, Import, JobMetrics};
pub(crate) use keep::{Collectable, Fate, ResultRow};
pub(crate) use maintain::{Documented, Published};
pub(crate) use rank::Reported;
pub(crate) use read::{
    AgentRow, AttemptRow, InQueue, JobFilter, JobRow, OutputRow, SweepDetails, SweepFilter, SweepRow,
};
pub(crate) use record::{News, Recorded, Report};
pub(crate) use reuse::{Followed, Pending, Place, Settling, Twin, TwinRow};
pub(crate) use session::{Beat, Fingerprints, Greeting, Pulse};
pub(crate) use settle::{Fence, Given, Measured, Publication, Settlement};
pub(crate) use store::KnownStore;
pub(crate) use submit::{BATCH, Jobs, Submission, Submitted};
pub(crate) use unpublished::UnpublishedRow;

/// The channel of [`Heard::Ready`].
const READY: &str = "btctl_ready";
/// The channel of [`Heard::Taken`].
const TAKEN: &str = "btctl_taken";

/// Connections a coordinator holds at most.
const CONNECTIONS: u32 = 16;
/// How long a statement may wait for a connection.
const ACQUIRE: Duration = Duration::from_secs(10);

static MIGRATOR: sqlx::migrate::Migrator = sqlx::migrate!("../migrations");

/// The queue's connections. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Queue {
    pool: PgPool,
}

impl Queue {
    /// Connects, and brings the schema up to date under an advisory lock.
    pub(crate) async fn connect(url: &str) -> Result<Self, Error> {
        let options: PgConnectOptions = url.parse().map_err(Error::Url)?;
        let pool = PgPoolOptions::new()
            .max_connections(CONNECTIONS)
            .acquire_timeout(ACQUIRE)
            .after_connect(|connection, _| {
                Box::pin(async move {
                    query_file!("queries/plan_by_keys.sql").fetch_all(connection).await?;
                    Ok(())
                })
            })
            .connect_with(options.application_name("btctl"))
            .await?;
        MIGRATOR.run(&pool).await?;
        Ok(Self { pool })
    }

    /// A connection of its own that hears of what other coordinators and clients did.
    pub(crate) async fn listen(&self) -> Result<Notifications, Error> {
        let mut listener = PgListener::connect_with(&self.pool).await?;
        listener.listen_all([READY, TAKEN]).await?;
        Ok(Notifications { listener })
    }
}

/// What other coordinators and clients did, as far as it was heard.
pub(crate) struct Notifications {
    listener: PgListener,
}

/// What a notification says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// Jobs may be ready to be leased.
    Ready,
    /// Attempts may have been taken away from agents. Also said when a lost connection may have hidden anything.
    Taken,
}

impl Notifications {
    pub(crate) async fn next(&mut self) -> Result<Heard, Error> {
        let notification = self.listener.try_recv().await?;
        Ok(match notification {
            Some(notification) if notification.channel() == READY => Heard::Ready,
            Some(_) | None => Heard::Taken,
        })
    }
}

async fn notify(connection: &mut PgConnection, channel: &str) -> Result<(), Error> {
    query_file!("queries/notify.sql", channel, "").fetch_all(connection).await?;
    Ok(())
}

#[cfg(test)]
mod tests;
